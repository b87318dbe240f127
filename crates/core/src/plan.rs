//! The controller's state machine: desired and observed state in, steps out. No step waits for the
//! network, and repeating all of them changes nothing.

use std::sync::Arc;

use crate::book::{check_after_end, outcome_after_end};
use crate::command::{Award, Command, CommandKind};
use crate::id::{IdempotencyKey, Incarnation, OrderKey, Timestamp};
use crate::order::{Order, Phase};
use crate::refusal::Refusal;
use crate::spec::{FollowUp, OrderSpec};
use crate::tracker::TrackerSnapshot;

/// The desired state of an order, as its resource gives it.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "two independent switches of the manifest")]
pub struct DesiredOrder {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The resource's uid.
    pub incarnation: Incarnation,
    /// The content of the order.
    pub spec: OrderSpec,
    /// All follow-ups, oldest first.
    pub follow_ups: Vec<FollowUp>,
    /// Proposals are to be refused for now.
    pub suspend: bool,
    /// The reason of the suspension, for all who took part.
    pub suspend_reason: Option<String>,
    /// The order is to be cancelled, as if it had not been requested.
    pub cancel: bool,
    /// The reason of the cancellation, for all who took part.
    pub cancel_reason: Option<String>,
    /// The order is to end without an award.
    pub close: Option<DesiredClose>,
    /// The order is to end with a winner, or without one.
    pub award: Option<DesiredAward>,
    /// The resource's generation, which grows with every edit of its spec.
    pub generation: i64,
    /// The time for which the resource stays after the order's end, milliseconds.
    pub ttl_after_finished_ms: u64,
}

/// The desired end of an order without an award.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredClose {
    /// The reason, for all who took part.
    pub reason: Option<String>,
}

/// A buyer's decision on an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredAward {
    /// The award; absent where nobody wins.
    pub award: Option<Award>,
    /// The reason, for all who took part.
    pub reason: Option<String>,
    /// The time for which the award can be undone, milliseconds.
    pub undo_within_ms: Option<u64>,
    /// The award is to be undone, if it is still pending.
    pub undo: bool,
    /// The reason for undoing it, for the order's record.
    pub undo_reason: Option<String>,
}

/// The observed state of an order, besides its resource.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "two independent facts")]
pub struct OrderObservation {
    /// The tracker's view; absent while the order is not followed.
    pub snapshot: Option<Arc<TrackerSnapshot>>,
    /// The processor that holds the order; absent while it is not known.
    pub placement: Option<String>,
    /// The processors that accept orders now, in the order's preference.
    pub ready: Vec<String>,
    /// The processors were asked which of them holds the order.
    pub located: bool,
    /// The resource's status already shows that the order has ended.
    pub published_terminal: bool,
}

/// A step of reconciling.
#[derive(Clone, Debug, PartialEq)]
pub enum ReconcileStep {
    /// Ask the processors which of them holds the order.
    Locate,
    /// Record that this processor holds the order.
    Place(String),
    /// Make sure that a stream to this processor follows the order.
    Start(String),
    /// Send the processor a command; its key gives it one effect.
    SendCommand(Box<Command>),
    /// End the stream: the order has ended, and the resource shows it.
    Stop,
    /// Write the status.
    Publish,
    /// Reconcile again at this time.
    RequeueAt(Timestamp),
    /// Remove the resource: its time after the order's end is over.
    Remove,
}

/// Returns the steps for one order now.
pub fn plan(
    desired: &DesiredOrder,
    observed: &OrderObservation,
    now: Timestamp,
) -> Vec<ReconcileStep> {
    let order = observed.snapshot.as_ref().and_then(|snapshot| snapshot.order.as_deref());
    match order {
        Some(order) if order.phase.is_terminal() => plan_ended(desired, observed, order, now),
        Some(order) => plan_open(desired, observed, Some(order), now),
        // The end is published and the tracker is dropped: nothing may start it again.
        None if observed.published_terminal => vec![ReconcileStep::Stop],
        None => plan_open(desired, observed, None, now),
    }
}

