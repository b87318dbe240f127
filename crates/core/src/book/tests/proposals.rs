//! Tests of proposals, edit locks, declines and follow-ups.

use super::*;
use crate::limits::{FOLLOW_UPS_MAX, PROPOSALS_MAX};
use crate::order::{Proposal, ProposalPhase};

fn with_proposal() -> BookHarness {
    let mut harness = BookHarness::open();
    harness.run(propose("p1", "a")).unwrap();
    harness
}

fn proposal(harness: &BookHarness) -> &Proposal {
    &harness.book.order().unwrap().proposals[&proposal_id("p1")]
}

#[test]
fn proposals_without_id_get_fresh_one() {
    let mut harness = BookHarness::open();
    let reply = harness.run(CommandKind::Propose(proposal_content(None, "a", "10"))).unwrap();
    assert_eq!(reply.proposal_id, Some(proposal_id("fresh-2")));
    assert!(harness.book.order().unwrap().proposals.contains_key(&proposal_id("fresh-2")));
}

/// The reply names the proposal, also while the order is paused.
#[test]
fn repeated_proposals_count_once() {
    let mut harness = with_proposal();
    let again = harness.run(propose("p1", "a")).unwrap();
    assert_eq!((again.seq, again.proposal_id), (Seq(3), Some(proposal_id("p1"))));
    assert_eq!(harness.stored.len(), 3);
    harness.run(pause()).unwrap();
    harness.run(propose("p1", "a")).expect("a repetition is answered also while paused");
}

/// Sending the first content again is a repetition, even after amendments; other content is
/// refused.
#[test]
fn proposal_ids_belong_to_first_content() {
    let mut harness = with_proposal();
    let refusal = harness.run(propose("p1", "b")).unwrap_err();
    assert_eq!(refusal.reason, Reason::ProposalExists);
    assert_eq!(refusal.field.as_deref(), Some("proposal_id"));
    let first = harness.run(propose("p1", "a")).unwrap();
    harness.run(amend("p1", "a", "9")).unwrap();
    harness.run(amend("p1", "a", "8")).unwrap();
    let events = harness.stored.len();
    for mut harness in [BookHarness { book: harness.replayed(), ..harness.clone() }, harness] {
        assert_eq!(harness.run(propose("p1", "a")).unwrap(), first, "also after it was amended");
        assert_eq!(harness.stored.len(), events);
        // The amended content was never proposed under this id.
        let amended = |price| CommandKind::Propose(proposal_content(Some("p1"), "a", price));
        for price in ["9", "8", "7"] {
            assert_eq!(harness.expect_refusal(amended(price)), Reason::ProposalExists, "{price}");
        }
    }
}

#[test]
fn unchanged_amendments_are_not_versions() {
    let mut harness = with_proposal();
    harness.run(amend("p1", "a", "9")).unwrap();
    harness.run_keyed("k", amend("p1", "a", "9")).unwrap();
    harness.run(amend("p1", "a", "8")).unwrap();
    assert_eq!(
        (proposal(&harness).version, &*proposal(&harness).versions),
        (3, &[Seq(3), Seq(4), Seq(6)][..])
    );
}

/// Sending the current content again changes nothing.
#[test]
fn amendments_raise_the_version() {
    let mut harness = with_proposal();
    harness.run(amend("p1", "a", "9")).unwrap();
    harness.run(amend("p1", "a", "9")).expect("the same content again changes nothing");
    assert_eq!((proposal(&harness).version, harness.stored.len()), (2, 4));
}

/// They lack an id, name an unknown proposal, or come from another seller.
#[test]
fn wrong_amendments_are_refused() {
    let cases = [
        (
            CommandKind::Amend(proposal_content(None, "a", "9")),
            Reason::InvalidField,
            Some("proposal_id"),
        ),
        (amend("p2", "a", "9"), Reason::ProposalNotFound, None),
        (amend("p1", "b", "9"), Reason::InvalidField, Some("seller")),
    ];
    for (kind, reason, field) in cases {
        let refusal = with_proposal().run(kind.clone()).unwrap_err();
        assert_eq!((refusal.reason, refusal.field.as_deref()), (reason, field), "{kind:?}");
    }
}

