//! One HTTP request to an external server: to a checked address, without following redirects, and
//! with a bounded response that is classified as accepted, to be retried, or refused. Through a
//! proxy the target's name is resolved by the proxy, and only an address in the URL is checked.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{PROXY_AUTHORIZATION, RETRY_AFTER};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use orderstream_core::Timestamp;
use orderstream_core::notification::{Blame, DeliveryError};
use orderstream_core::port::Clock;
use rustls::ClientConfig;

use crate::Outgoing;
use crate::authorities::Authorities;
use crate::config::ConfigError;
use crate::connector::DeadlineConnector;
use crate::guard::{AddressPolicy, RefusedAddress, host_of};
use crate::limits::{IDLE_CONNECTIONS_MAX, IDLE_TIMEOUT, RESPONSE_BYTES_MAX};
use crate::proxy::{HttpProxy, ProxySettings};

/// A client for external servers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client<DeadlineConnector, Full<Bytes>>,
    policy: AddressPolicy,
    proxies: Arc<ProxySettings>,
    clock: Arc<dyn Clock>,
}

impl Http {
    /// Creates a client that trusts the system's certificates and those of `outgoing`.
    pub(crate) fn new(
        policy: AddressPolicy,
        outgoing: &Outgoing,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let tls = tls(&outgoing.authorities)?;
        let proxies = Arc::new(outgoing.proxies.clone());
        let connector = DeadlineConnector::new(policy, tls, Arc::clone(&proxies));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Self { client, policy, proxies, clock })
    }

    /// Sends a request once. The caller sets the timeout.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(), DeliveryError> {
        self.check(request.uri())?;
        let url = without_credentials(request.uri()).map_err(|_| DeliveryError::Bounced {
            reason: "the address is not a URL that can be asked".to_owned(),
        })?;
        *request.uri_mut() = url;
        let proxy = self.proxies.of(request.uri());
        // A tunnel is opened with this header; a request that is forwarded has it itself.
        if request.uri().scheme() == Some(&Scheme::HTTP)
            && let Some(authorization) = proxy.and_then(HttpProxy::authorization)
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let response = self.client.request(request).await;
        let response = response.map_err(|error| connection_error(&error, proxy))?;
        let (head, body) = response.into_parts();
        // The response is read so that the connection can be reused; an oversized response ends the
        // connection.
        let read = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
        if let Err(error) = read {
            tracing::debug!(%error, "the response was not read to its end");
        }
        verdict(head.status, &head.headers, self.clock.now())
    }

    /// Checks the host of the URL: an IP address, which the resolver never receives.
    fn check(&self, url: &Uri) -> Result<(), DeliveryError> {
        match host_of(url).and_then(|host| self.policy.refusal_of(&host)) {
            Some(cause) => {
                Err(DeliveryError::Bounced { reason: RefusedAddress(cause).to_string() })
            }
            None => Ok(()),
        }
    }
}

fn tls(authorities: &Authorities) -> Result<ClientConfig, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::field("tls", error.to_string()))?;
    Ok(builder.with_root_certificates(authorities.with_system()).with_no_client_auth())
}

/// Returns a URL with letters beyond ASCII as it goes over HTTP: its host in A-labels, and the rest
/// percent-encoded. Another URL stays as it is.
pub(crate) fn ascii_url(url: &str) -> Cow<'_, str> {
    if url.is_ascii() {
        return Cow::Borrowed(url);
    }
    url::Url::parse(url).map_or(Cow::Borrowed(url), |parsed| Cow::Owned(parsed.into()))
}

/// Returns a URL without a user and a password, which a request that is forwarded would show to its
/// proxy.
fn without_credentials(url: &Uri) -> Result<Uri, http::Error> {
    let mut parts = url.clone().into_parts();
    if let Some((_, host)) = url.authority().and_then(|whole| whole.as_str().rsplit_once('@')) {
        parts.authority = Some(Authority::try_from(host)?);
    }
    Ok(Uri::from_parts(parts)?)
}

/// Returns the host and the port of a URL; `nowhere` if it has none.
pub(crate) fn destination(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default())));
    match host {
        Some((host, port)) => format!("{host}:{}", port.unwrap_or(0)),
        None => "nowhere".to_owned(),
    }
}

fn connection_error(
    error: &hyper_util::client::legacy::Error,
    proxy: Option<&HttpProxy>,
) -> DeliveryError {
    let mut cause: Option<&dyn Error> = Some(error);
    let mut last = error.to_string();
    while let Some(source) = cause {
        let inner = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(refused) = inner.and_then(|inner| inner.downcast_ref::<RefusedAddress>()) {
            return DeliveryError::Bounced { reason: refused.to_string() };
        }
        last = source.to_string();
        cause = source.source();
    }
    let reason = match proxy {
        Some(proxy) => format!("cannot be reached through the proxy {proxy}: {last}"),
        None => format!("cannot be reached: {last}"),
    };
    DeliveryError::TryAgain { reason, after_ms: None, blame: Blame::Destination }
}

