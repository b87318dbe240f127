//! Logs, to standard error: text for people, JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `ORDERSTREAM_LOG` filters as `RUST_LOG` does; roles say what operators care
/// for, verbs only what went wrong.
pub(crate) fn start(format: LogFormat, kind: CommandKind) -> Result<(), Failure> {
    let default = match kind {
        // What the Kubernetes client fails in, we say ourselves, with what it was for.
        CommandKind::Role => "info,kube_client=off,kube_runtime=off",
        CommandKind::Laptop => "info,orderstream_rpc=warn",
        CommandKind::Verb => "warn,kube_client=off",
    };
    let filter = match std::env::var("ORDERSTREAM_LOG") {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|error| Failure::input(format!("ORDERSTREAM_LOG '{text}': {error}")))?,
        Err(_) => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default)),
    };
    // Colours are for people at a terminal, not for files and log collectors.
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // A log on a full disk loses its lines: what tells of that panics where it cannot be written.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => logs.with_target(false).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    started.map_err(|error| Failure::unexpected(format!("cannot log: {error}")))
}

/// What kind of command logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// Runs until it is stopped.
    Role,
    /// The same on a laptop, where events are shown, not calls.
    Laptop,
    /// Does one thing.
    Verb,
}
