//! The notifications of an order that are still to be sent: a pure state machine over the order's
//! events and over the result of each delivery attempt. The shell feeds it, does what it returns,
//! and stores it.
//!
//! ```text
//!            Event             start              Delivered
//!   (event) ───────▶ waiting ───────▶ under way ───────────────▶ gone, or told ─ Reported ▶ gone
//!                     ▲   ▲               │
//!                     │   └── Failed ─────┤ back-off
//!                     │    (try again)    │ bounced, or tried often enough
//!                     └────── Replay ── dead ◀── Reported ── given up
//! ```
//!
//! The notifications of one recipient over one channel are sent one after the other, in the order
//! of their events; those of others do not wait for them. The outbox does not store what is under
//! way: after a crash it is tried again, under the same id.

mod pause;
mod surplus;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::{Incarnation, OrderKey, SellerId, Seq, Timestamp};
use crate::limits::{ATTEMPTS_MAX, BACK_OFF_MS_MAX, DEAD_MAX, PENDING_MAX, UNDER_WAY_MAX};
use crate::notification::{
    self, Audience, DeliveryError, Due, Failure, Notification, Recipient, Template, due,
};
use crate::order::Order;
use crate::spec::{Channel, NotificationType};

use pause::{back_off_ms, short};
use surplus::surplus;

/// An input of the outbox.
#[derive(Debug)]
pub enum Input<'a> {
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
pub struct Output {
    /// The numbers of the notifications to try now.
    pub attempts: Vec<u64>,
    /// The results of invitations to report to the order now.
    pub reports: Vec<Report>,
    /// The time at which to step again, if nothing happens before.
    pub next_at: Option<Timestamp>,
    /// The number of notifications that were given up in this step.
    pub given_up: usize,
    /// The snapshot has changed and is to be stored.
    pub is_changed: bool,
}

/// The result of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The notification's number.
    pub number: u64,
    /// The seller that was invited.
    pub seller: SellerId,
    /// The kind of channel.
    pub channel: NotificationType,
    /// The cause for which it was not delivered; absent when it was.
    pub failure: Option<String>,
}

/// A notification that the outbox holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The sequence number of the event behind it.
    pub seq: Seq,
    /// The time since which it is due.
    pub due_at: Timestamp,
    /// The notification without its content.
    #[serde(flatten)]
    pub due: Due,
    /// The notification that was given up, where this one reports that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
    /// Its progress.
    pub state: State,
}

/// The progress of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It waits for its first or next attempt.
    Waiting {
        /// The number of attempts so far.
        attempts: u32,
        /// The earliest time of the next attempt.
        next_at: Timestamp,
        /// The cause for which the last attempt failed; absent before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was delivered, and the order has not recorded the result yet.
    Told,
    /// It was given up. While it is among the pending ones, the order has not recorded the result
    /// yet.
    GivenUp {
        /// The number of attempts that were made.
        attempts: u32,
        /// The time at which it was given up.
        at: Timestamp,
        /// The cause, for people.
        reason: String,
    },
}

/// The outbox of one order: the notifications that are still to be sent, and the dead letters.
#[derive(Clone, Debug)]
pub struct Outbox {
    key: OrderKey,
    incarnation: Incarnation,
    kept: Snapshot,
    under_way: BTreeSet<u64>,
}

/// The part of an outbox that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last event that the outbox has folded.
    pub cursor: Seq,
    /// The number of the next notification.
    next_number: u64,
    /// The notifications that wait, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pending: BTreeMap<u64, Kept>,
    /// The dead letters, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    dead: BTreeMap<u64, Kept>,
    /// The number of dead letters that were dropped.
    #[serde(default)]
    forgotten: u64,
}

impl Snapshot {
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
    pub const fn new(key: OrderKey, incarnation: Incarnation, kept: Snapshot) -> Self {
        Self { key, incarnation, kept, under_way: BTreeSet::new() }
    }

    /// Returns the part that is to be stored.
    pub const fn snapshot(&self) -> &Snapshot {
        &self.kept
    }

    /// Returns the last event that the outbox has folded.
    pub const fn cursor(&self) -> Seq {
        self.kept.cursor
    }

    /// Reports whether no notification waits or is under way.
    pub fn is_settled(&self) -> bool {
        self.kept.is_settled()
    }

    /// Returns the waiting notifications, then the dead letters, each group oldest first, with
    /// their ids.
    pub fn all(&self) -> impl Iterator<Item = (String, &Kept)> {
        self.kept.pending.values().chain(self.kept.dead.values()).map(|kept| (self.id(kept), kept))
    }

    /// Returns the dead letters, oldest first, with their ids.
    pub fn dead(&self) -> impl Iterator<Item = (String, &Kept)> {
        self.kept.dead.values().map(|kept| (self.id(kept), kept))
    }