/// Classifies a response: accepted, to be retried, or refused for good.
fn verdict(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Result<(), DeliveryError> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("answered {status}");
    if status.is_redirection() {
        let reason = format!("{reason}; redirects are not followed, give the final address");
        return Err(DeliveryError::Bounced { reason });
    }
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::NOT_ACCEPTABLE
        | StatusCode::GONE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => Err(DeliveryError::Bounced { reason }),
        status => {
            // A proxy that wants other credentials forwards nothing to this destination.
            let is_theirs = status.is_server_error()
                || status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
            let blame = if is_theirs { Blame::Destination } else { Blame::Recipient };
            Err(DeliveryError::TryAgain { reason, after_ms: retry_after_ms(headers, now), blame })
        }
    }
}

/// Returns the wait in `Retry-After`, which is a number of seconds or a date (RFC 9110, section
/// 10.2.3).
fn retry_after_ms(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(date.timestamp().as_millisecond()).ms_since(now))
}

#[cfg(test)]
mod tests {
    use tower::Service as _;

    use super::*;
    use crate::limits::ATTEMPT_TIMEOUT;

    #[test]
    fn replies_accept_retry_or_bounce() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let outcome = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            verdict(status, &headers, Timestamp(0))
        };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(outcome(status), Ok(()), "{status}");
        }
        for status in [301, 302, 307, 400, 404, 410, 413, 422] {
            assert!(matches!(outcome(status), Err(DeliveryError::Bounced { .. })), "{status}");
        }
        for (status, expected) in [
            (401, Blame::Recipient),
            (407, Blame::Destination),
            (408, Blame::Recipient),
            (429, Blame::Destination),
            (500, Blame::Destination),
            (503, Blame::Destination),
        ] {
            let Err(DeliveryError::TryAgain { after_ms, blame, .. }) = outcome(status) else {
                panic!("{status}")
            };
            assert_eq!((after_ms, blame), (Some(7_000), expected), "{status}");
        }
    }

    #[test]
    fn retry_after_accepts_dates() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "Wed, 21 Oct 2015 07:28:00 GMT".parse().unwrap());
        let date = Timestamp(1_445_412_480_000);
        assert_eq!(retry_after_ms(&headers, Timestamp(date.0 - 90_000)), Some(90_000));
        assert_eq!(retry_after_ms(&headers, date.plus_ms(5)), Some(0));
        headers.insert(RETRY_AFTER, "soon".parse().unwrap());
        assert_eq!(retry_after_ms(&headers, date), None);
    }

    #[test]
    fn destinations_are_host_and_port() {
        assert_eq!(destination("https://a.example/x?y"), "a.example:443");
        assert_eq!(destination("http://user@a.example:81/"), "a.example:81");
        assert_eq!(destination("nats://n.example:4222/x"), "n.example:4222");
        assert_eq!(destination("https://bücher.example/x"), "xn--bcher-kva.example:443");
        assert_eq!(destination("?"), "nowhere");
    }

    #[test]
    fn credentials_leave_urls() {
        for (url, expected) in [
            ("http://ann:s%40c@a.example:81/x?a=b@c", "http://a.example:81/x?a=b@c"),
            ("https://ann@[2001:db8::1]/", "https://[2001:db8::1]/"),
            ("http://a@b@c.example/", "http://c.example/"),
            ("http://a.example/x@y", "http://a.example/x@y"),
        ] {
            assert_eq!(without_credentials(&url.parse().unwrap()).unwrap().to_string(), expected);
        }
    }

    /// The peer accepts the connection, and never answers the handshake.
    #[tokio::test(start_paused = true)]
    async fn stalled_handshakes_cost_one_deadline() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target: Uri = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let tls = tls(&Authorities::default()).unwrap();
        let mut connector = DeadlineConnector::new(AddressPolicy::Open, tls, Arc::default());
        std::future::poll_fn(|cx| connector.poll_ready(cx)).await.unwrap();
        let connecting = tokio::time::timeout(2 * ATTEMPT_TIMEOUT, connector.call(target));
        let error = connecting.await.unwrap().unwrap_err();
        assert!(error.is::<tokio::time::error::Elapsed>(), "{error}");
    }

    #[test]
    fn international_urls_become_ascii() {
        for (url, expected) in [
            ("https://bücher.example/x?a=ü", "https://xn--bcher-kva.example/x?a=%C3%BC"),
            ("https://a.example/größe", "https://a.example/gr%C3%B6%C3%9Fe"),
            ("https://a.example:443", "https://a.example:443"),
            ("https://ü ü/", "https://ü ü/"),
        ] {
            assert_eq!(ascii_url(url), expected);
        }
    }
}
