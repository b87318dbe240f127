//! The status of an order, made from its tracker's snapshot. Pure: the same facts give the same
//! status, and a status that did not change compares equal.

mod facts;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use orderstream_core::date::rfc3339_seconds;
use orderstream_core::display::line_of_bytes;
use orderstream_core::summary::SellerCounts;
use orderstream_core::{
    OrderSummary, Reason, Refusal, RequestPhase, StreamPhase, Timestamp, TrackerSnapshot,
};

use self::facts::{ConditionFacts, stalled};
pub(crate) use self::facts::{UntimedCondition, condition};
use crate::conditions::{
    PROPOSALS_RECEIVED, READY, RECONCILING, SELLERS_NOTIFIED, STALLED, STREAMING,
};
use crate::order_request::{
    AwardStatus, BestProposalStatus, FollowUpsStatus, LastEvent, OrderRequestStatus,
    ProposalsStatus, SellersStatus, StreamStatus, TrackerStatus,
};

/// The largest status, bytes of JSON.
pub const STATUS_BYTES_MAX: usize = 4096;
/// The largest URL of a processor, bytes.
const URL_BYTES_MAX: usize = 256;

/// The types of the conditions that the controller writes. Others may add types of their own.
const CONDITIONS: [&str; 6] =
    [READY, RECONCILING, STALLED, SELLERS_NOTIFIED, STREAMING, PROPOSALS_RECEIVED];

/// Returns the controller's part of a status: its own conditions in their order, without those of
/// others.
pub fn own(mut status: OrderRequestStatus) -> OrderRequestStatus {
    let position = |held: &Condition| CONDITIONS.iter().position(|kind| *kind == held.type_);
    status.conditions.retain(|held| position(held).is_some());
    status.conditions.sort_by_key(position);
    status
}

/// Returns a time without its part of a second, as Kubernetes writes times.
pub fn whole_seconds(at: Timestamp) -> jiff::Timestamp {
    let seconds = at.0.div_euclid(1_000);
    jiff::Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    })
}

/// Returns the status of an order: from its tracker's snapshot where there is one, else the
/// previous one. An end stays for ever. A refused order fails only if no processor ever had it. The
/// best proposal is the one at this time.
pub fn status(
    generation: i64,
    previous: &OrderRequestStatus,
    snapshot: Option<&TrackerSnapshot>,
    refusal: Option<&Refusal>,
    now: Timestamp,
) -> OrderRequestStatus {
    let order = snapshot.and_then(|snapshot| snapshot.summary_at(now));
    let order = order.as_ref();
    let keeps_its_end = previous.is_terminal() && !order.is_some_and(|o| o.phase.is_terminal());
    if keeps_its_end {
        return ended(generation, previous);
    }
    if let Some(refusal) = refusal.filter(|_| order.is_none() && was_placed(previous)) {
        return held(generation, previous, snapshot, refusal, now);
    }
    let mut next = previous.clone();
    next.observed_generation = Some(generation);
    let refused = order.is_none()
        && refusal.is_some_and(|r| matches!(r.reason, Reason::InvalidField | Reason::OrderExists));
    let phase = match snapshot {
        _ if refused => RequestPhase::Failed,
        Some(snapshot) => snapshot.phase(),
        None => RequestPhase::Pending,
    };
    next.phase = Some(phase.to_string());
    if let Some(snapshot) = snapshot {
        copy_stream(&mut next, snapshot, order);
    }
    if let Some(order) = order {
        copy_order(&mut next, order);
    }
    if refused {
        next.completion_time = Some(rfc3339_seconds(now));
        set_stream(&mut next, StreamPhase::Ended);
    }
    let stream = match snapshot {
        _ if refused => StreamPhase::Ended,
        Some(snapshot) => snapshot.stream_phase(),
        None => StreamPhase::Pending,
    };
    let processor = processor_of(snapshot, previous);
    let facts = ConditionFacts { phase, stream, processor, snapshot, order, refusal };
    next.conditions = facts
        .conditions()
        .into_iter()
        .map(|shown| condition(&shown, generation, &previous.conditions, now))
        .collect();
    next
}

