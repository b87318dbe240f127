//! The outcome of a buyer's edit, as the resource's status shows it: pure. The edit itself is only
//! an intent: it is done once the order has it, and refused once the status reports a refusal.

use orderstream_api::conditions::{READY, STALLED};
use orderstream_api::order_request::{OrderRequest, OrderRequestSpec};
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_api::{deadline, duration};
use orderstream_core::buyer::{BuyerCommand, CommandOutcome};
use orderstream_core::command::CommandKind;
use orderstream_core::date::parse_rfc3339;
use orderstream_core::plan::command_label;
use orderstream_core::request_phase::end_reason;
use orderstream_core::{FollowUpId, IdempotencyKey, Reason, Refusal, RequestPhase, StreamPhase};

/// The prefix of a follow-up's key.
const FOLLOW_UP_PREFIX: &str = "follow-up:";

/// The intent of a buyer's edit: a command, or a follow-up.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum EditIntent {
    Command(BuyerCommand),
    FollowUp(FollowUpId),
}

impl EditIntent {
    /// Returns the key under which the outcome is found. A resource stores no keys of callers, so
    /// it is made from the intent's subject.
    pub(super) fn key(&self) -> Option<IdempotencyKey> {
        let key = match self {
            Self::Command(BuyerCommand::Extend(ms)) => format!("extend:{ms}"),
            Self::Command(command) => command_name(command),
            // An id may be as long as a key, with no space for the prefix; then it stands alone.
            Self::FollowUp(id) => {
                let prefixed = IdempotencyKey::new(format!("{FOLLOW_UP_PREFIX}{id}")).ok();
                return prefixed.or_else(|| IdempotencyKey::new(id.as_str()).ok());
            }
        };
        IdempotencyKey::new(key).ok()
    }

    /// Returns the intent under a key; `None` where the resource does not have it.
    pub(super) fn find(spec: &OrderRequestSpec, key: &str) -> Option<Self> {
        if let Some(ms) = key.strip_prefix("extend:").and_then(|ms| ms.parse().ok()) {
            let current_ms = duration::expires_in_ms(&spec.expires_in).ok()?;
            return (ms <= current_ms).then_some(Self::Command(BuyerCommand::Extend(ms)));
        }
        let award = spec.award.as_ref();
        let command = match key {
            "pause" if spec.suspend => BuyerCommand::Pause(None),
            "resume" if !spec.suspend => BuyerCommand::Resume,
            "cancel" if spec.cancel => BuyerCommand::Cancel(None),
            "close" if spec.close.is_some() => BuyerCommand::Close(None),
            "undo-award" if award.is_some_and(|award| award.undo) => BuyerCommand::UndoAward(None),
            "award" => {
                let award = award.filter(|award| !award.undo)?;
                let undo_within_ms = award.undo_within.as_ref().map(|_| 1);
                BuyerCommand::Finalise { award: None, reason: None, undo_within_ms }
            }
            _ => {
                let has = |id: &&str| spec.follow_ups.iter().any(|held| held.id == **id);
                let id = key.strip_prefix(FOLLOW_UP_PREFIX).filter(has);
                let id = id.or_else(|| Some(key).filter(has))?;
                return FollowUpId::new(id).ok().map(Self::FollowUp);
            }
        };
        Some(Self::Command(command))
    }

    /// Returns the intent's name, which opens a refusal's message in the status.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Command(command) => command_name(command),
            Self::FollowUp(id) => format!("follow-up {id}"),
        }
    }
}

fn command_name(command: &BuyerCommand) -> String {
    command_label(&CommandKind::from(command.clone()))
}

/// The generation since which the resource has an intent, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntentGeneration {
    /// It came with the edit that gave the resource this generation.
    Edit(i64),
    /// This generation has it, and may have it from an earlier one.
    Before(i64),
}

