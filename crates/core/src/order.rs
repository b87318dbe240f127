//! An order, folded from its events. Owner and followers fold the same events with the same
//! function, so both ends hold the same order.
//!
//! ```text
//!            Pause           the deadline, with proposals and time to decide
//!   Open ───────────▶ Paused ──────────────────▶ Deciding
//!     ▲ └──────────────│──────────────────────▶     │
//!     └──── Resume ────┘                            │
//!     │                │                            │
//!     ├────────────────┴────── the deadline ────────┤ no time is left to decide ─▶ Expired   ┐
//!     └──────────────────────────── Close ──────────┤                            ▶ Closed    ├ final
//!                                   Finalise ───────┤                            ▶ Finalised │
//!                                   Cancel ─────────┘                            ▶ Cancelled ┘
//! ```
//!
//! From its deadline on, an order takes no proposals, edits or questions. A sealed order is opened
//! then. A pending award leaves the phase as it is until it takes effect.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::{Award, ProposalContent};
use crate::event::{Event, EventKind, ProposalUpdate};
use crate::id::{FollowUpId, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp};
use crate::limits::DECIDE_WITHIN_MS_MAX;
use crate::seal::SEALED;
use crate::spec::{OrderSpec, SellerChoice};

mod invitation;
mod outcome;
mod selection;

pub use invitation::{Invitation, InvitationState};
pub use outcome::ProposalCounts;

/// The phase of an order between its opening and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Takes proposals.
    Open,
    /// Takes no proposals for a while.
    Paused,
    /// Takes no proposals any more, and waits for the buyer's decision.
    Deciding,
    /// Ended with or without a winner.
    Finalised,
    /// Ended when its time ran out, without a decision.
    Expired,
    /// Ended without an award.
    Closed,
    /// Ended as if it had not been requested.
    Cancelled,
}

impl Phase {
    /// Every phase, for tables and metrics.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Paused,
        Self::Deciding,
        Self::Finalised,
        Self::Expired,
        Self::Closed,
        Self::Cancelled,
    ];

    /// Reports whether the order has ended; no other phase follows then.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Open | Self::Paused | Self::Deciding => false,
            Self::Finalised | Self::Expired | Self::Closed | Self::Cancelled => true,
        }
    }

    /// Reports whether the deadline was not reached: sellers may still be at work on the order.
    pub const fn is_before_deadline(self) -> bool {
        matches!(self, Self::Open | Self::Paused)
    }

    /// Returns the spelling on the wire and in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Paused => "Paused",
            Self::Deciding => "Deciding",
            Self::Finalised => "Finalised",
            Self::Expired => "Expired",
            Self::Closed => "Closed",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// The phase of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalPhase {
    /// Can be amended and awarded, or has won.
    Open,
    /// Withdrawn by its seller.
    Withdrawn,
    /// Did not win.
    Closed,
}

/// A proposal in its current state.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The newest content.
    pub content: ProposalContent,
    /// The number of the newest version; 1 is the first.
    pub version: u32,
    /// The proposal's phase.
    pub phase: ProposalPhase,
    /// The holder of the edit lock, and the end of the lease.
    pub lock: Option<(SellerId, Timestamp)>,
    /// The time at which it was proposed.
    pub at: Timestamp,
    /// The event of each version, oldest first.
    pub versions: Vec<Seq>,
    /// Set once its seller has declined the order after its newest version.
    pub declined: bool,
}

impl Proposal {
    /// Returns the holder of the edit lock at this time, if there is one.
    pub fn locked_by(&self, now: Timestamp) -> Option<&SellerId> {
        self.lock.as_ref().filter(|(_, until)| *until > now).map(|(holder, _)| holder)
    }
}

/// An award that can still be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAward {
    /// The award; nobody is to win where it is absent.
    pub award: Option<Award>,
    /// The buyer's reason.
    pub reason: Option<String>,
    /// The time at which it takes effect.
    pub effective_at: Timestamp,
}

