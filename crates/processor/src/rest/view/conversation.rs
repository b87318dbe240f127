//! The conversation between buyer and sellers as JSON.

use orderstream_core::date::rfc3339;
use orderstream_core::event::{EventKind, ProposalUpdate};
use orderstream_core::spec::FollowUp;
use orderstream_core::{Event, SellerId};
use serde::Serialize;
use utoipa::ToSchema;

/// One message of a conversation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SaidView)]
pub(in crate::rest) struct ConversationMessageView {
    /// The event's sequence number; also the cursor.
    seq: u64,
    /// The time of that event.
    #[schema(format = DateTime)]
    at: String,
    /// The kind of the message, by its sender.
    kind: ConversationMessageKind,
    /// The id of the follow-up or question; absent for an answer.
    id: Option<String>,
    /// The sending seller; `sealed` while the order is. Absent for the buyer.
    seller: Option<String>,
    /// The sellers that the buyer's message goes to; empty for all.
    audience: Vec<String>,
    /// The format of the text: `text`, `html` or `markdown`.
    #[serde(rename = "type")]
    #[schema(example = "text")]
    text_type: &'static str,
    /// The text.
    message: String,
    /// The links that belong to it.
    urls: Vec<String>,
    /// The question or follow-up that it answers.
    answers: Option<String>,
}

/// The kind of a message, by its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Said)]
pub(in crate::rest) enum ConversationMessageKind {
    /// The buyer's, to all sellers or to some.
    FollowUp,
    /// A seller's, to the buyer.
    Question,
    /// A seller's, to a follow-up.
    Answer,
}

/// A page of an order's conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ConversationPage {
    /// The messages, the oldest first. A page that is not the last one can be empty.
    pub(in crate::rest) conversation: Vec<ConversationMessageView>,
    /// The `after` of the next page; absent at the end.
    pub(in crate::rest) next: Option<u64>,
}

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
        kind: ConversationMessageKind::FollowUp,
        id: Some(follow_up.id.to_string()),
        seller: None,
        audience: follow_up.audience.iter().map(ToString::to_string).collect(),
        text_type: follow_up.message.kind.as_str(),
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
        kind,
        id: None,
        seller: Some(seller.to_string()),
        audience: Vec::new(),
        text_type: "text",
        message: message.to_owned(),
        urls: Vec::new(),
        answers: None,
    }
}
