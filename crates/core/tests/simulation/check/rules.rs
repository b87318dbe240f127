//! Promises about the rules of an order. P12: a lock keeps others out, and only a lock does; one
//! award at a time is in force, and no other one is reported as won. P14: no event of a sealed
//! order names its sellers.

use std::collections::BTreeMap;

use orderstream_core::command::{Award, CommandKind};
use orderstream_core::event::{NotifyResult, ProposalUpdate};
use orderstream_core::order::ProposalPhase;
use orderstream_core::{
    Command, Event, EventKind, Order, Phase, ProposalId, Reason, Reply, SellerId, Seq,
};

use crate::simulation::history::{Entry, History};

/// The owner's decision on a request, and its own clock then.
struct OwnerDecision<'a> {
    command: &'a Command,
    clock: i64,
    result: &'a Result<Reply, Reason>,
}

/// A history in the form that is needed here: the clock of each event (the last one, where a crash
/// undid others), and the decisions after each.
#[derive(Default)]
struct DecisionLog<'a> {
    clocks: BTreeMap<(usize, Seq), i64>,
    decided: BTreeMap<(usize, Seq), Vec<OwnerDecision<'a>>>,
}

impl<'a> DecisionLog<'a> {
    fn of(history: &'a History) -> Self {
        let (mut log, mut calls) = (Self::default(), BTreeMap::new());
        for entry in &history.entries {
            match entry {
                Entry::Call { operation, command, .. } => drop(calls.insert(*operation, command)),
                Entry::Append { order, seq, clock, .. } => {
                    log.clocks.insert((*order, *seq), *clock);
                }
                Entry::Decided { operation, order, before, clock, result } => {
                    let Some(command) = calls.get(operation).copied() else { continue };
                    let decided = OwnerDecision { command, clock: *clock, result };
                    log.decided.entry((*order, *before)).or_default().push(decided);
                }
                _ => {}
            }
        }
        log
    }
}

/// P12: every event is allowed at its position, and so is every reply.
pub(crate) fn lawful(history: &History) -> Result<(), String> {
    let log = DecisionLog::of(history);
    for (number, last) in history.finals.iter().enumerate() {
        let wrong = |what: String| format!("order {number}: {what}");
        let mut awards: BTreeMap<Seq, Option<Award>> = BTreeMap::new();
        let mut folded: Option<Order> = None;
        for event in &last.list {
            if let Some(before) = &folded {
                let clock = log.clocks.get(&(number, event.seq)).copied().unwrap_or(event.at.0);
                must_be_lawful(before, event, clock).map_err(wrong)?;
            }
            Order::fold(&mut folded, event).map_err(|error| error.to_string())?;
            let Some(order) = &folded else { continue };
            if let Some(award) = in_force(order) {
                awards.insert(event.seq, award);
            }
            for decided in log.decided.get(&(number, event.seq)).into_iter().flatten() {
                must_be_locked(order, decided).map_err(wrong)?;
            }
        }
        for decided in log.decided.iter().filter(|((order, _), _)| *order == number) {
            for decided in decided.1 {
                must_have_won(&awards, decided).map_err(wrong)?;
            }
        }
    }
    Ok(())
}

/// Returns the award that is in effect, or pending.
fn in_force(order: &Order) -> Option<Option<Award>> {
    let pending = order.pending_award.as_ref().map(|pending| pending.award.clone());
    pending.or_else(|| (order.phase == Phase::Finalised).then(|| order.award.clone()))
}

/// Checks that an award succeeded only where it was the one in force at that time.
fn must_have_won(
    awards: &BTreeMap<Seq, Option<Award>>,
    decided: &OwnerDecision<'_>,
) -> Result<(), String> {
    let (CommandKind::Finalise { award, .. }, Ok(reply)) = (&decided.command.kind, decided.result)
    else {
        return Ok(());
    };
    match awards.get(&reply.seq) {
        Some(winner) if winner == award => Ok(()),
        winner => Err(format!("{award:?} was answered {reply:?} while {winner:?} was in force")),
    }
}

/// Checks that a command was refused for a lock only while another seller held one.
fn must_be_locked(order: &Order, decided: &OwnerDecision<'_>) -> Result<(), String> {
    if *decided.result != Err(Reason::Locked) {
        return Ok(());
    }
    let (id, by) = match &decided.command.kind {
        CommandKind::Amend(proposed) => (proposed.proposal_id.as_ref(), Some(&proposed.seller)),
        CommandKind::Lock { proposal_id, holder, .. }
        | CommandKind::Unlock { proposal_id, holder } => (Some(proposal_id), Some(holder)),
        CommandKind::Withdraw { proposal_id, .. } => (Some(proposal_id), None),
        kind => return Err(format!("{kind:?} needs no lock and was refused for one")),
    };
    let holder = id.and_then(|id| other_holder(order, id, by, decided.clock));
    holder.map(|_| ()).ok_or_else(|| {
        format!("{:?} was refused at {}, and nobody edits", decided.command.kind, decided.clock)
    })
}

