//! The notifications of an order that are still to be sent: a pure state machine over the order's
//! events and over the result of each delivery attempt. The shell passes it the inputs, executes
//! the outputs, and stores the snapshot.
//!
//! ```text
//!            Event             start           Delivered
//!   (event) ───────▶ waiting ───────▶ in flight ──────────▶ done, or delivered ─ Reported ▶ done
//!                     ▲   ▲               │
//!                     │   └── Failed ─────┤ back-off
//!                     │    (try again)    │ bounced, or tried often enough
//!                     └────── Replay ── dead ◀── Reported ── given up
//! ```
//!
//! The notifications of one recipient over one channel are sent one after the other, in the order
//! of their events; those of others do not wait for them. The outbox does not store which attempts
//! are in flight: after a crash they are made again, under the same ids.

mod entry;
mod retry;
mod surplus;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::{Incarnation, OrderKey, Seq, Timestamp};
use crate::limits::{ATTEMPTS_MAX, BACK_OFF_MS_MAX, DEAD_LETTERS_MAX, IN_FLIGHT_MAX, PENDING_MAX};
use crate::notification::{
    self, Audience, DeliveryError, DeliveryFailure, DueNotification, Notification, Recipient, due,
};
use crate::order::Order;
use crate::spec::Channel;

pub use self::entry::{DeliveryProgress, InvitationReport, OutboxEntry};
use retry::{back_off_ms, truncate_reason};
use surplus::surplus;

/// An input of the outbox.
#[derive(Debug)]
pub enum OutboxInput<'a> {
    /// The next event of the list.
    Event {
        /// The order as of this event, or later.
        order: &'a Order,
        /// The event.
        event: &'a Event,
        /// The recipients that can be reached.
        audience: &'a Audience<'a>,
    },
    /// No notification is due for the events up to this one.
    Passed(Seq),
    /// The notification with this number was delivered.
    Delivered(u64),
    /// A delivery attempt failed.
    Failed {
        /// The notification's number.
        number: u64,
        /// The cause, and whether it is final.
        error: &'a DeliveryError,
        /// A random number from 0 to 1000, so that many retries do not come at one time.
        jitter_permille: u64,
        /// The order as it is now.
        order: &'a Order,
        /// The recipients that can be reached.
        audience: &'a Audience<'a>,
    },
    /// No attempt was made, because the server behind the address is busy or known to be down.
    Postponed {
        /// The notification's number.
        number: u64,
        /// The time until it may be tried, milliseconds.
        for_ms: u64,
    },
    /// The order has recorded the result of an invitation. A result that it did not record is due
    /// again once the outbox is reloaded.
    Reported(u64),
    /// A dead letter, named by its id, is to be sent again.
    Replay(&'a str),
    /// Time has passed; nothing else happened.
    Tick,
}

/// The consequences of an input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OutboxOutput {
    /// The numbers of the notifications to try now.
    pub attempts: Vec<u64>,
    /// The results of invitations to report to the order now.
    pub reports: Vec<InvitationReport>,
    /// The time at which to step again, if nothing happens before.
    pub next_at: Option<Timestamp>,
    /// The number of notifications that were given up in this step.
    pub given_up: usize,
    /// The snapshot has changed and is to be stored.
    pub is_changed: bool,
}

/// The outbox of one order: the notifications that are still to be sent, and the dead letters.
#[derive(Clone, Debug)]
pub struct Outbox {
    key: OrderKey,
    incarnation: Incarnation,
    snapshot: OutboxSnapshot,
    in_flight: BTreeSet<u64>,
}

/// The part of an outbox that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxSnapshot {
    /// The last event that the outbox has folded.
    pub cursor: Seq,
    /// The number of the next notification.
    next_number: u64,
    /// The notifications that wait, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pending: BTreeMap<u64, OutboxEntry>,
    /// The dead letters, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    dead: BTreeMap<u64, OutboxEntry>,
    /// The number of dead letters that were dropped.
    #[serde(default, rename = "forgotten")]
    dropped: u64,
}

