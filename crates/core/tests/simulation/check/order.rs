//! Promises about what users see of an order: P6 a true status, P8 convergence, P11 expiry.

use orderstream_core::command::Award;
use orderstream_core::order::ProposalPhase;
use orderstream_core::{Event, EventKind, Order, Phase, Seq};

use super::rules::decision_time;
use crate::simulation::history::{Entry, FinalState, History, Status};

/// The longest time between two checks of the clock by a healthy owner, milliseconds.
const LATE_MS: i64 = 1_000;

fn fold(list: &[Event]) -> Result<Option<Order>, String> {
    let mut order = None;
    for event in list {
        Order::fold(&mut order, event).map_err(|error| error.to_string())?;
    }
    Ok(order)
}

/// Returns the phase after each event; the first entry is the one before all.
fn phases(list: &[Event]) -> Result<Vec<Option<Phase>>, String> {
    let mut order = None;
    let mut phases = vec![None];
    for event in list {
        Order::fold(&mut order, event).map_err(|error| error.to_string())?;
        phases.push(order.as_ref().map(|order| order.phase));
    }
    Ok(phases)
}

fn is_terminal(phase: &str) -> bool {
    Phase::ALL.iter().any(|known| known.is_terminal() && known.as_str() == phase)
}

fn follows(old: &Status, new: &Status) -> bool {
    let no_step_back =
        new.epoch >= old.epoch && new.observed >= old.observed && new.last_seq >= old.last_seq;
    let stays = !is_terminal(old.phase) || new.phase == old.phase;
    let begun = new.phase != "Pending" || old.last_seq == Seq(0);
    no_step_back && stays && begun
}

/// P6: a status is never ahead of the list on disk, never moves back, and gives the true end.
pub(crate) fn status_true(history: &History) -> Result<(), String> {
    for (number, last) in history.finals.iter().enumerate() {
        let phases = phases(&last.list)?;
        let mut through = Seq(0);
        let mut previous = Status { phase: "Pending", ..Status::default() };
        for entry in &history.entries {
            match entry {
                Entry::Durable { order, through: now } if *order == number => through = *now,
                Entry::Crash { order, durable_through, .. } if *order == number => {
                    through = *durable_through
                }
                Entry::Status { order, status, .. } if *order == number => {
                    let at = usize::try_from(status.last_seq.0).ok();
                    let truth = at.and_then(|at| phases.get(at).copied()).flatten();
                    let ended = truth.filter(|phase| phase.is_terminal()).map(Phase::as_str);
                    let reported = Some(status.phase).filter(|phase| is_terminal(phase));
                    if status.last_seq > through || ended != reported {
                        return Err(format!("order {number}: {status:?}, true is {ended:?}"));
                    }
                    if !follows(&previous, status) {
                        return Err(format!("order {number}: {previous:?} became {status:?}"));
                    }
                    previous = status.clone();
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn unmet_difference(last: &FinalState, order: &Order) -> Option<&'static str> {
    let desired = &last.desired;
    let lifetime_ms = order.expires_at.ms_since(order.opened_at);
    let award = desired.award.as_ref().and_then(|decision| decision.award.as_ref());
    let can_win = match award {
        Some(Award::Whole(id)) => {
            order.proposals.get(id).is_some_and(|held| held.phase == ProposalPhase::Open)
        }
        Some(Award::Lines(_)) | None => false,
    };
    if desired.follow_ups.iter().any(|wanted| !order.follow_ups.contains(&wanted.id)) {
        return Some("a follow-up is missing");
    }
    if lifetime_ms < desired.spec.expires_in_ms && order.decide_until.is_none() {
        return Some("the order expires too early");
    }
    let is_undone = desired.award.as_ref().is_some_and(|decision| decision.undo);
    if is_undone && order.pending_award.is_some() {
        return Some("the award should have been undone");
    }
    let may_end = !is_undone && order.pending_award.is_none() && !order.is_sealed();
    if desired.cancel || (can_win && may_end) {
        return Some("it should have ended");
    }
    let paused = order.phase == Phase::Paused;
    let can_steer = order.pending_award.is_none() && order.decide_until.is_none();
    let free = desired.award.as_ref().is_none_or(|decision| decision.undo);
    (free && can_steer && desired.suspend != paused).then_some("the pause is wrong")
}

/// P8: once all faults are over, the status agrees with the list, and the list with the resource.
pub(crate) fn converged(history: &History) -> Result<(), String> {
    for (number, last) in history.finals.iter().enumerate() {
        let order = fold(&last.list)?.ok_or_else(|| format!("order {number} was never opened"))?;
        let ended = order.phase.is_terminal();
        if last.removed {
            if !ended {
                return Err(format!("order {number} was removed while {:?}", order.phase));
            }
            continue;
        }
        let expected_phase = order.phase.as_str();
        let status = &last.status;
        if status.last_seq != order.last_seq || status.phase != expected_phase {
            let seq = order.last_seq;
            return Err(format!(
                "order {number} is {expected_phase} at {seq}, its status {status:?}"
            ));
        }
        if ended {
            continue;
        }
        if status.observed != last.desired.generation {
            return Err(format!("order {number}: an edit was not observed: {status:?}"));
        }
        if let Some(difference) = unmet_difference(last, &order) {
            return Err(format!("order {number}: {difference}"));
        }
    }
    Ok(())
}

/// P11: an order expires once, never before its deadline on the owner's clock, soon after it when
/// nothing is broken, and no event follows its end.
pub(crate) fn expired(history: &History) -> Result<(), String> {
    let broken = history
        .entries
        .iter()
        .any(|entry| matches!(entry, Entry::Fault { fault: "processor crash" | "clock jump", .. }));
    for (number, last) in history.finals.iter().enumerate() {
        let mut order: Option<Order> = None;
        for event in &last.list {
            if let Some(before) = &order {
                if before.phase.is_terminal() {
                    return Err(format!("order {number}: {event:?} after the end"));
                }
                if matches!(event.kind, EventKind::OrderPaused { expired: true, .. }) {
                    let due = before.next_deadline().unwrap_or(before.expires_at);
                    let clock = clock_at(history, number, event.seq);
                    let late_ms = decision_time(before, clock) - due.0;
                    if late_ms < 0 || (!broken && late_ms > LATE_MS) {
                        return Err(format!("order {number} expired {late_ms} ms late"));
                    }
                }
            }
            Order::fold(&mut order, event).map_err(|error| error.to_string())?;
        }
        let Some(order) = order else { continue };
        let due = order.next_deadline().is_some_and(|at| history.owner_clock > at.0 + LATE_MS);
        if due {
            return Err(format!("order {number} did not expire"));
        }
    }
    Ok(())
}

/// Returns the owner's clock when it decided an event: the last such time, where a crash undid
/// others.
fn clock_at(history: &History, number: usize, event_seq: Seq) -> i64 {
    let clocks = history.entries.iter().rev().filter_map(|entry| match entry {
        Entry::Append { order, seq, clock, .. } if (*order, *seq) == (number, event_seq) => {
            Some(*clock)
        }
        _ => None,
    });
    clocks.into_iter().next().unwrap_or(i64::MIN)
}
