//! Resources on a cluster, as the command line reads and edits them: as documents, through the
//! kubeconfig.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError as KubeconfigFault};
use kube::core::ApiResource;
use kube::{Api, Client, Config as KubeConfig};
use orderstream_api::manifest::API_VERSION;
use orderstream_api::order_request::OrderRequest;
use orderstream_api::seller::Seller;
use orderstream_core::{Reason, Refusal};
use serde_json::{Value, json};

/// The field manager of edits from the command line.
const FIELD_MANAGER: &str = "orderstream";
/// The time limit for connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Resources in one page of a list.
const PAGE: u32 = 500;

/// The time limit of one watch, seconds; the API server ends it then.
const WATCH_SECONDS: u32 = 240;
/// The longest silence of a watch. The API server ends it before, unless the connection is dead.
const WATCH_SILENCE: Duration = Duration::from_secs(250);
/// The code of a watch whose changes the API server does not have any more.
const GONE: u16 = 410;

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResourceKind {
    /// An order that a buyer asks for.
    OrderRequest,
    /// A seller that may be invited.
    Seller,
}

impl ResourceKind {
    fn resource(self) -> ApiResource {
        match self {
            Self::OrderRequest => ApiResource::erase::<OrderRequest>(&()),
            Self::Seller => ApiResource::erase::<Seller>(&()),
        }
    }

    /// Returns the kind as commands print it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OrderRequest => "orderrequest",
            Self::Seller => "seller",
        }
    }
}

/// The treatment of fields that another client set to another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflicts {
    /// The apply is refused and names them.
    Refuse,
    /// They are taken over.
    TakeOver,
}

/// The result of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApplyOutcome {
    /// The resource is new.
    Created,
    /// It changed.
    Configured,
    /// It was the same already.
    Unchanged,
}

/// The lack of a usable kubeconfig.
#[derive(Debug, thiserror::Error)]
#[error(
    "no way to the API server: {0}; give --kubeconfig FILE, or run in a pod; without a cluster, \
     `orderstream dev` runs everything on this machine, and needs none of this"
)]
pub(crate) struct KubeconfigError(String);

/// The failure of a request to the API server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiServerError {
    /// The API server refused it.
    #[error("{0}")]
    Refused(Refusal),
    /// The API server is unreachable, or did not respond in time.
    #[error("{0}")]
    NotReached(String),
}

/// The resources of the cluster of a kubeconfig.
#[derive(Clone)]
pub(crate) struct Resources {
    client: Client,
    config: Box<KubeConfig>,
    url: String,
    namespace: String,
}