/// An order, folded from its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The order's content.
    pub spec: OrderSpec,
    /// The order's phase.
    pub phase: Phase,
    /// The time of the opening.
    pub opened_at: Timestamp,
    /// The deadline for proposals; a sealed order is opened then.
    pub expires_at: Timestamp,
    /// The time of its end; absent before it.
    pub ended_at: Option<Timestamp>,
    /// The sellers that were considered, with the verdict on each.
    pub choices: Vec<SellerChoice>,
    /// The chosen sellers, sorted by name, and the state of each.
    pub invitations: Vec<Invitation>,
    /// All proposals by id.
    pub proposals: BTreeMap<ProposalId, Proposal>,
    /// The sellers that declined, invited or not.
    pub declined: BTreeSet<SellerId>,
    /// The buyer's follow-ups, oldest first.
    pub follow_ups: Vec<FollowUpId>,
    /// The sellers' questions, and the seller that asked each.
    pub questions: BTreeMap<FollowUpId, SellerId>,
    /// The award; absent before it takes effect, and where nobody won.
    pub award: Option<Award>,
    /// The decision that can still be undone, if there is one.
    pub pending_award: Option<Box<PendingAward>>,
    /// The number of awards that were undone.
    pub awards_undone: u32,
    /// The latest time at which an undone award would have counted; absent where none was undone.
    /// The buyer can award another until then.
    pub undone_until: Option<Timestamp>,
    /// The time until which it waits for a decision; absent before its deadline.
    pub decide_until: Option<Timestamp>,
    /// The last event that paused or resumed it; 0 where none did.
    pub suspension_seq: Seq,
    /// The last event.
    pub last_seq: Seq,
    /// The last event's time and name.
    pub last_event: (Timestamp, &'static str),
}

/// The error for an event that cannot follow those folded so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The sequence number is not the next one.
    #[error("event {got} came where {expected} was due")]
    Gap {
        /// The sequence number that was due.
        expected: Seq,
        /// The event's sequence number.
        got: Seq,
    },
    /// The first event is not the opening.
    #[error("the list does not begin with OrderOpened")]
    NotOpened,
}

impl Order {
    /// Folds one event into the order, which the first event opens.
    ///
    /// # Errors
    /// Refuses an event that is not the next one; the order does not change then.
    pub fn fold(order: &mut Option<Self>, event: &Event) -> Result<(), FoldError> {
        if let Some(order) = order {
            return order.fold_next(event);
        }
        if event.seq != Seq(1) {
            return Err(FoldError::Gap { expected: Seq(1), got: event.seq });
        }
        let EventKind::OrderOpened(opened) = &event.kind else { return Err(FoldError::NotOpened) };
        *order = Some(Self { last_seq: event.seq, ..Self::opened(opened, event.at) });
        Ok(())
    }

    /// Folds the event that follows the last one.
    ///
    /// # Errors
    /// Refuses an event that is not the next one; the order does not change then.
    pub fn fold_next(&mut self, event: &Event) -> Result<(), FoldError> {
        let expected = self.last_seq.next();
        if event.seq != expected {
            return Err(FoldError::Gap { expected, got: event.seq });
        }
        self.apply(event.seq, event.at, &event.kind);
        if matches!(event.kind, EventKind::OrderPaused { .. } | EventKind::OrderResumed) {
            self.suspension_seq = event.seq;
        }
        self.last_seq = event.seq;
        self.last_event = (event.at, event.kind.as_str());
        Ok(())
    }

    fn opened(opened: &crate::event::OrderOpened, at: Timestamp) -> Self {
        Self {
            key: opened.key.clone(),
            incarnation: opened.incarnation.clone(),
            spec: opened.spec.clone(),
            phase: Phase::Open,
            opened_at: at,
            expires_at: opened.expires_at,
            ended_at: None,
            choices: Vec::new(),
            invitations: Vec::new(),
            proposals: BTreeMap::new(),
            declined: BTreeSet::new(),
            follow_ups: Vec::new(),
            questions: BTreeMap::new(),
            award: None,
            pending_award: None,
            awards_undone: 0,
            undone_until: None,
            decide_until: None,
            suspension_seq: Seq(0),
            last_seq: Seq(0),
            last_event: (at, "OrderOpened"),
        }
    }

