//! Tests of proposals, edit locks, declines and follow-ups.

use super::*;
use crate::limits::{FOLLOW_UPS_MAX, PROPOSALS_MAX};
use crate::order::{Proposal, ProposalPhase};

fn with_proposal() -> Desk {
    let mut desk = Desk::open();
    desk.act(propose("p1", "a")).unwrap();
    desk
}

fn held(desk: &Desk) -> &Proposal {
    &desk.book.order().unwrap().proposals[&pid("p1")]
}

#[test]
fn proposals_without_id_get_fresh_one() {
    let mut desk = Desk::open();
    let answer = desk.act(Act::Propose(offer(None, "a", "10"))).unwrap();
    assert_eq!(answer.proposal_id, Some(pid("fresh-2")));
    assert!(desk.book.order().unwrap().proposals.contains_key(&pid("fresh-2")));
}

/// The reply names the proposal, also while the order is paused.
#[test]
fn repeated_proposals_count_once() {
    let mut desk = with_proposal();
    let again = desk.act(propose("p1", "a")).unwrap();
    assert_eq!((again.seq, again.proposal_id), (Seq(3), Some(pid("p1"))));
    assert_eq!(desk.stored.len(), 3);
    desk.act(pause()).unwrap();
    desk.act(propose("p1", "a")).expect("a repetition is answered also while paused");
}

/// Sending the first content again is a repetition, even after amendments; other content is
/// refused.
#[test]
fn proposal_ids_belong_to_first_content() {
    let mut desk = with_proposal();
    assert_eq!(desk.refused(propose("p1", "b")), Reason::ProposalExists);
    let first = desk.act(propose("p1", "a")).unwrap();
    desk.act(amend("p1", "a", "9")).unwrap();
    desk.act(amend("p1", "a", "8")).unwrap();
    let events = desk.stored.len();
    for mut desk in [Desk { book: desk.reborn(), ..desk.clone() }, desk] {
        assert_eq!(desk.act(propose("p1", "a")).unwrap(), first, "also after it was amended");
        assert_eq!(desk.stored.len(), events);
        // The amended content was never proposed under this id.
        let amended = |price| Act::Propose(offer(Some("p1"), "a", price));
        for price in ["9", "8", "7"] {
            assert_eq!(desk.refused(amended(price)), Reason::ProposalExists, "{price}");
        }
    }
}

#[test]
fn unchanged_amendments_are_not_versions() {
    let mut desk = with_proposal();
    desk.act(amend("p1", "a", "9")).unwrap();
    desk.keyed("k", amend("p1", "a", "9")).unwrap();
    desk.act(amend("p1", "a", "8")).unwrap();
    assert_eq!((held(&desk).version, &*held(&desk).versions), (3, &[Seq(3), Seq(4), Seq(6)][..]));
}

/// Sending the current content again changes nothing.
#[test]
fn amendments_raise_the_version() {
    let mut desk = with_proposal();
    desk.act(amend("p1", "a", "9")).unwrap();
    desk.act(amend("p1", "a", "9")).expect("the same content again changes nothing");
    assert_eq!((held(&desk).version, desk.stored.len()), (2, 4));
}

/// They lack an id, name an unknown proposal, or come from another seller.
#[test]
fn wrong_amendments_are_refused() {
    let cases = [
        (Act::Amend(offer(None, "a", "9")), Reason::InvalidField, Some("proposal_id")),
        (amend("p2", "a", "9"), Reason::ProposalNotFound, None),
        (amend("p1", "b", "9"), Reason::InvalidField, Some("seller")),
    ];
    for (act, reason, field) in cases {
        let refusal = with_proposal().act(act.clone()).unwrap_err();
        assert_eq!((refusal.reason, refusal.field.as_deref()), (reason, field), "{act:?}");
    }
}

/// They take no amendments and no locks.
#[test]
fn withdrawn_proposals_stay_withdrawn() {
    let mut desk = with_proposal();
    desk.act(lock("p1", "a", 1_000)).unwrap();
    desk.act(withdraw("p1")).unwrap();
    desk.act(withdraw("p1")).expect("once more changes nothing");
    assert_eq!(desk.stored.len(), 5);
    assert_eq!(desk.refused(amend("p1", "a", "9")), Reason::ProposalEnded);
    assert_eq!(desk.refused(lock("p1", "a", 1_000)), Reason::ProposalEnded);
    assert_eq!(desk.refused(withdraw("p2")), Reason::ProposalNotFound);
    assert_eq!((held(&desk).phase, &held(&desk).lock), (ProposalPhase::Withdrawn, &None));
}

