//! Tests of sealed orders: hidden until the deadline, then opened all at once, and waiting for a
//! decision.

use std::sync::Arc;

use super::*;
use crate::limits::DECIDE_WITHIN_MS_DEFAULT;
use crate::order::InvitationState;
use crate::seal;
use crate::spec::{NotificationType, SellerChoice, Verdict};
use crate::stream_phase::StreamPhase;
use crate::tracker::{Tracker, TrackerInput, TrackerOutput};

const LIFETIME: i64 = LIFETIME_MS as i64;

fn sealed() -> BookHarness {
    sealed_with(None)
}

fn sealed_with(decide_within_ms: Option<u64>) -> BookHarness {
    let spec = OrderSpec {
        expires_in_ms: LIFETIME_MS,
        decide_within_ms,
        sealed: true,
        ..OrderSpec::default()
    };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut harness = BookHarness::closed();
    let opening = OrderOpening { incarnation, spec, choices: Vec::new() };
    harness.run(CommandKind::Open(Box::new(opening))).unwrap();
    harness.run(propose("p1", "secretive-ltd")).unwrap();
    harness.run(amend("p1", "secretive-ltd", "4711.99")).unwrap();
    harness.run(lock("p1", "secretive-ltd", 1_000)).unwrap();
    harness
}

fn opened() -> BookHarness {
    let mut harness = sealed();
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    harness
}

/// They do not expire then.
#[test]
fn sealed_orders_open_at_deadline() {
    let harness = opened();
    assert_eq!(harness.event_names().last(), Some(&"ProposalsOpened"));
    let order = harness.book.order().unwrap();
    let thirty_days_ms = 2_592_000_000;
    let decide_until = Timestamp(T0).plus_ms(LIFETIME_MS + thirty_days_ms);
    assert_eq!((order.phase, order.decide_until), (Phase::Deciding, Some(decide_until)));
    assert_eq!(harness.book.deadline(), Some(decide_until));
}

#[test]
fn undecided_opened_orders_expire() {
    let mut harness = opened();
    harness.now += i64::try_from(DECIDE_WITHIN_MS_DEFAULT).unwrap();
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Expired);
}

/// An owner that was down over both deadlines applies both, in their order.
#[test]
fn late_ticks_open_and_expire_together() {
    let mut harness = sealed();
    harness.now = T0 + LIFETIME + i64::try_from(DECIDE_WITHIN_MS_DEFAULT).unwrap();
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(&harness.event_names()[5..], ["ProposalsOpened", "OrderPaused"]);
}

#[test]
fn sealed_orders_are_awarded_once_opened() {
    let mut harness = sealed();
    assert_eq!(harness.expect_refusal(finalise(Some("p1"))), Reason::OrderSealed);
    let mut harness = opened();
    harness.run(finalise(Some("p1"))).unwrap();
    assert_eq!(harness.phase(), Phase::Finalised);
}

/// They take no amendments, withdrawals, locks, questions, extensions, pauses or resumes either.
#[test]
fn opened_orders_take_no_better_proposals() {
    let extend = CommandKind::Extend { expires_in_ms: 2 * LIFETIME_MS };
    let kinds = [
        propose("p2", "b"),
        amend("p1", "secretive-ltd", "1"),
        withdraw("p1"),
        lock("p1", "secretive-ltd", 1_000),
        ask("b", "q1"),
        extend,
        pause(),
        CommandKind::Resume,
    ];
    for kind in kinds {
        assert_eq!(opened().expect_refusal(kind.clone()), Reason::DeadlinePassed, "{kind:?}");
    }
}

/// To the millisecond: the one before the deadline is accepted, the one at it is not.
#[test]
fn late_proposals_are_refused() {
    for (at, accepted) in [(LIFETIME - 1, true), (LIFETIME, false), (LIFETIME + 1, false)] {
        let mut harness = sealed();
        harness.now = T0 + at;
        let result = harness.run(propose("p2", "b"));
        assert_eq!(result.is_ok(), accepted, "{at}");
        let deadline = Timestamp(T0).plus_ms(LIFETIME_MS);
        let proposals = harness.stored.iter().filter(|e| e.kind.as_str() == "NewProposal");
        assert!(proposals.into_iter().all(|event| event.at < deadline));
    }
}

#[test]
fn opened_orders_take_follow_ups() {
    let mut harness = opened();
    harness.run(follow_up("f1")).unwrap();
}

