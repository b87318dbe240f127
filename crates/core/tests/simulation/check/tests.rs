//! Tests of the checker: a good history passes, and one false entry in it breaks the promise that
//! it is about.

use orderstream_core::command::Award;
use orderstream_core::event::ProposalUpdate;
use orderstream_core::plan::DesiredOrder;
use orderstream_core::{
    Command, CommandKind, Epoch, Event, EventKind, Phase, ProposalId, Reason, SellerId, Seq,
};

use super::{ALL, check};
use crate::simulation::history::{Entry, History};
use crate::simulation::world::play;

/// Finds a good run in which the false entry is possible, makes it, and expects this promise
/// broken.
fn caught(promise: &str, corrupt: impl Fn(&mut History) -> Option<()>) {
    let (_, predicate) = ALL.into_iter().find(|(name, _)| *name == promise).unwrap();
    let corrupted = (0..200).find_map(|seed| {
        let mut history = play(seed);
        assert_eq!(check(&history), Ok(()), "seed {seed}");
        corrupt(&mut history).map(|()| history)
    });
    let broken = predicate(&corrupted.expect("a life in which the lie can be told"));
    assert!(broken.is_err(), "{promise} was broken, and nobody saw it");
}

fn find(history: &History, predicate: impl Fn(&Entry) -> bool) -> Option<usize> {
    history.entries.iter().position(predicate)
}

fn ended_by(history: &mut History, phase: Phase) -> Option<&mut Vec<Event>> {
    let spelling = phase.as_str();
    let last = history.finals.iter_mut().find(|last| last.status.phase == spelling)?;
    Some(&mut last.list)
}

#[test]
fn p1_finds_lost_acknowledged_event() {
    caught("P1", |history| {
        let answered = history.entries.iter().find_map(|entry| match entry {
            Entry::Return { operation: 0, result: Ok(reply), .. } => Some(reply.seq),
            _ => None,
        })?;
        history.finals.iter_mut().for_each(|last| last.list.retain(|e| e.seq < answered));
        Some(())
    });
}

#[test]
fn p1_finds_changed_acknowledged_event() {
    caught("P1", |history| {
        let proposal = history.entries.iter().find_map(|entry| match entry {
            Entry::Return { result: Ok(reply), .. } => reply.proposal_id.clone(),
            _ => None,
        })?;
        let all = history.finals.iter_mut().flat_map(|last| &mut last.list);
        for event in all {
            if let EventKind::NewProposal(content) = &mut event.kind
                && content.proposal_id.as_ref() == Some(&proposal)
            {
                content.note = Some("another offer".to_owned());
            }
        }
        Some(())
    });
}

/// A gap, a repetition, and an event that the list does not have.
#[test]
fn p2_finds_broken_sequence() {
    let third = |entry: &Entry| matches!(entry, Entry::Deliver { event, .. } if event.seq.0 == 3);
    caught("P2", |history| {
        // Not the last one: a list that merely ends early has no hole.
        let at = find(history, |e| matches!(e, Entry::Deliver { event, .. } if event.seq.0 == 1))?;
        history.entries.remove(at);
        Some(())
    });
    caught("P2", |history| {
        let at = find(history, third)?;
        history.entries.insert(at, history.entries[at].clone());
        Some(())
    });
    caught("P2", |history| {
        let at = find(history, third)?;
        let Entry::Deliver { event, .. } = &mut history.entries[at] else { return None };
        event.kind = EventKind::OrderClosed { reason: Some("invented".to_owned()) };
        Some(())
    });
}

/// The fault is on the tracker's side, or on the stream's.
#[test]
fn p2b_finds_wrong_resumption() {
    caught("P2b", |history| {
        let at = find(history, |e| matches!(e, Entry::Resume { after, .. } if after.0 > 2))?;
        let Entry::Resume { after, .. } = &mut history.entries[at] else { return None };
        *after = Seq(after.0 - 1);
        Some(())
    });
    caught("P2b", |history| {
        let at = find(history, |e| matches!(e, Entry::Sent { seq, .. } if seq.0 == 2))?;
        let Entry::Sent { seq, .. } = &mut history.entries[at] else { return None };
        *seq = Seq(3);
        Some(())
    });
}

#[test]
fn p3_finds_second_effect_and_reply() {
    caught("P3", |history| {
        let list = &mut history.finals[0].list;
        let mut twin = list.iter().find(|event| event.cause.is_some())?.clone();
        twin.seq = list.last()?.seq.next();
        list.push(twin);
        Some(())
    });
    caught("P3", |history| {
        let with_effect = |entry: &Entry| matches!(entry, Entry::Return { result: Ok(a), .. } if a.proposal_id.is_some());
        let at = find(history, with_effect)?;
        let mut other = history.entries[at].clone();
        let Entry::Return { result: Ok(reply), .. } = &mut other else { return None };
        reply.seq = reply.seq.next();
        history.entries.push(other);
        Some(())
    });
}

