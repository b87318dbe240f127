//! Starts a requestor, takes up the orders and commands of a former one, and ends it.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::OrderKey;
use orderstream_core::port::{Addresses, Clock};
use orderstream_rpc::client::{Dialer, Tcp};
use orderstream_rpc::observe::{RpcMetrics, Side};
use tokio_util::sync::CancellationToken;

use crate::act_queue::Origin;
use crate::buyer::taken_up;
use crate::channels::Channels;
use crate::error::Error;
use crate::handle::{Handle, assignment};
use crate::metrics::Metrics;
use crate::projector::{Projection, Projector};
use crate::registry::Registry;
use crate::shared::{Shared, SharedParts};
use crate::shown::ShownLog;
use crate::store;
use crate::store::{Lists, OrderStore, Stock};

/// The time limit for tasks to end after the shutdown, and for storing the last states before.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of orders whose state is stored in one step when the requestor stops.
const KEPT_AT_ONCE: usize = 1_000;

/// The parts of a requestor.
#[derive(Debug)]
pub struct Parts {
    /// URLs of the processors that new orders are placed on.
    pub processors: Vec<String>,
    /// The processors' addresses, as far as they are known.
    pub addresses: Arc<dyn Addresses>,
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
    /// Counts this start, durably, then takes up every order that has not ended. A state that was
    /// shown of an order is shown again from then on.
    ///
    /// # Errors
    /// When the store cannot be used, or the metrics are registered already.
    pub async fn start(parts: Parts) -> Result<(Handle, Service), Error> {
        let tcp = Arc::new(Tcp(Arc::clone(&parts.addresses)));
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
        let rpc_metrics = RpcMetrics::new(&parts.metrics, Side::Client)?;
        let (shown, floors) = ShownLog::open(Arc::clone(&parts.lists))?;
        let store = OrderStore::new(parts.lists);
        let epoch = store.start(&format!("{}", parts.clock.now().0)).await?;
        let Stock { open, ended } = store.take_stock()?;
        let projector = parts.projection.map(|projection| {
            let (addresses, figures) = (Arc::clone(&parts.addresses), metrics.projection.clone());
            Arc::new(Projector::new(projection, addresses, figures))
        });
        let shared = Shared::new(SharedParts {
            registry: Registry::new(parts.max_orders, metrics.clone()),
            channels: Channels::new(parts.connections, rpc_metrics, dialer),
            store,
            shown,
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
            tracing::info!(orders, "the requestor follows its orders no longer");
        });
        shared.registry.lay_floors(floors);
        ended.into_iter().for_each(|order| shared.registry.add_ended(order));
        shared.tasks.spawn(store::disown_all(Arc::clone(&shared)));
        let forgetting = Arc::clone(&shared);
        shared.tasks.spawn(async move { forgetting.forget_ended().await });
        let orders = open.len();
        for (key, stored) in open {
            take_up(&shared, &key, &stored);
        }
        tracing::info!(epoch = epoch.0, orders, "the requestor follows what it finds");
        Ok((Handle { shared: Arc::clone(&shared) }, Service { shared }))
    }
}

fn take_up(shared: &Arc<Shared>, key: &OrderKey, stored: &store::Stored) {
    if stored.ended.is_none()
        && let Some(submission) = stored.submission.clone()
    {
        if let Err(refusal) = shared.ensure(assignment(*submission, shared.epoch), Origin::Store) {
            tracing::error!(order_req_id = %key.order_req_id, %refusal, "stored order is not followed");
            return;
        }
        for id in &stored.follow_ups {
            shared.registry.add_follow_up_note(shared.now(), key, id.clone());
        }
    }
    // This includes orders that have ended: the caller's reply was that the command proceeds by
    // itself.
    for command in &stored.open_acts {
        drop(shared.send(key, taken_up(shared, stored, command)));
    }
}

/// The requestor at work.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
}

impl Service {
    /// Works until the shutdown token is cancelled, then ends every stream.
    ///
    /// # Errors
    /// None at present; failures are retried.
    pub async fn run(self) -> Result<(), Error> {
        self.shared.cancel.cancelled().await;
        if tokio::time::timeout(STOP_TIMEOUT, self.keep_all()).await.is_err() {
            tracing::warn!("not all orders' last state is kept; it is read again");
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
    async fn keep_all(&self) {
        let keys = self.shared.registry.counts().tracked;
        for keys in keys.chunks(KEPT_AT_ONCE) {
            if let Err(error) = self.shared.keep(keys).await {
                tracing::warn!(%error, "the orders' last state is not kept; it is read again");
                return;
            }
        }
    }
}
