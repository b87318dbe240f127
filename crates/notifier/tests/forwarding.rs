//! An HTTP proxy, simulated in this process.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// A proxy that takes every target for one server; it ends when dropped.
pub(crate) struct ForwardProxy {
    pub(crate) address: SocketAddr,
    heads: Mutex<mpsc::Receiver<String>>,
    _tasks: JoinSet<()>,
}

impl ForwardProxy {
    /// Starts a proxy that opens tunnels to a server, and forwards requests to it.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let (sender, heads) = mpsc::channel(64);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(relay(client, server, sender.clone()));
            }
        });
        Self { address, heads: Mutex::new(heads), _tasks: tasks }
    }

    /// Returns the head of the next connection's first request.
    pub(crate) async fn next_head(&self) -> String {
        self.heads.lock().await.recv().await.unwrap()
    }

    /// Reports whether no heads arrived other than those that [`ForwardProxy::next_head`] returned.
    pub(crate) async fn is_drained(&self) -> bool {
        self.heads.lock().await.try_recv().is_err()
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr, heads: mpsc::Sender<String>) {
    let mut bytes = Vec::new();
    let head = loop {
        if client.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break head.to_owned();
        }
    };
    let mut server = TcpStream::connect(server).await.unwrap();
    if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    } else {
        server.write_all(&bytes).await.unwrap();
    }
    heads.send(head).await.unwrap();
    // A side that ends is not a fault.
    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
}
