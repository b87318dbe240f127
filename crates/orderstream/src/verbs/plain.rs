//! A server that speaks plain HTTP: `dev` or a requestor. A small client with deadlines.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use orderstream_core::Reason;
use serde_json::Value;

use crate::exit::Failure;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// Bytes of an answer: a page of ten thousand resources.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A plain server.
#[derive(Debug)]
pub(crate) struct PlainServer {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl PlainServer {
    pub(crate) fn new(base: &str) -> Result<Self, Failure> {
        let base = base.trim_end_matches('/').to_owned();
        let is_http = base
            .parse::<Uri>()
            .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some());
        if !is_http {
            return Err(Failure::input(format!(
                "--server '{base}' is not a URL of the form http://host:port"
            )));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base, client })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await.map(|(_, body)| body)
    }

    /// Puts a resource; tells whether it is new.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<(bool, Value), Failure> {
        let (status, body) = self.ask(Method::PUT, path, Some(body)).await?;
        Ok((status == StatusCode::CREATED, body))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body)).await.map(|(_, body)| body)
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, None).await.map(|(_, body)| body)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Failure> {
        let asking = self.send(method, path, body);
        tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| {
            let (base, seconds) = (&self.base, DEADLINE.as_secs());
            Err(Failure::not_reached(format!("{base} did not answer within {seconds} s")))
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Failure> {
        let base = &self.base;
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::input(format!("{path}: {error}")))?;
        let response = self.client.request(request).await.map_err(|error| {
            Failure::not_reached(format!(
                "{base} is not reached ({error}); is `orderstream dev` running? else give \
                 --server, or --cluster for the cluster of the kubeconfig"
            ))
        })?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| Failure::not_reached(format!("{base}: {error}")))?
            .to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok((status, answer));
        }
        Err(refused(status, &answer))
    }
}

fn refused(status: StatusCode, problem: &Value) -> Failure {
    let text = |name: &str| problem.get(name).and_then(Value::as_str);
    let field = text("field").map(|field| format!("{field}: ")).unwrap_or_default();
    let detail = text("detail").map_or_else(|| status.to_string(), ToOwned::to_owned);
    let reason = text("reason").and_then(Reason::parse);
    let shown = reason.map(|reason| format!(" [{}]", reason.as_str())).unwrap_or_default();
    Failure::from_server(reason, format!("{field}{detail}{shown}"))
}