impl std::fmt::Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resources").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Resources {
    /// Connects to the cluster of a kubeconfig and context; without them, to the one that kubectl
    /// would use.
    ///
    /// # Errors
    /// When no kubeconfig can be used, or it has no such context.
    pub(crate) async fn connect(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Self, KubeconfigError> {
        let options =
            KubeConfigOptions { context: context.map(ToOwned::to_owned), ..Default::default() };
        let config = match kubeconfig {
            Some(path) => match Kubeconfig::read_from(path) {
                Ok(file) => KubeConfig::from_custom_kubeconfig(file, &options).await,
                Err(error) => Err(error),
            },
            // Where no context is named and there is no kubeconfig, this may be a pod.
            None => match KubeConfig::from_kubeconfig(&options).await {
                Err(error) if context.is_none() => KubeConfig::incluster().map_err(|_| error),
                found => found,
            },
        };
        let mut config = config.map_err(|fault| KubeconfigError(fault_text(&fault)))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // The API server is reached directly. The client would read HTTPS_PROXY, whatever NO_PROXY
        // has, and end with an error that shows the proxy's password.
        config.proxy_url = None;
        let (url, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let client = client(config.clone())?;
        Ok(Self { client, config: Box::new(config), url, namespace })
    }

    /// Returns the namespace of the kubeconfig's context.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the API server's URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Makes a client that sends each request once, and returns every response: it does not retry a
    /// 503.
    pub(super) fn client_without_retry(&self) -> Result<Client, KubeconfigError> {
        let mut config = (*self.config).clone();
        config.default_retry = false;
        client(config)
    }

    /// Returns the client of the API server.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Reads one resource.
    ///
    /// # Errors
    /// When there is none, or the API server does not respond.
    pub(crate) async fn get(
        &self,
        kind: ResourceKind,
        namespace: &str,
        name: &str,
    ) -> Result<Value, ApiServerError> {
        let api = self.api(kind, namespace);
        self.with_timeout(api.get(name)).await.map(for_display)
    }

    /// Reads all resources of a namespace, or of all, as one list.
    ///
    /// # Errors
    /// When the API server does not respond, or does not allow it.
    pub(crate) async fn list(
        &self,
        kind: ResourceKind,
        namespace: Option<&str>,
    ) -> Result<Value, ApiServerError> {
        let ResourceList { items, .. } = self.list_to_watch(kind, namespace).await?;
        let kind = format!("{}List", kind.resource().kind);
        Ok(json!({ "apiVersion": API_VERSION, "kind": kind, "items": items }))
    }

    /// Reads all resources of a namespace, or of all, and the version after which they can be
    /// watched.
    ///
    /// # Errors
    /// When the API server does not respond, or does not allow it.
    pub(crate) async fn list_to_watch(
        &self,
        kind: ResourceKind,
        namespace: Option<&str>,
    ) -> Result<ResourceList, ApiServerError> {
        let api = self.api_of(kind, namespace);
        let mut params = ListParams::default().limit(PAGE);
        let mut items = Vec::new();
        loop {
            let page = self.with_timeout(api.list(&params)).await?;
            items.extend(page.items.into_iter().map(for_display));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    let version = page.metadata.resource_version.unwrap_or_default();
                    return Ok(ResourceList { items, version });
                }
            }
        }
    }

    /// Watches the resources of a namespace, or of all, from the version of a list on.
    ///
    /// # Errors
    /// When the API server does not respond, or does not allow it.
    pub(crate) async fn watch(
        &self,
        kind: ResourceKind,
        namespace: Option<&str>,
        version: &str,
    ) -> Result<ResourceChanges, ApiServerError> {
        let api = self.api_of(kind, namespace);
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let events = self.with_timeout(api.watch(&params, version)).await?.boxed();
        Ok(ResourceChanges { events, url: self.url.clone() })
    }

    /// Applies a document to a resource, by server-side apply. Returns the result, and the resource
    /// after it.
    ///
    /// # Errors
    /// When the API server refuses the document or does not respond.
    pub(crate) async fn apply(
        &self,
        (kind, namespace, name): (ResourceKind, &str, &str),
        document: &Value,
        conflicts: Conflicts,
    ) -> Result<(ApplyOutcome, Value), ApiServerError> {
        let api = self.api(kind, namespace);
        let before = self.with_timeout(api.get_opt(name)).await?;
        let mut params = PatchParams::apply(FIELD_MANAGER);
        params.force = conflicts == Conflicts::TakeOver;
        let document = applicable(document.clone());
        let after = self.with_timeout(api.patch(name, &params, &Patch::Apply(&document))).await?;
        let version = |resource: &DynamicObject| resource.metadata.resource_version.clone();
        let applied = match before {
            None => ApplyOutcome::Created,
            Some(before) if version(&before) == version(&after) => ApplyOutcome::Unchanged,
            Some(_) => ApplyOutcome::Configured,
        };
        Ok((applied, for_display(after)))
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// When there is none, or the API server does not respond.
    pub(crate) async fn delete(
        &self,
        kind: ResourceKind,
        namespace: &str,
        name: &str,
    ) -> Result<(), ApiServerError> {
        let api = self.api(kind, namespace);
        self.with_timeout(api.delete(name, &DeleteParams::default())).await.map(drop)
    }

    pub(super) fn api(&self, kind: ResourceKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    fn api_of(&self, kind: ResourceKind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => self.api(kind, namespace),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        }
    }

    pub(super) async fn with_timeout<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiServerError> {
        let url = &self.url;
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(kube::Error::Api(status))) => Err(refused(status.code, &status.message)),
            Ok(Err(error)) => {
                Err(ApiServerError::NotReached(format!("{url} is not reached: {error}")))
            }
            Err(_) => {
                let seconds = REQUEST_TIMEOUT.as_secs();
                Err(ApiServerError::NotReached(format!("{url} did not answer within {seconds} s")))
            }
        }
    }
}

