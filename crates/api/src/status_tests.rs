//! Tests of the statuses of orders: their size, times that are kept, ends that stay.

use orderstream_core::date::parse_rfc3339;
use std::sync::Arc;

use orderstream_core::command::{Award, ProposalContent};
use orderstream_core::event::{NotifyResult, OrderOpened, ProposalUpdate};
use orderstream_core::spec::{FollowUp, Message, SellerChoice, Verdict};
use orderstream_core::tracker::{Tracker, TrackerInput};
use orderstream_core::{
    Epoch, Event, EventKind, FollowUpId, Incarnation, OrderKey, OrderSpec, Price, ProposalId,
    SellerId, Seq,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::order_request::{OrderRequest, OrderRequestSpec};

const T0: Timestamp = Timestamp(1_800_000_000_000);

struct ScriptedOrder(Tracker, u64);

impl ScriptedOrder {
    fn open(spec: OrderSpec, id: &str) -> Self {
        let key = OrderKey::new("default", id).unwrap();
        let incarnation = Incarnation::new("uid-1").unwrap();
        let mut order = Self(Tracker::new(key.clone(), incarnation.clone()), 0);
        let processor = "http://127.0.0.1:50051".to_owned();
        order.0.step(T0, TrackerInput::Connected { processor: processor.into(), epoch: Epoch(1) });
        let expires_at = T0.plus_ms(spec.expires_in_ms);
        order.event(EventKind::OrderOpened(Box::new(OrderOpened {
            key,
            incarnation,
            spec,
            expires_at,
        })));
        order
    }

    fn event(&mut self, kind: EventKind) {
        self.1 += 1;
        let event = Event { seq: Seq(self.1), at: T0.plus_ms(self.1 * 1_000), cause: None, kind };
        self.0.step(T0, TrackerInput::Received(Arc::new(event)));
    }

    fn propose(&mut self, id: &str, price: &str) {
        self.event(EventKind::NewProposal(ProposalContent {
            proposal_id: Some(ProposalId::new(id).unwrap()),
            ..ProposalContent::new(
                SellerId::new("seller1").unwrap(),
                Price::parse(price, "EUR").unwrap(),
            )
        }));
    }

    fn status(&self, previous: &OrderRequestStatus, now: Timestamp) -> OrderRequestStatus {
        status(1, previous, Some(&self.0.snapshot()), None, now)
    }
}

fn find<'a>(status: &'a OrderRequestStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == kind).expect(kind)
}

#[test]
fn pending_orders_wait_for_their_processor() {
    let current = status(3, &OrderRequestStatus::default(), None, None, T0);
    assert_eq!(current.phase.as_deref(), Some("Pending"));
    assert_eq!(current.observed_generation, Some(3));
    assert_eq!(find(&current, "Ready").status, "False");
    assert_eq!(find(&current, "Reconciling").status, "True");
    assert_eq!(current.conditions.len(), 6);
}

#[test]
fn counts_price_and_times_are_shown() {
    let mut order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    order.propose("p1", "1300");
    order.propose("p2", "1249.50");
    let current = order.status(&OrderRequestStatus::default(), T0);
    assert_eq!(current.phase.as_deref(), Some("Open"));
    assert_eq!(current.expires_at.as_deref(), Some("2027-01-15T08:30:00Z"));
    let proposals = current.proposals.as_ref().expect("proposals");
    assert_eq!((proposals.received, proposals.open), (2, 2));
    let best = proposals.best.as_ref().expect("a best");
    assert_eq!((best.proposal_id.as_str(), best.price.as_str()), ("p2", "1249.50 EUR"));
    assert_eq!(current.tracker.as_ref().map(|tracker| tracker.last_seq), Some(3));
    assert_eq!(find(&current, "ProposalsReceived").status, "True");
    assert_eq!(parse_rfc3339("2027-01-15T08:30:00Z"), Some(T0.plus_ms(1_800_000)));
}

fn best(status: &OrderRequestStatus) -> Option<&str> {
    status.proposals.as_ref()?.best.as_ref().map(|best| best.price.as_str())
}

