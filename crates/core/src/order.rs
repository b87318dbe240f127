//! An order as its events tell it. Owner and readers fold the same events with the same function,
//! so both ends hold the same order.
//!
//! ```text
//!            Pause            Tick at the deadline
//!   Open ───────────▶ Paused ─────────┐
//!     ▲ └──────────────│──────────────┼──▶ Expired ┐
//!     └──── Resume ────┘   Close ─────┼──▶ Closed  ├ for ever
//!                          Finalise ──┼──▶ Finalised
//!                          Cancel ────┴──▶ Cancelled
//! ```
//!
//! A sealed order is opened at its deadline instead of expiring: it is `Paused` then, takes nothing
//! more, and waits for a decision. An award that can be undone leaves the phase as it is until it
//! counts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::{Award, Proposed};
use crate::event::{Event, EventKind, ProposalUpdate};
use crate::id::{FollowUpId, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp};
use crate::price::Price;
use crate::seal::SEALED;
use crate::spec::{OrderSpec, SellerChoice, Verdict};

mod invitation;

pub use invitation::{Invitation, InvitationState};

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Takes proposals.
    Open,
    /// Takes none for a while.
    Paused,
    /// Ended with or without a winner.
    Finalised,
    /// Its time ran out.
    Expired,
    /// Ended without an award.
    Closed,
    /// Ended as if it had not been asked.
    Cancelled,
}

impl Phase {
    /// Every phase, for tables and series.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Paused, Self::Finalised, Self::Expired, Self::Closed, Self::Cancelled];

    /// Whether the order reached its end; ends are for ever.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Open | Self::Paused => false,
            Self::Finalised | Self::Expired | Self::Closed | Self::Cancelled => true,
        }
    }

    /// The spelling on the wire and in status.
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

/// A proposal's place in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalPhase {
    /// Can be amended and awarded.
    Open,
    /// The seller took it back.
    Withdrawn,
    /// It is out.
    Closed,
}

/// A proposal as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The newest content.
    pub content: Proposed,
    /// Its number; 1 is the first.
    pub version: u32,
    /// Where it is in its life.
    pub phase: ProposalPhase,
    /// Who edits it, and until when.
    pub lock: Option<(SellerId, Timestamp)>,
    /// When it came.
    pub at: Timestamp,
    /// The event of each version, oldest first.
    pub versions: Vec<Seq>,
}

impl Proposal {
    /// Who holds the edit lock at this time, if anybody does.
    pub fn locked_by(&self, now: Timestamp) -> Option<&SellerId> {
        self.lock.as_ref().filter(|(_, until)| *until > now).map(|(holder, _)| holder)
    }
}

/// An award that can still be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAward {
    /// Who wins.
    pub award: Option<Award>,
    /// Why.
    pub reason: Option<String>,
    /// From when on it counts.
    pub effective_at: Timestamp,
}

/// An order as its events tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Whose, and which number.
    pub key: OrderKey,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// What is wanted.
    pub spec: OrderSpec,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its time runs out.
    pub expires_at: Timestamp,
    /// When it reached its end.
    pub ended_at: Option<Timestamp>,
    /// Who was considered.
    pub choices: Vec<SellerChoice>,
    /// The chosen ones, by name, and how far each is.
    pub invitations: Vec<Invitation>,
    /// All proposals by id.
    pub proposals: BTreeMap<ProposalId, Proposal>,
    /// Who said no.
    pub declined: BTreeSet<SellerId>,
    /// The buyer's follow-ups, oldest first.
    pub follow_ups: Vec<FollowUpId>,
    /// The sellers' questions, and who asked.
    pub questions: BTreeMap<FollowUpId, SellerId>,
    /// Who won.
    pub award: Option<Award>,
    /// Who is to win, while that can be undone.
    pub pending_award: Option<Box<PendingAward>>,
    /// How often an award was undone.
    pub awards_undone: u32,
    /// Until when a sealed order waits for a decision; absent before its opening.
    pub decide_until: Option<Timestamp>,
    /// The last event that paused or resumed it.
    pub steered_at: Seq,
    /// The last event.
    pub last_seq: Seq,
    /// Its time and its word.
    pub last_event: (Timestamp, &'static str),
}

