//! An order, folded from its events. Owner and followers fold the same events with the same
//! function, so both ends hold the same order.
//!
//! ```text
//!            Pause            Tick at the deadline
//!   Open ───────────▶ Paused ─────────┐
//!     ▲ └──────────────│──────────────┼──▶ Expired ┐
//!     └──── Resume ────┘   Close ─────┼──▶ Closed  ├ final
//!                          Finalise ──┼──▶ Finalised
//!                          Cancel ────┴──▶ Cancelled
//! ```
//!
//! A sealed order is opened at its deadline instead of expiring: it is `Paused` then, takes no more
//! proposals, and waits for a decision. A pending award leaves the phase as it is until it takes
//! effect.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::{Award, ProposalContent};
use crate::event::{Event, EventKind, ProposalUpdate};
use crate::id::{FollowUpId, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp};
use crate::price::Price;
use crate::seal::SEALED;
use crate::spec::{OrderSpec, SellerChoice, Verdict};

mod invitation;

pub use invitation::{Invitation, InvitationState};

/// The phase of an order between its opening and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Takes proposals.
    Open,
    /// Takes no proposals for a while.
    Paused,
    /// Ended with or without a winner.
    Finalised,
    /// Ended at its deadline, without a decision.
    Expired,
    /// Ended without an award.
    Closed,
    /// Ended as if it had not been requested.
    Cancelled,
}

impl Phase {
    /// Every phase, for tables and metrics.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Paused, Self::Finalised, Self::Expired, Self::Closed, Self::Cancelled];

    /// Reports whether the order has ended; no other phase follows then.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Open | Self::Paused => false,
            Self::Finalised | Self::Expired | Self::Closed | Self::Cancelled => true,
        }
    }

    /// Returns the spelling on the wire and in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Paused => "Paused",
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
    /// The time at which it expires; a sealed order is opened then instead.
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
    /// The time until which a sealed order waits for a decision; absent before it is opened.
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

/// The number of an order's proposals in each phase, and the best of the open ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProposalCounts {
    /// All that were ever made.
    pub received: u32,
    /// Those that can be awarded, or have won.
    pub open: u32,
    /// Those that were withdrawn.
    pub withdrawn: u32,
    /// Those that did not win.
    pub closed: u32,
    /// The open proposal with the lowest price, in the currency of the first one by id; absent
    /// under seal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<(ProposalId, Price)>,
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
            decide_until: None,
            suspension_seq: Seq(0),
            last_seq: Seq(0),
            last_event: (at, "OrderOpened"),
        }
    }

    fn apply(&mut self, seq: Seq, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::OrderOpened(_) => {}
            EventKind::SellersSelected(choices) => self.select(at, choices),
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
            EventKind::OrderPaused { expired: false, .. } => self.phase = Phase::Paused,
            EventKind::OrderPaused { expired: true, .. } => self.end(at, Phase::Expired),
            EventKind::OrderResumed => self.phase = Phase::Open,
            EventKind::OrderExtended { expires_at } => self.expires_at = *expires_at,
            EventKind::ProposalsOpened { decide_until } => {
                self.phase = Phase::Paused;
                self.decide_until = Some(*decide_until);
            }
            EventKind::AwardPending { award, reason, effective_at } => {
                let (award, reason) = (award.clone(), reason.clone());
                let effective_at = *effective_at;
                self.pending_award = Some(Box::new(PendingAward { award, reason, effective_at }));
            }
            EventKind::AwardUndone { .. } => {
                self.pending_award = None;
                self.awards_undone = self.awards_undone.saturating_add(1);
            }
            EventKind::OrderFinalised { award, .. } => {
                self.award.clone_from(award);
                self.end(at, Phase::Finalised);
            }
            EventKind::OrderClosed { .. } => self.end(at, Phase::Closed),
            EventKind::OrderCancelled { .. } => self.end(at, Phase::Cancelled),
        }
    }

    fn select(&mut self, at: Timestamp, choices: &[SellerChoice]) {
        self.choices = choices.to_vec();
        let chosen = choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
        self.invitations = chosen
            .map(|choice| Invitation {
                seller: choice.seller.clone(),
                state: InvitationState::Invited,
                at,
                reason: None,
            })
            .collect();
        self.invitations.sort_by(|a, b| a.seller.cmp(&b.seller));
    }

    /// Moves an invited seller to a later state, and never back.
    fn advance(
        &mut self,
        seller: &SellerId,
        at: Timestamp,
        state: InvitationState,
        reason: Option<&String>,
    ) {
        let found = self.invitations.binary_search_by(|held| held.seller.cmp(seller));
        let Some(invitation) = found.ok().and_then(|index| self.invitations.get_mut(index)) else {
            return;
        };
        if state > invitation.state {
            *invitation = Invitation { seller: seller.clone(), state, at, reason: reason.cloned() };
        }
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
            let proposal = Proposal { content, version: 1, phase, lock: None, at, versions };
            self.proposals.insert(id.clone(), proposal);
        }
    }

    fn update_proposal(&mut self, seq: Seq, at: Timestamp, update: &ProposalUpdate) {
        match update {
            ProposalUpdate::Amended { proposal, version } => {
                let id = proposal.proposal_id.as_ref();
                if let Some(existing) = id.and_then(|id| self.proposals.get_mut(id)) {
                    // An amendment to the current content is restated, and is not a version.
                    if *version > existing.version {
                        existing.versions.push(seq);
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

    /// Returns the number of invited sellers.
    pub const fn invited_count(&self) -> usize {
        self.invitations.len()
    }

    /// Returns the number of invited sellers that were notified or acted by themselves, and the
    /// number of those that could not be notified.
    pub fn notified(&self) -> (usize, usize) {
        let notified = self.invitations.iter().filter(|held| held.state > InvitationState::Bounced);
        let bounced = self.invitations.iter().filter(|held| held.state == InvitationState::Bounced);
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

    /// Counts the proposals and finds the best.
    pub fn proposal_counts(&self) -> ProposalCounts {
        let mut counts = ProposalCounts::default();
        for (id, proposal) in &self.proposals {
            counts.received = counts.received.saturating_add(1);
            let of_phase = match proposal.phase {
                ProposalPhase::Open => &mut counts.open,
                ProposalPhase::Withdrawn => &mut counts.withdrawn,
                ProposalPhase::Closed => &mut counts.closed,
            };
            *of_phase = of_phase.saturating_add(1);
            if proposal.phase == ProposalPhase::Open && !self.is_sealed() {
                update_best(&mut counts.best, id, &proposal.content.price);
            }
        }
        counts
    }
}

fn update_best(best: &mut Option<(ProposalId, Price)>, id: &ProposalId, price: &Price) {
    let is_better = match best {
        // The price is hidden while the list of a sealed order that was opened is being read again.
        _ if price.is_hidden() => false,
        None => true,
        Some((_, current)) => {
            current.currency() == price.currency() && price.amount() < current.amount()
        }
    };
    if is_better {
        *best = Some((id.clone(), price.clone()));
    }
}

#[cfg(test)]
mod tests;
