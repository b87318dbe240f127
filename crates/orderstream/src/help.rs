//! The help of the program: its commands in groups, and examples for each command.

use clap::Command;
use clap::builder::styling::Style;

/// The title of a group, and the word before the description of each of its commands.
const SIDES: [(&str, &str); 2] = [("Buyers", "Buyer: "), ("Sellers", "Seller: ")];
/// The titles of the other groups, and their commands.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Resources", &["apply", "get", "list", "watch", "wait", "delete", "lint"]),
    ("Roles", &["dev", "processor", "requestor", "controller"]),
    ("Operators", &["check", "prove", "notify", "journal", "crd", "rbac", "metrics", "openapi"]),
    ("Help", &["explain", "schema", "completion", "man", "version"]),
];
/// The title of the group of all commands that no other group has.
const OTHERS: &str = "Others";
/// The examples of the program itself.
const FIRST: [&str; 4] = [
    "orderstream dev --apply examples/sellers.yaml examples/office-chairs.yaml",
    "orderstream submit --title 'Office chairs' --item CHAIR-01:40 --expires-in 2d",
    "orderstream compare office-chairs",
    "orderstream award office-chairs chairs-rosenheim --undo-within 10m",
];
/// The columns of a line of help.
const LINE_WIDTH: usize = 80;

/// Returns the program with its commands in groups, and with examples.
pub(crate) fn with_help(program: Command) -> Command {
    let template = template(&program);
    program.help_template(template).mut_subcommands(|verb| {
        let examples = examples(verb.get_name());
        if examples.is_empty() {
            return verb;
        }
        let header = *verb.get_styles().get_header();
        verb.after_help(example_lines(header, examples))
    })
}

fn template(program: &Command) -> String {
    let styles = program.get_styles();
    let (header, literal) = (*styles.get_header(), *styles.get_literal());
    let visible: Vec<&Command> = program.get_subcommands().filter(|it| !it.is_hide_set()).collect();
    let width = visible.iter().map(|command| command.get_name().len()).max().unwrap_or_default();
    let mut text = format!(
        "{{about-with-newline}}\n{}\n\n{{usage-heading}} {{usage}}\n\n",
        example_lines(header, &FIRST)
    );
    let titles = SIDES.iter().map(|(title, _)| *title);
    let titles = titles.chain(GROUPS.iter().map(|(title, _)| *title)).chain([OTHERS]);
    for title in titles {
        let commands = visible.iter().filter(|command| group_of(command) == title);
        let lines: Vec<String> =
            commands.map(|command| command_lines(command, width, literal)).collect();
        if !lines.is_empty() {
            text.push_str(&format!("{header}{title}:{header:#}\n{}\n", lines.concat()));
        }
    }
    text.push_str(&format!("{header}Options:{header:#}\n{{options}}{{after-help}}"));
    text
}

/// Returns the title of a command's group.
fn group_of(command: &Command) -> &'static str {
    let about = about(command);
    let side = SIDES.iter().find(|(_, word)| about.starts_with(*word)).map(|(title, _)| *title);
    let is_listed = |(_, names): &&(&str, &[&str])| names.contains(&command.get_name());
    let group = || GROUPS.iter().find(is_listed).map(|(title, _)| *title);
    side.or_else(group).unwrap_or(OTHERS)
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// Returns the lines of a command: its name and its description, which wraps.
fn command_lines(command: &Command, width: usize, literal: Style) -> String {
    let about = about(command);
    let described = SIDES.iter().find_map(|(_, word)| about.strip_prefix(*word)).unwrap_or(&about);
    let indent = width.saturating_add(4);
    let (name, text) = (command.get_name(), capitalised(described));
    let lines = wrapped(&text, LINE_WIDTH.saturating_sub(indent));
    let rest = format!("\n{}", " ".repeat(indent));
    format!("  {literal}{name:<width$}{literal:#}  {}\n", lines.join(&rest))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

/// Breaks a text into lines of at most a width, where its words allow it.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len().saturating_add(word.len()) < width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn example_lines(header: Style, examples: &[&str]) -> String {
    let lines: Vec<String> = examples.iter().map(|example| format!("  {example}")).collect();
    format!("{header}Examples:{header:#}\n{}", lines.join("\n"))
}

