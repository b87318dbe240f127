//! The buyer's server: `dev` or a requestor, or the cluster of a kubeconfig. The resources are the
//! same.

use std::path::PathBuf;

use orderstream_api::manifest::{self, DEFAULT_NAMESPACE, Manifest};
use orderstream_core::Reason;
use serde_json::Value;

use super::plain::PlainServer;
use super::rest::encoded;
use super::show::OutputFormat;
use crate::cluster::edit::{self, Edit};
use crate::cluster::resources::{self, ApplyOutcome, Conflicts, ResourceKind, Resources};
use crate::exit::CliError;

/// The most tries of an edit that conflicts with another.
const TRIES: u32 = 5;

/// The arguments that choose the server and the output format.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ResourceArgs {
    #[command(flatten)]
    server_args: ServerArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    pub(super) output: OutputFormat,
}

impl ResourceArgs {
    /// Returns the server, without sending it a request.
    pub(super) async fn connect(&self) -> Result<BuyerServer, CliError> {
        self.server_args.connect().await
    }
}

/// The arguments that choose the buyer's server: `dev`, a requestor, or a cluster.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerArgs {
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

impl ServerArgs {
    /// Returns the server, without sending it a request.
    pub(super) async fn connect(&self) -> Result<BuyerServer, CliError> {
        let Some(resources) = self.resources().await? else {
            let namespace = self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE).to_owned();
            let server = PlainServer::new("--server", &self.server)?;
            return Ok(BuyerServer { backend: BuyerBackend::Plain(Box::new(server)), namespace });
        };
        let namespace =
            self.namespace.as_deref().unwrap_or_else(|| resources.namespace()).to_owned();
        Ok(BuyerServer { backend: BuyerBackend::Cluster(Box::new(resources)), namespace })
    }

    /// Returns the cluster, where the arguments choose one.
    pub(super) async fn resources(&self) -> Result<Option<Resources>, CliError> {
        if let Some(namespace) = &self.namespace {
            manifest::namespace(namespace)
                .map_err(|refusal| CliError::input(format!("--namespace {}", refusal.message)))?;
        }
        let is_cluster = self.cluster || self.kubeconfig.is_some() || self.context.is_some();
        if !is_cluster {
            return Ok(None);
        }
        let connected =
            Resources::connect(self.kubeconfig.as_deref(), self.context.as_deref()).await;
        connected.map(Some).map_err(|error| CliError::input(error.to_string()))
    }

    /// Returns the tenant: the given namespace, else that of the cluster's context, else `default`.
    pub(super) fn tenant(&self, resources: Option<&Resources>) -> String {
        let of_context = resources.map_or(DEFAULT_NAMESPACE, Resources::namespace);
        self.namespace.as_deref().unwrap_or(of_context).to_owned()
    }
}

/// The scope of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListScope {
    /// One namespace.
    Namespace,
    /// All of them.
    AllNamespaces,
}

/// A server, and the namespace that is used when none is named.
#[derive(Debug)]
pub(super) struct BuyerServer {
    backend: BuyerBackend,
    namespace: String,
}

#[derive(Debug)]
enum BuyerBackend {
    Plain(Box<PlainServer>),
    Cluster(Box<Resources>),
}

fn path(namespace: &str, name: &str) -> String {
    let base = format!("/apis/{}/namespaces/{namespace}/orderrequests", manifest::API_VERSION);
    if name.is_empty() { base } else { format!("{base}/{}", encoded(name)) }
}

impl BuyerServer {
    /// Reads one order request.
    pub(super) async fn get(&self, name: &str) -> Result<Value, CliError> {
        match &self.backend {
            BuyerBackend::Plain(server) => server.get(&path(&self.namespace, name)).await,
            BuyerBackend::Cluster(resources) => {
                let result = resources.get(ResourceKind::OrderRequest, &self.namespace, name).await;
                result.map_err(failure)
            }
        }
    }

    /// Reads all order requests of the namespace, or of all.
    pub(super) async fn list(&self, scope: ListScope) -> Result<Value, CliError> {
        match (&self.backend, scope) {
            (BuyerBackend::Plain(server), ListScope::AllNamespaces) => {
                server.get(&format!("/apis/{}/orderrequests", manifest::API_VERSION)).await
            }
            (BuyerBackend::Plain(server), ListScope::Namespace) => {
                server.get(&path(&self.namespace, "")).await
            }
            (BuyerBackend::Cluster(resources), scope) => {
                let namespace = (scope == ListScope::Namespace).then_some(self.namespace.as_str());
                resources.list(ResourceKind::OrderRequest, namespace).await.map_err(failure)
            }
        }
    }

    /// Applies a manifest; returns the effect and the resource.
    pub(super) async fn apply(
        &self,
        manifest: &Manifest,
        document: &Value,
        conflicts: Conflicts,
    ) -> Result<(ApplyOutcome, Value), CliError> {
        let (kind, metadata) = match manifest {
            Manifest::OrderRequest(request) => (ResourceKind::OrderRequest, &request.metadata),
            Manifest::Seller(seller) => (ResourceKind::Seller, &seller.metadata),
        };
        let name = metadata.name.as_deref().unwrap_or_default();
        let namespace = metadata.namespace.as_deref().filter(|name| !name.is_empty());
        let namespace = namespace.unwrap_or(&self.namespace);
        match (&self.backend, manifest) {
            (BuyerBackend::Cluster(resources), _) => {
                let target = (kind, namespace, name);
                resources.apply(target, document, conflicts).await.map_err(failure)
            }
            (BuyerBackend::Plain(server), Manifest::OrderRequest(request)) => {
                let body = serde_json::to_value(request)
                    .map_err(|error| CliError::unexpected(error.to_string()))?;
                let (is_new, applied) = server.put(&path(namespace, name), &body).await?;
                let how = if is_new { ApplyOutcome::Created } else { ApplyOutcome::Configured };
                Ok((how, applied))
            }
            (BuyerBackend::Plain(_), Manifest::Seller(_)) => Err(CliError::input(format!(
                "the Seller {name} cannot be applied here; give its file to `processor --sellers` \
                 or `dev --apply`, or apply it to a cluster with --cluster"
            ))),
        }
    }

