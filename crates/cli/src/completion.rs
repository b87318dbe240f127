//! Completions for shells, and man pages: both are made from the commands. A shell runs the program
//! for each completion, so that it knows the orders, sellers and proposals of the servers.

mod candidates;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Command;
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;
use clap_mangen::Man;

use crate::exit::CliError;
use crate::output;

/// The name of the program, as it is completed.
const PROGRAM: &str = "orderstream";
/// The variable with which a shell asks for candidates.
const VARIABLE: &str = "COMPLETE";

/// Answers a shell that asks for candidates, and ends the process then. Does nothing in a process
/// that no shell has started for this.
pub fn answer(program: fn() -> Command) {
    let began = Instant::now();
    let with_candidates = move || candidates::with_candidates(program, began);
    CompleteEnv::with_factory(with_candidates).var(VARIABLE).bin(PROGRAM).complete();
}

/// `orderstream completion SHELL`
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// The shell; put the line at its name into the shell's settings
    shell: SupportedShell,
}

/// The supported shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SupportedShell {
    /// `source <(orderstream completion bash)`, into `~/.bashrc`
    Bash,
    /// `source <(orderstream completion zsh)`, into `~/.zshrc` behind `compinit`
    Zsh,
    /// `orderstream completion fish | source`, into `~/.config/fish/config.fish`
    Fish,
    /// `eval (orderstream completion elvish | slurp)`, into `~/.config/elvish/rc.elv`
    Elvish,
    /// `orderstream completion powershell | Out-String | Invoke-Expression`, into `$PROFILE`
    Powershell,
}

impl SupportedShell {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Elvish => "elvish",
            Self::Powershell => "powershell",
        }
    }
}

impl CompletionArgs {
    /// Prints the script that makes a shell ask this program for candidates.
    ///
    /// # Errors
    /// When the script cannot be made.
    pub fn run(&self) -> Result<(), CliError> {
        let failed = |error: io::Error| CliError::unexpected(error.to_string());
        let (shells, name) = (Shells::builtins(), self.shell.as_str());
        let shell = shells.completer(name);
        let shell = shell.ok_or_else(|| failed(io::Error::other(format!("no shell {name}"))))?;
        let mut script = Vec::new();
        let started = started_program();
        shell
            .write_registration(VARIABLE, PROGRAM, PROGRAM, &started, &mut script)
            .map_err(failed)?;
        output::bytes(&script);
        Ok(())
    }
}

/// Returns the program as it was started: its name where the shell found it, else its path.
fn started_program() -> String {
    let started = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if started.components().count() <= 1 {
        return PROGRAM.to_owned();
    }
    std::path::absolute(&started).unwrap_or(started).display().to_string()
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
        let wrong = |path: &Path, error: io::Error| {
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
    let is_listed = |verb: &&Command| verb.get_name() != "help" && !verb.is_hide_set();
    for verb in command.get_subcommands().filter(is_listed) {
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
