//! The changes of proposals, and the messages of sellers.

use serde::{Deserialize, Serialize};

use super::facts::EventFacts;
use super::{ConversationMessage, SellerAudience};
use crate::command::{PermanentEffect, ProposalContent, ReferencedId};
use crate::id::{FollowUpId, ProposalId, SellerId};
use crate::notification::Announcement;

/// A change of a proposal, or a message of a seller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposalUpdate {
    /// A seller amended a proposal (the first content is version 1).
    Amended {
        /// The new content.
        proposal: ProposalContent,
        /// The version's number.
        version: u32,
    },
    /// A seller withdrew a proposal.
    Withdrawn {
        /// The proposal's id.
        proposal_id: ProposalId,
        /// The seller's reason.
        reason: Option<String>,
    },
    /// A seller will not propose.
    Declined {
        /// The seller that declined.
        seller: SellerId,
        /// The seller's reason.
        reason: Option<String>,
    },
    /// A seller answered a follow-up.
    Answered {
        /// The seller that answered.
        seller: SellerId,
        /// The follow-up that it answered.
        follow_up_id: FollowUpId,
        /// The answer's text.
        message: String,
    },
    /// A seller asked the buyer something.
    Asked {
        /// The seller that asked.
        seller: SellerId,
        /// The question's id, unique in the order.
        question_id: FollowUpId,
        /// The question's text.
        message: String,
    },
}

impl ProposalUpdate {
    /// Returns the stable name of the change.
    pub const fn change(&self) -> &'static str {
        match self {
            Self::Amended { .. } => "amended",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Declined { .. } => "declined",
            Self::Answered { .. } => "answered",
            Self::Asked { .. } => "asked",
        }
    }

    pub(super) fn facts(&self) -> EventFacts<'_> {
        let facts = |audience| EventFacts::new("ProposalUpdate", audience);
        let facts = match self {
            Self::Amended { proposal, .. } => facts(SellerAudience::Proposer(proposal))
                .of_seller(&proposal.seller)
                .with_id(proposal.proposal_id.as_ref().map(ReferencedId::Proposal)),
            Self::Withdrawn { proposal_id: id, .. } => {
                facts(SellerAudience::OwnerOf(id)).with_id(Some(ReferencedId::Proposal(id)))
            }
            Self::Declined { seller, .. } => {
                facts(SellerAudience::Seller(seller)).of_seller(seller)
            }
            Self::Answered { seller, follow_up_id: id, .. }
            | Self::Asked { seller, question_id: id, .. } => facts(SellerAudience::Seller(seller))
                .of_seller(seller)
                .with_id(Some(ReferencedId::Message(id))),
        };
        facts.announced(Announcement::Update(self))
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Amended { proposal, version } => {
                format!("{} amended: {} (version {version})", proposal.seller, proposal.price)
            }
            Self::Withdrawn { proposal_id, reason: None } => format!("{proposal_id} withdrawn"),
            Self::Withdrawn { proposal_id, reason: Some(reason) } => {
                format!("{proposal_id} withdrawn: {reason}")
            }
            Self::Declined { seller, reason: None } => format!("{seller} declined"),
            Self::Declined { seller, reason: Some(reason) } => {
                format!("{seller} declined: {reason}")
            }
            Self::Answered { seller, follow_up_id, message } => {
                format!("{seller} answers {follow_up_id}: {message}")
            }
            Self::Asked { seller, question_id, message } => {
                format!("{question_id}: {seller} asks: {message}")
            }
        }
    }

    pub(super) fn message(&self) -> Option<ConversationMessage<'_>> {
        match self {
            Self::Asked { seller, question_id, message } => {
                Some(ConversationMessage::Question { seller, id: question_id, text: message })
            }
            Self::Answered { seller, follow_up_id, message } => {
                Some(ConversationMessage::Answer { seller, to: follow_up_id, text: message })
            }
            Self::Amended { .. } | Self::Withdrawn { .. } | Self::Declined { .. } => None,
        }
    }

    pub(super) fn permanent_effect(&self) -> Option<PermanentEffect> {
        match self {
            Self::Withdrawn { proposal_id, .. } => {
                Some(PermanentEffect::Withdrawn(proposal_id.clone()))
            }
            Self::Declined { seller, .. } => Some(PermanentEffect::Declined(seller.clone())),
            Self::Asked { question_id, .. } => Some(PermanentEffect::Question(question_id.clone())),
            Self::Amended { .. } | Self::Answered { .. } => None,
        }
    }
}
