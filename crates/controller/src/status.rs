//! What is known of an order, as its resource shows it. Pure: the same facts give the same status,
//! and a status that did not change compares equal.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use orderstream_core::date::rfc3339_seconds;
use orderstream_core::summary::SellerCounts;
use orderstream_core::{Phase, Reason, Refusal, Snapshot, Summary, Timestamp};

use crate::order_request::{
    AwardStatus, Best, FollowUpsStatus, LastEvent, OrderRequestStatus, ProposalsStatus,
    SellersStatus, StreamStatus, TrackerStatus,
};

/// A status never has more bytes than this, as JSON.
pub const STATUS_BYTES_MAX: usize = 4096;
/// Bytes of a free text in a condition.
const MESSAGE_BYTES_MAX: usize = 200;
/// Bytes of a processor's URL.
const URL_BYTES_MAX: usize = 256;

/// The conditions that the controller writes. Others may add kinds of their own beside them.
const CONDITIONS: [&str; 6] =
    ["Ready", "Reconciling", "Stalled", "SellersNotified", "Streaming", "ProposalsReceived"];

/// The controller's part of a status: without conditions of others, its own in their order.
pub fn own(mut status: OrderRequestStatus) -> OrderRequestStatus {
    let place = |held: &Condition| CONDITIONS.iter().position(|kind| *kind == held.type_);
    status.conditions.retain(|held| place(held).is_some());
    status.conditions.sort_by_key(place);
    status
}

pub(crate) fn moment(at: Timestamp) -> jiff::Timestamp {
    let seconds = at.0.div_euclid(1_000);
    jiff::Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    })
}

/// The status of an order: from its tracker's snapshot where there is one, else what was known
/// before. An end stays for ever.
pub fn status(
    generation: i64,
    previous: &OrderRequestStatus,
    snapshot: Option<&Snapshot>,
    refusal: Option<&Refusal>,
    now: Timestamp,
) -> OrderRequestStatus {
    let order = snapshot.and_then(Snapshot::summary);
    let order = order.as_ref();
    let keeps_its_end = previous.is_terminal() && !order.is_some_and(|o| o.phase.is_terminal());
    if keeps_its_end {
        return ended(generation, previous);
    }
    let mut next = previous.clone();
    next.observed_generation = Some(generation);
    let refused = order.is_none()
        && refusal.is_some_and(|r| matches!(r.reason, Reason::InvalidField | Reason::OrderExists));
    let phase = match snapshot {
        _ if refused => "Failed",
        Some(snapshot) => snapshot.phase(),
        None => "Pending",
    };
    next.phase = Some(phase.to_owned());
    if let Some(snapshot) = snapshot {
        copy_stream(&mut next, snapshot, order);
    }
    if let Some(order) = order {
        copy_order(&mut next, order);
    }
    if refused {
        next.completion_time = Some(rfc3339_seconds(now));
    }
    let facts = Facts { phase, snapshot, order, refusal };
    next.conditions = facts
        .conditions()
        .into_iter()
        .map(|shown| condition(&shown, generation, &previous.conditions, now))
        .collect();
    next
}

/// The status of an order whose end was shown before: an edit that came since was seen, and changes
/// nothing. The conditions keep the generation that was judged when the order ended.
pub fn ended(generation: i64, previous: &OrderRequestStatus) -> OrderRequestStatus {
    OrderRequestStatus { observed_generation: Some(generation), ..previous.clone() }
}

/// The status of an order whose stream is down, or was never up, and of which nothing newer is
/// known than what was shown: what was shown stays, the connection is shown as it is.
pub fn down(
    generation: i64,
    previous: &OrderRequestStatus,
    snapshot: Option<&Snapshot>,
    now: Timestamp,
) -> OrderRequestStatus {
    let mut next = previous.clone();
    if previous.is_terminal() {
        return next;
    }
    let was_open = previous.start_time.is_some();
    let phase = if was_open { "Reconnecting" } else { "Pending" };
    next.phase = Some(phase.to_owned());
    next.observed_generation = Some(generation);
    if let Some(tracker) = &mut next.tracker {
        tracker.stream_active = false;
    }
    if let Some(stream) = &mut next.stream {
        stream.connected_since = None;
        stream.attempts = snapshot.map_or(stream.attempts, |snapshot| snapshot.stream.attempts);
    }
    let facts = Facts { phase, snapshot, order: None, refusal: None };
    for shown in facts.conditions() {
        let about_orders = matches!(shown.0, "SellersNotified" | "ProposalsReceived");
        let held = next.conditions.iter().position(|held| held.type_ == shown.0);
        if about_orders && held.is_some() {
            continue;
        }
        let made = condition(&shown, generation, &previous.conditions, now);
        match held.and_then(|held| next.conditions.get_mut(held)) {
            Some(held) => *held = made,
            None => next.conditions.push(made),
        }
    }
    next
}