#[test]
fn sealed_orders_give_their_time_to_decide() {
    for decide_within_ms in [0, 1, 60_000] {
        let mut harness = sealed_with(Some(decide_within_ms));
        harness.now = T0 + LIFETIME;
        harness.run(CommandKind::Tick).unwrap();
        let order = harness.book.order().unwrap();
        let decide_until = Timestamp(T0).plus_ms(LIFETIME_MS + decide_within_ms);
        assert_eq!(order.decide_until, Some(decide_until));
        assert_eq!(order.phase == Phase::Expired, decide_within_ms == 0, "{decide_within_ms}");
    }
}

/// Events, views and refusals hide them until the opening.
#[test]
fn sealed_orders_hide_sellers_and_prices() {
    let mut harness = sealed();
    harness.run(CommandKind::Decline { seller: seller("secretive-ltd"), reason: None }).unwrap();
    harness
        .run(CommandKind::Ask {
            seller: seller("secretive-ltd"),
            question_id: FollowUpId::new("q1").ok(),
            message: "when?".to_owned(),
        })
        .unwrap();
    let reveals = |text: String| text.contains("secretive-ltd") || text.contains("4711");
    for event in &harness.stored {
        let redacted = seal::event(&Arc::new(event.clone()));
        assert_eq!((redacted.seq, redacted.at), (event.seq, event.at));
        assert!(!reveals(format!("{redacted:?}")), "{redacted:?}");
    }
    assert!(!reveals(format!("{:?}", seal::order(harness.book.order().unwrap()))));
    let refusal = harness.run(lock("p1", "nosy", 1_000)).unwrap_err();
    assert!(!reveals(format!("{refusal:?}")), "{refusal:?}");
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    assert!(reveals(format!("{:?}", seal::order(harness.book.order().unwrap()))));
}

/// A follower receives the whole list again, and keeps the old view until the new one has caught
/// up.
#[test]
fn opened_orders_are_read_again() {
    let harness = opened();
    let mut tracker =
        Tracker::new(harness.book.key().clone(), harness.book.order().unwrap().incarnation.clone());
    let (opening, hidden) = harness.stored.split_last().unwrap();
    let up = || TrackerInput::Connected { processor: "p".into(), epoch: Epoch(1) };
    tracker.step(Timestamp(T0), up());
    let hidden = hidden.iter().map(|event| seal::event(&Arc::new(event.clone())));
    for event in hidden {
        tracker.step(Timestamp(T0), TrackerInput::Received(event));
    }
    let opening_received = TrackerInput::Received(Arc::new(opening.clone()));
    assert_eq!(tracker.step(Timestamp(T0), opening_received), TrackerOutput::ReadAgain);
    assert_eq!(tracker.snapshot().stream_phase(), StreamPhase::Active, "nothing broke");
    tracker.step(Timestamp(T0), up());
    let stream = tracker.snapshot().stream;
    assert_eq!((stream.reconnects, stream.attempts, stream.reason), (0, 0, None));
    assert_eq!((tracker.last_seq(), tracker.resume_after()), (opening.seq, Seq(0)));
    for event in &harness.stored {
        assert_eq!(tracker.last_seq(), opening.seq, "before event {}", event.seq);
        assert!(tracker.order().unwrap().has_redacted(), "before event {}", event.seq);
        tracker.step(Timestamp(T0), TrackerInput::Received(Arc::new(event.clone())));
    }
    assert_eq!(tracker.last_seq(), opening.seq);
    assert_eq!(tracker.order(), harness.book.order());
}

/// An order that ends before its opening is never opened: its proposals stay hidden for good.
#[test]
fn cancelled_sealed_orders_stay_sealed() {
    for kind in [cancel(), CommandKind::Close { reason: None }, finalise(None)] {
        let mut harness = sealed();
        harness.run(kind.clone()).unwrap();
        assert!(harness.book.order().unwrap().is_sealed(), "{kind:?}");
    }
}

/// A seller that has seen a sealed order appears as if it had not.
#[test]
fn sealed_orders_hide_who_looked() {
    let choice = |name: &str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let choices = ["a", "b", "c", "d"].map(choice).to_vec();
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, sealed: true, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut harness = BookHarness::closed();
    harness.run(CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices }))).unwrap();
    harness.now += 5;
    let notified = |name: &str, failure: Option<&str>| CommandKind::Notified {
        seller: seller(name),
        channel: NotificationType::Email,
        failure: failure.map(ToOwned::to_owned),
    };
    harness.run(notified("a", None)).unwrap();
    harness.run(notified("b", Some("no such mailbox"))).unwrap();
    harness.run(CommandKind::See { seller: seller("c") }).unwrap();
    let order = harness.book.order().unwrap();
    assert_eq!((order.invited_count(), order.notified()), (4, (1, 1)));
    let redacted = seal::order(order);
    let rows: Vec<_> = redacted.invitations.iter().map(|held| (held.state, held.at.0)).collect();
    let late = T0 + 5;
    assert_eq!(
        rows,
        [
            (InvitationState::Notified, late),
            (InvitationState::Bounced, late),
            (InvitationState::Invited, T0),
            (InvitationState::Invited, T0),
        ]
    );
    assert_eq!(seal::seller(order, &seller("c")), seal::SEALED);
    assert_eq!(seal::Redaction::of(Some(order)), seal::Redaction::Sealed);
    assert_eq!(seal::Redaction::of(None), seal::Redaction::Open);
}