/// Returns the status of an order whose end was shown before: a later edit is observed, and changes
/// nothing. The conditions keep the generation that was judged when the order ended.
pub fn ended(generation: i64, previous: &OrderRequestStatus) -> OrderRequestStatus {
    OrderRequestStatus { observed_generation: Some(generation), ..previous.clone() }
}

/// Returns the status with which an order begins anew that was refused before it was opened, and
/// whose spec was edited since; `None` for every other order.
pub fn corrected(generation: i64, previous: &OrderRequestStatus) -> Option<OrderRequestStatus> {
    let is_edited = previous.observed_generation.is_some_and(|judged| judged < generation);
    (previous.is_refused() && is_edited).then(|| OrderRequestStatus {
        phase: None,
        completion_time: None,
        tracker: None,
        ..previous.clone()
    })
}

/// Returns the status of an order whose stream is down, or was never up, while nothing newer is
/// known than was shown: only the stream's part changes, and whether the order is ready.
pub fn down(
    generation: i64,
    previous: &OrderRequestStatus,
    snapshot: Option<&TrackerSnapshot>,
    now: Timestamp,
) -> OrderRequestStatus {
    let mut next = previous.clone();
    if previous.is_terminal() {
        return next;
    }
    let was_open = previous.start_time.is_some();
    let phase = previous.request_phase().filter(|_| was_open).unwrap_or(RequestPhase::Pending);
    let stream = if was_open { StreamPhase::Reconnecting } else { StreamPhase::Pending };
    next.phase = Some(phase.to_string());
    next.observed_generation = Some(generation);
    set_stream(&mut next, stream);
    if let Some(shown) = &mut next.stream {
        shown.connected_since = None;
        shown.attempts = snapshot.map_or(shown.attempts, |snapshot| snapshot.stream.attempts);
    }
    let processor = processor_of(snapshot, previous);
    let facts = ConditionFacts { phase, stream, processor, snapshot, order: None, refusal: None };
    for untimed in facts.conditions() {
        let about_orders = matches!(untimed.0, "SellersNotified" | "ProposalsReceived");
        let index = next.conditions.iter().position(|held| held.type_ == untimed.0);
        if about_orders && index.is_some() {
            continue;
        }
        let made = condition(&untimed, generation, &previous.conditions, now);
        match index.and_then(|held| next.conditions.get_mut(held)) {
            Some(existing) => *existing = made,
            None => next.conditions.push(made),
        }
    }
    next
}

/// Returns the status of an order whose resource is refused while a processor has its order, or may
/// have it: the order goes on as it was shown last, and the refusal is shown beside it.
pub fn held(
    generation: i64,
    previous: &OrderRequestStatus,
    snapshot: Option<&TrackerSnapshot>,
    refusal: &Refusal,
    now: Timestamp,
) -> OrderRequestStatus {
    if previous.is_terminal() {
        return ended(generation, previous);
    }
    let mut next = down(generation, previous, snapshot, now);
    set_stalled(&mut next, Some(refusal), generation, (previous, now));
    next
}

/// Returns the URL of the processor that holds the order; `None` before one was chosen.
fn processor_of<'a>(
    snapshot: Option<&'a TrackerSnapshot>,
    previous: &'a OrderRequestStatus,
) -> Option<&'a str> {
    let followed = snapshot.and_then(|snapshot| snapshot.stream.processor.as_deref());
    followed.or_else(|| previous.processor())
}

/// Reports whether a status shows that a processor has the order, or had it.
fn was_placed(previous: &OrderRequestStatus) -> bool {
    previous.start_time.is_some() || previous.processor().is_some()
}

/// Marks a status that somebody else keeps writing as stalled, unless its order has ended and it is
/// stalled already.
pub fn contested(
    mut next: OrderRequestStatus,
    generation: i64,
    previous: &OrderRequestStatus,
    now: Timestamp,
) -> OrderRequestStatus {
    let is_stalled = |held: &Condition| held.type_ == STALLED && held.status == "True";
    if next.is_terminal() && next.conditions.iter().any(is_stalled) {
        return next;
    }
    let refusal = Refusal::new(
        Reason::StatusContested,
        "somebody else keeps writing this status; find who in metadata.managedFields and stop it",
    );
    set_stalled(&mut next, Some(&refusal), generation, (previous, now));
    next
}

