//! The page of settings: the flags of the roles, which are keys of their files too, and every
//! variable.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Command};

use super::ReferencePage;
use super::commands::{arguments, default, listed, meaning, variable};
use super::markdown::{code, head, row};
use crate::cli::CommonArgs;
use crate::roles::dev;

/// The most commands that are listed by name beside a variable.
const NAMED_MAX: usize = 4;

/// The variables that are no flag's, each with its meaning.
const OTHER_VARIABLES: [(&str, &str); 8] = [
    (
        "ORDERSTREAM_LOG",
        "The filter of the log, such as `warn` or `info,orderstream_processor=debug`, in the \
         grammar of `RUST_LOG`, which is read where this is absent.",
    ),
    (
        "ORDERSTREAM_DATA_DIR",
        "For commands without a URL: the data folder of the `dev` whose ports they take; \
         `.orderstream` where this is absent.",
    ),
    (
        "HTTPS_PROXY, HTTP_PROXY",
        "The proxies of notifications over HTTP, to targets with `https` and with `http`, such as \
         `http://user:password@proxy.example.com:3128`; in small letters too.",
    ),
    (
        "NO_PROXY",
        "The targets that notifications reach without a proxy, separated by commas: names (and \
         all below them), addresses, networks such as `10.0.0.0/8`, each with a port if you like, \
         or `*`; in small letters too.",
    ),
    ("KUBECONFIG", "The kubeconfig where no flag gives one."),
    ("TZ", "The time zone in which times are printed for people, such as `Europe/Berlin`."),
    ("NO_COLOR", "Set to anything: no colours."),
    ("CLICOLOR_FORCE", "Set to `1`: colours in a pipe too."),
];

/// A role, or `dev`, with the flags that are keys of its file.
struct RoleSettings {
    name: &'static str,
    flags: Command,
}

impl RoleSettings {
    fn of<T: Args>(name: &'static str) -> Self {
        let mut flags = T::augment_args(Command::new(name));
        flags.build();
        Self { name, flags }
    }
}

fn roles() -> [RoleSettings; 4] {
    [
        RoleSettings::of::<orderstream_processor::Config>("processor"),
        RoleSettings::of::<orderstream_requestor::Config>("requestor"),
        RoleSettings::of::<orderstream_controller::Config>("controller"),
        RoleSettings::of::<dev::Config>("dev"),
    ]
}

/// Returns the page; the program is built.
pub(super) fn page(program: &Command) -> ReferencePage {
    let mut text = String::from(
        "# Settings\n\nMade from the code by `cargo xtask codegen`.\n\nEach setting of a role is \
         a flag, a variable, and a key of the file that `--config` names: the key is the flag \
         without its dashes. A flag wins over its variable, and both win over the file. An \
         unknown key, or a wrong value, ends the start with code 2 and a message that names it.\n\
         \n```yaml\n# orderstream processor --config processor.yaml\ndata-dir: \
         /var/lib/orderstream\nrest-addr: \"127.0.0.1:8005\"\nkeep-ended: 90d\n```\n",
    );
    for RoleSettings { name, flags } in roles() {
        text.push_str(&format!("\n## {name}\n\n"));
        add_flags(&mut text, &flags);
    }
    text.push_str("\n## Every role\n\nThese are not keys of the file.\n\n");
    add_flags(&mut text, &RoleSettings::of::<CommonArgs>("role").flags);
    add_variables(&mut text, program);
    text.push_str("\n## Other variables\n\n");
    head(&mut text, &["variable", "meaning"]);
    for (variable, meaning) in OTHER_VARIABLES {
        row(&mut text, &[&code(variable), meaning]);
    }
    text.push_str(
        "\nThe keys of `--notify-config` are on the page of [notifications](../notifications.md), \
         and the chart's values on [its own page](../../deploy/helm/orderstream/README.md).\n",
    );
    ReferencePage { path: "configuration.md".to_owned(), text }
}

fn add_flags(text: &mut String, flags: &Command) {
    head(text, &["flag", "variable", "default", "meaning"]);
    for arg in arguments(flags) {
        let variable = variable(arg).map(|name| code(&name)).unwrap_or_default();
        let default = default(arg).unwrap_or_default();
        row(text, &[&code(&arg.to_string()), &variable, &default, &meaning(arg)]);
    }
}

/// Adds the variables of the commands, but for those of the roles.
fn add_variables(text: &mut String, program: &Command) {
    let roles = roles().map(|role| role.name);
    let mut variables: BTreeMap<String, CommandVariable<'_>> = BTreeMap::new();
    for command in listed(program).filter(|command| !roles.contains(&command.get_name())) {
        let nested = listed(command).flat_map(arguments);
        for arg in arguments(command).chain(nested) {
            let Some(name) = variable(arg) else { continue };
            let variable = variables.entry(name).or_insert_with(|| CommandVariable {
                flag: code(&arg.to_string()),
                meaning: meaning(arg),
                commands: BTreeSet::new(),
            });
            variable.commands.insert(command.get_name());
        }
    }
    text.push_str("\n## Commands\n\n");
    head(text, &["variable", "flag", "commands", "meaning"]);
    for (name, variable) in variables {
        let commands = variable.commands;
        let listed = if commands.len() > NAMED_MAX {
            format!("{} commands", commands.len())
        } else {
            commands.into_iter().collect::<Vec<_>>().join(", ")
        };
        row(text, &[&code(&name), &variable.flag, &listed, &variable.meaning]);
    }
}

/// A variable that stands for a flag of commands.
struct CommandVariable<'a> {
    flag: String,
    meaning: String,
    commands: BTreeSet<&'a str>,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The page gives the flags as the keys of the file.
    #[test]
    fn keys_of_files_are_the_flags() {
        let defaults = [
            serde_json::to_value(orderstream_processor::Config::default()),
            serde_json::to_value(orderstream_requestor::Config::default()),
            serde_json::to_value(orderstream_controller::Config::default()),
            serde_json::to_value(dev::Config::default()),
        ];
        for (role, default) in roles().into_iter().zip(defaults) {
            let default: Value = default.unwrap();
            let keys: BTreeSet<&str> =
                default.as_object().unwrap().keys().map(String::as_str).collect();
            let flags: BTreeSet<&str> =
                arguments(&role.flags).filter_map(clap::Arg::get_long).collect();
            assert_eq!(keys, flags, "{}", role.name);
        }
    }

    #[test]
    fn settings_have_their_variable_and_default() {
        use clap::CommandFactory as _;
        let mut program = crate::cli::OrderstreamCli::command();
        program.build();
        let page = page(&program).text;
        for row in [
            "| `--rest-addr <REST_ADDR>` | `ORDERSTREAM_REST_ADDR` | `[::]:8005` | ",
            "| `--log-format <LOG_FORMAT>` | `ORDERSTREAM_LOG_FORMAT` | `text` | ",
            "| `ORDERSTREAM_SELLER` | `--seller <NAME>` | ",
        ] {
            assert!(page.contains(row), "{row} is missing in:\n{page}");
        }
    }
}
