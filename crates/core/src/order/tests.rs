//! Tests of the order's fold, and of what it tells of itself.

use super::*;
use crate::event::{NotifyResult, OrderOpened};
use crate::price::Price;
use crate::spec::Verdict;
use crate::summary::{OrderSummary, SellerCounts};

fn seller(name: &str) -> SellerId {
    SellerId::new(name).unwrap()
}

/// Folds these events after an order's opening, each a millisecond later than the one before it.
fn folded(sealed: Sealing, kinds: Vec<EventKind>) -> Order {
    let opened = OrderOpened {
        key: OrderKey::new("t", "o").unwrap(),
        incarnation: Incarnation::new("life").unwrap(),
        spec: OrderSpec { sealed: sealed == Sealing::Sealed, ..OrderSpec::default() },
        expires_at: Timestamp(1_000),
    };
    let choice = |name: &str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let selected = EventKind::SellersSelected(vec![choice("s1"), choice("s2")]);
    let mut order = None;
    let before = [EventKind::OrderOpened(Box::new(opened)), selected];
    for (seq, kind) in (1..).zip(before.into_iter().chain(kinds)) {
        let at = Timestamp(i64::try_from(seq).unwrap());
        Order::fold(&mut order, &Event { seq: Seq(seq), at, cause: None, kind }).unwrap();
    }
    order.unwrap()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sealing {
    Open,
    Sealed,
}

fn proposal(id: &str, price: Price) -> EventKind {
    EventKind::NewProposal(ProposalContent {
        proposal_id: Some(ProposalId::new(id).unwrap()),
        ..ProposalContent::new(seller("s1"), price)
    })
}

fn price(amount: &str, currency: &str) -> Price {
    Price::parse(amount, currency).unwrap()
}

fn notified(result: NotifyResult, reason: Option<&str>) -> EventKind {
    let reason = reason.map(str::to_owned);
    EventKind::SellerNotified { seller: seller("s1"), channel: "email".to_owned(), result, reason }
}

/// A repetition changes neither its time nor its reason.
#[test]
fn invitations_only_advance() {
    let (bounced, seen) = (NotifyResult::Bounced, NotifyResult::Seen);
    let of_s1 = |kinds: Vec<EventKind>| {
        let order = folded(Sealing::Open, kinds);
        let invitation = order.invitation(&seller("s1")).cloned().unwrap();
        (invitation.state, invitation.at, invitation.reason, order.notified())
    };
    let first = || notified(bounced, Some("no such user"));
    let expected =
        (InvitationState::Bounced, Timestamp(3), Some("no such user".to_owned()), (0, 1));
    assert_eq!(of_s1(vec![first()]), expected);
    assert_eq!(of_s1(vec![first(), notified(bounced, Some("again"))]), expected);
    let expected = (InvitationState::Seen, Timestamp(4), None, (1, 0));
    assert_eq!(of_s1(vec![first(), notified(seen, None)]), expected);
    assert_eq!(of_s1(vec![first(), notified(seen, None), first()]), expected);
}

/// They hold no redaction for what is in plain sight.
#[test]
fn orders_know_what_is_redacted() {
    let declined = |name: &str| {
        EventKind::ProposalUpdate(ProposalUpdate::Declined { seller: seller(name), reason: None })
    };
    let asked = |name: &str| {
        let (question_id, message) = (FollowUpId::new("q").unwrap(), String::new());
        EventKind::ProposalUpdate(ProposalUpdate::Asked {
            seller: seller(name),
            question_id,
            message,
        })
    };
    let open = || vec![proposal("p1", price("0", "EUR")), declined("s1"), asked("s2")];
    assert!(!folded(Sealing::Open, open()).has_redacted());
    for redacted in [proposal("p2", Price::hidden()), declined(SEALED), asked(SEALED)] {
        let kinds = open().into_iter().chain([redacted.clone()]).collect();
        assert!(folded(Sealing::Open, kinds).has_redacted(), "{redacted:?}");
    }
}

/// Of equal ones, the first by id is the best; there is none between currencies. Hidden prices do
/// not compete.
#[test]
fn best_proposals_have_the_lowest_price() {
    let opened = EventKind::ProposalsOpened { decide_until: Timestamp(2_000) };
    let ten = || proposal("p2", price("10", "EUR"));
    let hidden = || proposal("p1", Price::hidden());
    let cases = [
        (Sealing::Open, vec![ten(), proposal("p1", price("11", "EUR"))], Some("p2")),
        (Sealing::Open, vec![ten(), proposal("p3", price("9", "EUR"))], Some("p3")),
        (Sealing::Open, vec![ten(), proposal("p3", price("10", "EUR"))], Some("p2")),
        (Sealing::Open, vec![ten(), proposal("p3", price("9", "USD"))], None),
        (Sealing::Open, vec![proposal("p1", price("11", "USD")), ten()], None),
        (Sealing::Sealed, vec![ten()], None),
        (Sealing::Sealed, vec![ten(), opened.clone()], Some("p2")),
        (Sealing::Sealed, vec![hidden(), opened.clone()], None),
        (Sealing::Sealed, vec![hidden(), ten(), opened], Some("p2")),
    ];
    for (sealed, kinds, best) in cases {
        let found = folded(sealed, kinds.clone()).best_open().map(|(id, _)| id.to_string());
        assert_eq!(found.as_deref(), best, "{kinds:?}");
    }
}

/// Under seal it counts no seller that opened the order or proposed.
#[test]
fn summaries_count_sellers_by_stage() {
    let declined = ProposalUpdate::Declined { seller: seller("s2"), reason: None };
    let kinds = || {
        vec![
            notified(NotifyResult::Seen, None),
            EventKind::ProposalUpdate(declined.clone()),
            proposal("p1", price("7", "EUR")),
        ]
    };
    let open = OrderSummary::of(&folded(Sealing::Open, kinds())).sellers;
    let counts = |sellers: SellerCounts| {
        let SellerCounts { selected, notified, failed, seen, declined, proposed, .. } = sellers;
        [selected, notified, failed, seen, declined, proposed]
    };
    assert_eq!((counts(open), open.is_sealed), ([2, 2, 0, 2, 1, 1], false));
    let sealed = OrderSummary::of(&folded(Sealing::Sealed, kinds())).sellers;
    assert_eq!((counts(sealed), sealed.is_sealed), ([2, 0, 0, 0, 1, 0], true));
}

#[test]
fn summaries_run_out_as_their_orders_do() {
    let opened = EventKind::ProposalsOpened { decide_until: Timestamp(5_000) };
    for (kinds, expected) in [(vec![], 1_000), (vec![opened], 5_000)] {
        let order = folded(Sealing::Sealed, kinds);
        let summary = OrderSummary::of(&order);
        assert_eq!(summary.runs_out_at(), Timestamp(expected));
        assert_eq!(summary.runs_out_at(), order.runs_out_at());
    }
}

/// Earlier versions restated a pause, and a resumption, for a key that came after the opening of a
/// sealed order.
#[test]
fn former_pauses_leave_opened_orders_deciding() {
    let opened = || EventKind::ProposalsOpened { decide_until: Timestamp(5_000) };
    let paused = || EventKind::OrderPaused { expired: false, reason: None, decide_by: None };
    for (kinds, expected) in [
        (vec![opened(), paused()], Phase::Deciding),
        (vec![paused(), opened(), paused()], Phase::Deciding),
        (vec![opened(), EventKind::OrderResumed], Phase::Deciding),
        (vec![paused()], Phase::Paused),
        (vec![paused(), EventKind::OrderResumed], Phase::Open),
    ] {
        let order = folded(Sealing::Sealed, kinds.clone());
        assert_eq!(order.phase, expected, "{kinds:?}");
    }
}

/// Replies and statuses show them.
#[test]
fn invitation_states_are_spelled_by_name() {
    for (state, expected) in [
        (InvitationState::Invited, "Invited"),
        (InvitationState::Bounced, "Bounced"),
        (InvitationState::Notified, "Notified"),
        (InvitationState::Seen, "Seen"),
        (InvitationState::Declined, "Declined"),
        (InvitationState::Proposed, "Proposed"),
    ] {
        assert_eq!(state.as_str(), expected);
    }
}
