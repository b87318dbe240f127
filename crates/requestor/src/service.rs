//! Starts a requestor, resumes the orders and commands of a former one, and ends it.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::OrderKey;
use orderstream_core::port::{Clock, ProcessorAddresses};
use orderstream_rpc::client::{Dialer, TcpDialer};
use orderstream_rpc::observe::{RpcMetrics, RpcSide};
use tokio_util::sync::CancellationToken;

use crate::buyer::requeue_request;
use crate::channels::ChannelPool;
use crate::command_queue::Origin;
use crate::display_log::DisplayLog;
use crate::error::Error;
use crate::handle::{Handle, assignment};
use crate::metrics::Metrics;
use crate::projector::{Projection, Projector};
use crate::registry::Registry;
use crate::state::{RequestorState, StateParts};
use crate::store;
use crate::store::{Lists, OrderStore, StoredOrders};

/// The time limit for tasks to end after the shutdown, and for storing the last states before.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of orders whose state is stored in one step when the requestor stops.
const PERSIST_BATCH_ORDERS: usize = 1_000;

/// The parts of a requestor.
#[derive(Debug)]
pub struct Parts {
    /// URLs of the processors that new orders are placed on.
    pub processors: Vec<String>,
    /// The processors' addresses, as far as they are known.
    pub addresses: Arc<dyn ProcessorAddresses>,
    /// The least number of connections to each processor for streams.
    pub connections: usize,
    /// The most orders that may be followed at once.
    pub max_orders: usize,
    /// The lists that orders are stored in.
    pub lists: Arc<dyn Lists>,
    /// The projection of order status and follow-ups, for others to read; absent where there is
    /// none.
    pub projection: Option<Projection>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The registry of the metrics.
    pub metrics: prometheus::Registry,
    /// The token that ends the requestor.
    pub shutdown: CancellationToken,
}

/// The requestor, before its start.
#[derive(Debug)]
pub struct Requestor;

impl Requestor {
    /// Counts this start, durably, then resumes every order that has not ended. The displayed state
    /// of an order is displayed again from then on.
    ///
    /// # Errors
    /// When the store cannot be used, or the metrics are registered already.
    pub async fn start(parts: Parts) -> Result<(Handle, Service), Error> {
        let tcp = Arc::new(TcpDialer(Arc::clone(&parts.addresses)));
        Self::start_over(parts, tcp).await
    }

    /// Starts as [`Self::start`] does, over connections that `dialer` makes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_over(
        parts: Parts,
        dialer: Arc<dyn Dialer>,
    ) -> Result<(Handle, Service), Error> {
        let metrics = Metrics::register(&parts.metrics)?;
        let rpc_metrics = RpcMetrics::new(&parts.metrics, RpcSide::Client)?;
        let (display_log, floors) = DisplayLog::open(Arc::clone(&parts.lists))?;
        let store = OrderStore::new(parts.lists);
        let epoch = store.start(&format!("{}", parts.clock.now().0)).await?;
        let StoredOrders { open, ended } = store.load_all()?;
        let projector = parts.projection.map(|projection| {
            let (addresses, projection_metrics) =
                (Arc::clone(&parts.addresses), metrics.projection.clone());
            Arc::new(Projector::new(projection, addresses, projection_metrics))
        });
        let shared = RequestorState::new(StateParts {
            registry: Registry::new(parts.max_orders, metrics.clone()),
            channels: ChannelPool::new(parts.connections, rpc_metrics, dialer),
            store,
            display_log,
            clock: parts.clock,
            metrics,
            processors: parts.processors,
            epoch,
            cancel: parts.shutdown,
            projector: projector.clone(),
        });
        if let Some(projector) = projector {
            shared.tasks.spawn(projector.run(Arc::clone(&shared)));
        }
        let ending = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            ending.cancel.cancelled().await;
            let orders = ending.registry.close();
            tracing::info!(orders, "the requestor no longer follows its orders");
        });
        shared.registry.set_floors(floors);
        ended.into_iter().for_each(|order| shared.registry.add_ended(order));
        shared.tasks.spawn(store::disown_all(Arc::clone(&shared)));
        let forgetting = Arc::clone(&shared);
        shared.tasks.spawn(async move { forgetting.remove_evicted().await });
        let orders = open.len();
        for (key, stored) in open {
            resume_order(&shared, &key, &stored);
        }
        tracing::info!(epoch = epoch.0, orders, "the requestor follows the stored orders");
        Ok((Handle { shared: Arc::clone(&shared) }, Service { shared }))
    }
}

fn resume_order(shared: &Arc<RequestorState>, key: &OrderKey, stored: &store::StoredOrder) {
    if stored.ended.is_none()
        && let Some(submission) = stored.submission.clone()
    {
        if let Err(refusal) = shared.ensure(assignment(*submission, shared.epoch), Origin::Store) {
            tracing::error!(order_req_id = %key.order_req_id, %refusal, "stored order is not followed");
            return;
        }
        for id in &stored.follow_ups {
            shared.registry.add_follow_up(shared.now(), key, id.clone());
        }
    }
    // This includes orders that have ended: the caller's reply was that the command proceeds by
    // itself.
    for command in &stored.open_commands {
        drop(shared.enqueue(key, requeue_request(shared, stored, command)));
    }
}

/// A running requestor.
#[derive(Debug)]
pub struct Service {
    shared: Arc<RequestorState>,
}

impl Service {
    /// Runs until the shutdown token is cancelled, then ends every stream.
    ///
    /// # Errors
    /// None at present; failures are retried.
    pub async fn run(self) -> Result<(), Error> {
        self.shared.cancel.cancelled().await;
        if tokio::time::timeout(STOP_TIMEOUT, self.persist_all()).await.is_err() {
            tracing::warn!("not every order's last state is stored; the rest is read again");
        }
        self.shared.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.shared.tasks.len(), "tasks did not end in time");
        }
        tracing::info!("the requestor has stopped");
        Ok(())
    }

    /// Also stores the states that nobody has read: after the next start a reader finds them at
    /// once, even while the processors are down.
    async fn persist_all(&self) {
        let keys = self.shared.registry.counts().tracked;
        for keys in keys.chunks(PERSIST_BATCH_ORDERS) {
            if let Err(error) = self.shared.persist(keys).await {
                tracing::warn!(%error, "the orders' last state is not stored, and is read again");
                return;
            }
        }
    }
}
