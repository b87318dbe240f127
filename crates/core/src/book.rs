//! The owner's machine: commands in, events out. The only place where an order's rules live.
//!
//! A step first looks at the clock: if the deadline has passed, the expiry is decided before the
//! command is. Then the command is checked against its key, its epoch and the order's phase, and
//! gives events, or a refusal and no events.

use std::borrow::Cow;

use crate::command::{Act, Actor, Answer, Award, Command, Expected, Opening};
use crate::event::{Cause, Event, EventKind, OrderOpened};
use crate::id::{Epoch, FollowUpId, Incarnation, OrderKey, ProposalId, Seq, Timestamp};
use crate::limits::{DECIDE_IN_MS, EVENTS_MAX, EVENTS_OF_AN_END};
use crate::order::{FoldError, Order, Phase};
use crate::refusal::{Reason, Refusal};
use crate::withheld::{ListHash, Withheld};

use memory::{Memory, SELECTED, Taken};

mod memory;
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
    /// What repetitions are answered, for the order's whole life.
    memory: Memory,
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
    /// An id for a new proposal or question; needed where [`Act::needs_id`] says so.
    pub fresh_id: Option<ProposalId>,
}

impl Book {
    /// A book without an order.
    pub fn new(key: OrderKey) -> Self {
        Self { key, order: None, floor: Epoch(0), memory: Memory::default() }
    }

    /// Folds one stored event, at the owner's start.
    ///
    /// # Errors
    /// An event out of its turn.
    pub fn replay(&mut self, event: &Event) -> Result<(), FoldError> {
        let first = Memory::first_content(self.order.as_ref(), event);
        Order::fold(&mut self.order, event)?;
        if let Some(order) = &self.order {
            self.memory.keep(order, event, first);
        }
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
        Withheld::new(value, self.list(), self.last_seq())
    }

    /// The list of events, once there is an order.
    fn list(&self) -> Option<ListHash> {
        let order = self.order.as_ref()?;
        Some(ListHash::of_events(&self.key, &order.incarnation))
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
        Output { events, answer: Withheld::new(result, self.list(), self.last_seq()) }
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
        // A key belongs to one life of the name.
        self.check_incarnation(command.incarnation.as_ref(), &command.act)?;
        let cause = self.cause(command);
        if let Some(answer) = self.said_before(cause.as_ref(), &command.act)? {
            return Ok(answer);
        }
        self.check_epoch(command.epoch)?;
        self.check_expected(command.expected, &command.act)?;
        let act = self.named(context, command);
        let mut kinds = self.kinds(context, &act)?;
        if kinds.is_empty() && cause.is_some() {
            kinds.extend(self.order.as_ref().and_then(|order| rules::restate(order, &act)));
        }
        // The last numbers are kept for the order's end, which must always be possible.
        let is_full = self.last_seq().0.saturating_add(EVENTS_OF_AN_END) >= EVENTS_MAX;
        if is_full && !kinds.is_empty() && !act.is_end() {
            return Err(too_many_events());
        }
        if kinds.is_empty() {
            return Ok(self.nothing_to_do(&act));
        }
        let last = kinds.len().saturating_sub(1);
        for (index, kind) in kinds.into_iter().enumerate() {
            // The key belongs to the act's last event, whose number is the answer's.
            let cause = cause.as_ref().filter(|_| index == last).cloned();
            self.append(context.now, cause, kind, events);
        }
        let kind = events.last().map(|event| &event.kind);
        let proposal_id = kind.and_then(EventKind::proposal_id).cloned();
        let follow_up_id = kind.and_then(EventKind::follow_up_id).cloned();
        Ok(self.memory.answer_at(self.last_seq(), (proposal_id, follow_up_id)))
    }

    /// The command's key with its owner. What nobody asked for has none, nor has what is asked about
    /// a proposal that is not there.
    fn cause(&self, command: &Command) -> Option<Cause> {
        let key = command.key.clone()?;
        let named = || match (&command.act, &self.order) {
            (Act::Withdraw { proposal_id, .. }, Some(order)) => {
                let held = order.proposals.get(proposal_id)?;
                Some(Actor::Seller(held.content.seller.clone()))
            }
            (act, _) => act.actor(),
        };
        let actor = command.actor.clone().or_else(named)?;
        Some(Cause::new(key, &command.act).by(actor))
    }

