//! The answers to what readers ask of an event, and what they are made of.

use crate::command::{ProposalContent, ReferencedId};
use crate::id::{FollowUpId, ProposalId, SellerId};
use crate::notification::Announcement;
use crate::order::Phase;
use crate::spec::FollowUp;

/// The answers to what is asked of an event.
pub(super) struct EventFacts<'a> {
    /// The name on the wire, in logs and in status.
    pub(super) name: &'static str,
    /// The sellers that see it in their sessions.
    pub(super) audience: SellerAudience<'a>,
    /// The seller that it names.
    pub(super) seller: Option<&'a SellerId>,
    /// The proposal or message that it is about.
    pub(super) id: Option<ReferencedId<'a>>,
    /// The phase that it sets.
    pub(super) phase: Option<Phase>,
    /// Its news, where somebody is to be notified.
    pub(super) announcement: Option<Announcement<'a>>,
}

/// The sellers that see an event in their sessions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SellerAudience<'a> {
    /// Every seller that follows the order.
    All,
    /// No seller.
    Nobody,
    /// The sellers with these names.
    Sellers(&'a [SellerId]),
    /// This one.
    Seller(&'a SellerId),
    /// The one that made this content. Under seal it names nobody, and the proposal's id decides.
    Proposer(&'a ProposalContent),
    /// The one that made this proposal.
    OwnerOf(&'a ProposalId),
}

/// A message of the conversation between buyer and sellers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConversationMessage<'a> {
    /// The buyer's, to all sellers or to some.
    FollowUp(&'a FollowUp),
    /// A seller's question.
    Question {
        /// The asking seller.
        seller: &'a SellerId,
        /// The question's id.
        id: &'a FollowUpId,
        /// The question.
        text: &'a str,
    },
    /// A seller's answer to a follow-up.
    Answer {
        /// The answering seller.
        seller: &'a SellerId,
        /// The id of the follow-up.
        to: &'a FollowUpId,
        /// The answer.
        text: &'a str,
    },
}

impl<'a> EventFacts<'a> {
    /// Makes the answers of an event that is about the whole order, leaves its phase, and of which
    /// nobody is notified.
    pub(super) const fn new(name: &'static str, audience: SellerAudience<'a>) -> Self {
        Self { name, audience, seller: None, id: None, phase: None, announcement: None }
    }

    pub(super) fn of_seller(self, seller: &'a SellerId) -> Self {
        Self { seller: Some(seller), ..self }
    }

    pub(super) fn with_id(self, id: Option<ReferencedId<'a>>) -> Self {
        Self { id, ..self }
    }

    pub(super) fn sets(self, phase: Phase) -> Self {
        Self { phase: Some(phase), ..self }
    }

    pub(super) fn announced(self, announcement: Announcement<'a>) -> Self {
        Self { announcement: Some(announcement), ..self }
    }
}
