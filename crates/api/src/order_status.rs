//! The status that the controller writes to an `OrderRequest`: counts, and no lists that grow with
//! the order, so that it always stays small.

#![allow(unreachable_pub, reason = "kube's derive makes public types inside of functions")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use orderstream_core::RequestPhase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The observed state of the order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderRequestStatus {
    /// The generation of the resource that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The phase: Pending, Streaming, Reconnecting or Paused; from the order's end on Finalised,
    /// Expired, Closed, Cancelled or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The conditions `Ready`, `Reconciling`, `Stalled`, `SellersNotified`, `Streaming` and
    /// `ProposalsReceived`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The tracker: the follower of the order's events that stands for its buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<TrackerStatus>,
    /// The counts of the proposals, and the best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposals: Option<ProposalsStatus>,
    /// The number of sellers at each stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sellers: Option<SellersStatus>,
    /// The pending award; absent when none is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<AwardStatus>,
    /// The buyer's follow-ups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_ups: Option<FollowUpsStatus>,
    /// The stream from the processor that holds the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamStatus>,
    /// The time at which the order was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub start_time: Option<String>,
    /// The time at which the order expires; for a sealed order that was opened, the time until
    /// which it waits for a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// The time at which the order ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub completion_time: Option<String>,
}

impl OrderRequestStatus {
    /// Reports whether the status says that the order has ended.
    pub fn is_terminal(&self) -> bool {
        self.request_phase().is_some_and(RequestPhase::is_terminal)
    }

    /// Returns the phase; `None` where none was written yet, or an unknown one.
    pub fn request_phase(&self) -> Option<RequestPhase> {
        self.phase.as_deref().and_then(RequestPhase::parse)
    }

    /// Returns the condition of a type, if it was written.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|held| held.type_ == kind)
    }

    /// Returns the processor that holds the order; `None` before one was chosen.
    pub fn processor(&self) -> Option<&str> {
        self.stream.as_ref().and_then(|stream| stream.processor.as_deref())
    }
}

/// The tracker: the follower of the order's events that stands for its buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrackerStatus {
    /// True while a stream is up.
    pub stream_active: bool,
    /// The number of known follow-ups: those forwarded, and those on their way.
    pub notes: u32,
    /// The sequence number of the last event handled.
    pub last_seq: u64,
    /// The last event handled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<LastEvent>,
    /// The number of times that the stream came up again.
    pub reconnects: u32,
}

/// The last event handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastEvent {
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The time at which it happened.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
}

/// The counts of the proposals, and the best one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProposalsStatus {
    /// The number of all proposals ever made.
    pub received: u32,
    /// The number of proposals that can be awarded, or have won.
    pub open: u32,
    /// The number of proposals that were withdrawn.
    pub withdrawn: u32,
    /// The number of proposals that did not win.
    pub closed: u32,
    /// The open proposal with the lowest price; absent until a sealed order is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<BestProposalStatus>,
}

/// The best proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "Best")]
pub struct BestProposalStatus {
    /// The proposal's id.
    pub proposal_id: String,
    /// Its price, such as `1249.50 EUR`.
    pub price: String,
}

/// The number of sellers at each stage. Until a sealed order is opened, `seen`, `declined` and
/// `proposed` are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SellersStatus {
    /// Sellers that were invited.
    pub selected: u32,
    /// Sellers that were notified, or acted without a notification.
    pub notified: u32,
    /// Sellers that could not be notified.
    pub failed: u32,
    /// Sellers that opened the order, or went further.
    pub seen: u32,
    /// Sellers that declined, invited or not.
    pub declined: u32,
    /// Sellers that proposed.
    pub proposed: u32,
}

/// A pending award.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AwardStatus {
    /// The time until which it can be undone; then it takes effect, and sellers are notified.
    #[schemars(extend("format" = "date-time"))]
    pub pending_until: String,
}

/// The buyer's follow-ups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FollowUpsStatus {
    /// Follow-ups that were forwarded to the sellers.
    pub sent: u32,
    /// The id of the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_id: Option<String>,
}

/// The stream from the processor that holds the order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamStatus {
    /// The processor that holds the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// The epoch of the stream; a higher one fences a lower one.
    pub epoch: u64,
    /// The number of failed attempts since the stream was last up.
    pub attempts: u32,
    /// The time at which the stream came up; absent while it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub connected_since: Option<String>,
}
