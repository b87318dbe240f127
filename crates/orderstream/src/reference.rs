//! The pages of `docs/reference` that are made from the code: commands, settings, events.
//! `cargo xtask codegen` writes them.

mod commands;
mod events;
mod markdown;
mod settings;

use clap::Command;
use orderstream_cli::exit::CliError;

/// A page of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReferencePage {
    /// The path under `docs/reference`.
    path: String,
    /// The text, in Markdown.
    text: String,
}

/// Returns the pages as one text. A comment with its path precedes each page.
///
/// # Errors
/// When an example of an event cannot be read.
pub(crate) fn pages(program: &Command) -> Result<String, CliError> {
    let mut program = program.clone();
    program.build();
    let mut pages = commands::pages(&program);
    pages.push(settings::page(&program));
    pages.push(events::page()?);
    let marked = |page: ReferencePage| format!("<!-- {} -->\n{}", page.path, page.text);
    Ok(pages.into_iter().map(marked).collect())
}

#[cfg(test)]
mod tests {
    use crate::cli;

    #[test]
    fn every_command_has_a_page() {
        let program = cli::program();
        let pages = super::pages(&program).unwrap();
        for name in program.get_subcommands().filter(|it| !it.is_hide_set()) {
            let name = name.get_name();
            let head = format!("<!-- cli/{name}.md -->\n# orderstream {name}\n\n");
            assert!(pages.contains(&head), "{name} has no page");
            assert!(pages.contains(&format!("({name}.md)")), "the index has no {name}");
        }
        assert!(!pages.contains("<!-- cli/help.md -->"), "it is not a command of ours");
    }

    #[test]
    fn pages_end_lines_and_tables_properly() {
        let pages = super::pages(&cli::program()).unwrap();
        assert!(!pages.contains("\n\n\n") && !pages.contains(" \n"), "blanks that nobody sees");
        for line in pages.lines().filter(|line| line.starts_with("| ")) {
            assert!(line.ends_with(" |"), "{line}");
        }
    }
}