    fn apply(&mut self, seq: Seq, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::OrderOpened(_) => {}
            EventKind::SellersSelected(choices) => self.select(seq, at, choices),
            EventKind::SellerNotified { seller, result, reason, .. } => {
                self.advance(seller, at, InvitationState::from(*result), reason.as_ref());
            }
            EventKind::NewProposal(content) => self.add_proposal(seq, at, content),
            EventKind::ProposalUpdate(update) => self.update_proposal(seq, at, update),
            EventKind::ProposalClosed { proposal_id, .. } => {
                self.set_proposal_phase(proposal_id, ProposalPhase::Closed);
            }
            EventKind::EditLock { proposal_id, holder, until } => {
                if let Some(proposal) = self.proposals.get_mut(proposal_id) {
                    proposal.lock = until.map(|until| (holder.clone(), until));
                }
            }
            EventKind::FollowUpAdded(follow_up) => self.follow_ups.push(follow_up.id.clone()),
            EventKind::OrderPaused { expired: false, .. } => self.suspend(Phase::Paused),
            EventKind::OrderPaused { expired: true, decide_by: Some(decide_until), .. }
            | EventKind::ProposalsOpened { decide_until } => {
                self.phase = Phase::Deciding;
                self.decide_until = Some(*decide_until);
            }
            EventKind::OrderPaused { expired: true, decide_by: None, .. } => {
                self.end(at, Phase::Expired);
            }
            EventKind::OrderResumed => self.suspend(Phase::Open),
            EventKind::OrderExtended { expires_at } => self.expires_at = *expires_at,
            EventKind::AwardPending { award, reason, effective_at } => {
                let (award, reason) = (award.clone(), reason.clone());
                let effective_at = *effective_at;
                self.pending_award = Some(Box::new(PendingAward { award, reason, effective_at }));
            }
            EventKind::AwardUndone { .. } => self.undo_award(),
            EventKind::OrderFinalised { award, .. } => {
                self.award.clone_from(award);
                self.end(at, Phase::Finalised);
            }
            EventKind::OrderClosed { .. } => self.end(at, Phase::Closed),
            EventKind::OrderCancelled { .. } => self.end(at, Phase::Cancelled),
        }
    }

    /// Pauses or resumes the order before its deadline. Lists of earlier versions do so after it too,
    /// and the order waits for a decision all the same.
    const fn suspend(&mut self, phase: Phase) {
        if self.decide_until.is_none() {
            self.phase = phase;
        }
    }

    /// Moves an invited seller to a later state, and never back.
    fn advance(
        &mut self,
        seller: &SellerId,
        at: Timestamp,
        state: InvitationState,
        reason: Option<&String>,
    ) {
        let is_sealed = self.is_sealed();
        let found = self.invitations.binary_search_by(|held| held.seller.cmp(seller));
        if let Some(invitation) = found.ok().and_then(|index| self.invitations.get_mut(index)) {
            match is_sealed {
                true => invitation.advance_under_seal(at, state, reason),
                false => invitation.advance(at, state, reason),
            }
        }
    }

    /// Drops the pending award, and leaves its buyer at least the time that it had still to run, up
    /// to the longest time that any order waits for a decision.
    fn undo_award(&mut self) {
        self.awards_undone = self.awards_undone.saturating_add(1);
        let Some(undone) = self.pending_award.take() else { return };
        self.undone_until = self.undone_until.max(Some(undone.effective_at));
        let latest = self.expires_at.plus_ms(DECIDE_WITHIN_MS_MAX);
        let undone_until = undone.effective_at.min(latest);
        self.decide_until = self.decide_until.map(|until| until.max(undone_until));
    }

    fn end(&mut self, at: Timestamp, phase: Phase) {
        self.phase = phase;
        self.ended_at = Some(at);
        self.pending_award = None;
    }

    fn add_proposal(&mut self, seq: Seq, at: Timestamp, content: &ProposalContent) {
        self.advance(&content.seller, at, InvitationState::Proposed, None);
        if let Some(id) = &content.proposal_id {
            let content = content.clone();
            let (phase, versions) = (ProposalPhase::Open, vec![seq]);
            let (version, lock, declined) = (1, None, false);
            let proposal = Proposal { content, version, phase, lock, at, versions, declined };
            self.proposals.insert(id.clone(), proposal);
        }
    }

    fn update_proposal(&mut self, seq: Seq, at: Timestamp, update: &ProposalUpdate) {
        match update {
            ProposalUpdate::Amended { proposal, version } => {
                let id = proposal.proposal_id.as_ref();
                if let Some(existing) = id.and_then(|id| self.proposals.get_mut(id)) {
                    // An amendment to the current content is restated, and is not a version.
                    // A new version after a decline is meant to compete.
                    if *version > existing.version {
                        existing.versions.push(seq);
                        existing.declined = false;
                    }
                    existing.content = proposal.clone();
                    existing.version = *version;
                }
            }
            ProposalUpdate::Withdrawn { proposal_id, .. } => {
                self.set_proposal_phase(proposal_id, ProposalPhase::Withdrawn);
            }
            ProposalUpdate::Declined { seller, reason } => {
                self.declined.insert(seller.clone());
                for proposal in self.proposals.values_mut() {
                    proposal.declined |= proposal.content.seller == *seller;
                }
                self.advance(seller, at, InvitationState::Declined, reason.as_ref());
            }
            ProposalUpdate::Asked { seller, question_id, .. } => {
                self.questions.insert(question_id.clone(), seller.clone());
            }
            ProposalUpdate::Answered { .. } => {}
        }
    }

    fn set_proposal_phase(&mut self, id: &ProposalId, phase: ProposalPhase) {
        if let Some(proposal) = self.proposals.get_mut(id) {
            proposal.phase = phase;
            proposal.lock = None;
        }
    }

    /// Returns a seller's invitation, if it was invited.
    pub fn invitation(&self, seller: &SellerId) -> Option<&Invitation> {
        let found = self.invitations.binary_search_by(|held| held.seller.cmp(seller));
        found.ok().and_then(|index| self.invitations.get(index))
    }

    /// Reports whether a seller's decline stands: it has no open proposal that is newer.
    pub fn has_declined(&self, seller: &SellerId) -> bool {
        let competes = |held: &Proposal| {
            held.phase == ProposalPhase::Open && !held.declined && held.content.seller == *seller
        };
        self.declined.contains(seller) && !self.proposals.values().any(competes)
    }

    /// Reports whether a seller has declined and takes no part any more: a proposal that was not
    /// withdrawn binds it, and what it proposes later counts as if it had not declined.
    pub fn has_left(&self, seller: &SellerId) -> bool {
        let takes_part = |held: &Proposal| {
            held.content.seller == *seller
                && (held.phase != ProposalPhase::Withdrawn || !held.declined)
        };
        self.declined.contains(seller) && !self.proposals.values().any(takes_part)
    }

    /// Returns an invited seller's name for people, if it has one.
    pub fn display_name(&self, seller: &SellerId) -> Option<&str> {
        self.invitation(seller)?;
        let choice = self.choices.iter().find(|choice| choice.seller == *seller);
        choice.and_then(|choice| choice.display_name.as_deref())
    }

    /// Returns the number of invited sellers.
    pub const fn invited_count(&self) -> usize {
        self.invitations.len()
    }

    /// Returns the number of invited sellers that were notified or acted by themselves, and the
    /// number of those that could not be notified. While the order is sealed, none counts as having
    /// acted.
    pub fn notified(&self) -> (usize, usize) {
        let is_sealed = self.is_sealed();
        let shown = |held: &Invitation| {
            if is_sealed { held.without_acts().state } else { held.state }
        };
        let states = || self.invitations.iter().map(shown);
        let notified = states().filter(|state| *state > InvitationState::Bounced);
        let bounced = states().filter(|state| *state == InvitationState::Bounced);
        (notified.count(), bounced.count())
    }

    /// Reports whether the proposals are still hidden.
    pub const fn is_sealed(&self) -> bool {
        self.spec.sealed && self.decide_until.is_none()
    }

    /// Reports whether it holds proposals, declines or questions that are redacted.
    pub fn has_redacted(&self) -> bool {
        self.proposals.values().any(|held| held.content.price.is_hidden())
            || self
                .declined
                .iter()
                .chain(self.questions.values())
                .any(|name| name.as_str() == SEALED)
    }

    /// Returns the time of the owner's next step that is due by the clock; `None` after the end.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.phase.is_terminal() {
            return None;
        }
        let pending = self.pending_award.as_ref().map(|pending| pending.effective_at);
        Some(pending.or(self.decide_until).unwrap_or(self.expires_at))
    }

    /// Returns the time at which it expires by itself, as users see it.
    pub fn runs_out_at(&self) -> Timestamp {
        self.decide_until.unwrap_or(self.expires_at)
    }
}

#[cfg(test)]
mod tests;