    /// Returns the number of dead letters that were dropped because there were too many.
    pub const fn forgotten(&self) -> u64 {
        self.kept.forgotten
    }

    /// Returns the waiting notification with this number.
    pub fn pending(&self, number: u64) -> Option<&Kept> {
        self.kept.pending.get(&number)
    }

    /// Composes the notification with this number, for an attempt; `None` where none waits under
    /// it, or where it is about another event.
    pub fn compose(&self, number: u64, order: &Order, event: &Event) -> Option<Notification> {
        let kept = self.kept.pending.get(&number).filter(|kept| kept.seq == event.seq)?;
        Some(notification::compose(order, event, &kept.due, kept.failed.as_ref()))
    }

    fn id(&self, kept: &Kept) -> String {
        let of = kept.failed.as_ref().map(|failed| failed.id.as_str());
        notification::id((&self.key, &self.incarnation), kept.seq, &kept.due, of)
    }

    /// Takes one input and returns its consequences. The attempts and reports that it returns count
    /// as under way until their results come in.
    pub fn step(&mut self, now: Timestamp, input: &Input<'_>) -> Output {
        let mut output = Output::default();
        match input {
            Input::Event { order, event, audience } => {
                output = self.take(now, order, event, audience);
            }
            Input::Passed(seq) => {
                output.is_changed = self.kept.cursor < *seq;
                self.kept.cursor = self.kept.cursor.max(*seq);
            }
            Input::Delivered(number) => {
                output.is_changed = self.under_way.remove(number);
                self.delivered(*number);
            }
            Input::Failed { number, error, jitter_permille, order, audience } => {
                output.is_changed = self.under_way.remove(number);
                if let Some(reason) = self.failed(now, *number, error, *jitter_permille) {
                    output.given_up = output.given_up.saturating_add(1);
                    self.give_up(now, *number, reason);
                    self.tell_of_failure(now, *number, order, audience);
                }
                self.bound(now, &mut output);
            }
            Input::Postponed { number, for_ms } => {
                self.under_way.remove(number);
                self.postpone(*number, now.plus_ms(*for_ms));
            }
            Input::Reported(number) => {
                output.is_changed = self.under_way.remove(number);
                self.reported(*number);
            }
            Input::Replay(id) => output.is_changed = self.replay(now, id),
            Input::Tick => {}
        }
        self.start(now, &mut output);
        output
    }

    fn take(
        &mut self,
        now: Timestamp,
        order: &Order,
        event: &Event,
        audience: &Audience<'_>,
    ) -> Output {
        let mut output = Output::default();
        if event.seq != self.kept.cursor.next() {
            return output;
        }
        self.kept.cursor = event.seq;
        output.is_changed = true;
        for due in due(order, event, audience) {
            self.keep(now, event.seq, due, None);
        }
        self.bound(now, &mut output);
        output
    }

    fn keep(&mut self, now: Timestamp, seq: Seq, due: Due, failed: Option<Failure>) {
        let state = State::Waiting { attempts: 0, next_at: now, reason: None };
        self.kept
            .pending
            .insert(self.kept.next_number, Kept { seq, due_at: now, due, failed, state });
        self.kept.next_number = self.kept.next_number.saturating_add(1);
    }

    /// Gives up the oldest notifications of the recipients with the most waiting, until no more
    /// than the limit wait.
    fn bound(&mut self, now: Timestamp, output: &mut Output) {
        let count = self.kept.pending.len().saturating_sub(PENDING_MAX);
        for number in surplus(&self.kept.pending, &self.under_way, count) {
            output.given_up = output.given_up.saturating_add(1);
            self.give_up(now, number, "too many messages wait for this recipient".to_owned());
        }
    }

