//! A reverse proxy in front of an API server that injects the faults of networks and busy servers:
//! it is down, refuses requests, is slow, interrupts watches, expires old resource versions, or
//! sends no events. It calls a hook for every write, before the write reaches the server and before
//! the response is returned.

mod relay;
mod tls;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A fault of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// No fault: requests are forwarded.
    None,
    /// Open and new connections are closed.
    Down,
    /// Every request gets a 429 with this `Retry-After`, seconds.
    Busy(u32),
    /// Every request is delayed by this time before it is forwarded, milliseconds.
    Slow(u64),
    /// Watches are interrupted, and get a 410 until their path is listed again.
    Compacted(WatchExpiry),
    /// Watches stay open, but receive nothing more.
    Silent,
    /// A request for a streamed list is refused, as without the feature gate `WatchList`.
    ListsInPages,
}

/// The form of the error for a watch whose resource version has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchExpiry {
    /// The watch starts, and its first event is the error.
    Event,
    /// The request is refused with 410.
    Status,
}

/// A write through the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxiedWrite {
    /// POST, PUT, PATCH or DELETE.
    pub method: String,
    /// The path, without the query.
    pub path: String,
}

/// The point at which the hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPoint {
    /// The server has not received the write.
    Before,
    /// The server has responded, and the client has not received the response.
    After,
}

/// The effect of the hook on a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookAction {
    /// The write or its response is forwarded.
    Forward,
    /// The write or its response is lost: it never reaches the server or the client.
    Lose,
}

type Hook = Arc<dyn Fn(&ProxiedWrite, HookPoint) -> HookAction + Send + Sync>;

/// The state shared by all connections.
struct ProxyState {
    server: SocketAddr,
    fault: watch::Sender<ProxyFault>,
    /// The number of times that watches were interrupted.
    cuts: watch::Sender<usize>,
    /// The paths that were listed since the resource versions expired.
    listed: Mutex<HashSet<String>>,
    hook: Mutex<Option<Hook>>,
}

/// A running proxy; it stops when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<ProxyState>,
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts a proxy to the server at this address.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(ProxyState {
            server,
            fault: watch::channel(ProxyFault::None).0,
            cuts: watch::channel(0).0,
            listed: Mutex::new(HashSet::new()),
            hook: Mutex::new(None),
        });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, runtime: Some(runtime) }
    }

    /// Returns the proxy's URL; plain HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the fault from now on, including for open watches.
    pub fn set(&self, fault: ProxyFault) {
        self.shared.listed.lock().clear();
        self.shared.fault.send_replace(fault);
        if matches!(fault, ProxyFault::Compacted(_)) {
            self.cut_watches();
        }
    }

    /// Interrupts all open watches.
    pub fn cut_watches(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Calls this hook for every write, on the proxy's own threads; the write waits for it.
    pub fn on_write(
        &self,
        hook: impl Fn(&ProxiedWrite, HookPoint) -> HookAction + Send + Sync + 'static,
    ) {
        *self.shared.hook.lock() = Some(Arc::new(hook));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<ProxyState>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if *shared.fault.borrow() == ProxyFault::Down {
            continue;
        }
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<ProxyState>) {
    let mut faults = shared.fault.subscribe();
    let service = service_fn(move |request| relay::relay(Arc::clone(&shared), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A disconnected peer is not an error of the proxy.
        ended = connection => drop(ended),
        _ = faults.wait_for(|fault| *fault == ProxyFault::Down) => {}
    }
}

impl ProxyState {
    fn call_hook(&self, write: &ProxiedWrite, point: HookPoint) -> HookAction {
        let hook = self.hook.lock().clone();
        hook.map_or(HookAction::Forward, |hook| tokio::task::block_in_place(|| hook(write, point)))
    }

    /// Reports whether a watch of this path still has an expired resource version.
    fn is_expired(&self, path: &str) -> bool {
        !self.listed.lock().contains(path)
    }

    /// Records that a client listed this path, and so has current resource versions.
    fn mark_listed(&self, path: &str) {
        self.listed.lock().insert(path.to_owned());
    }
}