/// Returns an intent's outcome, as far as the resource shows it; `None` where another edit or the
/// order's end has replaced the evidence. An outcome that was `done` once is never `refused` later,
/// nor the other way round.
pub(super) fn outcome(
    resource: &OrderRequest,
    intent: &EditIntent,
    since: IntentGeneration,
) -> Option<CommandOutcome> {
    let Some(status) = &resource.status else { return Some(CommandOutcome::Pending) };
    if is_irrevocable(resource, status, intent) {
        return Some(CommandOutcome::Done);
    }
    let (IntentGeneration::Edit(generation) | IntentGeneration::Before(generation)) = since;
    let is_judged = judged_generation(status).is_some_and(|judged| judged >= generation);
    match (is_judged, status.is_terminal(), since) {
        (true, true, _) => {
            refused_outcome(status, intent).or_else(|| ended_outcome(resource, status, intent))
        }
        (true, false, _) => {
            refused_outcome(status, intent).or_else(|| open_outcome(status, intent))
        }
        (false, false, _) => Some(CommandOutcome::Pending),
        // Edits after an order's end are not sent to it and have no effect.
        (false, true, IntentGeneration::Edit(_)) => Some(CommandOutcome::Refused(ended_refusal(
            status,
            "and was so before this was taken up",
        ))),
        // This intent may be older than the edit that was made after the end.
        (false, true, IntentGeneration::Before(_)) => {
            refused_outcome(status, intent).or_else(|| unfulfilled_outcome(status, intent))
        }
    }
}

/// Returns the generation of the newest edit that was sent to the order, or refused: after an end,
/// edits are only observed.
fn judged_generation(status: &OrderRequestStatus) -> Option<i64> {
    if !status.is_terminal() {
        return status.observed_generation;
    }
    let ready = status.condition(READY);
    ready.map_or(status.observed_generation, |ready| ready.observed_generation)
}

/// Reports whether the order has the intent for good: no edit and no end can undo it.
fn is_irrevocable(
    resource: &OrderRequest,
    status: &OrderRequestStatus,
    intent: &EditIntent,
) -> bool {
    let is_phase = |phase| status.request_phase() == Some(phase);
    match intent {
        EditIntent::FollowUp(id) => is_sent(resource, status, id),
        EditIntent::Command(BuyerCommand::Cancel(_)) => is_phase(RequestPhase::Cancelled),
        EditIntent::Command(BuyerCommand::Close(_)) => is_phase(RequestPhase::Closed),
        EditIntent::Command(BuyerCommand::Extend(ms)) => {
            let start = status.start_time.as_deref().and_then(parse_rfc3339);
            let times = start.zip(deadline(resource));
            // Times are shown in whole seconds.
            times.is_some_and(|(start, end)| end.ms_since(start).saturating_add(999) >= *ms)
        }
        EditIntent::Command(
            BuyerCommand::Pause(_)
            | BuyerCommand::Resume
            | BuyerCommand::UndoAward(_)
            | BuyerCommand::Finalise { .. },
        ) => false,
    }
}

/// Reports whether the order's list surely has a follow-up: the status names the newest, and counts
/// all. They are sent in the sequence of the spec; a refused one is skipped.
fn is_sent(resource: &OrderRequest, status: &OrderRequestStatus, id: &FollowUpId) -> bool {
    let Some(sent) = &status.follow_ups else { return false };
    let Some(last) = sent.last_id.as_deref() else { return false };
    if last == id.as_str() {
        return true;
    }
    let positions = position(resource, id.as_str()).zip(position(resource, last));
    let count = usize::try_from(sent.sent).unwrap_or(usize::MAX);
    positions.is_some_and(|(place, last)| place < last && last < count)
}

fn position(resource: &OrderRequest, id: &str) -> Option<usize> {
    resource.spec.follow_ups.iter().position(|held| held.id == id)
}

