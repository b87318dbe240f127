//! The processor as a whole: replays, serves gRPC and REST, runs expiries, and drains.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use orderstream_core::notification::Notifier;
use orderstream_core::port::{Clock, SellerDirectory};
use orderstream_journal::Journal;
use orderstream_rpc::observe::{AllowAll, RpcMetrics, RpcSide};
use orderstream_rpc::server::http::HttpLimits;
use orderstream_rpc::server::http_metrics::{HttpMetrics, with_metrics};
use orderstream_rpc::server::{self, ServerLimits, ServerStack};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::grpc::Grpc;
use crate::metrics::Metrics;
use crate::notifications::Notifications;
use crate::orders::{self, OwnedOrders, ReplayError};
use crate::peers::{Peers, PeersConfig};
use crate::rest;

/// The dependencies of a processor.
#[derive(Debug)]
pub struct Parts {
    /// The journal that holds the events.
    pub journal: Arc<dyn Journal>,
    /// The directory of the sellers that may be invited.
    pub directory: Arc<dyn SellerDirectory>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// The registry of the processor's metrics.
    pub metrics: Registry,
    /// The metrics of plain HTTP in this process.
    pub http_metrics: Arc<HttpMetrics>,
    /// The name of this processor, and the settings for finding others.
    pub peers: PeersConfig,
    /// The time for which an order is kept after its end; then its lists are removed, and its id
    /// can be opened again. By default [`KEEP_ENDED`](crate::limits::KEEP_ENDED).
    pub keep_ended: Duration,
    /// Cancelled to stop the processor.
    pub shutdown: CancellationToken,
}

/// An error that stops a processor at its start or later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A metric's name is already registered.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The embedded descriptors cannot be read.
    #[error("cannot serve reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A processor that has read its journal and is ready to serve.
#[derive(Debug)]
pub struct Processor {
    orders: OwnedOrders,
    rpc_metrics: Arc<RpcMetrics>,
    name: String,
    peers: Peers,
    http_metrics: Arc<HttpMetrics>,
    notifications: Option<Notifications>,
    shutdown: CancellationToken,
}

impl Processor {
    /// Reads the journal into memory. Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be read, or a metric's name is already registered.
    pub fn start(parts: Parts) -> Result<Self, Error> {
        let metrics = Metrics::new(&parts.metrics)?;
        let rpc_metrics = RpcMetrics::new(&parts.metrics, RpcSide::Server)?;
        let orders = OwnedOrders::replay(orders::Parts {
            journal: parts.journal,
            directory: parts.directory,
            clock: parts.clock,
            metrics: metrics.clone(),
            keep_ended: parts.keep_ended,
        })?;
        tracing::info!(orders = orders.count(), "journal replayed");
        let name = parts.peers.name.clone();
        // Without peers there are no outgoing calls, and other parts of this process count their
        // own.
        let clients = match &parts.peers.file {
            Some(_) => RpcMetrics::new(&parts.metrics, RpcSide::Client)?,
            None => RpcMetrics::new(&Registry::new(), RpcSide::Client)?,
        };
        let peers = Peers::new(parts.peers, clients, metrics);
        let (http_metrics, shutdown) = (parts.http_metrics, parts.shutdown);
        let notifications = None;
        Ok(Self { orders, rpc_metrics, name, peers, http_metrics, notifications, shutdown })
    }

    /// Sends notifications over these channels from now on, also for events since they were first
    /// enabled. Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn with_notifications(mut self, notifier: Arc<dyn Notifier>) -> Result<Self, Error> {
        if self.orders.is_read_only() {
            tracing::error!("the journal is read only: nobody is notified");
            return Ok(self);
        }
        let make = |since| Notifications::new(notifier, since);
        self.notifications = Some(self.orders.enable_notifications(make)?);
        Ok(self)
    }

    /// Sends no notifications. Events of this run cause none later either. Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn without_notifications(self) -> Result<Self, Error> {
        if !self.orders.is_read_only() {
            self.orders.disable_notifications()?;
        }
        Ok(self)
    }

    /// Waits until all reachable peers know this processor. Orders are placed here only after that.
    pub fn greeted(&self) -> impl Future<Output = ()> + Send + use<> {
        let peers = self.peers.clone();
        async move { peers.greeted().await }
    }

    /// Returns the orders, for other parts of the same process.
    pub fn orders(&self) -> OwnedOrders {
        self.orders.clone()
    }

    /// Returns the three services without layers and ports, for other parts of the same process.
    pub fn routes(&self) -> Routes {
        let service = Grpc::new(self.orders.clone(), self.name.clone(), self.peers.clone());
        Routes::new(server::streaming(service.clone()))
            .add_service(server::non_streaming(service.clone()))
            .add_service(server::control(service))
    }

    /// Serves until shutdown. Then no command is accepted any more, every stream receives the drain
    /// in band, and the work under way is finished.
    ///
    /// # Errors
    /// The processor cannot serve.
    pub async fn run(self, grpc: TcpListener, rest: TcpListener) -> Result<(), Error> {
        let (grpc_shutdown, rest_shutdown) = (self.shutdown.clone(), self.shutdown.clone());
        let grpc = |stack| server::serve(grpc, stack, ServerLimits::default(), grpc_shutdown);
        let rest = |router| server::http::serve(rest, router, HttpLimits::default(), rest_shutdown);
        self.run_on(grpc, rest).await
    }

    /// Serves through the given functions: each receives a service and serves it until shutdown.
    ///
    /// # Errors
    /// The processor cannot serve.
    pub async fn run_on<G, R>(
        self,
        grpc: impl FnOnce(ServerStack) -> G,
        rest: impl FnOnce(Router) -> R,
    ) -> Result<(), Error>
    where
        G: Future<Output = ()> + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let (routes, health) = server::with_health_and_reflection(self.routes())?;
        for name in server::SERVICE_NAMES {
            health.set_service_status(name, tonic_health::ServingStatus::Serving).await;
        }
        tracing::warn!("no authorisation is configured: every caller may do everything");
        let stack = server::stack(routes, &self.rpc_metrics, Arc::new(AllowAll::default()));
        let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
        let grpc = grpc(stack);
        tasks.spawn(async move {
            grpc.await;
            Ok(())
        });
        let router = rest::forwarding_router(self.orders.clone(), self.peers.clone());
        let rest = rest(with_metrics(router, self.http_metrics));
        tasks.spawn(async move {
            rest.await;
            Ok(())
        });
        let (orders, shutdown) = (self.orders.clone(), self.shutdown.clone());
        tasks.spawn(async move {
            orders.expire(shutdown).await;
            Ok(())
        });
        let (orders, shutdown) = (self.orders.clone(), self.shutdown.clone());
        tasks.spawn(async move {
            orders.invite_late_sellers(shutdown).await;
            Ok(())
        });
        if let Some(notifications) = self.notifications {
            let (orders, shutdown) = (self.orders.clone(), self.shutdown.clone());
            tasks.spawn(async move {
                notifications.run(orders, shutdown).await;
                Ok(())
            });
        }
        let (peers, shutdown) = (self.peers, self.shutdown.clone());
        tasks.spawn(async move {
            peers.run(shutdown).await;
            Ok(())
        });
        self.shutdown.cancelled().await;
        for name in server::SERVICE_NAMES {
            health.set_service_status(name, tonic_health::ServingStatus::NotServing).await;
        }
        self.orders.drain();
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(result) => result?,
                Err(error) => tracing::error!(%error, "a task of the processor failed"),
            }
        }
        Ok(())
    }
}
