//! Properties of every run of an order that a resource steers while sellers and the clock act.

use std::sync::Arc;

use orderstream_core::book::Context;
use orderstream_core::limits::REFUSED_MAX;
use orderstream_core::plan::{Closing, Decision, Desired, Seen, Step, plan};
use orderstream_core::tracker::StreamState;
use orderstream_core::{IdempotencyKey, Snapshot};
use proptest::prelude::*;

use super::*;

/// The number of reconciliations after which no command may be left: an award is undone, another
/// one is given, and a suspension follows it.
const LOOKS_MAX: usize = 4;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Turn {
    /// The buyer edits the resource.
    Edit(Edit),
    /// A seller or buyer commands the processor, after so many milliseconds.
    Elsewhere(i64, Act),
}

#[derive(Clone, Debug)]
enum Edit {
    Suspend(bool),
    Expires(u64),
    Award(Option<Award>, Option<u64>),
    Undo,
    FollowUp(FollowUpId, Option<FollowUpId>),
    Close,
    Cancel,
}

fn edits() -> impl Strategy<Value = Edit> {
    let undo_within = proptest::option::of(0..40_000u64);
    let answers = proptest::option::of(follow_up_ids());
    prop_oneof![
        4 => any::<bool>().prop_map(Edit::Suspend),
        2 => (10_000..200_000u64).prop_map(Edit::Expires),
        6 => (awards(), undo_within).prop_map(|(award, ms)| Edit::Award(award, ms)),
        4 => Just(Edit::Undo),
        3 => (follow_up_ids(), answers).prop_map(|(id, answers)| Edit::FollowUp(id, answers)),
        1 => Just(Edit::Close),
        1 => Just(Edit::Cancel),
    ]
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let elsewhere = (0..30_000i64, acts()).prop_map(|(jump_ms, act)| Turn::Elsewhere(jump_ms, act));
    proptest::collection::vec(prop_oneof![edits().prop_map(Turn::Edit), elsewhere], 1..40)
}

/// A resource, its order, and the refusals that its tracker holds.
struct World {
    desired: Desired,
    book: Book,
    refused: Vec<(IdempotencyKey, Refusal)>,
    now: i64,
}

impl World {
    #[allow(clippy::fn_params_excessive_bools, reason = "a property draws it")]
    fn new(sealed: bool) -> Self {
        let key = OrderKey::new("", "SB1").unwrap();
        let incarnation = Incarnation::new("uid-1").unwrap();
        let spec = OrderSpec { expires_in_ms: 60_000, sealed, ..OrderSpec::default() };
        let desired = Desired {
            key: key.clone(),
            incarnation: incarnation.clone(),
            spec: spec.clone(),
            follow_ups: Vec::new(),
            suspend: false,
            suspend_reason: None,
            cancel: false,
            cancel_reason: None,
            close: None,
            award: None,
            generation: 1,
            ttl_after_finished_ms: 0,
        };
        let mut world = Self { desired, book: Book::new(key), refused: Vec::new(), now: T0 };
        world.ask(&Command::bare(Act::Open(Box::new(Opening {
            incarnation,
            spec,
            choices: invited(),
        }))));
        world
    }

    fn ask(&mut self, command: &Command) -> Option<Refusal> {
        let fresh_id = ProposalId::new("fresh").ok();
        let context = Context { now: Timestamp(self.now), fresh_id };
        let output = self.book.step(&context, command);
        output.answer.release(&All).unwrap().err()
    }

    /// Makes an edit, if the resource's rules allow it.
    fn edit(&mut self, edit: Edit) {
        let wanted = &mut self.desired;
        let held = wanted.award.clone();
        match edit {
            Edit::Suspend(suspend) => wanted.suspend = suspend,
            Edit::Expires(ms) => {
                wanted.spec.expires_in_ms = wanted.spec.expires_in_ms.max(ms);
            }
            Edit::Award(award, undo_within_ms)
                if held.as_ref().is_none_or(|held| held.undo) && wanted.close.is_none() =>
            {
                wanted.award = Some(Decision {
                    award,
                    reason: None,
                    undo_within_ms,
                    undo: false,
                    undo_reason: None,
                });
            }
            Edit::Undo => wanted.award.iter_mut().for_each(|award| award.undo = true),
            Edit::FollowUp(id, answers) if wanted.follow_ups.iter().all(|f| f.id != id) => {
                let message = Message::default();
                wanted.follow_ups.push(FollowUp { id, audience: Vec::new(), message, answers });
            }
            Edit::Close if held.is_none() => wanted.close = Some(Closing { reason: None }),
            Edit::Cancel if held.is_none() && wanted.close.is_none() => wanted.cancel = true,
            Edit::Award(..) | Edit::FollowUp(..) | Edit::Close | Edit::Cancel => return,
        }
        wanted.generation += 1;
    }

