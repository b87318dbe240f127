//! The buyer's server: `dev` or a requestor, or the cluster of a kubeconfig. The resources are the
//! same.

use std::path::PathBuf;

use orderstream_api::manifest::{self, DEFAULT_NAMESPACE, ManifestDocument};
use orderstream_core::Reason;
use serde_json::Value;

use super::apply::{kind_of, name_of};
use super::plain::PlainServer;
use super::rest::encoded;
use super::show::OutputFormat;
use crate::cluster::edit::{self, Edit};
use crate::cluster::resources::{self, ApplyOutcome, Conflicts, ResourceKind, Resources};
use crate::exit::CliError;

/// The usual URL of the buyer's server.
const URL: &str = "http://127.0.0.1:8004";
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
    /// The buyer's server: `dev` or a requestor; when absent that of the `dev` in this folder, or
    /// `http://127.0.0.1:8004`
    #[arg(help_heading = "Where", long, env = "ORDERSTREAM_SERVER", value_name = "URL")]
    server: Option<String>,
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
            let given = self.server.as_deref();
            let server = PlainServer::of("--server", given, "requestor", URL)?;
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

/// Returns the path of an order request, or of all in a namespace.
fn path(namespace: &str, name: &str) -> String {
    path_of(ResourceKind::OrderRequest, namespace, name)
}

fn path_of(kind: ResourceKind, namespace: &str, name: &str) -> String {
    let (version, kind) = (manifest::API_VERSION, kind.as_str());
    let base = format!("/apis/{version}/namespaces/{namespace}/{kind}s");
    if name.is_empty() { base } else { format!("{base}/{}", encoded(name)) }
}

impl BuyerServer {
    /// Returns the plain server at a URL.
    #[cfg(test)]
    pub(super) fn of_url(url: &str) -> Result<Self, CliError> {
        let backend = BuyerBackend::Plain(Box::new(PlainServer::new("--server", url)?));
        Ok(Self { backend, namespace: DEFAULT_NAMESPACE.to_owned() })
    }

    /// Reads one order request.
    pub(super) async fn get(&self, name: &str) -> Result<Value, CliError> {
        self.get_of(None, name).await
    }

    /// Reads one order request of the namespace that is named, if one is.
    pub(super) async fn get_of(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Value, CliError> {
        let namespace = self.namespace_or(namespace);
        match &self.backend {
            BuyerBackend::Plain(server) => server.get(&path(namespace, name)).await,
            BuyerBackend::Cluster(resources) => {
                let result = resources.get(ResourceKind::OrderRequest, namespace, name).await;
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
                let namespace = self.namespace_in(scope);
                resources.list(ResourceKind::OrderRequest, namespace).await.map_err(failure)
            }
        }
    }

    /// Reads all sellers of the namespace that have a resource.
    pub(super) async fn sellers(&self) -> Result<Value, CliError> {
        let (kind, namespace) = (ResourceKind::Seller, self.namespace.as_str());
        match &self.backend {
            BuyerBackend::Plain(server) => server.get(&path_of(kind, namespace, "")).await,
            BuyerBackend::Cluster(resources) => {
                resources.list(kind, Some(namespace)).await.map_err(failure)
            }
        }
    }

    /// Applies a manifest's document; returns the effect and the resource.
    pub(super) async fn apply(
        &self,
        document: &ManifestDocument,
        conflicts: Conflicts,
    ) -> Result<(ApplyOutcome, Value), CliError> {
        let (kind, name) = (kind_of(document), name_of(document));
        let namespace = self.namespace_or(document.manifest.metadata().namespace.as_deref());
        match &self.backend {
            BuyerBackend::Cluster(resources) => {
                let target = (kind, namespace, name);
                resources.apply(target, &document.document, conflicts).await.map_err(failure)
            }
            BuyerBackend::Plain(server) => {
                let path = path_of(kind, namespace, name);
                apply_plain(server, &path, &document.document).await
            }
        }
    }

    /// Returns the namespace that is named, or the one that is used when none is.
    fn namespace_or<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        named.filter(|name| !name.is_empty()).unwrap_or(&self.namespace)
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

    /// Returns the cluster, where the server is one: only there resources can be watched.
    pub(super) const fn cluster(&self) -> Option<&Resources> {
        match &self.backend {
            BuyerBackend::Plain(_) => None,
            BuyerBackend::Cluster(resources) => Some(resources),
        }
    }

    /// Returns the namespace that a list of this scope is of; `None` for all.
    pub(super) fn namespace_in(&self, scope: ListScope) -> Option<&str> {
        (scope == ListScope::Namespace).then_some(self.namespace.as_str())
    }

    /// Deletes a resource.
    pub(super) async fn delete(
        &self,
        kind: ResourceKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), CliError> {
        let namespace = self.namespace_or(namespace);
        match &self.backend {
            BuyerBackend::Plain(server) => {
                server.delete(&path_of(kind, namespace, name)).await.map(drop)
            }
            BuyerBackend::Cluster(resources) => {
                resources.delete(kind, namespace, name).await.map_err(failure)
            }
        }
    }
}

/// Applies a document. Without its status, which a server ignores, it is not larger than it need be.
async fn apply_plain(
    server: &PlainServer,
    path: &str,
    document: &Value,
) -> Result<(ApplyOutcome, Value), CliError> {
    // Where this fails, the apply itself gives the reason.
    let before = server.get(path).await.ok();
    let (is_new, applied) = server.patch(path, &without_status(document)).await?;
    let is_same = before.is_some_and(|it| without_status(&it) == without_status(&applied));
    let how = if is_new {
        ApplyOutcome::Created
    } else if is_same {
        ApplyOutcome::Unchanged
    } else {
        ApplyOutcome::Configured
    };
    Ok((how, applied))
}

fn without_status(resource: &Value) -> Value {
    let mut resource = resource.clone();
    if let Some(fields) = resource.as_object_mut() {
        fields.remove("status");
    }
    resource
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
