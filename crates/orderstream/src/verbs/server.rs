//! The buyer's server: `dev` or a requestor, or the cluster of a kubeconfig. The resources are the
//! same.

use std::path::PathBuf;

use orderstream_controller::cluster::edit::{self, Edit};
use orderstream_controller::cluster::resources::{self, Applied, Conflicts, Kind, Resources};
use orderstream_controller::manifest::{self, DEFAULT_NAMESPACE, Manifest};
use orderstream_core::Reason;
use serde_json::Value;

use super::plain::PlainServer;
use super::rest::encoded;
use super::show::Format;
use crate::exit::Failure;

/// The most tries of an edit that conflicts with another.
const TRIES: u32 = 5;

/// The arguments that choose the server and the output format.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    #[command(flatten)]
    site: Site,
    /// Output format
    #[arg(long, short, default_value = "table")]
    pub(super) output: Format,
}

impl Target {
    /// Returns the server, without sending it a request.
    pub(super) async fn connect(&self) -> Result<Server, Failure> {
        self.site.connect().await
    }
}

/// The arguments that choose the buyer's server: `dev`, a requestor, or a cluster.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Site {
    /// The buyer's server: `dev` or a requestor
    #[arg(
        help_heading = "Where",
        long,
        env = "ORDERSTREAM_SERVER",
        default_value = "http://127.0.0.1:8004",
        value_name = "URL"
    )]
    server: String,
    /// Use the cluster of the kubeconfig, as kubectl finds it, in place of a server
    #[arg(help_heading = "Where", long)]
    cluster: bool,
    /// Use the cluster of this kubeconfig
    #[arg(help_heading = "Where", long, env = "ORDERSTREAM_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Use the cluster of this context of the kubeconfig
    #[arg(help_heading = "Where", long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace, which is also the tenant; when absent that of the context, or `default`
    #[arg(help_heading = "Where", long, short, value_name = "NAME")]
    namespace: Option<String>,
}

impl Site {
    /// Returns the server, without sending it a request.
    pub(super) async fn connect(&self) -> Result<Server, Failure> {
        let Some(resources) = self.resources().await? else {
            let namespace = self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE).to_owned();
            let server = PlainServer::new("--server", &self.server)?;
            return Ok(Server { place: Place::Plain(Box::new(server)), namespace });
        };
        let namespace =
            self.namespace.as_deref().unwrap_or_else(|| resources.namespace()).to_owned();
        Ok(Server { place: Place::Cluster(Box::new(resources)), namespace })
    }

    /// Returns the cluster, where the arguments choose one.
    pub(super) async fn resources(&self) -> Result<Option<Resources>, Failure> {
        if let Some(namespace) = &self.namespace {
            manifest::namespace(namespace)
                .map_err(|refusal| Failure::input(format!("--namespace {}", refusal.message)))?;
        }
        let is_cluster = self.cluster || self.kubeconfig.is_some() || self.context.is_some();
        if !is_cluster {
            return Ok(None);
        }
        let connected =
            Resources::connect(self.kubeconfig.as_deref(), self.context.as_deref()).await;
        connected.map(Some).map_err(|error| Failure::input(error.to_string()))
    }

    /// Returns the tenant: the given namespace, else that of the cluster's context, else `default`.
    pub(super) fn tenant(&self, resources: Option<&Resources>) -> String {
        let of_context = resources.map_or(DEFAULT_NAMESPACE, Resources::namespace);
        self.namespace.as_deref().unwrap_or(of_context).to_owned()
    }
}

/// The scope of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// One namespace.
    Namespace,
    /// All of them.
    AllNamespaces,
}

/// A server, and the namespace that is used when none is named.
#[derive(Debug)]
pub(super) struct Server {
    place: Place,
    namespace: String,
}

#[derive(Debug)]
enum Place {
    Plain(Box<PlainServer>),
    Cluster(Box<Resources>),
}

fn path(namespace: &str, name: &str) -> String {
    let base = format!("/apis/{}/namespaces/{namespace}/orderrequests", manifest::API_VERSION);
    if name.is_empty() { base } else { format!("{base}/{}", encoded(name)) }
}

impl Server {
    /// Reads one order request.
    pub(super) async fn get(&self, name: &str) -> Result<Value, Failure> {
        match &self.place {
            Place::Plain(server) => server.get(&path(&self.namespace, name)).await,
            Place::Cluster(resources) => {
                let got = resources.get(Kind::OrderRequest, &self.namespace, name).await;
                got.map_err(failure)
            }
        }
    }

    /// Reads all order requests of the namespace, or of all.
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

    /// Applies a manifest; returns the effect and the resource.
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

