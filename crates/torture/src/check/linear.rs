//! P1, P3, P9 and P12: replies are correct, and all commands to an order have a linearisation that
//! agrees with real time and with the rules.
//!
//! The list is the linearisation: a command with an event took effect at that event. As in the
//! algorithm of Wing and Gong, commands without an event of their own, that is refusals and
//! repetitions, are placed between two events where their reply is correct. A position must be
//! between the command's call and its return, as far as other observations bound the list's length
//! at these times, and sequential commands keep their order. Commands are placed in the order of
//! their returns, each as early as possible, so that it restricts later ones least: if this finds
//! no position, there is none.

use std::collections::BTreeMap;

use super::cause::{EventAttribution, attribution, causes, is_already_done, is_grounded};
use super::keys::CONFLICT;
use super::model::ReferenceState;
use super::{HistoryFinding, SortedHistory};
use crate::command::{ClientCommand, ClientOutcome};
use crate::event::ComparableEvent;
use crate::history::{ClientAttempt, Micros, PageLookup};

pub(super) fn check(history: &SortedHistory<'_>) -> Vec<HistoryFinding> {
    let mut findings = Vec::new();
    for order in history.orders() {
        let commands = history.commands_of(order);
        match history.lists.get(order) {
            Some(events) => Linearisation::new(history, order, events, &commands)
                .check(&commands, &mut findings),
            None => check_without_list(order, &commands, &mut findings),
        }
        check_known(&commands, &mut findings);
    }
    findings
}

/// Checks an order without a list: no command may have succeeded.
fn check_without_list(
    order: &str,
    commands: &BTreeMap<&str, Vec<&ClientAttempt>>,
    findings: &mut Vec<HistoryFinding>,
) {
    let all = commands.values().flatten();
    let succeeded = all.filter(|act| matches!(act.result, ClientOutcome::Ok { .. })).count();
    if succeeded > 0 {
        let text = format!("{succeeded} acts were answered with success, and there is no list");
        findings.push(HistoryFinding::new("P1", order, text));
    }
}

/// Checks that every command has a known outcome once all faults have ended.
fn check_known(commands: &BTreeMap<&str, Vec<&ClientAttempt>>, findings: &mut Vec<HistoryFinding>) {
    for attempts in commands.values() {
        if let Some(last) = attempts.last()
            && !attempts.iter().any(|act| act.result.is_known())
        {
            let text = format!("not known when all was well: {:?}", last.result);
            findings.push(HistoryFinding::of_command("P9", last, text));
        }
    }
}

/// Reports whether the command was sent again after the reply to this attempt.
fn is_repeated(attempt: &ClientAttempt, attempts: &[&ClientAttempt]) -> bool {
    attempts.iter().any(|later| later.called_at >= attempt.returned_at)
}

/// An attempt without an event of its own, which must be placed.
struct UnplacedAttempt<'a> {
    /// The earliest time of its position.
    earliest: Micros,
    attempt: &'a ClientAttempt,
    /// The greatest length of the list at its position, which is before the event of a later
    /// attempt.
    length_max: u64,
}

/// The linearisation of one order.
struct Linearisation<'a> {
    events: &'a [ComparableEvent],
    states: Vec<ReferenceState>,
    opened_at: i64,
    /// Set when the order is sealed and was never opened, so that its content stays hidden.
    is_hidden: bool,
    /// The least known length of the list from a time on, by time; lengths increase.
    known: Vec<(Micros, u64)>,
    /// The earliest possible time of each event, by sequence number; 0 if it is not known.
    not_before: Vec<Micros>,
}

