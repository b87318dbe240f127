//! P1, P3, P9 and P12: replies are true, and all commands to an order have a linearisation that
//! agrees with real time and with the rules.
//!
//! The list gives the linearisation: a command with an event took effect there. The rest of the
//! search of Wing and Gong places commands without an event of their own, refusals and
//! repetitions, between two events where their reply is true. A place has to lie within the
//! command's call and return, as far as other observations bound the list's length at these
//! times; and commands that followed one another keep that order. They are placed by the time
//! of their return, each as early as possible, so that it restricts later ones least: if this
//! finds no place, there is none.

use std::collections::BTreeMap;

use super::cause::{Mark, already, causes, is_grounded, mark};
use super::keys::CONFLICT;
use super::model::State;
use super::{Finding, Sorted};
use crate::event::Event;
use crate::history::{Act, Found, Micros};
use crate::op::{Op, Outcome};

pub(super) fn check(sorted: &Sorted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for order in sorted.orders() {
        let acts = sorted.acts_of(order);
        match sorted.lists.get(order) {
            Some(events) => Line::new(sorted, order, events, &acts).check(&acts, &mut findings),
            None => lost(order, &acts, &mut findings),
        }
        unknown(&acts, &mut findings);
    }
    findings
}

/// Checks an order without a list: no command may have succeeded.
fn lost(order: &str, acts: &BTreeMap<&str, Vec<&Act>>, findings: &mut Vec<Finding>) {
    let all = acts.values().flatten();
    let done = all.filter(|act| matches!(act.result, Outcome::Ok { .. })).count();
    if done > 0 {
        let text = format!("{done} acts were answered with success, and there is no list");
        findings.push(Finding::new("P1", order, text));
    }
}

/// Checks that every command has a known outcome once all faults have ended.
fn unknown(acts: &BTreeMap<&str, Vec<&Act>>, findings: &mut Vec<Finding>) {
    for attempts in acts.values() {
        if let Some(last) = attempts.last()
            && !attempts.iter().any(|act| act.result.is_known())
        {
            let text = format!("not known when all was well: {:?}", last.result);
            findings.push(Finding::of_act("P9", last, text));
        }
    }
}

/// Reports whether the command was sent again after this attempt was answered.
fn is_repeated(act: &Act, attempts: &[&Act]) -> bool {
    attempts.iter().any(|later| later.t_call >= act.t_ret)
}

/// An attempt without an event of its own, which is to be placed.
struct Loose<'a> {
    /// The earliest time of its place.
    asked: Micros,
    act: &'a Act,
    /// The greatest length of the list at its place: it is before the event of a later attempt.
    most: u64,
}

/// The linearisation of one order.
struct Line<'a> {
    events: &'a [Event],
    states: Vec<State>,
    opened_at: i64,
    /// Set when the order was sealed and never opened, so that its content stays hidden.
    is_hidden: bool,
    /// The least length of the list that was known from a time on, by time; lengths rise.
    known: Vec<(Micros, u64)>,
    /// The earliest possible time of each event, by sequence number; 0 where none is known.
    not_before: Vec<Micros>,
}

impl<'a> Line<'a> {
    fn new(
        sorted: &Sorted<'_>,
        order: &str,
        events: &'a [Event],
        acts: &BTreeMap<&str, Vec<&Act>>,
    ) -> Self {
        let opened_at = events.first().map_or(0, |event| event.at);
        let is_sealed = events.first().is_some_and(|event| event.sealed);
        let is_opened = events.iter().any(|event| event.kind == "ProposalsOpened");
        let mut line = Self {
            events,
            states: State::all(events),
            opened_at,
            is_hidden: is_sealed && !is_opened,
            known: Vec::new(),
            not_before: vec![0; events.len() + 1],
        };
        for attempts in acts.values() {
            line.learn(attempts);
        }
        let told = sorted.told.iter().filter(|told| told.order == order);
        line.known.extend(told.map(|told| (told.t, told.event.seq)));
        for view in sorted.views.iter().filter(|view| view.order == order) {
            if let Found::Order(seen) = &view.found {
                line.known.push((view.t_ret, seen.last_seq));
            }
        }
        line.known.sort_unstable();
        let mut longest = 0;
        for (_, length) in &mut line.known {
            longest = longest.max(*length);
            *length = longest;
        }
        line
    }

    /// Adds the bounds that one command's attempts give for the time of its event.
    fn learn(&mut self, attempts: &[&Act]) {
        let Some(first) = attempts.first() else { return };
        if mark(&first.op) != Mark::Own {
            return;
        }
        let Some(seq) = self.effect(first) else { return };
        if let Some(slot) = usize::try_from(seq).ok().and_then(|at| self.not_before.get_mut(at)) {
            *slot = first.t_call;
        }
        // Only who holds the list knows how long it is: the requestor may speak too early, which is
        // found by itself, and must not cast doubt on others.
        let answered = attempts.iter().find(|act| act.result == Outcome::Ok { seq: Some(seq) });
        self.known.extend(answered.map(|act| (act.t_ret, seq)));
    }

    fn effect(&self, act: &Act) -> Option<u64> {
        let mut events = self.events.iter();
        events.find(|event| causes(act, event, self.opened_at)).map(|event| event.seq)
    }

    /// Returns the least possible length of the list at this time.
    fn at_least(&self, t: Micros) -> u64 {
        let known = self.known.partition_point(|(when, _)| *when < t);
        known.checked_sub(1).and_then(|last| self.known.get(last)).map_or(0, |(_, length)| *length)
    }

