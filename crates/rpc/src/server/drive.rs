//! Drives one connection in either protocol, from its first byte to its end.

use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper_util::server::graceful::GracefulConnection;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, ConnectionState};

/// The timeouts of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionTimeouts {
    /// The time from the start of the connection to the head of its first request.
    pub(super) header_read_timeout: Duration,
    /// The silence after the token that ends the connection.
    pub(super) last_request_time: Duration,
}

/// Serves a connection until it ends, until the head of its first request is overdue, or, after the
/// token, until its requests have responses and no other request arrives for a while. Each HTTP/1.1
/// response after the token must have `Connection: close`, which ends the connection too.
pub(super) async fn drive<C>(
    connection: C,
    activity: &Activity,
    timeouts: ConnectionTimeouts,
    shutdown: CancellationToken,
) where
    C: GracefulConnection,
    C::Error: Display,
{
    let mut connection = pin!(connection);
    let mut head_in_time =
        pin!(tokio::time::timeout(timeouts.header_read_timeout, activity.first_call()));
    let mut may_end = pin!(async {
        shutdown.cancelled().await;
        activity.may_end(timeouts.last_request_time).await;
    });
    let (mut is_waiting, mut is_ending) = (true, false);
    loop {
        // Cancel-safe: every branch polls a future by reference. The connection is polled first:
        // what has arrived counts, even if the timeout has passed.
        tokio::select! {
            biased;
            ended = connection.as_mut() => return log_end(ended),
            head = head_in_time.as_mut(), if is_waiting => {
                is_waiting = false;
                if head.is_err() {
                    tracing::debug!("connection closed: its first request did not arrive in time");
                    return;
                }
            }
            () = may_end.as_mut(), if !is_ending => {
                activity.read_past_runtime();
                if let Some(ended) = connection.as_mut().now_or_never() {
                    return log_end(ended);
                }
                is_ending = true;
                match activity.state() {
                    ConnectionState::Silent => return,
                    ConnectionState::Busy => {}
                    ConnectionState::Idle | ConnectionState::Http2 => connection.as_mut().graceful_shutdown(),
                }
            }
        }
    }
}

fn log_end<E: Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