#[test]
fn locks_exclude_others_until_lease_ends() {
    let mut desk = with_proposal();
    desk.act(lock("p1", "b", 1_000)).unwrap();
    for act in [amend("p1", "a", "9"), withdraw("p1"), lock("p1", "c", 5), unlock("p1", "c")] {
        assert_eq!(desk.refused(act.clone()), Reason::Locked, "{act:?}");
    }
    desk.now = T0 + 999;
    assert_eq!(desk.refused(lock("p1", "c", 5)), Reason::Locked);
    desk.now = T0 + 1_000;
    desk.act(lock("p1", "c", 5)).unwrap();
    assert_eq!(held(&desk).lock, Some((seller("c"), Timestamp(T0 + 1_005))));
}

#[test]
fn holders_edit_renew_and_release() {
    let mut desk = with_proposal();
    desk.act(lock("p1", "a", 1_000)).unwrap();
    desk.act(amend("p1", "a", "9")).unwrap();
    desk.now = T0 + 500;
    desk.act(lock("p1", "a", 1_000)).unwrap();
    assert_eq!(held(&desk).lock, Some((seller("a"), Timestamp(T0 + 1_500))));
    desk.act(unlock("p1", "a")).unwrap();
    assert_eq!(held(&desk).lock, None);
    let events = desk.stored.len();
    desk.act(unlock("p1", "a")).expect("once more changes nothing");
    assert_eq!(desk.stored.len(), events);
}

#[test]
fn leases_have_limits() {
    for (lease_ms, taken) in
        [(0, false), (1, true), (LEASE_MS_MAX, true), (LEASE_MS_MAX + 1, false)]
    {
        let said = with_proposal().act(lock("p1", "a", lease_ms));
        assert_eq!(said.is_ok(), taken, "{lease_ms}");
        if let Err(refusal) = said {
            assert_eq!(refusal.field.as_deref(), Some("lease_ms"));
        }
    }
}

#[test]
fn a_seller_declines_once() {
    let mut desk = Desk::open();
    for _ in 0..2 {
        desk.act(Act::Decline { seller: seller("a"), reason: None }).unwrap();
    }
    assert_eq!(desk.stored.len(), 3);
    assert!(desk.book.order().unwrap().declined.contains(&seller("a")));
}

/// A seller can answer a follow-up once it was sent, and not before.
#[test]
fn follow_ups_are_taken_once() {
    let mut desk = Desk::open();
    let id = FollowUpId::new("f1").unwrap();
    let message = "yes".to_owned();
    let answer = Act::Answer { seller: seller("a"), follow_up_id: id.clone(), message };
    let refusal = desk.act(answer.clone()).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("follow_up_id"));
    desk.act(follow_up("f1")).unwrap();
    assert_eq!(desk.act(follow_up("f1")).unwrap().follow_up_id, Some(id.clone()));
    assert_eq!(desk.stored.len(), 3);
    assert_eq!(desk.act(answer).unwrap().follow_up_id, Some(id));
    let last = &desk.stored.last().unwrap().kind;
    assert!(matches!(last, EventKind::ProposalUpdate(ProposalUpdate::Answered { .. })));
}

#[test]
fn proposals_and_follow_ups_have_limits() {
    let mut desk = Desk::open();
    for n in 0..PROPOSALS_MAX {
        desk.act(propose(&format!("p{n}"), "a")).unwrap();
    }
    assert_eq!(desk.refused(propose("one-more", "a")), Reason::LimitReached);
    desk.act(propose("p0", "a")).expect("a repetition is not one more");
    for n in 0..FOLLOW_UPS_MAX {
        desk.act(follow_up(&format!("f{n}"))).unwrap();
    }
    assert_eq!(desk.refused(follow_up("one-more")), Reason::LimitReached);
}

/// Only proposals in the currency of the first one are compared.
#[test]
fn best_price_is_lowest_open_one() {
    let mut desk = Desk::open();
    for (id, price) in [("p1", "10"), ("p2", "8"), ("p3", "9")] {
        desk.act(Act::Propose(offer(Some(id), "a", price))).unwrap();
    }
    let price = Price::parse("1", "INR").unwrap();
    desk.act(Act::Propose(Proposed { price, ..offer(Some("p4"), "a", "1") })).unwrap();
    desk.act(withdraw("p2")).unwrap();
    let counts = desk.book.order().unwrap().proposal_counts();
    assert_eq!((counts.received, counts.open, counts.withdrawn, counts.closed), (4, 3, 1, 0));
    assert_eq!(counts.best.unwrap().0, pid("p3"));
}