/// Returns a sealed order with three invited sellers, as a tracker has it that followed it from the
/// start.
fn sealed() -> ScriptedOrder {
    let mut order = ScriptedOrder::open(OrderSpec { sealed: true, ..OrderSpec::default() }, "SB1");
    let choice = |name: &str| SellerChoice {
        seller: SellerId::new(name).unwrap(),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    order.event(EventKind::SellersSelected(["seller1", "seller2", "seller3"].map(choice).into()));
    order
}

fn declined(name: &str) -> EventKind {
    let seller = SellerId::new(name).unwrap();
    EventKind::ProposalUpdate(ProposalUpdate::Declined { seller, reason: None })
}

/// They show neither a price nor how many sellers opened, declined or proposed.
#[test]
fn sealed_orders_show_nothing_before_opening() {
    let mut order = sealed();
    order.propose("p1", "10");
    order.event(declined("seller2"));
    let current = order.status(&OrderRequestStatus::default(), T0);
    assert_eq!(best(&current), None);
    let sellers = current.sellers.as_ref().expect("sellers");
    assert_eq!((sellers.selected, sellers.seen, sellers.declined, sellers.proposed), (3, 0, 0, 0));
    assert_eq!(current.proposals.as_ref().map(|proposals| proposals.received), Some(1));

    let decide_until = T0.plus_ms(30 * 86_400_000);
    order.event(EventKind::ProposalsOpened { decide_until });
    let current = order.status(&current, T0);
    assert_eq!(best(&current), Some("10 EUR"));
    let sellers = current.sellers.as_ref().expect("sellers");
    assert_eq!((sellers.selected, sellers.seen, sellers.declined, sellers.proposed), (3, 2, 1, 1));
    assert_eq!(current.phase.as_deref(), Some("Deciding"));
    let ready = find(&current, "Ready");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "ProposalsOpened"));
    assert!(ready.message.contains("a decision is awaited"), "{}", ready.message);
    assert_eq!(current.expires_at, Some(rfc3339_seconds(decide_until)));
    assert_eq!(current.decide_by, current.expires_at);
}

/// The deadline itself does not move while it decides.
#[test]
fn deciding_orders_keep_their_deadline() {
    let mut order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    let opened = order.status(&OrderRequestStatus::default(), T0);
    assert_eq!(opened.decide_by, None);
    let expires_at = T0.plus_ms(OrderSpec::default().expires_in_ms);
    let decide_by = Some(expires_at.plus_ms(OrderSpec::default().decide_within_ms()));
    order.event(EventKind::OrderPaused { expired: true, reason: None, decide_by });
    let current = order.status(&opened, T0);
    assert_eq!(current.decide_by, decide_by.map(rfc3339_seconds));
    assert_eq!(current.phase.as_deref(), Some("Deciding"));
    let ready = find(&current, "Ready");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "DecisionDue"));
    let mut resource = OrderRequest::new("sb1", OrderRequestSpec::default());
    let of_earlier_version = OrderRequestStatus { deadline: None, ..current.clone() };
    for status in [opened, current, of_earlier_version] {
        resource.status = Some(status);
        assert_eq!(crate::deadline(&resource), Some(expires_at));
    }
}

/// The time to decide is longer then, but proposals are not taken for longer.
#[test]
fn awards_undone_late_keep_the_deadline() {
    let spec = OrderSpec::default();
    let (lifetime_ms, decide_within_ms) = (spec.expires_in_ms, spec.decide_within_ms());
    let mut order = ScriptedOrder::open(spec, "SB1");
    let decide_by = Some(T0.plus_ms(lifetime_ms + decide_within_ms));
    order.event(EventKind::OrderPaused { expired: true, reason: None, decide_by });
    let effective_at = T0.plus_ms(lifetime_ms + decide_within_ms + 60_000);
    order.event(EventKind::AwardPending { award: None, reason: None, effective_at });
    order.event(EventKind::AwardUndone { reason: None });
    let current = order.status(&OrderRequestStatus::default(), T0);
    assert_eq!(current.decide_by, Some(rfc3339_seconds(effective_at)));
    let mut resource = OrderRequest::new("sb1", OrderRequestSpec::default());
    resource.status = Some(current);
    assert_eq!(crate::deadline(&resource), Some(T0.plus_ms(lifetime_ms)));
}

