//! Tests of the sellers that may send commands: the invited ones where there are any, and everybody
//! else where the order is open to all.

use serde_json::json;

use super::*;
use crate::spec::{SellerChoice, SellerLimits, Verdict};

/// Opens an order among sellers with these verdicts.
fn open(choices: &[(&str, Verdict)], sellers: SellerLimits) -> BookHarness {
    let choice = |(name, verdict): &(&str, Verdict)| SellerChoice {
        seller: seller(name),
        verdict: *verdict,
        distance_m: None,
        display_name: None,
    };
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, sellers, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let choices = choices.iter().map(choice).collect();
    let mut harness = BookHarness::closed();
    harness.run(CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices }))).unwrap();
    harness
}

#[test]
fn where_sellers_are_invited_only_they_propose() {
    let nobody: &[(&str, Verdict)] = &[];
    let none_fits: &[_] = &[("a", Verdict::Suspended), ("b", Verdict::WrongCategory)];
    let some: &[_] = &[("a", Verdict::Chosen), ("b", Verdict::TooFar), ("c", Verdict::Chosen)];
    for (choices, open_to_all, by, is_taken) in [
        (nobody, false, "a", true),
        (nobody, true, "a", true),
        (none_fits, false, "a", true),
        (none_fits, false, "stranger", true),
        (none_fits, true, "b", true),
        (some, false, "a", true),
        (some, false, "c", true),
        (some, false, "b", false),
        (some, false, "stranger", false),
        (some, true, "b", true),
        (some, true, "stranger", true),
    ] {
        let mut harness = open(choices, SellerLimits { open_to_all, ..SellerLimits::default() });
        let result = harness.run(propose("p1", by));
        assert_eq!(result.is_ok(), is_taken, "{choices:?} {open_to_all} {by}: {result:?}");
        if let Err(refusal) = result {
            assert_eq!(
                (refusal.reason, refusal.field.as_deref()),
                (Reason::NotInvited, Some("seller"))
            );
            assert!(refusal.message.starts_with(&format!("{by} is not invited: ")), "{refusal}");
            assert_eq!(harness.stored.len(), 2);
        }
    }
}

/// A list from before this rule has proposals of others: their sellers amend, lock, withdraw and
/// decline them, and do nothing else.
#[test]
fn earlier_proposals_of_uninvited_sellers_stay() {
    let mut harness = open(&[("a", Verdict::Chosen)], SellerLimits::default());
    let stored = json!({
        "seq": 3, "at": T0,
        "kind": {"NewProposal": {
            "proposal_id": "p1", "seller": "stranger", "price": {"amount": "10", "currency": "EUR"},
        }},
    });
    harness.book.replay(&serde_json::from_value(stored).unwrap()).unwrap();
    harness.run(propose("p1", "stranger")).expect("a repetition is answered as before");
    harness.run(amend("p1", "stranger", "9")).unwrap();
    harness.run(lock("p1", "stranger", 60_000)).unwrap();
    harness.run(unlock("p1", "stranger")).unwrap();
    harness.run(decline("stranger")).unwrap();
    for kind in [ask("stranger", "q1"), see("stranger"), propose("p2", "stranger")] {
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::NotInvited, "{kind:?}");
    }
    harness.run(withdraw("p1")).unwrap();
    harness.run(amend("p1", "a", "9")).expect_err("it is not a's");
    for kind in [propose("p2", "stranger"), answer("stranger")] {
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::NotInvited, "{kind:?}");
    }
}

fn decline(by: &str) -> CommandKind {
    CommandKind::Decline { seller: seller(by), reason: None }
}

fn see(by: &str) -> CommandKind {
    CommandKind::See { seller: seller(by) }
}

fn answer(by: &str) -> CommandKind {
    let follow_up_id = FollowUpId::new("f1").unwrap();
    CommandKind::Answer { seller: seller(by), follow_up_id, message: "yes".to_owned() }
}

/// Returns every command that a seller can send, about proposal `p1` of another one where it is
/// about one.
fn commands_of(by: &str) -> Vec<CommandKind> {
    let withdraw = CommandKind::Withdraw {
        proposal_id: proposal_id("p1"),
        reason: None,
        seller: Some(seller(by)),
    };
    vec![
        propose("p1", by),
        propose("p2", by),
        amend("p1", by, "9"),
        withdraw,
        decline(by),
        answer(by),
        ask(by, "q1"),
        see(by),
        lock("p1", by, 1_000),
        lock("p1", by, 0),
        lock("none", by, 1_000),
        unlock("p1", by),
    ]
}

