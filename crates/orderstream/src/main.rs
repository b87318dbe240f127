//! One binary: each role and each verb is a subcommand. It wires the crates together and decides
//! nothing.

mod admin;
mod check;
mod cli;
mod clock;
mod completion;
mod config;
mod exit;
mod explain;
mod journal;
mod lint;
mod listen;
mod metrics;
mod notify;
mod output;
mod prove;
mod roles;
mod schema;
mod shutdown;
mod telemetry;
mod verbs;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A wrong flag ends here with code 2: clap names it, and suggests the right one.
    let matches = match cli::OrderstreamCli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return cli::report_parse_error(&error),
    };
    let cli = match cli::OrderstreamCli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return cli::report_parse_error(&error),
    };
    match run(cli, &matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error(&failure);
            failure.exit_code()
        }
    }
}

fn run(cli: cli::OrderstreamCli, matches: &clap::ArgMatches) -> Result<(), exit::CliError> {
    telemetry::start(cli.log_format, cli.command.kind())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| exit::CliError::unexpected(format!("cannot start: {error}")))?;
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    runtime.block_on(cli.command.run(cli.config.as_deref(), matches))
}