/// Two orders are notified alike; in one of them every seller acts, and both look the same. After
/// the opening, a seller that acted needs no notification.
#[test]
fn sealed_invitations_ignore_the_sellers_acts() {
    let choice = |name: &&str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let shown = |acts: Vec<CommandKind>| {
        let choices = ["a", "b", "c"].iter().map(choice).collect();
        let spec = OrderSpec { expires_in_ms: LIFETIME_MS, sealed: true, ..OrderSpec::default() };
        let incarnation = Incarnation::new("uid-1").unwrap();
        let opening = OrderOpening { incarnation, spec, choices };
        let mut harness = BookHarness::closed();
        harness.run(CommandKind::Open(Box::new(opening))).unwrap();
        for act in acts {
            harness.run(act).unwrap();
        }
        harness.now += 5;
        for (name, failure) in [("a", None), ("b", Some("no such mailbox".to_owned()))] {
            let (seller, channel) = (seller(name), NotificationType::Email);
            harness.run(CommandKind::Notified { seller, channel, failure }).unwrap();
        }
        harness
    };
    let see = |name: &str| CommandKind::See { seller: seller(name) };
    let decline = CommandKind::Decline { seller: seller("b"), reason: Some("too far".to_owned()) };
    let mut active = shown(vec![see("a"), propose("p1", "a"), decline, propose("p2", "c")]);
    let idle = shown(Vec::new());
    let order = active.book.order().unwrap();
    let of_idle = idle.book.order().unwrap();
    assert_eq!(seal::order(order).invitations, seal::order(of_idle).invitations);
    assert_eq!(order.notified(), of_idle.notified());
    active.now = T0 + LIFETIME;
    active.run(CommandKind::Tick).unwrap();
    let opened = seal::order(active.book.order().unwrap());
    let states: Vec<_> = opened.invitations.iter().map(|held| held.state).collect();
    let expected =
        [InvitationState::Proposed, InvitationState::Declined, InvitationState::Proposed];
    assert_eq!(states, expected);
    let events = active.stored.len();
    for _ in 0..2 {
        let (seller, channel) = (seller("c"), NotificationType::Email);
        active.run(CommandKind::Notified { seller, channel, failure: None }).unwrap();
        assert_eq!(active.stored.len(), events);
    }
}

#[test]
fn redaction_follows_opening_and_deadline() {
    let harness = opened();
    let events: Vec<_> = harness.stored.iter().cloned().map(Arc::new).collect();
    assert_eq!(seal::redaction_after(&events[..1]), Some(seal::Redaction::Sealed));
    assert_eq!(seal::redaction_after(&events[2..4]), None);
    assert_eq!(seal::redaction_after(&events), Some(seal::Redaction::Open));
    let open: Vec<_> = BookHarness::open().stored.into_iter().map(Arc::new).collect();
    assert_eq!(seal::redaction_after(&open), Some(seal::Redaction::Open));
    let order = harness.book.order().unwrap();
    assert_eq!(seal::seller(order, &seller("c")), "c");
    assert_eq!(Some(order.runs_out_at()), order.decide_until);
    assert_eq!(BookHarness::open().book.order().unwrap().runs_out_at().0, T0 + LIFETIME);
}

/// They do not wait for a decision on nothing.
#[test]
fn sealed_orders_without_proposals_expire() {
    let mut harness = sealed();
    harness
        .run(CommandKind::Unlock {
            proposal_id: proposal_id("p1"),
            holder: seller("secretive-ltd"),
        })
        .unwrap();
    let (proposal_id, seller) = (proposal_id("p1"), Some(seller("secretive-ltd")));
    harness.run(CommandKind::Withdraw { proposal_id, reason: None, seller }).unwrap();
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Expired);
    let ends = harness.event_names().split_off(harness.stored.len() - 2);
    assert_eq!(ends, ["ProposalsOpened", "OrderPaused"]);
}