fn plan_open(
    desired: &DesiredOrder,
    observed: &OrderObservation,
    order: Option<&Order>,
    now: Timestamp,
) -> Vec<ReconcileStep> {
    let mut steps = Vec::new();
    let Some(processor) = resolve_placement(observed, &mut steps) else {
        steps.push(ReconcileStep::Publish);
        return steps;
    };
    steps.push(ReconcileStep::Start(processor));
    if let Some((order, snapshot)) = order.zip(observed.snapshot.as_deref()) {
        let commands = desired_commands(desired, order).into_iter();
        let unrefused = commands.filter(|act| find_refusal(snapshot, act).is_none());
        steps.extend(unrefused.map(|act| ReconcileStep::SendCommand(Box::new(act))));
    }
    steps.push(ReconcileStep::Publish);
    // The status shows the best proposal, which may be another one once its validity has ended.
    let due = order
        .and_then(|order| order.next_deadline().into_iter().chain(order.next_lapse(now)).min());
    steps.extend(due.map(ReconcileStep::RequeueAt));
    steps
}

/// Returns the refusal of something that the resource still requests: the last of its commands that
/// were refused for good or, after the order's end, the request that the end left unfulfilled.
pub fn refusal(desired: &DesiredOrder, snapshot: &TrackerSnapshot) -> Option<Refusal> {
    let order = snapshot.order.as_deref()?;
    if order.phase.is_terminal() {
        return unfulfilled(desired, order);
    }
    let commands = desired_commands(desired, order);
    let desired_refusal = |(key, refusal): &(IdempotencyKey, Refusal)| {
        let command = commands.iter().find(|act| act.key.as_ref() == Some(key))?;
        Some(label_refusal(&command.kind, refusal))
    };
    snapshot.refused.iter().rev().find_map(desired_refusal)
}

/// Returns the refusal of a request that the order's end left unfulfilled: a requested end comes
/// first, because that matters most to users.
fn unfulfilled(desired: &DesiredOrder, order: &Order) -> Option<Refusal> {
    if order.incarnation != desired.incarnation {
        return None;
    }
    let end =
        end_command(desired, order).map(|(_, act)| act).or_else(|| undo_too_late(desired, order));
    let end_refusal =
        end.and_then(|act| Some(label_refusal(&act, &check_after_end(order, &act).err()?)));
    end_refusal.or_else(|| {
        let mut others = additive_commands(desired, order).into_iter();
        others
            .find_map(|(_, act)| Some(label_refusal(&act, &outcome_after_end(order, &act)?.err()?)))
    })
}

/// Returns the command to undo an award, if the resource requests it after the award took effect.
fn undo_too_late(desired: &DesiredOrder, order: &Order) -> Option<CommandKind> {
    let decision = desired.award.as_ref().filter(|decision| decision.undo)?;
    let is_effective = order.phase == Phase::Finalised && order.award == decision.award;
    is_effective.then(|| CommandKind::UndoAward { reason: decision.undo_reason.clone() })
}

/// Prefixes a refusal with the name of the command that was refused.
fn label_refusal(kind: &CommandKind, refusal: &Refusal) -> Refusal {
    let field = refusal.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
    let message = format!("{}: {field}{}", command_label(kind), refusal.message);
    Refusal { field: None, message, ..refusal.clone() }
}

/// Returns the name of a command that opens the text of a resource's refusal, before a colon.
pub fn command_label(kind: &CommandKind) -> String {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all others have the name that they have")]
    match kind {
        CommandKind::Finalise { .. } => "award".to_owned(),
        CommandKind::FollowUp(follow_up) => format!("follow-up {}", follow_up.id),
        kind => kind.name().to_owned(),
    }
}

/// Returns the refusal of this command, if it was refused for good.
fn find_refusal<'a>(snapshot: &'a TrackerSnapshot, command: &Command) -> Option<&'a Refusal> {
    let entry = snapshot.refused.iter().find(|(key, _)| Some(key) == command.key.as_ref());
    entry.map(|(_, refusal)| refusal)
}

/// Returns the processor that holds the order, or the one that is to hold it. While the placement
/// is not known, the processors are asked before a new one is made.
fn resolve_placement(
    observed: &OrderObservation,
    steps: &mut Vec<ReconcileStep>,
) -> Option<String> {
    if let Some(processor) = &observed.placement {
        return Some(processor.clone());
    }
    if !observed.located {
        steps.push(ReconcileStep::Locate);
        return None;
    }
    let processor = observed.ready.first()?.clone();
    steps.push(ReconcileStep::Place(processor.clone()));
    Some(processor)
}

