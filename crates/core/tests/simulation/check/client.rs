//! The promises to clients: P1 durability, P3 exactly once, P3b no invention.

use std::collections::{BTreeMap, BTreeSet};

use orderstream_core::command::{Actor, CommandKind, ProposalContent};
use orderstream_core::event::{Cause, NotifyResult, ProposalUpdate};
use orderstream_core::spec::Verdict;
use orderstream_core::{Command, Event, EventKind, IdempotencyKey, Reason, Reply, SellerId};

use crate::simulation::history::{Entry, History};

/// Returns every reply of success: the order, the command, and the reply.
fn replies(history: &History) -> impl Iterator<Item = (usize, &Command, &Reply)> {
    let mut calls = BTreeMap::new();
    history.entries.iter().filter_map(move |entry| match entry {
        Entry::Call { operation, order, command, .. } => {
            calls.insert(*operation, (*order, command));
            None
        }
        Entry::Return { operation, result: Ok(reply), .. } => {
            calls.get(operation).map(|(order, command)| (*order, *command, reply))
        }
        _ => None,
    })
}

fn same_but_for_id(requested: &ProposalContent, stored: &ProposalContent) -> bool {
    let id_fits = requested.proposal_id.is_none() || requested.proposal_id == stored.proposal_id;
    let requested =
        ProposalContent { proposal_id: stored.proposal_id.clone(), ..requested.clone() };
    id_fits && requested == *stored
}

/// An amendment without a label keeps that of its proposal.
fn same_but_for_label(requested: &ProposalContent, stored: &ProposalContent) -> bool {
    let alternative = requested.alternative.clone().or_else(|| stored.alternative.clone());
    ProposalContent { alternative, ..requested.clone() } == *stored
}

/// Reports whether this event is the effect that the command requests.
fn fulfils(kind: &EventKind, command: &CommandKind) -> bool {
    use ProposalUpdate::{Amended, Answered, Asked, Declined, Withdrawn};
    match (command, kind) {
        (CommandKind::Propose(asked), EventKind::NewProposal(stored)) => {
            same_but_for_id(asked, stored)
        }
        (CommandKind::Amend(asked), EventKind::ProposalUpdate(Amended { proposal, .. }))
        | (CommandKind::Amend(asked), EventKind::NewProposal(proposal)) => {
            same_but_for_label(asked, proposal)
        }
        (
            CommandKind::Withdraw { proposal_id, .. },
            EventKind::ProposalUpdate(Withdrawn { proposal_id: stored, .. }),
        ) => proposal_id == stored,
        (
            CommandKind::Decline { seller, .. },
            EventKind::ProposalUpdate(Declined { seller: stored, .. }),
        ) => seller == stored,
        (
            CommandKind::Answer { message, .. },
            EventKind::ProposalUpdate(Answered { message: stored, .. }),
        ) => message == stored,
        (CommandKind::FollowUp(asked), EventKind::FollowUpAdded(stored)) => asked == stored,
        (
            CommandKind::Lock { proposal_id, holder, .. },
            EventKind::EditLock { proposal_id: of, holder: by, until: Some(_) },
        )
        | (
            CommandKind::Unlock { proposal_id, holder },
            EventKind::EditLock { proposal_id: of, holder: by, until: None },
        ) => (proposal_id, holder) == (of, by),
        (CommandKind::Finalise { award, .. }, EventKind::OrderFinalised { award: stored, .. }) => {
            award == stored
        }
        (CommandKind::Finalise { award, .. }, EventKind::AwardPending { award: stored, .. }) => {
            award == stored
        }
        (CommandKind::UndoAward { .. }, EventKind::AwardUndone { .. }) => true,
        (
            CommandKind::Ask { question_id, .. },
            EventKind::ProposalUpdate(Asked { question_id: stored, .. }),
        ) => question_id.as_ref().is_none_or(|id| id == stored),
        (CommandKind::Pause { .. }, EventKind::OrderPaused { expired: false, .. })
        | (CommandKind::Resume, EventKind::OrderResumed)
        | (CommandKind::Extend { .. }, EventKind::OrderExtended { .. })
        | (CommandKind::Close { .. }, EventKind::OrderClosed { .. })
        | (CommandKind::Cancel { .. }, EventKind::OrderCancelled { .. }) => true,
        (CommandKind::See { seller: by }, kind) => has_seen(by, kind),
        _ => false,
    }
}

/// Reports whether the event shows that this seller saw the order, or that nobody needs to see it
/// any more.
fn has_seen(by: &SellerId, kind: &EventKind) -> bool {
    use ProposalUpdate::Declined;
    match kind {
        EventKind::NewProposal(ProposalContent { seller, .. })
        | EventKind::ProposalUpdate(Declined { seller, .. })
        | EventKind::SellerNotified { seller, result: NotifyResult::Seen, .. } => seller == by,
        // The end is the last event, even where a seller sees the order only after it.
        EventKind::OrderPaused { expired, .. } => *expired,
        EventKind::OrderFinalised { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => true,
        _ => false,
    }
}

/// Reports whether a command may succeed with no event that shows it, where there is nothing to do.
fn may_leave_no_trace(command: &CommandKind) -> bool {
    matches!(
        command,
        CommandKind::Unlock { .. }
            | CommandKind::Resume
            | CommandKind::Extend { .. }
            | CommandKind::Tick
            | CommandKind::Open(_)
    )
}

/// Reports whether a seller sees an order to which it is not invited: there is nothing to record.
fn is_of_uninvited(command: &CommandKind, list: &[Event]) -> bool {
    let CommandKind::See { seller } = command else { return false };
    !list.iter().any(|event| match &event.kind {
        EventKind::SellersSelected(choices) => choices
            .iter()
            .any(|choice| choice.seller == *seller && choice.verdict == Verdict::Chosen),
        _ => false,
    })
}

/// A key, and the actor that uses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ActorKey {
    actor: Actor,
    key: IdempotencyKey,
}