/// A status that somebody else keeps writing: it says so, unless it is the end of an order and has
/// something to say already.
pub fn contested(
    mut next: OrderRequestStatus,
    generation: i64,
    previous: &OrderRequestStatus,
    now: Timestamp,
) -> OrderRequestStatus {
    let is_stalled = |held: &Condition| held.type_ == "Stalled" && held.status == "True";
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

/// A status that nobody else writes: it no longer says so.
pub fn uncontested(
    mut next: OrderRequestStatus,
    generation: i64,
    now: Timestamp,
) -> OrderRequestStatus {
    let told = |held: &Condition| held.reason == Reason::StatusContested.as_str();
    if next.conditions.iter().any(told) {
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
    let facts = Facts { phase: "", snapshot: None, order: None, refusal };
    let made = condition(&facts.stalled(), generation, &previous.conditions, now);
    match next.conditions.iter_mut().find(|held| held.type_ == made.type_) {
        Some(held) => *held = made,
        None => next.conditions.push(made),
    }
}

fn copy_stream(next: &mut OrderRequestStatus, snapshot: &Snapshot, order: Option<&Summary>) {
    let stream = &snapshot.stream;
    let last_event = order.map(|order| LastEvent {
        kind: order.last_event.1.clone().into_owned(),
        time: rfc3339_seconds(order.last_event.0),
    });
    // Whoever follows the order anew counts from the beginning.
    let reconnects = next.tracker.as_ref().map_or(0, |before| before.reconnects);
    next.tracker = Some(TrackerStatus {
        stream_active: stream.active,
        notes: count(snapshot.notes),
        last_seq: snapshot.last_seq().0,
        last_event,
        reconnects: stream.reconnects.max(reconnects),
    });
    let processor = stream.processor.as_deref().or_else(|| next.processor());
    next.stream = Some(StreamStatus {
        processor: processor.map(|url| short(url, URL_BYTES_MAX)),
        epoch: stream.epoch.0,
        attempts: stream.attempts,
        connected_since: stream.connected_since.filter(|_| stream.active).map(rfc3339_seconds),
    });
}

fn copy_order(next: &mut OrderRequestStatus, order: &Summary) {
    let counts = &order.proposals;
    let best = counts
        .best
        .as_ref()
        .map(|(id, price)| Best { proposal_id: id.to_string(), price: price.to_string() });
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
    next.completion_time = order.ended_at.map(rfc3339_seconds);
}

fn sellers(counts: &SellerCounts) -> SellersStatus {
    SellersStatus {
        selected: counts.selected,
        notified: counts.notified,
        failed: counts.failed,
        seen: counts.seen,
        // Also who was not invited may say no; under seal nobody is told.
        declined: if counts.is_sealed { 0 } else { counts.declined },
        proposed: counts.proposed,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What conditions are made of.
struct Facts<'a> {
    phase: &'a str,
    snapshot: Option<&'a Snapshot>,
    order: Option<&'a Summary>,
    refusal: Option<&'a Refusal>,
}

/// One condition before it has its times: type, status, reason, message.
pub(crate) struct Shown<'a>(
    pub(crate) &'static str,
    pub(crate) bool,
    pub(crate) &'a str,
    pub(crate) String,
);

impl<'a> Facts<'a> {
    fn conditions(&self) -> [Shown<'a>; 6] {
        [
            self.ready(),
            self.reconciling(),
            self.stalled(),
            self.sellers_notified(),
            self.streaming(),
            self.proposals_received(),
        ]
    }

    fn ended(&self) -> bool {
        self.order.is_some_and(|order| order.phase.is_terminal())
    }

    /// What the order waits for, where its phase alone does not tell.
    fn awaited(&self) -> Option<(&'static str, &'static str)> {
        let order = self.order.filter(|order| !order.phase.is_terminal())?;
        if order.pending_until.is_some() {
            let message = "the award counts at status.award.pendingUntil; undo it before, or wait";
            return Some(("AwardPending", message));
        }
        let message = "the proposals are opened and a decision is awaited; award one of them, or \
            end the order without an award";
        order.decide_until.map(|_| ("ProposalsOpened", message))
    }

    fn ready(&self) -> Shown<'a> {
        if let Some((reason, message)) = self.awaited().filter(|_| self.phase != "Reconnecting") {
            return Shown("Ready", true, reason, message.to_owned());
        }
        let message = match self.phase {
            "Streaming" => "the order takes proposals",
            "Paused" => "the order takes no proposals for now",
            "Reconnecting" => "the stream to the processor is being opened again",
            "Pending" => "the order waits for its processor",
            "Failed" => "the order was refused; see Stalled",
            _ => "the order reached its end",
        };
        let holds = self.ended() || matches!(self.phase, "Streaming" | "Paused");
        Shown("Ready", holds, self.phase, message.to_owned())
    }

    fn reconciling(&self) -> Shown<'a> {
        let holds = matches!(self.phase, "Pending" | "Reconnecting");
        let reason = if holds { self.phase } else { "Settled" };
        Shown("Reconciling", holds, reason, String::new())
    }

    fn stalled(&self) -> Shown<'a> {
        match self.refusal {
            Some(refusal) => {
                let message = match &refusal.field {
                    Some(field) => format!("{field}: {}", refusal.message),
                    None => refusal.message.clone(),
                };
                Shown("Stalled", true, refusal.reason.as_str(), message)
            }
            None => Shown("Stalled", false, "NothingWrong", String::new()),
        }
    }

    fn sellers_notified(&self) -> Shown<'a> {
        let Some(order) = self.order else {
            return Shown("SellersNotified", false, "NotOpened", String::new());
        };
        let counts = &order.sellers;
        let (holds, reason) = match (counts.notified, counts.failed) {
            _ if counts.selected == 0 => (false, "NoSellerFits"),
            (0, 0) => (false, "Notifying"),
            (0, _) => (false, "NobodyReached"),
            (_, 0) => (true, "Notified"),
            (_, _) => (true, "SomeNotReached"),
        };
        Shown("SellersNotified", holds, reason, String::new())
    }

    fn streaming(&self) -> Shown<'a> {
        if self.ended() {
            return Shown("Streaming", false, "OrderEnded", String::new());
        }
        match self.snapshot.map(|snapshot| &snapshot.stream) {
            Some(stream) if stream.active => Shown("Streaming", true, "StreamUp", String::new()),
            Some(stream) => {
                let why = stream.reason.as_deref().unwrap_or_default().to_owned();
                Shown("Streaming", false, "StreamDown", why)
            }
            None => Shown("Streaming", false, "NotStarted", String::new()),
        }
    }

    fn proposals_received(&self) -> Shown<'a> {
        let any = self.order.is_some_and(|order| order.proposals.received > 0);
        let reason = match self.order {
            _ if any => "ProposalsReceived",
            Some(order) if order.phase == Phase::Expired => "ExpiredWithout",
            Some(_) => "Waiting",
            None => "NotOpened",
        };
        Shown("ProposalsReceived", any, reason, String::new())
    }
}

/// A condition with its times: unchanged ones keep theirs.
pub(crate) fn condition(
    Shown(kind, holds, reason, message): &Shown<'_>,
    generation: i64,
    previous: &[Condition],
    now: Timestamp,
) -> Condition {
    let status = if *holds { "True" } else { "False" };
    let kept = previous.iter().find(|held| held.type_ == *kind && held.status == status);
    Condition {
        last_transition_time: kept
            .map_or_else(|| Time(moment(now)), |held| held.last_transition_time.clone()),
        message: short(message, MESSAGE_BYTES_MAX),
        observed_generation: Some(generation),
        reason: (*reason).to_owned(),
        status: status.to_owned(),
        type_: (*kind).to_owned(),
    }
}

/// At most so many bytes of a text, with nothing that JSON must escape at length.
fn short(text: &str, bytes_max: usize) -> String {
    let mut kept = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if kept.len().saturating_add(c.len_utf8()) > bytes_max {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
