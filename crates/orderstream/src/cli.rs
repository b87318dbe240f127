//! The commands, their flags, and the code that runs each.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, Command, CommandFactory as _, Parser, Subcommand};
use orderstream_cli::check::CheckArgs;
use orderstream_cli::completion::{CompletionArgs, ManArgs};
use orderstream_cli::exit::CliError;
use orderstream_cli::explain::ExplainArgs;
use orderstream_cli::journal::JournalCommand;
use orderstream_cli::lint::LintArgs;
use orderstream_cli::notify::NotifyArgs;
use orderstream_cli::output::ErrorFormat;
use orderstream_cli::prove::ProveArgs;
use orderstream_cli::schema::SchemaArgs;
use orderstream_cli::{output, verbs};
use orderstream_notifier::authorities::Authorities;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::merged;
use crate::telemetry::{CommandKind, LogFormat};
use crate::{help, metrics, reference, roles};

/// The version, the commit that it was built from where the build knows it, and the platform.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("ORDERSTREAM_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!(", commit {commit}")).unwrap_or_default();
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("{}{commit}, {arch} on {os}", env!("CARGO_PKG_VERSION"))
});

/// Requests for quotation: a buyer asks, sellers propose, and every event is numbered and durable.
#[derive(Debug, Parser)]
#[command(name = "orderstream", version, propagate_version = true)]
#[command(long_version = LONG_VERSION.as_str())]
#[command(after_help = "Exit codes: 0 done, 1 unexpected, 2 wrong input, 3 expired or timed out, \
                        4 refused, 5 server not reached, 6 checks failed, 130 interrupted.")]
pub(crate) struct OrderstreamCli {
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
        /// The flags that every role has.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Serve buyers and follow their orders, without Kubernetes
    Requestor {
        /// The role's settings.
        #[command(flatten)]
        config: orderstream_requestor::Config,
        /// The flags that every role has.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Reconcile the orders of a cluster with their OrderRequest resources
    Controller {
        /// The role's settings.
        #[command(flatten)]
        config: orderstream_controller::Config,
        /// The flags that every role has.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Run everything in one process, on a laptop
    Dev {
        /// The role's settings.
        #[command(flatten)]
        config: roles::dev::Config,
        /// The flags that every role has.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Check an installation on a cluster
    Check(CheckArgs),
    /// Run one whole order on a cluster, from apply to award
    Prove(ProveArgs),
    /// List waiting notifications and dead letters, and preview templates
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
    /// Create or change order requests and sellers from manifests
    Apply(verbs::ApplyArgs),
    /// Show one order request
    Get(verbs::GetArgs),
    /// Show all order requests
    List(verbs::ListArgs),
    /// Follow an order, event by event, to its end
    Watch(verbs::WatchArgs),
    /// Wait until an order request reaches a state
    Wait(verbs::WaitArgs),
    /// Delete an order request, which cancels its order, or a seller
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
    /// Print the script with which a shell completes commands, orders, sellers and proposals
    Completion(CompletionArgs),
    /// Print the man page, or write one for each command
    Man(ManArgs),
    /// Print the version, the commit and the platform
    Version,
    /// Print the pages of the reference that are made from the code
    #[command(hide = true)]
    Reference,
}

/// A service with a REST API.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum OpenApiService {
    /// The sellers' API
    Processor,
    /// The buyers' API
    Requestor,
}

/// The flags that every role has, beside its settings.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CommonArgs {
    /// Log format
    #[arg(long, env = "ORDERSTREAM_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// File with the same keys as the role's flags; flags and variables win over it
    #[arg(long, env = "ORDERSTREAM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// File to which the bound addresses are written, as JSON
    #[arg(long, env = "ORDERSTREAM_ADDR_FILE")]
    pub(crate) addr_file: Option<PathBuf>,
    /// PEM file, or folder of PEM files, of authorities that are trusted besides the public ones, for
    /// what goes out: notifications over HTTP and mail, and MongoDB
    #[arg(long, env = "ORDERSTREAM_CA_BUNDLE", value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
}

impl CommonArgs {
    /// Returns the settings of a role: its flags, and the file for what no flag or variable gives.
    fn merged<T: Serialize + DeserializeOwned>(
        &self,
        flags: T,
        matches: &ArgMatches,
    ) -> Result<T, CliError> {
        merged(flags, self.config.as_deref(), matches)
    }

