//! The conversation between buyer and sellers as a document.

use orderstream_core::date::rfc3339;
use orderstream_core::event::{EventKind, ProposalUpdate};
use orderstream_core::spec::FollowUp;
use orderstream_core::{Event, SellerId};
use orderstream_rest_types::conversation::{ConversationMessageKind, ConversationMessageView};

/// Converts an event, if it holds a message of the conversation.
pub(in crate::rest) fn conversation_message(event: &Event) -> Option<ConversationMessageView> {
    match &event.kind {
        EventKind::FollowUpAdded(follow_up) => Some(follow_up_view(event, follow_up)),
        EventKind::ProposalUpdate(ProposalUpdate::Asked { seller, question_id, message }) => {
            Some(ConversationMessageView {
                id: Some(question_id.to_string()),
                ..of_seller(event, ConversationMessageKind::Question, seller, message)
            })
        }
        EventKind::ProposalUpdate(ProposalUpdate::Answered { seller, follow_up_id, message }) => {
            Some(ConversationMessageView {
                answers: Some(follow_up_id.to_string()),
                ..of_seller(event, ConversationMessageKind::Answer, seller, message)
            })
        }
        EventKind::ProposalUpdate(
            ProposalUpdate::Amended { .. }
            | ProposalUpdate::Withdrawn { .. }
            | ProposalUpdate::Declined { .. },
        )
        | EventKind::OrderOpened(_)
        | EventKind::SellersSelected(_)
        | EventKind::SellerNotified { .. }
        | EventKind::NewProposal(_)
        | EventKind::ProposalClosed { .. }
        | EventKind::EditLock { .. }
        | EventKind::OrderPaused { .. }
        | EventKind::OrderResumed
        | EventKind::OrderExtended { .. }
        | EventKind::ProposalsOpened { .. }
        | EventKind::AwardPending { .. }
        | EventKind::AwardUndone { .. }
        | EventKind::OrderFinalised { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => None,
    }
}

fn follow_up_view(event: &Event, follow_up: &FollowUp) -> ConversationMessageView {
    ConversationMessageView {
        seq: event.seq.0,
        at: rfc3339(event.at),
        kind: ConversationMessageKind::FollowUp.as_str().to_owned(),
        id: Some(follow_up.id.to_string()),
        seller: None,
        audience: follow_up.audience.iter().map(ToString::to_string).collect(),
        text_type: follow_up.message.kind.as_str().to_owned(),
        message: follow_up.message.message.clone(),
        urls: follow_up.message.urls.clone(),
        answers: follow_up.answers.as_ref().map(ToString::to_string),
    }
}

fn of_seller(
    event: &Event,
    kind: ConversationMessageKind,
    seller: &SellerId,
    message: &str,
) -> ConversationMessageView {
    ConversationMessageView {
        seq: event.seq.0,
        at: rfc3339(event.at),
        kind: kind.as_str().to_owned(),
        id: None,
        seller: Some(seller.to_string()),
        audience: Vec::new(),
        text_type: "text".to_owned(),
        message: message.to_owned(),
        urls: Vec::new(),
        answers: None,
    }
}
