//! Metrics and health on their own port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use orderstream_cli::exit::CliError;
use orderstream_core::{Reason, Refusal};
use orderstream_journal::{Embedded, Journal as _};
use orderstream_rpc::problem::{self, PortSide, Problem};
use orderstream_rpc::server::http::{self, HttpLimits};
use prometheus::{Encoder as _, IntGauge, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The limit of connections to the admin port: a few scrapers and probes, each with one or two.
const CONNECTIONS_MAX: usize = 64;

/// The state behind the admin port: metrics, readiness, journals.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    registry: Registry,
    ready: IntGauge,
    is_ready: Arc<AtomicBool>,
    journals: Vec<Embedded>,
}

impl Admin {
    /// Serves the metrics of this registry, and sets `ready` before each scrape.
    pub(crate) fn new(registry: Registry, ready: IntGauge) -> Self {
        let is_ready = Arc::new(AtomicBool::new(false));
        Self { registry, ready, is_ready, journals: Vec::new() }
    }

    /// Makes `/readyz` report those of these journals that are read only.
    pub(crate) fn with_journals(self, journals: Vec<Embedded>) -> Self {
        Self { journals, ..self }
    }

    /// Makes `/readyz` succeed from now on.
    pub(crate) fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
    }

    /// Serves until shutdown; `/readyz` fails from then on.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), CliError> {
        let limits = HttpLimits { connections_max: CONNECTIONS_MAX, ..HttpLimits::default() };
        http::serve(listener, self.router(shutdown.clone()), limits, shutdown).await;
        Ok(())
    }

    fn router(self, shutdown: CancellationToken) -> Router {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready));
        problem::with_fallbacks(router, PortSide::Operators)
            .with_state(AdminState { admin: self, shutdown })
    }
}

#[derive(Clone, Debug)]
struct AdminState {
    admin: Admin,
    shutdown: CancellationToken,
}

impl AdminState {
    /// Reports whether the server has started and is not stopping.
    fn is_ready(&self) -> bool {
        self.admin.is_ready.load(Ordering::Relaxed) && !self.shutdown.is_cancelled()
    }
}

/// Serves `/readyz`. A server whose journal is read only counts as ready: its orders can be read,
/// and only from it.
async fn ready(State(state): State<AdminState>) -> Result<String, Problem> {
    if state.is_ready() {
        let read_only = state.admin.journals.iter().find_map(Embedded::read_only);
        return Ok(read_only.map_or_else(
            || "ok\n".to_owned(),
            |reason| format!("ok, but read only: the journal is damaged: {reason}\n"),
        ));
    }
    Err(Refusal::new(Reason::Draining, "not ready: the server is starting or stopping").into())
}

async fn metrics(State(state): State<AdminState>) -> Response {
    state.admin.ready.set(i64::from(state.is_ready()));
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&state.admin.registry.gather(), &mut text) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    //! Tests of the responses that scrapers and probes get.

    use axum::body::Body;
    use axum::http::{Method, Request};
    use tower::ServiceExt as _;

    use super::*;

    /// Creates an admin port whose metrics are readiness alone.
    fn admin() -> Admin {
        let registry = Registry::new();
        let ready = IntGauge::new("orderstream_ready", "Readiness.").unwrap();
        registry.register(Box::new(ready.clone())).unwrap();
        Admin::new(registry, ready)
    }

    async fn send(
        admin: &Admin,
        shutdown: &CancellationToken,
        method: Method,
        path: &str,
    ) -> StatusAndBody {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let router = admin.clone().router(shutdown.clone());
        let (head, body) = router.oneshot(request).await.unwrap().into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// A response's status and body.
    type StatusAndBody = (u16, String);

    #[tokio::test]
    async fn ready_from_start_to_stop_only() {
        let (admin, shutdown) = (admin(), CancellationToken::new());
        let ready = async || send(&admin, &shutdown, Method::GET, "/readyz").await;
        assert_eq!(ready().await.0, 503);
        admin.set_ready();
        assert_eq!(ready().await, (200, "ok\n".to_owned()));
        shutdown.cancel();
        let (status, body) = ready().await;
        assert_eq!(status, 503);
        assert!(body.contains("DRAINING"), "{body}");
        assert_eq!(send(&admin, &shutdown, Method::GET, "/healthz").await.0, 200);
    }

    #[tokio::test]
    async fn readiness_is_a_metric() {
        let (admin, shutdown) = (admin(), CancellationToken::new());
        let page = async || send(&admin, &shutdown, Method::GET, "/metrics").await.1;
        assert!(page().await.contains("orderstream_ready 0\n"));
        admin.set_ready();
        assert!(page().await.contains("orderstream_ready 1\n"));
        shutdown.cancel();
        assert!(page().await.contains("orderstream_ready 0\n"));
    }

    #[tokio::test]
    async fn wrong_requests_get_a_problem() {
        let (admin, shutdown) = (admin(), CancellationToken::new());
        for (method, path, status) in
            [(Method::GET, "/metric", 404), (Method::POST, "/metrics", 405)]
        {
            let (actual, body) = send(&admin, &shutdown, method, path).await;
            assert_eq!(actual, status, "{path}");
            assert!(body.contains("\"reason\":\"INVALID_REQUEST\""), "{path}: {body}");
        }
    }
}