#[test]
fn statuses_have_a_word_for_the_stream() {
    let stream = |status: &OrderRequestStatus| status.tracker.as_ref()?.stream.clone();
    let mut order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    let up = order.status(&OrderRequestStatus::default(), T0);
    assert_eq!(stream(&up).as_deref(), Some("Active"));
    order.0.step(T0, TrackerInput::Disconnected { reason: "cut".to_owned() });
    let down = down(1, &up, Some(&order.0.snapshot()), T0);
    assert_eq!(stream(&down).as_deref(), Some("Reconnecting"));
    assert_eq!(down.phase.as_deref(), Some("Open"), "the order is as it was");
    assert_eq!(find(&down, "Ready").reason, "StreamDown");
    assert_eq!(find(&down, "Reconciling").status, "True");
    order.event(EventKind::OrderCancelled { reason: None });
    assert_eq!(stream(&order.status(&down, T0)).as_deref(), Some("Ended"));
}

/// An earlier version wrote no word for the stream.
#[test]
fn earlier_statuses_have_a_stream_phase() {
    let tracker = |is_up: bool| Some(json!({ "streamActive": is_up, "lastSeq": 3 }));
    for (phase, tracker, expected) in [
        ("Pending", None, StreamPhase::Pending),
        ("Streaming", tracker(true), StreamPhase::Active),
        ("Reconnecting", tracker(false), StreamPhase::Reconnecting),
        ("Finalised", tracker(false), StreamPhase::Ended),
        ("Failed", None, StreamPhase::Ended),
    ] {
        let status = json!({ "phase": phase, "tracker": tracker });
        let status: OrderRequestStatus = serde_json::from_value(status).unwrap();
        assert_eq!(status.stream_phase(), expected, "{phase}");
        assert!(status.request_phase().is_some(), "{phase}");
    }
}

/// They show none after their end either.
#[test]
fn unopened_sealed_orders_show_no_price() {
    for end in [
        EventKind::OrderClosed { reason: None },
        EventKind::OrderCancelled { reason: None },
        EventKind::OrderFinalised { award: None, reason: None },
    ] {
        let mut order = sealed();
        order.propose("p1", "10");
        order.event(end);
        let current = order.status(&OrderRequestStatus::default(), T0);
        assert!(current.is_terminal());
        assert_eq!(best(&current), None);
        assert_eq!(current.sellers.map(|sellers| (sellers.seen, sellers.proposed)), Some((0, 0)));
    }
}

#[test]
fn orders_that_invite_nobody_warn() {
    let mut order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    order.event(EventKind::SellersSelected(Vec::new()));
    let current = order.status(&OrderRequestStatus::default(), T0);
    let shown = find(&current, "SellersNotified");
    assert!(shown.reason == "NoSellerFits" && shown.message.contains("0 sellers"), "{shown:?}");
}

/// The time is shown until the award is undone, or takes effect.
#[test]
fn pending_awards_show_their_time() {
    let mut order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    order.propose("p1", "10");
    let award = Some(Award::Whole(ProposalId::new("p1").unwrap()));
    let effective_at = T0.plus_ms(600_000);
    let pending = EventKind::AwardPending { award: award.clone(), reason: None, effective_at };
    order.event(pending.clone());
    let current = order.status(&OrderRequestStatus::default(), T0);
    let until = AwardStatus { pending_until: "2027-01-15T08:10:00Z".to_owned() };
    assert_eq!(current.award, Some(until));
    assert_eq!(find(&current, "Ready").reason, "AwardPending");
    order.event(EventKind::AwardUndone { reason: None });
    let current = order.status(&current, T0);
    assert_eq!(current.award, None);
    assert_eq!(find(&current, "Ready").reason, "Open");
    order.event(pending);
    order.event(EventKind::OrderFinalised { award, reason: None });
    let current = order.status(&current, T0);
    assert_eq!((current.award.as_ref(), current.phase.as_deref()), (None, Some("Finalised")));
}

