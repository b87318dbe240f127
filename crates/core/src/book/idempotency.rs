//! The records that a book keeps beside the order, so that a repeated request always gets its first
//! reply, unchanged: the keys and the command done under each, the events with a permanent effect,
//! and the part of the order's state that replies contain, after each event.

use std::collections::BTreeMap;

use crate::command::{Actor, CommandKind, PermanentEffect, Reply};
use crate::event::{Cause, ConversationMessage, Event, EventKind, ProposalUpdate, fingerprint};
use crate::id::{FollowUpId, IdempotencyKey, ProposalId, SellerId, Seq, Timestamp};
use crate::order::{InvitationState, Order, Phase};

/// The last event of every opening, which names the invited sellers.
pub(super) const SELECTION_SEQ: Seq = Seq(2);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct IdempotencyRecords {
    /// The record of each key, kept for the whole incarnation.
    keys: BTreeMap<(Actor, IdempotencyKey), KeyRecord>,
    /// The events with a permanent effect.
    effects: BTreeMap<PermanentEffect, EffectRecord>,
    /// The states that replies contain, each with its first event, oldest first.
    reply_states: Vec<(Seq, ReplyState)>,
}

/// The record of a key: the command that was done under it.
#[derive(Clone, Debug, PartialEq)]
struct KeyRecord {
    fingerprint: u64,
    seq: Seq,
    proposal_id: Option<ProposalId>,
    follow_up_id: Option<FollowUpId>,
    /// The record is from before keys had an actor.
    is_legacy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct EffectRecord {
    seq: Seq,
    /// The fingerprint of the command with exactly this effect; absent where every command of its
    /// kind has it.
    body: Option<u64>,
}

/// The part of an order's state that replies contain.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ReplyState {
    phase: Phase,
    expires_at: Option<Timestamp>,
}

/// The error for a key that was used with another body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeyConflict;

/// A proposal's first content, which an amendment overwrites: id, event and fingerprint.
pub(super) type FirstContent = (ProposalId, Seq, u64);

impl IdempotencyRecords {
    /// Returns the first content of the proposal that this event amends for the first time, before
    /// the event is folded and overwrites it.
    pub(super) fn first_content(order: Option<&Order>, event: &Event) -> Option<FirstContent> {
        let EventKind::ProposalUpdate(ProposalUpdate::Amended { proposal, version }) = &event.kind
        else {
            return None;
        };
        let id = proposal.proposal_id.as_ref()?;
        let original = order?.proposals.get(id).filter(|held| held.version == 1 && *version > 1)?;
        let seq = *original.versions.first()?;
        Some((id.clone(), seq, fingerprint(&CommandKind::Propose(original.content.clone()))))
    }

    /// Records an event that was folded into the order: its reply state, its effect and its key.
    pub(super) fn record(&mut self, order: &Order, event: &Event, first: Option<FirstContent>) {
        if let Some((id, seq, body)) = first {
            self.effects
                .insert(PermanentEffect::Proposed(id), EffectRecord { seq, body: Some(body) });
        }
        let is_ended = order.phase.is_terminal();
        let expires_at = Some(order.expires_at).filter(|_| !is_ended);
        let reply_state = ReplyState { phase: order.phase, expires_at };
        if self.reply_states.last().is_none_or(|(_, last)| *last != reply_state) {
            self.reply_states.push((event.seq, reply_state));
        }
        self.record_effect(order, event);
        if let Some(cause) = &event.cause {
            self.record_key(order, event, cause);
        }
    }

    fn record_key(&mut self, order: &Order, event: &Event, cause: &Cause) {
        let actor = cause.actor.clone().unwrap_or_else(|| actor_of(order, &event.kind));
        let record = KeyRecord {
            fingerprint: cause.fingerprint,
            seq: event.seq,
            proposal_id: event.kind.proposal_id().cloned(),
            follow_up_id: event.kind.follow_up_id().cloned(),
            is_legacy: cause.actor.is_none(),
        };
        self.keys.insert((actor, cause.key.clone()), record);
    }

    fn record_effect(&mut self, order: &Order, event: &Event) {
        if let Some(seller) = event.kind.seller() {
            self.record_seen(order, seller, event.seq);
        }
        if let Some(effect) = event.kind.permanent_effect() {
            let body = exact_command(&event.kind).map(|command| fingerprint(&command));
            let record = EffectRecord { seq: event.seq, body };
            // A later decline is one of what was proposed since.
            if matches!(effect, PermanentEffect::Declined(_)) {
                self.effects.insert(effect, record);
            } else {
                self.effects.entry(effect).or_insert(record);
            }
        }
    }

    /// Records that a seller has seen the order; one that proposes or declines has.
    fn record_seen(&mut self, order: &Order, seller: &SellerId, seq: Seq) {
        if order.invitation(seller).is_some_and(|held| held.state >= InvitationState::Seen) {
            self.effects
                .entry(PermanentEffect::Seen(seller.clone()))
                .or_insert(EffectRecord { seq, body: None });
        }
    }

