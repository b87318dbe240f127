//! What may be asked of an order, and what it answers.

use serde::{Deserialize, Serialize};

use crate::id::{
    Epoch, FollowUpId, IdempotencyKey, Incarnation, ProposalId, SellerId, Seq, Timestamp,
};
use crate::order::Phase;
use crate::price::{Price, Quantity};
use crate::spec::{FollowUp, NotificationType, OrderSpec, SellerChoice};

/// An act, with what protects it from being done twice or by a former owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The same key of the same actor has one effect and one answer.
    pub key: Option<IdempotencyKey>,
    /// Who acts, where the caller is known; else whom the act names.
    pub actor: Option<Actor>,
    /// The life that the caller means; a different one is refused as not found.
    pub incarnation: Option<Incarnation>,
    /// The caller's fencing number, if it is an owner's act.
    pub epoch: Option<Epoch>,
    /// What the caller has seen; where it is something else by now, nothing is done.
    pub expected: Option<Expected>,
    /// What to do.
    pub act: Act,
}

impl Command {
    /// An act without key, incarnation or epoch.
    pub const fn bare(act: Act) -> Self {
        Self { key: None, actor: None, incarnation: None, epoch: None, expected: None, act }
    }
}

/// The side that acts. A key belongs to its actor: the same text as somebody else's key is another
/// key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The buyer, or whoever acts for it.
    Buyer,
    /// One seller.
    Seller(SellerId),
}

/// What a caller has seen before it acts, so that it does not undo what it does not know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The order's last event.
    LastSeq(Seq),
    /// The version of the proposal that the act names.
    Version(u32),
}

/// What may be asked of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// Open the order, with the sellers that were considered for it.
    Open(Box<Opening>),
    /// A seller's new proposal.
    Propose(Proposed),
    /// A changed proposal.
    Amend(Proposed),
    /// A seller takes a proposal back.
    Withdraw {
        /// Which.
        proposal_id: ProposalId,
        /// Why, for the buyer.
        reason: Option<String>,
    },
    /// A seller will not propose.
    Decline {
        /// Who.
        seller: SellerId,
        /// Why, for the buyer.
        reason: Option<String>,
    },
    /// A seller answers a follow-up.
    Answer {
        /// Who.
        seller: SellerId,
        /// Which follow-up.
        follow_up_id: FollowUpId,
        /// The answer.
        message: String,
    },
    /// The buyer's follow-up.
    FollowUp(FollowUp),
    /// A seller asks the buyer something.
    Ask {
        /// Who.
        seller: SellerId,
        /// Unique among the order's questions. When absent it is the request's key, or one that the
        /// owner makes up where there is no key or another question has this id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question_id: Option<FollowUpId>,
        /// The question.
        message: String,
    },
    /// A seller has seen the order.
    See {
        /// Who.
        seller: SellerId,
    },
    /// A seller was told of the order, or could not be; the owner's own act.
    Notified {
        /// Who.
        seller: SellerId,
        /// Over which channel.
        channel: NotificationType,
        /// Why it could not be told; absent when it was.
        failure: Option<String>,
    },
    /// Take the edit lock of a proposal.
    Lock {
        /// Which.
        proposal_id: ProposalId,
        /// Who edits.
        holder: SellerId,
        /// For how long, milliseconds.
        lease_ms: u64,
    },
    /// Give the edit lock back.
    Unlock {
        /// Which.
        proposal_id: ProposalId,
        /// Who held it.
        holder: SellerId,
    },
    /// Stop taking proposals for a while.
    Pause {
        /// Why.
        reason: Option<String>,
    },
    /// Take proposals again.
    Resume,
    /// Let the order live longer: its whole life from the opening, milliseconds.
    Extend {
        /// The new life.
        expires_in_ms: u64,
    },
    /// End without an award.
    Close {
        /// Why.
        reason: Option<String>,
    },
    /// End, with or without a winner.
    Finalise {
        /// The winner, or the winners of lines.
        award: Option<Award>,
        /// Why, for all who took part.
        reason: Option<String>,
        /// How long the award can be undone before it counts and anybody is told, milliseconds;
        /// absent or 0: it counts at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo_within_ms: Option<u64>,
    },
    /// Undo an award that does not count yet.
    UndoAward {
        /// Why.
        reason: Option<String>,
    },
    /// End as if it had not been asked.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
    /// Look at the clock.
    Tick,
}