impl<'a> Linearisation<'a> {
    fn new(
        history: &SortedHistory<'_>,
        order: &str,
        events: &'a [ComparableEvent],
        commands: &BTreeMap<&str, Vec<&ClientAttempt>>,
    ) -> Self {
        let opened_at = events.first().map_or(0, |event| event.at);
        let is_sealed = events.first().is_some_and(|event| event.sealed);
        let is_opened = events.iter().any(|event| event.kind == "ProposalsOpened");
        let mut linearisation = Self {
            events,
            states: ReferenceState::all(events),
            opened_at,
            is_hidden: is_sealed && !is_opened,
            known: Vec::new(),
            not_before: vec![0; events.len() + 1],
        };
        for attempts in commands.values() {
            linearisation.add_bounds(attempts);
        }
        let receipts = history.receipts.iter().filter(|receipt| receipt.order == order);
        linearisation
            .known
            .extend(receipts.map(|receipt| (receipt.received_at, receipt.event.seq)));
        for reading in history.page_readings.iter().filter(|view| view.order == order) {
            if let PageLookup::Order(snapshot) = &reading.result {
                linearisation.known.push((reading.returned_at, snapshot.last_seq));
            }
        }
        linearisation.known.sort_unstable();
        let mut longest = 0;
        for (_, length) in &mut linearisation.known {
            longest = longest.max(*length);
            *length = longest;
        }
        linearisation
    }

    /// Adds the bounds on the time of an event that follow from its command's attempts.
    fn add_bounds(&mut self, attempts: &[&ClientAttempt]) {
        let Some(first) = attempts.first() else { return };
        if attribution(&first.command) != EventAttribution::Unique {
            return;
        }
        let Some(seq) = self.effect(first) else { return };
        if let Some(slot) = usize::try_from(seq).ok().and_then(|at| self.not_before.get_mut(at)) {
            *slot = first.called_at;
        }
        // Only the owner's replies, which have a sequence number, prove the list's length: a
        // premature reply of the requestor is a finding of its own, and must not affect other
        // commands.
        let answered =
            attempts.iter().find(|act| act.result == ClientOutcome::Ok { seq: Some(seq) });
        self.known.extend(answered.map(|act| (act.returned_at, seq)));
    }

    fn effect(&self, attempt: &ClientAttempt) -> Option<u64> {
        let mut events = self.events.iter();
        events.find(|event| causes(attempt, event, self.opened_at)).map(|event| event.seq)
    }

    /// Returns the least possible length of the list at this time.
    fn at_least(&self, time: Micros) -> u64 {
        let known = self.known.partition_point(|(when, _)| *when < time);
        known.checked_sub(1).and_then(|last| self.known.get(last)).map_or(0, |(_, length)| *length)
    }

    /// Returns the greatest possible length of the list at this time.
    fn at_most(&self, time: Micros) -> u64 {
        let later = self.not_before.iter().skip(1).position(|when| *when > time);
        later.unwrap_or(self.events.len()) as u64
    }

    fn check(
        &self,
        commands: &BTreeMap<&str, Vec<&ClientAttempt>>,
        findings: &mut Vec<HistoryFinding>,
    ) {
        self.check_real_time_order(commands, findings);
        let mut unplaced: Vec<UnplacedAttempt<'_>> = Vec::new();
        for attempts in commands.values() {
            let Some(first) = attempts.first() else { continue };
            let effect = (attribution(&first.command) == EventAttribution::Unique)
                .then(|| self.effect(first))
                .flatten();
            for attempt in attempts {
                match (&attempt.result, effect) {
                    (ClientOutcome::Unknown { .. }, _) => {}
                    (ClientOutcome::Fail { reason }, _) if reason == CONFLICT => {}
                    // A refusal is not stored: a repetition of the command may succeed.
                    (ClientOutcome::Fail { .. }, Some(seq)) if is_repeated(attempt, attempts) => {
                        unplaced.push(UnplacedAttempt {
                            earliest: attempt.called_at,
                            attempt,
                            length_max: seq.saturating_sub(1),
                        });
                    }
                    (ClientOutcome::Fail { reason }, Some(seq)) => {
                        let text = format!("refused with {reason}, and is #{seq} of the list");
                        findings.push(HistoryFinding::of_command("P3", attempt, text));
                    }
                    (ClientOutcome::Ok { seq }, Some(effect)) => {
                        self.check_reply(attempt, *seq, effect, findings);
                    }
                    (_, None) => unplaced.push(UnplacedAttempt {
                        earliest: first.called_at,
                        attempt,
                        length_max: u64::MAX,
                    }),
                }
            }
        }
        unplaced.sort_by_key(|loose| loose.attempt.returned_at);
        self.place_all(&unplaced, findings);
    }

