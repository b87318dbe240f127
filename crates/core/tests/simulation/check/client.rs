//! What clients are promised: P1 durability, P3 exactly once, P3b no invention.

use std::collections::BTreeMap;

use orderstream_core::command::{Act, Proposed};
use orderstream_core::event::ProposalUpdate;
use orderstream_core::{Answer, Command, Event, EventKind, IdempotencyKey};

use crate::simulation::history::{Entry, History};

/// Every ok answer: the order, what was asked, and what was said.
fn answers(history: &History) -> impl Iterator<Item = (usize, &Command, &Answer)> {
    let mut calls = BTreeMap::new();
    history.entries.iter().filter_map(move |entry| match entry {
        Entry::Call { op, order, command, .. } => {
            calls.insert(*op, (*order, command));
            None
        }
        Entry::Return { op, result: Ok(answer), .. } => {
            calls.get(op).map(|(order, command)| (*order, *command, answer))
        }
        _ => None,
    })
}

fn same_but_for_id(asked: &Proposed, stored: &Proposed) -> bool {
    let id_fits = asked.proposal_id.is_none() || asked.proposal_id == stored.proposal_id;
    let asked = Proposed { proposal_id: stored.proposal_id.clone(), ..asked.clone() };
    id_fits && asked == *stored
}

/// Whether this event is what the act asks for.
fn fulfils(kind: &EventKind, act: &Act) -> bool {
    use ProposalUpdate::{Amended, Answered, Asked, Declined, Withdrawn};
    match (act, kind) {
        (Act::Propose(asked), EventKind::NewProposal(stored)) => same_but_for_id(asked, stored),
        (Act::Amend(asked), EventKind::ProposalUpdate(Amended { proposal, .. }))
        | (Act::Amend(asked), EventKind::NewProposal(proposal)) => asked == proposal,
        (
            Act::Withdraw { proposal_id, .. },
            EventKind::ProposalUpdate(Withdrawn { proposal_id: stored, .. }),
        ) => proposal_id == stored,
        (
            Act::Decline { seller, .. },
            EventKind::ProposalUpdate(Declined { seller: stored, .. }),
        ) => seller == stored,
        (
            Act::Answer { message, .. },
            EventKind::ProposalUpdate(Answered { message: stored, .. }),
        ) => message == stored,
        (Act::FollowUp(asked), EventKind::FollowUpAdded(stored)) => asked == stored,
        (
            Act::Lock { proposal_id, holder, .. },
            EventKind::EditLock { proposal_id: of, holder: by, until: Some(_) },
        )
        | (
            Act::Unlock { proposal_id, holder },
            EventKind::EditLock { proposal_id: of, holder: by, until: None },
        ) => (proposal_id, holder) == (of, by),
        (Act::Finalise { award, .. }, EventKind::OrderFinalised { award: stored, .. }) => {
            award == stored
        }
        (Act::Finalise { award, .. }, EventKind::AwardPending { award: stored, .. }) => {
            award == stored
        }
        (Act::UndoAward { .. }, EventKind::AwardUndone { .. }) => true,
        (
            Act::Ask { question_id, .. },
            EventKind::ProposalUpdate(Asked { question_id: stored, .. }),
        ) => question_id == stored,
        (Act::Pause { .. }, EventKind::OrderPaused { expired: false, .. })
        | (Act::Resume, EventKind::OrderResumed)
        | (Act::Extend { .. }, EventKind::OrderExtended { .. })
        | (Act::Close { .. }, EventKind::OrderClosed { .. })
        | (Act::Cancel { .. }, EventKind::OrderCancelled { .. }) => true,
        _ => false,
    }
}

/// Acts that are done when there is nothing to do, with no event that shows it.
fn may_leave_no_trace(act: &Act) -> bool {
    matches!(act, Act::Unlock { .. } | Act::Resume | Act::Extend { .. } | Act::Tick | Act::Open(_))
}

fn caused_by<'a>(list: &'a [Event], key: &IdempotencyKey) -> impl Iterator<Item = &'a Event> {
    list.iter().filter(move |event| event.cause.as_ref().is_some_and(|cause| cause.key == *key))
}

/// P1: what was acknowledged is in the list, as it was asked.
pub(crate) fn durable(history: &History) -> Result<(), String> {
    for (order, command, answer) in answers(history) {
        let list = &history.finals[order].list;
        let Some(through) = usize::try_from(answer.seq.0).ok().and_then(|n| list.get(..n)) else {
            return Err(format!("order {order}: {command:?} was answered {answer:?}, lost"));
        };
        let own = command.key.as_ref().and_then(|key| caused_by(list, key).next());
        let stands = match own {
            // What answered before its own event said that there was nothing to do.
            Some(event) if event.seq <= answer.seq => {
                event.seq == answer.seq && fulfils(&event.kind, &command.act)
            }
            Some(_) | None => {
                may_leave_no_trace(&command.act)
                    || through.iter().any(|event| fulfils(&event.kind, &command.act))
            }
        };
        if !stands {
            return Err(format!("order {order}: {command:?} was answered {answer:?}, no event"));
        }
    }
    Ok(())
}

/// P3: a key has at most one event, and all answers that tell of it are equal. An act that found
/// nothing to do leaves no event; its answer tells of the list's end, which moves.
pub(crate) fn once(history: &History) -> Result<(), String> {
    let mut effects = BTreeMap::new();
    for (order, last) in history.finals.iter().enumerate() {
        for event in &last.list {
            let Some(cause) = &event.cause else { continue };
            if effects.insert((order, &cause.key), event.seq).is_some() {
                return Err(format!("order {order}: key {} has two effects", cause.key));
            }
        }
    }
    let mut first: BTreeMap<_, &Answer> = BTreeMap::new();
    for (order, command, answer) in answers(history) {
        let Some(key) = &command.key else { continue };
        if effects.get(&(order, key)).is_none_or(|effect| answer.seq < *effect) {
            continue;
        }
        let said = first.entry((order, key)).or_insert(answer);
        if *said != answer {
            return Err(format!("order {order}: key {key} was answered {said:?} and {answer:?}"));
        }
    }
    Ok(())
}

/// P3b: every event was asked for, or is the owner's own.
pub(crate) fn asked_for(history: &History) -> Result<(), String> {
    let mut asked: BTreeMap<_, Vec<&Act>> = BTreeMap::new();
    for entry in &history.entries {
        if let Entry::Call { order, command: Command { key: Some(key), act, .. }, .. } = entry {
            asked.entry((*order, key)).or_default().push(act);
        }
    }
    for (order, last) in history.finals.iter().enumerate() {
        for event in &last.list {
            let known = match &event.cause {
                Some(cause) => asked
                    .get(&(order, &cause.key))
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
