//! A page for each command of the command line, and their index.

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};

use super::ReferencePage;
use super::markdown::{cell, code, head, row};

/// The flags that every command has.
const COMMON: [&str; 2] = ["help", "version"];

/// Returns the pages of a program that is built.
pub(super) fn pages(program: &Command) -> Vec<ReferencePage> {
    let mut pages = vec![index(program)];
    for command in listed(program) {
        let mut text = String::new();
        add_command(&mut text, command, "#");
        pages.push(ReferencePage { path: format!("cli/{}.md", command.get_name()), text });
    }
    pages
}

/// Returns the commands of a program that its help lists.
pub(super) fn listed(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|it| it.get_name() != "help" && !it.is_hide_set())
}

/// Returns the arguments of a command that its help lists, but for `--help` and `--version`.
pub(super) fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_listed = |arg: &&Arg| !arg.is_hide_set() && !COMMON.contains(&arg.get_id().as_str());
    command.get_arguments().filter(is_listed)
}

fn index(program: &Command) -> ReferencePage {
    let mut text = String::from(
        "# Commands\n\nMade from the code by `cargo xtask codegen`. `orderstream COMMAND --help` \
         prints the same, and `orderstream man DIR` writes man pages. [The command \
         line](../../cli.md) explains the whole.\n\n",
    );
    head(&mut text, &["command", "purpose"]);
    for command in listed(program) {
        let name = command.get_name();
        let link = format!("[{name}]({name}.md)");
        row(&mut text, &[&link, &cell(&plain(command.get_about()))]);
    }
    if let Some(note) = program.get_after_long_help().or_else(|| program.get_after_help()) {
        add_block(&mut text, &plain(Some(note)));
    }
    ReferencePage { path: "cli/README.md".to_owned(), text }
}

/// Adds a command, and those below it; `mark` begins its heading.
fn add_command(page: &mut String, command: &Command, mark: &str) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    page.push_str(&format!("{mark} {name}\n"));
    let about = plain(command.get_long_about().or_else(|| command.get_about()));
    if !about.is_empty() {
        page.push_str(&format!("\n{}.\n", about.trim_end_matches('.')));
    }
    add_block(page, &usage(command));
    add_tables(page, command, mark);
    if let Some(note) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        add_block(page, &plain(Some(note)));
    }
    for nested in listed(command) {
        page.push('\n');
        add_command(page, nested, &format!("{mark}#"));
    }
}

/// Adds a text as it stands.
fn add_block(page: &mut String, text: &str) {
    page.push_str("\n```text\n");
    for line in text.trim().lines() {
        page.push_str(line.trim_end());
        page.push('\n');
    }
    page.push_str("```\n");
}

/// Returns the usage of a command, without the blanks that align it.
fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let lines = usage.trim_start_matches("Usage:").lines().map(str::trim);
    lines.collect::<Vec<_>>().join("\n")
}

/// Adds a table for the arguments, and one for the flags below each heading.
fn add_tables(page: &mut String, command: &Command, mark: &str) {
    let mut groups: Vec<(&str, Vec<&Arg>)> = Vec::new();
    let positional = arguments(command).filter(|arg| arg.is_positional());
    let flags = arguments(command).filter(|arg| !arg.is_positional());
    for arg in positional.chain(flags) {
        let name = match arg.get_help_heading() {
            Some(heading) => heading,
            None if arg.is_positional() => "Arguments",
            None => "Options",
        };
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, args)) => args.push(arg),
            None => groups.push((name, vec![arg])),
        }
    }
    for (name, args) in groups {
        page.push_str(&format!("\n{mark}# {name}\n\n"));
        let first = if name == "Arguments" { "argument" } else { "flag" };
        head(page, &[first, "meaning"]);
        for arg in args {
            let short = arg.get_short().map(|short| format!("`-{short}`, "));
            let spelling = format!("{}{}", short.unwrap_or_default(), code(&arg.to_string()));
            row(page, &[&spelling, &whole_meaning(arg)]);
        }
    }
}

/// Returns the meaning with the default and the variable.
fn whole_meaning(arg: &Arg) -> String {
    let mut text = meaning(arg);
    if let Some(default) = default(arg) {
        text.push_str(&format!(" Default: {default}."));
    }
    if let Some(variable) = variable(arg) {
        text.push_str(&format!(" Variable: {}.", code(&variable)));
    }
    text
}

/// Returns the help of an argument, with its values, and whether it has to be given or is repeated.
pub(super) fn meaning(arg: &Arg) -> String {
    let help = cell(&plain(arg.get_long_help().or_else(|| arg.get_help())));
    let mut text = format!("{}.", help.trim_end_matches('.'));
    let values = values(arg);
    if !values.is_empty() {
        text.push_str(&format!(" Values: {}.", values.join("; ")));
    }
    if arg.is_required_set() && !arg.is_positional() {
        text.push_str(" Required.");
    }
    if matches!(arg.get_action(), ArgAction::Append) && !arg.is_positional() {
        text.push_str(" Repeatable.");
    }
    text
}

fn values(arg: &Arg) -> Vec<String> {
    if arg.is_hide_possible_values_set() {
        return Vec::new();
    }
    let values = arg.get_possible_values();
    let listed = values.iter().filter(|value| !value.is_hide_set());
    let described = listed.map(|value| match value.get_help() {
        Some(help) => {
            let help = plain(Some(help));
            format!("{} ({})", code(value.get_name()), cell(help.trim_end_matches('.')))
        }
        None => code(value.get_name()),
    });
    described.collect()
}

/// Returns the default, as code; `None` for a switch, and where there is none.
pub(super) fn default(arg: &Arg) -> Option<String> {
    if arg.is_hide_default_value_set() || !arg.get_action().takes_values() {
        return None;
    }
    let values = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| code(&values.join(" ")))
}

/// Returns the variable that stands for an argument.
pub(super) fn variable(arg: &Arg) -> Option<String> {
    if arg.is_hide_env_set() {
        return None;
    }
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

fn plain(text: Option<&StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let colour = Arg::new("colour").long("colour").short('c').env("PAINT_COLOUR");
        let colour = colour.default_value("red").value_parser(["red", "blue"]).help("The colour.");
        let wall = Arg::new("wall").required(true).help("The wall");
        let times = Arg::new("times").long("time").action(ArgAction::Append).help("A time");
        let paint = Command::new("paint").about("Paint a wall").args([colour, wall, times]);
        let paint = paint.override_usage("brush paint <WALL>\n       brush paint --time <A|B>");
        let hidden = Command::new("secret").hide(true);
        let mut program = Command::new("brush").subcommands([paint, hidden]);
        program.build();
        program
    }

    #[test]
    fn pages_have_usage_arguments_and_flags() {
        let pages = pages(&program());
        let paths: Vec<&str> = pages.iter().map(|page| page.path.as_str()).collect();
        assert_eq!(paths, ["cli/README.md", "cli/paint.md"]);
        assert!(pages[0].text.ends_with("| [paint](paint.md) | Paint a wall |\n"));
        let expected = "# brush paint\n\nPaint a wall.\n\n```text\nbrush paint <WALL>\n\
                        brush paint --time <A|B>\n```\n\n## Arguments\n\n| argument | meaning |\n\
                        |---|---|\n| `<wall>` | The wall. |\n\n## Options\n\n| flag | meaning |\n\
                        |---|---|\n| `-c`, `--colour <colour>` | The colour. Values: `red`; `blue`. \
                        Default: `red`. Variable: `PAINT_COLOUR`. |\n\
                        | `--time <times>` | A time. Repeatable. |\n";
        assert_eq!(pages[1].text, expected);
    }
}
