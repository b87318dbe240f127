//! The events of an order: numbered one after another, and never changed once written.

use serde::{Deserialize, Serialize};

use crate::command::{Award, PermanentEffect, ProposalContent, ReferencedId, winners};
use crate::date::rfc3339_seconds;
use crate::id::{FollowUpId, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp};
use crate::notification::Announcement;
use crate::order::Phase;
use crate::spec::{FollowUp, OrderSpec, SellerChoice, Verdict};

use facts::EventFacts;

mod cause;
mod facts;
mod notify_result;
mod proposal_update;

pub use cause::Cause;
pub(crate) use cause::fingerprint;
pub use facts::{ConversationMessage, SellerAudience};
pub use notify_result::NotifyResult;
pub use proposal_update::ProposalUpdate;

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

/// An event's kind and content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventKind {
    /// The order was opened.
    OrderOpened(Box<OrderOpened>),
    /// Every seller that was considered at the opening, with the verdict. A later one adds sellers
    /// that came while the order was open, and has all that are invited by then.
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
    /// The order takes no proposals: the buyer paused it, or its time ran out.
    OrderPaused {
        /// Set where the order's time ran out: its deadline passed, or the time of the decision
        /// after it. It is the last event of the order then, unless the buyer may still decide.
        expired: bool,
        /// The buyer's reason, or that of the expiry.
        reason: Option<String>,
        /// The time until which the buyer may decide; absent where nothing is to be decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decide_by: Option<Timestamp>,
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

impl EventKind {
    /// Returns the name on the wire, in logs and in status. The first ones are the original
    /// system's.
    pub fn as_str(&self) -> &'static str {
        self.facts().name
    }

    /// Returns the phase that the order has after this event, if the event sets it.
    pub fn phase_after(&self) -> Option<Phase> {
        self.facts().phase
    }

    /// Returns the phase in which this event ends the order, if it does: no event follows it then.
    pub fn ends(&self) -> Option<Phase> {
        self.phase_after().filter(|phase| phase.is_terminal())
    }

    /// Returns the id of the proposal that the event is about, if any.
    pub fn proposal_id(&self) -> Option<&ProposalId> {
        self.facts().id.and_then(ReferencedId::proposal)
    }

    /// Returns the id of the follow-up or question that the event is about, if any.
    pub fn follow_up_id(&self) -> Option<&FollowUpId> {
        self.facts().id.and_then(ReferencedId::message)
    }

    /// Returns the seller that the event names, if any: the one that acted, or was notified.
    pub fn seller(&self) -> Option<&SellerId> {
        self.facts().seller
    }

    /// Returns the sellers that see the event in their sessions.
    pub fn audience(&self) -> SellerAudience<'_> {
        self.facts().audience
    }

    /// Returns the news of the event, if anybody is to be notified of it.
    pub fn announcement(&self) -> Option<Announcement<'_>> {
        self.facts().announcement
    }

    /// Returns the content that the event gives to a proposal, if it does.
    pub const fn proposal_content(&self) -> Option<&ProposalContent> {
        if let Self::NewProposal(content)
        | Self::ProposalUpdate(ProposalUpdate::Amended { proposal: content, .. }) = self
        {
            return Some(content);
        }
        None
    }

    /// Returns the message of the conversation that the event holds, if it does.
    pub fn message(&self) -> Option<ConversationMessage<'_>> {
        if let Self::FollowUpAdded(follow_up) = self {
            return Some(ConversationMessage::FollowUp(follow_up));
        }
        if let Self::ProposalUpdate(update) = self { update.message() } else { None }
    }

    /// Returns the effect that no later command undoes, if the event records one by itself.
    pub(crate) fn permanent_effect(&self) -> Option<PermanentEffect> {
        if let Self::FollowUpAdded(added) = self {
            return Some(PermanentEffect::FollowUp(added.id.clone()));
        }
        if let Self::ProposalUpdate(update) = self { update.permanent_effect() } else { None }
    }

    /// Answers what is asked of an event, wherever it is read: a new event answers it here, and
    /// in [`Self::text`].
    fn facts(&self) -> EventFacts<'_> {
        use Announcement as News;
        use ReferencedId as Id;
        use SellerAudience::{All, Nobody, OwnerOf, Proposer, Seller, Sellers};
        let facts = EventFacts::new;
        match self {
            Self::OrderOpened(opened) => {
                facts("OrderOpened", All).sets(Phase::Open).announced(News::Opening(opened))
            }
            Self::SellersSelected(_) => {
                facts("SellersSelected", Nobody).announced(News::Invitation)
            }
            // A seller that was not reached is reported when its notification is given up.
            Self::SellerNotified { seller, .. } => {
                facts("SellerNotified", Seller(seller)).of_seller(seller)
            }
            Self::NewProposal(proposal) => facts("NewProposal", Proposer(proposal))
                .of_seller(&proposal.seller)
                .with_id(proposal.proposal_id.as_ref().map(Id::Proposal))
                .announced(News::Proposal(proposal)),
            Self::ProposalUpdate(update) => update.facts(),
            // The award itself notifies the losers.
            Self::ProposalClosed { proposal_id: id, .. } => {
                facts("ProposalClosed", OwnerOf(id)).with_id(Some(Id::Proposal(id)))
            }
            Self::EditLock { proposal_id: id, holder, .. } => {
                facts("EditLock", OwnerOf(id)).of_seller(holder).with_id(Some(Id::Proposal(id)))
            }
            Self::FollowUpAdded(added) => {
                let audience = &added.audience;
                let audience = if audience.is_empty() { All } else { Sellers(audience) };
                facts("FollowUpAdded", audience)
                    .with_id(Some(Id::Message(&added.id)))
                    .announced(News::FollowUp(added))
            }
            Self::OrderPaused { expired: true, decide_by: Some(at), .. } => {
                facts("OrderPaused", All).sets(Phase::Deciding).announced(News::Deadline(*at))
            }
            Self::OrderPaused { expired, reason, .. } => {
                let phase = if *expired { Phase::Expired } else { Phase::Paused };
                let news = News::Pause { expired: *expired, reason: reason.as_deref() };
                facts("OrderPaused", All).sets(phase).announced(news)
            }
            Self::OrderResumed => {
                facts("OrderResumed", All).sets(Phase::Open).announced(News::Resumption)
            }
            Self::OrderExtended { expires_at } => {
                facts("OrderExtended", All).announced(News::Extension(*expires_at))
            }
            // A sealed order takes nothing more from its opening on.
            Self::ProposalsOpened { decide_until } => facts("ProposalsOpened", All)
                .sets(Phase::Deciding)
                .announced(News::Deadline(*decide_until)),
            // Nobody receives an award while it may be undone.
            Self::AwardPending { .. } => facts("AwardPending", Nobody),
            Self::AwardUndone { .. } => facts("AwardUndone", Nobody),
            Self::OrderFinalised { award, reason } => {
                let news = News::Award { award: award.as_ref(), reason: reason.as_deref() };
                facts("OrderFinalised", All).sets(Phase::Finalised).announced(news)
            }
            Self::OrderClosed { reason } => facts("OrderClosed", All)
                .sets(Phase::Closed)
                .announced(News::End { reason: reason.as_deref() }),
            Self::OrderCancelled { reason } => facts("OrderCancelled", All)
                .sets(Phase::Cancelled)
                .announced(News::End { reason: reason.as_deref() }),
        }
    }

    /// Describes the event's content for people, without its name.
    pub fn text(&self) -> String {
        let text = |reason: &Option<String>| reason.clone().unwrap_or_default();
        match self {
            Self::OrderOpened(opened) => {
                opened.spec.title.as_deref().unwrap_or_default().to_owned()
            }
            Self::SellersSelected(choices) => {
                let chosen = choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
                let chosen: Vec<&str> = chosen.map(|choice| choice.seller.as_str()).collect();
                format!("{} of {}: {}", chosen.len(), choices.len(), chosen.join(", "))
            }
            Self::SellerNotified { seller, channel, result, .. } => {
                format!("{seller} by {channel}: {}", result.as_str())
            }
            Self::NewProposal(proposal) => {
                let label = proposal.alternative.as_deref();
                let label = label.map(|label| format!("  ({label})")).unwrap_or_default();
                format!("{}  {}{label}", proposal.seller, proposal.price)
            }
            Self::ProposalUpdate(update) => update.text(),
            Self::ProposalClosed { proposal_id, reason } => format!("{proposal_id}: {reason}"),
            Self::EditLock { proposal_id, holder, until } => {
                let how = if until.is_some() { "locked" } else { "unlocked" };
                format!("{proposal_id} {how} by {holder}")
            }
            Self::FollowUpAdded(follow_up) => {
                let audience: Vec<&str> = follow_up.audience.iter().map(SellerId::as_str).collect();
                let to = if audience.is_empty() { "all".to_owned() } else { audience.join(", ") };
                let what = match &follow_up.answers {
                    Some(question) => format!("answers {question} to {to}"),
                    None => format!("asks {to}"),
                };
                format!("{}: the buyer {what}: {}", follow_up.id, follow_up.message.message)
            }
            Self::OrderPaused { expired: true, decide_by: Some(at), .. } => {
                format!("decide until {}", rfc3339_seconds(*at))
            }
            Self::OrderPaused { reason, .. }
            | Self::AwardUndone { reason }
            | Self::OrderClosed { reason }
            | Self::OrderCancelled { reason } => text(reason),
            Self::OrderResumed => String::new(),
            Self::OrderExtended { expires_at } => rfc3339_seconds(*expires_at),
            Self::ProposalsOpened { decide_until } => {
                format!("decide until {}", rfc3339_seconds(*decide_until))
            }
            Self::AwardPending { award, effective_at, .. } => {
                let at = rfc3339_seconds(*effective_at);
                format!("{}, counts from {at}", winners(award.as_ref()))
            }
            Self::OrderFinalised { award, reason } => {
                format!("{} {}", winners(award.as_ref()), text(reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::Price;

    /// An order that is paused because its time ran out has ended.
    #[test]
    fn ends_have_their_phase() {
        let paused = |expired| EventKind::OrderPaused { reason: None, expired, decide_by: None };
        let decide_by = Some(Timestamp(1));
        for (kind, expected) in [
            (EventKind::OrderClosed { reason: None }, Some(Phase::Closed)),
            (EventKind::OrderCancelled { reason: None }, Some(Phase::Cancelled)),
            (paused(true), Some(Phase::Expired)),
            (paused(false), None),
            (EventKind::OrderPaused { reason: None, expired: true, decide_by }, None),
            (EventKind::SellersSelected(Vec::new()), None),
        ] {
            assert_eq!(kind.ends(), expected, "{kind:?}");
        }
    }

    #[test]
    fn selections_name_the_chosen() {
        let choice = |name: &str, verdict| SellerChoice {
            seller: SellerId::new(name).unwrap(),
            verdict,
            distance_m: None,
            display_name: None,
        };
        let choices = vec![choice("a", Verdict::Chosen), choice("b", Verdict::TooFar)];
        assert_eq!(EventKind::SellersSelected(choices).text(), "1 of 2: a");
    }

    #[test]
    fn first_and_amended_proposals_have_content() {
        let content = ProposalContent {
            proposal_id: ProposalId::new("p1").ok(),
            ..ProposalContent::new(SellerId::new("a").unwrap(), Price::parse("7", "EUR").unwrap())
        };
        let amended = ProposalUpdate::Amended { proposal: content.clone(), version: 2 };
        let kinds = [EventKind::NewProposal(content.clone()), EventKind::ProposalUpdate(amended)];
        for kind in kinds {
            assert_eq!(kind.proposal_content(), Some(&content));
        }
        assert_eq!(EventKind::OrderResumed.proposal_content(), None);
    }
}
