//! The owner's machine: commands in, events out. The only place where an order's rules live.
//!
//! A step first looks at the clock: if the deadline has passed, the expiry is decided before the
//! command is. Then the command is checked against its key, its epoch and the order's phase, and
//! gives events, or a refusal and no events.

use std::collections::BTreeMap;

use crate::command::{Act, Answer, Command, Expected, Opening};
use crate::event::{Cause, Event, EventKind, OrderOpened};
use crate::id::{Epoch, IdempotencyKey, Incarnation, OrderKey, ProposalId, Seq, Timestamp};
use crate::limits::{DECIDE_IN_MS, EVENTS_MAX, EVENTS_OF_AN_END};
use crate::order::{FoldError, Order, Phase};
use crate::refusal::{Reason, Refusal};
use crate::withheld::Withheld;

mod rules;
#[cfg(test)]
mod tests;

/// One order at its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    key: OrderKey,
    order: Option<Order>,
    /// The highest epoch that was granted.
    floor: Epoch,
    /// What each key answered, for the order's whole life.
    answers: BTreeMap<IdempotencyKey, Remembered>,
}

#[derive(Clone, Debug, PartialEq)]
struct Remembered {
    fingerprint: u64,
    answer: Answer,
}

/// What a step gives: events to make durable, and the answer that may leave after that.
#[derive(Debug)]
pub struct Output {
    /// To be appended, in one piece, before anything else happens. Folded into the book already.
    pub events: Vec<Event>,
    /// For the caller, once the events (and all before them) are on disk.
    pub answer: Withheld<Result<Answer, Refusal>>,
}

/// What a command needs besides itself: all that core must not make up.
#[derive(Clone, Debug)]
pub struct Context {
    /// The owner's clock.
    pub now: Timestamp,
    /// An id for a new proposal; needed where [`Act::needs_id`] says so.
    pub fresh_id: Option<ProposalId>,
}

impl Book {
    /// A book without an order.
    pub const fn new(key: OrderKey) -> Self {
        Self { key, order: None, floor: Epoch(0), answers: BTreeMap::new() }
    }

    /// Folds one stored event, at the owner's start.
    ///
    /// # Errors
    /// An event out of its turn.
    pub fn replay(&mut self, event: &Event) -> Result<(), FoldError> {
        Order::fold(&mut self.order, event)?;
        self.remember(event);
        Ok(())
    }

    /// Raises the epoch floor from a stored grant, at the owner's start.
    pub fn replay_grant(&mut self, epoch: Epoch) {
        self.floor = self.floor.max(epoch);
    }

    /// The order, if it was opened.
    pub const fn order(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    /// The last event.
    pub fn last_seq(&self) -> Seq {
        self.order.as_ref().map_or(Seq(0), |order| order.last_seq)
    }

    /// Whose, and which number.
    pub const fn key(&self) -> &OrderKey {
        &self.key
    }

    /// Wraps what was read from this book: it may leave once all that the book holds is on disk.
    pub fn withhold<T>(&self, value: T) -> Withheld<T> {
        Withheld::new(value, self.last_seq())
    }

    /// The highest epoch that was granted.
    pub const fn floor(&self) -> Epoch {
        self.floor
    }

    /// When the owner has to look at the clock, if it has to.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.order.as_ref().and_then(Order::next_deadline)
    }

    /// Grants the order's one tracker stream. `true` means that the grant is new and must be on
    /// disk before the stream starts.
    ///
    /// # Errors
    /// A lower epoch than one granted before.
    pub fn grant(&mut self, epoch: Epoch) -> Result<bool, Refusal> {
        self.check_epoch(Some(epoch))?;
        let is_new = epoch > self.floor;
        self.floor = self.floor.max(epoch);
        Ok(is_new)
    }

    /// Decides one command.
    pub fn step(&mut self, context: &Context, command: &Command) -> Output {
        let mut events = Vec::new();
        self.expire_if_due(context.now, &mut events);
        let result = self.decide(context, command, &mut events);
        Output { events, answer: Withheld::new(result, self.last_seq()) }
    }

