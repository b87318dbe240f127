//! Resources on a cluster, as the command line reads and edits them: as documents, through the
//! kubeconfig.

use std::path::Path;
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
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
#[error("no way to the API server: {0}; give --kubeconfig, or run in a pod")]
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
        let mut config = config.map_err(|error| KubeconfigError(error.to_string()))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
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
        let api = match namespace {
            Some(namespace) => self.api(kind, namespace),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        };
        let mut params = ListParams::default().limit(PAGE);
        let mut items = Vec::new();
        loop {
            let page = self.with_timeout(api.list(&params)).await?;
            items.extend(page.items.into_iter().map(for_display));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => break,
            }
        }
        let kind = format!("{}List", kind.resource().kind);
        Ok(json!({ "apiVersion": API_VERSION, "kind": kind, "items": items }))
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
