//! The conditions of an order's status, made from facts. Each has a message for people: what is so,
//! at which processor, and what to do. None has a number or a time, which would change with every
//! event.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use orderstream_core::display::line_of_bytes;
use orderstream_core::{
    OrderSummary, Phase, Refusal, RequestPhase, StreamPhase, Timestamp, TrackerSnapshot,
};

use super::whole_seconds;
use crate::conditions::{
    PROPOSALS_RECEIVED, READY, RECONCILING, SELLERS_NOTIFIED, STALLED, STREAMING, reasons,
};

/// The largest message of a condition, bytes.
const MESSAGE_BYTES_MAX: usize = 200;
/// The largest URL of a processor in a message, bytes.
const NAMED_URL_BYTES_MAX: usize = 96;

/// The warning that an order invites nobody.
const NOBODY_INVITED: &str = "0 sellers are invited, since none fits the order, so anybody may \
    propose; `orderstream why` has the reasons";

/// The facts from which conditions are made.
pub(super) struct ConditionFacts<'a> {
    pub(super) phase: RequestPhase,
    pub(super) stream: StreamPhase,
    /// The URL of the order's processor; absent before one was chosen.
    pub(super) processor: Option<&'a str>,
    pub(super) snapshot: Option<&'a TrackerSnapshot>,
    pub(super) order: Option<&'a OrderSummary>,
    pub(super) refusal: Option<&'a Refusal>,
}

/// A condition before it has its times: type, status, reason, message.
pub(crate) struct UntimedCondition<'a>(
    pub(crate) &'static str,
    pub(crate) bool,
    pub(crate) &'a str,
    pub(crate) String,
);

impl<'a> ConditionFacts<'a> {
    pub(super) fn conditions(&self) -> [UntimedCondition<'a>; 6] {
        [
            self.ready(),
            self.reconciling(),
            stalled(self.refusal),
            self.sellers_notified(),
            self.streaming(),
            self.proposals_received(),
        ]
    }

    fn ended(&self) -> bool {
        self.order.is_some_and(|order| order.phase.is_terminal())
    }

    /// Names the order's processor; `otherwise` stands for one that is not known.
    fn processor_or(&self, otherwise: &str) -> String {
        self.processor.map_or_else(
            || otherwise.to_owned(),
            |url| format!("the processor {}", line_of_bytes(url, NAMED_URL_BYTES_MAX)),
        )
    }

    /// Returns the reason and message for what the order waits for; `None` where its phase shows
    /// it.
    fn awaited(&self) -> Option<(&'static str, &'static str)> {
        let order = self.order.filter(|order| !order.phase.is_terminal())?;
        if order.pending_until.is_some() {
            let message = "the award counts at status.award.pendingUntil; undo it before, or wait";
            return Some((reasons::AWARD_PENDING, message));
        }
        order.decide_by()?;
        let order = self.snapshot.and_then(|snapshot| snapshot.order.as_deref());
        Some(if order.is_some_and(|order| order.spec.sealed) {
            let message = "the proposals are opened and a decision is awaited; award one of them, \
                or end the order without an award";
            (reasons::PROPOSALS_OPENED, message)
        } else {
            let message = "the order's time is over and a decision is awaited until \
                status.decideBy; award a proposal, or end the order without an award";
            (reasons::DECISION_DUE, message)
        })
    }