/// All resources of a list.
#[derive(Clone, Debug)]
pub(crate) struct ResourceList {
    /// The resources.
    pub(crate) items: Vec<Value>,
    /// The version of the list, after which changes are watched.
    pub(crate) version: String,
}

/// A change of a resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ResourceChange {
    /// It is new, or has changed.
    Stored(Value),
    /// It was removed; this is its last state.
    Removed(Value),
}

/// The changes of resources, as the API server sends them.
pub(crate) struct ResourceChanges {
    events: BoxStream<'static, kube::Result<WatchEvent<DynamicObject>>>,
    url: String,
}

impl ResourceChanges {
    /// Returns the next change; `None` at the end of the watch, after which the list is to be read
    /// again.
    ///
    /// # Errors
    /// When the connection breaks or is silent, or the API server refuses to go on.
    pub(crate) async fn next(&mut self) -> Result<Option<ResourceChange>, ApiServerError> {
        loop {
            let event = tokio::time::timeout(WATCH_SILENCE, self.events.next()).await;
            let event = event.map_err(|_| {
                let seconds = WATCH_SILENCE.as_secs();
                let text = format!("{} has sent nothing for {seconds} s", self.url);
                ApiServerError::NotReached(text)
            })?;
            let Some(event) = event else { return Ok(None) };
            let event = event.map_err(|error| {
                ApiServerError::NotReached(format!("{} is not reached: {error}", self.url))
            })?;
            return Ok(match event {
                WatchEvent::Added(resource) | WatchEvent::Modified(resource) => {
                    Some(ResourceChange::Stored(for_display(resource)))
                }
                WatchEvent::Deleted(resource) => {
                    Some(ResourceChange::Removed(for_display(resource)))
                }
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) if status.code == GONE => None,
                WatchEvent::Error(status) => return Err(refused(status.code, &status.message)),
            });
        }
    }
}

/// Describes the fault of a kubeconfig, with its path as it is written.
fn fault_text(fault: &KubeconfigFault) -> String {
    if let KubeconfigFault::ReadConfig(cause, path) = fault {
        return format!("the kubeconfig {} cannot be read: {cause}", path.display());
    }
    fault.to_string()
}

fn client(config: KubeConfig) -> Result<Client, KubeconfigError> {
    Client::try_from(config).map_err(|error| KubeconfigError(error.to_string()))
}

fn refused(code: u16, message: &str) -> ApiServerError {
    let (reason, fix) = match code {
        404 => (Reason::OrderNotFound, ""),
        401 | 403 => (Reason::NotAllowed, ""),
        409 => (
            Reason::OrderExists,
            "; --force-conflicts takes the fields over that somebody else set",
        ),
        400 | 415 | 422 => (Reason::InvalidField, ""),
        429 | 503 => (Reason::Overloaded, "; try again later"),
        _ => (Reason::Internal, ""),
    };
    ApiServerError::Refused(Refusal::new(reason, format!("{message}{fix}")))
}

/// Returns a document without the fields that only the server writes, so that printed output can be
/// applied again.
fn applicable(mut document: Value) -> Value {
    const SERVER_FIELDS: [&str; 6] =
        ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];
    if let Some(fields) = document.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !SERVER_FIELDS.contains(&name.as_str()));
    }
    document
}

/// Returns a resource for display: without its managed fields.
pub(super) fn for_display(mut resource: DynamicObject) -> Value {
    resource.metadata.managed_fields = None;
    serde_json::to_value(resource).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named_once() {
        let path = Path::new("/nowhere/config");
        let text = Resources::connect(Some(path), None).await.unwrap_err().to_string();
        let part = "no way to the API server: the kubeconfig /nowhere/config cannot be read: ";
        assert!(text.starts_with(part) && !text.contains('"'), "{text}");
        assert!(text.contains("give --kubeconfig FILE") && text.contains("`orderstream dev`"));
    }
}
