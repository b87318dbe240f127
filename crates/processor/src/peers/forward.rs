//! Forwarding REST requests: a seller may call any processor. A request for an order of another one
//! is forwarded unchanged, and its response, a stream of events too, is passed back as it arrives.

mod inbox;
mod inbox_events;

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use orderstream_core::input::null_is_absent;
use orderstream_core::notification::order_of;
use orderstream_core::{Incarnation, OrderKey, Reason, Refusal};
use orderstream_rpc::limits::CONNECT_TIMEOUT;
use orderstream_rpc::problem::{Problem, read_bytes, without_mark};
use serde::Deserialize;
use tokio::time::timeout;

use super::{FORWARD_TIMEOUT, FORWARDED, OwnerEndpoint, Peers, peer_unreachable};
use crate::limits::BODY_BYTES_MAX;
use crate::orders::OwnedOrders;

/// The state of the forwarding layer. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Forwarder(Arc<ForwarderInner>);

#[derive(Debug)]
struct ForwarderInner {
    orders: OwnedOrders,
    peers: Peers,
    client: Client<HttpConnector, Body>,
}

impl Forwarder {
    pub(crate) fn new(orders: OwnedOrders, peers: Peers) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self(Arc::new(ForwarderInner { orders, peers, client }))
    }
}

/// Forwards a request when its order is at another processor; otherwise passes it to the handler.
pub(crate) async fn forwarding(
    State(forwarder): State<Forwarder>,
    request: Request,
    next: Next,
) -> Response {
    let Forwarder(inner) = &forwarder;
    if inner.peers.is_alone() {
        return next.run(request).await;
    }
    if let Some(mark) = request.headers().get(FORWARDED) {
        return match mark.to_str() {
            Ok(mark) if inner.peers.is_addressed_here(mark) => next.run(request).await,
            // It was sent to an address that belonged to another processor; its outcome is not
            // known here.
            _ => Problem::from(misdirected()).into_response(),
        };
    }
    if inbox::is_page(&request) {
        return inbox::page(inner, request, next).await;
    }
    if inbox_events::is_stream(&request) {
        return inbox_events::gather(inner, request, next).await;
    }
    let (head, body) = request.into_parts();
    let body = Request::from_parts(head.clone(), body);
    let body = match read_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    // A request that names no order, or an invalid one, is refused by its handler.
    let named = incarnation_of(&head.uri);
    let key = key_of(&head.uri, &body);
    let key = key.filter(|key| !inner.orders.is_here(key, named.as_ref()));
    let request = || Request::from_parts(head.clone(), Body::from(body.clone()));
    let Some(key) = key else { return next.run(request()).await };
    let (peers, metrics) = (&inner.peers, &inner.peers.0.metrics);
    let mut is_again = false;
    loop {
        let was_remembered = named.is_none() && peers.remembers(&key);
        match peers.locate_one(&key, named.as_ref()).await {
            Ok(None) => {
                metrics.forwarded("unknown_order");
                return next.run(request()).await;
            }
            Ok(Some(endpoint)) => {
                let response = inner.forward(&key, &endpoint, request()).await;
                if response.status() == StatusCode::NOT_FOUND {
                    peers.forget(&key);
                    // The remembered owner may have lost the order: another processor may have it.
                    if was_remembered && !is_again {
                        is_again = true;
                        continue;
                    }
                }
                return response;
            }
            Err(refusal) => {
                metrics.forwarded("unreached");
                return Problem::from(refusal).into_response();
            }
        }
    }
}

impl ForwarderInner {
    async fn forward(
        &self,
        key: &OrderKey,
        endpoint: &OwnerEndpoint,
        request: Request,
    ) -> Response {
        let metrics = &self.peers.0.metrics;
        let result = match readdressed(request, endpoint) {
            Some(request) => match timeout(FORWARD_TIMEOUT, self.client.request(request)).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => {
                    tracing::debug!(%key, to = endpoint.url, %error, "cannot forward");
                    Err(peer_unreachable(key, &endpoint.url))
                }
                Err(_) => Err(peer_unreachable(key, &endpoint.url)),
            },
            None => Err(Refusal::new(
                Reason::Internal,
                format!("{} is not where REST can be", endpoint.rest_url),
            )),
        };
        match result {
            Ok(response) => {
                metrics.forwarded(if response.status().is_success() { "ok" } else { "refused" });
                let mut response = response.map(Body::new);
                for name in [CONNECTION, TRANSFER_ENCODING] {
                    response.headers_mut().remove(name);
                }
                response
            }
            Err(refusal) => {
                metrics.forwarded("unreached");
                Problem::from(refusal).into_response()
            }
        }
    }
}

/// Returns the refusal for a forwarded request that reached the wrong processor.
pub(crate) fn misdirected() -> Refusal {
    Refusal::new(Reason::Unreachable, "the request was meant for another processor; repeat it")
}

