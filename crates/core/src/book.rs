//! The owner's state machine: commands in, events out. An order's rules are here and nowhere else.
//!
//! A step first checks the clock: if the deadline has passed, it decides the expiry before the
//! command. Then it checks the command against its key, its epoch and the order's phase, and
//! returns the command's events, or a refusal and none.

use std::borrow::Cow;

use crate::buyer::BuyerCommand;
use crate::command::{Actor, Award, Command, CommandKind, OrderOpening, Precondition, Reply};
use crate::event::{Cause, Event, EventKind, OrderOpened};
use crate::id::{Epoch, FollowUpId, Incarnation, OrderKey, ProposalId, Seq, Timestamp};
use crate::input;
use crate::limits::{END_EVENTS_RESERVED, EVENTS_MAX};
use crate::order::{FoldError, Order, Phase, ProposalPhase};
use crate::refusal::{Reason, Refusal};
use crate::withheld::{ListHash, Withheld};

use idempotency::{IdempotencyRecords, KeyConflict, SELECTION_SEQ};
use open_proposals::OpenProposals;

mod idempotency;
mod open_proposals;
mod rules;
#[cfg(test)]
mod tests;

/// One order at its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    key: OrderKey,
    order: Option<Order>,
    /// The highest epoch granted so far.
    floor: Epoch,
    /// The replies to repeated commands, kept for the whole incarnation.
    idempotency: IdempotencyRecords,
    /// The open proposals by seller and label.
    open_proposals: OpenProposals,
}

/// The result of a step: events to make durable, and the reply that may leave after that.
#[derive(Debug)]
pub struct BookOutput {
    /// The events to append, in one piece and before anything else happens. They are folded into
    /// the book already.
    pub events: Vec<Event>,
    /// The reply for the caller, released once the events (and all before them) are durable.
    pub reply: Withheld<Result<Reply, Refusal>>,
}

/// The inputs of a step besides the command: what core must not generate by itself.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time by the owner's clock.
    pub now: Timestamp,
    /// An id for a new proposal or question; needed where [`CommandKind::needs_id`] is true.
    pub fresh_id: Option<ProposalId>,
}

impl Book {
    /// Creates a book without an order.
    pub fn new(key: OrderKey) -> Self {
        Self {
            key,
            order: None,
            floor: Epoch(0),
            idempotency: IdempotencyRecords::default(),
            open_proposals: OpenProposals::default(),
        }
    }

    /// Folds one stored event, at the owner's start.
    ///
    /// # Errors
    /// Refuses an event that does not follow the last one.
    pub fn replay(&mut self, event: &Event) -> Result<(), FoldError> {
        let first = IdempotencyRecords::first_content(self.order.as_ref(), event);
        Order::fold(&mut self.order, event)?;
        if let Some(order) = &self.order {
            self.idempotency.record(order, event, first);
            self.open_proposals.record(order, event);
        }
        Ok(())
    }

    /// Raises the epoch floor from a stored grant, at the owner's start.
    pub fn replay_grant(&mut self, epoch: Epoch) {
        self.floor = self.floor.max(epoch);
    }

    /// Returns the order, if it was opened.
    pub const fn order(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    /// Returns the last event's sequence number; 0 where there is no order.
    pub fn last_seq(&self) -> Seq {
        self.order.as_ref().map_or(Seq(0), |order| order.last_seq)
    }

    /// Returns the order's tenant and id.
    pub const fn key(&self) -> &OrderKey {
        &self.key
    }

    /// Withholds a value read from this book until all that the book holds is durable.
    pub fn withhold<T>(&self, value: T) -> Withheld<T> {
        Withheld::new(value, self.list(), self.last_seq())
    }

    /// Returns the hash of the order's list, once there is an order.
    fn list(&self) -> Option<ListHash> {
        let order = self.order.as_ref()?;
        Some(ListHash::of_events(&self.key, &order.incarnation))
    }

    /// Returns the highest epoch granted so far.
    pub const fn floor(&self) -> Epoch {
        self.floor
    }

    /// Returns the time of the next step that is due by the clock, if any.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.order.as_ref().and_then(Order::next_deadline)
    }

    /// Grants the order's one tracker stream. Returns `true` if the grant is new and must be
    /// durable before the stream starts.
    ///
    /// # Errors
    /// Refuses an epoch that is lower than one granted before.
    pub fn grant(&mut self, epoch: Epoch) -> Result<bool, Refusal> {
        self.check_epoch(Some(epoch))?;
        let is_new = epoch > self.floor;
        self.floor = self.floor.max(epoch);
        Ok(is_new)
    }

