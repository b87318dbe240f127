//! A small client with deadlines for servers with plain HTTP: `dev`, a requestor or a processor.

use std::path::PathBuf;
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
use crate::dev_addresses::{self, DevAddress};
use crate::exit::CliError;
use crate::streamed::ResponseStream;

/// The time limit of one request.
const DEADLINE: Duration = Duration::from_secs(10);
/// The time limit of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A client of one server.
#[derive(Debug)]
pub(crate) struct PlainServer {
    flag: &'static str,
    base: String,
    /// The file that the URL was found in, where it was not given.
    found_in: Option<PathBuf>,
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
        Ok(Self { flag, base, found_in: None, client })
    }

    /// Makes a client of the server at the given URL; without one, of the server with this name of
    /// the `dev` in this folder, or at the usual URL.
    pub(super) fn of(
        flag: &'static str,
        given: Option<&str>,
        name: &str,
        usual: &str,
    ) -> Result<Self, CliError> {
        match given.map_or_else(|| dev_addresses::find(name), |_| None) {
            Some(DevAddress { url, file }) => {
                Ok(Self { found_in: Some(file), ..Self::new(flag, &url)? })
            }
            None => Self::new(flag, given.unwrap_or(usual)),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, None).await.map(|(_, body)| body)
    }

    /// Puts a resource; returns true if it is new, and the resource.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<(bool, Value), CliError> {
        let (status, body) = self.call(Method::PUT, path, Some(body)).await?;
        Ok((status == StatusCode::CREATED, body))
    }

    /// Applies a resource's document; returns true if it is new, and the resource.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<(bool, Value), CliError> {
        let (status, body) = self.call(Method::PATCH, path, Some(body)).await?;
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
        // JSON is YAML, too.
        let media_type = if method == Method::PATCH {
            "application/apply-patch+yaml"
        } else {
            "application/json"
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media_type)
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
        tokio::time::timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// Sends one request, whose URI is a path, and returns the response as it arrives; only its
    /// head has a time limit.
    pub(super) async fn stream(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<ResponseStream, CliError> {
        let opening = tokio::time::timeout(DEADLINE, self.open(request));
        opening.await.unwrap_or_else(|_| Err(self.silent()))
    }

    async fn exchange(
        &self,
        request: Request<Vec<u8>>,
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<ProxiedResponse, CliError> {
        let whole = self.open(request).await?.whole(enough).await;
        whole.map_err(|error| CliError::unanswered(format!("{}: {error}", self.base)))
    }

    async fn open(&self, request: Request<Vec<u8>>) -> Result<ResponseStream, CliError> {
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
            let found_in = self.found_in.as_ref();
            let from = found_in.map(|file| format!(", from {},", file.display()));
            CliError::not_reached(format!(
                "{base}{} is not reached ({}); is `orderstream dev` running? else give {flag}, or \
                 --cluster for the cluster of the kubeconfig",
                from.unwrap_or_default(),
                first_cause(&error)
            ))
        })?;
        let (head, body) = response.into_parts();
        let body = body.map_err(|error| error.to_string()).boxed_unsync();
        Ok(ResponseStream { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Makes the failure of a request without a response in time.
    fn silent(&self) -> CliError {
        let (base, seconds) = (&self.base, DEADLINE.as_secs());
        CliError::unanswered(format!("{base} did not answer within {seconds} s"))
    }
}

/// Formats the cause of an error that has no other cause: `Connection refused (os error 111)`.
fn first_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
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
    let field = text("field");
    let before = field.map(|field| format!("{field}: ")).unwrap_or_default();
    let status = StatusCode::from_u16(reply.status).unwrap_or_default();
    let detail = text("detail").or_else(|| text("message"));
    let detail = detail.map_or_else(|| status.to_string(), ToOwned::to_owned);
    let reason = text("reason").and_then(Reason::parse);
    let reason_text = reason.map(|reason| format!(" [{}]", reason.as_str())).unwrap_or_default();
    let seconds = reply.headers.get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after_ms = seconds.and_then(|text| text.parse::<u64>().ok()?.checked_mul(1_000));
    let failure = CliError::from_server(reason, format!("{before}{detail}{reason_text}"));
    Err(failure.about(field).retry_after(retry_after_ms))
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

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Outer(std::io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("client error (Connect)")
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_first_cause_is_what_people_read() {
        let error = Outer(std::io::Error::other("connection refused"));
        assert_eq!(first_cause(&error), "connection refused");
    }
}