#[test]
fn p3b_finds_invented_event() {
    caught("P3b", |history| {
        let event = history.finals[0].list.iter_mut().find(|event| event.cause.is_some())?;
        event.cause = None;
        Some(())
    });
    caught("P3b", |history| {
        history.entries.retain(|entry| !matches!(entry, Entry::Call { .. }));
        history.finals.iter().any(|last| last.list.len() > 3).then_some(())
    });
}

/// Two streams at once, and two owners of one epoch.
#[test]
fn p4_finds_second_stream_or_owner() {
    caught("P4", |history| {
        let mut opened = history.entries.iter_mut().filter_map(|entry| match entry {
            Entry::StreamOpen { owner, epoch, .. } => Some((owner, epoch)),
            _ => None,
        });
        let (first, (owner, epoch)) = (opened.next()?, opened.last()?);
        *epoch = *first.1;
        owner.1 += 1;
        Some(())
    });
    caught("P4", |history| {
        let closes = find(history, |entry| matches!(entry, Entry::StreamClose { .. }))?;
        let Entry::StreamClose { order: of, .. } = history.entries.remove(closes) else {
            return None;
        };
        history.entries[closes..]
            .iter()
            .any(|e| matches!(e, Entry::StreamOpen { order, .. } if *order == of))
            .then_some(())
    });
}

/// A stream under a stale epoch, and an event.
#[test]
fn p5_finds_stale_epoch() {
    let granted = |e: &Entry| matches!(e, Entry::StreamOpen { epoch, .. } if epoch.0 > 1);
    caught("P5", |history| {
        let at = find(history, granted)?;
        let mut stale = history.entries[at].clone();
        let Entry::StreamOpen { epoch, .. } = &mut stale else { return None };
        *epoch = Epoch(1);
        history.entries.insert(at + 1, stale);
        Some(())
    });
    caught("P5", |history| {
        let at = find(history, granted)?;
        let Entry::StreamOpen { order, .. } = history.entries[at] else { return None };
        let stale = Entry::Append { order, seq: Seq(9), epoch: Some(Epoch(1)), clock: 0 };
        history.entries.insert(at + 1, stale);
        Some(())
    });
}

/// Changes the last status of a run.
fn last_status(
    history: &mut History,
    change: impl Fn(&mut crate::simulation::history::Status),
) -> Option<()> {
    let at = history.entries.iter().rposition(|entry| matches!(entry, Entry::Status { .. }))?;
    let Entry::Status { status, .. } = &mut history.entries[at] else { return None };
    change(status);
    Some(())
}

/// A status that is ahead of the list, goes back, or invents an end.
#[test]
fn p6_finds_untrue_status() {
    caught("P6", |history| last_status(history, |status| status.last_seq = Seq(10_000)));
    caught("P6", |history| last_status(history, |status| status.observed = 0));
    caught("P6", |history| last_status(history, |status| status.epoch = Epoch(0)));
    caught("P6", |history| {
        let live = history.finals.iter().all(|last| last.status.phase == "Open");
        live.then(|| last_status(history, |status| status.phase = "Closed"))?
    });
}

/// A status that lags, and an unmet request of the resource.
#[test]
fn p8_finds_missing_convergence() {
    caught("P8", |history| {
        let status = &mut history.finals.iter_mut().find(|last| !last.removed)?.status;
        status.last_seq = Seq(status.last_seq.0 - 1);
        Some(())
    });
    let edits: [fn(&mut DesiredOrder); 3] =
        [|d| d.cancel = true, |d| d.suspend = !d.suspend, |d| d.generation += 1];
    for edit in edits {
        caught("P8", |history| {
            let live = |last: &&mut crate::simulation::history::FinalState| {
                last.status.phase == "Open" && last.desired.award.is_none()
            };
            edit(&mut history.finals.iter_mut().find(live)?.desired);
            Some(())
        });
    }
}

/// An expiry that is early, repeated, or missing.
#[test]
fn p11_finds_wrong_expiry() {
    caught("P11", |history| {
        ended_by(history, Phase::Expired)?;
        for entry in &mut history.entries {
            if let Entry::Append { clock, .. } = entry {
                *clock -= 10_000_000;
            }
        }
        Some(())
    });
    caught("P11", |history| {
        let list = ended_by(history, Phase::Expired)?;
        let mut again = list.last()?.clone();
        again.seq = again.seq.next();
        list.push(again);
        Some(())
    });
    caught("P11", |history| {
        let list = ended_by(history, Phase::Expired)?;
        list.pop();
        history.owner_clock += 10_000;
        Some(())
    });
}

