//! One binary: each role and each verb is a subcommand. It wires the crates together and decides
//! nothing.

mod admin;
mod cli;
mod config;
mod help;
mod listen;
mod metrics;
mod reference;
mod roles;
mod shutdown;
mod telemetry;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use orderstream_cli::output::ErrorFormat;
use orderstream_cli::{completion, exit, output};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A shell that asks for candidates gets them here, and nothing else happens.
    completion::answer(cli::program);
    let errors = ErrorFormat::of_args(std::env::args_os());
    // A wrong flag ends here with code 2: clap names it, and suggests the right one.
    let matches = match cli::program().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return cli::report_parse_error(error, errors),
    };
    let cli = match cli::OrderstreamCli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return cli::report_parse_error(error, errors),
    };
    match run(cli, &matches).and_then(|()| output::check_written()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error(&failure, errors);
            failure.exit_code()
        }
    }
}

fn run(cli: cli::OrderstreamCli, matches: &clap::ArgMatches) -> Result<(), exit::CliError> {
    telemetry::start(cli.command.log_format(), cli.command.kind())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| exit::CliError::unexpected(format!("cannot start: {error}")))?;
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    runtime.block_on(cli.command.run(matches))
}
