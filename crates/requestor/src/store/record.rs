//! The records of an order's list.

use orderstream_core::command::{Award, CommandKind};
use orderstream_core::spec::{Message, NotificationType};
use orderstream_core::tracker::PublishedView;
use orderstream_core::{
    FollowUpId, IdempotencyKey, Incarnation, OrderKey, OrderSpec, Phase, SellerId,
};
use serde::{Deserialize, Serialize};

use super::StoredRefusal;

/// One record of an order's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OrderRecord {
    /// The buyer requested the order.
    RequestSubmission(Box<OrderSubmission>),
    /// The buyer sent a follow-up.
    RequestFollowUp {
        /// The follow-up's id, unique in its order.
        id: FollowUpId,
        /// The recipients; empty means all sellers.
        audience: Vec<SellerId>,
        /// The text.
        message: Message,
        /// The seller's question that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<FollowUpId>,
        /// The order's incarnation; absent in records from before incarnations were stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The processor accepted the follow-up.
    FollowUpForwarded {
        /// The follow-up's id.
        id: FollowUpId,
        /// The order's incarnation; absent in records from before it was stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The buyer ended the order.
    OrderFinalised {
        /// The command's key.
        id: IdempotencyKey,
        /// The award; absent for an end without a winner.
        award: Option<Award>,
        /// The reason that the buyer gave.
        reason: Option<String>,
        /// The time in which the award can be undone, milliseconds; absent when it takes effect at
        /// once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo_within_ms: Option<u64>,
        /// The order's incarnation; absent in records from before incarnations were stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The buyer sent another command.
    #[serde(rename = "BuyerActed")]
    CommandRequested {
        /// The command's key.
        id: IdempotencyKey,
        /// The command's body.
        #[serde(rename = "act")]
        body: Box<CommandKind>,
        /// The order's incarnation; absent in records from before incarnations were stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The buyer paused the order.
    OrderPaused {
        /// The command's key.
        id: IdempotencyKey,
        /// The reason that the buyer gave.
        reason: Option<String>,
        /// The order's incarnation; absent in records from before incarnations were stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The processor accepted a command, or refused it for good.
    #[serde(rename = "ActAnswered")]
    CommandSettled {
        /// The command's key.
        id: IdempotencyKey,
        /// The refusal as text; absent when the command was done.
        refused: Option<String>,
        /// The refusal's fields; absent when the command was done, and in records from before they
        /// were stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<Box<StoredRefusal>>,
        /// The order's incarnation; absent in records from before it was stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The order reached its end.
    OrderEnded {
        /// The phase in which the order ended.
        phase: Phase,
        /// The order as it is displayed from then on; absent where a former version wrote the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<Box<PublishedView>>,
    },
    /// Records of this list whose append failed, and which were found on disk nevertheless: they do
    /// not count, and their caller's reply was that they may not be stored.
    Disowned {
        /// The sequence numbers of those records.
        records: Vec<u64>,
    },
}

/// An order that the buyer requested, and its placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderSubmission {
    /// The order's tenant and id.
    #[serde(flatten)]
    pub key: OrderKey,
    /// The buyer's session.
    pub session_id: Option<String>,
    /// The channel over which sellers are notified.
    pub notification_type: NotificationType,
    /// The order's specification.
    pub spec: OrderSpec,
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The URL of the processor that the order was placed on.
    pub processor: String,
}
