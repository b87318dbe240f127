//! What a book keeps of its list beside the order, so that a request that comes again gets the
//! answer that it got, word for word and for ever: the keys and what was done under them, the events
//! by which something was done for good, and how the order stood after any event.

use std::collections::BTreeMap;

use crate::command::{Act, Actor, Answer};
use crate::event::{Cause, Event, EventKind, ProposalUpdate, fingerprint};
use crate::id::{FollowUpId, IdempotencyKey, ProposalId, SellerId, Seq, Timestamp};
use crate::order::{InvitationState, Order, Phase};

/// The event that says who is invited: the last one of every opening.
pub(super) const SELECTED: Seq = Seq(2);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// What was done under each key, for the order's whole life.
    keys: BTreeMap<(Actor, IdempotencyKey), Held>,
    /// What was done for good.
    deeds: BTreeMap<Deed, Done>,
    /// From which event on the order stood how, oldest first.
    standings: Vec<(Seq, Standing)>,
}

/// What was done under a key.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    fingerprint: u64,
    seq: Seq,
    proposal_id: Option<ProposalId>,
    follow_up_id: Option<FollowUpId>,
    /// Whether the record is from before keys had an owner.
    is_former: bool,
}

/// What no later act undoes, so that the same again has nothing to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    /// Only of a proposal that was amended: its first content.
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
    /// The fingerprint of the act with this very effect; 0 where any act of the kind has it.
    body: u64,
}

/// How an order stands, as far as answers tell.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    phase: Phase,
    expires_at: Option<Timestamp>,
}

/// The key is taken by another body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken;

/// A proposal's first content, which the event after it overwrites.
pub(super) type First = (ProposalId, Seq, u64);

impl Memory {
    /// What must be kept of the order before this event is folded.
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

    /// Keeps what there is to keep of an event that was folded into the order.
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

    /// Whoever proposes or declines has seen the order.
    fn keep_seen(&mut self, order: &Order, seller: &SellerId, seq: Seq) {
        if order.invitation(seller).is_some_and(|held| held.state >= InvitationState::Seen) {
            self.deeds.entry(Deed::Seen(seller.clone())).or_insert(Done { seq, body: 0 });
        }
    }

    /// What this request was answered before.
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
        // Sessions put the seller's name before the key once. Such a record counts where the body is
        // the same, also from a peer that still does so; one of that time takes the key as well.
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

    /// The answer that tells of an event, in the words of the time of it.
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

    /// The event by which this act is done for good already: to say it again has no effect, and its
    /// answer never changes.
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
            // Whoever was not invited has nothing to see; the selection said so.
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
    /// Whether this is the record of that request. Before ids were given by the book, a request
    /// without one got it before its fingerprint was made.
    fn is_of(&self, fingerprint_of_act: u64, act: &Act) -> bool {
        self.fingerprint == fingerprint_of_act
            || (self.is_former
                && self.named(act).is_some_and(|act| fingerprint(&act) == self.fingerprint))
    }

    /// The act with the id that was given to it then.
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

/// The key as sessions stored it once.
fn former_key(actor: &Actor, key: &IdempotencyKey) -> Option<IdempotencyKey> {
    match actor {
        Actor::Buyer => None,
        Actor::Seller(seller) => IdempotencyKey::new(format!("{seller}:{key}")).ok(),
    }
}

/// Who caused an event under a key, in records that do not say so.
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
