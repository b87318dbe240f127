//! The verbs of buyers and sellers: the buyer's run against `dev`, a requestor or a cluster, the
//! seller's against any processor.

mod award;
mod compare;
mod conversation;
mod execution;
mod market;
pub(crate) mod model;
pub(crate) mod nearest;
mod order_commands;
pub(crate) mod plain;
pub(crate) mod print;
mod proposals;
mod rest;
mod seller;
mod server;
pub(crate) mod show;
mod status;
mod stream;
mod submit;
mod timeline;
mod tracked;
mod verb;
mod why;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use orderstream_api::duration::parse_ms;
use orderstream_api::manifest::{self, Manifest};
use orderstream_core::request_phase::{end_reason, is_end};
use orderstream_core::{Reason, RequestPhase};
use serde_json::Value;

use crate::cluster::resources::{ApplyOutcome, Conflicts, ResourceKind};
use crate::exit::CliError;
use crate::output;
use server::{ListScope, ResourceArgs};
use show::OutputFormat;

pub use seller::SellerVerb;
pub use verb::BuyerVerb;

/// The interval between two reads of a resource.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// `orderstream apply -f FILE…`
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// The manifests to apply
    #[arg(long = "filename", short = 'f', required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// On a cluster: take over fields that another field manager owns
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    target: ResourceArgs,
}

impl ApplyArgs {
    /// Reads and checks all files, then applies one resource after the other.
    ///
    /// # Errors
    /// When a manifest is wrong, or the server refuses one or is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let server = self.target.connect().await?;
        let conflicts = if self.force_conflicts { Conflicts::TakeOver } else { Conflicts::Refuse };
        let mut documents = Vec::new();
        for file in &self.files {
            documents.extend(manifest::read_documents(file)?);
        }
        if let Some((wrong, _)) = documents.iter().find(|(manifest, _)| !server.accepts(manifest)) {
            return server.apply(wrong, &Value::Null, Conflicts::Refuse).await.map(drop);
        }
        for (manifest, document) in &documents {
            let (how, applied) = server.apply(manifest, document, conflicts).await?;
            match self.target.output {
                OutputFormat::Table => output::line(&applied_message(manifest, how)),
                format @ (OutputFormat::Json | OutputFormat::Yaml) => show::one(&applied, format)?,
            }
        }
        Ok(())
    }
}

fn applied_message(manifest: &Manifest, how: ApplyOutcome) -> String {
    let (kind, metadata) = match manifest {
        Manifest::OrderRequest(request) => (ResourceKind::OrderRequest, &request.metadata),
        Manifest::Seller(seller) => (ResourceKind::Seller, &seller.metadata),
    };
    let how = match how {
        ApplyOutcome::Created => "created",
        ApplyOutcome::Configured => "configured",
        ApplyOutcome::Unchanged => "unchanged",
    };
    format!("{}/{} {how}", kind.as_str(), metadata.name.as_deref().unwrap_or_default())
}

/// `orderstream get NAME`
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// Name of the order request
    name: String,
    #[command(flatten)]
    target: ResourceArgs,
}

impl GetArgs {
    /// Prints the order request.
    ///
    /// # Errors
    /// When the server has none of this name, or is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let resource = self.target.connect().await?.get(&self.name).await?;
        show::one(&resource, self.target.output)
    }
}

/// `orderstream list`
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// List all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    #[command(flatten)]
    target: ResourceArgs,
}

impl ListArgs {
    /// Prints the order requests.
    ///
    /// # Errors
    /// When the server is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let scope =
            if self.all_namespaces { ListScope::AllNamespaces } else { ListScope::Namespace };
        let resources = self.target.connect().await?.list(scope).await?;
        show::list(&resources, self.target.output)
    }
}

/// `orderstream delete NAME`
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Name of the order request
    name: String,
    #[command(flatten)]
    target: ResourceArgs,
}

impl DeleteArgs {
    /// Deletes the order request.
    ///
    /// # Errors
    /// When the server has none of this name, or is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        self.target.connect().await?.delete(&self.name).await?;
        output::line(&format!("orderrequest/{} deleted", self.name));
        Ok(())
    }
}

/// `orderstream watch NAME`
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Name of the order request
    name: String,
    /// Show only changes after the event with this sequence number
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    after: u64,
    #[command(flatten)]
    target: ResourceArgs,
}