/// Returns the differences between the desired and the actual order, as commands in a fixed order.
fn desired_commands(desired: &DesiredOrder, order: &Order) -> Vec<Command> {
    if order.incarnation != desired.incarnation {
        return Vec::new();
    }
    let mut kinds = additive_commands(desired, order);
    kinds.extend(end_command(desired, order).or_else(|| suspension_command(desired, order)));
    kinds.into_iter().filter_map(|(key, act)| keyed_command(desired, &key, act)).collect()
}

/// Returns the commands for what can only grow: follow-ups, and the order's lifetime.
fn additive_commands(desired: &DesiredOrder, order: &Order) -> Vec<(String, CommandKind)> {
    let mut kinds = Vec::new();
    for follow_up in &desired.follow_ups {
        if !order.follow_ups.contains(&follow_up.id) {
            kinds.push((
                format!("follow-up:{}", follow_up.id),
                CommandKind::FollowUp(follow_up.clone()),
            ));
        }
    }
    let lifetime_ms = order.expires_at.ms_since(order.opened_at);
    let desired_ms = desired.spec.expires_in_ms;
    if desired_ms > lifetime_ms {
        kinds.push((
            format!("extend:{desired_ms}"),
            CommandKind::Extend { expires_in_ms: desired_ms },
        ));
    }
    kinds
}

/// Returns the command for the desired end, or for its undoing.
fn end_command(desired: &DesiredOrder, order: &Order) -> Option<(String, CommandKind)> {
    if desired.cancel {
        return Some((
            "cancel".to_owned(),
            CommandKind::Cancel { reason: desired.cancel_reason.clone() },
        ));
    }
    if let Some(closing) = &desired.close {
        return Some(("close".to_owned(), CommandKind::Close { reason: closing.reason.clone() }));
    }
    let decision = desired.award.as_ref()?;
    // An award after an undone one has a key of its own.
    let round = order.awards_undone;
    let undo = || {
        let reason = decision.undo_reason.clone();
        Some((format!("undo-award:{round}"), CommandKind::UndoAward { reason }))
    };
    match &order.pending_award {
        Some(_) if decision.undo => return undo(),
        None if decision.undo => return None,
        Some(pending) if pending.award == decision.award => return None,
        // The award was undone and replaced in edits of which only the last was observed.
        Some(_) => return undo(),
        None => {}
    }
    // A refused award is sent again after an edit, and after a sealed order's opening.
    let prefix = if order.is_sealed() { "early-award" } else { "award" };
    let key = format!("{prefix}:{round}:{}", desired.generation);
    let (award, reason) = (decision.award.clone(), decision.reason.clone());
    let undo_within_ms = decision.undo_within_ms.filter(|ms| *ms > 0);
    Some((key, CommandKind::Finalise { award, reason, undo_within_ms }))
}

/// Returns the command that suspends or resumes the order, while the buyer may do so.
fn suspension_command(desired: &DesiredOrder, order: &Order) -> Option<(String, CommandKind)> {
    let is_decided = order.pending_award.is_some() || order.decide_until.is_some();
    if is_decided || desired.suspend == (order.phase == Phase::Paused) {
        return None;
    }
    let (prefix, kind) = if desired.suspend {
        ("suspend", CommandKind::Pause { reason: desired.suspend_reason.clone() })
    } else {
        ("resume", CommandKind::Resume)
    };
    Some((format!("{prefix}:{}", order.suspension_seq), kind))
}

fn keyed_command(desired: &DesiredOrder, key: &str, kind: CommandKind) -> Option<Command> {
    // Keys consist of a prefix and a checked id; they always fit.
    let key = IdempotencyKey::new(key).ok();
    debug_assert!(key.is_some(), "plan makes only keys that fit");
    let incarnation = Some(desired.incarnation.clone());
    Some(Command { key, incarnation, ..Command::bare(kind) })
}

fn plan_ended(
    desired: &DesiredOrder,
    observed: &OrderObservation,
    order: &Order,
    now: Timestamp,
) -> Vec<ReconcileStep> {
    if !observed.published_terminal {
        return vec![ReconcileStep::Publish];
    }
    let ended_at = order.ended_at.unwrap_or(order.last_event.0);
    let due = ended_at.plus_ms(desired.ttl_after_finished_ms);
    let last = if now >= due { ReconcileStep::Remove } else { ReconcileStep::RequeueAt(due) };
    vec![ReconcileStep::Stop, last]
}
