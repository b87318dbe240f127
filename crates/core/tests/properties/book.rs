//! Properties of every run of a book.

use std::collections::{BTreeMap, BTreeSet};

use orderstream_core::command::Actor;
use orderstream_core::order::ProposalPhase;
use orderstream_core::{
    Book, Command, CommandKind, Epoch, Event, EventKind, IdempotencyKey, Order, OrderKey, Phase,
    ProposalId, Reason, Reply, Timestamp,
};
use proptest::prelude::*;

use super::{Move, Owner, moves};

/// Reports whether an event was caused by the clock, and not by a command.
fn is_clock_event(event: &Event) -> bool {
    let by_the_clock = matches!(
        event.kind,
        EventKind::OrderPaused { expired: true, .. }
            | EventKind::ProposalsOpened { .. }
            | EventKind::ProposalClosed { .. }
            | EventKind::OrderFinalised { .. }
    );
    by_the_clock && event.cause.is_none()
}

/// Returns a command's actor and key; `None` where it lacks one of them.
fn actor_and_key(command: &Command) -> Option<(Actor, IdempotencyKey)> {
    let actor = command.actor.clone().or_else(|| command.kind.actor())?;
    Some((actor, command.key.clone()?))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// The owner after a restart is the owner before it, and a reader's fold is its order.
    #[test]
    fn folded_events_give_owners_order(moves in moves()) {
        let owner = Owner::played(&moves);
        let mut replayed = Book::new(OrderKey::new("", "SB1").unwrap());
        let mut folded = None;
        for event in &owner.list {
            replayed.replay(event).unwrap();
            Order::fold(&mut folded, event).unwrap();
        }
        prop_assert_eq!(&replayed, &owner.book);
        prop_assert_eq!(folded.as_ref(), owner.book.order());
    }

    /// A restart at any point changes no later reply and no later event.
    #[test]
    fn restarts_between_steps_change_nothing(moves in moves(), at in 0..60usize) {
        let (mut steady, mut restarted) = (Owner::open(), Owner::open());
        for (index, moved) in moves.iter().enumerate() {
            if index == at {
                let mut book = Book::new(OrderKey::new("", "SB1").unwrap());
                for event in &restarted.list {
                    book.replay(event).unwrap();
                }
                restarted.book = book;
            }
            prop_assert_eq!(steady.play(moved), restarted.play(moved));
        }
        prop_assert_eq!(steady.list, restarted.list);
    }

    /// Of the keys of several actors, each has at most one effect, and one reply for each body: a
    /// reply of success is repeated unchanged, unless another body used the key in between.
    #[test]
    fn repeated_keys_have_one_effect(moves in moves()) {
        let mut owner = Owner::open();
        let mut effects: BTreeMap<(Actor, IdempotencyKey), CommandKind> = BTreeMap::new();
        let mut first_replies: Vec<((Actor, IdempotencyKey), Command, Reply)> = Vec::new();
        for moved in &moves {
            let command = &moved.command;
            let before = owner.list.len();
            let result = owner.play(moved);
            let Some(whose) = actor_and_key(command) else { continue };
            for event in &owner.list[before..] {
                let Some(cause) = &event.cause else { continue };
                prop_assert_eq!(&whose, &(cause.actor.clone().unwrap(), cause.key.clone()));
                let twin = effects.insert(whose.clone(), command.kind.clone());
                prop_assert!(twin.is_none(), "a second effect of {whose:?}");
            }
            let is_same = |held: &&(_, Command, Reply)| held.0 == whose && held.1.kind == command.kind;
            match (first_replies.iter().find(is_same), result) {
                (Some((.., reply)), Ok(again)) => prop_assert_eq!(reply, &again),
                (None, Ok(reply)) => first_replies.push((whose, command.clone(), reply)),
                (Some(_), Err(refusal)) => prop_assert!(
                    refusal.reason == Reason::OrderNotFound
                        || effects.get(&whose).is_some_and(|held| *held != command.kind),
                    "{command:?} was done and is refused: {refusal}"
                ),
                (None, Err(refusal)) => {
                    let other = effects.get(&whose).is_some_and(|held| *held != command.kind);
                    let is_conflict = refusal.reason == Reason::IdempotencyConflict;
                    prop_assert!(!is_conflict || other, "nobody else has {whose:?}");
                }
            }
        }
        // Once more, much later, after a restart and any end.
        let mut replayed = Book::new(OrderKey::new("", "SB1").unwrap());
        owner.list.iter().for_each(|event| replayed.replay(event).unwrap());
        owner.book = replayed;
        owner.now = owner.now.plus_ms(100_000_000);
        for (whose, command, reply) in first_replies {
            if effects.get(&whose).is_none_or(|held| *held == command.kind) {
                prop_assert_eq!(owner.step(&command), Ok(reply));
            }
        }
    }

    /// An ended order stays as it ended, and no event follows.
    #[test]
    fn terminal_phases_stay(moves in moves()) {
        let mut owner = Owner::open();
        let mut end: Option<(Phase, usize)> = None;
        for moved in &moves {
            drop(owner.play(moved));
            let phase = owner.book.order().unwrap().phase;
            if let Some(first_end) = end {
                prop_assert_eq!(first_end, (phase, owner.list.len()));
            } else if phase.is_terminal() {
                end = Some((phase, owner.list.len()));
            }
        }
    }

    /// An order expires at most once. An event of the clock (the expiry, a sealed order's opening,
    /// an award that takes effect) never comes before its deadline, and always in a step after it.
    #[test]
    fn expiry_comes_once_and_never_early(moves in moves()) {
        let mut owner = Owner::open();
        let mut expiries = 0;
        for moved in &moves {
            let (before, deadline) = (owner.list.len(), owner.book.deadline());
            drop(owner.play(moved));
            let added = &owner.list[before..];
            let is_expiry =
                |e: &&Event| matches!(e.kind, EventKind::OrderPaused { expired: true, .. });
            expiries += added.iter().filter(is_expiry).count();
            let due = deadline.is_some_and(|deadline| owner.now >= deadline);
            let is_opening = |e: &Event| matches!(e.kind, EventKind::ProposalsOpened { .. });
            if due {
                prop_assert!(added.first().is_some_and(is_clock_event));
            } else {
                prop_assert!(!added.iter().any(|e| is_expiry(&e) || is_opening(e)));
            }
        }
        prop_assert!(expiries <= 1);
    }

    /// No command makes a step panic, and the list has no gap and never runs back in time.
    #[test]
    fn commands_leave_no_gap_in_list(
        moves in moves(),
        now in prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN)],
        opened in any::<bool>(),
    ) {
        let mut owner = if opened { Owner::open() } else { Owner::new() };
        for (index, Move { command, .. }) in moves.iter().enumerate() {
            if index % 7 == 3 {
                owner.now = Timestamp(now);
            }
            let before = owner.list.len();
            let result = owner.step(command);
            let last = owner.book.last_seq();
            prop_assert_eq!(last.0, owner.list.len() as u64);
            match result {
                Ok(reply) => prop_assert!(reply.seq <= last),
                // A refusal leaves no events except those due by the clock.
                Err(_) => prop_assert!(owner.list[before..].iter().all(is_clock_event)),
            }
        }
        for (index, pair) in owner.list.windows(2).enumerate() {
            prop_assert_eq!(pair[0].seq.0, index as u64 + 1);
            prop_assert!(pair[0].at <= pair[1].at);
        }
    }

    /// The floor only rises, and no epoch below it is granted.
    #[test]
    fn the_epoch_floor_only_rises(epochs in proptest::collection::vec(0..9u64, 1..30)) {
        let mut owner = Owner::open();
        let mut floor = 0;
        for epoch in epochs {
            let granted = owner.book.grant(Epoch(epoch));
            prop_assert_eq!(granted.ok(), (epoch >= floor).then_some(epoch > floor));
            floor = floor.max(epoch);
            prop_assert_eq!(owner.book.floor(), Epoch(floor));
        }
    }

    /// Of the open proposals of a seller at most one has no label, and no two have the same.
    #[test]
    fn open_proposals_of_sellers_have_distinct_labels(moves in moves()) {
        let mut owner = Owner::open();
        for moved in &moves {
            drop(owner.play(moved));
            let order = owner.book.order().unwrap();
            let open = order.proposals.values().filter(|held| held.phase == ProposalPhase::Open);
            let named = open.map(|held| (&held.content.seller, &held.content.alternative));
            let named: Vec<_> = named.collect();
            prop_assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), named.len());
        }
    }

    /// Every proposal in the order has the id that it is filed under.
    #[test]
    fn proposals_are_filed_under_their_id(moves in moves()) {
        let owner = Owner::played(&moves);
        for (id, proposal) in &owner.book.order().unwrap().proposals {
            prop_assert_eq!(Some::<&ProposalId>(id), proposal.content.proposal_id.as_ref());
        }
    }
}