    /// Decides one command, after whatever is due by the clock.
    pub fn step(&mut self, context: &Context, command: &Command) -> BookOutput {
        let mut events = Vec::new();
        // Time in a list never runs back, whatever the clock does: what was decided at the deadline
        // stays decided, and no event after it has an earlier time.
        let now =
            self.order.as_ref().map_or(context.now, |order| order.last_event.0.max(context.now));
        let context = &Context { now, fresh_id: context.fresh_id.clone() };
        self.expire_if_due(now, &mut events);
        let result = self.decide(context, command, &mut events);
        BookOutput { events, reply: Withheld::new(result, self.list(), self.last_seq()) }
    }

    /// Applies what is due by the clock: an award takes effect, the deadline passes, or the time of
    /// the decision runs out. At most two of these are due at once.
    fn expire_if_due(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        while let Some(order) =
            self.order.as_ref().filter(|order| order.next_deadline().is_some_and(|at| now >= at))
        {
            for kind in due_events(order) {
                self.append(now, None, kind, events);
            }
        }
    }

    fn decide(
        &mut self,
        context: &Context,
        command: &Command,
        events: &mut Vec<Event>,
    ) -> Result<Reply, Refusal> {
        // A key belongs to one incarnation.
        self.check_incarnation(command.incarnation.as_ref(), &command.kind)?;
        let cause = self.cause(command);
        if let Some(reply) = self.keyed_reply(cause.as_ref(), &command.kind)? {
            return Ok(reply);
        }
        let kind = self.completed(context, command);
        self.order.as_ref().map_or(Ok(()), |order| rules::sellers::check(order, &kind))?;
        if let Some(reply) = self.effect_reply(cause.as_ref(), &kind) {
            return Ok(reply);
        }
        self.check_epoch(command.epoch)?;
        self.check_precondition(command.precondition, &kind)?;
        let mut kinds = self.event_kinds(context, &kind)?;
        if kinds.is_empty() && cause.is_some() {
            kinds.extend(self.order.as_ref().and_then(|order| rules::restate(order, &kind)));
        }
        // The last sequence numbers are reserved for the order's end, which must always be
        // possible.
        let is_full = self.last_seq().0.saturating_add(END_EVENTS_RESERVED) >= EVENTS_MAX;
        if is_full && !kinds.is_empty() && !kind.is_end() {
            return Err(too_many_events());
        }
        if kinds.is_empty() {
            return Ok(self.no_op_reply(&kind));
        }
        let last = kinds.len().saturating_sub(1);
        for (index, kind) in kinds.into_iter().enumerate() {
            // The key belongs to the command's last event, whose sequence number is the reply's.
            let cause = cause.as_ref().filter(|_| index == last).cloned();
            self.append(context.now, cause, kind, events);
        }
        let last_kind = events.last().map(|event| &event.kind);
        let proposal_id = last_kind.and_then(EventKind::proposal_id).cloned();
        let follow_up_id = last_kind.and_then(EventKind::follow_up_id).cloned();
        Ok(self.idempotency.reply_at(self.last_seq(), proposal_id, follow_up_id))
    }

    /// Returns the command's key with its actor and fingerprint; `None` without a key or a known
    /// actor. Where the caller is unknown, a withdrawal's actor is the proposal's seller.
    fn cause(&self, command: &Command) -> Option<Cause> {
        let key = command.key.clone()?;
        let named_actor = || match (&command.kind, &self.order) {
            (CommandKind::Withdraw { proposal_id, seller: None, .. }, Some(order)) => {
                let proposal = order.proposals.get(proposal_id)?;
                Some(Actor::Seller(proposal.content.seller.clone()))
            }
            (kind, _) => kind.actor(),
        };
        let actor = command.actor.clone().or_else(named_actor)?;
        Some(Cause::new(key, &command.kind).by(actor))
    }