#[test]
fn unchanged_conditions_keep_their_times() {
    let mut order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    let first = order.status(&OrderRequestStatus::default(), T0);
    let later = T0.plus_ms(60_000);
    assert_eq!(order.status(&first, later), first);
    order.propose("p1", "10");
    let second = order.status(&first, later);
    assert_eq!(find(&second, "Ready").last_transition_time.0, whole_seconds(T0));
    assert_eq!(find(&second, "ProposalsReceived").last_transition_time.0, whole_seconds(later));
}

#[test]
fn ends_stay_without_a_tracker() {
    let mut order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    order.event(EventKind::OrderCancelled { reason: None });
    let ended = order.status(&OrderRequestStatus::default(), T0);
    assert!(ended.is_terminal());
    assert_eq!(status(1, &ended, None, None, T0.plus_ms(5)), ended);
}

/// Such an edit is only observed.
#[test]
fn edits_after_the_end_change_nothing() {
    let mut order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    order.event(EventKind::OrderCancelled { reason: None });
    let ended = order.status(&OrderRequestStatus::default(), T0);
    let edited = status(2, &ended, None, None, T0.plus_ms(5));
    assert_eq!(edited.observed_generation, Some(2));
    assert_eq!(edited.conditions, ended.conditions, "they say what was judged at the end");
    assert_eq!(OrderRequestStatus { observed_generation: Some(1), ..edited }, ended);
}

/// Other refusals are shown, and leave the order pending.
#[test]
fn invalid_orders_fail() {
    let refusal = Refusal::new(Reason::LimitReached, "too many streams");
    let current = status(1, &OrderRequestStatus::default(), None, Some(&refusal), T0);
    assert_eq!(find(&current, "Stalled").reason, "LIMIT_REACHED");
    assert_eq!(current.phase.as_deref(), Some("Pending"));
    let refusal = Refusal::field("spec.items", "is wrong");
    let current = status(1, &OrderRequestStatus::default(), None, Some(&refusal), T0);
    assert_eq!(current.phase.as_deref(), Some("Failed"));
    assert_eq!(find(&current, "Stalled").message, "spec.items: is wrong");
}

/// A tracker that was started again, or is not started yet, knows nothing of the order.
#[test]
fn opened_orders_outlive_refused_edits() {
    let order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    let opened = order.status(&OrderRequestStatus::default(), T0);
    let refusal = Refusal::field("spec.suspendReason", "contains a control character; remove it");
    let edited = status(2, &opened, None, Some(&refusal), T0.plus_ms(5));
    assert_eq!(edited.phase.as_deref(), Some("Open"));
    assert_eq!((edited.completion_time.as_ref(), edited.observed_generation), (None, Some(2)));
    assert_eq!((&edited.start_time, edited.processor()), (&opened.start_time, opened.processor()));
    assert_eq!(find(&edited, "Stalled").status, "True");
    assert_eq!(find(&edited, "Ready").reason, "StreamDown");
    let fixed = order.status(&edited, T0.plus_ms(10));
    assert_eq!(fixed.phase.as_deref(), Some("Open"));
    assert_eq!(find(&fixed, "Stalled").status, "False");
}

/// Its processor is known, and its start is not shown yet.
#[test]
fn placed_orders_wait_when_they_are_refused() {
    let processor = Some("http://127.0.0.1:50051".to_owned());
    let stream = Some(StreamStatus { processor, ..StreamStatus::default() });
    let placed = OrderRequestStatus { stream, ..OrderRequestStatus::default() };
    let refusal = Refusal::field("spec.items", "is wrong");
    let current = status(2, &placed, None, Some(&refusal), T0);
    assert_eq!(current.phase.as_deref(), Some("Pending"));
    assert_eq!(find(&current, "Stalled").message, "spec.items: is wrong");
    assert_eq!(corrected(3, &current), None, "sellers may have been asked");
    let unknown = held(1, &OrderRequestStatus::default(), None, &refusal, T0);
    assert_eq!(unknown.phase.as_deref(), Some("Pending"));
    assert_eq!(find(&unknown, "Stalled").status, "True");
}

