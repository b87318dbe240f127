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

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::{Award, Proposed};
use crate::event::{Event, EventKind, ProposalUpdate};
use crate::id::{FollowUpId, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp};
use crate::price::Price;
use crate::spec::{OrderSpec, SellerChoice, Verdict};

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
}

impl Proposal {
    /// Who holds the edit lock at this time, if anybody does.
    pub fn locked_by(&self, now: Timestamp) -> Option<&SellerId> {
        self.lock.as_ref().filter(|(_, until)| *until > now).map(|(holder, _)| holder)
    }
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
    /// How many were told, and how many could not be.
    pub notified: (u32, u32),
    /// All proposals by id.
    pub proposals: BTreeMap<ProposalId, Proposal>,
    /// Who said no.
    pub declined: BTreeSet<SellerId>,
    /// The buyer's follow-ups, oldest first.
    pub follow_ups: Vec<FollowUpId>,
    /// Who won.
    pub award: Option<Award>,
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
#[derive(Clone, Debug, Default, PartialEq)]
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
        self.apply(event.at, &event.kind);
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
            notified: (0, 0),
            proposals: BTreeMap::new(),
            declined: BTreeSet::new(),
            follow_ups: Vec::new(),
            award: None,
            steered_at: Seq(0),
            last_seq: Seq(0),
            last_event: (at, "OrderOpened"),
        }
    }

    fn apply(&mut self, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::OrderOpened(_) => {}
            EventKind::SellersSelected(choices) => self.choices.clone_from(choices),
            EventKind::SellerNotified { result, .. } => {
                let told = if result == "ok" { &mut self.notified.0 } else { &mut self.notified.1 };
                *told = told.saturating_add(1);
            }
            EventKind::NewProposal(content) => self.add_proposal(at, content),
            EventKind::ProposalUpdate(update) => self.update_proposal(update),
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
            EventKind::OrderFinalised { award, .. } => {
                self.award.clone_from(award);
                self.end(at, Phase::Finalised);
            }
            EventKind::OrderClosed { .. } => self.end(at, Phase::Closed),
            EventKind::OrderCancelled { .. } => self.end(at, Phase::Cancelled),
        }
    }

    fn end(&mut self, at: Timestamp, phase: Phase) {
        self.phase = phase;
        self.ended_at = Some(at);
    }

    fn add_proposal(&mut self, at: Timestamp, content: &Proposed) {
        if let Some(id) = &content.proposal_id {
            let content = content.clone();
            let phase = ProposalPhase::Open;
            let proposal = Proposal { content, version: 1, phase, lock: None, at };
            self.proposals.insert(id.clone(), proposal);
        }
    }

    fn update_proposal(&mut self, update: &ProposalUpdate) {
        match update {
            ProposalUpdate::Amended { proposal, version } => {
                let id = proposal.proposal_id.as_ref();
                if let Some(held) = id.and_then(|id| self.proposals.get_mut(id)) {
                    held.content = proposal.clone();
                    held.version = *version;
                }
            }
            ProposalUpdate::Withdrawn { proposal_id, .. } => {
                self.set_proposal_phase(proposal_id, ProposalPhase::Withdrawn);
            }
            ProposalUpdate::Declined { seller, .. } => {
                self.declined.insert(seller.clone());
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

    /// How many sellers were invited.
    pub fn selected(&self) -> usize {
        self.choices.iter().filter(|choice| choice.verdict == Verdict::Chosen).count()
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
            if proposal.phase == ProposalPhase::Open {
                keep_best(&mut counts.best, id, &proposal.content.price);
            }
        }
        counts
    }
}

fn keep_best(best: &mut Option<(ProposalId, Price)>, id: &ProposalId, price: &Price) {
    let better = match best {
        None => true,
        Some((_, held)) => held.currency() == price.currency() && price.amount() < held.amount(),
    };
    if better {
        *best = Some((id.clone(), price.clone()));
    }
}
