//! Logs, to standard error: text for people, JSON for machines.

use std::io::IsTerminal as _;

use orderstream_cli::exit::CliError;
use tracing_subscriber::EnvFilter;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// Starts logging. `ORDERSTREAM_LOG` filters as `RUST_LOG` does; by default roles log at info
/// level, `dev` and verbs warnings and errors only.
pub(crate) fn start(format: LogFormat, kind: CommandKind) -> Result<(), CliError> {
    let default = match kind {
        // Failures of the Kubernetes client are logged by our own code, with their purpose.
        CommandKind::Role => "info,kube_client=off,kube_runtime=off",
        // Its first lines say that there is no authorisation.
        CommandKind::Dev => "warn,orderstream_processor::service=error",
        CommandKind::Verb => "warn,kube_client=off",
    };
    let filter = match std::env::var("ORDERSTREAM_LOG") {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|error| CliError::input(format!("ORDERSTREAM_LOG '{text}': {error}")))?,
        Err(_) => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default)),
    };
    // Colours are for people at a terminal, not for files and log collectors.
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // A log on a full disk loses its lines: the report of that would panic, since it cannot be
        // written either.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => logs.with_target(false).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    started.map_err(|error| CliError::unexpected(format!("cannot log: {error}")))
}

/// The kind of command, which decides what is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// A role that runs until it is stopped.
    Role,
    /// `dev`, which prints events in place of logging calls.
    Dev,
    /// A command that does one thing and ends.
    Verb,
}
