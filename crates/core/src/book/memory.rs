//! The records that a book keeps beside the order, so that a repeated request always gets its first
//! reply, unchanged: the keys and what was done under them, the events with a permanent effect, and
//! the order's standing after each event.

use std::collections::BTreeMap;

use crate::command::{Act, Actor, Answer};
use crate::event::{Cause, Event, EventKind, ProposalUpdate, fingerprint};
use crate::id::{FollowUpId, IdempotencyKey, ProposalId, SellerId, Seq, Timestamp};
use crate::order::{InvitationState, Order, Phase};

/// The event with the invited sellers: the last one of every opening.
pub(super) const SELECTED: Seq = Seq(2);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// The record of each key, kept for the whole incarnation.
    keys: BTreeMap<(Actor, IdempotencyKey), Held>,
    /// The events with a permanent effect.
    deeds: BTreeMap<Deed, Done>,
    /// The order's standings, each with its first event, oldest first.
    standings: Vec<(Seq, Standing)>,
}

/// The record of a key: the command that was done under it.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    fingerprint: u64,
    seq: Seq,
    proposal_id: Option<ProposalId>,
    follow_up_id: Option<FollowUpId>,
    /// The record is from before keys had an actor.
    is_former: bool,
}

/// An effect that no later command undoes, so that a repetition has nothing to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    /// The first content of a proposal; recorded only once it is amended.
    Proposed(ProposalId),
    Withdrawn(ProposalId),
    Declined(SellerId),
    Seen(SellerId),
    FollowUp(FollowUpId),
    Question(FollowUpId),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Done {
    seq: Seq,
    /// The fingerprint of the command with exactly this effect; 0 where every command of its kind
    /// has it.
    body: u64,
}

/// The part of an order's state that replies contain.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    phase: Phase,
    expires_at: Option<Timestamp>,
}

/// The error for a key that was used with another body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken;

/// A proposal's first content, which an amendment overwrites: id, event and fingerprint.
pub(super) type First = (ProposalId, Seq, u64);

impl Memory {
    /// Returns the first content of the proposal that this event amends for the first time, before
    /// the event is folded and overwrites it.
    pub(super) fn first_content(order: Option<&Order>, event: &Event) -> Option<First> {
        let EventKind::ProposalUpdate(ProposalUpdate::Amended { proposal, version }) = &event.kind
        else {
            return None;
        };
        let id = proposal.proposal_id.as_ref()?;
        let held = order?.proposals.get(id).filter(|held| held.version == 1 && *version > 1)?;
        let seq = *held.versions.first()?;
        Some((id.clone(), seq, fingerprint(&Act::Propose(held.content.clone()))))
    }

    /// Records an event that was folded into the order: its standing, its effect and its key.
    pub(super) fn keep(&mut self, order: &Order, event: &Event, first: Option<First>) {
        if let Some((id, seq, body)) = first {
            self.deeds.insert(Deed::Proposed(id), Done { seq, body });
        }
        let is_over = order.phase.is_terminal();
        let expires_at = Some(order.expires_at).filter(|_| !is_over);
        let standing = Standing { phase: order.phase, expires_at };
        if self.standings.last().is_none_or(|(_, last)| *last != standing) {
            self.standings.push((event.seq, standing));
        }
        self.keep_deed(order, event);
        if let Some(cause) = &event.cause {
            self.keep_key(order, event, cause);
        }
    }

    fn keep_key(&mut self, order: &Order, event: &Event, cause: &Cause) {
        let actor = cause.actor.clone().unwrap_or_else(|| actor_of(order, &event.kind));
        let held = Held {
            fingerprint: cause.fingerprint,
            seq: event.seq,
            proposal_id: event.kind.proposal_id().cloned(),
            follow_up_id: event.kind.follow_up_id().cloned(),
            is_former: cause.actor.is_none(),
        };
        self.keys.insert((actor, cause.key.clone()), held);
    }

