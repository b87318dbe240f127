//! Properties of orders that invite sellers while they are open.

use std::collections::BTreeSet;

use orderstream_core::EventKind;
use orderstream_core::spec::SellerLimits;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

fn chosen(numbers: impl IntoIterator<Item = u8>) -> Vec<SellerChoice> {
    let choice = |number: u8| SellerChoice {
        seller: SellerId::new(format!("s{number}")).unwrap(),
        verdict: Verdict::Chosen,
        distance_m: Some(u32::from(number)),
        display_name: None,
    };
    numbers.into_iter().map(choice).collect()
}

fn late_kinds() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        6 => vec(0..12u8, 0..4)
            .prop_map(|numbers| CommandKind::Invite { choices: chosen(numbers) }),
        1 => Just(CommandKind::Pause { reason: None }),
        1 => Just(CommandKind::Resume),
        1 => (20_000..200_000u64).prop_map(|expires_in_ms| CommandKind::Extend { expires_in_ms }),
        1 => Just(CommandKind::Tick),
        1 => (0..12u8).prop_map(|number| CommandKind::Propose(ProposalContent::new(
            SellerId::new(format!("s{number}")).unwrap(),
            Price::parse("7", "EUR").unwrap(),
        ))),
    ]
}

/// Opens an order that invites at most this number of sellers, and at first these.
fn opened(max_count: u32, first: BTreeSet<u8>) -> Owner {
    let at_most = usize::try_from(max_count).unwrap();
    let spec = OrderSpec {
        expires_in_ms: 60_000,
        sellers: SellerLimits { max_count, ..SellerLimits::default() },
        ..OrderSpec::default()
    };
    let (incarnation, choices) =
        (Incarnation::new("uid-1").unwrap(), chosen(first.into_iter().take(at_most)));
    let mut owner = Owner::new();
    let opening = OrderOpening { incarnation, spec, choices };
    owner.step(&Command::bare(CommandKind::Open(Box::new(opening)))).unwrap();
    owner
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// A selection never exceeds the buyer's limit, repeats nobody, leaves nobody out that was
    /// invited before, and comes before the deadline; a replay gives the same order.
    #[test]
    fn late_invitations_keep_every_limit(
        max_count in 1..6u32,
        first in btree_set(0..12u8, 0..4),
        moves in vec((0..8_000i64, late_kinds()), 1..40),
    ) {
        let mut owner = opened(max_count, first);
        for (jump_ms, kind) in moves {
            let (before, listed) = (owner.book.order().unwrap().clone(), owner.list.len());
            drop(owner.play(&Move { jump_ms, command: Command::bare(kind) }));
            let order = owner.book.order().unwrap();
            prop_assert!(order.invited_count() <= usize::try_from(max_count).unwrap());
            let is_kept = |held: &orderstream_core::order::Invitation| {
                order.invitation(&held.seller).is_some_and(|now| now.since == held.since)
            };
            prop_assert!(before.invitations.iter().all(is_kept));
            for event in &owner.list[listed..] {
                let EventKind::SellersSelected(choices) = &event.kind else { continue };
                prop_assert!(event.at < before.expires_at, "{event:?}");
                let names: BTreeSet<_> = choices.iter().map(|choice| &choice.seller).collect();
                prop_assert_eq!(names.len(), choices.len());
                prop_assert_eq!(names.len(), order.invited_count());
                prop_assert!(names.len() > before.invited_count());
            }
        }
        let mut replayed = Book::new(OrderKey::new("", "SB1").unwrap());
        for event in &owner.list {
            replayed.replay(event).unwrap();
        }
        prop_assert_eq!(&replayed, &owner.book);
    }
}