#[test]
fn p3_finds_conflict_without_second_body() {
    caught("P3", |history| {
        let at = find(history, |entry| matches!(entry, Entry::Return { result: Ok(_), .. }))?;
        let Entry::Return { result, .. } = &mut history.entries[at] else { return None };
        *result = Err(Reason::IdempotencyConflict);
        Some(())
    });
}

/// Returns an order's number, and the index of an event in its list.
fn event(history: &History, predicate: impl Fn(&EventKind) -> bool) -> Option<(usize, usize)> {
    let position = |list: &[Event]| list.iter().position(|event| predicate(&event.kind));
    let lists = history.finals.iter().enumerate();
    lists.filter_map(|(number, last)| Some((number, position(&last.list)?))).next()
}

fn locks(kind: &EventKind) -> bool {
    matches!(kind, EventKind::EditLock { until: Some(_), .. })
}

/// Two sellers edit at once; a seller is refused for a lock that nobody holds.
#[test]
fn p12_finds_broken_lock() {
    caught("P12", |history| {
        let (number, at) = event(history, locks)?;
        let list = &mut history.finals[number].list;
        let mut other = list[at].clone();
        let EventKind::EditLock { holder, .. } = &mut other.kind else { return None };
        *holder = SellerId::new("somebody-else").unwrap();
        list.truncate(at + 1);
        list.push(Event { seq: other.seq.next(), ..other });
        Some(())
    });
    caught("P12", |history| {
        let refused = |e: &Entry| matches!(e, Entry::Decided { result: Err(Reason::Locked), .. });
        let at = find(history, refused)?;
        let Entry::Decided { clock, .. } = &mut history.entries[at] else { return None };
        *clock += 3_600_000 * 24;
        Some(())
    });
}

#[test]
fn p12_finds_second_proposal_of_a_seller() {
    caught("P12", |history| {
        let (number, at) = event(history, |kind| matches!(kind, EventKind::NewProposal(_)))?;
        let list = &mut history.finals[number].list;
        let mut other = list[at].clone();
        let EventKind::NewProposal(content) = &mut other.kind else { return None };
        content.proposal_id = ProposalId::new("another").ok();
        list.truncate(at + 1);
        list.push(Event { seq: other.seq.next(), ..other });
        Some(())
    });
}

/// An award that succeeded without being in force is found too.
#[test]
fn p12_finds_second_award() {
    let awarded = |kind: &EventKind| matches!(kind, EventKind::OrderFinalised { .. });
    let none =
        |award: &mut Option<Award>| *award = award.take().xor(Some(Award::Lines(Vec::new())));
    caught("P12", |history| {
        let pending = |kind: &EventKind| matches!(kind, EventKind::AwardPending { .. });
        let (number, at) = event(history, pending)?;
        let mut list = history.finals[number].list.iter_mut().skip(at);
        let last = list.find(|event| awarded(&event.kind))?;
        let EventKind::OrderFinalised { award, .. } = &mut last.kind else { return None };
        none(award);
        Some(())
    });
    caught("P12", |history| {
        let is_award = |command: &Command| matches!(command.kind, CommandKind::Finalise { .. });
        let won: Vec<usize> = history
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Decided { operation, result: Ok(_), .. } => Some(*operation),
                _ => None,
            })
            .collect();
        let call = |entry: &Entry| match entry {
            Entry::Call { operation, command, .. } => is_award(command) && won.contains(operation),
            _ => false,
        };
        let at = find(history, call)?;
        let Entry::Call { command, .. } = &mut history.entries[at] else { return None };
        let CommandKind::Finalise { award, .. } = &mut command.kind else { return None };
        none(award);
        Some(())
    });
}

#[test]
fn p12_finds_winner_leaving_pending_award() {
    caught("P12", |history| {
        let pending = |kind: &EventKind| matches!(kind, EventKind::AwardPending { .. });
        let (number, at) = event(history, pending)?;
        let list = &mut history.finals[number].list;
        let EventKind::AwardPending { award: Some(Award::Whole(id)), .. } = &list[at].kind else {
            return None;
        };
        let update = ProposalUpdate::Withdrawn { proposal_id: id.clone(), reason: None };
        let kind = EventKind::ProposalUpdate(update);
        let left = Event { seq: list[at].seq.next(), kind, ..list[at].clone() };
        list.truncate(at + 1);
        list.push(left);
        Some(())
    });
}

#[test]
fn p14_finds_seller_name_under_seal() {
    caught("P14", |history| {
        let hidden = history.entries.iter_mut().find_map(|entry| match entry {
            Entry::Deliver { event, .. } => match &mut event.kind {
                EventKind::EditLock { holder, .. } if holder.as_str() == "sealed" => Some(holder),
                _ => None,
            },
            _ => None,
        })?;
        *hidden = SellerId::new("s1").unwrap();
        Some(())
    });
}