    /// Returns the first reply to this request; `None` where its key is new.
    pub(super) fn first_reply(
        &self,
        actor: &Actor,
        cause: &Cause,
        kind: &CommandKind,
    ) -> Result<Option<Reply>, KeyConflict> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let own = self.keys.get(&(actor.clone(), cause.key.clone()));
        // Sessions used to put the seller's name before the key. Such a record matches where the
        // body is the same, also from a peer that still does so. A record from before keys had an
        // actor also reserves the key.
        let legacy =
            legacy_key(actor, &cause.key).and_then(|key| self.keys.get(&(actor.clone(), key)));
        let is_same = |record: &&KeyRecord| record.matches(cause.fingerprint, kind);
        match own.into_iter().chain(legacy).find(is_same) {
            Some(record) => Ok(Some(self.reply(record))),
            None if own.is_some() || legacy.is_some_and(|held| held.is_legacy) => Err(KeyConflict),
            None => Ok(None),
        }
    }

    fn reply(&self, record: &KeyRecord) -> Reply {
        self.reply_at(record.seq, record.proposal_id.clone(), record.follow_up_id.clone())
    }

    /// Returns the reply for an event, with the order's state right after it.
    pub(super) fn reply_at(
        &self,
        seq: Seq,
        proposal_id: Option<ProposalId>,
        follow_up_id: Option<FollowUpId>,
    ) -> Reply {
        let after = self.reply_states.partition_point(|(since, _)| *since <= seq);
        let reply_state = after.checked_sub(1).and_then(|index| self.reply_states.get(index));
        let (phase, expires_at) = reply_state
            .map_or((Phase::Open, None), |(_, standing)| (standing.phase, standing.expires_at));
        Reply { seq, proposal_id, follow_up_id, phase, expires_at }
    }

    /// Returns the event that gave this command its permanent effect: a repetition has no effect,
    /// and its reply never changes.
    pub(super) fn effect_seq(&self, order: &Order, kind: &CommandKind) -> Option<Seq> {
        let effect = kind.permanent_effect()?;
        if let CommandKind::Propose(proposed) = kind {
            // A proposal's id serves as the key of its submission.
            let proposal = order.proposals.get(proposed.proposal_id.as_ref()?)?;
            if proposal.version == 1 {
                let first = proposal.versions.first().copied();
                return first.filter(|_| proposal.content == *proposed);
            }
        }
        // A withdrawal by another seller is no repetition.
        if let CommandKind::Withdraw { proposal_id, seller: Some(by), .. } = kind
            && order.proposals.get(proposal_id).is_some_and(|held| held.content.seller != *by)
        {
            return None;
        }
        // A seller that was not invited has nothing to see, as the selection's event shows.
        if let PermanentEffect::Seen(seller) = &effect
            && order.invitation(seller).is_none()
        {
            return Some(SELECTION_SEQ.min(order.last_seq));
        }
        // Which hidden event is this seller's stays hidden from whoever repeats its command.
        let is_hidden = matches!(effect, PermanentEffect::Seen(_) | PermanentEffect::Declined(_));
        if is_hidden && order.is_sealed() {
            return None;
        }
        // A decline is undone by what its seller proposes later.
        if let PermanentEffect::Declined(seller) = &effect
            && !order.has_declined(seller)
        {
            return None;
        }
        let record = self.effects.get(&effect)?;
        record.body.is_none_or(|body| body == fingerprint(kind)).then_some(record.seq)
    }
}

impl KeyRecord {
    /// Reports whether this is the record of that request. In records from before the book assigned
    /// ids, a request without an id got one before its fingerprint was computed.
    fn matches(&self, command_fingerprint: u64, kind: &CommandKind) -> bool {
        self.fingerprint == command_fingerprint
            || (self.is_legacy
                && self
                    .with_assigned_id(kind)
                    .is_some_and(|act| fingerprint(&act) == self.fingerprint))
    }

    /// Returns the command with the id that was assigned to it then.
    fn with_assigned_id(&self, kind: &CommandKind) -> Option<CommandKind> {
        let id = self.follow_up_id.clone()?;
        let mut kind = kind.clone();
        if let CommandKind::FollowUp(added) = &mut kind {
            added.id = id;
        } else if let CommandKind::Ask { question_id, .. } = &mut kind {
            *question_id = Some(id);
        } else {
            return None;
        }
        Some(kind)
    }
}

/// Returns the key as sessions used to store it: with the seller's name before it.
fn legacy_key(actor: &Actor, key: &IdempotencyKey) -> Option<IdempotencyKey> {
    match actor {
        Actor::Buyer => None,
        Actor::Seller(seller) => IdempotencyKey::new(format!("{seller}:{key}")).ok(),
    }
}

/// Returns the one command that has an event's effect, where others of its kind have another.
fn exact_command(kind: &EventKind) -> Option<CommandKind> {
    match kind.message()? {
        ConversationMessage::FollowUp(added) => Some(CommandKind::FollowUp(added.clone())),
        ConversationMessage::Question { seller, id, text } => Some(CommandKind::Ask {
            seller: seller.clone(),
            question_id: Some(id.clone()),
            message: text.to_owned(),
        }),
        ConversationMessage::Answer { .. } => None,
    }
}

/// Returns the actor behind an event's key, for records that lack it.
fn actor_of(order: &Order, kind: &EventKind) -> Actor {
    let seller =
        if let EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, .. }) = kind {
            order.proposals.get(proposal_id).map(|held| &held.content.seller)
        } else {
            kind.seller()
        };
    seller.map_or(Actor::Buyer, |seller| Actor::Seller(seller.clone()))
}
