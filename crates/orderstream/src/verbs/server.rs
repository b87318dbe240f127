//! Where the buyer's verbs do their work: at `dev` or a requestor, or on the cluster of a
//! kubeconfig. The resources are the same.

use std::path::PathBuf;

use orderstream_controller::cluster::resources::{self, Applied, Conflicts, Kind, Resources};
use orderstream_controller::manifest::{self, DEFAULT_NAMESPACE, Manifest};
use serde_json::Value;

use super::plain::PlainServer;
use super::show::Format;
use crate::exit::Failure;

/// Where the server is, and how its answers are shown.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The server: `dev` or a requestor
    #[arg(long, env = "ORDERSTREAM_SERVER", default_value = "http://127.0.0.1:8004")]
    server: String,
    /// The cluster of the kubeconfig, as kubectl finds it, and no server
    #[arg(long)]
    cluster: bool,
    /// The cluster of this kubeconfig
    #[arg(long, env = "ORDERSTREAM_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The cluster of this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace; when absent that of the context, or `default`
    #[arg(long, short)]
    namespace: Option<String>,
    /// How the answer is shown
    #[arg(long, short, default_value = "table")]
    pub(super) output: Format,
}

impl Target {
    /// Where it is; nothing is asked of it yet.
    pub(super) async fn connect(&self) -> Result<Server, Failure> {
        if let Some(namespace) = &self.namespace {
            manifest::namespace(namespace)
                .map_err(|refusal| Failure::input(format!("--namespace {}", refusal.message)))?;
        }
        let is_cluster = self.cluster || self.kubeconfig.is_some() || self.context.is_some();
        if !is_cluster {
            let namespace = self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE).to_owned();
            return Ok(Server { place: Place::Plain(PlainServer::new(&self.server)?), namespace });
        }
        let resources = Resources::connect(self.kubeconfig.as_deref(), self.context.as_deref())
            .await
            .map_err(|error| Failure::input(error.to_string()))?;
        let namespace =
            self.namespace.as_deref().unwrap_or_else(|| resources.namespace()).to_owned();
        Ok(Server { place: Place::Cluster(resources), namespace })
    }
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// One namespace.
    Namespace,
    /// All of them.
    AllNamespaces,
}

/// A server, and the namespace that is meant when none is named.
#[derive(Debug)]
pub(super) struct Server {
    place: Place,
    namespace: String,
}

#[derive(Debug)]
enum Place {
    Plain(PlainServer),
    Cluster(Resources),
}

fn path(namespace: &str, name: &str) -> String {
    let base = format!("/apis/{}/namespaces/{namespace}/orderrequests", manifest::API_VERSION);
    if name.is_empty() { base } else { format!("{base}/{name}") }
}

impl Server {
    /// One order request.
    pub(super) async fn get(&self, name: &str) -> Result<Value, Failure> {
        match &self.place {
            Place::Plain(server) => server.get(&path(&self.namespace, name)).await,
            Place::Cluster(resources) => {
                let got = resources.get(Kind::OrderRequest, &self.namespace, name).await;
                got.map_err(failure)
            }
        }
    }

    /// All order requests of the namespace, or of all.
    pub(super) async fn list(&self, scope: Scope) -> Result<Value, Failure> {
        match (&self.place, scope) {
            (Place::Plain(server), Scope::AllNamespaces) => {
                server.get(&format!("/apis/{}/orderrequests", manifest::API_VERSION)).await
            }
            (Place::Plain(server), Scope::Namespace) => {
                server.get(&path(&self.namespace, "")).await
            }
            (Place::Cluster(resources), scope) => {
                let namespace = (scope == Scope::Namespace).then_some(self.namespace.as_str());
                resources.list(Kind::OrderRequest, namespace).await.map_err(failure)
            }
        }
    }

    /// Makes a resource be as its manifest says; tells what it came to, and the resource.
    pub(super) async fn apply(
        &self,
        (manifest, document): (&Manifest, &Value),
        conflicts: Conflicts,
    ) -> Result<(Applied, Value), Failure> {
        let (kind, metadata) = match manifest {
            Manifest::OrderRequest(request) => (Kind::OrderRequest, &request.metadata),
            Manifest::Seller(seller) => (Kind::Seller, &seller.metadata),
        };
        let name = metadata.name.as_deref().unwrap_or_default();
        let namespace = metadata.namespace.as_deref().filter(|name| !name.is_empty());
        let namespace = namespace.unwrap_or(&self.namespace);
        match (&self.place, manifest) {
            (Place::Cluster(resources), _) => {
                let target = (kind, namespace, name);
                resources.apply(target, document, conflicts).await.map_err(failure)
            }
            (Place::Plain(server), Manifest::OrderRequest(request)) => {
                let body = serde_json::to_value(request)
                    .map_err(|error| Failure::unexpected(error.to_string()))?;
                let (is_new, applied) = server.put(&path(namespace, name), &body).await?;
                let how = if is_new { Applied::Created } else { Applied::Configured };
                Ok((how, applied))
            }
            (Place::Plain(_), Manifest::Seller(_)) => Err(Failure::input(format!(
                "the Seller {name} cannot be applied here; give its file to `processor --sellers` \
                 or `dev --apply`, or apply it to a cluster with --cluster"
            ))),
        }
    }

    /// Whether it takes this kind of resource.
    pub(super) const fn takes(&self, manifest: &Manifest) -> bool {
        matches!(self.place, Place::Cluster(_)) || matches!(manifest, Manifest::OrderRequest(_))
    }

    /// Deletes an order request.
    pub(super) async fn delete(&self, name: &str) -> Result<(), Failure> {
        match &self.place {
            Place::Plain(server) => server.delete(&path(&self.namespace, name)).await.map(drop),
            Place::Cluster(resources) => {
                let deleted = resources.delete(Kind::OrderRequest, &self.namespace, name).await;
                deleted.map_err(failure)
            }
        }
    }
}

fn failure(failure: resources::Failure) -> Failure {
    match failure {
        resources::Failure::NotReached(message) => Failure::not_reached(message),
        resources::Failure::Refused(refusal) => {
            let reason = refusal.reason;
            let message = format!("{} [{}]", refusal.message, reason.as_str());
            Failure::from_server(Some(reason), message)
        }
    }
}
