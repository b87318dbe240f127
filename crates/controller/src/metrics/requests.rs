//! Counts this process's requests to the API server, under the name that users of client-go know,
//! and remembers the back-off that the server requested: an overloaded server names it in a header,
//! without the details of its other responses.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::rbac::v1::PolicyRule;
use orderstream_api::rbac;
use orderstream_support::Register;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use prometheus::{IntCounterVec, Registry};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::rights::Rights;

/// The code of a request without a response, as client-go writes it.
const NO_RESPONSE: &str = "<error>";

/// The longest back-off, whatever the server requests.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The counters, and the layer that feeds them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Requests {
    total: IntCounterVec,
    rights: Arc<Rights>,
    backoff_until: Arc<Mutex<Option<Instant>>>,
}

impl Requests {
    /// Registers the counters of a controller.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Self::register_for(registry, &[rbac::orders(), rbac::own()].concat())
    }

    /// Registers the counters of a processor that reads its sellers from the cluster.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn register_of_processor(registry: &Registry) -> Result<Self, prometheus::Error> {
        Self::register_for(registry, &rbac::processor())
    }

    fn register_for(registry: &Registry, rules: &[PolicyRule]) -> Result<Self, prometheus::Error> {
        let total = Register::new(registry).counters(
            "rest_client_requests_total",
            "Requests to the API server, by status code and method.",
            &["code", "method"],
        )?;
        for (code, method) in [("200", "GET"), ("201", "POST"), ("200", "PATCH"), ("200", "PUT")] {
            total.with_label_values(&[code, method]).reset();
        }
        let rights = Arc::new(Rights::register(registry, rules)?);
        Ok(Self { total, rights, backoff_until: Arc::default() })
    }

    /// Returns the rest of the back-off that the server requested; `None` where it requested none
    /// or it is over.
    pub fn backoff(&self) -> Option<Duration> {
        let until = (*self.backoff_until.lock())?;
        until.checked_duration_since(Instant::now())
    }

    fn record_response<B>(&self, response: &Response<B>, method: &Method) {
        self.count(response.status().as_str(), method);
        let is_busy = matches!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let seconds = || response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok();
        if let Some(seconds) = is_busy.then(seconds).flatten() {
            let until = Instant::now() + Duration::from_secs(seconds).min(BACKOFF_MAX);
            *self.backoff_until.lock() = Some(until);
        }
    }

    fn count(&self, code: &str, method: &Method) {
        let method = match *method {
            Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                method.as_str()
            }
            _ => "OTHER",
        };
        self.total.with_label_values(&[code, method]).inc();
    }
}

impl<S> Layer<S> for Requests {
    type Service = CountedService<S>;

    fn layer(&self, inner: S) -> CountedService<S> {
        CountedService { inner, requests: self.clone() }
    }
}

/// A client's service whose requests are counted.
#[derive(Clone, Debug)]
pub struct CountedService<S> {
    inner: S,
    requests: Requests,
}

impl<S, A, B> Service<Request<A>> for CountedService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = CountedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        self.requests.rights.count(&request);
        let (requests, method) = (self.requests.clone(), request.method().clone());
        CountedFuture { inner: self.inner.call(request), counted: Some((requests, method)) }
    }
}

pin_project! {
    /// The future of a response; dropped before it is ready, it counts as no response.
    #[derive(Debug)]
    pub struct CountedFuture<F> {
        #[pin]
        inner: F,
        counted: Option<(Requests, Method)>,
    }

    impl<F> PinnedDrop for CountedFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some((requests, method)) = this.project().counted.take() {
                requests.count(NO_RESPONSE, &method);
            }
        }
    }
}

impl<F, B, E> Future for CountedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(context));
        if let Some((requests, method)) = this.counted.take() {
            match &response {
                Ok(response) => requests.record_response(response, &method),
                Err(_) => requests.count(NO_RESPONSE, &method),
            }
        }
        Poll::Ready(response)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn counted(requests: &Requests, code: &str, method: &str) -> u64 {
        requests.total.with_label_values(&[code, method]).get()
    }

    async fn send(requests: &Requests, method: Method) -> Result<Response<()>, Infallible> {
        let respond = |request: Request<()>| async move {
            match *request.method() {
                Method::GET => std::future::pending().await,
                _ => Ok(Response::builder().status(409).body(()).unwrap()),
            }
        };
        let mut service = requests.layer(tower::service_fn(respond));
        service.call(Request::builder().method(method).body(()).unwrap()).await
    }

    /// One that is given up counts too.
    #[tokio::test(start_paused = true)]
    async fn every_request_counts_once_by_code() {
        let requests = Requests::register(&Registry::new()).unwrap();
        send(&requests, Method::PUT).await.unwrap();
        send(&requests, Method::from_bytes(b"BREW").unwrap()).await.unwrap();
        let wait = Duration::from_secs(1);
        tokio::time::timeout(wait, send(&requests, Method::GET)).await.unwrap_err();
        assert_eq!(counted(&requests, "409", "PUT"), 1);
        assert_eq!(counted(&requests, "409", "OTHER"), 1);
        assert_eq!(counted(&requests, NO_RESPONSE, "GET"), 1);
        assert_eq!(counted(&requests, "200", "GET"), 0);
        assert_eq!(requests.backoff(), None);
    }

    /// The back-off is 60 s at most.
    #[tokio::test(start_paused = true)]
    async fn busy_servers_get_requested_back_off() {
        let requests = Requests::register(&Registry::new()).unwrap();
        for (code, header, expected) in [
            (200, "7", None),
            (429, "soon", None),
            (429, "7", Some(Duration::from_secs(7))),
            (503, "2", Some(Duration::from_secs(2))),
            (429, "99999999999", Some(BACKOFF_MAX)),
        ] {
            let response = Response::builder().status(code).header(RETRY_AFTER, header).body(());
            requests.record_response(&response.unwrap(), &Method::PATCH);
            assert_eq!(requests.backoff(), expected, "{code} {header}");
        }
        tokio::time::advance(BACKOFF_MAX + Duration::from_secs(1)).await;
        assert_eq!(requests.backoff(), None);
    }
}
