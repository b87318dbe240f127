//! The controller's state machine: desired and observed state in, steps out. No step waits for the
//! network, and repeating all of them changes nothing.

use std::sync::Arc;

use crate::book::{after_the_end, settled_by_the_end};
use crate::command::{Act, Award, Command};
use crate::id::{IdempotencyKey, Incarnation, OrderKey, Timestamp};
use crate::order::{Order, Phase};
use crate::port::act_name;
use crate::refusal::Refusal;
use crate::spec::{FollowUp, OrderSpec};
use crate::tracker::Snapshot;

/// The desired state of an order, as its resource gives it.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "two independent switches of the manifest")]
pub struct Desired {
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
    pub close: Option<Closing>,
    /// The order is to end with a winner, or without one.
    pub award: Option<Decision>,
    /// The resource's generation, which grows with every edit of its spec.
    pub generation: i64,
    /// The time for which the resource stays after the order's end, milliseconds.
    pub ttl_after_finished_ms: u64,
}

/// A buyer's wish to end an order without an award.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The reason, for all who took part.
    pub reason: Option<String>,
}

/// A buyer's decision on an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
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
pub struct Seen {
    /// The tracker's view; absent while the order is not followed.
    pub snapshot: Option<Arc<Snapshot>>,
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
pub enum Step {
    /// Ask the processors which of them holds the order.
    Locate,
    /// Record that this processor holds the order.
    Place(String),
    /// Make sure that a stream to this processor follows the order.
    Start(String),
    /// Send the processor a command; its key gives it one effect.
    Act(Box<Command>),
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
pub fn plan(desired: &Desired, seen: &Seen, now: Timestamp) -> Vec<Step> {
    let order = seen.snapshot.as_ref().and_then(|snapshot| snapshot.order.as_deref());
    match order {
        Some(order) if order.phase.is_terminal() => finished(desired, seen, order, now),
        Some(order) => live(desired, seen, Some(order)),
        // The end is published and the tracker is dropped: nothing may start it again.
        None if seen.published_terminal => vec![Step::Stop],
        None => live(desired, seen, None),
    }
}

fn live(desired: &Desired, seen: &Seen, order: Option<&Order>) -> Vec<Step> {
    let mut steps = Vec::new();
    let Some(processor) = place(seen, &mut steps) else {
        steps.push(Step::Publish);
        return steps;
    };
    steps.push(Step::Start(processor));
    if let Some((order, snapshot)) = order.zip(seen.snapshot.as_deref()) {
        let asked = acts(desired, order).into_iter();
        let wanted = asked.filter(|act| refused(snapshot, act).is_none());
        steps.extend(wanted.map(|act| Step::Act(Box::new(act))));
    }
    steps.push(Step::Publish);
    if let Some(order) = order {
        steps.extend(order.next_deadline().map(Step::RequeueAt));
    }
    steps
}

/// Returns the refusal of something that the resource still wants: the last of its commands that
/// were refused for good or, after the order's end, the wish that the end left unfulfilled.
pub fn refusal(desired: &Desired, snapshot: &Snapshot) -> Option<Refusal> {
    let order = snapshot.order.as_deref()?;
    if order.phase.is_terminal() {
        return missed(desired, order);
    }
    let acts = acts(desired, order);
    let about_wanted = |(key, refusal): &(IdempotencyKey, Refusal)| {
        let act = acts.iter().find(|act| act.key.as_ref() == Some(key))?;
        Some(about(&act.act, refusal))
    };
    snapshot.refused.iter().rev().find_map(about_wanted)
}

/// Returns the refusal of a wish that the order's end left unfulfilled: a wanted end comes first,
/// because that matters most to users.
fn missed(desired: &Desired, order: &Order) -> Option<Refusal> {
    if order.incarnation != desired.incarnation {
        return None;
    }
    let end = end(desired, order).map(|(_, act)| act).or_else(|| undo_too_late(desired, order));
    let missed_end = end.and_then(|act| Some(about(&act, &after_the_end(order, &act).err()?)));
    missed_end.or_else(|| {
        let mut others = growth(desired, order).into_iter();
        others.find_map(|(_, act)| Some(about(&act, &settled_by_the_end(order, &act)?.err()?)))
    })
}

/// Returns the command to undo an award, if it is wanted although the award has taken effect.
fn undo_too_late(desired: &Desired, order: &Order) -> Option<Act> {
    let decision = desired.award.as_ref().filter(|decision| decision.undo)?;
    let counts = order.phase == Phase::Finalised && order.award == decision.award;
    counts.then(|| Act::UndoAward { reason: decision.undo_reason.clone() })
}

/// Prefixes a refusal with the name of the command that was refused.
fn about(act: &Act, refusal: &Refusal) -> Refusal {
    let field = refusal.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
    let message = format!("{}: {field}{}", wish_name(act), refusal.message);
    Refusal { field: None, message, ..refusal.clone() }
}

/// Returns the name of a command that opens the text of a resource's refusal, before a colon.
pub fn wish_name(act: &Act) -> String {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all others have the name that they have")]
    match act {
        Act::Finalise { .. } => "award".to_owned(),
        Act::FollowUp(follow_up) => format!("follow-up {}", follow_up.id),
        act => act_name(act).to_owned(),
    }
}

/// Returns the refusal of this command, if it was refused for good.
fn refused<'a>(snapshot: &'a Snapshot, act: &Command) -> Option<&'a Refusal> {
    let held = snapshot.refused.iter().find(|(key, _)| Some(key) == act.key.as_ref());
    held.map(|(_, refusal)| refusal)
}