    /// Does what the clock demands: an award counts, a sealed order is opened, or time is over. At
    /// most two of these are due at one time: an opening, and the end of the time to decide.
    fn expire_if_due(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        while let Some(order) =
            self.order.as_ref().filter(|order| order.next_deadline().is_some_and(|at| now >= at))
        {
            for kind in due(order) {
                self.append(now, None, kind, events);
            }
        }
    }

    fn decide(
        &mut self,
        context: &Context,
        command: &Command,
        events: &mut Vec<Event>,
    ) -> Result<Answer, Refusal> {
        let cause = command.key.clone().map(|key| Cause::new(key, &command.act));
        if let Some(answer) = self.repeated(cause.as_ref())? {
            return Ok(answer);
        }
        self.check_epoch(command.epoch)?;
        self.check_incarnation(command.incarnation.as_ref(), &command.act)?;
        self.check_expected(command.expected, &command.act)?;
        let mut kinds = self.kinds(context, &command.act)?;
        if kinds.is_empty() && cause.is_some() {
            kinds.extend(self.order.as_ref().and_then(|order| rules::restate(order, &command.act)));
        }
        // The last numbers are kept for the order's end, which must always be possible.
        let is_full = self.last_seq().0.saturating_add(EVENTS_OF_AN_END) >= EVENTS_MAX;
        if is_full && !kinds.is_empty() && !command.act.is_end() {
            return Err(too_many_events());
        }
        let last = kinds.len().saturating_sub(1);
        for (index, kind) in kinds.into_iter().enumerate() {
            // The key belongs to the act's last event, whose number is the answer's.
            let cause = cause.as_ref().filter(|_| index == last).cloned();
            self.append(context.now, cause, kind, events);
        }
        let mut answer = self.answer(events.last());
        if events.is_empty() {
            // Nothing was left to do; the answer still says what it was about.
            answer.proposal_id = command.act.proposal_id().cloned();
            answer.follow_up_id = command.act.follow_up_id().cloned();
        }
        Ok(answer)
    }

    /// The events that an act causes now.
    fn kinds(&self, context: &Context, act: &Act) -> Result<Vec<EventKind>, Refusal> {
        match (act, &self.order) {
            (Act::Open(opening), None) => Ok(open(&self.key, context.now, opening)),
            (Act::Open(opening), Some(order)) => rules::reopen(order, opening),
            (_, None) => Err(not_found(&self.key)),
            (act, Some(order)) => rules::decide(order, context, act),
        }
    }

    fn append(
        &mut self,
        now: Timestamp,
        cause: Option<Cause>,
        kind: EventKind,
        events: &mut Vec<Event>,
    ) {
        // Time in a list never runs back, whatever the clock does.
        let at = self.order.as_ref().map_or(now, |order| order.last_event.0.max(now));
        let event = Event { seq: self.last_seq().next(), at, cause, kind };
        let folded = Order::fold(&mut self.order, &event);
        debug_assert!(folded.is_ok(), "own events always follow");
        self.remember(&event);
        events.push(event);
    }

    fn remember(&mut self, event: &Event) {
        if let Some(cause) = &event.cause {
            let answer = self.answer(Some(event));
            let fingerprint = cause.fingerprint;
            self.answers.insert(cause.key.clone(), Remembered { fingerprint, answer });
        }
    }

    fn answer(&self, event: Option<&Event>) -> Answer {
        let kind = event.map(|event| &event.kind);
        Answer {
            seq: event.map_or_else(|| self.last_seq(), |event| event.seq),
            proposal_id: kind.and_then(EventKind::proposal_id).cloned(),
            follow_up_id: kind.and_then(EventKind::follow_up_id).cloned(),
            phase: self.order.as_ref().map_or(Phase::Open, |order| order.phase),
        }
    }

