//! A TCP relay, whose link is healthy, cut, stalled, half-open, or passes single bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::plan::LinkCondition;

/// The size of a read, bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// The number of bytes of a connection that pass one at a time; more would only slow it down.
const SINGLE_BYTES_MAX: usize = 4 * 1024;
/// The timeout for connecting to the far side.
const CONNECT: Duration = Duration::from_secs(2);

/// A running relay; it stops when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    condition: watch::Sender<LinkCondition>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Listens on a free port for connections to `to`.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (condition, receiver) = watch::channel(LinkCondition::Healthy);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, to, receiver));
        Self { address, condition, _tasks: tasks }
    }

    /// Returns the relay's address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the condition of the link from now on, including for open connections.
    pub fn set(&self, condition: LinkCondition) {
        self.condition.send_replace(condition);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, condition: watch::Receiver<LinkCondition>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { continue };
                if *condition.borrow() != LinkCondition::Cut {
                    connections.spawn(join(near, to, condition.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Relays one connection until either side ends it, or the link is cut.
async fn join(near: TcpStream, to: SocketAddr, mut condition: watch::Receiver<LinkCondition>) {
    let Ok(Ok(far)) = tokio::time::timeout(CONNECT, TcpStream::connect(to)).await else { return };
    drop(near.set_nodelay(true));
    drop(far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let up = carry(near_read, far_write, condition.clone());
    let down = carry(far_read, near_write, condition.clone());
    let both = async {
        // A side that has stopped sending still reads: both directions are relayed to their ends.
        tokio::join!(up, down)
    };
    tokio::select! {
        _ = both => {}
        _ = condition.wait_for(|now| *now == LinkCondition::Cut) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut condition: watch::Receiver<LinkCondition>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut is_torn = false;
    let mut singles = 0;
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let now = *condition.borrow_and_update();
        if now == LinkCondition::HalfOpen {
            is_torn = true;
            continue;
        }
        if is_torn {
            // Lost bytes cannot be recovered: the connection ends.
            break;
        }
        if condition.wait_for(|now| *now != LinkCondition::Stalled).await.is_err() {
            break;
        }
        if now == LinkCondition::Bytewise && singles < SINGLE_BYTES_MAX {
            singles += count;
            if one_by_one(&mut to, &chunk[..count]).await.is_err() {
                break;
            }
        } else if to.write_all(&chunk[..count]).await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}

async fn one_by_one(to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        to.write_all(&[*byte]).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