    /// Finds the order request of this name, or the one whose order has this id.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Value>, Failure> {
        match self.get(name).await {
            Ok(resource) => return Ok(Some(resource)),
            Err(failure) if failure.reason() == Some(Reason::OrderNotFound) => {}
            // A server without order requests: there, orders are known by their ids only.
            Err(failure) if failure.reason() == Some(Reason::InvalidRequest) => return Ok(None),
            // An id need not be a resource's name.
            Err(failure) if failure.reason() == Some(Reason::InvalidField) => {}
            Err(failure) => return Err(failure),
        }
        let all = self.list(Scope::Namespace).await?;
        let items = all.get("items").and_then(Value::as_array).into_iter().flatten();
        let has_id =
            |item: &&Value| item.pointer("/spec/orderReqId").and_then(Value::as_str) == Some(name);
        Ok(items.into_iter().find(has_id).cloned())
    }

    /// Edits an order request that was read before; retries on a conflict with another edit.
    pub(super) async fn edit(&self, resource: &Value, edit: &Edit) -> Result<Value, Failure> {
        let name = resource.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        match &self.place {
            Place::Cluster(resources) => {
                resources.edit(&self.namespace, name, edit).await.map_err(failure)
            }
            Place::Plain(server) => {
                let path = path(&self.namespace, name);
                edit_plain(server, &path, resource.clone(), edit).await
            }
        }
    }

    /// Returns the namespace that is used when none is named.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the buyers' REST, where the server is a plain one.
    pub(super) const fn plain(&self) -> Option<&PlainServer> {
        match &self.place {
            Place::Plain(server) => Some(server),
            Place::Cluster(_) => None,
        }
    }

    /// Reports whether the server takes this kind of resource.
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

async fn edit_plain(
    server: &PlainServer,
    path: &str,
    mut resource: Value,
    edit: &Edit,
) -> Result<Value, Failure> {
    let mut tries = 0;
    loop {
        let changed =
            edit::edited(&resource, edit).map_err(|refusal| Failure::from_refusal(&refusal))?;
        tries += 1;
        match server.put(path, &changed).await {
            Ok((_, applied)) => return Ok(applied),
            // The resource has changed since it was read.
            Err(failure) if failure.reason() == Some(Reason::Changed) && tries < TRIES => {
                let uid = |resource: &Value| resource.pointer("/metadata/uid").cloned();
                let now = server.get(path).await?;
                if uid(&now) != uid(&resource) {
                    return Err(failure);
                }
                resource = now;
            }
            Err(failure) => return Err(failure),
        }
    }
}

pub(super) fn failure(failure: resources::Failure) -> Failure {
    match failure {
        resources::Failure::NotReached(message) => Failure::not_reached(message),
        resources::Failure::Refused(refusal) => Failure::from_refusal(&refusal),
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::buyer::BuyerAct;
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;

    use super::*;

    fn resource(generation: i64, spec: &Value) -> Value {
        json!({
            "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
            "metadata": { "name": "chairs", "namespace": "default", "generation": generation },
            "spec": spec,
        })
    }

    /// Serves one request as a server whose resource was extended since it was read; returns the
    /// request.
    async fn answer(mut stream: TcpStream) -> String {
        let now = resource(2, &json!({ "expiresIn": "2h" }));
        let mut asked = Vec::new();
        // A request is complete with its body, which here ends the only object.
        while !asked.starts_with(b"GET") && !asked.ends_with(b"}}") {
            assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
        }
        let asked = String::from_utf8(asked).unwrap();
        let (code, body) = match asked.contains("\"generation\":1") {
            true => ("412 Precondition Failed", json!({ "reason": "CHANGED", "detail": "edited" })),
            false => ("200 OK", now),
        };
        let (body, length) = (body.to_string(), body.to_string().len());
        let head = format!("HTTP/1.1 {code}\r\nconnection: close\r\ncontent-length: {length}");
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        asked
    }

    /// The edit is made again on the resource that the other edit left.
    #[tokio::test]
    async fn conflicting_edits_are_made_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut asked = Vec::new();
            for _ in 0..3 {
                asked.push(answer(listener.accept().await.unwrap().0).await);
            }
            asked
        });
        let plain = PlainServer::new("--server", &base).unwrap();
        let read = resource(1, &json!({}));
        edit_plain(&plain, "/it", read, &Edit::Act(BuyerAct::Pause(None))).await.unwrap();
        let asked = server.join_next().await.unwrap().unwrap();
        let methods: Vec<_> = asked.iter().filter_map(|text| text.split(' ').next()).collect();
        assert_eq!(methods, ["PUT", "GET", "PUT"]);
        let last = &asked[2];
        assert!(last.contains("\"expiresIn\":\"2h\"") && last.contains("\"suspend\":true"));
    }
}
