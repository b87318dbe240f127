//! The events of an order: numbered one after another, and never changed once written.

use serde::{Deserialize, Serialize};

use crate::command::{Actor, Award, CommandKind, ProposalContent};
use crate::hash::StableHasher;
use crate::id::{
    FollowUpId, IdempotencyKey, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp,
};
use crate::order::Phase;
use crate::spec::{FollowUp, OrderSpec, SellerChoice};

/// One event of an order's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The event's sequence number in the list.
    pub seq: Seq,
    /// The time of the owner's decision.
    pub at: Timestamp,
    /// The request that caused it, if it can be repeated. It shares a record with its effect, so
    /// that a crash cannot separate the two. It never leaves the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The event's kind and content.
    pub kind: EventKind,
}

/// A repeatable request: its key and a fingerprint of its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// The FNV-1a hash of the command's canonical form.
    pub fingerprint: u64,
    /// The actor that the key belongs to. Absent in records from before keys had one; there it
    /// follows from the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
}

impl Cause {
    /// Returns a key with the fingerprint of the command under it.
    pub fn new(key: IdempotencyKey, kind: &CommandKind) -> Self {
        Self { key, fingerprint: fingerprint(kind), actor: None }
    }

    /// Returns the same cause, as this actor's.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }
}

/// Returns the FNV-1a hash of the command's canonical JSON: stable across builds, and good enough
/// to distinguish an honest repetition from a key used twice by mistake.
pub(crate) fn fingerprint(kind: &CommandKind) -> u64 {
    let mut hasher = StableHasher::default();
    match serde_json::to_writer(&mut hasher, kind) {
        Ok(()) => hasher.finish(),
        // A command is plain data and always serialises.
        Err(_) => 0,
    }
}

/// An event's kind and content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventKind {
    /// The order was opened.
    OrderOpened(Box<OrderOpened>),
    /// Every seller that was considered, with the verdict.
    SellersSelected(Vec<SellerChoice>),
    /// A seller was notified of the order, could not be, or has seen it.
    SellerNotified {
        /// The seller concerned.
        seller: SellerId,
        /// The channel: a notification type, or `session` where the seller has seen the order.
        channel: String,
        /// The result for the seller.
        result: NotifyResult,
        /// The cause for which it could not be notified.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A seller made a proposal; the id is set.
    NewProposal(ProposalContent),
    /// A proposal changed, or a seller declined, answered or asked.
    ProposalUpdate(ProposalUpdate),
    /// A proposal did not win.
    ProposalClosed {
        /// The proposal's id.
        proposal_id: ProposalId,
        /// The reason for the seller.
        reason: String,
    },
    /// An edit lock was taken or released.
    EditLock {
        /// The proposal's id.
        proposal_id: ProposalId,
        /// The seller that took or released it.
        holder: SellerId,
        /// The end of the lease; absent where the lock was released.
        until: Option<Timestamp>,
    },
    /// The buyer added a follow-up.
    FollowUpAdded(FollowUp),
    /// The order takes no proposals: the buyer paused it, or it expired for good.
    OrderPaused {
        /// Set where this is the expiry, the last event of the order.
        expired: bool,
        /// The buyer's reason, or that of the expiry.
        reason: Option<String>,
    },
    /// The order takes proposals again.
    OrderResumed,
    /// The order was extended.
    OrderExtended {
        /// The new time of expiry.
        expires_at: Timestamp,
    },
    /// A sealed order has reached its deadline: its proposals can be read now, and decided on.
    ProposalsOpened {
        /// The time at which the order expires without a decision.
        decide_until: Timestamp,
    },
    /// The buyer decided, and can still undo it.
    AwardPending {
        /// The award; nobody is to win where it is absent.
        award: Option<Award>,
        /// The buyer's reason.
        reason: Option<String>,
        /// The time at which it takes effect.
        effective_at: Timestamp,
    },
    /// The buyer undid a pending award.
    AwardUndone {
        /// The buyer's reason.
        reason: Option<String>,
    },
    /// The order ended, with or without a winner.
    OrderFinalised {
        /// The award; nobody won where it is absent.
        award: Option<Award>,
        /// The buyer's reason.
        reason: Option<String>,
    },
    /// The order ended without an award.
    OrderClosed {
        /// The buyer's reason.
        reason: Option<String>,
    },
    /// The order ended as if it had not been requested.
    OrderCancelled {
        /// The buyer's reason.
        reason: Option<String>,
    },
}

/// The result of notifying a seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyResult {
    /// The channel accepted the notification.
    Delivered,
    /// The notification could not be delivered, and is not retried.
    Bounced,
    /// The seller has seen the order.
    Seen,
}

impl NotifyResult {
    /// Returns the spelling on the wire and in replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Seen => "seen",
        }
    }

    /// Returns the result with this spelling; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delivered, Self::Bounced, Self::Seen].into_iter().find(|r| r.as_str() == text)
    }
}

/// The content of an order's first event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderOpened {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The order's content.
    pub spec: OrderSpec,
    /// The time at which the order expires if nobody extends it.
    pub expires_at: Timestamp,
}

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
}

impl EventKind {
    /// Returns the name on the wire, in logs and in status. The first ones are the original
    /// system's.
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

    /// Returns the phase in which this event ends the order, if it does: no event follows it then.
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

    /// Returns the id of the proposal that the event is about, if any.
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

    /// Returns the id of the follow-up or question that the event is about, if any.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_notifications_are_parsed() {
        for result in [NotifyResult::Delivered, NotifyResult::Bounced, NotifyResult::Seen] {
            assert_eq!(NotifyResult::parse(result.as_str()), Some(result));
        }
        assert_eq!(NotifyResult::parse("Seen"), None);
    }

    /// An order that is paused because its time ran out has ended.
    #[test]
    fn ends_have_their_phase() {
        let paused = |expired| EventKind::OrderPaused { reason: None, expired };
        for (kind, expected) in [
            (EventKind::OrderClosed { reason: None }, Some(Phase::Closed)),
            (EventKind::OrderCancelled { reason: None }, Some(Phase::Cancelled)),
            (paused(true), Some(Phase::Expired)),
            (paused(false), None),
            (EventKind::SellersSelected(Vec::new()), None),
        ] {
            assert_eq!(kind.ends(), expected, "{kind:?}");
        }
    }
}
