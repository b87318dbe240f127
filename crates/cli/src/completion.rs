//! Completions for shells, and man pages: both are generated from the commands.

use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::CliError;
use crate::output;

/// `orderstream completion SHELL`
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// The shell; `source <(orderstream completion bash)` tries it at once
    shell: SupportedShell,
}

/// The supported shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SupportedShell {
    /// Into `~/.local/share/bash-completion/completions/orderstream`
    Bash,
    /// Into a folder of `$fpath`, as `_orderstream`
    Zsh,
    /// Into `~/.config/fish/completions/orderstream.fish`
    Fish,
}

impl CompletionArgs {
    /// Prints the completions of a command.
    pub fn run(self, mut command: Command) {
        let shell = match self.shell {
            SupportedShell::Bash => Shell::Bash,
            SupportedShell::Zsh => Shell::Zsh,
            SupportedShell::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, "orderstream", &mut script);
        output::bytes(&script);
    }
}

/// `orderstream man [DIR]`
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Folder for one page per command; when absent, the page of `orderstream` itself is printed
    dir: Option<PathBuf>,
}

impl ManArgs {
    /// Prints the page of a command, or writes one for each of its subcommands.
    ///
    /// # Errors
    /// When a page cannot be written.
    pub fn run(self, mut command: Command) -> Result<(), CliError> {
        command.build();
        let Some(dir) = self.dir else {
            output::bytes(&page(&command)?);
            return Ok(());
        };
        let wrong = |path: &Path, error: std::io::Error| {
            CliError::input(format!("{} cannot be written: {error}", path.display()))
        };
        std::fs::create_dir_all(&dir).map_err(|error| wrong(&dir, error))?;
        let mut count = 0_usize;
        for (name, command) in all_pages(&command) {
            let path = dir.join(format!("{name}.1"));
            std::fs::write(&path, page(&command)?).map_err(|error| wrong(&path, error))?;
            count = count.saturating_add(1);
        }
        output::line(&format!("{count} pages in {}", dir.display()));
        Ok(())
    }
}

/// Returns the command and each of its subcommands, under the names of their pages.
fn all_pages(command: &Command) -> Vec<(String, Command)> {
    let mut pages = vec![("orderstream".to_owned(), command.clone())];
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let name = format!("orderstream-{}", verb.get_name());
        pages.push((name, verb.clone()));
    }
    pages
}

fn page(command: &Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    let rendered = Man::new(command.clone()).render(&mut page);
    rendered.map_err(|error| CliError::unexpected(error.to_string()))?;
    Ok(page)
}