impl OutboxSnapshot {
    /// Reports whether no notification waits.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns the time since which the oldest waiting notification is due.
    pub fn oldest_due_at(&self) -> Option<Timestamp> {
        self.pending.values().map(|kept| kept.due_at).min()
    }

    /// Returns the numbers of waiting notifications and of dead letters.
    pub fn counts(&self) -> (usize, usize) {
        (self.pending.len(), self.dead.len())
    }
}

impl Outbox {
    /// Returns the outbox of one incarnation of an order from its stored snapshot, or from a
    /// default one at its opening.
    pub const fn new(key: OrderKey, incarnation: Incarnation, snapshot: OutboxSnapshot) -> Self {
        Self { key, incarnation, snapshot, in_flight: BTreeSet::new() }
    }

    /// Returns the part that is to be stored.
    pub const fn snapshot(&self) -> &OutboxSnapshot {
        &self.snapshot
    }

    /// Returns the last event that the outbox has folded.
    pub const fn cursor(&self) -> Seq {
        self.snapshot.cursor
    }

    /// Reports whether no notification waits or is in flight.
    pub fn is_settled(&self) -> bool {
        self.snapshot.is_settled()
    }

    /// Returns the waiting notifications, then the dead letters, each group oldest first, with
    /// their ids.
    pub fn all(&self) -> impl Iterator<Item = (String, &OutboxEntry)> {
        self.snapshot
            .pending
            .values()
            .chain(self.snapshot.dead.values())
            .map(|kept| (self.id(kept), kept))
    }

    /// Returns the dead letters, oldest first, with their ids.
    pub fn dead(&self) -> impl Iterator<Item = (String, &OutboxEntry)> {
        self.snapshot.dead.values().map(|kept| (self.id(kept), kept))
    }

    /// Returns the number of dead letters that were dropped because there were too many.
    pub const fn dropped(&self) -> u64 {
        self.snapshot.dropped
    }

    /// Returns the waiting notification with this number.
    pub fn pending(&self, number: u64) -> Option<&OutboxEntry> {
        self.snapshot.pending.get(&number)
    }

    /// Composes the notification with this number, for an attempt; `None` where none waits under
    /// it, or where it is about another event.
    pub fn compose(&self, number: u64, order: &Order, event: &Event) -> Option<Notification> {
        let entry = self.snapshot.pending.get(&number).filter(|kept| kept.seq == event.seq)?;
        Some(notification::compose(order, event, &entry.due, entry.failed.as_ref()))
    }

    fn id(&self, entry: &OutboxEntry) -> String {
        let given_up_id = entry.failed.as_ref().map(|failed| failed.id.as_str());
        notification::id(&self.key, &self.incarnation, entry.seq, &entry.due, given_up_id)
    }

    /// Takes one input and returns its consequences. The attempts and reports that it returns count
    /// as in flight until their results come in.
    pub fn step(&mut self, now: Timestamp, input: &OutboxInput<'_>) -> OutboxOutput {
        let mut output = OutboxOutput::default();
        match input {
            OutboxInput::Event { order, event, audience } => {
                output = self.receive(now, order, event, audience);
            }
            OutboxInput::Passed(seq) => {
                output.is_changed = self.snapshot.cursor < *seq;
                self.snapshot.cursor = self.snapshot.cursor.max(*seq);
            }
            OutboxInput::Delivered(number) => {
                output.is_changed = self.in_flight.remove(number);
                self.delivered(*number);
            }
            OutboxInput::Failed { number, error, jitter_permille, order, audience } => {
                output.is_changed = self.in_flight.remove(number);
                if let Some(reason) = self.failed(now, *number, error, *jitter_permille) {
                    output.given_up = output.given_up.saturating_add(1);
                    self.give_up(now, *number, reason);
                    self.notify_of_failure(now, *number, order, audience);
                }
                self.bound(now, &mut output);
            }
            OutboxInput::Postponed { number, for_ms } => {
                self.in_flight.remove(number);
                self.postpone(*number, now.plus_ms(*for_ms));
            }
            OutboxInput::Reported(number) => {
                output.is_changed = self.in_flight.remove(number);
                self.reported(*number);
            }
            OutboxInput::Replay(id) => output.is_changed = self.replay(now, id),
            OutboxInput::Tick => {}
        }
        self.start(now, &mut output);
        output
    }