fn invited_only() -> SellerLimits {
    SellerLimits { open_to_all: false, ..SellerLimits::default() }
}

/// They learn nothing of what the order holds, by no command.
#[test]
fn uninvited_sellers_get_one_refusal() {
    let before: [Vec<CommandKind>; 5] = [
        vec![],
        vec![propose("p1", "a"), follow_up("f1")],
        vec![propose("p1", "a"), lock("p1", "a", 60_000), ask("a", "q1")],
        vec![propose("p1", "a"), withdraw("p1"), decline("a"), see("a")],
        vec![propose("p1", "a"), pause()],
    ];
    let mut refusals = Vec::new();
    for before in before {
        let mut harness = open(&[("a", Verdict::Chosen)], invited_only());
        before.into_iter().for_each(|kind| drop(harness.run(kind).unwrap()));
        let events = harness.stored.len();
        for kind in commands_of("stranger") {
            refusals.push(harness.run(kind.clone()).unwrap_err());
            let outdated = Command {
                precondition: Some(Precondition::Version(7)),
                ..Command::bare(kind.clone())
            };
            refusals.push(harness.step(&outdated).unwrap_err());
        }
        assert_eq!(harness.stored.len(), events);
    }
    assert_eq!(refusals[0].reason, Reason::NotInvited);
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
}

/// A seller that is not invited and sees the order leaves no event, and has one reply.
#[test]
fn everybody_takes_part_where_anybody_may() {
    let nobody: &[(&str, Verdict)] = &[];
    let one: &[_] = &[("a", Verdict::Chosen)];
    for (choices, open_to_all) in [(nobody, false), (one, true)] {
        let mut harness = open(choices, SellerLimits { open_to_all, ..SellerLimits::default() });
        harness.run(propose("p1", "a")).unwrap();
        harness.run(follow_up("f1")).unwrap();
        for kind in [propose("p2", "b"), answer("b"), ask("b", "q1"), lock("p1", "b", 5)] {
            harness.run(kind).unwrap();
        }
        let events = harness.stored.len();
        assert_eq!(harness.run_keyed("1", see("c")).unwrap().seq, Seq(2));
        harness.run(decline("b")).unwrap();
        assert_eq!(harness.run_keyed("1", see("c")).unwrap().seq, Seq(2));
        assert_eq!(harness.stored.len(), events + 1);
    }
}

/// Success would report what is not recorded.
#[test]
fn uninvited_sellers_see_no_ended_order() {
    let mut harness = open(&[("a", Verdict::Chosen)], invited_only());
    harness.run(cancel()).unwrap();
    assert_eq!(harness.expect_refusal(see("stranger")), Reason::NotInvited);
    assert_eq!(harness.expect_refusal(ask("stranger", "q1")), Reason::OrderEnded);
    harness.run(see("a")).unwrap();
}

/// Lists from before there was the rule have questions and locks of sellers that are not invited.
/// These are notified of the order still, so they can leave it.
#[test]
fn former_participants_may_leave() {
    let choices = [("a", Verdict::Chosen)];
    let before = SellerLimits { open_to_all: true, ..SellerLimits::default() };
    let mut harness = open(&choices, before);
    harness.run(propose("p1", "a")).unwrap();
    harness.run(follow_up("f1")).unwrap();
    harness.run(ask("asker", "q1")).unwrap();
    harness.run(lock("p1", "holder", 60_000)).unwrap();
    for event in &mut harness.stored {
        if let EventKind::OrderOpened(opened) = &mut event.kind {
            opened.spec.sellers.open_to_all = false;
        }
    }
    harness.book = harness.replayed();
    for other in [ask("asker", "q2"), lock("p1", "asker", 5), answer("holder"), decline("holder")] {
        assert_eq!(harness.expect_refusal(other), Reason::NotInvited);
    }
    for own in [answer("asker"), decline("asker"), unlock("p1", "holder")] {
        harness.run(own).unwrap();
    }
    assert_eq!(harness.expect_refusal(unlock("p1", "holder")), Reason::NotInvited);
}
