//! The processors' and the requestors' REST, plain or through a cluster's API server: each command
//! has its idempotency key, and a request that may succeed later is retried.

use orderstream_core::backoff::bound_ms;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

use http::{Method, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::plain::{self, PlainServer};
use super::server::failure;
use crate::cluster::service_proxy::{ProxiedResponse, ServiceProxy};
use crate::exit::CliError;
use crate::streamed::ResponseStream;

/// The characters that are escaped: all but the unreserved ones (RFC 3986, 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The most tries of a request that the server refuses for now.
const TRIES: u32 = 5;
/// The first back-off between two tries, milliseconds; it doubles each time.
const WAIT_MS: u64 = 200;
/// The longest back-off before jitter, milliseconds, whatever the server requests.
const WAIT_MS_MAX: u64 = 5_000;

/// A REST server.
#[derive(Debug)]
pub(super) enum RestBackend {
    /// A server at an address.
    Plain(Box<PlainServer>),
    /// A Service of a cluster, through its API server.
    Proxy(Box<ServiceProxy>),
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct IdempotentRequest {
    method: Method,
    path: String,
    body: Option<Value>,
    key: Option<String>,
    version: Option<u32>,
}

impl IdempotentRequest {
    /// Makes a request that reads a path.
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: None, key: None, version: None }
    }

    /// Makes a command.
    pub(super) fn command(method: Method, path: String, body: Value, key: &str) -> Self {
        Self { method, path, body: Some(body), key: Some(key.to_owned()), version: None }
    }

    /// Makes the command conditional on this version of the proposal.
    pub(super) fn if_version(self, version: Option<u32>) -> Self {
        Self { version, ..self }
    }

    /// Adds the idempotency key to a failure in doubt, for a repetition.
    fn in_doubt(&self, failure: CliError) -> CliError {
        match &self.key {
            Some(key) => failure.with_key(key),
            None => failure,
        }
    }

    fn to_http(&self) -> Result<Request<Vec<u8>>, CliError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(version) = self.version {
            request = request.header("if-match", format!("\"{version}\""));
        }
        let body = self.body.as_ref().map(ToString::to_string).unwrap_or_default();
        request
            .body(body.into_bytes())
            .map_err(|error| CliError::input(format!("{}: {error}", self.path)))
    }
}

impl RestBackend {
    async fn send(
        &self,
        request: &IdempotentRequest,
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<ProxiedResponse, CliError> {
        let http_request = request.to_http()?;
        match self {
            Self::Plain(server) => server.send(http_request, enough).await,
            Self::Proxy(proxy) => proxy.send(http_request, enough).await.map_err(|error| {
                let failure = failure(error);
                // It is not known how far the request got through the API server.
                if failure.is_not_reached() { failure.after_doubt() } else { failure }
            }),
        }
    }

    /// Sends a request and returns the response; retries it with back-off while the server refuses
    /// it for now. Its key makes that safe.
    pub(super) async fn send_retrying(&self, ask: &IdempotentRequest) -> Result<Value, CliError> {
        Retries::default()
            .until_final(async || plain::parse_reply(&self.send(ask, &|_| false).await?))
            .await
    }

    /// Does the same as [`Self::send_retrying`], for a command: where it may have been carried out
    /// without a reply, the failure names the key with which it can be repeated.
    pub(super) async fn send_command(
        &self,
        request: &IdempotentRequest,
    ) -> Result<Value, CliError> {
        self.send_retrying(request).await.map_err(|failure| request.in_doubt(failure))
    }

    /// Reads a path as [`Self::send_retrying`] does, and parses the response.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, CliError> {
        let reply = self.send_retrying(&IdempotentRequest::get(path.clone())).await?;
        serde_json::from_value(reply).map_err(|error| {
            CliError::unexpected(format!("{path} answered what is not understood: {error}"))
        })
    }

    /// Reads a path as its response arrives.
    pub(super) async fn stream(&self, path: String) -> Result<ResponseStream, CliError> {
        let request = IdempotentRequest::get(path).to_http()?;
        match self {
            Self::Plain(server) => server.stream(request).await,
            Self::Proxy(proxy) => proxy.stream(request).await.map_err(failure),
        }
    }