    /// Finds the order request of this name, or the one whose order has this id.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Value>, CliError> {
        match self.get(name).await {
            Ok(resource) => return Ok(Some(resource)),
            Err(failure) if failure.reason() == Some(Reason::OrderNotFound) => {}
            // A server without order requests: there, orders are known by their ids only.
            Err(failure) if failure.reason() == Some(Reason::InvalidRequest) => return Ok(None),
            // An id need not be a resource's name.
            Err(failure) if failure.reason() == Some(Reason::InvalidField) => {}
            Err(failure) => return Err(failure),
        }
        let all = self.list(ListScope::Namespace).await?;
        let items = all.get("items").and_then(Value::as_array).into_iter().flatten();
        let has_id =
            |item: &&Value| item.pointer("/spec/orderReqId").and_then(Value::as_str) == Some(name);
        Ok(items.into_iter().find(has_id).cloned())
    }

    /// Edits an order request that was read before; retries on a conflict with another edit.
    pub(super) async fn edit(&self, resource: &Value, edit: &Edit) -> Result<Value, CliError> {
        let name = resource.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        match &self.backend {
            BuyerBackend::Cluster(resources) => {
                resources.edit(&self.namespace, name, edit).await.map_err(failure)
            }
            BuyerBackend::Plain(server) => {
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
        match &self.backend {
            BuyerBackend::Plain(server) => Some(server),
            BuyerBackend::Cluster(_) => None,
        }
    }

    /// Reports whether the server accepts this kind of resource.
    pub(super) const fn accepts(&self, manifest: &Manifest) -> bool {
        matches!(self.backend, BuyerBackend::Cluster(_))
            || matches!(manifest, Manifest::OrderRequest(_))
    }

    /// Deletes an order request.
    pub(super) async fn delete(&self, name: &str) -> Result<(), CliError> {
        match &self.backend {
            BuyerBackend::Plain(server) => {
                server.delete(&path(&self.namespace, name)).await.map(drop)
            }
            BuyerBackend::Cluster(resources) => {
                let deleted =
                    resources.delete(ResourceKind::OrderRequest, &self.namespace, name).await;
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
) -> Result<Value, CliError> {
    let mut tries = 0;
    loop {
        let changed =
            edit::edited(&resource, edit).map_err(|refusal| CliError::from_refusal(&refusal))?;
        tries += 1;
        match server.put(path, &changed).await {
            Ok((_, applied)) => return Ok(applied),
            // The resource has changed since it was read.
            Err(failure) if failure.reason() == Some(Reason::Changed) && tries < TRIES => {
                let uid = |resource: &Value| resource.pointer("/metadata/uid").cloned();
                let current = server.get(path).await?;
                if uid(&current) != uid(&resource) {
                    return Err(failure);
                }
                resource = current;
            }
            Err(failure) => return Err(failure),
        }
    }
}

pub(super) fn failure(failure: resources::ApiServerError) -> CliError {
    match failure {
        resources::ApiServerError::NotReached(message) => CliError::not_reached(message),
        resources::ApiServerError::Refused(refusal) => CliError::from_refusal(&refusal),
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::buyer::BuyerCommand;
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
    async fn serve_once(mut stream: TcpStream) -> String {
        let current = resource(2, &json!({ "expiresIn": "2h" }));
        let mut request = Vec::new();
        // A request is complete with its body, which here ends the only object.
        while !request.starts_with(b"GET") && !request.ends_with(b"}}") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let request = String::from_utf8(request).unwrap();
        let (code, body) = match request.contains("\"generation\":1") {
            true => ("412 Precondition Failed", json!({ "reason": "CHANGED", "detail": "edited" })),
            false => ("200 OK", current),
        };
        let (body, length) = (body.to_string(), body.to_string().len());
        let head = format!("HTTP/1.1 {code}\r\nconnection: close\r\ncontent-length: {length}");
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        request
    }

    /// The edit is made again on the resource that the other edit left.
    #[tokio::test]
    async fn conflicting_edits_are_made_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut requests = Vec::new();
            for _ in 0..3 {
                requests.push(serve_once(listener.accept().await.unwrap().0).await);
            }
            requests
        });
        let plain = PlainServer::new("--server", &base).unwrap();
        let read = resource(1, &json!({}));
        edit_plain(&plain, "/it", read, &Edit::Command(BuyerCommand::Pause(None))).await.unwrap();
        let requests = server.join_next().await.unwrap().unwrap();
        let methods: Vec<_> = requests.iter().filter_map(|text| text.split(' ').next()).collect();
        assert_eq!(methods, ["PUT", "GET", "PUT"]);
        let last = &requests[2];
        assert!(last.contains("\"expiresIn\":\"2h\"") && last.contains("\"suspend\":true"));
    }
}