/// An event that cannot follow what was folded so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A number is missing.
    #[error("event {got} came where {expected} was due")]
    Gap {
        /// What was due.
        expected: Seq,
        /// What came.
        got: Seq,
    },
    /// The first event is not the opening.
    #[error("the list does not begin with OrderOpened")]
    NotOpened,
}

/// How many proposals of each kind an order has, and the best of the open ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProposalCounts {
    /// Ever made.
    pub received: u32,
    /// Can be awarded.
    pub open: u32,
    /// Taken back.
    pub withdrawn: u32,
    /// Out.
    pub closed: u32,
    /// The lowest price; only among proposals of the same currency as the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<(ProposalId, Price)>,
}

impl Order {
    /// Folds one event into what was there before it.
    ///
    /// # Errors
    /// An event out of its turn, which changes nothing.
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
    /// An event out of its turn, which changes nothing.
    pub fn fold_next(&mut self, event: &Event) -> Result<(), FoldError> {
        let expected = self.last_seq.next();
        if event.seq != expected {
            return Err(FoldError::Gap { expected, got: event.seq });
        }
        self.apply(event.seq, event.at, &event.kind);
        if matches!(event.kind, EventKind::OrderPaused { .. } | EventKind::OrderResumed) {
            self.steered_at = event.seq;
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
            steered_at: Seq(0),
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

    /// Moves an invited seller on; nobody goes back.
    fn advance(
        &mut self,
        seller: &SellerId,
        at: Timestamp,
        state: InvitationState,
        reason: Option<&String>,
    ) {
        let found = self.invitations.binary_search_by(|held| held.seller.cmp(seller));
        let Some(held) = found.ok().and_then(|index| self.invitations.get_mut(index)) else {
            return;
        };
        if state > held.state {
            *held = Invitation { seller: seller.clone(), state, at, reason: reason.cloned() };
        }
    }

    fn end(&mut self, at: Timestamp, phase: Phase) {
        self.phase = phase;
        self.ended_at = Some(at);
        self.pending_award = None;
    }

    fn add_proposal(&mut self, seq: Seq, at: Timestamp, content: &Proposed) {
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
                if let Some(held) = id.and_then(|id| self.proposals.get_mut(id)) {
                    // One that was amended to what it was already is said again, and is no version.
                    if *version > held.version {
                        held.versions.push(seq);
                    }
                    held.content = proposal.clone();
                    held.version = *version;
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

    /// One seller's invitation.
    pub fn invitation(&self, seller: &SellerId) -> Option<&Invitation> {
        let found = self.invitations.binary_search_by(|held| held.seller.cmp(seller));
        found.ok().and_then(|index| self.invitations.get(index))
    }

    /// How many sellers were invited.
    pub const fn selected(&self) -> usize {
        self.invitations.len()
    }

    /// How many invited sellers were told or spoke by themselves, and how many could not be told.
    pub fn notified(&self) -> (usize, usize) {
        let told = self.invitations.iter().filter(|held| held.state > InvitationState::Bounced);
        let bounced = self.invitations.iter().filter(|held| held.state == InvitationState::Bounced);
        (told.count(), bounced.count())
    }

    /// Whether what was proposed is still hidden.
    pub const fn is_sealed(&self) -> bool {
        self.spec.sealed && self.decide_until.is_none()
    }

    /// Whether it holds proposals as they are shown under seal.
    pub fn has_hidden(&self) -> bool {
        self.proposals.values().any(|held| held.content.price.is_hidden())
            || self
                .declined
                .iter()
                .chain(self.questions.values())
                .any(|name| name.as_str() == SEALED)
    }

    /// When the owner has to look at the clock again; absent after the end.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.phase.is_terminal() {
            return None;
        }
        let pending = self.pending_award.as_ref().map(|pending| pending.effective_at);
        Some(pending.or(self.decide_until).unwrap_or(self.expires_at))
    }

    /// When its time runs out by itself, as users see it.
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
                keep_best(&mut counts.best, id, &proposal.content.price);
            }
        }
        counts
    }
}

fn keep_best(best: &mut Option<(ProposalId, Price)>, id: &ProposalId, price: &Price) {
    let better = match best {
        // Of an order that was opened, and whose list is being read again.
        _ if price.is_hidden() => false,
        None => true,
        Some((_, held)) => held.currency() == price.currency() && price.amount() < held.amount(),
    };
    if better {
        *best = Some((id.clone(), price.clone()));
    }
}
