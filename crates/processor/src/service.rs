//! The processor as a whole: replays, serves gRPC and REST, watches the clock, and drains.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use orderstream_core::notification::Notifier;
use orderstream_core::port::{Clock, SellerDirectory};
use orderstream_journal::Journal;
use orderstream_rpc::observe::{AllowAll, RpcMetrics, Side};
use orderstream_rpc::server::http::HttpLimits;
use orderstream_rpc::server::http_metrics::{HttpMetrics, measured};
use orderstream_rpc::server::{self, ServerLimits, ServerStack};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::grpc::Grpc;
use crate::metrics::Metrics;
use crate::notifications::Notifications;
use crate::orders::{self, Orders, ReplayError};
use crate::peers::{Peers, PeersConfig};
use crate::rest;

/// What a processor is built on.
#[derive(Debug)]
pub struct Parts {
    /// Where events lie.
    pub journal: Arc<dyn Journal>,
    /// Who may be invited.
    pub directory: Arc<dyn SellerDirectory>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub metrics: Registry,
    /// The figures of plain HTTP in this process.
    pub http_metrics: Arc<HttpMetrics>,
    /// Under which name others know this processor, and how it finds them.
    pub peers: PeersConfig,
    /// For how long an order is kept after its end; then its lists are removed, and its name can be
    /// opened anew. [`KEEP_ENDED`](crate::limits::KEEP_ENDED) where nobody says otherwise.
    pub keep_ended: Duration,
    /// When to stop.
    pub shutdown: CancellationToken,
}

/// Why a processor cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A metric's name is taken.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The embedded descriptors cannot be read.
    #[error("cannot serve reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A processor that has read its journal and is ready to serve.
#[derive(Debug)]
pub struct Processor {
    orders: Orders,
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
    /// When the journal cannot be read, or a metric's name is taken.
    pub fn start(parts: Parts) -> Result<Self, Error> {
        let metrics = Metrics::new(&parts.metrics)?;
        let rpc_metrics = RpcMetrics::new(&parts.metrics, Side::Server)?;
        let orders = Orders::replay(orders::Parts {
            journal: parts.journal,
            directory: parts.directory,
            clock: parts.clock,
            metrics: metrics.clone(),
            keep_ended: parts.keep_ended,
        })?;
        tracing::info!(orders = orders.count(), "journal replayed");
        let name = parts.peers.name.clone();
        // Without others no call goes out, and who else runs in this process counts its own.
        let clients = match &parts.peers.file {
            Some(_) => RpcMetrics::new(&parts.metrics, Side::Client)?,
            None => RpcMetrics::new(&Registry::new(), Side::Client)?,
        };
        let peers = Peers::new(parts.peers, clients, metrics);
        let (http_metrics, shutdown) = (parts.http_metrics, parts.shutdown);
        let notifications = None;
        Ok(Self { orders, rpc_metrics, name, peers, http_metrics, notifications, shutdown })
    }

    /// Tells people over these channels from now on, and of what happened since they were told
    /// first. Blocks on the disk.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn telling(mut self, notifier: Arc<dyn Notifier>) -> Result<Self, Error> {
        if self.orders.is_read_only() {
            tracing::error!("the journal is read only: nobody is told of anything");
            return Ok(self);
        }
        let make = |since| Notifications::new(notifier, since);
        self.notifications = Some(self.orders.begin_telling(make)?);
        Ok(self)
    }

    /// Tells nobody. What happens while this processor runs is not told later either. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn silent(self) -> Result<Self, Error> {
        if !self.orders.is_read_only() {
            self.orders.never_tell()?;
        }
        Ok(self)
    }

    /// Waits until all other processors that can be reached know this one. To be asked before
    /// orders are placed here.
    pub fn greeted(&self) -> impl Future<Output = ()> + Send + use<> {
        let peers = self.peers.clone();
        async move { peers.greeted().await }
    }

    /// The orders, for what runs in the same process.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// The three services without layers and ports, for what runs in the same process.
    pub fn routes(&self) -> Routes {
        let service = Grpc::new(self.orders.clone(), self.name.clone(), self.peers.clone());
        Routes::new(server::streaming(service.clone()))
            .add_service(server::non_streaming(service.clone()))
            .add_service(server::control(service))
    }

    /// Serves until shutdown. Then no act is taken any more, every stream is told in band, and
    /// what is under way is finished.
    ///
    /// # Errors
    /// When serving is not possible.
    pub async fn run(self, grpc: TcpListener, rest: TcpListener) -> Result<(), Error> {
        let (of_grpc, of_rest) = (self.shutdown.clone(), self.shutdown.clone());
        let grpc = |stack| server::serve(grpc, stack, ServerLimits::default(), of_grpc);
        let rest = |router| server::http::serve(rest, router, HttpLimits::default(), of_rest);
        self.run_on(grpc, rest).await
    }

    /// The same on what is given: each is called with what it is to serve, until shutdown.
    ///
    /// # Errors
    /// When serving is not possible.
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
        tracing::warn!("every caller may do everything: no authorisation is set up");
        let stack = server::stack(routes, &self.rpc_metrics, Arc::new(AllowAll::default()));
        let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
        let grpc = grpc(stack);
        tasks.spawn(async move {
            grpc.await;
            Ok(())
        });
        let router = rest::forwarding_router(self.orders.clone(), self.peers.clone());
        let rest = rest(measured(router, self.http_metrics));
        tasks.spawn(async move {
            rest.await;
            Ok(())
        });
        let (orders, shutdown) = (self.orders.clone(), self.shutdown.clone());
        tasks.spawn(async move {
            orders.expire(shutdown).await;
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