    /// Returns the command's body with what it leaves out: the seller of a withdrawal, where the
    /// caller is known, and the id of a question, which is the key where it is a free id, else the
    /// fresh id.
    fn completed<'a>(&self, context: &Context, command: &'a Command) -> Cow<'a, CommandKind> {
        if let CommandKind::Withdraw { proposal_id, reason, seller: None } = &command.kind
            && let Some(Actor::Seller(by)) = &command.actor
        {
            let (proposal_id, reason) = (proposal_id.clone(), reason.clone());
            return Cow::Owned(CommandKind::Withdraw {
                proposal_id,
                reason,
                seller: Some(by.clone()),
            });
        }
        let CommandKind::Ask { seller, question_id: None, message } = &command.kind else {
            return Cow::Borrowed(&command.kind);
        };
        let is_free = |id: &FollowUpId| {
            !input::is_reserved_id(id.as_str())
                && self.order.as_ref().is_none_or(|order| !order.questions.contains_key(id))
        };
        let as_id = |name: &str| FollowUpId::new(name).ok().filter(is_free);
        let by_key = command.key.as_ref().and_then(|key| as_id(key.as_str()));
        let fresh = || context.fresh_id.as_ref().and_then(|id| as_id(id.as_str()));
        let (seller, message) = (seller.clone(), message.clone());
        Cow::Owned(CommandKind::Ask { seller, question_id: by_key.or_else(fresh), message })
    }

    /// Returns the reply to a command that had nothing left to do; it still names the proposal or
    /// the follow-up.
    fn no_op_reply(&self, kind: &CommandKind) -> Reply {
        let is_opening = matches!(kind, CommandKind::Open(_));
        let seq = if is_opening { SELECTION_SEQ.min(self.last_seq()) } else { self.last_seq() };
        self.reply_about(kind, seq)
    }

    /// Returns the events that a command causes now.
    fn event_kinds(
        &self,
        context: &Context,
        kind: &CommandKind,
    ) -> Result<Vec<EventKind>, Refusal> {
        match (kind, &self.order) {
            (CommandKind::Open(opening), None) => {
                input::check_new_order(&self.key.order_req_id, &opening.spec)?;
                Ok(opening_events(&self.key, context.now, opening))
            }
            (CommandKind::Open(opening), Some(order)) => rules::reopen(order, opening),
            (_, None) => Err(not_found(&self.key)),
            (kind, Some(order)) => rules::decide(order, &self.open_proposals, context, kind),
        }
    }

    fn append(
        &mut self,
        now: Timestamp,
        cause: Option<Cause>,
        kind: EventKind,
        events: &mut Vec<Event>,
    ) {
        let event = Event { seq: self.last_seq().next(), at: now, cause, kind };
        let folded = self.replay(&event);
        debug_assert!(folded.is_ok(), "own events always follow");
        events.push(event);
    }

    /// Returns the first reply if the key is repeated.
    fn keyed_reply(
        &self,
        cause: Option<&Cause>,
        kind: &CommandKind,
    ) -> Result<Option<Reply>, Refusal> {
        let keyed = cause.and_then(|cause| Some((cause.actor.as_ref()?, cause)));
        let Some((actor, cause)) = keyed else { return Ok(None) };
        let result = self.idempotency.first_reply(actor, cause, kind);
        let is_hidden = |order: &Order| rules::sellers::is_hidden_duplicate(order, kind);
        if result.is_err() && self.order.as_ref().is_some_and(is_hidden) {
            return Ok(None);
        }
        result.map_err(|KeyConflict| key_conflict())
    }

    /// Returns the first reply if the command's effect is permanent and already in place.
    fn effect_reply(&self, cause: Option<&Cause>, kind: &CommandKind) -> Option<Reply> {
        // A decline is restated under a new key, for a proposal can undo it before the end.
        let is_restated = |order: &&Order| {
            let is_decline = matches!(kind, CommandKind::Decline { .. });
            is_decline && cause.is_some() && !order.phase.is_terminal()
        };
        let order = self.order.as_ref().filter(|order| !is_restated(order))?;
        self.idempotency.effect_seq(order, kind).map(|seq| self.reply_about(kind, seq))
    }

    /// Returns the reply for an event, with the proposal or the follow-up that the command names.
    fn reply_about(&self, kind: &CommandKind, seq: Seq) -> Reply {
        let (proposal_id, follow_up_id) = (kind.proposal_id(), kind.follow_up_id());
        self.idempotency.reply_at(seq, proposal_id.cloned(), follow_up_id.cloned())
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

    fn check_precondition(
        &self,
        precondition: Option<Precondition>,
        kind: &CommandKind,
    ) -> Result<(), Refusal> {
        let (observed, current) = match precondition {
            None => return Ok(()),
            Some(Precondition::LastSeq(observed)) => (observed.0, self.last_seq().0),
            Some(Precondition::Version(observed)) => {
                let target = kind.proposal_id().zip(self.order.as_ref());
                let proposal = target.and_then(|(id, order)| order.proposals.get(id));
                (u64::from(observed), proposal.map_or(0, |held| u64::from(held.version)))
            }
        };
        if observed == current {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::Changed,
            format!(
                "is at {current} and no longer at {observed}; read it again before you change it"
            ),
        )
        .with("current", current))
    }

    fn check_incarnation(
        &self,
        incarnation: Option<&Incarnation>,
        kind: &CommandKind,
    ) -> Result<(), Refusal> {
        match (incarnation, &self.order) {
            (Some(meant), Some(order))
                if *meant != order.incarnation && !matches!(kind, CommandKind::Open(_)) =>
            {
                Err(not_found(&self.key).with("incarnation", &order.incarnation))
            }
            _ => Ok(()),
        }
    }
}

