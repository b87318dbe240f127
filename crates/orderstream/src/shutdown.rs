//! Shutdown: from a signal to the token that every task watches.

use orderstream_cli::exit::CliError;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Waits for SIGTERM or Ctrl-C, or for the token, and then cancels the token.
pub(crate) async fn on_signal(token: CancellationToken) -> Result<(), CliError> {
    let cannot = |error| CliError::unexpected(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    // Cancel-safe: signals are kept until they are received.
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = token.cancelled() => return Ok(()),
    };
    tracing::info!(signal = name, "stopping");
    token.cancel();
    Ok(())
}