/// They take no amendments and no locks.
#[test]
fn withdrawn_proposals_stay_withdrawn() {
    let mut harness = with_proposal();
    harness.run(lock("p1", "a", 1_000)).unwrap();
    harness.run(withdraw("p1")).unwrap();
    harness.run(withdraw("p1")).expect("once more changes nothing");
    assert_eq!(harness.stored.len(), 5);
    assert_eq!(harness.expect_refusal(amend("p1", "a", "9")), Reason::ProposalEnded);
    assert_eq!(harness.expect_refusal(lock("p1", "a", 1_000)), Reason::ProposalEnded);
    assert_eq!(harness.expect_refusal(withdraw("p2")), Reason::ProposalNotFound);
    assert_eq!(
        (proposal(&harness).phase, &proposal(&harness).lock),
        (ProposalPhase::Withdrawn, &None)
    );
}

#[test]
fn locks_exclude_others_until_lease_ends() {
    let mut harness = with_proposal();
    harness.run(lock("p1", "b", 1_000)).unwrap();
    for kind in [amend("p1", "a", "9"), withdraw("p1"), lock("p1", "c", 5), unlock("p1", "c")] {
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::Locked, "{kind:?}");
    }
    harness.now = T0 + 999;
    assert_eq!(harness.expect_refusal(lock("p1", "c", 5)), Reason::Locked);
    harness.now = T0 + 1_000;
    harness.run(lock("p1", "c", 5)).unwrap();
    assert_eq!(proposal(&harness).lock, Some((seller("c"), Timestamp(T0 + 1_005))));
}

/// A stranger would keep a seller from its proposal for an hour, and again and again.
#[test]
fn sellers_take_over_their_proposals_lock() {
    let mut harness = with_proposal();
    harness.run(lock("p1", "b", 1_000)).unwrap();
    let refused = harness.run(amend("p1", "a", "9")).unwrap_err();
    assert_eq!(refused.reason, Reason::Locked);
    assert!(refused.to_string().contains("lock your proposal yourself"), "{refused}");
    harness.run(lock("p1", "a", 500)).unwrap();
    assert_eq!(proposal(&harness).lock, Some((seller("a"), Timestamp(T0 + 500))));
    harness.run(amend("p1", "a", "9")).unwrap();
    for kind in [lock("p1", "b", 5), unlock("p1", "b")] {
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::Locked, "{kind:?}");
    }
    harness.run(unlock("p1", "a")).unwrap();
}

#[test]
fn holders_edit_renew_and_release() {
    let mut harness = with_proposal();
    harness.run(lock("p1", "a", 1_000)).unwrap();
    harness.run(amend("p1", "a", "9")).unwrap();
    harness.now = T0 + 500;
    harness.run(lock("p1", "a", 1_000)).unwrap();
    assert_eq!(proposal(&harness).lock, Some((seller("a"), Timestamp(T0 + 1_500))));
    harness.run(unlock("p1", "a")).unwrap();
    assert_eq!(proposal(&harness).lock, None);
    let events = harness.stored.len();
    harness.run(unlock("p1", "a")).expect("once more changes nothing");
    assert_eq!(harness.stored.len(), events);
}

#[test]
fn leases_have_limits() {
    for (lease_ms, accepted) in
        [(0, false), (1, true), (LEASE_MS_MAX, true), (LEASE_MS_MAX + 1, false)]
    {
        let result = with_proposal().run(lock("p1", "a", lease_ms));
        assert_eq!(result.is_ok(), accepted, "{lease_ms}");
        if let Err(refusal) = result {
            assert_eq!(refusal.field.as_deref(), Some("lease_ms"));
        }
    }
}

#[test]
fn a_seller_declines_once() {
    let mut harness = BookHarness::open();
    for _ in 0..2 {
        harness.run(CommandKind::Decline { seller: seller("a"), reason: None }).unwrap();
    }
    assert_eq!(harness.stored.len(), 3);
    assert!(harness.book.order().unwrap().declined.contains(&seller("a")));
}

fn decline() -> CommandKind {
    CommandKind::Decline { seller: seller("a"), reason: None }
}

/// Returns whether the proposal is set aside, and the best one of the order.
fn judged(harness: &BookHarness, id: &str) -> (bool, Option<ProposalId>) {
    let order = harness.book.order().unwrap();
    (order.proposals[&proposal_id(id)].declined, order.best_open().map(|(id, ..)| id))
}