/// Checks that an ended order still accepts this command: a repetition of its end or its opening,
/// or a command that cannot have an effect any more.
///
/// # Errors
/// Refuses any other command, and names the order's phase.
pub fn check_after_end(order: &Order, kind: &CommandKind) -> Result<(), Refusal> {
    rules::decide_after_end(order, kind).map(|_| ())
}

/// Derives a command's outcome from the order's end, for a caller without the command's own reply;
/// `None` where the end does not settle it and only the owner's record of the key would.
pub fn outcome_after_end(order: &Order, kind: &CommandKind) -> Option<Result<(), Refusal>> {
    if !order.phase.is_terminal() {
        return None;
    }
    let result = check_after_end(order, kind);
    if let CommandKind::FollowUp(follow_up) = kind {
        let is_in_list = order.follow_ups.contains(&follow_up.id);
        return Some(if is_in_list { Ok(()) } else { result });
    }
    let is_in_list = match kind.buyer_command()? {
        // An expiry only grows: one at least as late as this includes the extension.
        BuyerCommand::Extend(expires_in_ms) => {
            order.expires_at >= order.opened_at.plus_ms(expires_in_ms)
        }
        BuyerCommand::Close(_) | BuyerCommand::Cancel(_) => result.is_ok(),
        // A pending award may have been accepted, and the order ended by something else since.
        BuyerCommand::Finalise { undo_within_ms, .. } => {
            let could_be_pending =
                undo_within_ms.is_some_and(|ms| ms > 0) || order.awards_undone > 0;
            if result.is_err() && could_be_pending {
                return None;
            }
            result.is_ok()
        }
        // An effect that was undone since leaves no trace in the end.
        BuyerCommand::Pause(_) | BuyerCommand::Resume | BuyerCommand::UndoAward(_) => return None,
    };
    Some(if is_in_list { Ok(()) } else { result })
}

/// Does the same as [`check_after_end`], for an order of which only the end and the award are
/// known.
///
/// # Errors
/// Refuses any other command, and names the order's phase.
pub fn check_after_end_phase(
    phase: Phase,
    award: Option<&Award>,
    kind: &CommandKind,
) -> Result<(), Refusal> {
    rules::check_after_end_phase(phase, award, kind)
}

/// Returns the events that are due at an order's deadline. Folding them clears that deadline.
fn due_events(order: &Order) -> Vec<EventKind> {
    if let Some(pending) = &order.pending_award {
        return rules::decision::award_events(
            order,
            pending.award.as_ref(),
            pending.reason.as_ref(),
        );
    }
    let decide_by = decide_by(order);
    if order.is_sealed() {
        let decide_until = decide_by.unwrap_or(order.expires_at);
        return vec![EventKind::ProposalsOpened { decide_until }];
    }
    let reason = Some("the order's time is over".to_owned());
    vec![EventKind::OrderPaused { expired: true, reason, decide_by }]
}

/// Returns the time until which the buyer may decide after the deadline: the order's own, or the
/// later one at which an undone award would have counted. `None` where there is neither, where
/// nothing can be awarded, and where that time is over.
fn decide_by(order: &Order) -> Option<Timestamp> {
    let has_proposal = order.proposals.values().any(|held| held.phase == ProposalPhase::Open);
    if !has_proposal || order.decide_until.is_some() {
        return None;
    }
    let of_order = order.expires_at.plus_ms(order.spec.decide_within_ms());
    let latest = order.undone_until.map_or(of_order, |undone| undone.max(of_order));
    (latest > order.expires_at).then_some(latest)
}

fn opening_events(key: &OrderKey, now: Timestamp, opening: &OrderOpening) -> Vec<EventKind> {
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

fn key_conflict() -> Refusal {
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