impl Act {
    /// Whether it ends the order.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Close { .. } | Self::Finalise { .. } | Self::Cancel { .. })
    }

    /// Whether the owner may have to make up the id of a new proposal or question.
    pub const fn needs_id(&self) -> bool {
        matches!(
            self,
            Self::Propose(Proposed { proposal_id: None, .. }) | Self::Ask { question_id: None, .. }
        )
    }

    /// The actor that it names. Absent for the owner's own acts, which have no key, and for a
    /// withdrawal, which names a proposal.
    pub fn actor(&self) -> Option<Actor> {
        match self {
            Self::Propose(Proposed { seller, .. })
            | Self::Amend(Proposed { seller, .. })
            | Self::Decline { seller, .. }
            | Self::Answer { seller, .. }
            | Self::Ask { seller, .. }
            | Self::See { seller }
            | Self::Lock { holder: seller, .. }
            | Self::Unlock { holder: seller, .. } => Some(Actor::Seller(seller.clone())),
            Self::Open(_)
            | Self::FollowUp(_)
            | Self::Pause { .. }
            | Self::Resume
            | Self::Extend { .. }
            | Self::Close { .. }
            | Self::Finalise { .. }
            | Self::UndoAward { .. }
            | Self::Cancel { .. } => Some(Actor::Buyer),
            Self::Withdraw { .. } | Self::Notified { .. } | Self::Tick => None,
        }
    }

    /// The proposal that it names, if it names one.
    pub const fn proposal_id(&self) -> Option<&ProposalId> {
        match self {
            Self::Propose(proposed) | Self::Amend(proposed) => proposed.proposal_id.as_ref(),
            Self::Withdraw { proposal_id, .. }
            | Self::Lock { proposal_id, .. }
            | Self::Unlock { proposal_id, .. } => Some(proposal_id),
            Self::Open(_)
            | Self::Decline { .. }
            | Self::Answer { .. }
            | Self::Ask { .. }
            | Self::See { .. }
            | Self::Notified { .. }
            | Self::UndoAward { .. }
            | Self::FollowUp(_)
            | Self::Pause { .. }
            | Self::Resume
            | Self::Extend { .. }
            | Self::Close { .. }
            | Self::Finalise { .. }
            | Self::Cancel { .. }
            | Self::Tick => None,
        }
    }

    /// The follow-up that it names, if it names one.
    pub const fn follow_up_id(&self) -> Option<&FollowUpId> {
        match self {
            Self::FollowUp(follow_up) => Some(&follow_up.id),
            Self::Answer { follow_up_id, .. } => Some(follow_up_id),
            Self::Ask { question_id, .. } => question_id.as_ref(),
            Self::Open(_)
            | Self::Propose(_)
            | Self::Amend(_)
            | Self::Withdraw { .. }
            | Self::Decline { .. }
            | Self::See { .. }
            | Self::Notified { .. }
            | Self::UndoAward { .. }
            | Self::Lock { .. }
            | Self::Unlock { .. }
            | Self::Pause { .. }
            | Self::Resume
            | Self::Extend { .. }
            | Self::Close { .. }
            | Self::Finalise { .. }
            | Self::Cancel { .. }
            | Self::Tick => None,
        }
    }
}

/// What opens an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// What is wanted.
    pub spec: OrderSpec,
    /// The sellers that were considered, with the verdict on each.
    pub choices: Vec<SellerChoice>,
}

/// A proposal as a seller sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// Its id; when absent the owner gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<ProposalId>,
    /// Whose.
    pub seller: SellerId,
    /// For how much in all.
    pub price: Price,
    /// Per line, when the seller says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<ProposalLine>,
    /// For the buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it would be delivered, as the seller wrote it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_date: Option<String>,
    /// Until when it stands, as the seller wrote it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// Addresses of documents that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
}

/// One line of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalLine {
    /// The buyer's number of the thing.
    pub sku: String,
    /// How many.
    pub quantity: Quantity,
    /// Of what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// For how much in all.
    pub price: Price,
}

/// Who wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Award {
    /// One proposal takes all.
    Whole(ProposalId),
    /// Lines go to different proposals: (sku, proposal).
    Lines(Vec<(String, ProposalId)>),
}

/// What a done act answers: how things stood when it was done. The same key of the same actor gives
/// the same answer for the order's whole life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The last event that the act caused. Where it was done already, the event by which it was. The
    /// last of the list where it found nothing to do and a later act could undo that; under a key it
    /// causes an event there.
    pub seq: Seq,
    /// The proposal that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<ProposalId>,
    /// The follow-up that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_id: Option<FollowUpId>,
    /// The order's phase after that event.
    pub phase: Phase,
    /// When the order was to run out after that event; absent where it is the order's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}