    fn acts(&self) -> Vec<Command> {
        let snapshot = Snapshot {
            key: self.desired.key.clone(),
            incarnation: self.desired.incarnation.clone(),
            stream: StreamState::default(),
            order: self.book.order().cloned().map(Arc::new),
            shown: None,
            refused: self.refused.clone().into(),
            notes: 0,
        };
        let seen = Seen {
            snapshot: Some(Arc::new(snapshot)),
            placement: Some("http://a".to_owned()),
            located: true,
            ..Seen::default()
        };
        let steps = plan(&self.desired, &seen, Timestamp(self.now));
        steps
            .into_iter()
            .filter_map(|step| match step {
                Step::Act(command) => Some(*command),
                _ => None,
            })
            .collect()
    }

    /// Reconciles until no command is left; fails if that takes too long.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..LOOKS_MAX {
            let acts = self.acts();
            if acts.is_empty() {
                return Ok(());
            }
            for act in acts {
                let is_opened = self.book.order().is_some_and(|order| order.decide_until.is_some());
                let steers =
                    matches!(act.act, Act::Resume | Act::Pause { .. } | Act::Extend { .. });
                prop_assert!(!(is_opened && steers), "{act:?} of an opened order");
                if let Some(refusal) = self.ask(&act) {
                    self.refused.push((act.key.clone().unwrap(), refusal));
                    let surplus = self.refused.len().saturating_sub(REFUSED_MAX);
                    self.refused.drain(..surplus);
                }
            }
        }
        prop_assert!(self.acts().is_empty(), "{:?} is asked for ever", self.acts());
        Ok(())
    }

    /// Checks that the order is as the resource wants it, or that the wish was refused.
    fn judge(&self) -> Result<(), TestCaseError> {
        let order = self.book.order().unwrap();
        let ended = order.phase.is_terminal();
        prop_assert!(ended || !(self.desired.cancel || self.desired.close.is_some()));
        if ended || order.decide_until.is_some() || order.pending_award.is_some() {
            return Ok(());
        }
        let is_refused =
            |word: &str| self.refused.iter().any(|(key, _)| key.as_str().starts_with(word));
        let paused = order.phase == orderstream_core::Phase::Paused;
        let decides = self.desired.award.as_ref().is_some_and(|award| !award.undo);
        prop_assert!(paused == self.desired.suspend || decides);
        prop_assert!(!decides || is_refused("award:") || is_refused("early-award:"));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn edits_settle_or_are_refused(
        sealed in any::<bool>(),
        turns in turns(),
    ) {
        let mut world = World::new(sealed);
        for turn in turns {
            match turn {
                Turn::Edit(edit) => world.edit(edit),
                Turn::Elsewhere(_, Act::Open(_)) => {}
                Turn::Elsewhere(jump_ms, act) => {
                    world.now += jump_ms;
                    world.ask(&Command::bare(act));
                }
            }
            world.settle()?;
            world.judge()?;
        }
    }

    /// Edits that nobody reconciled between have the effect of one edit.
    #[test]
    fn unobserved_edits_settle_too(
        sealed in any::<bool>(),
        turns in proptest::collection::vec(turns(), 1..4),
    ) {
        let mut world = World::new(sealed);
        for turn in turns {
            for one in turn {
                match one {
                    Turn::Edit(edit) => world.edit(edit),
                    Turn::Elsewhere(_, Act::Open(_)) => {}
                    Turn::Elsewhere(jump_ms, act) => {
                        world.now += jump_ms;
                        world.ask(&Command::bare(act));
                    }
                }
            }
            world.settle()?;
            world.judge()?;
        }
    }
}
