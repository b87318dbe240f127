//! `orderstream notify`: the notifications that wait or were given up, and previews of all.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use orderstream_core::notification::Template;
use orderstream_core::spec::NotificationType;
use orderstream_notifier::example;
use orderstream_notifier::templates::Templates;

use crate::exit::CliError;
use crate::output;
use crate::verbs::notifications::{OutboxArgs, ReplayArgs};

/// List waiting notifications and dead letters, and preview templates
#[derive(Debug, Args)]
pub struct NotifyArgs {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
enum NotifyCommand {
    /// List the notifications that wait to be sent
    Pending(Box<OutboxArgs>),
    /// List the notifications that were given up
    Dead(Box<OutboxArgs>),
    /// Send notifications again that were given up
    Replay(Box<ReplayArgs>),
    /// Print one template, rendered with example data
    Preview(PreviewArgs),
    /// Print the names of all templates
    List,
    /// Write the built-in templates into a folder, to be changed there
    Export {
        /// The folder; existing files stay as they are
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct PreviewArgs {
    /// The template, such as invitation
    template: String,
    /// The channel
    #[arg(long, default_value = "Email", value_parser = channel)]
    channel: NotificationType,
    /// The language
    #[arg(long, default_value = "en")]
    language: String,
    /// The folder of templates that replace the built-in ones
    #[arg(long)]
    templates: Option<PathBuf>,
    /// The part of a mail that is printed
    #[arg(long, default_value = "text")]
    part: MailPart,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MailPart {
    Text,
    Html,
}

fn channel(text: &str) -> Result<NotificationType, String> {
    NotificationType::parse(text)
        .ok_or_else(|| "is unknown; use GChat, Email, SMS or Webhook".to_owned())
}

impl NotifyArgs {
    /// Lists or sends notifications, or prints or writes the templates.
    ///
    /// # Errors
    /// When there is no such template, a file cannot be written, or a server refuses the request or
    /// is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        match self.command {
            NotifyCommand::Pending(verb) => verb.pending().await,
            NotifyCommand::Dead(verb) => verb.dead().await,
            NotifyCommand::Replay(verb) => verb.run().await,
            NotifyCommand::Preview(preview) => preview.run(),
            NotifyCommand::List => {
                Template::ALL.iter().for_each(|template| output::line(template.as_str()));
                Ok(())
            }
            NotifyCommand::Export { folder } => {
                for (name, text) in Templates::built_in() {
                    let path = folder.join(name);
                    write_new(&path, text)
                        .map_err(|error| CliError::input(format!("{}: {error}", path.display())))?;
                }
                Ok(())
            }
        }
    }
}

/// Writes a file and its folder; leaves an existing file as it is.
fn write_new(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => std::io::Write::write_all(&mut file, text.as_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

impl PreviewArgs {
    fn run(&self) -> Result<(), CliError> {
        let template = Template::parse(&self.template).ok_or_else(|| {
            let name = &self.template;
            CliError::input(format!("{name} is not a template; see `orderstream notify list`"))
        })?;
        let wrong = |text: &dyn std::fmt::Display| CliError::input(text.to_string());
        let templates =
            Templates::load(self.templates.as_deref()).map_err(|error| wrong(&error))?;
        let example = example::notification(template, self.channel, &self.language);
        if self.channel == NotificationType::Webhook {
            let event = orderstream_notifier::cloud_event(&example);
            output::line(&format!("{event:#}"));
            return Ok(());
        }
        let message = templates.render(&example).map_err(|error| wrong(&error))?;
        match (self.part, self.channel) {
            (MailPart::Html, NotificationType::Email) => {
                let html = templates.html(&message);
                output::line(html.map_err(|error| wrong(&error))?.trim_end());
            }
            (MailPart::Text | MailPart::Html, NotificationType::Sms) => output::line(&message.text),
            (MailPart::Text | MailPart::Html, _) => {
                output::line(&format!("{}\n\n{}", message.subject, message.text));
            }
        }
        Ok(())
    }
}