/// Returns the processor that holds the order, or the one that is to hold it. While the placement
/// is not known, the processors are asked before a new one is made.
fn place(seen: &Seen, steps: &mut Vec<Step>) -> Option<String> {
    if let Some(processor) = &seen.placement {
        return Some(processor.clone());
    }
    if !seen.located {
        steps.push(Step::Locate);
        return None;
    }
    let processor = seen.ready.first()?.clone();
    steps.push(Step::Place(processor.clone()));
    Some(processor)
}

/// Returns the differences between the desired and the actual order, as commands in a fixed order.
fn acts(desired: &Desired, order: &Order) -> Vec<Command> {
    if order.incarnation != desired.incarnation {
        return Vec::new();
    }
    let mut acts = growth(desired, order);
    acts.extend(end(desired, order).or_else(|| steering(desired, order)));
    acts.into_iter().filter_map(|(key, act)| command(desired, &key, act)).collect()
}

/// Returns the commands for what can only grow: follow-ups, and the order's lifetime.
fn growth(desired: &Desired, order: &Order) -> Vec<(String, Act)> {
    let mut acts = Vec::new();
    for follow_up in &desired.follow_ups {
        if !order.follow_ups.contains(&follow_up.id) {
            acts.push((format!("follow-up:{}", follow_up.id), Act::FollowUp(follow_up.clone())));
        }
    }
    let life_ms = order.expires_at.ms_since(order.opened_at);
    let wanted_ms = desired.spec.expires_in_ms;
    if wanted_ms > life_ms && order.decide_until.is_none() {
        acts.push((format!("extend:{wanted_ms}"), Act::Extend { expires_in_ms: wanted_ms }));
    }
    acts
}

/// Returns the command for the desired end, or for its undoing.
fn end(desired: &Desired, order: &Order) -> Option<(String, Act)> {
    if desired.cancel {
        return Some(("cancel".to_owned(), Act::Cancel { reason: desired.cancel_reason.clone() }));
    }
    if let Some(closing) = &desired.close {
        return Some(("close".to_owned(), Act::Close { reason: closing.reason.clone() }));
    }
    let decision = desired.award.as_ref()?;
    // An award after an undone one is another one.
    let round = order.awards_undone;
    let undo = || {
        let reason = decision.undo_reason.clone();
        Some((format!("undo-award:{round}"), Act::UndoAward { reason }))
    };
    match &order.pending_award {
        Some(_) if decision.undo => return undo(),
        None if decision.undo => return None,
        Some(pending) if pending.award == decision.award => return None,
        // It was undone and replaced in edits of which only the last was observed.
        Some(_) => return undo(),
        None => {}
    }
    // What was refused is asked again after an edit, and after a sealed order's opening.
    let word = if order.is_sealed() { "early-award" } else { "award" };
    let key = format!("{word}:{round}:{}", desired.generation);
    let (award, reason) = (decision.award.clone(), decision.reason.clone());
    let undo_within_ms = decision.undo_within_ms.filter(|ms| *ms > 0);
    Some((key, Act::Finalise { award, reason, undo_within_ms }))
}

/// Returns the command that suspends or resumes the order, while the buyer may do so.
fn steering(desired: &Desired, order: &Order) -> Option<(String, Act)> {
    let is_decided = order.pending_award.is_some() || order.decide_until.is_some();
    if is_decided || desired.suspend == (order.phase == Phase::Paused) {
        return None;
    }
    let (word, act) = if desired.suspend {
        ("suspend", Act::Pause { reason: desired.suspend_reason.clone() })
    } else {
        ("resume", Act::Resume)
    };
    Some((format!("{word}:{}", order.steered_at), act))
}

fn command(desired: &Desired, key: &str, act: Act) -> Option<Command> {
    // Keys are made of a word and an id that was checked; they always fit.
    let key = IdempotencyKey::new(key).ok();
    debug_assert!(key.is_some(), "plan makes only keys that fit");
    let incarnation = Some(desired.incarnation.clone());
    Some(Command { key, incarnation, ..Command::bare(act) })
}

fn finished(desired: &Desired, seen: &Seen, order: &Order, now: Timestamp) -> Vec<Step> {
    if !seen.published_terminal {
        return vec![Step::Publish];
    }
    let ended_at = order.ended_at.unwrap_or(order.last_event.0);
    let due = ended_at.plus_ms(desired.ttl_after_finished_ms);
    let last = if now >= due { Step::Remove } else { Step::RequeueAt(due) };
    vec![Step::Stop, last]
}
