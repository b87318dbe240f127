//! Tests of the decision whether and when a status is written.

use std::sync::Arc;

use orderstream_api::status::{down, status};
use orderstream_core::command::ProposalContent;
use orderstream_core::event::{Event, OrderOpened};
use orderstream_core::price::Price;
use orderstream_core::tracker::{Tracker, TrackerInput};
use orderstream_core::{
    Epoch, EventKind, Incarnation, OrderKey, OrderSpec, ProposalId, SellerId, Seq, StreamPhase,
};

use super::*;

const T0: Timestamp = Timestamp(1_800_000_000_000);

/// An order's tracker, to which the test gives every input.
struct ScriptedTracker {
    tracker: Tracker,
    seq: u64,
}

impl ScriptedTracker {
    fn new() -> Self {
        let (key, incarnation) =
            (OrderKey::new("", "SB1").unwrap(), Incarnation::new("u1").unwrap());
        Self { tracker: Tracker::new(key, incarnation), seq: 0 }
    }

    fn up(&mut self) -> &mut Self {
        let (processor, epoch) = ("http://p:1".to_owned(), Epoch(1));
        self.tracker.step(T0, TrackerInput::Connected { processor: processor.into(), epoch });
        self
    }

    fn cut(&mut self, at: Timestamp) -> &mut Self {
        self.tracker.step(at, TrackerInput::Disconnected { reason: "cut".to_owned() });
        self
    }

    fn event(&mut self, kind: EventKind) -> &mut Self {
        self.seq += 1;
        let event = Event { seq: Seq(self.seq), at: T0, cause: None, kind };
        self.tracker.step(T0, TrackerInput::Received(Arc::new(event)));
        self
    }

    fn opened(&mut self) -> &mut Self {
        let opened = OrderOpened {
            key: OrderKey::new("", "SB1").unwrap(),
            incarnation: Incarnation::new("u1").unwrap(),
            spec: OrderSpec::default(),
            expires_at: T0.plus_ms(1_800_000),
        };
        self.event(EventKind::OrderOpened(Box::new(opened)))
            .event(EventKind::SellersSelected(Vec::new()))
    }

    fn proposal(&mut self) -> &mut Self {
        let id = format!("p{}", self.seq);
        self.event(EventKind::NewProposal(ProposalContent {
            proposal_id: Some(ProposalId::new(id).unwrap()),
            ..ProposalContent::new(SellerId::new("a").unwrap(), Price::parse("10", "EUR").unwrap())
        }))
    }

    fn next_status(&self, before: &OrderRequestStatus) -> OrderRequestStatus {
        status(1, before, Some(&self.tracker.snapshot()), None, T0)
    }

    fn readiness(&self, current: &OrderRequestStatus, now: Timestamp) -> Readiness {
        readiness(current, Some(&self.tracker.snapshot()), T0, now)
    }
}

fn streaming() -> (ScriptedTracker, OrderRequestStatus) {
    let mut order = ScriptedTracker::new();
    order.up().opened();
    let current = order.next_status(&OrderRequestStatus::default());
    (order, current)
}

/// The same status is not written again.
#[test]
fn each_change_has_its_urgency() {
    let (mut order, current) = streaming();
    assert_eq!(band(&OrderRequestStatus::default(), &current), Some(Band::Edge));
    assert_eq!(band(&current, &order.next_status(&current)), None);
    order.proposal();
    let proposed = order.next_status(&current);
    assert_eq!(band(&current, &proposed), Some(Band::Progress));
    let edited = status(2, &proposed, Some(&order.tracker.snapshot()), None, T0);
    assert_eq!(band(&proposed, &edited), Some(Band::Edge), "an edit is shown as taken up");
    order.event(EventKind::OrderPaused { expired: false, reason: None, decide_by: None });
    let paused = order.next_status(&proposed);
    assert_eq!(band(&proposed, &paused), Some(Band::Edge));
    order.event(EventKind::OrderCancelled { reason: None });
    assert_eq!(band(&paused, &order.next_status(&paused)), Some(Band::Terminal));
}

/// They are shown even if the stream is already shown as down; failed tries are not.
#[test]
fn lasting_stream_refusals_are_shown() {
    let (mut order, current) = streaming();
    let mut then = |before: &OrderRequestStatus, reason: &str| {
        order.tracker.step(T0, TrackerInput::Disconnected { reason: reason.to_owned() });
        let next = down(1, before, Some(&order.tracker.snapshot()), T0);
        (band(before, &next), next)
    };
    let (first, stopped) = then(&current, "the processor is stopping");
    assert_eq!(first, Some(Band::Edge));
    assert_eq!(then(&stopped, "UNREACHABLE: connection refused").0, None);
    let (refused, ahead) = then(&stopped, "AHEAD_OF_LIST: the list ends at 3");
    assert_eq!(refused, Some(Band::Progress));
    assert!(ahead.conditions.iter().any(|held| held.message.starts_with("AHEAD_OF_LIST")));
    assert_eq!(then(&ahead, "AHEAD_OF_LIST: the list ends at 4").0, None, "it is known");
}

