//! Tests of the server and the client over real sockets: the limits that peers observe, attacks,
//! and the counts of calls over a network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed check must stop the test")]

mod attacks;
mod bad_clients;
mod calls;
mod compression;
mod frames;
mod plain;
#[allow(dead_code, reason = "only some of the cases need a network")]
#[path = "../interceptors/stub.rs"]
mod stub;

use std::sync::Arc;
use std::time::Duration;

use orderstream_rpc::client::{self, Connections};
use orderstream_rpc::observe::{AllowAll, RpcMetrics, RpcSide};
use orderstream_rpc::server::{self, ServerLimits};
use prometheus::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::stub::{Case, Stub};

/// The timeout of a test's step; a step that takes this long is stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(30);

/// A server on a port of its own.
pub(crate) struct GrpcServer {
    pub(crate) registry: Registry,
    pub(crate) waits: Arc<Notify>,
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl GrpcServer {
    pub(crate) async fn start(case: Case, bounds: ServerLimits) -> Self {
        let registry = Registry::new();
        let waits = Arc::new(Notify::new());
        let stub = Stub { case, waits: Arc::clone(&waits), received: Arc::default() };
        let routes = Routes::new(server::streaming(stub.clone()))
            .add_service(server::non_streaming(stub.clone()))
            .add_service(server::control(stub));
        let (routes, _health) = server::with_health_and_reflection(routes).unwrap();
        let metrics = RpcMetrics::new(&registry, RpcSide::Server).unwrap();
        let stack = server::stack(routes, &metrics, Arc::new(AllowAll::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, stack, bounds, shutdown.clone()));
        Self { registry, waits, address, shutdown, tasks }
    }

    pub(crate) async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) fn client(&self, connections: usize) -> (Connections, Registry) {
        let registry = Registry::new();
        let metrics = RpcMetrics::new(&registry, RpcSide::Client).unwrap();
        let url = format!("http://{}", self.address);
        (client::connect(&url, connections, &metrics).unwrap(), registry)
    }

    /// Stops the server; every call has ended on its side when this returns.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(STUCK, ended).await.unwrap();
    }
}

/// Returns the sum of a family over all series whose labels have these values.
pub(crate) fn sum(registry: &Registry, family: &str, values: &[&str]) -> u64 {
    let families = registry.gather();
    let family = families.iter().find(|found| found.name() == family).unwrap();
    let fits = |metric: &&prometheus::proto::Metric| {
        values.iter().all(|value| metric.get_label().iter().any(|label| label.value() == *value))
    };
    let value = |metric: &prometheus::proto::Metric| {
        whole(metric.get_counter().get_value() + metric.get_gauge().get_value())
    };
    family.get_metric().iter().filter(fits).map(value).sum()
}

/// Returns a counter's value as an integer.
fn whole(value: f64) -> u64 {
    value.to_string().parse().unwrap()
}
