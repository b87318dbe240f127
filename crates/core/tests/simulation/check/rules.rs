//! Promises about the rules of an order. P12: a lock keeps others out, and only a lock does; one
//! award at a time is in force, and no other one is reported as won; from its deadline on an order
//! takes nothing new; a seller has one proposal, and one of each label, and takes part where it is
//! invited. P14: no event of a sealed order names its sellers.

use std::collections::BTreeMap;

use orderstream_core::command::{Actor, Award, CommandKind, ProposalContent};
use orderstream_core::event::{NotifyResult, ProposalUpdate};
use orderstream_core::order::{Proposal, ProposalPhase};
use orderstream_core::{
    Command, Event, EventKind, Order, Phase, ProposalId, Reason, Reply, SellerId, Seq, Timestamp,
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
                must_be_lawful(before, event, decision_time(before, clock)).map_err(wrong)?;
            }
            Order::fold(&mut folded, event).map_err(|error| error.to_string())?;
            let Some(order) = &folded else { continue };
            if let Some(award) = in_force(order) {
                awards.insert(event.seq, award);
            }
            for decided in log.decided.get(&(number, event.seq)).into_iter().flatten() {
                must_be_locked(order, decided).map_err(wrong)?;
                must_be_unfit(order, decided).map_err(wrong)?;
                must_be_uninvited(order, decided).map_err(wrong)?;
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

/// Checks that a proposal was refused for another one only where there is one, with its id or of its
/// seller and label.
fn must_be_unfit(order: &Order, decided: &OwnerDecision<'_>) -> Result<(), String> {
    let CommandKind::Propose(proposed) = &decided.command.kind else { return Ok(()) };
    let id = proposed.proposal_id.as_ref();
    let is_second =
        has_one_like(order, proposed) || id.is_some_and(|id| order.proposals.contains_key(id));
    match decided.result {
        Err(Reason::ProposalExists) if !is_second => {
            Err(format!("{proposed:?} was refused for another one, and there is none"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Checks that a command was refused for its seller only where that one is not invited.
fn must_be_uninvited(order: &Order, decided: &OwnerDecision<'_>) -> Result<(), String> {
    let Command { actor, kind, .. } = decided.command;
    match (decided.result, actor.clone().or_else(|| kind.actor())) {
        (Err(Reason::NotInvited), Some(Actor::Seller(seller)))
            if !may_take_part(order, &seller) =>
        {
            Ok(())
        }
        (Err(Reason::NotInvited), _) => Err(format!("{kind:?} was refused, and may be sent")),
        (Ok(_) | Err(_), _) => Ok(()),
    }
}

/// Checks that a command was refused for a lock only while another seller held one.
fn must_be_locked(order: &Order, decided: &OwnerDecision<'_>) -> Result<(), String> {
    if *decided.result != Err(Reason::Locked) {
        return Ok(());
    }
    let now = decision_time(order, decided.clock);
    let (id, by) = match &decided.command.kind {
        CommandKind::Lock { proposal_id, holder, .. }
            if is_lock_free(order, proposal_id, holder, now) =>
        {
            return Err(format!("{:?} was refused, and may take it", decided.command.kind));
        }
        CommandKind::Amend(proposed) => (proposed.proposal_id.as_ref(), Some(&proposed.seller)),
        CommandKind::Lock { proposal_id, holder, .. }
        | CommandKind::Unlock { proposal_id, holder } => (Some(proposal_id), Some(holder)),
        CommandKind::Withdraw { proposal_id, .. } => (Some(proposal_id), None),
        kind => return Err(format!("{kind:?} needs no lock and was refused for one")),
    };
    let holder = id.and_then(|id| other_holder(order, id, by, now));
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

/// Reports whether a seller may lock a proposal: under seal, only its own.
fn may_lock(order: &Order, id: &ProposalId, by: &SellerId) -> bool {
    let is_own = order.proposals.get(id).is_some_and(|proposal| proposal.content.seller == *by);
    is_own || !order.is_sealed()
}

/// Reports whether a seller may take the lock of a proposal at this time: its own seller always may.
fn is_lock_free(order: &Order, id: &ProposalId, by: &SellerId, clock: i64) -> bool {
    let is_own = order.proposals.get(id).is_some_and(|proposal| proposal.content.seller == *by);
    is_own || other_holder(order, id, Some(by), clock).is_none()
}

/// Returns the time of a decision: the owner's clock, unless that ran back.
pub(super) fn decision_time(before: &Order, clock: i64) -> i64 {
    clock.max(before.last_event.0.0)
}

fn must_be_lawful(before: &Order, event: &Event, clock: i64) -> Result<(), String> {
    let is_late = before.decide_until.is_some() || clock >= before.expires_at.0;
    let is_decided = before.pending_award.is_some() || is_late;
    let takes_proposals = before.phase == Phase::Open && !is_decided;
    let is_free = |id: &ProposalId, by| other_holder(before, id, by, clock).is_none();
    let is_lawful = match &event.kind {
        EventKind::NewProposal(proposed) => {
            takes_proposals
                && may_take_part(before, &proposed.seller)
                && !has_one_like(before, proposed)
        }
        EventKind::ProposalUpdate(ProposalUpdate::Amended { proposal, .. }) => {
            let id = proposal.proposal_id.as_ref();
            takes_proposals && id.is_some_and(|id| is_free(id, Some(&proposal.seller)))
        }
        EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, .. }) => {
            !is_decided && is_free(proposal_id, None)
        }
        // Without a key, nothing is declined twice.
        EventKind::ProposalUpdate(ProposalUpdate::Declined { seller, .. }) => {
            may_take_part(before, seller) && (event.cause.is_some() || !before.has_declined(seller))
        }
        EventKind::EditLock { proposal_id, holder, until: Some(_) } => {
            takes_proposals
                && may_take_part(before, holder)
                && may_lock(before, proposal_id, holder)
                && is_lock_free(before, proposal_id, holder, clock)
        }
        EventKind::EditLock { proposal_id, holder, until: None } => {
            is_free(proposal_id, Some(holder))
        }
        EventKind::AwardPending { award, .. } => {
            in_force(before).is_none_or(|held| held == *award) && can_win(before, award.as_ref())
        }
        EventKind::OrderFinalised { award, .. } => {
            in_force(before).is_none_or(|held| held == *award) && can_win(before, award.as_ref())
        }
        EventKind::AwardUndone { .. } => before.pending_award.is_some(),
        EventKind::ProposalUpdate(ProposalUpdate::Answered { seller, .. }) => {
            may_take_part(before, seller)
        }
        EventKind::ProposalUpdate(ProposalUpdate::Asked { seller, .. }) => {
            !is_late && may_take_part(before, seller)
        }
        EventKind::OrderExtended { .. }
        | EventKind::OrderResumed
        | EventKind::OrderPaused { expired: false, .. } => !is_late,
        EventKind::OrderPaused { expired: true, decide_by, .. } => {
            let is_over = before.decide_until.is_none_or(|until| clock >= until.0);
            is_over && *decide_by == time_to_decide(before)
        }
        _ => true,
    };
    is_lawful.then_some(()).ok_or_else(|| format!("{event:?} at {clock} is against the rules"))
}

/// Returns the time until which the buyer decides after the deadline; `None` where there is nothing
/// to decide. An undone award leaves at least the time that it had still to run.
fn time_to_decide(before: &Order) -> Option<Timestamp> {
    let mut proposals = before.proposals.values();
    if before.decide_until.is_some() || !proposals.any(|held| held.phase == ProposalPhase::Open) {
        return None;
    }
    let decide_within_ms = before.spec.decide_within_ms();
    let of_order = (decide_within_ms > 0).then(|| before.expires_at.plus_ms(decide_within_ms));
    of_order.max(before.undone_until.filter(|undone| *undone > before.expires_at))
}

/// Reports whether a seller is invited, or the order takes commands of others too.
fn may_take_part(order: &Order, seller: &SellerId) -> bool {
    let mut invited = order.invitations.iter();
    order.spec.sellers.open_to_all
        || order.invitations.is_empty()
        || invited.any(|invitation| invitation.seller == *seller)
}

/// Reports whether a seller has an open proposal with this one's label, or without one as this one.
fn has_one_like(order: &Order, proposed: &ProposalContent) -> bool {
    let is_like = |held: &ProposalContent| {
        held.seller == proposed.seller && held.alternative == proposed.alternative
    };
    let mut open = order.proposals.values().filter(|held| held.phase == ProposalPhase::Open);
    open.any(|held| is_like(&held.content))
}

fn can_win(order: &Order, award: Option<&Award>) -> bool {
    let is_open = |id| {
        order.proposals.get(id).is_some_and(|held: &Proposal| held.phase == ProposalPhase::Open)
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