impl WatchArgs {
    /// Prints a line for every change until the order's end: code 0 when it was finalised or
    /// closed, 3 when it expired, 4 when it was cancelled or failed.
    ///
    /// # Errors
    /// As its exit code says, and when the server is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let server = self.target.connect().await?;
        let mut last = None;
        let mut header = true;
        loop {
            let resource = server.get(&self.name).await?;
            let row = show::row(&resource);
            let seq = show::last_seq(&resource);
            if seq > self.after && last.as_ref() != Some(&(seq, row.clone())) {
                match self.target.output {
                    OutputFormat::Table => show::print_change(&resource, &mut header),
                    format @ (OutputFormat::Json | OutputFormat::Yaml) => {
                        show::one(&resource, format)?
                    }
                }
                last = Some((seq, row));
            }
            match RequestPhase::parse(show::phase(&resource)) {
                Some(RequestPhase::Finalised | RequestPhase::Closed) => return Ok(()),
                Some(RequestPhase::Expired) => {
                    return Err(CliError::too_late(format!("{} expired", self.name)));
                }
                Some(phase @ (RequestPhase::Cancelled | RequestPhase::Failed)) => {
                    return Err(CliError::refused(format!("{} is {phase}", self.name)));
                }
                Some(
                    RequestPhase::Pending
                    | RequestPhase::Streaming
                    | RequestPhase::Paused
                    | RequestPhase::Reconnecting,
                )
                | None => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }
}

/// `orderstream wait NAME --for …`
#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    /// Name of the order request
    name: String,
    /// The state to wait for: `phase=Finalised`, `proposals=3`, `condition=Ready`, or `delete`
    #[arg(long = "for", value_name = "STATE")]
    state: String,
    /// The longest wait
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    timeout: String,
    #[command(flatten)]
    target: ResourceArgs,
}

impl WaitArgs {
    /// Waits until the order request reaches the state.
    ///
    /// # Errors
    /// When it does not in time, or will not any more.
    pub async fn run(self) -> Result<(), CliError> {
        let condition = WaitCondition::parse(&self.state)?;
        let timeout = parse_ms(&self.timeout).map(Duration::from_millis).ok_or_else(|| {
            let given = &self.timeout;
            CliError::input(format!("--timeout '{given}' is not a duration such as 60s or 5m"))
        })?;
        let server = self.target.connect().await?;
        let polling = async {
            loop {
                match server.get(&self.name).await {
                    Ok(resource) if condition.is_met(&resource) => return Ok(()),
                    Ok(resource) => condition.check_still_possible(&self.name, &resource)?,
                    Err(failure) if matches!(condition, WaitCondition::Delete) => {
                        return if failure.is_refused() { Ok(()) } else { Err(failure) };
                    }
                    Err(failure) => return Err(failure),
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let (name, state, limit) = (&self.name, &self.state, &self.timeout);
        match tokio::time::timeout(timeout, polling).await {
            Ok(result) => result?,
            Err(_) => {
                return Err(CliError::too_late(format!("{name}: {state} not reached in {limit}")));
            }
        }
        output::line(&format!("orderrequest/{name} {state}"));
        Ok(())
    }
}

/// A state that can be waited for.
#[derive(Debug)]
enum WaitCondition {
    Phase(String),
    Proposals(u64),
    Condition(String),
    Delete,
}

impl WaitCondition {
    fn parse(text: &str) -> Result<Self, CliError> {
        let wrong = || {
            CliError::input(format!(
                "--for '{text}' is unknown; give phase=NAME, proposals=N, condition=NAME or delete"
            ))
        };
        match text.split_once('=') {
            Some(("phase", name)) => Ok(Self::Phase(name.to_owned())),
            Some(("proposals", count)) => count.parse().map(Self::Proposals).map_err(|_| wrong()),
            Some(("condition", name)) => Ok(Self::Condition(name.to_owned())),
            None if text == "delete" => Ok(Self::Delete),
            Some(_) | None => Err(wrong()),
        }
    }

    fn is_met(&self, resource: &Value) -> bool {
        match self {
            Self::Phase(name) => show::phase(resource).eq_ignore_ascii_case(name),
            Self::Proposals(count) => show::proposals(resource) >= *count,
            Self::Condition(name) => show::conditions(resource).get(name.as_str()) == Some(&"True"),
            Self::Delete => false,
        }
    }

    /// Fails if the order has ended in another state: it will not change any more.
    fn check_still_possible(&self, name: &str, resource: &Value) -> Result<(), CliError> {
        let phase = show::phase(resource);
        if is_end(phase) && !matches!(self, Self::Delete | Self::Condition(_)) {
            let message = format!("{name} is {phase}; it will not come to that any more");
            return Err(if end_reason(phase) == Reason::DeadlinePassed {
                CliError::too_late(message)
            } else {
                CliError::refused(message)
            });
        }
        Ok(())
    }
}

/// The status of each condition, by its type.
type Conditions<'a> = BTreeMap<&'a str, &'a str>;