/// Returns the actor and the key of a command; `None` where it lacks one of them.
fn key_of(command: &Command) -> Option<ActorKey> {
    let actor = command.actor.clone().or_else(|| command.kind.actor())?;
    Some(ActorKey { actor, key: command.key.clone()? })
}

fn is_of(cause: &Cause, used: &ActorKey) -> bool {
    cause.actor.as_ref() == Some(&used.actor) && cause.key == used.key
}

fn caused_by<'a>(list: &'a [Event], key: &ActorKey) -> impl Iterator<Item = &'a Event> {
    list.iter().filter(move |event| event.cause.as_ref().is_some_and(|cause| is_of(cause, key)))
}

/// P1: an acknowledged command is in the list, as it was sent.
pub(crate) fn durable(history: &History) -> Result<(), String> {
    for (order, command, reply) in replies(history) {
        let list = &history.finals[order].list;
        let Some(through) = usize::try_from(reply.seq.0).ok().and_then(|n| list.get(..n)) else {
            return Err(format!("order {order}: {command:?} was answered {reply:?}, lost"));
        };
        let own = key_of(command).and_then(|key| caused_by(list, &key).next());
        let stands = match own {
            Some(event) => event.seq == reply.seq && fulfils(&event.kind, &command.kind),
            None => {
                may_leave_no_trace(&command.kind)
                    || is_of_uninvited(&command.kind, through)
                    || through.iter().any(|event| fulfils(&event.kind, &command.kind))
            }
        };
        if !stands {
            return Err(format!("order {order}: {command:?} was answered {reply:?}, no event"));
        }
    }
    Ok(())
}

/// P3: a key of one actor has at most one event, and all its replies of success are equal, also
/// those to a command that found nothing to do. It is free for every actor that did not use it for
/// something else.
pub(crate) fn once(history: &History) -> Result<(), String> {
    let mut effects = BTreeSet::new();
    for (order, last) in history.finals.iter().enumerate() {
        for cause in last.list.iter().filter_map(|event| event.cause.as_ref()) {
            if !effects.insert((order, &cause.actor, &cause.key)) {
                return Err(format!("order {order}: {cause:?} has two effects"));
            }
        }
    }
    let mut first: BTreeMap<_, &Reply> = BTreeMap::new();
    for (order, command, reply) in replies(history) {
        let Some(key) = key_of(command) else { continue };
        let first_reply = *first.entry((order, key)).or_insert(reply);
        if first_reply != reply {
            return Err(format!("order {order}: {command:?} got {first_reply:?} and {reply:?}"));
        }
    }
    own_keys(history)
}

/// A conflict of keys is reported only to the actor that used the key with two bodies.
fn own_keys(history: &History) -> Result<(), String> {
    let mut calls: BTreeMap<usize, Option<(usize, ActorKey)>> = BTreeMap::new();
    let mut bodies: BTreeMap<(usize, ActorKey), Vec<&CommandKind>> = BTreeMap::new();
    for entry in &history.entries {
        match entry {
            Entry::Call { operation, order, command, .. } => {
                let whose = key_of(command).map(|key| (*order, key));
                if let Some(whose) = whose.clone() {
                    bodies.entry(whose).or_default().push(&command.kind);
                }
                calls.insert(*operation, whose);
            }
            Entry::Return { operation, result: Err(Reason::IdempotencyConflict), .. } => {
                let used =
                    calls.get(operation).cloned().flatten().and_then(|whose| bodies.get(&whose));
                if used.is_none_or(|acts| acts.iter().all(|act| *act == acts[0])) {
                    return Err(format!(
                        "{:?} was told of somebody else's key",
                        calls.get(operation)
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// P3b: every event comes from a command, or is the owner's own.
pub(crate) fn asked_for(history: &History) -> Result<(), String> {
    let mut requested: BTreeMap<_, Vec<&CommandKind>> = BTreeMap::new();
    for entry in &history.entries {
        if let Entry::Call { order, command, .. } = entry
            && let Some(key) = key_of(command)
        {
            requested.entry((*order, key)).or_default().push(&command.kind);
        }
    }
    for (order, last) in history.finals.iter().enumerate() {
        for event in &last.list {
            let known = match &event.cause {
                Some(cause) => cause
                    .actor
                    .clone()
                    .map(|actor| ActorKey { actor, key: cause.key.clone() })
                    .and_then(|used| requested.get(&(order, used)))
                    .is_some_and(|acts| acts.iter().any(|act| fulfils(&event.kind, act))),
                None => match &event.kind {
                    EventKind::OrderOpened(_) => event.seq.0 == 1,
                    EventKind::SellersSelected(_) => event.seq.0 == 2,
                    EventKind::OrderPaused { expired, .. } => *expired,
                    // A sealed order's opening, and an award that counts from now on.
                    EventKind::ProposalsOpened { .. }
                    | EventKind::ProposalClosed { .. }
                    | EventKind::OrderFinalised { .. } => true,
                    _ => false,
                },
            };
            if !known {
                return Err(format!("order {order}: nobody asked for {event:?}"));
            }
        }
    }
    Ok(())
}