    /// Checks that the list is in the order of real time.
    fn check_real_time_order(
        &self,
        commands: &BTreeMap<&str, Vec<&ClientAttempt>>,
        findings: &mut Vec<HistoryFinding>,
    ) {
        for first in commands.values().filter_map(|attempts| attempts.first()) {
            if attribution(&first.command) != EventAttribution::Unique {
                continue;
            }
            let Some(seq) = self.effect(first) else { continue };
            let known = self.at_least(first.called_at);
            if known >= seq {
                let text = format!("is #{seq}, and #{known} was known before it was asked for");
                findings.push(HistoryFinding::of_command("P12", first, text));
            }
        }
    }

    /// Checks a successful command with an event: the event existed at the time of the reply, and
    /// is the one in the reply.
    fn check_reply(
        &self,
        attempt: &ClientAttempt,
        replied_seq: Option<u64>,
        effect: u64,
        findings: &mut Vec<HistoryFinding>,
    ) {
        if effect > self.at_most(attempt.returned_at) {
            let text = format!("answered with success before it was #{effect} of the list");
            findings.push(HistoryFinding::of_command("P12", attempt, text));
        }
        if let Some(seq) = replied_seq
            && seq != effect
            && !matches!(attempt.command, ClientCommand::Award { .. })
        {
            let text = format!("answered with #{seq}, and is #{effect} of the list");
            findings.push(HistoryFinding::of_command("P3", attempt, text));
        }
    }

    /// Finds a position for each attempt without an event of its own; the attempts are sorted by
    /// the time of their return.
    fn place_all(&self, unplaced: &[UnplacedAttempt<'_>], findings: &mut Vec<HistoryFinding>) {
        let mut placed: Vec<(Micros, u64)> = Vec::new();
        for UnplacedAttempt { earliest, attempt, length_max } in unplaced {
            if self.is_hidden && !attempt.command.is_end() {
                continue;
            }
            let before = placed.partition_point(|(t_ret, _)| t_ret < earliest);
            let least = before.checked_sub(1).and_then(|at| placed.get(at)).map_or(0, |(_, k)| *k);
            let from = self.at_least(*earliest).max(least);
            let to = self.at_most(attempt.returned_at).min(*length_max);
            match (from..=to).find(|length| self.is_true(attempt, *length)) {
                Some(length) => {
                    placed.push((attempt.returned_at, length.max(placed.last().map_or(0, |p| p.1))))
                }
                None => findings.push(self.untrue_finding(attempt, from, to)),
            }
        }
    }

    /// Reports whether the reply is correct for this length of the list.
    fn is_true(&self, attempt: &ClientAttempt, length: u64) -> bool {
        let at = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(state) = self.states.get(at) else { return false };
        match &attempt.result {
            ClientOutcome::Unknown { .. } => true,
            ClientOutcome::Fail { reason } if reason == "INTERNAL" => true,
            ClientOutcome::Fail { reason } => is_grounded(attempt, reason, state),
            ClientOutcome::Ok { .. } => {
                let last = at.checked_sub(1).and_then(|before| self.events.get(before));
                is_already_done(attempt, state)
                    || (attribution(&attempt.command) == EventAttribution::KindOnly
                        && last.is_some_and(|event| causes(attempt, event, self.opened_at)))
            }
        }
    }

    fn untrue_finding(&self, attempt: &ClientAttempt, from: u64, to: u64) -> HistoryFinding {
        let at = usize::try_from(to).unwrap_or(usize::MAX);
        let phase = self.states.get(at).map_or("", |state| state.phase);
        match &attempt.result {
            ClientOutcome::Fail { reason } => {
                let text = format!(
                    "refused with {reason} at #{from} to #{to} ({phase}), where it is untrue"
                );
                HistoryFinding::of_command("P12", attempt, text)
            }
            ClientOutcome::Ok { .. } | ClientOutcome::Unknown { .. } => {
                let end =
                    self.events.last().map(|event| format!("{} {}", event.kind, event.proposal));
                let text = format!(
                    "answered with success, and is not in the list (#{from} to #{to} {phase}; the end: {})",
                    end.unwrap_or_default()
                );
                HistoryFinding::of_command("P1", attempt, text)
            }
        }
    }
}
