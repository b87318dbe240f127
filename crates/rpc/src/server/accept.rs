//! The loop that both servers share: accepts up to a cap, and ends what is open at shutdown.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::limits;

/// Connections beyond the cap that are told so at the same time; the rest is closed without a word.
/// Each is held for a second at most, so that a flood costs as little as it can.
const REFUSALS_MAX: usize = 64;

/// A port and its bounds.
#[derive(Debug)]
pub(super) struct Port {
    /// Where connections come from.
    pub(super) listener: TcpListener,
    /// Connections at the same time.
    pub(super) connections_max: usize,
    /// From the token to closing what is still open.
    pub(super) drain_timeout: Duration,
    /// When to stop.
    pub(super) shutdown: CancellationToken,
}

/// Serves each connection with `serve`, and those beyond the cap with `refuse`, until the token.
/// Then nothing is accepted, and what is still open after the drain timeout is closed.
pub(super) async fn accept_all<S, R>(
    port: Port,
    serve: impl Fn(TcpStream) -> S,
    refuse: impl Fn(TcpStream) -> R,
) where
    S: Future<Output = ()> + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let free = Arc::new(Semaphore::new(port.connections_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut connections = JoinSet::new();
    let mut was_full = false;
    loop {
        // Cancel-safe: accepting, joining and the token all lose nothing when dropped.
        let stream = tokio::select! {
            () = port.shutdown.cancelled() => break,
            stream = accept(&port.listener) => stream,
            Some(_) = connections.join_next() => continue,
        };
        if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
            was_full = false;
            let connection = serve(stream);
            connections.spawn(async move {
                connection.await;
                drop(permit);
            });
            continue;
        }
        if !was_full {
            was_full = true;
            tracing::warn!(connections_max = port.connections_max, "connections are refused");
        }
        if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
            let refusal = refuse(stream);
            connections.spawn(async move {
                refusal.await;
                drop(permit);
            });
        }
    }
    drop(port.listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(port.drain_timeout, all_ended).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that did not end");
    }
    connections.shutdown().await;
}

/// The next connection. When the system refuses (out of files), waits a little and tries again.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}