#[test]
fn declines_count_again_after_a_proposal() {
    for before in [vec![decline(), propose("p1", "a")], vec![propose("p1", "a")]] {
        let mut harness = BookHarness::open();
        for kind in before {
            harness.run(kind).unwrap();
        }
        assert_eq!(judged(&harness, "p1"), (false, Some(proposal_id("p1"))));
        let events = harness.stored.len() + 1;
        let second = harness.run(decline()).unwrap();
        assert_eq!(judged(&harness, "p1"), (true, None));
        assert_eq!(harness.run(decline()), Ok(second), "it has one effect");
        assert_eq!(harness.stored.len(), events);
    }
}

#[test]
fn amendments_after_declines_compete_again() {
    let mut harness = BookHarness::open();
    for kind in [propose("p1", "a"), decline()] {
        harness.run(kind).unwrap();
    }
    assert_eq!(judged(&harness, "p1"), (true, None));
    harness.run_keyed("1", amend("p1", "a", "10")).unwrap();
    assert_eq!(judged(&harness, "p1"), (true, None), "nothing was amended");
    harness.run(amend("p1", "a", "9")).unwrap();
    assert_eq!(judged(&harness, "p1"), (false, Some(proposal_id("p1"))));
    harness.run(decline()).unwrap();
    assert_eq!(judged(&harness, "p1"), (true, None));
}

/// Its repetition does not decline what was proposed since.
#[test]
fn declines_belong_to_their_keys() {
    let mut harness = BookHarness::open();
    let first = harness.run_keyed("1", decline()).unwrap();
    let idle = harness.run_keyed("2", decline()).unwrap();
    harness.run(propose("p1", "a")).unwrap();
    harness.book = harness.replayed();
    let events = harness.stored.len();
    assert_eq!(harness.run_keyed("1", decline()), Ok(first));
    assert_eq!(harness.run_keyed("2", decline()), Ok(idle));
    assert_eq!(harness.stored.len(), events);
    assert!(!judged(&harness, "p1").0);
    harness.run_keyed("3", decline()).unwrap();
    assert!(judged(&harness, "p1").0);
}

/// A seller can answer a follow-up once it was sent, and not before.
#[test]
fn follow_ups_are_taken_once() {
    let mut harness = BookHarness::open();
    let id = FollowUpId::new("f1").unwrap();
    let message = "yes".to_owned();
    let answer = CommandKind::Answer { seller: seller("a"), follow_up_id: id.clone(), message };
    let refusal = harness.run(answer.clone()).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("follow_up_id"));
    harness.run(follow_up("f1")).unwrap();
    assert_eq!(harness.run(follow_up("f1")).unwrap().follow_up_id, Some(id.clone()));
    assert_eq!(harness.stored.len(), 3);
    assert_eq!(harness.run(answer).unwrap().follow_up_id, Some(id));
    let last = &harness.stored.last().unwrap().kind;
    assert!(matches!(last, EventKind::ProposalUpdate(ProposalUpdate::Answered { .. })));
}

#[test]
fn proposals_and_follow_ups_have_limits() {
    let mut harness = BookHarness::open();
    for n in 0..PROPOSALS_MAX {
        harness.run(propose(&format!("p{n}"), &format!("s{n}"))).unwrap();
    }
    assert_eq!(harness.expect_refusal(propose("one-more", "a")), Reason::LimitReached);
    harness.run(propose("p0", "s0")).expect("a repetition is not one more");
    for n in 0..FOLLOW_UPS_MAX {
        harness.run(follow_up(&format!("f{n}"))).unwrap();
    }
    assert_eq!(harness.expect_refusal(follow_up("one-more")), Reason::LimitReached);
}

/// Prices in several currencies are not compared.
#[test]
fn best_price_is_lowest_open_one() {
    let mut harness = BookHarness::open();
    for (id, price) in [("p1", "10"), ("p2", "8"), ("p3", "9")] {
        harness.run(CommandKind::Propose(proposal_content(Some(id), id, price))).unwrap();
    }
    let price = Price::parse("1", "INR").unwrap();
    harness
        .run(CommandKind::Propose(ProposalContent {
            price,
            ..proposal_content(Some("p4"), "p4", "1")
        }))
        .unwrap();
    harness.run(withdraw("p2")).unwrap();
    let order = harness.book.order().unwrap();
    let counts = order.proposal_counts();
    assert_eq!((counts.received, counts.open, counts.withdrawn, counts.closed), (4, 3, 1, 0));
    assert_eq!(order.best_open(), None);
    harness.run(withdraw("p4")).unwrap();
    let best = harness.book.order().unwrap().best_open();
    assert_eq!(best.unwrap().0, proposal_id("p3"));
}