/// A new leader alone costs none either.
#[test]
fn reconnects_alone_cost_no_write() {
    let (mut order, current) = streaming();
    order.cut(T0.plus_ms(1_000));
    let (processor, epoch) = ("http://p:1".to_owned(), Epoch(7));
    order
        .tracker
        .step(T0.plus_ms(2_000), TrackerInput::Connected { processor: processor.into(), epoch });
    let again = order.next_status(&current);
    assert_ne!(again, current, "it differs in what nobody waits for");
    assert_eq!(band(&current, &again), None);
}

#[test]
fn only_long_disconnections_are_shown() {
    let (mut order, current) = streaming();
    let at = T0.plus_ms(60_000);
    order.cut(at);
    let due = at.plus_ms(DOWN_GRACE_MS);
    assert_eq!(order.readiness(&current, at.plus_ms(3_000)), Readiness::NotBefore(due));
    assert_eq!(order.readiness(&current, due), Readiness::DownOnly);
    let down = down(1, &current, Some(&order.tracker.snapshot()), due);
    assert_eq!(down.phase, current.phase, "the order itself is as it was");
    assert_eq!(down.stream_phase(), StreamPhase::Reconnecting);
    let ready = down.condition(READY).map(|ready| (&*ready.status, &*ready.reason));
    assert_eq!(ready, Some(("False", "StreamDown")));
    assert_eq!(down.proposals, current.proposals, "what was counted stays");
    assert_eq!(band(&current, &down), Some(Band::Edge));
}

/// It first has to read the events again that were shown before.
#[test]
fn restarted_tracker_shows_nothing_until_current() {
    let (mut before, current) = streaming();
    before.proposal().proposal();
    let current = before.next_status(&current);
    let mut again = ScriptedTracker::new();
    assert_eq!(again.readiness(&current, T0), Readiness::NotBefore(T0.plus_ms(DOWN_GRACE_MS)));
    assert_eq!(again.up().readiness(&current, T0), Readiness::NotYet);
    assert_eq!(again.opened().proposal().readiness(&current, T0), Readiness::NotYet);
    assert_eq!(again.proposal().readiness(&current, T0), Readiness::Ready);
    assert_eq!(
        band(&current, &again.next_status(&current)),
        None,
        "and then there is nothing to write"
    );
}

/// An end always is.
#[test]
fn only_fully_opened_orders_are_shown() {
    let mut order = ScriptedTracker::new();
    let nothing = OrderRequestStatus::default();
    assert_eq!(order.up().readiness(&nothing, T0), Readiness::NotYet);
    order.opened().event(EventKind::OrderCancelled { reason: None }).cut(T0);
    assert_eq!(order.readiness(&nothing, T0), Readiness::Ready);
}

/// A sealed order whose proposals were opened waits until its list was read without redaction.
#[test]
fn unsealed_orders_are_shown_once_reread() {
    let proposed = || ProposalContent {
        proposal_id: Some(ProposalId::new("p1").unwrap()),
        ..ProposalContent::new(
            SellerId::new("seller1").unwrap(),
            Price::parse("10", "EUR").unwrap(),
        )
    };
    let spec = OrderSpec { sealed: true, ..OrderSpec::default() };
    let opened = OrderOpened {
        key: OrderKey::new("", "SB1").unwrap(),
        incarnation: Incarnation::new("u1").unwrap(),
        spec,
        expires_at: T0.plus_ms(10_000),
    };
    let list = || {
        [
            EventKind::OrderOpened(Box::new(opened.clone())),
            EventKind::SellersSelected(Vec::new()),
            EventKind::NewProposal(proposed()),
            EventKind::ProposalsOpened { decide_until: T0.plus_ms(20_000) },
        ]
    };
    let mut order = ScriptedTracker::new();
    order.up();
    for kind in list() {
        let event = Arc::new(Event { seq: Seq(1), at: T0, cause: None, kind });
        order.event(orderstream_core::seal::event(&event).kind.clone());
    }
    let current = OrderRequestStatus::default();
    let ready = |scripted: &ScriptedTracker| {
        readiness(&current, Some(&scripted.tracker.snapshot()), T0, T0)
    };
    let best = |scripted: &ScriptedTracker| {
        scripted.tracker.order().and_then(orderstream_core::Order::best_open).map(|(id, _)| id)
    };
    assert_eq!((ready(&order), best(&order)), (Readiness::NotYet, None));
    order.seq = 0;
    for kind in list() {
        order.event(kind);
    }
    assert_eq!(ready(&order), Readiness::Ready);
    assert_eq!(best(&order), ProposalId::new("p1").ok());
}

#[test]
fn edits_wait_while_stream_is_down() {
    assert_eq!(reported_generation(Some(2), 3, Readiness::DownOnly), 2);
    assert_eq!(reported_generation(Some(2), 3, Readiness::Ready), 3);
    assert_eq!(
        reported_generation(None, 1, Readiness::DownOnly),
        1,
        "nothing was carried there before"
    );
}
