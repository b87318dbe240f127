//! What holds for every life of a book.

use std::collections::BTreeMap;

use orderstream_core::{
    Answer, Book, Command, Epoch, Event, EventKind, IdempotencyKey, Order, OrderKey, Phase,
    ProposalId, Timestamp,
};
use proptest::prelude::*;

use super::{Move, Owner, moves};

/// What happens because its time has come, and not because somebody asked for it.
fn is_the_clocks(event: &Event) -> bool {
    let by_the_clock = matches!(
        event.kind,
        EventKind::OrderPaused { expired: true, .. }
            | EventKind::ProposalsOpened { .. }
            | EventKind::ProposalClosed { .. }
            | EventKind::OrderFinalised { .. }
    );
    by_the_clock && event.cause.is_none()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// The owner after a restart is the owner before it, and a reader's fold is its order.
    #[test]
    fn folding_the_events_gives_the_owners_order(moves in moves()) {
        let owner = Owner::played(&moves);
        let mut reborn = Book::new(OrderKey::new("", "SB1").unwrap());
        let mut folded = None;
        for event in &owner.list {
            reborn.replay(event).unwrap();
            Order::fold(&mut folded, event).unwrap();
        }
        prop_assert_eq!(&reborn, &owner.book);
        prop_assert_eq!(folded.as_ref(), owner.book.order());
    }

    /// A restart at any point changes no later answer and no later event.
    #[test]
    fn a_restart_between_any_two_steps_is_not_seen(moves in moves(), at in 0..60usize) {
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

    /// A key has at most one event. Once it has one, the same request gets the same answer.
    #[test]
    fn a_repeated_key_has_one_effect_and_one_answer(moves in moves()) {
        let mut owner = Owner::open();
        let mut done: BTreeMap<IdempotencyKey, (Command, Answer)> = BTreeMap::new();
        for moved in &moves {
            let before = owner.list.len();
            let said = owner.play(moved);
            let Some(key) = &moved.command.key else { continue };
            let caused = owner.list[before..].iter().any(|event| event.cause.is_some());
            match (done.get(key), said) {
                (Some((first, answer)), said) => {
                    prop_assert!(!caused, "a second effect of {key}");
                    let same = first.act == moved.command.act;
                    prop_assert_eq!(said.as_ref().ok() == Some(answer), same);
                }
                (None, Ok(answer)) if caused => {
                    done.insert(key.clone(), (moved.command.clone(), answer));
                }
                (None, _) => prop_assert!(!caused, "a refusal with an effect"),
            }
        }
        // Once more, much later and after whatever end there was.
        owner.now = owner.now.plus_ms(100_000_000);
        for (command, answer) in done.values() {
            prop_assert_eq!(owner.step(command), Ok(answer.clone()));
        }
    }

    /// What ended stays as it ended, and nothing follows.
    #[test]
    fn terminal_phases_stay(moves in moves()) {
        let mut owner = Owner::open();
        let mut end: Option<(Phase, usize)> = None;
        for moved in &moves {
            drop(owner.play(moved));
            let phase = owner.book.order().unwrap().phase;
            if let Some(held) = end {
                prop_assert_eq!(held, (phase, owner.list.len()));
            } else if phase.is_terminal() {
                end = Some((phase, owner.list.len()));
            }
        }
    }

    /// An order expires at most once. What the clock demands (the expiry, a sealed order's opening,
    /// an award that counts) never comes while the clock is before the deadline, and always when a
    /// step is taken after it.
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
                prop_assert!(added.first().is_some_and(is_the_clocks));
            } else {
                prop_assert!(!added.iter().any(|e| is_expiry(&e) || is_opening(e)));
            }
        }
        prop_assert!(expiries <= 1);
    }

    /// No command makes a step panic, and the list has no gap and never runs back in time.
    #[test]
    fn any_command_at_any_time_leaves_a_list_without_gaps(
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
            let said = owner.step(command);
            let last = owner.book.last_seq();
            prop_assert_eq!(last.0, owner.list.len() as u64);
            match said {
                Ok(answer) => prop_assert!(answer.seq <= last),
                // A refusal leaves nothing but what was due by the clock.
                Err(_) => prop_assert!(owner.list[before..].iter().all(is_the_clocks)),
            }
        }
        for (index, pair) in owner.list.windows(2).enumerate() {
            prop_assert_eq!(pair[0].seq.0, index as u64 + 1);
            prop_assert!(pair[0].at <= pair[1].at);
        }
    }

    /// The floor only rises, and only what is not below it is granted.
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

    /// Every proposal in the order carries the id that it is filed under.
    #[test]
    fn a_proposal_is_filed_under_its_own_id(moves in moves()) {
        let owner = Owner::played(&moves);
        for (id, proposal) in &owner.book.order().unwrap().proposals {
            prop_assert_eq!(Some::<&ProposalId>(id), proposal.content.proposal_id.as_ref());
        }
    }
}
