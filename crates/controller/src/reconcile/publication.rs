//! The decision whether a status is worth a write, and how soon: pure.

use orderstream_api::conditions::{READY, STALLED};
use orderstream_api::order_status::{OrderRequestStatus, StreamStatus, TrackerStatus};
use orderstream_core::tracker::TrackerSnapshot;
use orderstream_core::{Reason, Timestamp};

use crate::metrics::Band;

/// The time that a stream may be down before its status shows it, milliseconds. A restart of a
/// processor takes less, and should not cost a write for each of its orders.
pub(super) const DOWN_GRACE_MS: u64 = 4_500;
/// The time that an edit's effect may take before the edit is shown as taken up, milliseconds.
pub(super) const EDIT_GRACE_MS: u64 = 1_000;
/// The shortest time between two writes of counters of one order, milliseconds.
pub(super) const PROGRESS_MS_MIN: u64 = 5_000;

/// Returns the urgency of replacing `current` with `next`; `None` when nothing has changed.
pub(super) fn band(current: &OrderRequestStatus, next: &OrderRequestStatus) -> Option<Band> {
    if next.is_terminal() != current.is_terminal() {
        return Some(Band::Terminal);
    }
    let processor = |status: &OrderRequestStatus| status.processor().map(ToOwned::to_owned);
    let heads = |status: &OrderRequestStatus| {
        let conditions = status.conditions.iter();
        let own_conditions: Vec<_> = conditions
            .filter(|condition| matches!(condition.type_.as_str(), READY | STALLED))
            .map(|held| (held.type_.clone(), held.status.clone(), held.reason.clone()))
            .collect();
        (status.phase.clone(), status.observed_generation, own_conditions)
    };
    if heads(next) != heads(current) || processor(next) != processor(current) {
        return Some(Band::Edge);
    }
    (without_volatile(next) != without_volatile(current)).then_some(Band::Progress)
}

/// Returns a status without the parts that a restart or a reconnect changes and nobody needs at
/// once: they are written along with the next change that matters.
fn without_volatile(status: &OrderRequestStatus) -> OrderRequestStatus {
    let stream = status.stream.as_ref().map(|stream| StreamStatus {
        processor: stream.processor.clone(),
        ..StreamStatus::default()
    });
    let tracker =
        status.tracker.as_ref().map(|tracker| TrackerStatus { reconnects: 0, ..tracker.clone() });
    let mut conditions = status.conditions.clone();
    for condition in &mut conditions {
        condition.observed_generation = None;
        condition.message = lasting(&condition.message).to_owned();
    }
    OrderRequestStatus { stream, tracker, conditions, ..status.clone() }
}

/// Returns the part of a condition's text that is worth a write by itself: the cause of a refusal
/// that lasts until an operator acts. The text of a temporary fault changes with every try.
fn lasting(message: &str) -> &'static str {
    let reason = message.split_once(": ").and_then(|(code, _)| Reason::parse(code));
    reason.filter(|reason| !reason.is_retriable()).map_or("", Reason::as_str)
}

/// Decides whether a snapshot is ready to be shown in place of `current`. It is not while the tracker
/// still reads what was shown before, while an order has only begun to open, or while its stream is
/// down for a short time only; then it gives the time to reconcile again.
pub(super) fn readiness(
    current: &OrderRequestStatus,
    snapshot: Option<&TrackerSnapshot>,
    leading_since: Timestamp,
    now: Timestamp,
) -> Readiness {
    let stream = snapshot.map(|snapshot| &snapshot.stream);
    let order = snapshot.and_then(|snapshot| snapshot.order.as_deref());
    let ended = order.is_some_and(|order| order.phase.is_terminal());
    if !ended && !stream.is_some_and(|stream| stream.active) {
        let since =
            stream.and_then(|stream| stream.down_since).unwrap_or(leading_since).max(leading_since);
        let due = since.plus_ms(DOWN_GRACE_MS);
        return if now < due { Readiness::NotBefore(due) } else { Readiness::DownOnly };
    }
    // A sealed order that was opened is read again, and shown without redaction.
    if !ended && order.is_some_and(|order| order.decide_until.is_some() && order.has_redacted()) {
        return Readiness::NotYet;
    }
    // The opening and the choice of sellers come together.
    let seq = order.map_or(0, |order| order.last_seq.0);
    let current_seq = current.tracker.as_ref().map_or(0, |tracker| tracker.last_seq);
    if seq < 2 || seq < current_seq { Readiness::NotYet } else { Readiness::Ready }
}

/// The result of [`readiness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// The snapshot is shown.
    Ready,
    /// Nothing is shown: another event will come.
    NotYet,
    /// Nothing is shown before this time; the order is reconciled again then.
    NotBefore(Timestamp),
    /// The stream is shown as down, and the rest stays as it was.
    DownOnly,
}

/// Returns the generation that a status reports as observed: the newest, except that an edit that
/// could not reach the processor does not count while the order's stream is down.
pub(super) fn reported_generation(observed: Option<i64>, newest: i64, readiness: Readiness) -> i64 {
    match readiness {
        Readiness::DownOnly => observed.unwrap_or(newest),
        Readiness::Ready | Readiness::NotYet | Readiness::NotBefore(_) => newest,
    }
}

#[cfg(test)]
#[path = "publication_tests.rs"]
mod tests;
