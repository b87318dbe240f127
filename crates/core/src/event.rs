//! What happened to an order: one numbered event after another, never changed once written.

use serde::{Deserialize, Serialize};

use crate::command::{Act, Actor, Award, Proposed};
use crate::hash::StableHasher;
use crate::id::{
    FollowUpId, IdempotencyKey, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp,
};
use crate::order::Phase;
use crate::spec::{FollowUp, OrderSpec, SellerChoice};

/// One event of an order's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the list, for life.
    pub seq: Seq,
    /// When the owner decided it.
    pub at: Timestamp,
    /// The request that caused it, when it can be repeated. Kept with the effect in one record, so
    /// that a crash cannot part them. It does not leave the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What happened.
    pub kind: EventKind,
}

/// A repeatable request: its key and a fingerprint of its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// FNV-1a of the act's canonical form.
    pub fingerprint: u64,
    /// Whose key it is. Absent in records from before keys had an owner; there the event tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
}

impl Cause {
    /// The key and the fingerprint of what is asked under it.
    pub fn new(key: IdempotencyKey, act: &Act) -> Self {
        Self { key, fingerprint: fingerprint(act), actor: None }
    }

    /// The same, as this actor's.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }
}

/// FNV-1a over the act's canonical JSON: stable across builds, and good enough to tell an honest
/// repetition from a key used twice by mistake.
pub(crate) fn fingerprint(act: &Act) -> u64 {
    let mut hasher = StableHasher::default();
    match serde_json::to_writer(&mut hasher, act) {
        Ok(()) => hasher.finish(),
        // An act is plain data and always serialises.
        Err(_) => 0,
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventKind {
    /// The order exists.
    OrderOpened(Box<OrderOpened>),
    /// Every seller that was considered, with the verdict.
    SellersSelected(Vec<SellerChoice>),
    /// A seller was told of the order, could not be, or has seen it.
    SellerNotified {
        /// Who.
        seller: SellerId,
        /// By which channel: a notification type, or `session` where the seller said so itself.
        channel: String,
        /// What came of it.
        result: NotifyResult,
        /// Why it could not be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A seller made a proposal; the id is set.
    NewProposal(Proposed),
    /// A proposal changed, or a seller said something about it.
    ProposalUpdate(ProposalUpdate),
    /// A proposal is out.
    ProposalClosed {
        /// Which.
        proposal_id: ProposalId,
        /// Why.
        reason: String,
    },
    /// An edit lock was taken or given back.
    EditLock {
        /// Of which proposal.
        proposal_id: ProposalId,
        /// By whom.
        holder: SellerId,
        /// Until when; absent when it was given back.
        until: Option<Timestamp>,
    },
    /// The buyer asked or said something.
    FollowUpAdded(FollowUp),
    /// No proposals are taken: by the buyer's wish, or for good because the time is over.
    OrderPaused {
        /// Whether this is the expiry, the last event of the order.
        expired: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Proposals are taken again.
    OrderResumed,
    /// The order lives longer.
    OrderExtended {
        /// Until when.
        expires_at: Timestamp,
    },
    /// The time of a sealed order is over: what was proposed can be read now, and decided on.
    ProposalsOpened {
        /// When the order expires without a decision.
        decide_until: Timestamp,
    },
    /// The buyer chose, and can still take it back.
    AwardPending {
        /// Who wins.
        award: Option<Award>,
        /// Why.
        reason: Option<String>,
        /// From when on it counts.
        effective_at: Timestamp,
    },
    /// The buyer took the choice back.
    AwardUndone {
        /// Why.
        reason: Option<String>,
    },
    /// The order ended, with or without a winner.
    OrderFinalised {
        /// Who won.
        award: Option<Award>,
        /// Why.
        reason: Option<String>,
    },
    /// The order ended without an award.
    OrderClosed {
        /// Why.
        reason: Option<String>,
    },
    /// The order ended as if it had not been asked.
    OrderCancelled {
        /// Why.
        reason: Option<String>,
    },
}

/// What came of telling a seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyResult {
    /// The channel took it.
    Delivered,
    /// It could not be delivered, and is not tried any more.
    Bounced,
    /// The seller has seen the order.
    Seen,
}

impl NotifyResult {
    /// The spelling on the wire and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Seen => "seen",
        }
    }

    /// The result with this spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delivered, Self::Bounced, Self::Seen].into_iter().find(|r| r.as_str() == text)
    }
}

/// The first event of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderOpened {
    /// Whose, and which number.
    pub key: OrderKey,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// What is wanted.
    pub spec: OrderSpec,
    /// When it ends if nobody extends it.
    pub expires_at: Timestamp,
}

/// How a proposal changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposalUpdate {
    /// New content, with the version's number (the first proposal is version 1).
    Amended {
        /// The new content.
        proposal: Proposed,
        /// Its number.
        version: u32,
    },
    /// Taken back.
    Withdrawn {
        /// Which.
        proposal_id: ProposalId,
        /// Why.
        reason: Option<String>,
    },
    /// A seller will not propose.
    Declined {
        /// Who.
        seller: SellerId,
        /// Why.
        reason: Option<String>,
    },
    /// A seller answered a follow-up.
    Answered {
        /// Who.
        seller: SellerId,
        /// Which follow-up.
        follow_up_id: FollowUpId,
        /// The answer.
        message: String,
    },
    /// A seller asked the buyer something.
    Asked {
        /// Who.
        seller: SellerId,
        /// Unique among the order's questions.
        question_id: FollowUpId,
        /// The question.
        message: String,
    },
}

