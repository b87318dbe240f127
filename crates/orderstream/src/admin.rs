//! Metrics and health on their own port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// What the admin port shows.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    registry: Registry,
    is_ready: Arc<AtomicBool>,
}

impl Admin {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, is_ready: Arc::new(AtomicBool::new(false)) }
    }

    /// From now on `/readyz` says yes.
    pub(crate) fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
    }

    /// Serves until the token; `/readyz` says no from the token on.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), Failure> {
        let router = axum::Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .with_state(self.clone());
        let is_ready = self.is_ready;
        let stop = async move {
            shutdown.cancelled().await;
            is_ready.store(false, Ordering::Relaxed);
        };
        axum::serve(listener, router)
            .with_graceful_shutdown(stop)
            .await
            .map_err(|error| Failure::unexpected(format!("cannot serve metrics: {error}")))
    }
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.is_ready.load(Ordering::Relaxed) {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&admin.registry.gather(), &mut text) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
