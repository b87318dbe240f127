//! The conversation between buyer and sellers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = SaidView)]
pub struct ConversationMessageView {
    /// The event's sequence number; also the cursor.
    #[serde(default)]
    #[schema(required)]
    pub seq: u64,
    /// The time of that event.
    #[serde(default)]
    #[schema(required, format = DateTime)]
    pub at: String,
    // A text, so that a reader also shows a kind that only a newer server knows.
    /// The kind of the message, by its sender.
    #[serde(default)]
    #[schema(required, value_type = ConversationMessageKind)]
    pub kind: String,
    /// The id of the follow-up or question; absent for an answer.
    pub id: Option<String>,
    /// The sending seller; `sealed` while the order is. Absent for the buyer.
    pub seller: Option<String>,
    /// The sellers that the buyer's message goes to; empty for all.
    #[serde(default)]
    #[schema(required)]
    pub audience: Vec<String>,
    /// The format of the text: `text`, `html` or `markdown`.
    #[serde(default, rename = "type")]
    #[schema(required, example = "text")]
    pub text_type: String,
    /// The text.
    #[serde(default)]
    #[schema(required)]
    pub message: String,
    /// The links that belong to it.
    #[serde(default)]
    #[schema(required)]
    pub urls: Vec<String>,
    /// The question or follow-up that it answers.
    pub answers: Option<String>,
}

/// The kind of a message, by its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Said)]
pub enum ConversationMessageKind {
    /// The buyer's, to all sellers or to some.
    FollowUp,
    /// A seller's, to the buyer.
    Question,
    /// A seller's, to a follow-up.
    Answer,
}

impl ConversationMessageKind {
    /// Returns the spelling in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FollowUp => "follow_up",
            Self::Question => "question",
            Self::Answer => "answer",
        }
    }
}

/// A page of an order's conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ConversationPage {
    /// The messages, the oldest first. A page that is not the last one can be empty.
    #[schema(required)]
    pub conversation: Vec<ConversationMessageView>,
    /// The `after` of the next page; absent at the end.
    pub next: Option<u64>,
}
