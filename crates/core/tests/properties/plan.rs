//! Properties of every run of an order that a resource controls, while sellers and the clock act on
//! it.

use std::sync::Arc;

use orderstream_core::book::Context;
use orderstream_core::limits::REFUSALS_MAX;
use orderstream_core::plan::{
    DesiredAward, DesiredClose, DesiredOrder, OrderObservation, ReconcileStep, plan,
};
use orderstream_core::tracker::StreamState;
use orderstream_core::{IdempotencyKey, TrackerSnapshot};
use proptest::prelude::*;

use super::*;

/// The number of reconciliations after which no command may be left: an award is undone, another
/// one is given, and a suspension follows it.
const RECONCILES_MAX: usize = 4;

/// One occurrence in a run.
#[derive(Clone, Debug)]
enum Occurrence {
    /// The buyer edits the resource.
    Edit(Edit),
    /// A seller or buyer commands the processor, after so many milliseconds.
    DirectCommand(i64, CommandKind),
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

fn occurrences() -> impl Strategy<Value = Vec<Occurrence>> {
    let direct = (0..30_000i64, command_kinds())
        .prop_map(|(jump_ms, act)| Occurrence::DirectCommand(jump_ms, act));
    proptest::collection::vec(prop_oneof![edits().prop_map(Occurrence::Edit), direct], 1..40)
}

/// A resource, its order, and the refusals that its tracker holds.
struct World {
    desired: DesiredOrder,
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
        let desired = DesiredOrder {
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
        world.send(&Command::bare(CommandKind::Open(Box::new(OrderOpening {
            incarnation,
            spec,
            choices: invited(),
        }))));
        world
    }

    fn send(&mut self, command: &Command) -> Option<Refusal> {
        let fresh_id = ProposalId::new("fresh").ok();
        let context = Context { now: Timestamp(self.now), fresh_id };
        let output = self.book.step(&context, command);
        output.reply.release(&ProvesEverything).unwrap().err()
    }

    /// Makes an edit, if the resource's rules allow it.
    fn edit(&mut self, edit: Edit) {
        let desired = &mut self.desired;
        let current_award = desired.award.clone();
        match edit {
            Edit::Suspend(suspend) => desired.suspend = suspend,
            Edit::Expires(ms) => {
                desired.spec.expires_in_ms = desired.spec.expires_in_ms.max(ms);
            }
            Edit::Award(award, undo_within_ms)
                if current_award.as_ref().is_none_or(|held| held.undo)
                    && desired.close.is_none() =>
            {
                desired.award = Some(DesiredAward {
                    award,
                    reason: None,
                    undo_within_ms,
                    undo: false,
                    undo_reason: None,
                });
            }
            Edit::Undo => desired.award.iter_mut().for_each(|award| award.undo = true),
            Edit::FollowUp(id, answers) if desired.follow_ups.iter().all(|f| f.id != id) => {
                let message = Message::default();
                desired.follow_ups.push(FollowUp { id, audience: Vec::new(), message, answers });
            }
            Edit::Close if current_award.is_none() => {
                desired.close = Some(DesiredClose { reason: None })
            }
            Edit::Cancel if current_award.is_none() && desired.close.is_none() => {
                desired.cancel = true
            }
            Edit::Award(..) | Edit::FollowUp(..) | Edit::Close | Edit::Cancel => return,
        }
        desired.generation += 1;
    }

    fn planned_commands(&self) -> Vec<Command> {
        let snapshot = TrackerSnapshot {
            key: self.desired.key.clone(),
            incarnation: self.desired.incarnation.clone(),
            stream: StreamState::default(),
            order: self.book.order().cloned().map(Arc::new),
            published: None,
            refused: self.refused.clone().into(),
            follow_up_count: 0,
        };
        let observed = OrderObservation {
            snapshot: Some(Arc::new(snapshot)),
            placement: Some("http://a".to_owned()),
            located: true,
            ..OrderObservation::default()
        };
        let steps = plan(&self.desired, &observed, Timestamp(self.now));
        steps
            .into_iter()
            .filter_map(|step| match step {
                ReconcileStep::SendCommand(command) => Some(*command),
                _ => None,
            })
            .collect()
    }

    /// Reconciles until no command is left; fails if that takes too long.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..RECONCILES_MAX {
            let commands = self.planned_commands();
            if commands.is_empty() {
                return Ok(());
            }
            for command in commands {
                let is_opened = self.book.order().is_some_and(|order| order.decide_until.is_some());
                let steers =
                    matches!(command.kind, CommandKind::Resume | CommandKind::Pause { .. });
                prop_assert!(!(is_opened && steers), "{command:?} of an opened order");
                if let Some(refusal) = self.send(&command) {
                    self.refused.push((command.key.clone().unwrap(), refusal));
                    let surplus = self.refused.len().saturating_sub(REFUSALS_MAX);
                    self.refused.drain(..surplus);
                }
            }
        }
        prop_assert!(
            self.planned_commands().is_empty(),
            "{:?} is asked for ever",
            self.planned_commands()
        );
        Ok(())
    }

    /// Checks that the order is as the resource requests, or that the request was refused.
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
        occurrences in occurrences(),
    ) {
        let mut world = World::new(sealed);
        for occurrence in occurrences {
            match occurrence {
                Occurrence::Edit(edit) => world.edit(edit),
                Occurrence::DirectCommand(_, CommandKind::Open(_)) => {}
                Occurrence::DirectCommand(jump_ms, kind) => {
                    world.now += jump_ms;
                    world.send(&Command::bare(kind));
                }
            }
            world.settle()?;
            world.judge()?;
        }
    }

    /// Edits with no reconciliation between them have the effect of one edit.
    #[test]
    fn unobserved_edits_settle_too(
        sealed in any::<bool>(),
        batches in proptest::collection::vec(occurrences(), 1..4),
    ) {
        let mut world = World::new(sealed);
        for batch in batches {
            for occurrence in batch {
                match occurrence {
                    Occurrence::Edit(edit) => world.edit(edit),
                    Occurrence::DirectCommand(_, CommandKind::Open(_)) => {}
                    Occurrence::DirectCommand(jump_ms, kind) => {
                        world.now += jump_ms;
                        world.send(&Command::bare(kind));
                    }
                }
            }
            world.settle()?;
            world.judge()?;
        }
    }
}