#[test]
fn foreign_texts_stay_in_their_message() {
    let refusal = Refusal::field("spec.title", "safe \u{202e}gnp.exe\u{2028}\u{2066}open");
    let current = status(1, &OrderRequestStatus::default(), None, Some(&refusal), T0);
    let expected = "spec.title: safe gnp.exe \u{2066}open\u{2069}";
    assert_eq!(find(&current, "Stalled").message, expected);
}

#[test]
fn the_longest_status_fits() {
    let long = "x".repeat(128);
    let mut order = ScriptedOrder::open(OrderSpec::default(), &long);
    order.propose(&long, "1000000000000");
    let processor = format!("http://{}", "h".repeat(5_000));
    order
        .0
        .step(T0, TrackerInput::Connected { processor: processor.into(), epoch: Epoch(u64::MAX) });
    order.0.step(T0, TrackerInput::Disconnected { reason: "\"\u{1f4a5}\\\n".repeat(2_000) });
    let refusal = Refusal::new(Reason::StorageUnavailable, "\"\u{7}".repeat(5_000));
    let (award, effective_at) = (None, T0.plus_ms(600_000));
    order.event(EventKind::AwardPending { award, reason: None, effective_at });
    let snapshot = order.0.snapshot();
    let current =
        status(i64::MAX, &OrderRequestStatus::default(), Some(&snapshot), Some(&refusal), T0);
    let bytes = serde_json::to_vec(&current).unwrap().len();
    assert!(bytes <= STATUS_BYTES_MAX, "{bytes} bytes");
}

/// A change of an order, or of its observed state.
#[derive(Clone, Debug)]
enum Happens {
    Event(EventKind),
    Proposal(String, String),
    Connected(String),
    Disconnected(String),
    Forgotten,
    Refused(Reason, String),
    Down,
    Contested,
}