    fn receive(
        &mut self,
        now: Timestamp,
        order: &Order,
        event: &Event,
        audience: &Audience<'_>,
    ) -> OutboxOutput {
        let mut output = OutboxOutput::default();
        if event.seq != self.snapshot.cursor.next() {
            return output;
        }
        self.snapshot.cursor = event.seq;
        output.is_changed = true;
        for due in due(order, event, audience) {
            self.enqueue(now, event.seq, due, None);
        }
        self.bound(now, &mut output);
        output
    }

    fn enqueue(
        &mut self,
        now: Timestamp,
        seq: Seq,
        due: DueNotification,
        failed: Option<DeliveryFailure>,
    ) {
        let state = DeliveryProgress::Waiting { attempts: 0, next_at: now, reason: None };
        self.snapshot.pending.insert(
            self.snapshot.next_number,
            OutboxEntry { seq, due_at: now, due, failed, state },
        );
        self.snapshot.next_number = self.snapshot.next_number.saturating_add(1);
    }

    /// Gives up the oldest notifications of the recipients with the most waiting, until no more
    /// than the limit wait.
    fn bound(&mut self, now: Timestamp, output: &mut OutboxOutput) {
        let count = self.snapshot.pending.len().saturating_sub(PENDING_MAX);
        for number in surplus(&self.snapshot.pending, &self.in_flight, count) {
            output.given_up = output.given_up.saturating_add(1);
            self.give_up(now, number, "too many messages wait for this recipient".to_owned());
        }
    }

    fn delivered(&mut self, number: u64) {
        let Some(entry) = self.snapshot.pending.get_mut(&number) else { return };
        if entry.reports_to_order() {
            entry.state = DeliveryProgress::Delivered;
        } else {
            self.snapshot.pending.remove(&number);
        }
    }

    /// Sets the time of the next attempt; returns the cause when there is to be none.
    fn failed(
        &mut self,
        now: Timestamp,
        number: u64,
        error: &DeliveryError,
        jitter_permille: u64,
    ) -> Option<String> {
        let entry = self.snapshot.pending.get_mut(&number)?;
        let DeliveryProgress::Waiting { attempts, next_at, reason } = &mut entry.state else {
            return None;
        };
        *attempts = attempts.saturating_add(1);
        match error {
            DeliveryError::Bounced { reason } => Some(truncate_reason(reason)),
            DeliveryError::TryAgain { reason: cause, .. } if *attempts >= ATTEMPTS_MAX => {
                Some(truncate_reason(&format!("given up after {attempts} attempts: {cause}")))
            }
            DeliveryError::TryAgain { reason: cause, after_ms, .. } => {
                let wait_ms = back_off_ms(*attempts, jitter_permille);
                *next_at = now.plus_ms(wait_ms.max(after_ms.unwrap_or(0)).min(BACK_OFF_MS_MAX));
                *reason = Some(truncate_reason(cause));
                None
            }
        }
    }

    fn give_up(&mut self, now: Timestamp, number: u64, reason: String) {
        let Some(mut entry) = self.snapshot.pending.remove(&number) else { return };
        let attempts = match entry.state {
            DeliveryProgress::Waiting { attempts, .. }
            | DeliveryProgress::GivenUp { attempts, .. } => attempts,
            DeliveryProgress::Delivered => 0,
        };
        entry.state = DeliveryProgress::GivenUp { attempts, at: now, reason };
        if entry.reports_to_order() {
            self.snapshot.pending.insert(number, entry);
        } else {
            self.dead_letter(number, entry);
        }
    }