/// Readdresses a request to another server, with the mark that it was forwarded.
fn readdressed(mut request: Request, endpoint: &OwnerEndpoint) -> Option<Request> {
    let base = endpoint.rest_url.as_str();
    let authority: Authority = base.strip_prefix("http://")?.trim_end_matches('/').parse().ok()?;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = Version::HTTP_11;
    for name in [CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE] {
        request.headers_mut().remove(name);
    }
    request.headers_mut().insert(FORWARDED, HeaderValue::from_str(&endpoint.url).ok()?);
    Some(request)
}

/// The fields that name an order, in the query or in the body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoutingFields {
    #[serde(deserialize_with = "null_is_absent")]
    tenant: String,
    #[serde(deserialize_with = "null_is_absent")]
    order_req_id: String,
}

/// Returns the incarnation that a read names in its query.
fn incarnation_of(uri: &Uri) -> Option<Incarnation> {
    let query = axum::extract::Query::<RoutingIncarnation>::try_from_uri(uri).ok()?;
    Incarnation::new(query.0.incarnation.as_str()).ok()
}

/// The field that names an incarnation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoutingIncarnation {
    incarnation: String,
}

/// Returns the order that a request is about: from the path, else from the body, else from the
/// query.
fn key_of(uri: &Uri, body: &Bytes) -> Option<OrderKey> {
    let query: RoutingFields = match axum::extract::Query::try_from_uri(uri) {
        Ok(axum::extract::Query(named)) => named,
        Err(_) => RoutingFields::default(),
    };
    let fields: RoutingFields = serde_json::from_slice(without_mark(body)).unwrap_or(query);
    let dead_letter = uri.path().split('/').skip_while(|part| *part != "dead-letters").nth(1);
    if let Some(id) = dead_letter {
        return order_of(&percent_decoded(id)?).map(|named| named.key);
    }
    let path = uri.path();
    // Only there: a proposal may have the id `orders`.
    let path = path.strip_prefix("/api/v1").unwrap_or(path).strip_prefix("/orders/");
    match path.and_then(|path| path.split('/').next()) {
        Some(id) if !id.is_empty() => {
            let id = percent_decoded(id)?;
            OrderKey::new(&fields.tenant, &id).ok()
        }
        _ => OrderKey::new(&fields.tenant, &fields.order_req_id).ok(),
    }
}

/// Decodes the escapes of a part of a path; `None` when the result is not UTF-8.
fn percent_decoded(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &str, body: &str) -> Option<String> {
        let key = key_of(&uri.parse().unwrap(), &Bytes::copy_from_slice(body.as_bytes()));
        key.map(|key| key.to_string())
    }

    #[test]
    fn path_body_or_query_names_order() {
        let body = r#"{"order_req_id":"A","tenant":"t","price":3}"#;
        for (uri, body, expected) in [
            ("/api/v1/proposals", body, Some("t/A")),
            ("/api/v1/proposals", r#"{"order_req_id":"A","tenant":null}"#, Some("default/A")),
            ("/api/v1/proposals", "\u{feff}{\"order_req_id\":\"A\"}", Some("default/A")),
            ("/api/v1/orders/B/decline", r#"{"tenant":"t"}"#, Some("t/B")),
            ("/api/v1/orders/B/proposals?tenant=t&limit=1", "", Some("t/B")),
            ("/orders/a%2Db/events", "", Some("default/a-b")),
            ("/api/v1/proposals/P?order_req_id=A", "", Some("default/A")),
            ("/api/v1/proposals/P?order_req_id=A&tenant=t", "", Some("t/A")),
            ("/api/v1/proposals/orders/versions?order_req_id=A", "", Some("default/A")),
            ("/api/v1/orders/B/questions", r#"{"tenant":"t","seller":"s"}"#, Some("t/B")),
            ("/api/v1/orders/B/comparison?format=csv", "", Some("default/B")),
            ("/api/v1/openapi.json", "", None),
            ("/api/v1/orders?tenant=t", "", None),
            ("/api/v1/sellers/orders/invitations?tenant=t", "", None),
            ("/api/v1/dead-letters/t~A~life~3~0123456789abcdef/replay", "", Some("t/A")),
            ("/api/v1/dead-letters/t%7EA%7Elife%7E3%7E0123456789abcdef/replay", "", Some("t/A")),
            ("/api/v1/dead-letters/nothing/replay", "", None),
            ("/api/v1/dead-letters?tenant=t", "", None),
            ("/api/v1/orders/", "", None),
            ("/api/v1/proposals", "no json", None),
            ("/api/v1/orders/%zz", "", None),
            ("/api/v1/orders/%ff", "", None),
            ("/", "", None),
        ] {
            assert_eq!(key(uri, body).as_deref(), expected, "{uri} {body}");
        }
    }
}
