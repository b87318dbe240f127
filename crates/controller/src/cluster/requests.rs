//! Counts this process's requests to the API server, under the name that users of client-go know,
//! and remembers the back-off that the server asked for: an overloaded server names it in a header,
//! without the details that its other responses have.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::rbac::v1::PolicyRule;
use orderstream_support::Register;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use prometheus::{IntCounterVec, Registry};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::rights::Rights;
use crate::rbac;

/// The code of a request without a response, as client-go writes it.
const NO_ANSWER: &str = "<error>";

/// The longest back-off, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The counters, and the layer that feeds them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Requests {
    total: IntCounterVec,
    rights: Arc<Rights>,
    busy_until: Arc<Mutex<Option<Instant>>>,
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
        Ok(Self { total, rights, busy_until: Arc::default() })
    }

    /// Returns what is left of the back-off that the server asked for; `None` where it asked for
    /// none or it is over.
    pub fn pause(&self) -> Option<Duration> {
        let until = (*self.busy_until.lock())?;
        until.checked_duration_since(Instant::now())
    }

    fn answered<B>(&self, answer: &Response<B>, method: &Method) {
        self.count(answer.status().as_str(), method);
        let is_busy = matches!(
            answer.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let seconds = || answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok();
        if let Some(seconds) = is_busy.then(seconds).flatten() {
            let until = Instant::now() + Duration::from_secs(seconds).min(PAUSE_MAX);
            *self.busy_until.lock() = Some(until);
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
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, requests: self.clone() }
    }
}

/// A client's service whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        self.requests.rights.count(&request);
        let (requests, method) = (self.requests.clone(), request.method().clone());
        Answer { inner: self.inner.call(request), counted: Some((requests, method)) }
    }
}

pin_project! {
    /// A response on its way; one that is dropped before it came counts as none.
    #[derive(Debug)]
    pub struct Answer<F> {
        #[pin]
        inner: F,
        counted: Option<(Requests, Method)>,
    }

    impl<F> PinnedDrop for Answer<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some((requests, method)) = this.project().counted.take() {
                requests.count(NO_ANSWER, &method);
            }
        }
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(context));
        if let Some((requests, method)) = this.counted.take() {
            match &answer {
                Ok(answer) => requests.answered(answer, &method),
                Err(_) => requests.count(NO_ANSWER, &method),
            }
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn counted(requests: &Requests, code: &str, method: &str) -> u64 {
        requests.total.with_label_values(&[code, method]).get()
    }

    async fn ask(requests: &Requests, method: Method) -> Result<Response<()>, Infallible> {
        let answer = |request: Request<()>| async move {
            match *request.method() {
                Method::GET => std::future::pending().await,
                _ => Ok(Response::builder().status(409).body(()).unwrap()),
            }
        };
        let mut service = requests.layer(tower::service_fn(answer));
        service.call(Request::builder().method(method).body(()).unwrap()).await
    }

    /// One that is given up counts too.
    #[tokio::test(start_paused = true)]
    async fn every_request_counts_once_by_code() {
        let requests = Requests::register(&Registry::new()).unwrap();
        ask(&requests, Method::PUT).await.unwrap();
        ask(&requests, Method::from_bytes(b"BREW").unwrap()).await.unwrap();
        let wait = Duration::from_secs(1);
        tokio::time::timeout(wait, ask(&requests, Method::GET)).await.unwrap_err();
        assert_eq!(counted(&requests, "409", "PUT"), 1);
        assert_eq!(counted(&requests, "409", "OTHER"), 1);
        assert_eq!(counted(&requests, NO_ANSWER, "GET"), 1);
        assert_eq!(counted(&requests, "200", "GET"), 0);
        assert_eq!(requests.pause(), None);
    }

    /// The back-off is 60 s at most.
    #[tokio::test(start_paused = true)]
    async fn busy_servers_get_requested_back_off() {
        let requests = Requests::register(&Registry::new()).unwrap();
        for (code, header, wanted) in [
            (200, "7", None),
            (429, "soon", None),
            (429, "7", Some(Duration::from_secs(7))),
            (503, "2", Some(Duration::from_secs(2))),
            (429, "99999999999", Some(PAUSE_MAX)),
        ] {
            let answer = Response::builder().status(code).header(RETRY_AFTER, header).body(());
            requests.answered(&answer.unwrap(), &Method::PATCH);
            assert_eq!(requests.pause(), wanted, "{code} {header}");
        }
        tokio::time::advance(PAUSE_MAX + Duration::from_secs(1)).await;
        assert_eq!(requests.pause(), None);
    }
}