    /// Reads the authorities that are trusted besides the public ones.
    pub(crate) fn authorities(&self) -> Result<Authorities, CliError> {
        let read = self.ca_bundle.as_deref().map(Authorities::read).transpose();
        let read = read.map_err(|error| CliError::input(format!("--ca-bundle: {error}")))?;
        Ok(read.unwrap_or_default())
    }
}

impl CliCommand {
    /// Returns the arguments that only roles and `dev` have.
    const fn common(&self) -> Option<&CommonArgs> {
        match self {
            Self::Processor { common, .. }
            | Self::Requestor { common, .. }
            | Self::Controller { common, .. }
            | Self::Dev { common, .. } => Some(common),
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
            | Self::Man(_)
            | Self::Version
            | Self::Reference => None,
        }
    }

    /// Returns the kind of the command: a role, `dev`, or a verb.
    pub(crate) const fn kind(&self) -> CommandKind {
        match self.common() {
            Some(_) if matches!(self, Self::Dev { .. }) => CommandKind::Dev,
            Some(_) => CommandKind::Role,
            None => CommandKind::Verb,
        }
    }

    /// Returns the format of the log: the one that a role is given, and text for verbs.
    pub(crate) const fn log_format(&self) -> LogFormat {
        match self.common() {
            Some(common) => common.log_format,
            None => LogFormat::Text,
        }
    }

    /// Runs the command to its end.
    pub(crate) async fn run(self, matches: &ArgMatches) -> Result<(), CliError> {
        match self {
            Self::Processor { config, common } => {
                roles::processor::run(common.merged(config, matches)?, &common).await
            }
            Self::Requestor { config, common } => {
                roles::requestor::run(common.merged(config, matches)?, &common).await
            }
            Self::Controller { config, common } => {
                roles::controller::run(common.merged(config, matches)?, &common).await
            }
            Self::Dev { config, common } => {
                roles::dev::run(common.merged(config, matches)?, &common).await
            }
            Self::Check(check) => check.run().await,
            Self::Prove(prove) => prove.run().await,
            Self::Notify(notify) => notify.run().await,
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
            Self::Schema(verb) => verb.run(&program()),
            Self::Completion(verb) => verb.run(),
            Self::Man(verb) => verb.run(program()),
            Self::Version => {
                output::line(&format!("orderstream {}", *LONG_VERSION));
                Ok(())
            }
            Self::Reference => {
                output::line(reference::pages(&program())?.trim_end());
                Ok(())
            }
        }
    }
}

/// Returns the whole command line, with its help.
pub(crate) fn program() -> Command {
    help::with_help(OrderstreamCli::command())
}

/// Prints the fault of a command line, or the requested help. A terminal gets the full text; a
/// pod's log and termination message get one line, and a program gets JSON where it asks for it.
pub(crate) fn report_parse_error(error: clap::Error, format: ErrorFormat) -> ExitCode {
    let error = with_nearest_command(error);
    let text = error.to_string();
    let is_full = format == ErrorFormat::Text && std::io::stderr().is_terminal();
    match text.strip_prefix("error: ") {
        Some(text) if !is_full => {
            let failure = CliError::input(in_one_line(text));
            output::error(&failure, format);
            failure.exit_code()
        }
        _ => error.exit(),
    }
}

/// Suggests the command that is nearest to an unknown one. Clap has a measure under which `pause`
/// is nearer to `stauts` than `status`.
fn with_nearest_command(mut error: clap::Error) -> clap::Error {
    let given = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(given)) => given.clone(),
        Some(_) | None => return error,
    };
    let program = program();
    let visible = program.get_subcommands().filter(|command| !command.is_hide_set());
    if let Some(meant) = verbs::nearest(&given, visible.map(Command::get_name)) {
        let meant = ContextValue::Strings(vec![meant.to_owned()]);
        // What clap suggests is replaced.
        drop(error.insert(ContextKind::SuggestedSubcommand, meant));
    }
    error
}

