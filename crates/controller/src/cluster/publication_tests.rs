//! Tests of the decision which status is worth a write, and when.

use std::sync::Arc;

use orderstream_core::command::Proposed;
use orderstream_core::event::{Event, OrderOpened};
use orderstream_core::price::Price;
use orderstream_core::tracker::{Input, Tracker};
use orderstream_core::{
    Epoch, EventKind, Incarnation, OrderKey, OrderSpec, ProposalId, SellerId, Seq,
};

use super::*;
use crate::status::{down, status};

const T0: Timestamp = Timestamp(1_800_000_000_000);

/// An order's tracker, to which the test gives every input.
struct Life {
    tracker: Tracker,
    seq: u64,
}

impl Life {
    fn new() -> Self {
        let (key, life) = (OrderKey::new("", "SB1").unwrap(), Incarnation::new("u1").unwrap());
        Self { tracker: Tracker::new(key, life), seq: 0 }
    }

    fn up(&mut self) -> &mut Self {
        let (processor, epoch) = ("http://p:1".to_owned(), Epoch(1));
        self.tracker.step(T0, Input::Connected { processor: processor.into(), epoch });
        self
    }

    fn cut(&mut self, at: Timestamp) -> &mut Self {
        self.tracker.step(at, Input::Disconnected { reason: "cut".to_owned() });
        self
    }

    fn event(&mut self, kind: EventKind) -> &mut Self {
        self.seq += 1;
        let event = Event { seq: Seq(self.seq), at: T0, cause: None, kind };
        self.tracker.step(T0, Input::Received(Arc::new(event)));
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
        self.event(EventKind::NewProposal(Proposed {
            proposal_id: Some(ProposalId::new(id).unwrap()),
            seller: SellerId::new("a").unwrap(),
            price: Price::parse("10", "EUR").unwrap(),
            lines: Vec::new(),
            attachments: Vec::new(),
            note: None,
            delivery_date: None,
            valid_until: None,
        }))
    }

    fn shown(&self, before: &OrderRequestStatus) -> OrderRequestStatus {
        status(1, before, Some(&self.tracker.snapshot()), None, T0)
    }

    fn readiness(&self, shown: &OrderRequestStatus, now: Timestamp) -> Readiness {
        readiness(shown, Some(&self.tracker.snapshot()), T0, now)
    }
}

fn streaming() -> (Life, OrderRequestStatus) {
    let mut life = Life::new();
    life.up().opened();
    let shown = life.shown(&OrderRequestStatus::default());
    (life, shown)
}

/// The same status is not written again.
#[test]
fn each_change_has_its_urgency() {
    let (mut life, shown) = streaming();
    assert_eq!(band(&OrderRequestStatus::default(), &shown), Some(Band::Edge));
    assert_eq!(band(&shown, &life.shown(&shown)), None);
    life.proposal();
    let proposed = life.shown(&shown);
    assert_eq!(band(&shown, &proposed), Some(Band::Progress));
    let edited = status(2, &proposed, Some(&life.tracker.snapshot()), None, T0);
    assert_eq!(band(&proposed, &edited), Some(Band::Edge), "an edit is shown as taken up");
    life.event(EventKind::OrderPaused { expired: false, reason: None });
    let paused = life.shown(&proposed);
    assert_eq!(band(&proposed, &paused), Some(Band::Edge));
    life.event(EventKind::OrderCancelled { reason: None });
    assert_eq!(band(&paused, &life.shown(&paused)), Some(Band::Terminal));
}

/// They are shown even if the stream is already shown as down; failed tries are not.
#[test]
fn lasting_stream_refusals_are_shown() {
    let (mut life, shown) = streaming();
    let mut then = |before: &OrderRequestStatus, reason: &str| {
        life.tracker.step(T0, Input::Disconnected { reason: reason.to_owned() });
        let next = down(1, before, Some(&life.tracker.snapshot()), T0);
        (band(before, &next), next)
    };
    let (first, stopped) = then(&shown, "the processor is stopping");
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
    let (mut life, shown) = streaming();
    life.cut(T0.plus_ms(1_000));
    let (processor, epoch) = ("http://p:1".to_owned(), Epoch(7));
    life.tracker.step(T0.plus_ms(2_000), Input::Connected { processor: processor.into(), epoch });
    let again = life.shown(&shown);
    assert_ne!(again, shown, "it differs in what nobody waits for");
    assert_eq!(band(&shown, &again), None);
}

