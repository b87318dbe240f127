//! Whether a status is worth a write, and how soon: pure.

use orderstream_core::tracker::Snapshot;
use orderstream_core::{Reason, Timestamp};

use super::metrics::Band;
use crate::order_status::{OrderRequestStatus, StreamStatus, TrackerStatus};

/// How long a stream may be down before people are told, milliseconds. A restart of a processor
/// takes less, and should not cost a write for each of its orders.
pub const DOWN_MS_SHOWN: u64 = 4_500;
/// How long an edit's effect may take before the edit is shown as taken up, milliseconds.
pub const EDIT_MS_SHOWN: u64 = 1_000;
/// The shortest time between two writes of counters of one order, milliseconds.
pub const PROGRESS_MS_MIN: u64 = 5_000;

/// How urgently `next` is to be shown where `shown` is; `None` when it says nothing new.
pub fn band(shown: &OrderRequestStatus, next: &OrderRequestStatus) -> Option<Band> {
    if next.is_terminal() != shown.is_terminal() {
        return Some(Band::Terminal);
    }
    let processor = |status: &OrderRequestStatus| status.processor().map(ToOwned::to_owned);
    let heads = |status: &OrderRequestStatus| {
        let conditions = status.conditions.iter();
        let kept: Vec<_> = conditions
            .filter(|condition| matches!(condition.type_.as_str(), "Ready" | "Stalled"))
            .map(|held| (held.type_.clone(), held.status.clone(), held.reason.clone()))
            .collect();
        (status.phase.clone(), status.observed_generation, kept)
    };
    if heads(next) != heads(shown) || processor(next) != processor(shown) {
        return Some(Band::Edge);
    }
    (settled(next) != settled(shown)).then_some(Band::Progress)
}

/// A status without what a restart or a reconnect changes and nobody needs at once: it is written
/// along with the next thing that matters.
fn settled(status: &OrderRequestStatus) -> OrderRequestStatus {
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

/// What of a condition's text people need to know by itself: why a stream is refused until somebody does
/// something. What passes by itself changes with every try.
fn lasting(message: &str) -> &'static str {
    let reason = message.split_once(": ").and_then(|(code, _)| Reason::parse(code));
    reason.filter(|reason| !reason.is_retriable()).map_or("", Reason::as_str)
}

/// Whether a snapshot is ready to be shown where `shown` is. It is not while the tracker still
/// reads what was shown before, while an order has only begun to open, or while its stream is
/// down for a short time only; then it says when to look again.
pub fn readiness(
    shown: &OrderRequestStatus,
    snapshot: Option<&Snapshot>,
    began: Timestamp,
    now: Timestamp,
) -> Readiness {
    let stream = snapshot.map(|snapshot| &snapshot.stream);
    let order = snapshot.and_then(|snapshot| snapshot.order.as_deref());
    let ended = order.is_some_and(|order| order.phase.is_terminal());
    if !ended && !stream.is_some_and(|stream| stream.active) {
        let since = stream.and_then(|stream| stream.down_since).unwrap_or(began).max(began);
        let due = since.plus_ms(DOWN_MS_SHOWN);
        return if now < due { Readiness::NotBefore(due) } else { Readiness::DownOnly };
    }
    // A sealed order that was opened is read again, and shown with all that it tells.
    if !ended && order.is_some_and(|order| order.decide_until.is_some() && order.has_hidden()) {
        return Readiness::NotYet;
    }
    // The opening and the choice of sellers come together.
    let seq = order.map_or(0, |order| order.last_seq.0);
    let shown_seq = shown.tracker.as_ref().map_or(0, |tracker| tracker.last_seq);
    if seq < 2 || seq < shown_seq { Readiness::NotYet } else { Readiness::Ready }
}

/// What [`readiness`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Show it.
    Ready,
    /// Another event will come.
    NotYet,
    /// Look again then.
    NotBefore(Timestamp),
    /// Show that the stream is down, and keep the rest as it was shown.
    DownOnly,
}

/// The edit that a status is about: the newest, but one that nobody could carry to the processor is not
/// taken up while the order's stream is down.
pub fn taken_up(observed: Option<i64>, newest: i64, readiness: Readiness) -> i64 {
    match readiness {
        Readiness::DownOnly => observed.unwrap_or(newest),
        Readiness::Ready | Readiness::NotYet | Readiness::NotBefore(_) => newest,
    }
}

#[cfg(test)]
#[path = "publication_tests.rs"]
mod tests;
