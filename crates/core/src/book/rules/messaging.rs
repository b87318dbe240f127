//! Follow-ups, questions and answers, and the notification of sellers.

use super::{RuleResult, must_be_before_deadline};
use crate::event::{EventKind, NotifyResult, ProposalUpdate};
use crate::id::{FollowUpId, SellerId, Timestamp};
use crate::input::{check_new_message_id, check_new_seller, check_visible};
use crate::limits::{FOLLOW_UPS_MAX, QUESTIONS_MAX};
use crate::order::{Invitation, InvitationState, Order};
use crate::refusal::{Reason, Refusal};
use crate::spec::{FollowUp, NotificationType};
use crate::visible::is_blank;

pub(super) fn answer(
    order: &Order,
    seller: &SellerId,
    id: &FollowUpId,
    message: &str,
) -> RuleResult {
    if !order.follow_ups.contains(id) {
        return Err(Refusal::field("follow_up_id", "is not known; use the id of a follow-up"));
    }
    check_new_seller(seller)?;
    check_visible("message", message)?;
    let (seller, follow_up_id, message) = (seller.clone(), id.clone(), message.to_owned());
    let update = ProposalUpdate::Answered { seller, follow_up_id, message };
    Ok(vec![EventKind::ProposalUpdate(update)])
}

pub(super) fn follow_up(order: &Order, added: &FollowUp) -> RuleResult {
    if order.follow_ups.contains(&added.id) {
        return Err(Refusal::field("follow_up_id", "exists with other words; use another id"));
    }
    check_new_message_id("follow_up_id", &added.id)?;
    check_visible("message.message", &added.message.message)?;
    if let Some(question) = added.answers.as_ref().filter(|id| !order.questions.contains_key(*id)) {
        return Err(Refusal::field(
            "answers",
            format!("names {question}, which no seller asked; use a question's id"),
        ));
    }
    if order.follow_ups.len() >= FOLLOW_UPS_MAX {
        return Err(Refusal::new(
            Reason::LimitReached,
            format!("the order has {FOLLOW_UPS_MAX} follow-ups, the most that one order takes"),
        ));
    }
    Ok(vec![EventKind::FollowUpAdded(added.clone())])
}

pub(super) fn ask(
    order: &Order,
    now: Timestamp,
    seller: &SellerId,
    id: Option<&FollowUpId>,
    message: &str,
) -> RuleResult {
    let id = id.ok_or_else(|| {
        Refusal::field("question_id", "is missing; give 1 to 128 characters, or a key")
    })?;
    if order.questions.contains_key(id) {
        return Err(Refusal::field("question_id", "is taken; use another id"));
    }
    check_new_message_id("question_id", id)?;
    check_new_seller(seller)?;
    if is_blank(message) {
        return Err(Refusal::field("message", "is missing; write what you want to know"));
    }
    must_be_before_deadline(order, now)?;
    if order.questions.len() >= QUESTIONS_MAX {
        return Err(Refusal::new(
            Reason::LimitReached,
            format!("the order has {QUESTIONS_MAX} questions, the most that one order takes"),
        ));
    }
    let (seller, question_id, message) = (seller.clone(), id.clone(), message.to_owned());
    let update = ProposalUpdate::Asked { seller, question_id, message };
    Ok(vec![EventKind::ProposalUpdate(update)])
}

/// Records once that an invited seller has seen the order; others have nothing to see.
pub(super) fn see(order: &Order, seller: &SellerId) -> RuleResult {
    let state = order.invitation(seller).map(|held| held.state);
    if state.is_none_or(|state| state >= InvitationState::Seen) {
        return Ok(Vec::new());
    }
    Ok(vec![seen(seller)])
}

/// Returns the event by which a seller has seen the order.
pub(super) fn seen(seller: &SellerId) -> EventKind {
    let (seller, channel) = (seller.clone(), "session".to_owned());
    EventKind::SellerNotified { seller, channel, result: NotifyResult::Seen, reason: None }
}

/// Records a seller's first success, and its first failure before that. Until a sealed order is
/// opened, this does not depend on what the seller did.
pub(super) fn notified(
    order: &Order,
    seller: &SellerId,
    channel: NotificationType,
    failure: Option<&String>,
) -> RuleResult {
    let result = if failure.is_some() { NotifyResult::Bounced } else { NotifyResult::Delivered };
    let is_sealed = order.is_sealed();
    let shown = |held: &Invitation| if is_sealed { held.without_acts().state } else { held.state };
    let state = order.invitation(seller).map(shown);
    if state.is_none_or(|state| state >= InvitationState::from(result)) {
        return Ok(Vec::new());
    }
    Ok(vec![EventKind::SellerNotified {
        seller: seller.clone(),
        channel: channel.as_str().to_owned(),
        result,
        reason: failure.cloned(),
    }])
}
