//! What the controller reports on an `OrderRequest`: counters, never lists that grow with the
//! order, so that a status stays small for ever.

#![allow(unreachable_pub, reason = "kube's derive makes public types inside of functions")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an order stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderRequestStatus {
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pending, Streaming, Reconnecting, Paused, then one of Finalised, Expired, Closed,
    /// Cancelled, Failed for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Ready, Reconciling, Stalled; sellers notified, streaming, proposals received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The reader of the order's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<TrackerStatus>,
    /// The sellers' proposals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposals: Option<ProposalsStatus>,
    /// The invited sellers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sellers: Option<SellersStatus>,
    /// The award that waits to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<AwardStatus>,
    /// The buyer's follow-ups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_ups: Option<FollowUpsStatus>,
    /// The connection to the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamStatus>,
    /// When the order was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub start_time: Option<String>,
    /// When its time runs out; of a sealed order that was opened, until when it waits for a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// When it reached its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub completion_time: Option<String>,
}

impl OrderRequestStatus {
    /// Whether the order reached its end and the status says so.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self.phase.as_deref(),
            Some("Finalised" | "Expired" | "Closed" | "Cancelled" | "Failed")
        )
    }

    /// The processor that holds the order, if one was chosen.
    pub fn processor(&self) -> Option<&str> {
        self.stream.as_ref().and_then(|stream| stream.processor.as_deref())
    }
}

/// The reader of the order's events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrackerStatus {
    /// Whether a stream is up.
    pub stream_active: bool,
    /// Follow-ups known.
    pub notes: u32,
    /// Number of the last event handled.
    pub last_seq: u64,
    /// The last event handled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<LastEvent>,
    /// How often the stream came up again.
    pub reconnects: u32,
}

/// The last event handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastEvent {
    /// Its word.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
}

/// The sellers' proposals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProposalsStatus {
    /// Ever made.
    pub received: u32,
    /// Can be awarded.
    pub open: u32,
    /// Taken back.
    pub withdrawn: u32,
    /// Out.
    pub closed: u32,
    /// The lowest price among the open ones; hidden while a sealed order runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// The best proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Best {
    /// Which.
    pub proposal_id: String,
    /// Its price, such as `1249.50 EUR`.
    pub price: String,
}

/// The invited sellers: how many got how far. Of a sealed order it is not told before its opening
/// who looked, declined or proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SellersStatus {
    /// Invited.
    pub selected: u32,
    /// Told.
    pub notified: u32,
    /// Could not be told.
    pub failed: u32,
    /// Have looked at the order, or spoke.
    pub seen: u32,
    /// Said no.
    pub declined: u32,
    /// Proposed.
    pub proposed: u32,
}

/// The award that waits to count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AwardStatus {
    /// Until when it can be undone; then it counts, and sellers are told.
    #[schemars(extend("format" = "date-time"))]
    pub pending_until: String,
}

/// The buyer's follow-ups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FollowUpsStatus {
    /// Forwarded to the sellers.
    pub sent: u32,
    /// The newest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_id: Option<String>,
}

/// The connection to the processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamStatus {
    /// The processor that holds the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// The fencing number of the reader.
    pub epoch: u64,
    /// Failed attempts since it was last up.
    pub attempts: u32,
    /// Since when it is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub connected_since: Option<String>,
}