/// Returns the outcome of an intent that was processed by an order that has not ended.
fn open_outcome(status: &OrderRequestStatus, intent: &EditIntent) -> Option<CommandOutcome> {
    let phase = status.request_phase();
    let is_phase = |wanted| phase == Some(wanted);
    let done_if =
        |is_so: bool| Some(if is_so { CommandOutcome::Done } else { CommandOutcome::Pending });
    match intent {
        // The phase is an earlier one while the stream is down, and no longer shows a pause while
        // the order waits for a decision.
        EditIntent::Command(BuyerCommand::Pause(_) | BuyerCommand::Resume)
            if is_phase(RequestPhase::Deciding)
                || status.stream_phase() == StreamPhase::Reconnecting =>
        {
            None
        }
        EditIntent::Command(BuyerCommand::Pause(_)) => done_if(is_phase(RequestPhase::Paused)),
        EditIntent::Command(BuyerCommand::Resume) => done_if(is_phase(RequestPhase::Open)),
        EditIntent::Command(BuyerCommand::UndoAward(_)) => {
            done_if(status.award.is_none() && !is_phase(RequestPhase::Pending))
        }
        // Another client's award stalls this one.
        EditIntent::Command(BuyerCommand::Finalise { undo_within_ms, .. }) => {
            done_if(undo_within_ms.is_some() && status.award.is_some())
        }
        EditIntent::Command(
            BuyerCommand::Cancel(_) | BuyerCommand::Close(_) | BuyerCommand::Extend(_),
        )
        | EditIntent::FollowUp(_) => Some(CommandOutcome::Pending),
    }
}

/// Returns the outcome of an intent that was processed by an order that has ended since. The
/// intents that the end left unfulfilled were determined when it was published, and the status
/// names the first of them.
fn ended_outcome(
    resource: &OrderRequest,
    status: &OrderRequestStatus,
    intent: &EditIntent,
) -> Option<CommandOutcome> {
    match intent {
        EditIntent::Command(BuyerCommand::Finalise { .. })
            if status.request_phase() == Some(RequestPhase::Finalised) =>
        {
            Some(CommandOutcome::Done)
        }
        EditIntent::FollowUp(id) => {
            let Some(stalled) = stalled(status) else { return Some(CommandOutcome::Done) };
            let (first, _) = stalled.message.strip_prefix("follow-up ")?.split_once(": ")?;
            let is_before = position(resource, id.as_str())? < position(resource, first)?;
            is_before.then_some(CommandOutcome::Done)
        }
        EditIntent::Command(_) => unfulfilled_outcome(status, intent),
    }
}

/// Returns the outcome of an intent that the order's end does not show: refused where the end would
/// show it, had it been done.
fn unfulfilled_outcome(status: &OrderRequestStatus, intent: &EditIntent) -> Option<CommandOutcome> {
    let is_visible = match intent {
        EditIntent::Command(
            BuyerCommand::Cancel(_) | BuyerCommand::Close(_) | BuyerCommand::Extend(_),
        ) => true,
        // An award that can be undone may have been pending, and been dropped since.
        EditIntent::Command(BuyerCommand::Finalise { undo_within_ms, .. }) => {
            undo_within_ms.is_none() && status.request_phase() != Some(RequestPhase::Finalised)
        }
        EditIntent::Command(
            BuyerCommand::Pause(_) | BuyerCommand::Resume | BuyerCommand::UndoAward(_),
        )
        | EditIntent::FollowUp(_) => false,
    };
    is_visible.then(|| CommandOutcome::Refused(ended_refusal(status, "and this has no part in it")))
}

fn ended_refusal(status: &OrderRequestStatus, text: &str) -> Refusal {
    let phase = status.phase.as_deref().unwrap_or_default();
    let reason = end_reason(phase);
    Refusal::new(reason, format!("the order is {phase}, {text}"))
}

/// Returns the processor's refusal of exactly this intent, where the status shows one.
fn refused_outcome(status: &OrderRequestStatus, intent: &EditIntent) -> Option<CommandOutcome> {
    let stalled = stalled(status)?;
    let text = stalled.message.strip_prefix(&intent.name())?.strip_prefix(": ")?;
    let reason = Reason::parse(&stalled.reason).unwrap_or(Reason::Internal);
    Some(CommandOutcome::Refused(Refusal::new(reason, text)))
}

fn stalled(
    status: &OrderRequestStatus,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    status.condition(STALLED).filter(|held| held.status == "True")
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
