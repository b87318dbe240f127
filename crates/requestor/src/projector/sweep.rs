//! Compares all lists of all processors with the projection: at the start, after the projection was
//! unreachable, and periodically. It finds the differences for which nothing wakes the projection:
//! orders that ended while the projection or the requestor was down, and a projection that was
//! deleted or restored.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use orderstream_core::{Incarnation, OrderIncarnation, OrderKey, Refusal, Seq};
use orderstream_rpc::client;
use orderstream_rpc::v1;
use tonic::Request;

use super::Projector;
use super::queue::{ListLocation, WAITING_MAX};
use crate::backoff::backoff_up_to;
use crate::command_sender::refusal_of;
use crate::state::RequestorState;

/// The number of orders that are compared in one step.
const PAGE_ORDERS: u32 = 500;
/// The time limit of a page of a processor's list.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest back-off before a failed step is tried again.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The tries of a processor that does not reply, before it is left for the next sweep.
const TRIES_MAX: u32 = 6;
/// The most orders that may wait while more orders are read.
const WAITING_FOR_MORE_MAX: usize = WAITING_MAX / 10;
/// The interval of the checks for known processors, while there is none.
const PROCESSORS_POLL: Duration = Duration::from_secs(1);
/// The interval of the checks for capacity for more orders.
const CAPACITY_POLL: Duration = Duration::from_millis(100);

/// A page of a processor's list.
struct SweepPage {
    found: Vec<(OrderIncarnation, Seq)>,
    /// The order after which the next page begins; absent after the last page.
    next: Option<v1::OrderRef>,
}

/// Compares all lists once.
pub(super) async fn sweep(shared: &RequestorState, projector: &Projector) {
    let mut backoff = backoff_up_to(WAIT_MAX);
    while projector.call(projector.store.prepare()).await.is_err() {
        tokio::time::sleep(backoff.next_wait()).await;
    }
    projector.clear_sweep_request();
    // In a cluster the processors become known a moment after the start.
    let mut processors = known_processors(shared, projector);
    while processors.is_empty() {
        tokio::time::sleep(PROCESSORS_POLL).await;
        processors = known_processors(shared, projector);
    }
    for processor in processors {
        sweep_processor(shared, projector, &Arc::from(processor.as_str())).await;
    }
    projector.metrics.sweeps.inc();
}

fn known_processors(shared: &RequestorState, projector: &Projector) -> BTreeSet<String> {
    let mut processors: BTreeSet<String> = shared.processors.iter().cloned().collect();
    processors.extend(projector.addresses.known());
    processors.extend(shared.registry.processors());
    processors
}

async fn sweep_processor(shared: &RequestorState, projector: &Projector, processor: &Arc<str>) {
    let mut backoff = backoff_up_to(WAIT_MAX);
    let mut after = None;
    loop {
        while projector.len() > WAITING_FOR_MORE_MAX {
            tokio::time::sleep(CAPACITY_POLL).await;
        }
        match fetch_page(shared, projector, processor, after.clone()).await {
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
async fn compare(projector: &Projector, processor: &Arc<str>, found: Vec<(OrderIncarnation, Seq)>) {
    let orders: Vec<OrderIncarnation> = found.iter().map(|(order, _)| order.clone()).collect();
    let mut backoff = backoff_up_to(WAIT_MAX);
    let cursors = loop {
        match projector.call(projector.store.cursors(&orders)).await {
            Ok(cursors) => break cursors,
            Err(_) => tokio::time::sleep(backoff.next_wait()).await,
        }
    };
    for ((order, last_seq), cursor) in found.into_iter().zip(cursors) {
        if cursor.seq != last_seq {
            let OrderIncarnation { key, incarnation } = order;
            let processor = Arc::clone(processor);
            projector.mark(&key, Some(ListLocation { incarnation, processor, last_seq }));
        }
    }
}

async fn fetch_page(
    shared: &RequestorState,
    projector: &Projector,
    processor: &str,
    after: Option<v1::OrderRef>,
) -> Result<SweepPage, Refusal> {
    let mut control = client::control(shared.channels.for_projection(processor)?);
    let mut request = Request::new(v1::ListOrdersRequest {
        // A processor lists one tenant or all of them.
        tenant: projector.scope.single().map(ToString::to_string).unwrap_or_default(),
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
    let mut found = summaries.iter().map(order_of).collect::<Result<Vec<_>, _>>()?;
    found.retain(|(order, _)| projector.scope.includes(&order.key.tenant));
    Ok(SweepPage { found, next })
}

fn order_of(summary: &v1::OrderSummary) -> Result<(OrderIncarnation, Seq), Refusal> {
    let order = summary.order.clone().unwrap_or_default();
    let key = OrderKey::new(&order.tenant, &order.order_req_id)?;
    let incarnation = Incarnation::new(&order.incarnation)?;
    Ok((OrderIncarnation { key, incarnation }, Seq(summary.last_seq)))
}
