//! `orderstream notify`: previews notifications without sending any.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use orderstream_core::notification::Template;
use orderstream_core::spec::NotificationType;
use orderstream_notifier::example;
use orderstream_notifier::templates::Templates;

use crate::exit::Failure;
use crate::output;

/// Preview notifications and their templates
#[derive(Debug, Args)]
pub(crate) struct Notify {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print one template, rendered with example data
    Preview(Preview),
    /// Print the names of all templates
    List,
    /// Write the built-in templates into a folder, to be changed there
    Export {
        /// The folder; existing files stay as they are
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Preview {
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
    part: Part,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Text,
    Html,
}

fn channel(text: &str) -> Result<NotificationType, String> {
    NotificationType::parse(text)
        .ok_or_else(|| "is unknown; use GChat, Email, SMS or Webhook".to_owned())
}

impl Notify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.command {
            Command::Preview(preview) => preview.run(),
            Command::List => {
                Template::ALL.iter().for_each(|template| output::line(template.as_str()));
                Ok(())
            }
            Command::Export { folder } => {
                for (name, text) in Templates::built_in() {
                    let path = folder.join(name);
                    write_new(&path, text)
                        .map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
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

impl Preview {
    fn run(&self) -> Result<(), Failure> {
        let template = Template::parse(&self.template).ok_or_else(|| {
            let name = &self.template;
            Failure::input(format!("{name} is no template; see `orderstream notify list`"))
        })?;
        let wrong = |text: &dyn std::fmt::Display| Failure::input(text.to_string());
        let templates =
            Templates::load(self.templates.as_deref()).map_err(|error| wrong(&error))?;
        let example = example::notification(template, self.channel, &self.language);
        if self.channel == NotificationType::Webhook {
            let event = orderstream_notifier::cloud_event(&example);
            output::line(&format!("{event:#}"));
            return Ok(());
        }
        let said = templates.render(&example).map_err(|error| wrong(&error))?;
        match (self.part, self.channel) {
            (Part::Html, NotificationType::Email) => {
                let html = templates.html(&said, Some(&self.language));
                output::line(html.map_err(|error| wrong(&error))?.trim_end());
            }
            (Part::Text | Part::Html, NotificationType::Sms) => output::line(&said.text),
            (Part::Text | Part::Html, _) => {
                output::line(&format!("{}\n\n{}", said.subject, said.text));
            }
        }
        Ok(())
    }
}