    /// Reads the text at a path, until `enough` accepts what was read.
    pub(super) async fn text(
        &self,
        path: String,
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<String, CliError> {
        let reply = self.send(&IdempotentRequest::get(path), enough).await?;
        plain::parse_reply(&reply)?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }
}

/// Does the same as [`RestBackend::send_command`], at a plain server.
pub(super) async fn send_plain(
    server: &PlainServer,
    request: &IdempotentRequest,
) -> Result<Value, CliError> {
    let once = async || plain::parse_reply(&server.send(request.to_http()?, &|_| false).await?);
    Retries::default().until_final(once).await.map_err(|failure| request.in_doubt(failure))
}

/// The tries of one request.
#[derive(Debug, Default)]
struct Retries {
    tries: u32,
    /// Set when an earlier try may have been carried out.
    is_in_doubt: bool,
}

impl Retries {
    /// Sends a request until it has a final reply, or the tries are used up.
    async fn until_final<T>(
        mut self,
        mut once: impl AsyncFnMut() -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        loop {
            match once().await {
                Ok(reply) => return Ok(reply),
                Err(failure) => match self.wait_ms(&failure) {
                    Some(wait_ms) => {
                        self.is_in_doubt |= failure.is_in_doubt();
                        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    }
                    None if self.is_in_doubt => return Err(failure.after_doubt()),
                    None => return Err(failure),
                },
            }
        }
    }

    /// Returns the back-off after a failure, milliseconds, with jitter: at least the one that the
    /// server requests, within [`WAIT_MS_MAX`]. `None` where no other try makes sense.
    fn wait_ms(&mut self, failure: &CliError) -> Option<u64> {
        self.tries = self.tries.saturating_add(1);
        let requested_ms = failure.retriable().filter(|_| self.tries < TRIES)?;
        let grown_ms = bound_ms(WAIT_MS, WAIT_MS_MAX, self.tries);
        let least_ms = requested_ms.unwrap_or(0).max(grown_ms).min(WAIT_MS_MAX);
        Some(least_ms.saturating_add(fastrand::u64(..=least_ms / 2)))
    }
}

/// Encodes a text as a part of a path or query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use orderstream_core::Reason;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    fn failure(reason: Reason, retry_after_ms: Option<u64>) -> CliError {
        CliError::from_server(Some(reason), String::new()).retry_after(retry_after_ms)
    }

    /// The back-off doubles, with jitter, and the fifth try is the last.
    #[test]
    fn temporary_refusals_are_retried_with_backoff() {
        let mut backoff = Retries::default();
        let busy = failure(Reason::Overloaded, None);
        let waits: Vec<_> = std::iter::from_fn(|| backoff.wait_ms(&busy)).collect();
        assert_eq!(waits.len(), 4);
        for (index, wait_ms) in waits.into_iter().enumerate() {
            let least_ms = 200 << index;
            assert!((least_ms..=least_ms * 3 / 2).contains(&wait_ms), "{wait_ms}");
        }
    }

    #[test]
    fn retry_after_holds_within_bounds() {
        let wait_ms =
            |requested_ms| Retries::default().wait_ms(&failure(Reason::Draining, requested_ms));
        assert!(wait_ms(Some(3_000)).is_some_and(|ms| (3_000..=4_500).contains(&ms)));
        assert!(wait_ms(Some(3_600_000)).is_some_and(|ms| ms <= 7_500));
    }

    #[test]
    fn final_refusals_are_not_retried() {
        assert_eq!(Retries::default().wait_ms(&failure(Reason::Locked, None)), None);
    }

    /// Starts a server that reads the start of a request and closes without a response.
    async fn silent_server() -> (String, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
        });
        (base, server)
    }

    /// No key is named if the server was not reached at all: then nothing can have been carried
    /// out.
    #[tokio::test]
    async fn commands_without_reply_name_their_key() {
        let (base, mut server) = silent_server().await;
        let rest =
            RestBackend::Plain(Box::new(PlainServer::new("--processor-rest", &base).unwrap()));
        let request = IdempotentRequest::command(Method::POST, "/it".to_owned(), Value::Null, "k1");
        let message = rest.send_command(&request).await.unwrap_err().to_string();
        assert!(message.contains("is not known") && message.contains("--key k1"), "{message}");
        assert!(message.contains(&base) && message.ends_with("[UNREACHABLE]"), "{message}");
        // Nothing listens there any more, so this request was not received.
        server.join_next().await.unwrap().unwrap();
        let failure = rest.send_command(&request).await.unwrap_err();
        assert!(failure.is_not_reached() && !failure.to_string().contains("--key"), "{failure}");
    }

    #[test]
    fn ids_stay_one_path_segment() {
        assert_eq!(encoded("team-a/OR 1?"), "team-a%2FOR%201%3F");
    }
}