/// Returns the examples of a command.
fn examples(command: &str) -> &'static [&'static str] {
    match command {
        "submit" => &[
            "orderstream submit --title 'Office chairs' --item CHAIR-01:40 --expires-in 2d",
            "orderstream submit -f examples/office-chairs.yaml",
        ],
        "status" => &["orderstream status office-chairs", "orderstream status OR-2041 -o json"],
        "compare" => &["orderstream compare office-chairs", "orderstream compare OR-2041 -o csv"],
        "why" => &["orderstream why office-chairs"],
        "conversation" => &["orderstream conversation office-chairs --open"],
        "ask" => &[
            "orderstream ask office-chairs 'Yes, by you.' --answers q-1",
            "orderstream ask office-chairs 'Which colours?' --to chairs-rosenheim",
        ],
        "extend" => &["orderstream extend office-chairs --by 2d"],
        "pause" => &["orderstream pause office-chairs --reason 'stock-taking'"],
        "resume" => &["orderstream resume office-chairs"],
        "award" => &[
            "orderstream award office-chairs chairs-rosenheim --undo-within 10m",
            "orderstream award office-chairs --line CHAIR-01=p-2 --line MAT-01=p-1",
            "orderstream award office-chairs --none --reason 'too expensive'",
        ],
        "undo-award" => &["orderstream undo-award office-chairs"],
        "close" => &["orderstream close office-chairs --reason 'no budget'"],
        "cancel" => &["orderstream cancel office-chairs --yes"],
        "inbox" => &["orderstream inbox --seller acme", "orderstream inbox --seller acme --watch"],
        "propose" => &[
            "orderstream propose OR-2041 --seller acme --currency EUR --price 6999.00",
            "orderstream propose OR-2041 --seller acme --currency EUR --line CHAIR:40=5200",
        ],
        "amend" => &["orderstream amend OR-2041 p-1 --seller acme --delivery-date 2030-01-08"],
        "withdraw" => &["orderstream withdraw OR-2041 p-1 --seller acme --reason 'sold out'"],
        "decline" => &["orderstream decline OR-2041 --seller acme --reason 'too far away'"],
        "question" => &["orderstream question OR-2041 'Is assembly included?' --seller acme"],
        "answer" => &["orderstream answer OR-2041 f-1 'In oak, too.' --seller acme"],
        "lock" => &["orderstream lock OR-2041 p-1 --seller acme --for 10m"],
        "unlock" => &["orderstream unlock OR-2041 p-1 --seller acme"],
        "seen" => &["orderstream seen OR-2041 --seller acme"],
        other => resource_examples(other),
    }
}

/// Returns the examples of a command that is not of one side.
fn resource_examples(command: &str) -> &'static [&'static str] {
    match command {
        "apply" => &[
            "orderstream apply examples/sellers.yaml examples/office-chairs.yaml",
            "orderstream apply -f manifests/",
        ],
        "get" => &["orderstream get office-chairs -o yaml"],
        "list" => &[
            "orderstream list --sort expires",
            "orderstream list --phase Paused -o wide",
            "orderstream list --watch",
        ],
        "watch" => &["orderstream watch office-chairs --after 7"],
        "wait" => &["orderstream wait office-chairs --for proposals=3 --timeout 10m"],
        "delete" => &["orderstream delete office-chairs", "orderstream delete seller/acme"],
        "lint" => &["orderstream lint examples/office-chairs.yaml"],
        "dev" => &[
            "orderstream dev --apply examples/office-chairs.yaml",
            "orderstream dev --sellers 0 --data-dir /tmp/orders",
        ],
        "processor" => &["orderstream processor --data-dir ./data --sellers sellers.yaml"],
        "requestor" => &["orderstream requestor --processor http://127.0.0.1:50051"],
        "controller" => &["orderstream controller --processor http://127.0.0.1:50051"],
        "check" => &["orderstream check --wait 60s"],
        "prove" => &["orderstream prove --sellers-rest http://orderstream-processor:8005"],
        "notify" => &[
            "orderstream notify pending office-chairs",
            "orderstream notify replay --all",
            "orderstream notify preview invitation --language de",
        ],
        "journal" => &["orderstream journal verify ./data"],
        "crd" => &["orderstream crd"],
        "rbac" => &["orderstream rbac"],
        "metrics" => &["orderstream metrics"],
        "openapi" => &["orderstream openapi processor"],
        "explain" => &["orderstream explain ORDER_SEALED"],
        "schema" => &["orderstream schema status"],
        "completion" => &["orderstream completion bash"],
        "man" => &["orderstream man ./man"],
        "version" => &["orderstream version"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    /// Splits a line at blanks; a text in single quotes is one word.
    fn words(line: &str) -> Vec<&str> {
        let parts = line.split('\'').enumerate();
        parts
            .flat_map(|(index, part)| match index % 2 {
                0 => part.split_whitespace().collect::<Vec<_>>(),
                _ => vec![part],
            })
            .collect()
    }

    fn visible(program: &Command) -> impl Iterator<Item = &Command> {
        program.get_subcommands().filter(|command| !command.is_hide_set())
    }

    #[test]
    fn every_example_can_be_run() {
        let program = cli::program();
        for command in visible(&program) {
            let name = command.get_name();
            let examples = examples(name);
            assert!(!examples.is_empty(), "{name} has no example");
            for example in examples {
                let start = format!("orderstream {name}");
                assert!(example.starts_with(&start) && example.len() < 78, "{example}");
                let parsed = program.clone().try_get_matches_from(words(example));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            }
        }
        for example in FIRST {
            assert!(program.clone().try_get_matches_from(words(example)).is_ok(), "{example}");
        }
    }

    #[test]
    fn every_command_is_in_a_group() {
        let help = cli::program().render_help().to_string();
        let groups = ["Buyers:", "Sellers:", "Resources:", "Roles:", "Operators:", "Help:"];
        let places: Vec<usize> = groups.iter().map(|title| help.find(title).unwrap()).collect();
        assert!(places.is_sorted() && !help.contains("Others:"), "{help}");
        for command in visible(&cli::program()) {
            let line = format!("\n  {} ", command.get_name());
            assert!(help.contains(&line), "{line}: {help}");
        }
        assert!(help.contains("\nOptions:\n") && help.contains("Exit codes: 0 done"), "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }

    #[test]
    fn descriptions_wrap_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 4), ["unbreakable"]);
        assert_eq!(capitalised("show it"), "Show it");
    }
}