    fn dead_letter(&mut self, number: u64, entry: OutboxEntry) {
        self.snapshot.dead.insert(number, entry);
        while self.snapshot.dead.len() > DEAD_LETTERS_MAX {
            self.snapshot.dead.pop_first();
            self.snapshot.dropped = self.snapshot.dropped.saturating_add(1);
        }
    }

    fn notify_of_failure(
        &mut self,
        now: Timestamp,
        number: u64,
        order: &Order,
        audience: &Audience<'_>,
    ) {
        let pending = self.snapshot.pending.get(&number);
        let Some(entry) = pending.or_else(|| self.snapshot.dead.get(&number)) else { return };
        let DeliveryProgress::GivenUp { reason, .. } = &entry.state else { return };
        let failure = DeliveryFailure {
            id: self.id(entry),
            template: entry.due.template,
            channel: entry.due.channel.kind,
            seller: match &entry.due.recipient {
                Recipient::Seller(seller) => Some(seller.clone()),
                Recipient::Buyer | Recipient::Sink => None,
            },
            reason: reason.clone(),
        };
        let seq = entry.seq;
        // A failed report of a failure is not reported.
        if entry.failed.is_some() {
            return;
        }
        for due in notification::due_for_failure(order, &entry.due.recipient.clone(), audience) {
            self.enqueue(now, seq, due, Some(failure.clone()));
        }
    }

    fn postpone(&mut self, number: u64, until: Timestamp) {
        let entry = self.snapshot.pending.get_mut(&number);
        if let Some(DeliveryProgress::Waiting { next_at, .. }) = entry.map(|kept| &mut kept.state) {
            *next_at = until;
        }
    }

    fn reported(&mut self, number: u64) {
        let Some(entry) = self.snapshot.pending.remove(&number) else { return };
        match entry.state {
            DeliveryProgress::GivenUp { .. } => self.dead_letter(number, entry),
            DeliveryProgress::Delivered => {}
            DeliveryProgress::Waiting { .. } => {
                self.snapshot.pending.insert(number, entry);
            }
        }
    }

    fn replay(&mut self, now: Timestamp, id: &str) -> bool {
        let found = self.snapshot.dead.iter().find(|(_, kept)| self.id(kept) == id);
        let Some(number) = found.map(|(number, _)| *number) else { return false };
        let Some(mut entry) = self.snapshot.dead.remove(&number) else { return false };
        entry.state = DeliveryProgress::Waiting { attempts: 0, next_at: now, reason: None };
        self.snapshot.pending.insert(number, entry);
        true
    }

    /// Starts the attempts and reports that may start, and sets the time of the next step.
    fn start(&mut self, now: Timestamp, output: &mut OutboxOutput) {
        let mut busy: BTreeSet<(&Recipient, &Channel)> = BTreeSet::new();
        let mut next: Option<Timestamp> = None;
        for (number, entry) in &self.snapshot.pending {
            let is_in_flight = self.in_flight.contains(number);
            let has_capacity = self.in_flight.len() < IN_FLIGHT_MAX;
            match &entry.state {
                DeliveryProgress::Waiting { next_at, .. } => {
                    let is_first = busy.insert((&entry.due.recipient, &entry.due.channel));
                    if is_in_flight || !is_first {
                        continue;
                    }
                    if *next_at > now {
                        next = Some(next.map_or(*next_at, |at| at.min(*next_at)));
                    } else if has_capacity {
                        self.in_flight.insert(*number);
                        output.attempts.push(*number);
                    }
                    // Without capacity, the end of an attempt starts it, and no clock.
                }
                DeliveryProgress::Delivered | DeliveryProgress::GivenUp { .. }
                    if !is_in_flight && has_capacity =>
                {
                    self.in_flight.insert(*number);
                    output.reports.extend(entry.report(*number));
                }
                DeliveryProgress::Delivered | DeliveryProgress::GivenUp { .. } => {}
            }
        }
        output.next_at = next;
    }
}

#[cfg(test)]
mod tests;
