//! The conversation between buyer and sellers as a document.

use orderstream_core::Event;
use orderstream_core::date::rfc3339;
use orderstream_core::event::ConversationMessage;
use orderstream_rest_types::conversation::{
    ConversationMessageKind as Kind, ConversationMessageView,
};

/// Converts an event, if it holds a message of the conversation.
pub(in crate::rest) fn conversation_message(event: &Event) -> Option<ConversationMessageView> {
    let view = |kind: Kind, text: &str| ConversationMessageView {
        seq: event.seq.0,
        at: rfc3339(event.at),
        kind: kind.as_str().to_owned(),
        text_type: "text".to_owned(),
        message: text.to_owned(),
        ..ConversationMessageView::default()
    };
    Some(match event.kind.message()? {
        ConversationMessage::FollowUp(follow_up) => ConversationMessageView {
            id: Some(follow_up.id.to_string()),
            audience: follow_up.audience.iter().map(ToString::to_string).collect(),
            text_type: follow_up.message.kind.as_str().to_owned(),
            urls: follow_up.message.urls.clone(),
            answers: follow_up.answers.as_ref().map(ToString::to_string),
            ..view(Kind::FollowUp, &follow_up.message.message)
        },
        ConversationMessage::Question { seller, id, text } => ConversationMessageView {
            id: Some(id.to_string()),
            seller: Some(seller.to_string()),
            ..view(Kind::Question, text)
        },
        ConversationMessage::Answer { seller, to, text } => ConversationMessageView {
            seller: Some(seller.to_string()),
            answers: Some(to.to_string()),
            ..view(Kind::Answer, text)
        },
    })
}
