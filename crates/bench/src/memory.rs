//! Measures the memory of an open stream and of a parked order.

use crate::load::Streams;
use crate::process::PinnedServer;

/// Returns the mean memory per open stream, bytes.
pub(crate) async fn per_stream(server: &PinnedServer, streams: usize) -> anyhow::Result<u64> {
    // The first streams allocate connections, threads and pools.
    let warm = Streams::open(server, 8_000_000..8_000_200, None).await?;
    let before = server.rss_bytes()?;
    let open = Streams::open(server, 0..streams, None).await?;
    let after = server.rss_bytes()?;
    open.close().await;
    warm.close().await;
    Ok(after.saturating_sub(before) / u64::try_from(streams)?)
}

/// Returns the mean memory per parked order, which was opened and is no longer followed, bytes.
pub(crate) async fn per_parked_order(server: &PinnedServer, orders: usize) -> anyhow::Result<u64> {
    const WAVE: usize = 2_000;
    let mut before = 0;
    for wave in 0..=orders / WAVE {
        let first = 1_000_000 + wave * WAVE;
        Streams::open(server, first..first + WAVE, None).await?.close().await;
        if wave == 0 {
            before = server.rss_bytes()?;
        }
    }
    Ok(server.rss_bytes()?.saturating_sub(before) / u64::try_from(orders)?)
}