impl ProposalUpdate {
    /// What changed, in one word.
    pub const fn change(&self) -> &'static str {
        match self {
            Self::Amended { .. } => "amended",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Declined { .. } => "declined",
            Self::Answered { .. } => "answered",
            Self::Asked { .. } => "asked",
        }
    }
}

impl EventKind {
    /// The word on the wire, in logs and in status. The first six are the original system's.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NewProposal(_) => "NewProposal",
            Self::ProposalUpdate(_) => "ProposalUpdate",
            Self::ProposalClosed { .. } => "ProposalClosed",
            Self::EditLock { .. } => "EditLock",
            Self::OrderPaused { .. } => "OrderPaused",
            Self::OrderOpened(_) => "OrderOpened",
            Self::SellersSelected(_) => "SellersSelected",
            Self::SellerNotified { .. } => "SellerNotified",
            Self::FollowUpAdded(_) => "FollowUpAdded",
            Self::OrderResumed => "OrderResumed",
            Self::OrderExtended { .. } => "OrderExtended",
            Self::ProposalsOpened { .. } => "ProposalsOpened",
            Self::AwardPending { .. } => "AwardPending",
            Self::AwardUndone { .. } => "AwardUndone",
            Self::OrderFinalised { .. } => "OrderFinalised",
            Self::OrderClosed { .. } => "OrderClosed",
            Self::OrderCancelled { .. } => "OrderCancelled",
        }
    }

    /// The phase that the order ends in by this event, if it does: nothing follows it then.
    pub const fn ends(&self) -> Option<Phase> {
        match self {
            Self::OrderFinalised { .. } => Some(Phase::Finalised),
            Self::OrderClosed { .. } => Some(Phase::Closed),
            Self::OrderCancelled { .. } => Some(Phase::Cancelled),
            Self::OrderPaused { expired: true, .. } => Some(Phase::Expired),
            Self::OrderOpened(_)
            | Self::SellersSelected(_)
            | Self::SellerNotified { .. }
            | Self::NewProposal(_)
            | Self::ProposalUpdate(_)
            | Self::ProposalClosed { .. }
            | Self::EditLock { .. }
            | Self::FollowUpAdded(_)
            | Self::OrderPaused { expired: false, .. }
            | Self::OrderResumed
            | Self::OrderExtended { .. }
            | Self::ProposalsOpened { .. }
            | Self::AwardPending { .. }
            | Self::AwardUndone { .. } => None,
        }
    }

    /// The proposal that the event is about, if it is about one.
    pub const fn proposal_id(&self) -> Option<&ProposalId> {
        match self {
            Self::NewProposal(proposal)
            | Self::ProposalUpdate(ProposalUpdate::Amended { proposal, .. }) => {
                proposal.proposal_id.as_ref()
            }
            Self::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, .. })
            | Self::ProposalClosed { proposal_id, .. }
            | Self::EditLock { proposal_id, .. } => Some(proposal_id),
            Self::ProposalUpdate(
                ProposalUpdate::Declined { .. }
                | ProposalUpdate::Answered { .. }
                | ProposalUpdate::Asked { .. },
            )
            | Self::OrderOpened(_)
            | Self::SellersSelected(_)
            | Self::SellerNotified { .. }
            | Self::FollowUpAdded(_)
            | Self::OrderPaused { .. }
            | Self::OrderResumed
            | Self::OrderExtended { .. }
            | Self::ProposalsOpened { .. }
            | Self::AwardPending { .. }
            | Self::AwardUndone { .. }
            | Self::OrderFinalised { .. }
            | Self::OrderClosed { .. }
            | Self::OrderCancelled { .. } => None,
        }
    }

    /// The follow-up that the event is about, if it is about one.
    pub const fn follow_up_id(&self) -> Option<&FollowUpId> {
        match self {
            Self::FollowUpAdded(follow_up) => Some(&follow_up.id),
            Self::ProposalUpdate(
                ProposalUpdate::Answered { follow_up_id: id, .. }
                | ProposalUpdate::Asked { question_id: id, .. },
            ) => Some(id),
            Self::ProposalUpdate(
                ProposalUpdate::Amended { .. }
                | ProposalUpdate::Withdrawn { .. }
                | ProposalUpdate::Declined { .. },
            )
            | Self::OrderOpened(_)
            | Self::SellersSelected(_)
            | Self::SellerNotified { .. }
            | Self::NewProposal(_)
            | Self::ProposalClosed { .. }
            | Self::EditLock { .. }
            | Self::OrderPaused { .. }
            | Self::OrderResumed
            | Self::OrderExtended { .. }
            | Self::ProposalsOpened { .. }
            | Self::AwardPending { .. }
            | Self::AwardUndone { .. }
            | Self::OrderFinalised { .. }
            | Self::OrderClosed { .. }
            | Self::OrderCancelled { .. } => None,
        }
    }
}