/// A proposal of another seller gets the refusal of one that does not exist, whatever the command
/// says.
#[test]
fn rivals_find_no_sealed_proposal() {
    let commands = |id: &str| {
        let proposal_id = proposal_id(id);
        let unknown_currency = ProposalContent {
            price: Price::parse("1", "EUX").unwrap(),
            ..proposal_content(Some(id), "rival", "1")
        };
        let seller = Some(seller("rival"));
        [
            amend(id, "rival", "1"),
            CommandKind::Amend(unknown_currency),
            CommandKind::Withdraw { proposal_id, reason: None, seller },
            lock(id, "rival", 1_000),
            lock(id, "rival", 0),
            unlock(id, "rival"),
        ]
    };
    let harness = sealed();
    for (existing, missing) in commands("p1").into_iter().zip(commands("p2")) {
        for version in [None, Some(2), Some(7)] {
            let refused = |kind: &CommandKind| {
                let precondition = version.map(Precondition::Version);
                let command = Command { precondition, ..Command::bare(kind.clone()) };
                harness.clone().step(&command).unwrap_err()
            };
            let (found, absent) = (refused(&existing), refused(&missing));
            assert_eq!(found.reason, Reason::ProposalNotFound, "{existing:?}: {found}");
            assert_eq!(found.to_string().replace("p1", "p2"), absent.to_string());
            assert_eq!((found.field, found.metadata), (absent.field, absent.metadata));
        }
    }
    let unnamed = |id: &str| {
        let kind =
            CommandKind::Withdraw { proposal_id: proposal_id(id), reason: None, seller: None };
        harness.clone().run(kind).unwrap_err()
    };
    assert_eq!(
        unnamed("p1").field.as_deref(),
        Some("seller"),
        "nobody withdraws a hidden proposal"
    );
    assert_eq!(unnamed("p1").to_string(), unnamed("p2").to_string());
    // Once it is opened, everybody can read whose it is.
    let refusal = opened().run(amend("p1", "rival", "1")).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("seller"), "{refusal}");
}

/// A seller that sees or declines a sealed order once more learns the end of the list, and not
/// which hidden event is its own: whoever asks may be another one.
#[test]
fn sealed_repetitions_name_no_event() {
    let choice = |name: &str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let choices = ["a", "b", "c"].map(choice).to_vec();
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, sealed: true, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut harness = BookHarness::closed();
    harness.run(CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices }))).unwrap();
    let see = |name: &str| CommandKind::See { seller: seller(name) };
    let decline = |name: &str| CommandKind::Decline { seller: seller(name), reason: None };
    for kind in [see("a"), decline("b"), propose("p1", "c"), follow_up("f1")] {
        harness.run(kind).unwrap();
    }
    let repeated = [see("a"), see("b"), see("c"), decline("b")];
    let mut first_replies = Vec::new();
    for (number, kind) in repeated.iter().enumerate() {
        let (key, last) = (format!("key-{number}"), harness.book.last_seq());
        assert_eq!(harness.run(kind.clone()).unwrap().seq, last, "{kind:?}");
        let first = harness.run_keyed(&key, kind.clone()).unwrap();
        assert_eq!(first.seq, last.next(), "{kind:?}: a key has an event");
        first_replies.push((key, kind.clone(), first));
    }
    harness.run(close()).unwrap();
    harness.book = harness.replayed();
    let last = harness.book.last_seq();
    for (key, kind, first) in first_replies {
        assert_eq!(harness.run_keyed(&key, kind), Ok(first));
    }
    for name in ["a", "b", "c"] {
        assert_eq!(harness.run_keyed("late", see(name)).unwrap().seq, last, "{name}");
        assert_eq!(harness.expect_refusal(decline(name)), Reason::OrderEnded, "{name}");
    }
    assert_eq!(harness.book.last_seq(), last);
}

/// A conflict of keys would name the seller of the proposal that has this id.
#[test]
fn sealed_ids_hide_their_sellers_keys() {
    let mut harness = sealed();
    let own = amend("p1", "secretive-ltd", "5");
    let first = harness.run_keyed("offer-1", own.clone()).unwrap();
    let mut refused = |by: &str| {
        let other = CommandKind::Propose(proposal_content(Some("p1"), by, "77"));
        harness.run_keyed("offer-1", other).unwrap_err()
    };
    let of_seller = refused("secretive-ltd");
    assert_eq!(of_seller.reason, Reason::ProposalExists);
    assert_eq!(of_seller, refused("rival"));
    assert_eq!(harness.run_keyed("offer-1", own), Ok(first));
}
