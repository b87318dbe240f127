//! The buyer's verbs, against `dev` or a requestor.

mod server;
mod show;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use orderstream_controller::duration::parse_ms;
use orderstream_controller::manifest::{self, Manifest, namespace_of};
use serde_json::Value;

use crate::exit::Failure;
use crate::output;
use server::Server;
use show::Format;

/// How often a resource is looked at again.
const LOOK: Duration = Duration::from_millis(250);

/// Where the server is, and how its answers are shown.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The server: `dev` or a requestor
    #[arg(long, env = "ORDERSTREAM_SERVER", default_value = "http://127.0.0.1:8004")]
    server: String,
    /// Namespace
    #[arg(long, short, default_value = "default")]
    namespace: String,
    /// How the answer is shown
    #[arg(long, short, default_value = "table")]
    output: Format,
}

impl Target {
    fn path(&self, name: &str) -> String {
        path(&self.namespace, name)
    }

    async fn get(&self, name: &str) -> Result<Value, Failure> {
        Server::new(&self.server)?.get(&self.path(name)).await
    }
}

fn path(namespace: &str, name: &str) -> String {
    let base = format!("/apis/{}/namespaces/{namespace}/orderrequests", manifest::API_VERSION);
    if name.is_empty() { base } else { format!("{base}/{name}") }
}

/// `orderstream apply -f FILE…`
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// Manifests
    #[arg(long = "filename", short = 'f', required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: Target,
}

impl Apply {
    /// Reads and checks all files first; then applies one resource after the other.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut requests = Vec::new();
        for file in &self.files {
            for manifest in manifest::read_file(file)? {
                let Manifest::OrderRequest(request) = manifest else {
                    let file = file.display();
                    return Err(Failure::input(format!(
                        "{file}: a Seller cannot be applied here; give its file to \
                         `processor --sellers` or `dev --apply`"
                    )));
                };
                requests.push(*request);
            }
        }
        let server = Server::new(&self.target.server)?;
        for request in requests {
            let name = request.metadata.name.clone().unwrap_or_default();
            let namespace = match &request.metadata.namespace {
                Some(_) => namespace_of(&request.metadata).to_owned(),
                None => self.target.namespace.clone(),
            };
            let body = serde_json::to_value(&request)
                .map_err(|error| Failure::unexpected(error.to_string()))?;
            let (was_created, applied) = server.put(&path(&namespace, &name), &body).await?;
            match self.target.output {
                Format::Table => {
                    let how = if was_created { "created" } else { "configured" };
                    output::line(&format!("orderrequest/{name} {how}"));
                }
                format @ (Format::Json | Format::Yaml) => show::one(&applied, format)?,
            }
        }
        Ok(())
    }
}

/// `orderstream get NAME`
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// Name of the order request
    name: String,
    #[command(flatten)]
    target: Target,
}

impl Get {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        show::one(&self.target.get(&self.name).await?, self.target.output)
    }
}

/// `orderstream list`
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Of all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    #[command(flatten)]
    target: Target,
}

impl List {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let path = if self.all_namespaces {
            format!("/apis/{}/orderrequests", manifest::API_VERSION)
        } else {
            self.target.path("")
        };
        show::list(&Server::new(&self.target.server)?.get(&path).await?, self.target.output)
    }
}

/// `orderstream delete NAME`
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// Name of the order request
    name: String,
    #[command(flatten)]
    target: Target,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        Server::new(&self.target.server)?.delete(&self.target.path(&self.name)).await?;
        output::line(&format!("orderrequest/{} deleted", self.name));
        Ok(())
    }
}

/// `orderstream watch NAME`
#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// Name of the order request
    name: String,
    /// Show changes after this event
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    after: u64,
    #[command(flatten)]
    target: Target,
}

impl Watch {
    /// Shows a line for every change until the order's end: code 0 when it was finalised or
    /// closed, 3 when it expired, 4 when it was cancelled.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut last = None;
        let mut header = true;
        loop {
            let resource = self.target.get(&self.name).await?;
            let row = show::row(&resource);
            let seq = show::last_seq(&resource);
            if seq > self.after && last.as_ref() != Some(&(seq, row.clone())) {
                match self.target.output {
                    Format::Table => show::watched(&resource, &mut header),
                    format @ (Format::Json | Format::Yaml) => show::one(&resource, format)?,
                }
                last = Some((seq, row));
            }
            match show::phase(&resource) {
                "Finalised" | "Closed" => return Ok(()),
                "Expired" => return Err(Failure::too_late(format!("{} expired", self.name))),
                phase @ ("Cancelled" | "Failed") => {
                    return Err(Failure::refused(format!("{} is {phase}", self.name)));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// `orderstream wait NAME --for …`
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// Name of the order request
    name: String,
    /// What to wait for: `phase=Finalised`, `proposals=3`, `condition=Ready`, or `delete`
    #[arg(long = "for", value_name = "STATE")]
    wanted: String,
    /// For how long
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    timeout: String,
    #[command(flatten)]
    target: Target,
}

impl Wait {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let wanted = Wanted::parse(&self.wanted)?;
        let timeout = parse_ms(&self.timeout).map(Duration::from_millis).ok_or_else(|| {
            let given = &self.timeout;
            Failure::input(format!("--timeout '{given}' is not a duration such as 60s or 5m"))
        })?;
        let looking = async {
            loop {
                match self.target.get(&self.name).await {
                    Ok(resource) if wanted.holds(&resource) => return Ok(()),
                    Ok(resource) => wanted.still_possible(&self.name, &resource)?,
                    Err(failure) if matches!(wanted, Wanted::Delete) => {
                        return if failure.is_refused() { Ok(()) } else { Err(failure) };
                    }
                    Err(failure) => return Err(failure),
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let (name, state, limit) = (&self.name, &self.wanted, &self.timeout);
        match tokio::time::timeout(timeout, looking).await {
            Ok(result) => result?,
            Err(_) => {
                return Err(Failure::too_late(format!("{name}: {state} not reached in {limit}")));
            }
        }
        output::line(&format!("orderrequest/{name} {state}"));
        Ok(())
    }
}

/// A state that can be waited for.
#[derive(Debug)]
enum Wanted {
    Phase(String),
    Proposals(u64),
    Condition(String),
    Delete,
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::input(format!(
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

    fn holds(&self, resource: &Value) -> bool {
        match self {
            Self::Phase(name) => show::phase(resource).eq_ignore_ascii_case(name),
            Self::Proposals(count) => show::proposals(resource) >= *count,
            Self::Condition(name) => show::conditions(resource).get(name.as_str()) == Some(&"True"),
            Self::Delete => false,
        }
    }

    /// An order at its end changes no more: waiting for something else is over.
    fn still_possible(&self, name: &str, resource: &Value) -> Result<(), Failure> {
        const ENDS: [&str; 4] = ["Finalised", "Expired", "Closed", "Cancelled"];
        let phase = show::phase(resource);
        if ENDS.contains(&phase) && !matches!(self, Self::Delete | Self::Condition(_)) {
            let message = format!("{name} is {phase}; it will not come to that any more");
            return Err(if phase == "Expired" {
                Failure::too_late(message)
            } else {
                Failure::refused(message)
            });
        }
        Ok(())
    }
}

/// Conditions by type.
type Conditions<'a> = BTreeMap<&'a str, &'a str>;