#[test]
fn only_long_disconnections_are_shown() {
    let (mut life, shown) = streaming();
    let at = T0.plus_ms(60_000);
    life.cut(at);
    let due = at.plus_ms(DOWN_MS_SHOWN);
    assert_eq!(life.readiness(&shown, at.plus_ms(3_000)), Readiness::NotBefore(due));
    assert_eq!(life.readiness(&shown, due), Readiness::DownOnly);
    let down = down(1, &shown, Some(&life.tracker.snapshot()), due);
    assert_eq!(down.phase.as_deref(), Some("Reconnecting"));
    assert_eq!(down.proposals, shown.proposals, "what was counted stays");
    assert_eq!(band(&shown, &down), Some(Band::Edge));
}

/// It first has to reread the events that were shown before.
#[test]
fn restarted_tracker_shows_nothing_until_current() {
    let (mut before, shown) = streaming();
    before.proposal().proposal();
    let shown = before.shown(&shown);
    let mut again = Life::new();
    assert_eq!(again.readiness(&shown, T0), Readiness::NotBefore(T0.plus_ms(DOWN_MS_SHOWN)));
    assert_eq!(again.up().readiness(&shown, T0), Readiness::NotYet);
    assert_eq!(again.opened().proposal().readiness(&shown, T0), Readiness::NotYet);
    assert_eq!(again.proposal().readiness(&shown, T0), Readiness::Ready);
    assert_eq!(band(&shown, &again.shown(&shown)), None, "and then there is nothing to write");
}

/// An end always is.
#[test]
fn only_fully_opened_orders_are_shown() {
    let mut life = Life::new();
    let nothing = OrderRequestStatus::default();
    assert_eq!(life.up().readiness(&nothing, T0), Readiness::NotYet);
    life.opened().event(EventKind::OrderCancelled { reason: None }).cut(T0);
    assert_eq!(life.readiness(&nothing, T0), Readiness::Ready);
}

/// A sealed order whose proposals were opened waits until its list was read without redaction.
#[test]
fn unsealed_orders_are_shown_once_reread() {
    let proposed = || Proposed {
        proposal_id: Some(ProposalId::new("p1").unwrap()),
        seller: SellerId::new("seller1").unwrap(),
        price: Price::parse("10", "EUR").unwrap(),
        lines: Vec::new(),
        attachments: Vec::new(),
        note: None,
        delivery_date: None,
        valid_until: None,
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
    let mut life = Life::new();
    life.up();
    for kind in list() {
        let event = Arc::new(Event { seq: Seq(1), at: T0, cause: None, kind });
        life.event(orderstream_core::seal::event(&event).kind.clone());
    }
    let shown = OrderRequestStatus::default();
    let ready = |life: &Life| readiness(&shown, Some(&life.tracker.snapshot()), T0, T0);
    let best = |life: &Life| {
        life.tracker.order().and_then(|order| order.proposal_counts().best).map(|(id, _)| id)
    };
    assert_eq!((ready(&life), best(&life)), (Readiness::NotYet, None));
    life.seq = 0;
    for kind in list() {
        life.event(kind);
    }
    assert_eq!(ready(&life), Readiness::Ready);
    assert_eq!(best(&life), ProposalId::new("p1").ok());
}

#[test]
fn edits_wait_while_stream_is_down() {
    assert_eq!(taken_up(Some(2), 3, Readiness::DownOnly), 2);
    assert_eq!(taken_up(Some(2), 3, Readiness::Ready), 3);
    assert_eq!(taken_up(None, 1, Readiness::DownOnly), 1, "nothing was carried there before");
}
