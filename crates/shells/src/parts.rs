//! Starts the real processor and the real requestor on a host.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use orderstream_core::port::{Clock, DnsAddresses, SellerDirectory};
use orderstream_core::spec::{Contact, Seller};
use orderstream_core::{SellerId, Tenant};
use orderstream_processor::limits::KEEP_ENDED;
use orderstream_processor::{PeersConfig, Processor};
use orderstream_requestor::{JournalLists, Requestor};
use orderstream_rpc::server::http_metrics::HttpMetrics;
use orderstream_rpc::server::{ServerLimits, serve_connection};
use orderstream_torture::plan::SELLERS;
use orderstream_torture::send::http::PlainResponse;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::clock::HostClock;
use crate::host::{Host, ResultSlot};
use crate::journal::DeferredJournal;
use crate::network::Network;

/// The largest response that is read, bytes.
const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The largest number of orders that the requestor follows.
const ORDERS_MAX: usize = 100;

/// The parts of the simulated world that a service uses.
#[derive(Clone, Debug)]
pub(crate) struct HostEnvironment {
    pub(crate) clock: HostClock,
    pub(crate) network: Network,
    pub(crate) urls: Vec<String>,
}

/// A service that runs or starts on a host.
#[derive(Debug)]
pub(crate) struct RunningService {
    /// The service's REST router, once it serves.
    pub(crate) rest: ResultSlot<Router>,
    /// Makes the service drain and end.
    pub(crate) shutdown: CancellationToken,
    /// Filled once the service has ended.
    pub(crate) ended: ResultSlot<()>,
}

impl RunningService {
    /// Sends a request to the service's REST router; `None` while there is none. The slot stays
    /// empty if the host ends.
    pub(crate) fn send(
        &self,
        host: &Host,
        request: Request<Body>,
    ) -> Option<ResultSlot<PlainResponse>> {
        let router = self.rest.lock().clone()?;
        Some(host.spawn_into_slot(async move {
            let response = router.oneshot(request).await;
            let response = response.unwrap_or_else(|never| match never {});
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), RESPONSE_BYTES_MAX).await;
            let text = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
            PlainResponse { status, text }
        }))
    }
}

#[derive(Debug)]
struct PlannedSellers(Arc<[Seller]>);

impl SellerDirectory for PlannedSellers {
    fn sellers(&self, _: &Tenant) -> Arc<[Seller]> {
        Arc::clone(&self.0)
    }
}

fn planned_sellers() -> PlannedSellers {
    let seller = |name: &&str| Seller {
        id: SellerId::new(*name).expect("a name"),
        place: None,
        categories: Vec::new(),
        contact: Contact::default(),
        currency: None,
        capacity: None,
        suspended: false,
        display_name: None,
    };
    PlannedSellers(SELLERS.iter().map(seller).collect())
}

/// Starts the processor with this URL; `None` if its disk prevents that.
pub(crate) fn processor(
    host: &Host,
    url: &str,
    journal: &Arc<DeferredJournal>,
    environment: &HostEnvironment,
) -> Option<RunningService> {
    let (metrics, shutdown) = (Registry::new(), CancellationToken::new());
    let parts = orderstream_processor::Parts {
        journal: Arc::<DeferredJournal>::clone(journal),
        directory: Arc::new(planned_sellers()),
        clock: Arc::new(environment.clock.clone()) as Arc<dyn Clock>,
        http_metrics: HttpMetrics::register(&metrics).expect("the figures are registered once"),
        metrics,
        peers: PeersConfig::alone(url.to_owned()),
        keep_ended: KEEP_ENDED,
        shutdown: shutdown.clone(),
    };
    journal.start();
    let started =
        host.within(|| Processor::start(parts).and_then(Processor::without_notifications));
    journal.finish_start();
    let processor = started.ok()?;
    let mut connections = environment.network.listen(url);
    let rest: ResultSlot<Router> = ResultSlot::default();
    let (served, stop, of_rest) = (Arc::clone(&rest), shutdown.clone(), shutdown.clone());
    let ended = host.spawn_into_slot(async move {
        let grpc = move |stack: orderstream_rpc::server::ServerStack| async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Some(connection) = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                connection = connections.recv() => connection,
            } {
                let (stack, stop) = (stack.clone(), stop.clone());
                let limits = ServerLimits::default();
                tasks.spawn(serve_connection(connection, stack, limits, stop));
            }
            while tasks.join_next().await.is_some() {}
        };
        let rest = move |router| async move {
            *served.lock() = Some(router);
            of_rest.cancelled().await;
            *served.lock() = None;
        };
        processor.run_on(grpc, rest).await.expect("it serves");
    });
    Some(RunningService { rest, shutdown, ended })
}

/// Starts the requestor. If its disk prevents that, the service has ended at once.
pub(crate) fn requestor(
    host: &Host,
    journal: &Arc<DeferredJournal>,
    environment: &HostEnvironment,
) -> RunningService {
    let shutdown = CancellationToken::new();
    let parts = orderstream_requestor::Parts {
        processors: environment.urls.clone(),
        addresses: Arc::new(DnsAddresses),
        connections: 1,
        max_orders: ORDERS_MAX,
        lists: Arc::new(JournalLists::new(Arc::<DeferredJournal>::clone(journal))),
        projection: None,
        clock: Arc::new(environment.clock.clone()),
        metrics: Registry::new(),
        shutdown: shutdown.clone(),
    };
    let rest: ResultSlot<Router> = ResultSlot::default();
    let (served, dialer) = (Arc::clone(&rest), Arc::new(environment.network.clone()));
    let ended = host.spawn_into_slot(async move {
        let Ok((handle, service)) = Requestor::start_over(parts, dialer).await else { return };
        *served.lock() = Some(orderstream_requestor::rest::router(Arc::new(handle)));
        service.run().await.expect("it runs");
        *served.lock() = None;
    });
    RunningService { rest, shutdown, ended }
}