fn happenings() -> impl Strategy<Value = Happens> {
    let ids = || "[a-z]{1,128}";
    let text = || prop_oneof![".{0,300}", Just("\"\u{7}\u{1f4a5}\\".repeat(1_000))];
    let follow_up = |id: String| {
        let id = FollowUpId::new(id).unwrap();
        let message = Message::default();
        EventKind::FollowUpAdded(FollowUp { id, audience: Vec::new(), message, answers: None })
    };
    let notified = |result: NotifyResult| EventKind::SellerNotified {
        seller: SellerId::new("seller1").unwrap(),
        channel: "email".to_owned(),
        result,
        reason: None,
    };
    prop_oneof![
        4 => (ids(), "[1-9][0-9]{0,11}").prop_map(|(id, price)| Happens::Proposal(id, price)),
        2 => ids().prop_map(move |id| Happens::Event(follow_up(id))),
        1 => prop_oneof![Just(NotifyResult::Delivered), Just(NotifyResult::Bounced)].prop_map(move |r| Happens::Event(notified(r))),
        1 => text().prop_map(|reason| {
            Happens::Event(EventKind::OrderPaused { expired: false, reason: Some(reason), decide_by: None })
        }),
        1 => Just(Happens::Event(EventKind::OrderResumed)),
        1 => (0..4_000_000_000_000_i64).prop_map(|at| {
            let effective_at = Timestamp(at);
            Happens::Event(EventKind::AwardPending { award: None, reason: None, effective_at })
        }),
        1 => (0..4_000_000_000_000_i64).prop_map(|at| {
            Happens::Event(EventKind::ProposalsOpened { decide_until: Timestamp(at) })
        }),
        2 => text().prop_map(|host| Happens::Connected(format!("http://{host}"))),
        2 => text().prop_map(Happens::Disconnected),
        1 => Just(Happens::Forgotten),
        2 => (proptest::sample::select(&Reason::ALL[..]), text())
            .prop_map(|(reason, message)| Happens::Refused(reason, message)),
        1 => Just(Happens::Down),
        1 => Just(Happens::Contested),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
    #[test]
    fn a_status_stays_small_for_ever(
        id in "[a-z]{1,128}",
        generation in any::<i64>(),
        happenings in proptest::collection::vec(happenings(), 1..60),
    ) {
        let mut scripted = ScriptedOrder::open(OrderSpec::default(), &id);
        let mut shown = OrderRequestStatus::default();
        for (step, happens) in (1..).zip(happenings) {
            let now = T0.plus_ms(step * 997);
            let next = |shown: &OrderRequestStatus, scripted: &ScriptedOrder, refusal: Option<&Refusal>| {
                status(generation, shown, Some(&scripted.0.snapshot()), refusal, now)
            };
            shown = match happens {
                Happens::Event(kind) => { scripted.event(kind); next(&shown, &scripted, None) }
                Happens::Proposal(id, price) => {
                    scripted.propose(&id, &price);
                    next(&shown, &scripted, None)
                }
                Happens::Connected(processor) => {
                    scripted.0.step(now, TrackerInput::Connected { processor: processor.into(), epoch: Epoch(step) });
                    next(&shown, &scripted, None)
                }
                Happens::Disconnected(reason) => {
                    scripted.0.step(now, TrackerInput::Disconnected { reason });
                    next(&shown, &scripted, None)
                }
                Happens::Forgotten => status(generation, &shown, None, None, now),
                Happens::Refused(reason, message) => {
                    let refusal = Refusal { field: Some(id.clone()), ..Refusal::new(reason, message) };
                    next(&shown, &scripted, Some(&refusal))
                }
                Happens::Down => down(generation, &shown, Some(&scripted.0.snapshot()), now),
                Happens::Contested => contested(shown.clone(), generation, &shown, now),
            };
            let bytes = serde_json::to_vec(&shown).unwrap().len();
            prop_assert!(bytes <= STATUS_BYTES_MAX, "{bytes} bytes: {shown:?}");
        }
    }
}

/// The rest of such a status stays.
#[test]
fn contested_statuses_are_stalled_until_uncontested() {
    let order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    let before = order.status(&OrderRequestStatus::default(), T0);
    let contested_status = contested(before.clone(), 1, &before, T0.plus_ms(5_000));
    assert_eq!(find(&contested_status, "Stalled").reason, "STATUS_CONTESTED");
    assert_eq!(find(&contested_status, "Stalled").status, "True");
    assert_eq!(find(&contested_status, "Ready"), find(&before, "Ready"));
    let again = contested(before.clone(), 1, &contested_status, T0.plus_ms(9_000));
    assert_eq!(again, contested_status, "it keeps its time");
    let peace = uncontested(contested_status, 1, T0.plus_ms(30_000));
    assert_eq!(find(&peace, "Stalled").status, "False");
    assert_eq!(uncontested(before.clone(), 1, T0), before);

    let refusal = Refusal::field("spec.items", "is wrong");
    let failed = status(1, &OrderRequestStatus::default(), None, Some(&refusal), T0);
    assert_eq!(contested(failed.clone(), 1, &failed, T0), failed, "why it failed stays");
}

#[test]
fn foreign_conditions_and_sequence_are_ignored() {
    let order = ScriptedOrder::open(OrderSpec::default(), "SB1");
    let ours = order.status(&OrderRequestStatus::default(), T0);
    assert!(ours.conditions.iter().map(|held| held.type_.as_str()).eq(CONDITIONS));
    let mut mixed = ours.clone();
    let theirs = Condition { type_: "Approved".to_owned(), ..find(&ours, "Ready").clone() };
    mixed.conditions.insert(1, theirs);
    mixed.conditions.reverse();
    assert_eq!(own(mixed), ours);
}