/// Returns the other seller that edits a proposal at this time: until the lease ends, to the
/// millisecond. Without `by`, the proposal's own seller asks.
fn other_holder<'a>(
    order: &'a Order,
    id: &ProposalId,
    by: Option<&SellerId>,
    clock: i64,
) -> Option<&'a SellerId> {
    let proposal = order.proposals.get(id)?;
    let by = by.unwrap_or(&proposal.content.seller);
    let (holder, until) = proposal.lock.as_ref()?;
    (until.0 > clock && holder != by).then_some(holder)
}

fn must_be_lawful(before: &Order, event: &Event, clock: i64) -> Result<(), String> {
    let is_decided = before.pending_award.is_some() || before.decide_until.is_some();
    let takes_proposals = before.phase == Phase::Open && !is_decided;
    let is_free = |id: &ProposalId, by| other_holder(before, id, by, clock).is_none();
    let is_lawful = match &event.kind {
        EventKind::NewProposal(_) => takes_proposals,
        EventKind::ProposalUpdate(ProposalUpdate::Amended { proposal, .. }) => {
            let id = proposal.proposal_id.as_ref();
            takes_proposals && id.is_some_and(|id| is_free(id, Some(&proposal.seller)))
        }
        EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, .. }) => {
            !is_decided && is_free(proposal_id, None)
        }
        EventKind::EditLock { proposal_id, holder, until } => {
            (takes_proposals || until.is_none()) && is_free(proposal_id, Some(holder))
        }
        EventKind::AwardPending { award, .. } => {
            in_force(before).is_none_or(|held| held == *award) && can_win(before, award.as_ref())
        }
        EventKind::OrderFinalised { award, .. } => {
            in_force(before).is_none_or(|held| held == *award) && can_win(before, award.as_ref())
        }
        EventKind::AwardUndone { .. } => before.pending_award.is_some(),
        _ => true,
    };
    is_lawful.then_some(()).ok_or_else(|| format!("{event:?} at {clock} is against the rules"))
}

fn can_win(order: &Order, award: Option<&Award>) -> bool {
    let is_open = |id| {
        order.proposals.get(id).is_some_and(|held: &orderstream_core::order::Proposal| {
            held.phase == ProposalPhase::Open
        })
    };
    match award {
        None => true,
        Some(Award::Whole(id)) => is_open(id),
        Some(Award::Lines(lines)) => lines.iter().all(|(_, id)| is_open(id)),
    }
}

/// P14: until the opening of a sealed order is on disk, no tracker receives a seller's name or a
/// price.
pub(crate) fn sealed(history: &History) -> Result<(), String> {
    let is_sealed = |event: &Event| match &event.kind {
        EventKind::OrderOpened(opened) => opened.spec.sealed,
        _ => false,
    };
    let opened_at = |list: &[Event]| {
        let opening = |event: &&Event| matches!(event.kind, EventKind::ProposalsOpened { .. });
        list.iter().find(opening).map_or(Seq(u64::MAX), |event| event.seq)
    };
    // The event from which nothing is hidden, for the orders that are sealed.
    let mut closed: BTreeMap<usize, Seq> = BTreeMap::new();
    for (number, last) in history.finals.iter().enumerate() {
        if last.list.first().is_some_and(is_sealed) {
            closed.insert(number, opened_at(&last.list));
        }
    }
    for entry in &history.entries {
        match entry {
            // A crash, too, leaves a part on disk.
            Entry::Durable { order, through }
            | Entry::Crash { order, durable_through: through, .. }
                if closed.get(order).is_some_and(|opened_at| opened_at <= through) =>
            {
                closed.remove(order);
            }
            Entry::Deliver { order, event, .. } if closed.contains_key(order) => {
                if let Some(name) =
                    acting_seller(&event.kind).filter(|name| name.as_str() != "sealed")
                {
                    return Err(format!("order {order} is sealed, and {name} is told: {event:?}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the seller that an event names as having done something.
fn acting_seller(kind: &EventKind) -> Option<&SellerId> {
    use ProposalUpdate::{Amended, Answered, Asked, Declined};
    match kind {
        EventKind::NewProposal(proposal) | EventKind::ProposalUpdate(Amended { proposal, .. }) => {
            Some(&proposal.seller)
        }
        EventKind::ProposalUpdate(
            Declined { seller, .. } | Answered { seller, .. } | Asked { seller, .. },
        )
        | EventKind::SellerNotified { seller, result: NotifyResult::Seen, .. }
        | EventKind::EditLock { holder: seller, .. } => Some(seller),
        _ => None,
    }
}