    fn keep_deed(&mut self, order: &Order, event: &Event) {
        let (deed, body) = match &event.kind {
            EventKind::FollowUpAdded(added) => {
                (Deed::FollowUp(added.id.clone()), fingerprint(&Act::FollowUp(added.clone())))
            }
            EventKind::ProposalUpdate(ProposalUpdate::Asked { seller, question_id, message }) => {
                let (seller, message) = (seller.clone(), message.clone());
                let asked = Act::Ask { seller, question_id: Some(question_id.clone()), message };
                (Deed::Question(question_id.clone()), fingerprint(&asked))
            }
            EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, .. }) => {
                (Deed::Withdrawn(proposal_id.clone()), 0)
            }
            EventKind::ProposalUpdate(ProposalUpdate::Declined { seller, .. }) => {
                self.keep_seen(order, seller, event.seq);
                (Deed::Declined(seller.clone()), 0)
            }
            EventKind::NewProposal(proposed) => {
                return self.keep_seen(order, &proposed.seller, event.seq);
            }
            EventKind::SellerNotified { seller, .. } => {
                return self.keep_seen(order, seller, event.seq);
            }
            EventKind::OrderOpened(_)
            | EventKind::SellersSelected(_)
            | EventKind::ProposalUpdate(
                ProposalUpdate::Amended { .. } | ProposalUpdate::Answered { .. },
            )
            | EventKind::ProposalClosed { .. }
            | EventKind::EditLock { .. }
            | EventKind::OrderPaused { .. }
            | EventKind::OrderResumed
            | EventKind::OrderExtended { .. }
            | EventKind::ProposalsOpened { .. }
            | EventKind::AwardPending { .. }
            | EventKind::AwardUndone { .. }
            | EventKind::OrderFinalised { .. }
            | EventKind::OrderClosed { .. }
            | EventKind::OrderCancelled { .. } => return,
        };
        self.deeds.entry(deed).or_insert(Done { seq: event.seq, body });
    }

    /// Records that a seller has seen the order; one that proposes or declines has.
    fn keep_seen(&mut self, order: &Order, seller: &SellerId, seq: Seq) {
        if order.invitation(seller).is_some_and(|held| held.state >= InvitationState::Seen) {
            self.deeds.entry(Deed::Seen(seller.clone())).or_insert(Done { seq, body: 0 });
        }
    }

    /// Returns the first reply to this request; `None` where its key is new.
    pub(super) fn answered(
        &self,
        actor: &Actor,
        cause: &Cause,
        act: &Act,
    ) -> Result<Option<Answer>, Taken> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let own = self.keys.get(&(actor.clone(), cause.key.clone()));
        // Sessions used to put the seller's name before the key. Such a record matches where the
        // body is the same, also from a peer that still does so; one from before keys had an actor
        // also takes the key.
        let former =
            former_key(actor, &cause.key).and_then(|key| self.keys.get(&(actor.clone(), key)));
        let is_same = |held: &&Held| held.is_of(cause.fingerprint, act);
        match own.into_iter().chain(former).find(is_same) {
            Some(held) => Ok(Some(self.answer(held))),
            None if own.is_some() || former.is_some_and(|held| held.is_former) => Err(Taken),
            None => Ok(None),
        }
    }

    fn answer(&self, held: &Held) -> Answer {
        let ids = (held.proposal_id.clone(), held.follow_up_id.clone());
        self.answer_at(held.seq, ids)
    }

    /// Returns the reply for an event, with the order's standing right after it.
    pub(super) fn answer_at(
        &self,
        seq: Seq,
        (proposal_id, follow_up_id): (Option<ProposalId>, Option<FollowUpId>),
    ) -> Answer {
        let after = self.standings.partition_point(|(since, _)| *since <= seq);
        let standing = after.checked_sub(1).and_then(|index| self.standings.get(index));
        let (phase, expires_at) = standing
            .map_or((Phase::Open, None), |(_, standing)| (standing.phase, standing.expires_at));
        Answer { seq, proposal_id, follow_up_id, phase, expires_at }
    }

    /// Returns the event that gave this command its permanent effect: a repetition has no effect,
    /// and its reply never changes.
    pub(super) fn done_by(&self, order: &Order, act: &Act) -> Option<Seq> {
        let of = |deed: Deed| self.deeds.get(&deed);
        match act {
            Act::Propose(proposed) => {
                // A proposal's id serves as the key of its submission.
                let id = proposed.proposal_id.as_ref()?;
                let held = order.proposals.get(id)?;
                if held.version == 1 {
                    return held.versions.first().copied().filter(|_| held.content == *proposed);
                }
                let first = of(Deed::Proposed(id.clone()))?;
                (first.body == fingerprint(act)).then_some(first.seq)
            }
            Act::Withdraw { proposal_id, .. } => {
                of(Deed::Withdrawn(proposal_id.clone())).map(|done| done.seq)
            }
            Act::Decline { seller, .. } => of(Deed::Declined(seller.clone())).map(|done| done.seq),
            // A seller that was not invited has nothing to see, as the selection's event shows.
            Act::See { seller } if order.invitation(seller).is_none() => {
                Some(SELECTED.min(order.last_seq))
            }
            Act::See { seller } => of(Deed::Seen(seller.clone())).map(|done| done.seq),
            Act::FollowUp(added) => {
                let done = of(Deed::FollowUp(added.id.clone()))?;
                (done.body == fingerprint(act)).then_some(done.seq)
            }
            Act::Ask { question_id, .. } => {
                let done = of(Deed::Question(question_id.clone()?))?;
                (done.body == fingerprint(act)).then_some(done.seq)
            }
            Act::Open(_)
            | Act::Amend(_)
            | Act::Answer { .. }
            | Act::Notified { .. }
            | Act::Lock { .. }
            | Act::Unlock { .. }
            | Act::Pause { .. }
            | Act::Resume
            | Act::Extend { .. }
            | Act::Close { .. }
            | Act::Finalise { .. }
            | Act::UndoAward { .. }
            | Act::Cancel { .. }
            | Act::Tick => None,
        }
    }
}