/// Returns the fault and its tips in one line, without the usage.
fn in_one_line(text: &str) -> String {
    let is_usage =
        |line: &&str| line.starts_with("Usage:") || line.starts_with("For more information");
    let lines = text.lines().take_while(|line| !is_usage(line)).map(str::trim);
    let mut whole = String::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if !whole.is_empty() {
            whole.push_str(if whole.ends_with(':') { " " } else { "; " });
        }
        whole.push_str(line);
    }
    whole
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

    /// The long form has the commit and the platform, the short one is for scripts.
    #[test]
    fn versions_name_commit_and_platform() {
        let version = env!("CARGO_PKG_VERSION");
        let printed = |args: &[&str]| {
            let args = [&["orderstream"][..], args].concat();
            super::program().try_get_matches_from(args).unwrap_err().to_string()
        };
        assert_eq!(printed(&["-V"]), format!("orderstream {version}\n"));
        let long = printed(&["--version"]);
        let commit = option_env!("ORDERSTREAM_COMMIT").filter(|commit| !commit.is_empty());
        assert!(long.starts_with(&format!("orderstream {version}, ")), "{long}");
        assert!(long.trim_end().ends_with(&format!(" on {}", std::env::consts::OS)), "{long}");
        assert!(
            commit.is_none_or(|commit| long.contains(&format!(", commit {commit}, "))),
            "{long}"
        );
    }

    #[test]
    fn missing_arguments_follow_their_colon() {
        let error = super::OrderstreamCli::command()
            .try_get_matches_from(["orderstream", "award", "chairs"])
            .unwrap_err();
        let expected = "error: the following required arguments were not provided: \
                        <PROPOSAL|--line <SKU=PROPOSAL>|--none>";
        assert_eq!(super::in_one_line(&error.to_string()), expected);
    }

    #[test]
    fn mistyped_commands_come_with_the_nearest_one() {
        for (typed, meant) in [("stauts", "status"), ("verison", "version"), ("awrad", "award")] {
            let error = super::program().try_get_matches_from(["orderstream", typed]).unwrap_err();
            let text = super::in_one_line(&super::with_nearest_command(error).to_string());
            assert!(text.ends_with(&format!("a similar subcommand exists: '{meant}'")), "{text}");
        }
    }

    /// A verb with `-o json` has a schema, and nothing else has.
    #[test]
    fn verbs_with_json_have_a_schema() {
        let command = super::OrderstreamCli::command();
        let has_output =
            |verb: &clap::Command| verb.get_arguments().any(|arg| arg.get_id() == "output");
        let prints = command
            .get_subcommands()
            .filter(|verb| has_output(verb) || verb.get_subcommands().any(has_output));
        let mut printing: Vec<&str> = prints.map(clap::Command::get_name).collect();
        printing.sort_unstable();
        assert_eq!(printing, orderstream_cli::schema::verbs(&command));
    }

    /// Only a role reads a file of settings, and has a choice of logs.
    #[test]
    fn verbs_have_no_flags_of_roles() {
        let command = super::OrderstreamCli::command();
        for role_flag in ["config", "log_format", "addr_file"] {
            let has_flag =
                |verb: &&clap::Command| verb.get_arguments().any(|arg| arg.get_id() == role_flag);
            let names = command.get_subcommands().filter(has_flag).map(clap::Command::get_name);
            let names: Vec<&str> = names.collect();
            assert_eq!(names, ["processor", "requestor", "controller", "dev"], "{role_flag}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::OrderstreamCli::command().debug_assert();
    }
}