    fn repeated(&self, cause: Option<&Cause>) -> Result<Option<Answer>, Refusal> {
        let Some(cause) = cause else { return Ok(None) };
        match self.answers.get(&cause.key) {
            None => Ok(None),
            Some(held) if held.fingerprint == cause.fingerprint => Ok(Some(held.answer.clone())),
            Some(_) => Err(Refusal {
                field: Some("idempotency_key".to_owned()),
                ..Refusal::new(
                    Reason::IdempotencyConflict,
                    "was used with another body; use a new key for a new request",
                )
            }),
        }
    }

    fn check_epoch(&self, epoch: Option<Epoch>) -> Result<(), Refusal> {
        match epoch {
            #[cfg(feature = "plant-bugs")]
            Some(_) if crate::plant::is_planted(crate::plant::Bug::NoEpochCheck) => Ok(()),
            Some(epoch) if epoch < self.floor => {
                let (given, floor) = (epoch.0, self.floor.0);
                Err(Refusal::new(
                    Reason::StaleEpoch,
                    format!("epoch {given} is lower than {floor}, which was granted since"),
                )
                .with("epoch_floor", floor))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_expected(&self, expected: Option<Expected>, act: &Act) -> Result<(), Refusal> {
        let (seen, now) = match expected {
            None => return Ok(()),
            Some(Expected::LastSeq(seen)) => (seen.0, self.last_seq().0),
            Some(Expected::Version(seen)) => {
                let held = act.proposal_id().zip(self.order.as_ref());
                let held = held.and_then(|(id, order)| order.proposals.get(id));
                (u64::from(seen), held.map_or(0, |held| u64::from(held.version)))
            }
        };
        if seen == now {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::Changed,
            format!("is at {now} and no longer at {seen}; read it again before you change it"),
        )
        .with("current", now))
    }

    fn check_incarnation(
        &self,
        incarnation: Option<&Incarnation>,
        act: &Act,
    ) -> Result<(), Refusal> {
        match (incarnation, &self.order) {
            (Some(meant), Some(order))
                if *meant != order.incarnation && !matches!(act, Act::Open(_)) =>
            {
                Err(not_found(&self.key).with("incarnation", &order.incarnation))
            }
            _ => Ok(()),
        }
    }
}

/// Whether an order that reached its end takes this act all the same: only the end itself can be said
/// again.
///
/// # Errors
/// Why not.
pub fn after_the_end(order: &Order, act: &Act) -> Result<(), Refusal> {
    rules::after_the_end(order, act).map(|_| ())
}

/// What happens when an order's time comes; each ends the cause of its deadline.
fn due(order: &Order) -> Vec<EventKind> {
    if let Some(pending) = &order.pending_award {
        return rules::decision::count(order, pending.award.as_ref(), pending.reason.as_ref());
    }
    if order.is_sealed() {
        let decide_until = order.expires_at.plus_ms(DECIDE_IN_MS);
        return vec![EventKind::ProposalsOpened { decide_until }];
    }
    let reason = Some("the order's time is over".to_owned());
    vec![EventKind::OrderPaused { expired: true, reason }]
}

fn open(key: &OrderKey, now: Timestamp, opening: &Opening) -> Vec<EventKind> {
    let opened = OrderOpened {
        key: key.clone(),
        incarnation: opening.incarnation.clone(),
        spec: opening.spec.clone(),
        expires_at: now.plus_ms(opening.spec.expires_in_ms),
    };
    vec![
        EventKind::OrderOpened(Box::new(opened)),
        EventKind::SellersSelected(opening.choices.clone()),
    ]
}

fn not_found(key: &OrderKey) -> Refusal {
    Refusal::new(Reason::OrderNotFound, format!("order {key} is not known here"))
}

fn too_many_events() -> Refusal {
    Refusal::new(
        Reason::LimitReached,
        format!("the order has {EVENTS_MAX} events, the most that one order may have"),
    )
}