    /// The act with the id that its question gets, where it names none: the key, or one that the
    /// owner made up where another question has that.
    fn named<'a>(&self, context: &Context, command: &'a Command) -> Cow<'a, Act> {
        let Act::Ask { seller, question_id: None, message } = &command.act else {
            return Cow::Borrowed(&command.act);
        };
        let is_free = |id: &FollowUpId| {
            self.order.as_ref().is_none_or(|order| !order.questions.contains_key(id))
        };
        let as_id = |name: &str| FollowUpId::new(name).ok().filter(is_free);
        let by_key = command.key.as_ref().and_then(|key| as_id(key.as_str()));
        let fresh = || context.fresh_id.as_ref().and_then(|id| as_id(id.as_str()));
        let (seller, message) = (seller.clone(), message.clone());
        Cow::Owned(Act::Ask { seller, question_id: by_key.or_else(fresh), message })
    }

    /// What is answered where nothing was left to do; it still says what it was about.
    fn nothing_to_do(&self, act: &Act) -> Answer {
        let is_opening = matches!(act, Act::Open(_));
        let seq = if is_opening { SELECTED.min(self.last_seq()) } else { self.last_seq() };
        self.memory.answer_at(seq, (act.proposal_id().cloned(), act.follow_up_id().cloned()))
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
        let folded = self.replay(&event);
        debug_assert!(folded.is_ok(), "own events always follow");
        events.push(event);
    }

    /// The answer to what was asked before, or is done for good by whoever asked for it.
    fn said_before(&self, cause: Option<&Cause>, act: &Act) -> Result<Option<Answer>, Refusal> {
        let keyed = cause.and_then(|cause| Some((cause.actor.as_ref()?, cause)));
        let answered = keyed.map(|(actor, cause)| self.memory.answered(actor, cause, act));
        match answered.transpose() {
            Ok(Some(Some(answer))) => return Ok(Some(answer)),
            Ok(Some(None) | None) => {}
            Err(Taken) => return Err(key_is_taken()),
        }
        let done = self.order.as_ref().and_then(|order| self.memory.done_by(order, act));
        let ids = || (act.proposal_id().cloned(), act.follow_up_id().cloned());
        Ok(done.map(|seq| self.memory.answer_at(seq, ids())))
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

/// What came of an act of which only the order's end is known, and not its own answer; `None` where
/// the end does not tell, and only the owner's memory of the act's key would.
pub fn settled_by_the_end(order: &Order, act: &Act) -> Option<Result<(), Refusal>> {
    if !order.phase.is_terminal() {
        return None;
    }
    let answer = after_the_end(order, act);
    let is_in_list = match act {
        Act::FollowUp(follow_up) => order.follow_ups.contains(&follow_up.id),
        // An expiry only grows: one as late as this has it in it.
        Act::Extend { expires_in_ms } => {
            order.expires_at >= order.opened_at.plus_ms(*expires_in_ms)
        }
        Act::Close { .. } | Act::Cancel { .. } => answer.is_ok(),
        // One that waited to count may have been taken, and ended by something else since.
        Act::Finalise { undo_within_ms, .. } => {
            let waited = undo_within_ms.is_some_and(|ms| ms > 0) || order.awards_undone > 0;
            if answer.is_err() && waited {
                return None;
            }
            answer.is_ok()
        }
        // What was taken back since leaves no trace in the end.
        Act::Pause { .. } | Act::Resume | Act::UndoAward { .. } => return None,
        Act::Open(_)
        | Act::Propose(_)
        | Act::Amend(_)
        | Act::Withdraw { .. }
        | Act::Decline { .. }
        | Act::Answer { .. }
        | Act::Ask { .. }
        | Act::See { .. }
        | Act::Notified { .. }
        | Act::Lock { .. }
        | Act::Unlock { .. }
        | Act::Tick => return None,
    };
    Some(if is_in_list { Ok(()) } else { answer })
}

/// [`after_the_end`] of an order of which only its end and who won are known.
///
/// # Errors
/// Why not.
pub fn after_an_end(end: (Phase, Option<&Award>), act: &Act) -> Result<(), Refusal> {
    rules::after_an_end(end, act)
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

fn key_is_taken() -> Refusal {
    Refusal {
        field: Some("idempotency_key".to_owned()),
        ..Refusal::new(
            Reason::IdempotencyConflict,
            "was used with another body; use a new key for a new request",
        )
    }
}

fn too_many_events() -> Refusal {
    Refusal::new(
        Reason::LimitReached,
        format!("the order has {EVENTS_MAX} events, the most that one order may have"),
    )
}
