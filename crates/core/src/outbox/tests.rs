//! Tests of the outbox, including what holds after any crash and any failure.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::FollowUpId;
use crate::event::{EventKind, OrderOpened};
use crate::id::SellerId;
use crate::notification::Template;
use crate::notification::{Blame, Topic};
use crate::spec::{Contact, FollowUp, Message, NotificationType, OrderSpec, SellerChoice, Verdict};

mod golden;

const SELLERS: [&str; 4] = ["s0", "s1", "s2", "s3"];

fn seller(name: &str) -> SellerId {
    SellerId::new(name).unwrap()
}

fn event(seq: u64, kind: EventKind) -> Event {
    Event { seq: Seq(seq), at: Timestamp(0), cause: None, kind }
}

/// Returns an opening, an invitation of four sellers, and follow-ups to all of them.
fn events(follow_ups: u64) -> Vec<Event> {
    events_for(&SELLERS.map(str::to_owned), follow_ups)
}

/// Returns the same events, with an invitation of these sellers.
fn events_for(sellers: &[String], follow_ups: u64) -> Vec<Event> {
    let choice = |name: &String| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let mut events = vec![
        event(
            1,
            EventKind::OrderOpened(Box::new(OrderOpened {
                key: OrderKey::new("t", "o").unwrap(),
                incarnation: Incarnation::new("life").unwrap(),
                spec: OrderSpec { buyer: Some(Box::new(contact("buyer"))), ..OrderSpec::default() },
                expires_at: Timestamp(1_000_000),
            })),
        ),
        event(2, EventKind::SellersSelected(sellers.iter().map(choice).collect())),
    ];
    events.extend((0..follow_ups).map(|number| {
        let follow_up = FollowUp {
            id: FollowUpId::new(format!("f{number}")).unwrap(),
            audience: Vec::new(),
            message: Message::default(),
            answers: None,
        };
        event(number + 3, EventKind::FollowUpAdded(follow_up))
    }));
    events
}

fn contact(name: &str) -> Contact {
    let kind = NotificationType::Email;
    Contact { channels: vec![Channel { kind, address: format!("{name}@x") }], language: None }
}

fn order(events: &[Event]) -> Order {
    let mut order = None;
    events.iter().for_each(|event| Order::fold(&mut order, event).unwrap());
    order.unwrap()
}

fn fresh() -> Outbox {
    let key = OrderKey::new("t", "o").unwrap();
    Outbox::new(key, Incarnation::new("life").unwrap(), OutboxSnapshot::default())
}

fn restored(outbox: &Outbox) -> Outbox {
    let bytes = serde_json::to_vec(outbox.snapshot()).unwrap();
    let snapshot = serde_json::from_slice(&bytes).unwrap();
    Outbox::new(outbox.key.clone(), outbox.incarnation.clone(), snapshot)
}

