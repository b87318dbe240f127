//! Compares all lists of all processors with the projection: at the start, after the projection was
//! away, and periodically. It finds the differences that nothing wakes the projection for: orders
//! that ended while the projection or the requestor was down, and a projection that was wiped or
//! restored.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use orderstream_core::port::OrderLife;
use orderstream_core::{Incarnation, OrderKey, Refusal, Seq};
use orderstream_rpc::client;
use orderstream_rpc::v1;
use tonic::Request;

use super::Projector;
use super::agenda::{Place, WAITING_MAX};
use crate::acts::refusal_of;
use crate::backoff::backoff_up_to;
use crate::shared::Shared;

/// The number of orders that are compared in one step.
const PAGE_ORDERS: u32 = 500;
/// The time limit of a page of a processor's list.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest back-off before a failed step is tried again.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The tries of a processor that does not reply, before it is left for the next sweep.
const TRIES_MAX: u32 = 6;
/// The most orders that may wait while more are read.
const WAITING_FOR_MORE_MAX: usize = WAITING_MAX / 10;
/// The interval of the checks for known processors, while there is none.
const PROCESSORS_LOOK: Duration = Duration::from_secs(1);
/// The interval of the checks for room for more orders.
const ROOM_LOOK: Duration = Duration::from_millis(100);

/// A page of a processor's list.
struct Page {
    found: Vec<(OrderLife, Seq)>,
    /// The order after which the next page begins; absent after the last page.
    next: Option<v1::OrderRef>,
}

/// Compares all lists once.
pub(super) async fn sweep(shared: &Shared, projector: &Projector) {
    let mut backoff = backoff_up_to(WAIT_MAX);
    while projector.ask(projector.store.prepare()).await.is_err() {
        tokio::time::sleep(backoff.next_wait()).await;
    }
    projector.sweep_begins();
    // In a cluster the processors become known a moment after the start.
    let mut processors = processors(shared, projector);
    while processors.is_empty() {
        tokio::time::sleep(PROCESSORS_LOOK).await;
        processors = self::processors(shared, projector);
    }
    for processor in processors {
        sweep_processor(shared, projector, &Arc::from(processor.as_str())).await;
    }
    projector.figures.sweeps.inc();
}

fn processors(shared: &Shared, projector: &Projector) -> BTreeSet<String> {
    let mut processors: BTreeSet<String> = shared.processors.iter().cloned().collect();
    processors.extend(projector.addresses.known());
    processors.extend(shared.registry.processors());
    processors
}

async fn sweep_processor(shared: &Shared, projector: &Projector, processor: &Arc<str>) {
    let mut backoff = backoff_up_to(WAIT_MAX);
    let mut after = None;
    loop {
        while projector.len() > WAITING_FOR_MORE_MAX {
            tokio::time::sleep(ROOM_LOOK).await;
        }
        match page(shared, projector, processor, after.clone()).await {
            Ok(page) => {
                backoff.reset();
                compare(projector, processor, page.found).await;
                match page.next {
                    Some(next) => after = Some(next),
                    None => return,
                }
            }
            Err(refusal) if backoff.failures() >= TRIES_MAX => {
                tracing::warn!(%processor, %refusal, "a processor's orders are not compared");
                return;
            }
            Err(_) => tokio::time::sleep(backoff.next_wait()).await,
        }
    }
}

/// Marks the orders that are projected less far, or farther, than their lists go.
async fn compare(projector: &Projector, processor: &Arc<str>, found: Vec<(OrderLife, Seq)>) {
    let lives: Vec<OrderLife> = found.iter().map(|(life, _)| life.clone()).collect();
    let mut backoff = backoff_up_to(WAIT_MAX);
    let cursors = loop {
        match projector.ask(projector.store.cursors(&lives)).await {
            Ok(cursors) => break cursors,
            Err(_) => tokio::time::sleep(backoff.next_wait()).await,
        }
    };
    for ((life, last_seq), cursor) in found.into_iter().zip(cursors) {
        if cursor.seq != last_seq {
            let OrderLife { key, incarnation } = life;
            let processor = Arc::clone(processor);
            projector.mark(&key, Some(Place { incarnation, processor, last_seq }));
        }
    }
}

async fn page(
    shared: &Shared,
    projector: &Projector,
    processor: &str,
    after: Option<v1::OrderRef>,
) -> Result<Page, Refusal> {
    let mut control = client::control(shared.channels.for_projection(processor)?);
    let mut request = Request::new(v1::ListOrdersRequest {
        tenant: projector.tenant.clone().unwrap_or_default(),
        after,
        max_orders: PAGE_ORDERS,
        ..v1::ListOrdersRequest::default()
    });
    request.set_timeout(PAGE_TIMEOUT);
    let call = async {
        let summaries = control.list_orders(request).await?.into_inner();
        summaries.try_collect::<Vec<v1::OrderSummary>>().await
    };
    let summaries = match tokio::time::timeout(PAGE_TIMEOUT, call).await {
        Ok(summaries) => summaries.map_err(|status| refusal_of(&status))?,
        Err(_) => {
            let text = "the processor's list took too long";
            return Err(Refusal::new(orderstream_core::Reason::Unreachable, text));
        }
    };
    let is_full = u32::try_from(summaries.len()).is_ok_and(|len| len >= PAGE_ORDERS);
    let next = summaries.last().and_then(|last| last.order.clone()).filter(|_| is_full);
    let found = summaries.iter().map(life_of).collect::<Result<_, _>>()?;
    Ok(Page { found, next })
}

fn life_of(summary: &v1::OrderSummary) -> Result<(OrderLife, Seq), Refusal> {
    let order = summary.order.clone().unwrap_or_default();
    let key = OrderKey::new(&order.tenant, &order.order_req_id)?;
    let incarnation = Incarnation::new(&order.incarnation)?;
    Ok((OrderLife { key, incarnation }, Seq(summary.last_seq)))
}
