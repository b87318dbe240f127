//! The accept loop of both servers: accepts connections up to a cap, and ends open ones at
//! shutdown.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backlog;
use crate::limits::{self, ACCEPT_BACKLOG};

/// The largest number of connections beyond the cap that are being refused with a response; further
/// ones are closed without one. Each stays open for at most a second, so that a flood costs as
/// little as possible.
const REFUSALS_MAX: usize = 64;

/// A port and its limits.
#[derive(Debug)]
pub(super) struct Port {
    /// The listener that accepts connections.
    pub(super) listener: TcpListener,
    /// The largest number of concurrent connections.
    pub(super) connections_max: usize,
    /// The time after the token for which the port waits for peers that are about to connect.
    pub(super) last_request_time: Duration,
    /// The time from the token to closing all open connections.
    pub(super) drain_timeout: Duration,
    /// The token that stops the port.
    pub(super) shutdown: CancellationToken,
}

/// Serves each connection with `serve`, and those beyond the cap with `refuse`, until the token is
/// cancelled. Then the port accepts no new connections, serves every peer that is already
/// connected, and closes; connections still open after the drain timeout are closed.
pub(super) async fn accept_all<S, R>(
    port: Port,
    serve: impl Fn(TcpStream) -> S,
    refuse: impl Fn(TcpStream) -> R,
) where
    S: Future<Output = ()> + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let mut open = OpenConnections::new(port.connections_max, serve, refuse);
    loop {
        // Cancel-safe: accepting, joining and the token lose nothing when dropped.
        tokio::select! {
            () = port.shutdown.cancelled() => break,
            stream = accept(&port.listener) => open.admit(stream),
            Some(_) = open.connections.join_next() => {}
        }
    }
    let (now, listener) = (Instant::now(), port.listener);
    if let Err(error) = backlog::stop_accepting(&listener) {
        tracing::debug!(%error, "the kernel accepts connections until the port is closed");
    }
    let handshake_deadline = now + limits::HANDSHAKE_TIME;
    let request_deadline = handshake_deadline.max(now + port.last_request_time);
    loop {
        let until = if open.connections.is_empty() { handshake_deadline } else { request_deadline };
        // Cancel-safe, as above. A connection that is being established is not interrupted.
        tokio::select! {
            stream = accept(&listener) => open.admit(stream),
            Some(_) = open.connections.join_next() => {}
            () = tokio::time::sleep_until(until) => break,
        }
    }
    match backlog::drain(listener, ACCEPT_BACKLOG as usize) {
        Ok(queued) => queued.into_iter().for_each(|stream| open.admit(stream)),
        Err(error) => tracing::debug!(%error, "queued connections are closed"),
    }
    let mut connections = open.connections;
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout_at(now + port.drain_timeout, all_ended).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that did not end");
    }
    connections.shutdown().await;
}

/// The open connections of a port.
struct OpenConnections<F, G> {
    connections: JoinSet<()>,
    free: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    was_full: bool,
    connections_max: usize,
    serve: F,
    refuse: G,
}

impl<F, G, S, R> OpenConnections<F, G>
where
    F: Fn(TcpStream) -> S,
    G: Fn(TcpStream) -> R,
    S: Future<Output = ()> + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn new(connections_max: usize, serve: F, refuse: G) -> Self {
        Self {
            connections: JoinSet::new(),
            free: Arc::new(Semaphore::new(connections_max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            was_full: false,
            connections_max,
            serve,
            refuse,
        }
    }

    /// Serves a connection, or refuses it.
    fn admit(&mut self, stream: TcpStream) {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            self.was_full = false;
            let connection = (self.serve)(stream);
            self.connections.spawn(async move {
                connection.await;
                drop(permit);
            });
            return;
        }
        if !self.was_full {
            self.was_full = true;
            let connections_max = self.connections_max;
            tracing::warn!(connections_max, "connection limit reached, refusing connections");
        }
        if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
            let refusal = (self.refuse)(stream);
            self.connections.spawn(async move {
                refusal.await;
                drop(permit);
            });
        }
    }
}

/// Accepts the next connection. On an error of the kernel (out of file descriptors), waits briefly
/// and tries again.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(limits::ACCEPT_BACKOFF).await;
            }
        }
    }
}