fn with_audience<T>(then: impl FnOnce(&Audience<'_>) -> T) -> T {
    let sellers = |id: &SellerId| Some(contact(id.as_str()));
    then(&Audience { contact: &sellers, serves: &|_| true, sinks: &[] })
}

fn receive(outbox: &mut Outbox, now: Timestamp, order: &Order, event: &Event) -> OutboxOutput {
    with_audience(|audience| outbox.step(now, &OutboxInput::Event { order, event, audience }))
}

fn fail(
    outbox: &mut Outbox,
    now: Timestamp,
    order: &Order,
    number: u64,
    error: &DeliveryError,
) -> OutboxOutput {
    with_audience(|audience| {
        outbox.step(
            now,
            &OutboxInput::Failed { number, error, jitter_permille: 500, order, audience },
        )
    })
}

fn try_again(after_ms: Option<u64>) -> DeliveryError {
    DeliveryError::TryAgain { reason: "busy".to_owned(), after_ms, blame: Blame::Destination }
}

fn bounced() -> DeliveryError {
    DeliveryError::Bounced { reason: "no such user".to_owned() }
}

fn recipient(outbox: &Outbox, number: u64) -> String {
    outbox.pending(number).unwrap().due.channel.address.clone()
}

/// The messages of one recipient are sent one after the other.
#[test]
fn recipients_wait_for_own_messages_only() {
    let events = events(1);
    let order = order(&events);
    let mut outbox = fresh();
    let mut started = Vec::new();
    for event in &events {
        started.extend(receive(&mut outbox, Timestamp(0), &order, event).attempts);
    }
    // The buyer's notification and each seller's invitation; the follow-ups wait behind them.
    assert_eq!(started.len(), 5);
    let of_s0 = *started.iter().find(|n| recipient(&outbox, **n) == "s0@x").unwrap();
    let of_s1 = *started.iter().find(|n| recipient(&outbox, **n) == "s1@x").unwrap();
    let output = fail(&mut outbox, Timestamp(0), &order, of_s0, &try_again(None));
    assert_eq!((output.attempts.len(), output.next_at), (0, Some(Timestamp(750))));
    let output = outbox.step(Timestamp(1), &OutboxInput::Delivered(of_s1));
    assert_eq!(output.reports.len(), 1, "the invitation");
    assert_eq!(output.attempts.len(), 1, "the follow-up of s1");
    assert_eq!(recipient(&outbox, output.attempts[0]), "s1@x");
    assert_eq!(outbox.step(Timestamp(750), &OutboxInput::Tick).attempts, [of_s0]);
}

/// The wait that the peer requests is honoured up to a limit.
#[test]
fn back_off_doubles_or_follows_peer() {
    let events = events(0);
    let order = order(&events);
    let mut outbox = fresh();
    let number = receive(&mut outbox, Timestamp(0), &order, &events[0]).attempts[0];
    let mut now = Timestamp(0);
    for expected_ms in [750, 1_500, 3_000, 6_000] {
        let output = fail(&mut outbox, now, &order, number, &try_again(None));
        assert_eq!(output.next_at, Some(now.plus_ms(expected_ms)));
        now = now.plus_ms(expected_ms);
        assert_eq!(outbox.step(now, &OutboxInput::Tick).attempts, [number]);
    }
    let output = fail(&mut outbox, now, &order, number, &try_again(Some(90_000)));
    assert_eq!(output.next_at, Some(now.plus_ms(90_000)));
    now = now.plus_ms(90_000);
    outbox.step(now, &OutboxInput::Tick);
    let output = fail(&mut outbox, now, &order, number, &try_again(Some(u64::MAX)));
    assert_eq!(output.next_at, Some(now.plus_ms(BACK_OFF_MS_MAX)));
}

/// The order and the buyer are notified of the failure.
#[test]
fn bounced_invitations_become_replayable_dead_letters() {
    let events = events(0);
    let order = order(&events);
    let mut outbox = fresh();
    let acknowledgement = receive(&mut outbox, Timestamp(0), &order, &events[0]).attempts[0];
    outbox.step(Timestamp(0), &OutboxInput::Delivered(acknowledgement));
    let attempts = receive(&mut outbox, Timestamp(0), &order, &events[1]).attempts;
    let number = attempts[0];
    let output = fail(&mut outbox, Timestamp(5), &order, number, &bounced());
    assert_eq!(output.given_up, 1);
    let report = &output.reports[0];
    assert_eq!((report.seller.as_str(), report.failure.as_deref()), ("s0", Some("no such user")));
    let notification = outbox.pending(output.attempts[0]).unwrap();
    assert_eq!(
        (notification.due.topic, &notification.due.recipient),
        (Topic::RequestFailures, &Recipient::Buyer)
    );
    assert_eq!(notification.failed.as_ref().unwrap().seller.as_ref().unwrap().as_str(), "s0");
    // A crash before the order recorded the result: the report is due again.
    let mut outbox = restored(&outbox);
    assert_eq!(outbox.step(Timestamp(6), &OutboxInput::Tick).reports, output.reports);
    outbox.step(Timestamp(6), &OutboxInput::Reported(number));
    let dead: Vec<_> = outbox.dead().map(|(id, kept)| (id, kept.due.clone())).collect();
    assert_eq!(dead.len(), 1);
    assert!(!outbox.step(Timestamp(7), &OutboxInput::Replay("t~o~life~2~0")).is_changed);
    assert_eq!(outbox.step(Timestamp(7), &OutboxInput::Replay(&dead[0].0)).attempts, [number]);
    assert_eq!(outbox.dead().count(), 0);
}

/// The last one comes two to five hours after the first.
#[test]
fn attempts_end_after_a_limit() {
    let events = events(0);
    let order = order(&events);
    let mut outbox = fresh();
    let mut now = Timestamp(0);
    let mut attempts = receive(&mut outbox, now, &order, &events[0]).attempts;
    let mut tried = 0;
    while let Some(number) = attempts.pop() {
        tried += 1;
        let output = fail(&mut outbox, now, &order, number, &try_again(None));
        now = output.next_at.unwrap_or(now);
        attempts = outbox.step(now, &OutboxInput::Tick).attempts;
    }
    assert_eq!((tried, outbox.dead().count()), (ATTEMPTS_MAX, 1));
    assert!(outbox.is_settled());
    let hours = now.0 / 3_600_000;
    assert!((2..=5).contains(&hours), "{hours} h");
}

/// A recipient that never replies loses its own messages first.
#[test]
fn waiting_messages_are_limited() {
    let events = events(700);
    let order = order(&events);
    let mut outbox = fresh();
    for event in &events {
        let mut attempts = receive(&mut outbox, Timestamp(0), &order, event).attempts;
        // s0 hangs; the others take everything.
        while let Some(number) = attempts.pop() {
            if recipient(&outbox, number) == "s0@x" {
                continue;
            }
            let output = outbox.step(Timestamp(0), &OutboxInput::Delivered(number));
            attempts.extend(output.attempts);
            for report in output.reports {
                attempts.extend(
                    outbox.step(Timestamp(0), &OutboxInput::Reported(report.number)).attempts,
                );
            }
        }
        assert!(outbox.snapshot().counts().0 <= PENDING_MAX);
    }
    assert_eq!(outbox.all().count(), 701);
    assert!(outbox.all().all(|(_, kept)| kept.due.channel.address == "s0@x"));
}

/// All recipients hang: more messages wait than may, and of those given up some are dropped.
#[test]
fn dead_letters_are_limited() {
    for (follow_ups, dropped) in [(763, 5 + 763 * 4 - PENDING_MAX - DEAD_LETTERS_MAX), (700, 0)] {
        let events = events(follow_ups);
        let (order, mut outbox) = (order(&events), fresh());
        let mut in_flight = Vec::new();
        for event in &events {
            in_flight.extend(receive(&mut outbox, Timestamp(0), &order, event).attempts);
        }
        assert!(in_flight.iter().all(|number| outbox.pending(*number).is_some()), "they stay");
        let dead = 5 + usize::try_from(follow_ups).unwrap() * 4 - PENDING_MAX - dropped;
        assert_eq!(outbox.snapshot().counts(), (PENDING_MAX, dead));
        assert_eq!(outbox.dropped(), dropped as u64);
        let all: Vec<_> = outbox.all().map(|(id, _)| id).collect();
        assert_eq!(all.len(), PENDING_MAX + dead);
        let last: Vec<_> = outbox.dead().map(|(id, _)| id).collect();
        assert_eq!(all[PENDING_MAX..], last, "dead letters come last");
    }
}

#[test]
fn passed_events_move_the_cursor_forward() {
    let mut outbox = fresh();
    for (seq, is_changed, cursor) in [(0, false, 0), (2, true, 2), (1, false, 2), (2, false, 2)] {
        let output = outbox.step(Timestamp(0), &OutboxInput::Passed(Seq(seq)));
        assert_eq!((output.is_changed, outbox.cursor()), (is_changed, Seq(cursor)), "{seq}");
    }
}

#[test]
fn postponed_attempts_wait() {
    let events = events(0);
    let (order, mut outbox) = (order(&events), fresh());
    let number = receive(&mut outbox, Timestamp(0), &order, &events[0]).attempts[0];
    let output = outbox.step(Timestamp(5), &OutboxInput::Postponed { number, for_ms: 10 });
    assert_eq!((output.attempts, output.next_at), (vec![], Some(Timestamp(15))));
    assert!(outbox.step(Timestamp(14), &OutboxInput::Tick).attempts.is_empty());
    assert_eq!(outbox.step(Timestamp(15), &OutboxInput::Tick).attempts, [number]);
}

/// They are composed of the event that they are about.
#[test]
fn waiting_notifications_are_composed() {
    let events = events(0);
    let (order, mut outbox) = (order(&events), fresh());
    assert_eq!(outbox.snapshot().oldest_due_at(), None);
    let number = receive(&mut outbox, Timestamp(3), &order, &events[0]).attempts[0];
    receive(&mut outbox, Timestamp(5), &order, &events[1]);
    assert_eq!(outbox.snapshot().oldest_due_at(), Some(Timestamp(3)));
    let composed = outbox.compose(number, &order, &events[0]).unwrap();
    assert_eq!(composed.id, outbox.all().next().unwrap().0);
    assert!(outbox.compose(number, &order, &events[1]).is_none(), "it is about the opening");
    assert!(outbox.compose(number + 99, &order, &events[0]).is_none());
}

/// Attempts and reports together; one that is under way is not started again.
#[test]
fn attempts_in_flight_are_limited() {
    let names: Vec<_> = (0..IN_FLIGHT_MAX + 2).map(|number| format!("s{number}")).collect();
    let events = events_for(&names, 0);
    let (order, mut outbox) = (order(&events), fresh());
    let mut started = receive(&mut outbox, Timestamp(0), &order, &events[0]).attempts;
    let output = receive(&mut outbox, Timestamp(0), &order, &events[1]);
    assert_eq!(output.next_at, None, "the others wait for the end of an attempt");
    started.extend(output.attempts);
    assert_eq!(started.len(), IN_FLIGHT_MAX, "the buyer, and all sellers but three");
    let invited = started[1];
    let output = outbox.step(Timestamp(0), &OutboxInput::Delivered(invited));
    assert_eq!((output.reports.len(), output.attempts.len()), (1, 0), "a report takes its place");
    for _ in 0..2 {
        let output = outbox.step(Timestamp(0), &OutboxInput::Tick);
        assert_eq!((output.reports, output.attempts), (vec![], vec![]), "all are under way");
    }
    let output = outbox.step(Timestamp(0), &OutboxInput::Reported(invited));
    assert_eq!((output.reports.len(), output.attempts.len()), (0, 1));
}

#[test]
fn reports_in_flight_are_not_repeated() {
    let events = events(0);
    let (order, mut outbox) = (order(&events), fresh());
    receive(&mut outbox, Timestamp(0), &order, &events[0]);
    let invited = receive(&mut outbox, Timestamp(0), &order, &events[1]).attempts[0];
    let report = outbox.step(Timestamp(0), &OutboxInput::Delivered(invited)).reports;
    assert_eq!(report.len(), 1);
    assert_eq!(outbox.step(Timestamp(0), &OutboxInput::Tick).reports, vec![]);
}

/// The outcome of one delivery attempt.
#[derive(Clone, Copy, Debug)]
enum AttemptOutcome {
    Delivers,
    TryAgain,
    Bounces,
    Hangs,
    Postpones,
    Crashes,
}

fn attempt_outcome() -> impl Strategy<Value = AttemptOutcome> {
    prop_oneof![
        4 => Just(AttemptOutcome::Delivers),
        3 => Just(AttemptOutcome::TryAgain),
        1 => Just(AttemptOutcome::Bounces),
        1 => Just(AttemptOutcome::Hangs),
        1 => Just(AttemptOutcome::Postpones),
        1 => Just(AttemptOutcome::Crashes),
    ]
}

/// An outbox on a disk that keeps the last snapshot stored, and a record of its attempts.
struct DeliverySim {
    outbox: Outbox,
    disk: OutboxSnapshot,
    events: Vec<Event>,
    order: Order,
    now: Timestamp,
    /// The attempts in their order, by recipient: the numbers and ids of the notifications.
    tried: BTreeMap<String, Vec<(u64, String)>>,
    delivered: BTreeSet<String>,
}

impl DeliverySim {
    fn new(follow_ups: u64) -> Self {
        let events = events(follow_ups);
        let (order, outbox) = (order(&events), fresh());
        let (disk, now) = (OutboxSnapshot::default(), Timestamp(0));
        let (tried, delivered) = (BTreeMap::new(), BTreeSet::new());
        Self { outbox, disk, events, order, now, tried, delivered }
    }

    fn crash(&mut self) {
        let (key, incarnation) = (self.outbox.key.clone(), self.outbox.incarnation.clone());
        self.outbox = Outbox::new(key, incarnation, self.disk.clone());
    }

    fn next_event(&mut self) -> OutboxOutput {
        let next = usize::try_from(self.outbox.cursor().0).unwrap();
        match self.events.get(next).cloned() {
            Some(event) => receive(&mut self.outbox, self.now, &self.order, &event),
            None => self.outbox.step(self.now, &OutboxInput::Tick),
        }
    }

    fn run(&mut self, outcomes: &mut impl Iterator<Item = AttemptOutcome>) {
        let mut todo = self.next_event();
        for _ in 0..20_000 {
            for report in std::mem::take(&mut todo.reports) {
                let output = self.outbox.step(self.now, &OutboxInput::Reported(report.number));
                todo.attempts.extend(output.attempts);
                todo.reports.extend(output.reports);
            }
            let Some(number) = todo.attempts.pop() else {
                self.disk = self.outbox.snapshot().clone();
                todo = self.next_event();
                let is_read = self.outbox.cursor().0 == self.events.len() as u64;
                if todo.attempts.is_empty() && todo.reports.is_empty() {
                    if is_read && self.outbox.is_settled() {
                        return;
                    }
                    self.now = todo.next_at.unwrap_or(self.now).max(self.now).plus_ms(1);
                }
                continue;
            };
            let entry = self.outbox.pending(number).unwrap().clone();
            let id = self.outbox.id(&entry);
            let attempts = self.tried.entry(entry.due.channel.address.clone()).or_default();
            attempts.push((number, id.clone()));
            let output = match outcomes.next().unwrap_or(AttemptOutcome::Delivers) {
                AttemptOutcome::Delivers => {
                    self.delivered.insert(id);
                    self.outbox.step(self.now, &OutboxInput::Delivered(number))
                }
                AttemptOutcome::TryAgain => {
                    fail(&mut self.outbox, self.now, &self.order, number, &try_again(None))
                }
                AttemptOutcome::Bounces => {
                    fail(&mut self.outbox, self.now, &self.order, number, &bounced())
                }
                AttemptOutcome::Postpones => {
                    self.outbox.step(self.now, &OutboxInput::Postponed { number, for_ms: 10 })
                }
                // The attempt's deadline ends it, much later.
                AttemptOutcome::Hangs => {
                    self.now = self.now.plus_ms(15_000);
                    fail(&mut self.outbox, self.now, &self.order, number, &try_again(None))
                }
                AttemptOutcome::Crashes => {
                    self.crash();
                    todo = OutboxOutput::default();
                    self.outbox.step(self.now, &OutboxInput::Tick)
                }
            };
            todo.attempts.extend(output.attempts);
            todo.reports.extend(output.reports);
        }
        panic!("the outbox never settles");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Holds for any crash and any failure; a seller is notified of the events in their order.
    #[test]
    fn due_messages_are_delivered_or_dead(
        follow_ups in 0_u64..12,
        outcomes in proptest::collection::vec(attempt_outcome(), 0..200),
    ) {
        let mut sim = DeliverySim::new(follow_ups);
        sim.run(&mut outcomes.into_iter());
        let dead: BTreeSet<String> = sim.outbox.dead().map(|(id, _)| id).collect();
        // The ids that are due, derived from the events alone.
        let mut due_ids = BTreeSet::new();
        for event in &sim.events {
            with_audience(|audience| {
                for due in due(&sim.order, event, audience) {
                    let (key, incarnation) = (&sim.outbox.key, &sim.outbox.incarnation);
                    due_ids.insert(notification::id(key, incarnation, event.seq, &due, None));
                }
            });
        }
        prop_assert_eq!(due_ids.len() as u64, 5 + 4 * follow_ups);
        for id in &due_ids {
            prop_assert!(sim.delivered.contains(id) || dead.contains(id), "{} is lost", id);
        }
        // No other id occurs, except those of failures that are reported to the buyer.
        for id in sim.delivered.iter().chain(&dead).filter(|id| !due_ids.contains(*id)) {
            let tried = sim.tried.get("buyer@x").into_iter().flatten();
            prop_assert!(tried.clone().any(|(_, held)| held == id), "{} came from nowhere", id);
        }
        // A seller is notified of the events in their order. The time of a report of a failure to
        // the buyer depends on the time of the failure.
        for (who, tried) in sim.tried.iter().filter(|(who, _)| *who != "buyer@x") {
            let mut first: Vec<u64> = Vec::new();
            let mut seen = BTreeSet::new();
            for (number, id) in tried {
                if seen.insert(id.clone()) {
                    first.push(*number);
                }
            }
            prop_assert!(first.is_sorted(), "{}: {:?}", who, tried);
        }
    }
}