    fn delivered(&mut self, number: u64) {
        let Some(kept) = self.kept.pending.get_mut(&number) else { return };
        if kept.reports_to_order() {
            kept.state = State::Told;
        } else {
            self.kept.pending.remove(&number);
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
        let kept = self.kept.pending.get_mut(&number)?;
        let State::Waiting { attempts, next_at, reason } = &mut kept.state else { return None };
        *attempts = attempts.saturating_add(1);
        match error {
            DeliveryError::Bounced { reason } => Some(short(reason)),
            DeliveryError::TryAgain { reason: why, .. } if *attempts >= ATTEMPTS_MAX => {
                Some(short(&format!("given up after {attempts} attempts: {why}")))
            }
            DeliveryError::TryAgain { reason: why, after_ms, .. } => {
                let pause = back_off_ms(*attempts, jitter_permille);
                *next_at = now.plus_ms(pause.max(after_ms.unwrap_or(0)).min(BACK_OFF_MS_MAX));
                *reason = Some(short(why));
                None
            }
        }
    }

    fn give_up(&mut self, now: Timestamp, number: u64, reason: String) {
        let Some(mut kept) = self.kept.pending.remove(&number) else { return };
        let attempts = match kept.state {
            State::Waiting { attempts, .. } | State::GivenUp { attempts, .. } => attempts,
            State::Told => 0,
        };
        kept.state = State::GivenUp { attempts, at: now, reason };
        if kept.reports_to_order() {
            self.kept.pending.insert(number, kept);
        } else {
            self.bury(number, kept);
        }
    }

    fn bury(&mut self, number: u64, kept: Kept) {
        self.kept.dead.insert(number, kept);
        while self.kept.dead.len() > DEAD_MAX {
            self.kept.dead.pop_first();
            self.kept.forgotten = self.kept.forgotten.saturating_add(1);
        }
    }

    fn tell_of_failure(
        &mut self,
        now: Timestamp,
        number: u64,
        order: &Order,
        audience: &Audience<'_>,
    ) {
        let pending = self.kept.pending.get(&number);
        let Some(kept) = pending.or_else(|| self.kept.dead.get(&number)) else { return };
        let State::GivenUp { reason, .. } = &kept.state else { return };
        let failure = Failure {
            id: self.id(kept),
            template: kept.due.template,
            channel: kept.due.channel.kind,
            seller: match &kept.due.recipient {
                Recipient::Seller(seller) => Some(seller.clone()),
                Recipient::Buyer | Recipient::Sink => None,
            },
            reason: reason.clone(),
        };
        let seq = kept.seq;
        // A failed report of a failure is not reported.
        if kept.failed.is_some() {
            return;
        }
        for due in notification::due_for_failure(order, &kept.due.recipient.clone(), audience) {
            self.keep(now, seq, due, Some(failure.clone()));
        }
    }

    fn postpone(&mut self, number: u64, until: Timestamp) {
        let kept = self.kept.pending.get_mut(&number);
        if let Some(State::Waiting { next_at, .. }) = kept.map(|kept| &mut kept.state) {
            *next_at = until;
        }
    }

    fn reported(&mut self, number: u64) {
        let Some(kept) = self.kept.pending.remove(&number) else { return };
        match kept.state {
            State::GivenUp { .. } => self.bury(number, kept),
            State::Told => {}
            State::Waiting { .. } => {
                self.kept.pending.insert(number, kept);
            }
        }
    }

    fn replay(&mut self, now: Timestamp, id: &str) -> bool {
        let found = self.kept.dead.iter().find(|(_, kept)| self.id(kept) == id);
        let Some(number) = found.map(|(number, _)| *number) else { return false };
        let Some(mut kept) = self.kept.dead.remove(&number) else { return false };
        kept.state = State::Waiting { attempts: 0, next_at: now, reason: None };
        self.kept.pending.insert(number, kept);
        true
    }

    /// Starts the attempts and reports that may start, and sets the time of the next step.
    fn start(&mut self, now: Timestamp, output: &mut Output) {
        let mut busy: BTreeSet<(&Recipient, &Channel)> = BTreeSet::new();
        let mut next: Option<Timestamp> = None;
        for (number, kept) in &self.kept.pending {
            let is_under_way = self.under_way.contains(number);
            let has_room = self.under_way.len() < UNDER_WAY_MAX;
            match &kept.state {
                State::Waiting { next_at, .. } => {
                    let is_first = busy.insert((&kept.due.recipient, &kept.due.channel));
                    if is_under_way || !is_first {
                        continue;
                    }
                    if *next_at <= now && has_room {
                        self.under_way.insert(*number);
                        output.attempts.push(*number);
                    } else {
                        next = Some(next.map_or(*next_at, |at| at.min(*next_at)));
                    }
                }
                State::Told | State::GivenUp { .. } if !is_under_way && has_room => {
                    self.under_way.insert(*number);
                    output.reports.extend(kept.report(*number));
                }
                State::Told | State::GivenUp { .. } => {}
            }
        }
        output.next_at = next;
    }
}

impl Kept {
    /// Reports whether the order receives the result.
    fn reports_to_order(&self) -> bool {
        let is_invitation = self.due.template == Template::Invitation;
        is_invitation && matches!(self.due.recipient, Recipient::Seller(_))
    }

    fn report(&self, number: u64) -> Option<Report> {
        let Recipient::Seller(seller) = &self.due.recipient else { return None };
        let failure = match &self.state {
            State::GivenUp { reason, .. } => Some(reason.clone()),
            State::Told | State::Waiting { .. } => None,
        };
        Some(Report { number, seller: seller.clone(), channel: self.due.channel.kind, failure })
    }
}

#[cfg(test)]
mod tests;
