//! The records of an order's list.

use orderstream_core::command::{Act, Award};
use orderstream_core::spec::{Message, NotificationType};
use orderstream_core::tracker::Shown;
use orderstream_core::{
    FollowUpId, IdempotencyKey, Incarnation, OrderKey, OrderSpec, Phase, SellerId,
};
use serde::{Deserialize, Serialize};

use super::StoredRefusal;

/// One record of an order's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The buyer asked for the order.
    RequestSubmission(Box<Submission>),
    /// The buyer asked or said something.
    RequestFollowUp {
        /// Unique in its order.
        id: FollowUpId,
        /// To whom; empty means to all.
        audience: Vec<SellerId>,
        /// The text.
        message: Message,
        /// The seller's question that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<FollowUpId>,
        /// Which life of the order is meant; absent in what was stored before lives were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The processor took the follow-up.
    FollowUpForwarded {
        /// Which.
        id: FollowUpId,
        /// Of which life; absent in what was stored before it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The buyer ended the order.
    OrderFinalised {
        /// The act's key.
        id: IdempotencyKey,
        /// Who wins.
        award: Option<Award>,
        /// Why.
        reason: Option<String>,
        /// How long it can be undone, milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo_within_ms: Option<u64>,
        /// Which life of the order is meant; absent in what was stored before lives were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The buyer steered or ended the order in another way.
    BuyerActed {
        /// The act's key.
        id: IdempotencyKey,
        /// What is to be done.
        act: Box<Act>,
        /// Which life of the order is meant; absent in what was stored before lives were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The buyer paused the order.
    OrderPaused {
        /// The act's key.
        id: IdempotencyKey,
        /// Why.
        reason: Option<String>,
        /// Which life of the order is meant; absent in what was stored before lives were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The processor answered an act, or refused it for good.
    ActAnswered {
        /// The act's key.
        id: IdempotencyKey,
        /// Why it was refused, in words; absent when it was done.
        refused: Option<String>,
        /// The same for programs; absent in what was stored before it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<Box<StoredRefusal>>,
        /// Which life of the order it was asked of; absent in what was stored before it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incarnation: Option<Incarnation>,
    },
    /// The order reached its end.
    OrderEnded {
        /// Which end.
        phase: Phase,
        /// The order as it is shown from then on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<Box<Shown>>,
    },
    /// Records of this list whose append failed, and which were found on disk all the same: they do
    /// not count, and whoever asked for them was told that they may not.
    Disowned {
        /// Their numbers.
        records: Vec<u64>,
    },
}

/// What the buyer asked for, and where it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The order.
    #[serde(flatten)]
    pub key: OrderKey,
    /// The buyer's session.
    pub session_id: Option<String>,
    /// How sellers are told.
    pub notification_type: NotificationType,
    /// What is wanted.
    pub spec: OrderSpec,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// Where the order was placed.
    pub processor: String,
}
