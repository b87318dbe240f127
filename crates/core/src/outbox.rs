//! What of an order is still to be told: a pure state machine over the order's events and over what
//! comes of each attempt. The shell feeds it, does what it says, and writes it down.
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
//! One recipient's messages over one channel go one after the other, in the order of their events;
//! those of others do not wait for them. What is under way is not written down: after a crash it is
//! tried again, under the same id.

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

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The next event of the list.
    Event {
        /// The order after it, or later.
        order: &'a Order,
        /// The event.
        event: &'a Event,
        /// Who can be reached.
        audience: &'a Audience<'a>,
    },
    /// Nobody is to be told of the events up to this one.
    Passed(Seq),
    /// A notification arrived.
    Delivered(u64),
    /// It did not.
    Failed {
        /// Which.
        number: u64,
        /// Why.
        error: &'a DeliveryError,
        /// A random number from 0 to 1000, so that many do not come back at one time.
        jitter_permille: u64,
        /// The order now.
        order: &'a Order,
        /// Who can be reached.
        audience: &'a Audience<'a>,
    },
    /// It was not tried, because whoever answers for its address is busy or known to be down.
    Postponed {
        /// Which.
        number: u64,
        /// For how long, milliseconds.
        for_ms: u64,
    },
    /// The order knows what came of an invitation. One that it did not take is due again after the
    /// outbox was read anew.
    Reported(u64),
    /// Send a dead one again.
    Replay(&'a str),
    /// Nothing but time.
    Tick,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Notifications to try now.
    pub attempts: Vec<u64>,
    /// Invitations of which the order is to be told now.
    pub reports: Vec<Report>,
    /// When to look again, if nothing happens before.
    pub next_at: Option<Timestamp>,
    /// Notifications that were given up in this step.
    pub given_up: usize,
    /// Whether there is something new to write down.
    pub is_changed: bool,
}

/// What came of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which notification.
    pub number: u64,
    /// Who was invited.
    pub seller: SellerId,
    /// Over which channel.
    pub channel: NotificationType,
    /// Why it did not arrive; absent when it did.
    pub failure: Option<String>,
}

/// A notification that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The event behind it.
    pub seq: Seq,
    /// Since when it is due.
    pub due_at: Timestamp,
    /// What is due.
    #[serde(flatten)]
    pub due: Due,
    /// The one that did not arrive, where it tells of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
    /// How far it is.
    pub state: State,
}

/// How far a notification is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It is to be tried.
    Waiting {
        /// Attempts so far.
        attempts: u32,
        /// Not before this time.
        next_at: Timestamp,
        /// Why the last attempt failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It arrived; the order does not know yet.
    Told,
    /// It will not arrive; while it is kept with those that wait, the order does not know yet.
    GivenUp {
        /// Attempts until then.
        attempts: u32,
        /// When it was given up.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

/// What one order still has to tell.
#[derive(Clone, Debug)]
pub struct Outbox {
    key: OrderKey,
    incarnation: Incarnation,
    kept: Snapshot,
    under_way: BTreeSet<u64>,
}

/// What of an outbox is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last event that was looked at.
    pub cursor: Seq,
    /// The number of the next notification.
    next_number: u64,
    /// What waits, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pending: BTreeMap<u64, Kept>,
    /// What was given up, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    dead: BTreeMap<u64, Kept>,
    /// How many dead ones were forgotten.
    #[serde(default)]
    forgotten: u64,
}

impl Snapshot {
    /// Whether nothing waits.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Since when the oldest of those that wait is due.
    pub fn oldest_due_at(&self) -> Option<Timestamp> {
        self.pending.values().map(|kept| kept.due_at).min()
    }

    /// How many wait, and how many were given up.
    pub fn counts(&self) -> (usize, usize) {
        (self.pending.len(), self.dead.len())
    }
}

impl Outbox {
    /// The outbox of one life of an order, as it was written down; a default one at its opening.
    pub const fn new(key: OrderKey, incarnation: Incarnation, kept: Snapshot) -> Self {
        Self { key, incarnation, kept, under_way: BTreeSet::new() }
    }

    /// What is to be written down.
    pub const fn snapshot(&self) -> &Snapshot {
        &self.kept
    }

    /// The last event that was looked at.
    pub const fn cursor(&self) -> Seq {
        self.kept.cursor
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_settled(&self) -> bool {
        self.kept.is_settled()
    }

    /// What waits or was given up, oldest first, each with its id.
    pub fn all(&self) -> impl Iterator<Item = (String, &Kept)> {
        self.kept.pending.values().chain(self.kept.dead.values()).map(|kept| (self.id(kept), kept))
    }

    /// What was given up, oldest first, each with its id.
    pub fn dead(&self) -> impl Iterator<Item = (String, &Kept)> {
        self.kept.dead.values().map(|kept| (self.id(kept), kept))
    }

    /// How many dead ones were forgotten because there were too many.
    pub const fn forgotten(&self) -> u64 {
        self.kept.forgotten
    }

    /// What waits under a number.
    pub fn pending(&self, number: u64) -> Option<&Kept> {
        self.kept.pending.get(&number)
    }

    /// The whole notification under a number, for an attempt; the event is the one it is about.
    pub fn compose(&self, number: u64, order: &Order, event: &Event) -> Option<Notification> {
        let kept = self.kept.pending.get(&number).filter(|kept| kept.seq == event.seq)?;
        Some(notification::compose(order, event, &kept.due, kept.failed.as_ref()))
    }

    fn id(&self, kept: &Kept) -> String {
        let of = kept.failed.as_ref().map(|failed| failed.id.as_str());
        notification::id((&self.key, &self.incarnation), kept.seq, &kept.due, of)
    }

    /// Takes in what happened, and says what is to be done. What it gives as attempts and reports
    /// counts as under way until it hears of each.
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

    /// Gives up the oldest of whoever has the most waiting, until no more wait than may.
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

    /// Sets the time of the next attempt; gives the reason when there is none.
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
        // A failure to tell of a failure is not told.
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

    /// Starts what may start, and says when the next one may.
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
    /// Whether the order is told what comes of it.
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
