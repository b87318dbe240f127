//! A small client with deadlines for servers with plain HTTP: `dev`, a requestor or a processor.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use orderstream_core::Reason;
use serde_json::Value;

use crate::cluster::service_proxy::ProxiedResponse;
use crate::exit::CliError;

/// The time limit of one request.
const DEADLINE: Duration = Duration::from_secs(10);
/// The time limit of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The most bytes of a response: a page of ten thousand resources.
const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A client of one server.
#[derive(Debug)]
pub(crate) struct PlainServer {
    flag: &'static str,
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl PlainServer {
    /// Makes a client of the server at a URL; `flag` is the flag that gave it, for failures.
    pub(crate) fn new(flag: &'static str, base: &str) -> Result<Self, CliError> {
        let base = base.trim_end_matches('/').to_owned();
        let is_http = base
            .parse::<Uri>()
            .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some());
        if !is_http {
            return Err(CliError::input(format!(
                "{flag} '{base}' is not a URL of the form http://host:port"
            )));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { flag, base, client })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, None).await.map(|(_, body)| body)
    }

    /// Puts a resource; returns true if it is new, and the resource.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<(bool, Value), CliError> {
        let (status, body) = self.call(Method::PUT, path, Some(body)).await?;
        Ok((status == StatusCode::CREATED, body))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::POST, path, Some(body)).await.map(|(_, body)| body)
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::DELETE, path, None).await.map(|(_, body)| body)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), CliError> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body.into_bytes())
            .map_err(|error| CliError::input(format!("{path}: {error}")))?;
        let reply = self.send(request, &|_| false).await?;
        let status = StatusCode::from_u16(reply.status).unwrap_or_default();
        parse_reply(&reply).map(|answer| (status, answer))
    }

    /// Sends one request, whose URI is a path. The body of the response is read to its end, or
    /// until `enough` accepts what was read.
    pub(super) async fn send(
        &self,
        request: Request<Vec<u8>>,
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<ProxiedResponse, CliError> {
        let exchange = self.exchange(request, enough);
        tokio::time::timeout(DEADLINE, exchange).await.unwrap_or_else(|_| {
            let (base, seconds) = (&self.base, DEADLINE.as_secs());
            Err(CliError::unanswered(format!("{base} did not answer within {seconds} s")))
        })
    }

    async fn exchange(
        &self,
        request: Request<Vec<u8>>,
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<ProxiedResponse, CliError> {
        let (base, flag) = (&self.base, self.flag);
        let (mut head, body) = request.into_parts();
        head.uri = format!("{base}{}", head.uri)
            .parse()
            .map_err(|error| CliError::input(format!("{}: {error}", head.uri)))?;
        let request = Request::from_parts(head, Full::new(Bytes::from(body)));
        let response = self.client.request(request).await.map_err(|error| {
            if !error.is_connect() {
                return CliError::unanswered(format!("{base} did not answer ({})", causes(&error)));
            }
            CliError::not_reached(format!(
                "{base} is not reached ({error}); is `orderstream dev` running? else give \
                 {flag}, or --cluster for the cluster of the kubeconfig"
            ))
        })?;
        let cut = |error: &dyn std::fmt::Display| CliError::unanswered(format!("{base}: {error}"));
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| cut(&error))?;
            body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if enough(&body) {
                break;
            }
            if body.len() > RESPONSE_BYTES_MAX {
                return Err(cut(&"the answer is too large"));
            }
        }
        Ok(ProxiedResponse { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// Formats an error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns the body of a response, or the failure that it reports.
pub(super) fn parse_reply(reply: &ProxiedResponse) -> Result<Value, CliError> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    if (200..300).contains(&reply.status) {
        return Ok(body);
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if text("kind") == Some("Status") {
        let message = text("message").unwrap_or_default().to_owned();
        return Err(api_server_error(reply.status, message));
    }
    let field = text("field").map(|field| format!("{field}: ")).unwrap_or_default();
    let status = StatusCode::from_u16(reply.status).unwrap_or_default();
    let detail = text("detail").or_else(|| text("message"));
    let detail = detail.map_or_else(|| status.to_string(), ToOwned::to_owned);
    let reason = text("reason").and_then(Reason::parse);
    let reason_text = reason.map(|reason| format!(" [{}]", reason.as_str())).unwrap_or_default();
    let seconds = reply.headers.get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after_ms = seconds.and_then(|text| text.parse::<u64>().ok()?.checked_mul(1_000));
    let failure = CliError::from_server(reason, format!("{field}{detail}{reason_text}"));
    Err(failure.retry_after(retry_after_ms))
}

/// Converts an error of the API server itself, which has not passed the request on.
fn api_server_error(status: u16, message: String) -> CliError {
    match status {
        401 | 403 => {
            let reason = Reason::NotAllowed;
            CliError::from_server(Some(reason), format!("{message} [{}]", reason.as_str()))
        }
        404 => CliError::not_reached(message),
        502..=504 => CliError::unanswered(message),
        _ => CliError::unexpected(message),
    }
}