    /// Returns the greatest possible length of the list at this time.
    fn at_most(&self, t: Micros) -> u64 {
        let later = self.not_before.iter().skip(1).position(|when| *when > t);
        later.unwrap_or(self.events.len()) as u64
    }

    fn check(&self, acts: &BTreeMap<&str, Vec<&Act>>, findings: &mut Vec<Finding>) {
        self.in_time(acts, findings);
        let mut loose: Vec<Loose<'_>> = Vec::new();
        for attempts in acts.values() {
            let Some(first) = attempts.first() else { continue };
            let effect = (mark(&first.op) == Mark::Own).then(|| self.effect(first)).flatten();
            for act in attempts {
                match (&act.result, effect) {
                    (Outcome::Unknown { .. }, _) => {}
                    (Outcome::Fail { reason }, _) if reason == CONFLICT => {}
                    // Nothing remembers a refusal: sent again, the act may be done then.
                    (Outcome::Fail { .. }, Some(seq)) if is_repeated(act, attempts) => {
                        loose.push(Loose { asked: act.t_call, act, most: seq.saturating_sub(1) });
                    }
                    (Outcome::Fail { reason }, Some(seq)) => {
                        let text = format!("refused with {reason}, and is #{seq} of the list");
                        findings.push(Finding::of_act("P3", act, text));
                    }
                    (Outcome::Ok { seq }, Some(effect)) => {
                        self.answered(act, *seq, effect, findings);
                    }
                    (_, None) => loose.push(Loose { asked: first.t_call, act, most: u64::MAX }),
                }
            }
        }
        loose.sort_by_key(|loose| loose.act.t_ret);
        self.place(&loose, findings);
    }

    /// Checks that the list is in the order of real time.
    fn in_time(&self, acts: &BTreeMap<&str, Vec<&Act>>, findings: &mut Vec<Finding>) {
        for first in acts.values().filter_map(|attempts| attempts.first()) {
            if mark(&first.op) != Mark::Own {
                continue;
            }
            let Some(seq) = self.effect(first) else { continue };
            let known = self.at_least(first.t_call);
            if known >= seq {
                let text = format!("is #{seq}, and #{known} was known before it was asked for");
                findings.push(Finding::of_act("P12", first, text));
            }
        }
    }

    /// Checks a successful command with an event: the event was there when it was answered, and is
    /// the one named.
    fn answered(&self, act: &Act, named: Option<u64>, effect: u64, findings: &mut Vec<Finding>) {
        if effect > self.at_most(act.t_ret) {
            let text = format!("answered with success before it was #{effect} of the list");
            findings.push(Finding::of_act("P12", act, text));
        }
        if let Some(seq) = named
            && seq != effect
            && !matches!(act.op, Op::Award { .. })
        {
            let text = format!("answered with #{seq}, and is #{effect} of the list");
            findings.push(Finding::of_act("P3", act, text));
        }
    }

    /// Finds a place for each attempt without an event of its own; they are sorted by the time of
    /// their return.
    fn place(&self, loose: &[Loose<'_>], findings: &mut Vec<Finding>) {
        let mut placed: Vec<(Micros, u64)> = Vec::new();
        for Loose { asked, act, most } in loose {
            if self.is_hidden && !act.op.is_end() {
                continue;
            }
            let before = placed.partition_point(|(t_ret, _)| t_ret < asked);
            let least = before.checked_sub(1).and_then(|at| placed.get(at)).map_or(0, |(_, k)| *k);
            let from = self.at_least(*asked).max(least);
            let to = self.at_most(act.t_ret).min(*most);
            match (from..=to).find(|length| self.is_true(act, *length)) {
                Some(length) => {
                    placed.push((act.t_ret, length.max(placed.last().map_or(0, |p| p.1))))
                }
                None => findings.push(self.untrue(act, (from, to))),
            }
        }
    }

    /// Reports whether the reply is true for this length of the list.
    fn is_true(&self, act: &Act, length: u64) -> bool {
        let at = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(state) = self.states.get(at) else { return false };
        match &act.result {
            Outcome::Unknown { .. } => true,
            Outcome::Fail { reason } if reason == "INTERNAL" => true,
            Outcome::Fail { reason } => is_grounded(act, reason, state),
            Outcome::Ok { .. } => {
                let last = at.checked_sub(1).and_then(|before| self.events.get(before));
                already(act, state)
                    || (mark(&act.op) == Mark::Sort
                        && last.is_some_and(|event| causes(act, event, self.opened_at)))
            }
        }
    }

    fn untrue(&self, act: &Act, (from, to): (u64, u64)) -> Finding {
        let at = usize::try_from(to).unwrap_or(usize::MAX);
        let phase = self.states.get(at).map_or("", |state| state.phase);
        match &act.result {
            Outcome::Fail { reason } => {
                let text = format!(
                    "refused with {reason} at #{from} to #{to} ({phase}), where it is untrue"
                );
                Finding::of_act("P12", act, text)
            }
            Outcome::Ok { .. } | Outcome::Unknown { .. } => {
                let end =
                    self.events.last().map(|event| format!("{} {}", event.kind, event.proposal));
                let text = format!(
                    "answered with success, and is not in the list (#{from} to #{to} {phase}; the end: {})",
                    end.unwrap_or_default()
                );
                Finding::of_act("P1", act, text)
            }
        }
    }
}