impl Held {
    /// Reports whether this is the record of that request. In records from before the book assigned
    /// ids, a request without an id was given one before its fingerprint was taken.
    fn is_of(&self, fingerprint_of_act: u64, act: &Act) -> bool {
        self.fingerprint == fingerprint_of_act
            || (self.is_former
                && self.named(act).is_some_and(|act| fingerprint(&act) == self.fingerprint))
    }

    /// Returns the command with the id that was assigned to it then.
    fn named(&self, act: &Act) -> Option<Act> {
        let id = self.follow_up_id.clone()?;
        let mut act = act.clone();
        match &mut act {
            Act::FollowUp(added) => added.id = id,
            Act::Ask { question_id, .. } => *question_id = Some(id),
            Act::Open(_)
            | Act::Propose(_)
            | Act::Amend(_)
            | Act::Withdraw { .. }
            | Act::Decline { .. }
            | Act::Answer { .. }
            | Act::See { .. }
            | Act::Notified { .. }
            | Act::Lock { .. }
            | Act::Unlock { .. }
            | Act::Pause { .. }
            | Act::Resume
            | Act::Extend { .. }
            | Act::Close { .. }
            | Act::Finalise { .. }
            | Act::UndoAward { .. }
            | Act::Cancel { .. }
            | Act::Tick => return None,
        }
        Some(act)
    }
}

/// Returns the key as sessions used to store it: with the seller's name before it.
fn former_key(actor: &Actor, key: &IdempotencyKey) -> Option<IdempotencyKey> {
    match actor {
        Actor::Buyer => None,
        Actor::Seller(seller) => IdempotencyKey::new(format!("{seller}:{key}")).ok(),
    }
}

/// Returns the actor behind an event's key, for records that lack it.
fn actor_of(order: &Order, kind: &EventKind) -> Actor {
    let seller = match kind {
        EventKind::NewProposal(proposed)
        | EventKind::ProposalUpdate(ProposalUpdate::Amended { proposal: proposed, .. }) => {
            Some(&proposed.seller)
        }
        EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, .. }) => {
            order.proposals.get(proposal_id).map(|held| &held.content.seller)
        }
        EventKind::ProposalUpdate(
            ProposalUpdate::Declined { seller, .. }
            | ProposalUpdate::Answered { seller, .. }
            | ProposalUpdate::Asked { seller, .. },
        )
        | EventKind::SellerNotified { seller, .. }
        | EventKind::EditLock { holder: seller, .. } => Some(seller),
        EventKind::OrderOpened(_)
        | EventKind::SellersSelected(_)
        | EventKind::ProposalClosed { .. }
        | EventKind::FollowUpAdded(_)
        | EventKind::OrderPaused { .. }
        | EventKind::OrderResumed
        | EventKind::OrderExtended { .. }
        | EventKind::ProposalsOpened { .. }
        | EventKind::AwardPending { .. }
        | EventKind::AwardUndone { .. }
        | EventKind::OrderFinalised { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => None,
    };
    seller.map_or(Actor::Buyer, |seller| Actor::Seller(seller.clone()))
}
