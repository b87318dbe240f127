//! One connection from its first byte to its end, whatever protocol it speaks.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Serves a connection until it ends, until `first_request` was not notified in time, or, after
/// the token, until its calls have ended. At the token an idle connection ends at once.
pub(super) async fn drive<C>(
    connection: C,
    first_request: Arc<Notify>,
    header_read_timeout: Duration,
    shutdown: CancellationToken,
) where
    C: GracefulConnection,
    C::Error: Display,
{
    let mut connection = pin!(connection);
    let mut head_in_time =
        pin!(tokio::time::timeout(header_read_timeout, first_request.notified()));
    let (mut is_waiting, mut is_draining) = (true, false);
    loop {
        // Cancel-safe: every branch is a future that is polled on by reference.
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            head = head_in_time.as_mut(), if is_waiting => {
                is_waiting = false;
                if head.is_err() {
                    tracing::debug!("no request in time");
                    return;
                }
            }
            () = shutdown.cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