    fn ready(&self) -> UntimedCondition<'a> {
        if self.stream == StreamPhase::Reconnecting && self.phase != RequestPhase::Pending {
            let processor = self.processor_or("the order's processor");
            let message = format!(
                "the stream to {processor} is down and is opened again; the order goes on there"
            );
            return UntimedCondition(READY, false, reasons::STREAM_DOWN, message);
        }
        if let Some((reason, message)) = self.awaited() {
            return UntimedCondition(READY, true, reason, message.to_owned());
        }
        let holds = match self.phase {
            RequestPhase::Open | RequestPhase::Paused | RequestPhase::Deciding => true,
            RequestPhase::Pending => false,
            RequestPhase::Failed
            | RequestPhase::Finalised
            | RequestPhase::Expired
            | RequestPhase::Closed
            | RequestPhase::Cancelled => self.ended(),
        };
        UntimedCondition(READY, holds, self.phase.as_str(), self.phase_message())
    }

    /// Describes what the order does in its phase.
    fn phase_message(&self) -> String {
        let message = match self.phase {
            RequestPhase::Pending => {
                return format!(
                    "the order waits for {} to open it",
                    self.processor_or("a processor")
                );
            }
            RequestPhase::Open => "the order takes proposals",
            RequestPhase::Paused => "the order takes no proposals for now",
            RequestPhase::Deciding => {
                "the order waits for a decision; award a proposal, or end the order without an award"
            }
            RequestPhase::Failed => {
                "the order was refused before it was opened; correct what the condition Stalled \
                 names, or delete the order request"
            }
            RequestPhase::Finalised
            | RequestPhase::Expired
            | RequestPhase::Closed
            | RequestPhase::Cancelled => "the order reached its end",
        };
        message.to_owned()
    }

    fn reconciling(&self) -> UntimedCondition<'a> {
        let (holds, reason, message) = match (self.phase, self.stream) {
            (RequestPhase::Pending, _) => (
                true,
                self.phase.as_str(),
                "no processor has opened the order yet; wait, and run `orderstream check` if this \
                 lasts",
            ),
            (_, StreamPhase::Reconnecting) => (
                true,
                reasons::STREAM_DOWN,
                "the stream to the order's processor is opened again; wait, and run `orderstream \
                 check` if this lasts",
            ),
            _ => (false, reasons::SETTLED, "the controller has nothing to do for the order now"),
        };
        UntimedCondition(RECONCILING, holds, reason, message.to_owned())
    }

    fn sellers_notified(&self) -> UntimedCondition<'a> {
        let Some(order) = self.order else {
            let message = "the order was not opened, so no seller was notified".to_owned();
            return UntimedCondition(SELLERS_NOTIFIED, false, reasons::NOT_OPENED, message);
        };
        let counts = &order.sellers;
        let (holds, reason, message) = match (counts.notified, counts.failed) {
            _ if counts.selected == 0 => (false, reasons::NO_SELLER_FITS, NOBODY_INVITED),
            (0, 0) => (false, reasons::NOTIFYING, "the invited sellers are being notified; wait"),
            (0, _) => (
                false,
                reasons::NOBODY_REACHED,
                "no invited seller could be notified; `orderstream notify dead` has the reasons, \
                 correct the sellers' channels",
            ),
            (_, 0) => {
                (true, reasons::NOTIFIED, "sellers were notified, and no notification failed")
            }
            (_, _) => (
                true,
                reasons::SOME_NOT_REACHED,
                "some invited sellers could not be notified; `orderstream notify dead` has the \
                 reasons, correct their channels",
            ),
        };
        UntimedCondition(SELLERS_NOTIFIED, holds, reason, message.to_owned())
    }

    fn streaming(&self) -> UntimedCondition<'a> {
        if self.ended() {
            let message = "the order has ended, and nothing is left to follow".to_owned();
            return UntimedCondition(STREAMING, false, reasons::ORDER_ENDED, message);
        }
        let processor = || self.processor_or("the order's processor");
        match self.snapshot.map(|snapshot| &snapshot.stream) {
            Some(stream) if stream.active => {
                let message = format!("the order's events are received from {}", processor());
                UntimedCondition(STREAMING, true, reasons::STREAM_UP, message)
            }
            Some(stream) => {
                // The cause is first: its code decides whether the message is worth a write.
                let message = match stream.reason.as_deref().filter(|why| !why.is_empty()) {
                    Some(why) => format!("{why} ({})", processor()),
                    None => format!("the stream to {} is down", processor()),
                };
                UntimedCondition(STREAMING, false, reasons::STREAM_DOWN, message)
            }
            None => {
                let message = "no stream of the order's events was opened".to_owned();
                UntimedCondition(STREAMING, false, reasons::NOT_STARTED, message)
            }
        }
    }

    fn proposals_received(&self) -> UntimedCondition<'a> {
        let (holds, reason, message) = match self.order {
            Some(order) if order.proposals.received > 0 => (
                true,
                reasons::PROPOSALS_RECEIVED,
                "proposals were received; status.proposals has their counts",
            ),
            Some(order) if order.phase == Phase::Expired => (
                false,
                reasons::EXPIRED_WITHOUT,
                "the order expired without a proposal; create a new OrderRequest to ask again",
            ),
            Some(_) => (false, reasons::WAITING, "no proposal was received so far"),
            None => {
                (false, reasons::NOT_OPENED, "the order was not opened, so it has no proposals")
            }
        };
        UntimedCondition(PROPOSALS_RECEIVED, holds, reason, message.to_owned())
    }
}

