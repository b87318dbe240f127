//! The commands, their flags, and the code that runs each.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, Parser, Subcommand};
use orderstream_cli::check::CheckArgs;
use orderstream_cli::completion::{CompletionArgs, ManArgs};
use orderstream_cli::exit::CliError;
use orderstream_cli::explain::ExplainArgs;
use orderstream_cli::journal::JournalCommand;
use orderstream_cli::lint::LintArgs;
use orderstream_cli::notify::NotifyArgs;
use orderstream_cli::prove::ProveArgs;
use orderstream_cli::schema::SchemaArgs;
use orderstream_cli::{output, verbs};

use crate::config::merged;
use crate::telemetry::{CommandKind, LogFormat};
use crate::{metrics, roles};

/// Requests for quotation: a buyer asks, sellers propose, and every event is numbered and durable.
#[derive(Debug, Parser)]
#[command(name = "orderstream", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 unexpected, 2 wrong input, 3 expired or timed out, \
                        4 refused, 5 server not reached, 6 checks failed.")]
pub(crate) struct OrderstreamCli {
    /// Log format
    #[arg(long, global = true, env = "ORDERSTREAM_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// File with the same keys as the role's flags; flags and variables win over it
    #[arg(long, global = true, env = "ORDERSTREAM_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The command to run
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// The commands of the binary.
#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Own orders: decide, store, stream
    Processor {
        /// The role's settings.
        #[command(flatten)]
        config: orderstream_processor::Config,
        /// The flags for scripts.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Serve buyers and follow their orders, without Kubernetes
    Requestor {
        /// The role's settings.
        #[command(flatten)]
        config: orderstream_requestor::Config,
        /// The flags for scripts.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Reconcile the orders of a cluster with their OrderRequest resources
    Controller {
        /// The role's settings.
        #[command(flatten)]
        config: orderstream_controller::Config,
        /// The flags for scripts.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Run everything in one process, on a laptop
    Dev {
        /// The role's settings.
        #[command(flatten)]
        config: roles::dev::Config,
        /// The flags for scripts.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Check an installation on a cluster
    Check(CheckArgs),
    /// Run one whole order on a cluster, from apply to award
    Prove(ProveArgs),
    /// Preview notifications and their templates
    Notify(NotifyArgs),
    /// Verify a journal that no process has open, and salvage what is whole
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Print the custom resource definitions
    Crd,
    /// Print the reference of all metrics
    Metrics,
    /// Print the rights that the controller needs on a cluster
    Rbac,
    /// Print a service's OpenAPI document
    #[command(name = "openapi")]
    OpenApi {
        /// The service whose REST API is described
        service: OpenApiService,
    },
    /// Create or change order requests from manifests
    Apply(verbs::ApplyArgs),
    /// Show one order request
    Get(verbs::GetArgs),
    /// Show all order requests
    List(verbs::ListArgs),
    /// Follow an order request until its end
    Watch(verbs::WatchArgs),
    /// Wait until an order request reaches a state
    Wait(verbs::WaitArgs),
    /// Delete an order request, which cancels its order
    Delete(verbs::DeleteArgs),
    #[command(flatten)]
    Buyer(verbs::BuyerVerb),
    #[command(flatten)]
    Seller(verbs::SellerVerb),
    /// Check manifests without a server, with line and column
    Lint(LintArgs),
    /// Explain a reason and its fix
    Explain(ExplainArgs),
    /// Print the JSON Schema of a verb's output with `-o json`
    Schema(SchemaArgs),
    /// Print the completions for a shell
    Completion(CompletionArgs),
    /// Print the man page, or write one for each command
    Man(ManArgs),
}

/// A service with a REST API.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum OpenApiService {
    /// The sellers' API
    Processor,
    /// The buyers' API
    Requestor,
}

/// The flags for scripts that every role has.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CommonArgs {
    /// File to which the bound addresses are written, as JSON
    #[arg(long, env = "ORDERSTREAM_ADDR_FILE")]
    pub(crate) addr_file: Option<PathBuf>,
}

impl CliCommand {
    /// Returns the kind of the command: a role, `dev`, or a verb.
    pub(crate) const fn kind(&self) -> CommandKind {
        match self {
            Self::Processor { .. } | Self::Requestor { .. } | Self::Controller { .. } => {
                CommandKind::Role
            }
            Self::Dev { .. } => CommandKind::Dev,
            Self::Check(_)
            | Self::Prove(_)
            | Self::Notify(_)
            | Self::Journal(_)
            | Self::Crd
            | Self::Metrics
            | Self::Rbac
            | Self::OpenApi { .. }
            | Self::Apply(_)
            | Self::Get(_)
            | Self::List(_)
            | Self::Watch(_)
            | Self::Wait(_)
            | Self::Delete(_)
            | Self::Buyer(_)
            | Self::Seller(_)
            | Self::Lint(_)
            | Self::Explain(_)
            | Self::Schema(_)
            | Self::Completion(_)
            | Self::Man(_) => CommandKind::Verb,
        }
    }

    /// Runs the command to its end.
    pub(crate) async fn run(
        self,
        file: Option<&Path>,
        matches: &ArgMatches,
    ) -> Result<(), CliError> {
        match self {
            Self::Processor { config, common } => {
                roles::processor::run(merged(config, file, matches)?, &common).await
            }
            Self::Requestor { config, common } => {
                roles::requestor::run(merged(config, file, matches)?, &common).await
            }
            Self::Controller { config, common } => {
                roles::controller::run(merged(config, file, matches)?, &common).await
            }
            Self::Dev { config, common } => {
                roles::dev::run(merged(config, file, matches)?, &common).await
            }
            Self::Check(check) => check.run().await,
            Self::Prove(prove) => prove.run().await,
            Self::Notify(notify) => notify.run(),
            Self::Journal(journal) => journal.run(),
            Self::Crd => {
                output::line(orderstream_api::crd::crds().trim_end());
                Ok(())
            }
            Self::Metrics => {
                let page = metrics::reference();
                let page = page.map_err(|error| CliError::unexpected(error.to_string()))?;
                output::line(page.trim_end());
                Ok(())
            }
            Self::Rbac => {
                output::line(orderstream_api::rbac::roles().trim_end());
                Ok(())
            }
            Self::OpenApi { service } => {
                let document = match service {
                    OpenApiService::Processor => orderstream_processor::rest::document(),
                    OpenApiService::Requestor => orderstream_requestor::rest::document(),
                };
                output::line(orderstream_rpc::problem::pretty_json(&document).trim_end());
                Ok(())
            }
            Self::Apply(verb) => verb.run().await,
            Self::Get(verb) => verb.run().await,
            Self::List(verb) => verb.run().await,
            Self::Watch(verb) => verb.run().await,
            Self::Wait(verb) => verb.run().await,
            Self::Delete(verb) => verb.run().await,
            Self::Buyer(verb) => verb.run().await,
            Self::Seller(verb) => verb.run().await,
            Self::Lint(verb) => verb.run(),
            Self::Explain(verb) => verb.run(),
            Self::Schema(verb) => verb.run(&OrderstreamCli::command()),
            Self::Completion(verb) => {
                verb.run(OrderstreamCli::command());
                Ok(())
            }
            Self::Man(verb) => verb.run(OrderstreamCli::command()),
        }
    }
}

/// Prints the fault of a command line, or the requested help. A terminal gets the full text; a
/// pod's log and termination message get one line.
pub(crate) fn report_parse_error(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    match text.strip_prefix("error: ") {
        Some(text) if !std::io::stderr().is_terminal() => {
            let failure = CliError::input(in_one_line(text));
            output::error(&failure);
            failure.exit_code()
        }
        _ => error.exit(),
    }
}

/// Returns the fault and its tips in one line, without the usage.
fn in_one_line(text: &str) -> String {
    let is_usage =
        |line: &&str| line.starts_with("Usage:") || line.starts_with("For more information");
    let lines = text.lines().take_while(|line| !is_usage(line)).map(str::trim);
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    //! Tests of the command line as a whole.

    use clap::CommandFactory as _;

    /// The line has clap's tip about the right flag, and no usage text.
    #[test]
    fn wrong_flags_take_one_line() {
        let error = super::OrderstreamCli::command()
            .try_get_matches_from(["orderstream", "processor", "--data-dri", "x"])
            .unwrap_err();
        assert_eq!(
            super::in_one_line(&error.to_string()),
            "error: unexpected argument '--data-dri' found; \
             tip: a similar argument exists: '--data-dir'"
        );
    }

    /// A verb with `-o json` has a schema, and nothing else has.
    #[test]
    fn verbs_with_json_have_a_schema() {
        let command = super::OrderstreamCli::command();
        let has_output =
            |verb: &clap::Command| verb.get_arguments().any(|arg| arg.get_id() == "output");
        let prints = command.get_subcommands().filter(|verb| {
            let prints_json = has_output(verb) || verb.get_subcommands().any(has_output);
            prints_json && !matches!(verb.get_name(), "delete" | "wait")
        });
        let mut printing: Vec<&str> = prints.map(clap::Command::get_name).collect();
        printing.sort_unstable();
        assert_eq!(printing, orderstream_cli::schema::verbs(&command));
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::OrderstreamCli::command().debug_assert();
    }
}