/// Removes that mark from a status that nobody else writes any more.
pub fn uncontested(
    mut next: OrderRequestStatus,
    generation: i64,
    now: Timestamp,
) -> OrderRequestStatus {
    let is_contested = |held: &Condition| held.reason == Reason::StatusContested.as_str();
    if next.conditions.iter().any(is_contested) {
        let previous = next.clone();
        set_stalled(&mut next, None, generation, (&previous, now));
    }
    next
}

fn set_stalled(
    next: &mut OrderRequestStatus,
    refusal: Option<&Refusal>,
    generation: i64,
    (previous, now): (&OrderRequestStatus, Timestamp),
) {
    let made = condition(&stalled(refusal), generation, &previous.conditions, now);
    match next.conditions.iter_mut().find(|held| held.type_ == made.type_) {
        Some(existing) => *existing = made,
        None => next.conditions.push(made),
    }
}

/// Sets the phase of the stream, where the status has one: one that is not up.
fn set_stream(next: &mut OrderRequestStatus, phase: StreamPhase) {
    if let Some(tracker) = &mut next.tracker {
        tracker.stream_active = false;
        tracker.stream = Some(phase.to_string());
    }
}

fn copy_stream(
    next: &mut OrderRequestStatus,
    snapshot: &TrackerSnapshot,
    order: Option<&OrderSummary>,
) {
    let stream = &snapshot.stream;
    let last_event = order.map(|order| LastEvent {
        kind: order.last_event.1.clone().into_owned(),
        time: rfc3339_seconds(order.last_event.0),
    });
    // A tracker that follows the order again counts from zero.
    let reconnects = next.tracker.as_ref().map_or(0, |before| before.reconnects);
    next.tracker = Some(TrackerStatus {
        stream_active: stream.active,
        stream: Some(snapshot.stream_phase().to_string()),
        notes: count(snapshot.follow_up_count),
        last_seq: snapshot.last_seq().0,
        last_event,
        reconnects: stream.reconnects.max(reconnects),
    });
    let processor = stream.processor.as_deref().or_else(|| next.processor());
    next.stream = Some(StreamStatus {
        processor: processor.map(|url| line_of_bytes(url, URL_BYTES_MAX)),
        epoch: stream.epoch.0,
        attempts: stream.attempts,
        connected_since: stream.connected_since.filter(|_| stream.active).map(rfc3339_seconds),
    });
}

fn copy_order(next: &mut OrderRequestStatus, order: &OrderSummary) {
    let counts = &order.proposals;
    let best = best(order);
    next.proposals = Some(ProposalsStatus {
        received: counts.received,
        open: counts.open,
        withdrawn: counts.withdrawn,
        closed: counts.closed,
        best,
    });
    next.sellers = Some(sellers(&order.sellers));
    next.award = order.pending_until.map(|at| AwardStatus { pending_until: rfc3339_seconds(at) });
    next.follow_ups = Some(FollowUpsStatus {
        sent: order.follow_ups,
        last_id: order.last_follow_up.as_ref().map(ToString::to_string),
    });
    next.start_time = Some(rfc3339_seconds(order.opened_at));
    next.expires_at = Some(rfc3339_seconds(order.runs_out_at()));
    next.decide_by = order.decide_by().map(rfc3339_seconds);
    next.deadline = order.decide_by().map(|_| rfc3339_seconds(order.expires_at));
    next.completion_time = order.ended_at.map(rfc3339_seconds);
}

/// Returns the best proposal of an order, as statuses show it.
pub fn best(order: &OrderSummary) -> Option<BestProposalStatus> {
    order.proposals.best.as_ref().map(|(id, price)| BestProposalStatus {
        proposal_id: id.to_string(),
        price: price.to_string(),
    })
}

fn sellers(counts: &SellerCounts) -> SellersStatus {
    SellersStatus {
        selected: counts.selected,
        notified: counts.notified,
        failed: counts.failed,
        seen: counts.seen,
        // A seller that was not invited may decline too; under seal the number is hidden.
        declined: if counts.is_sealed { 0 } else { counts.declined },
        proposed: counts.proposed,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