/// Returns the condition `Stalled`, which holds where there is a refusal.
pub(super) fn stalled(refusal: Option<&Refusal>) -> UntimedCondition<'_> {
    match refusal {
        Some(refusal) => {
            let message = match &refusal.field {
                Some(field) => format!("{field}: {}", refusal.message),
                None => refusal.message.clone(),
            };
            UntimedCondition(STALLED, true, refusal.reason.as_str(), message)
        }
        None => {
            let message = "nothing is wrong with the order request".to_owned();
            UntimedCondition(STALLED, false, reasons::NOTHING_WRONG, message)
        }
    }
}

/// Returns a condition with its times: an unchanged one keeps its transition time.
pub(crate) fn condition(
    UntimedCondition(kind, holds, reason, message): &UntimedCondition<'_>,
    generation: i64,
    previous: &[Condition],
    now: Timestamp,
) -> Condition {
    let status = if *holds { "True" } else { "False" };
    let unchanged = previous.iter().find(|held| held.type_ == *kind && held.status == status);
    Condition {
        last_transition_time: unchanged
            .map_or_else(|| Time(whole_seconds(now)), |held| held.last_transition_time.clone()),
        message: line_of_bytes(message, MESSAGE_BYTES_MAX),
        observed_generation: Some(generation),
        reason: (*reason).to_owned(),
        status: status.to_owned(),
        type_: (*kind).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use orderstream_core::summary::{ProposalsSummary, SellerCounts};
    use orderstream_core::tracker::{Tracker, TrackerInput};
    use orderstream_core::{Epoch, Incarnation, OrderKey, Reason, Seq};

    use super::*;

    const URL: &str = "http://orderstream-processor-0.orders.svc:50051";

    /// Returns the snapshots of a tracker without an order: never up, up, and down without and with
    /// a cause.
    fn snapshots() -> Vec<TrackerSnapshot> {
        let key = OrderKey::new("default", "SB1").unwrap();
        let mut tracker = Tracker::new(key, Incarnation::new("uid-1").unwrap());
        let mut snapshots = vec![tracker.snapshot()];
        let cut = |reason: &str| TrackerInput::Disconnected { reason: reason.to_owned() };
        let up = TrackerInput::Connected { processor: URL.into(), epoch: Epoch(1) };
        for input in [up, cut(""), cut("UNREACHABLE: connection refused")] {
            tracker.step(Timestamp(0), input);
            snapshots.push(tracker.snapshot());
        }
        snapshots
    }

    /// Returns summaries of an order in some phases, with none and one of all that is counted.
    fn summaries() -> Vec<OrderSummary> {
        let phases = [Phase::Open, Phase::Deciding, Phase::Expired, Phase::Finalised];
        let summary = |phase: Phase, bits: u32| {
            let count = |bit: u32| (bits >> bit) & 1;
            OrderSummary {
                phase,
                last_seq: Seq(2),
                last_event: (Timestamp(0), "NewProposal".into()),
                opened_at: Timestamp(0),
                expires_at: Timestamp(60_000),
                decide_until: (phase == Phase::Deciding).then_some(Timestamp(120_000)),
                ended_at: phase.is_terminal().then_some(Timestamp(60_000)),
                award: None,
                pending_until: (count(4) == 1).then_some(Timestamp(60_000)),
                proposals: ProposalsSummary { received: count(3), ..ProposalsSummary::default() },
                sellers: SellerCounts {
                    selected: count(0),
                    notified: count(1),
                    failed: count(2),
                    ..SellerCounts::default()
                },
                follow_ups: 0,
                last_follow_up: None,
            }
        };
        phases.iter().flat_map(|phase| (0..32).map(move |bits| summary(*phase, bits))).collect()
    }

    /// Returns every condition that is made of these snapshots and summaries.
    fn conditions() -> Vec<Condition> {
        let (snapshots, summaries) = (snapshots(), summaries());
        let refusal = Refusal::new(Reason::LimitReached, "too many streams; end some");
        let mut made = Vec::new();
        let stream = StreamPhase::ALL.into_iter();
        for (phase, stream) in stream.flat_map(|it| RequestPhase::ALL.map(|phase| (phase, it))) {
            for snapshot in snapshots.iter().map(Some).chain([None]) {
                for order in summaries.iter().map(Some).chain([None]) {
                    let processor = order.and(Some(URL));
                    let refusal = snapshot.is_none().then_some(&refusal);
                    let facts =
                        ConditionFacts { phase, stream, processor, snapshot, order, refusal };
                    let untimed = facts.conditions();
                    made.extend(untimed.iter().map(|it| condition(it, 1, &[], Timestamp(0))));
                }
            }
        }
        made
    }

    #[test]
    fn every_condition_has_a_whole_message() {
        let mut made = BTreeSet::new();
        for condition in conditions() {
            let Condition { type_, reason, message, .. } = condition;
            assert!(!reason.is_empty() && message.contains(' '), "{type_} {reason}: {message}");
            assert!(message.len() < MESSAGE_BYTES_MAX, "{type_} {reason} is cut: {message}");
            made.insert(reason);
        }
        for reason in [
            reasons::AWARD_PENDING,
            reasons::DECISION_DUE,
            reasons::SETTLED,
            reasons::NOTHING_WRONG,
            reasons::NOT_OPENED,
            reasons::NO_SELLER_FITS,
            reasons::NOTIFYING,
            reasons::NOBODY_REACHED,
            reasons::NOTIFIED,
            reasons::SOME_NOT_REACHED,
            reasons::ORDER_ENDED,
            reasons::STREAM_UP,
            reasons::STREAM_DOWN,
            reasons::NOT_STARTED,
            reasons::PROPOSALS_RECEIVED,
            reasons::EXPIRED_WITHOUT,
            reasons::WAITING,
            Reason::LimitReached.as_str(),
        ] {
            assert!(made.contains(reason), "no condition has {reason}");
        }
    }

    /// The cause stays first: its code decides whether the message is worth a write.
    #[test]
    fn broken_streams_name_their_processor() {
        let snapshots = snapshots();
        let facts = ConditionFacts {
            phase: RequestPhase::Open,
            stream: StreamPhase::Reconnecting,
            processor: Some(URL),
            snapshot: snapshots.last(),
            order: None,
            refusal: None,
        };
        let expected = format!("UNREACHABLE: connection refused (the processor {URL})");
        assert_eq!(facts.streaming().3, expected);
        let expected = format!("the stream to the processor {URL} is down");
        assert!(facts.ready().3.starts_with(&expected), "{}", facts.ready().3);
    }
}
