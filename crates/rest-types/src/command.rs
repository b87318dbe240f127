//! The replies to commands, and their outcomes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The reply to a command: the state just after it. The same `Idempotency-Key` of the same seller
/// gives the same reply for as long as the order is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = Done)]
pub struct CommandReplyView {
    /// Always true.
    #[schema(required)]
    pub success: bool,
    /// The proposal that the command was about.
    pub proposal_id: Option<String>,
    /// The follow-up or the question that the command was about.
    pub follow_up_id: Option<String>,
    /// The last event that the command caused. For a command that was done before, the event that
    /// did it; for one without a key that changed nothing, the last event of the list.
    #[schema(required)]
    pub seq: u64,
    /// The order's phase after that event.
    #[schema(required, example = "Open")]
    pub phase: String,
}

/// The reply to a request that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SuccessView {
    /// Always true.
    pub success: bool,
    /// The result, for people.
    #[schema(example = "Order processing initiated")]
    pub message: String,
}

/// The reply to a follow-up that is in the order's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FollowUpView {
    /// Always true.
    pub success: bool,
    /// The result, for people.
    #[schema(example = "Follow-up added")]
    pub message: String,
    /// The follow-up's id.
    pub follow_up_id: String,
}

/// The reply to a command that is stored and not decided yet; it proceeds by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PendingView {
    /// Always `pending`.
    #[schema(required, example = "pending")]
    pub state: String,
    /// The meaning of the state, for people.
    #[schema(required)]
    pub message: String,
    /// The key under which the command's outcome is found.
    #[schema(required)]
    pub key: String,
    /// The path of the command's outcome, the same as in the header `Location`.
    #[schema(required, example = "/api/v1/orders/SB1029436/acts/3f6b1c1e")]
    pub location: String,
    /// The follow-up's id; absent for other commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub follow_up_id: Option<String>,
}

/// A command, and its outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ActView {
    /// The order's id.
    #[schema(required)]
    pub order_req_id: String,
    /// The order's tenant.
    #[schema(required)]
    pub tenant: String,
    /// The command's key.
    #[schema(required)]
    pub key: String,
    /// The command's name: `finalise` (also for an award), `undo-award`, `pause`, `resume`,
    /// `extend`, `close`, `cancel` or `follow-up`.
    #[schema(required, example = "finalise")]
    #[serde(rename = "act")]
    pub command: String,
    /// The outcome: `pending`; `done`, when the command is in the order's list; or `refused`, when
    /// it never will be. The last two are final.
    #[schema(required, example = "done")]
    pub state: String,
    /// The reason code of the refusal; absent unless refused.
    pub reason: Option<String>,
    /// The text of the refusal, for people; absent unless refused.
    pub detail: Option<String>,
    /// The field that is wrong, where the refusal names one.
    pub field: Option<String>,
}
