//! A Service's REST through the API server: whoever may use the cluster can call it without a
//! port-forward, with the rights of the kubeconfig (`services/proxy`).

use std::time::Duration;

use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use orderstream_core::{Reason, Refusal};
use serde_json::Value;

use super::resources::{ApiServerError, Resources};
use crate::streamed::ResponseStream;

/// The time limit of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The label selector of the chart's processors, URL-encoded.
const SELECTOR: &str =
    "app.kubernetes.io/part-of%3Dorderstream,app.kubernetes.io/component%3Dprocessor";
/// The name of the Service's REST port.
const PORT: &str = "rest";

/// A proxy to one Service of a cluster.
#[derive(Clone)]
pub(crate) struct ServiceProxy {
    resources: Resources,
    client: Client,
    namespace: String,
    name: String,
}

impl std::fmt::Debug for ServiceProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { namespace, name, .. } = self;
        write!(f, "ServiceProxy({namespace}/{name})")
    }
}

/// A response of the Service.
#[derive(Clone, Debug)]
pub(crate) struct ProxiedResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl ServiceProxy {
    /// Makes a proxy to the Service with this name, `name` or `namespace/name`.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub(crate) fn named(resources: Resources, name: &str) -> Result<Self, ApiServerError> {
        let own = || (resources.namespace(), name);
        let (namespace, name) = name.split_once('/').unwrap_or_else(own);
        let of = (namespace.to_owned(), name.to_owned());
        Self::of(resources, of)
    }

    /// Makes a proxy to the processors' Service, by the labels that the chart gives it: in all
    /// namespaces, or where that is not allowed in the one of the context.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(crate) async fn of_processors(resources: Resources) -> Result<Self, ApiServerError> {
        let everywhere = format!("/api/v1/services?labelSelector={SELECTOR}");
        let list = match list(&resources, &everywhere).await {
            Err(ApiServerError::Refused(refusal)) if refusal.reason == Reason::NotAllowed => {
                let namespace = resources.namespace();
                let own =
                    format!("/api/v1/namespaces/{namespace}/services?labelSelector={SELECTOR}");
                list(&resources, &own).await?
            }
            found => found?,
        };
        let mut found = services(&list);
        if found.len() > 1 {
            let names: Vec<_> =
                found.iter().map(|(space, name)| format!("{space}/{name}")).collect();
            let text = format!(
                "processors serve in several places ({}); choose one with --processor-service",
                names.join(", ")
            );
            return Err(ApiServerError::Refused(Refusal::new(Reason::InvalidRequest, text)));
        }
        let of = found.pop().ok_or_else(|| {
            let text = "no Service of orderstream's processors is found; give --processor-service \
                        NAMESPACE/NAME";
            ApiServerError::NotReached(text.to_owned())
        })?;
        Self::of(resources, of)
    }

    fn of(
        resources: Resources,
        (namespace, name): (String, String),
    ) -> Result<Self, ApiServerError> {
        let client = resources.client_without_retry();
        let client = client.map_err(|error| ApiServerError::NotReached(error.to_string()))?;
        Ok(Self { resources, client, namespace, name })
    }

    /// Sends one request. The body of the response is read to its end, or until `enough` is true of
    /// the part received so far.
    ///
    /// # Errors
    /// When no response comes within 10 s, or it is too large.
    pub(crate) async fn send(
        &self,
        request: Request<Vec<u8>>,
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<ProxiedResponse, ApiServerError> {
        let exchange = self.exchange(self.addressed(request)?, enough);
        tokio::time::timeout(REQUEST_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// Sends one request and returns the response as it arrives.
    ///
    /// # Errors
    /// When its head does not come within 10 s.
    pub(crate) async fn stream(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<ResponseStream, ApiServerError> {
        let opening = self.open(self.addressed(request)?);
        tokio::time::timeout(REQUEST_TIMEOUT, opening).await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// Puts the Service's path at the API server before the path of a request.
    fn addressed(&self, request: Request<Vec<u8>>) -> Result<Request<Body>, ApiServerError> {
        let (mut head, body) = request.into_parts();
        let Self { namespace, name, .. } = self;
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let path = format!("/api/v1/namespaces/{namespace}/services/{name}:{PORT}/proxy{path}");
        head.uri = path.parse().map_err(|_| self.wrong_name())?;
        Ok(Request::from_parts(head, Body::from(body)))
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<ProxiedResponse, ApiServerError> {
        let whole = self.open(request).await?.whole(enough).await;
        whole.map_err(|error| self.not_reached(&error))
    }

    async fn open(&self, request: Request<Body>) -> Result<ResponseStream, ApiServerError> {
        let response = self.client.send(request).await;
        let (head, body) = response.map_err(|error| self.not_reached(&error))?.into_parts();
        let body = body.map_err(|error| error.to_string()).boxed_unsync();
        Ok(ResponseStream { status: head.status.as_u16(), headers: head.headers, body })
    }

    fn not_reached(&self, error: &dyn std::fmt::Display) -> ApiServerError {
        ApiServerError::NotReached(format!("{}: {error}", self.resources.url()))
    }

    /// Makes the failure of a request without a response in time.
    fn silent(&self) -> ApiServerError {
        let (Self { namespace, name, .. }, url) = (self, self.resources.url());
        let seconds = REQUEST_TIMEOUT.as_secs();
        let text = format!("{namespace}/{name} did not answer within {seconds} s at {url}");
        ApiServerError::NotReached(text)
    }

    fn wrong_name(&self) -> ApiServerError {
        let text = format!("'{}/{}' is not a Service's name", self.namespace, self.name);
        ApiServerError::Refused(Refusal::field("--processor-service", text))
    }
}

async fn list(resources: &Resources, path: &str) -> Result<Value, ApiServerError> {
    let request = Request::builder().method(Method::GET).uri(path).body(Vec::new());
    let request = request.map_err(|error| ApiServerError::NotReached(error.to_string()))?;
    resources.with_timeout(resources.client().request(request)).await
}

/// Returns namespace and name of every Service that has the port and an address of its own.
fn services(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let has_port = |service: &Value| {
        let ports = service["spec"]["ports"].as_array();
        ports.into_iter().flatten().any(|port| port["name"].as_str() == Some(PORT))
    };
    let items = list["items"].as_array().into_iter().flatten();
    items
        .filter(|service| {
            service["spec"]["clusterIP"].as_str() != Some("None") && has_port(service)
        })
        .map(|service| {
            (text(&service["metadata"]["namespace"]), text(&service["metadata"]["name"]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The chosen Service has an address of its own, so any request can be sent to it.
    #[test]
    fn headless_services_are_not_chosen() {
        let service = |name: &str, ip: &str, port: &str| {
            json!({"metadata": {"namespace": "orders", "name": name},
                   "spec": {"clusterIP": ip, "ports": [{"name": port}]}})
        };
        let list = json!({"items": [
            service("orderstream-processors", "None", "rest"),
            service("orderstream-processor", "10.0.0.7", "rest"),
            service("other", "10.0.0.8", "grpc"),
        ]});
        let expected = ("orders".to_owned(), "orderstream-processor".to_owned());
        assert_eq!(services(&list), [expected]);
    }
}
