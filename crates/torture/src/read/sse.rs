//! A reader of server-sent events.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{BACKOFF, Follower, RESTART_EVERY};
use crate::event::ComparableEvent;
use crate::history::ReaderKind;

/// Follows an order's events over HTTP to its end.
pub async fn follow(address: SocketAddr, follower: Follower) {
    let mut last = 0;
    for connection in 1.. {
        let after = if connection % RESTART_EVERY == 0 { 0 } else { last };
        if connect(address, &follower, connection, after, &mut last).await.is_ok_and(|over| over) {
            return;
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

/// Reads from one connection; returns `true` when the order has ended.
async fn connect(
    address: SocketAddr,
    follower: &Follower,
    connection: u32,
    after: u64,
    last: &mut u64,
) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0, so that the body is not chunked and ends with the connection.
    let request = format!(
        "GET /api/v1/orders/{}/events HTTP/1.0\r\nhost: rig\r\nlast-event-id: {after}\r\n\r\n",
        follower.order
    );
    stream.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        let data = line.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok());
        let Some(event) = data.and_then(|data| ComparableEvent::from_sse(&data)) else { continue };
        *last = event.seq;
        let is_last = event.is_last();
        follower.record(ReaderKind::Sse, connection, after, event);
        if is_last {
            return Ok(true);
        }
    }
    Ok(false)
}
