//! The `OrderRequest` resource: its spec, and the rules that the API server enforces.
//!
//! An order's content never changes once it is written: sellers have been asked for exactly that.
//! The rules of [`OrderRequestSpec`] define which fields may change, and how.

#![allow(unreachable_pub, reason = "kube's derive makes public types inside of functions")]
#![allow(clippy::struct_excessive_bools, reason = "independent switches of the manifest")]
#![allow(clippy::duplicated_attributes, reason = "columns of one type and priority")]

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::seller::{LANGUAGE, SellerChannel};

pub use crate::order_status::{
    AwardStatus, BestProposalStatus, FollowUpsStatus, LastEvent, OrderRequestStatus,
    ProposalsStatus, SellersStatus, StreamStatus, TrackerStatus,
};

/// The annotation of an order that was initiated over REST and has no resource of its own.
pub const READ_ONLY_ANNOTATION: &str = "orderstream.dev/read-only";

/// The desired order. Its content is fixed once written; `suspend`, `cancel`, `close`, `award`,
/// `followUps`, `expiresIn` and `ttlAfterFinished` steer the order afterwards.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "orderstream.dev",
    version = "v1alpha1",
    kind = "OrderRequest",
    plural = "orderrequests",
    shortname = "oreq",
    category = "orderstream",
    namespaced,
    status = "OrderRequestStatus",
    derive = "PartialEq",
    doc = "A request for quotation: sellers are chosen and invited, and their proposals come back.",
    selectable = ".status.phase",
    selectable = ".status.stream.processor"
)]
#[kube(
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Proposals", type_ = "integer", json_path = ".status.proposals.received"),
    printcolumn(name = "Best", type_ = "string", json_path = ".status.proposals.best.price"),
    printcolumn(name = "Stream", type_ = "boolean", json_path = ".status.tracker.streamActive"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Processor",
        type_ = "string",
        json_path = ".status.stream.processor",
        priority = 1
    ),
    printcolumn(
        name = "Sellers",
        type_ = "integer",
        json_path = ".status.sellers.selected",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = immutable("orderReqId"),
    validation = immutable("session"),
    validation = immutable("notificationType"),
    validation = immutable("title"),
    validation = immutable_list("items"),
    validation = immutable("category"),
    validation = immutable("delivery"),
    validation = immutable("sellers"),
    validation = immutable("message"),
    validation = immutable("sealed"),
    validation = immutable("buyer"),
    validation = Rule::new("!oldSelf.cancel || self.cancel")
        .message("cancel cannot be taken back; create a new OrderRequest")
        .field_path(".cancel"),
    validation = Rule::new(
        "!has(oldSelf.award) || has(self.award) && (has(oldSelf.award.undo) && oldSelf.award.undo || has(self.award.proposalId) == has(oldSelf.award.proposalId) && (!has(self.award.proposalId) || self.award.proposalId == oldSelf.award.proposalId) && (has(self.award.lines) ? self.award.lines : []) == (has(oldSelf.award.lines) ? oldSelf.award.lines : []) && (has(self.award.none) && self.award.none) == (has(oldSelf.award.none) && oldSelf.award.none))"
    )
        .message("award is set once; put the former award back, or undo it first")
        .field_path(".award"),
    validation = Rule::new("!has(oldSelf.close) || (has(self.close) && self.close == oldSelf.close)")
        .message("close cannot be taken back; create a new OrderRequest")
        .field_path(".close"),
    validation = Rule::new("!has(self.close) || (!self.cancel && !has(self.award))")
        .message("close excludes cancel and award; an order ends one way, remove one of them")
        .field_path(".close"),
    validation = Rule::new("!has(self.award) || !self.cancel")
        .message("award and cancel exclude each other; remove one of them")
        .field_path(".award"),
    validation = Rule::new(
        "!has(oldSelf.followUps) || oldSelf.followUps.all(o, has(self.followUps) && self.followUps.exists(n, n.id == o.id))"
    )
    .message("followUps only grow; put the removed follow-ups back")
    .field_path(".followUps")
)]
pub struct OrderRequestSpec {
    /// The order's id, chosen by the buyer; the resource's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
    pub order_req_id: Option<String>,
    /// The buyer's session, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub session: Option<String>,
    /// The preferred kind of channel to sellers.
    #[serde(default)]
    pub notification_type: NotificationChannel,
    /// The title, one line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub title: Option<String>,
    /// The wanted items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub items: Vec<ItemSpec>,
    /// The category that a seller must offer; absent means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub category: Option<String>,
    /// The place of delivery, and its latest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliverySpec>,
    /// The limits on the sellers to invite: number, distance and names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sellers: Option<SellersSpec>,
    /// The text for the sellers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageSpec>,
    /// The time from the order's opening to its expiry: 10s to 7d, such as 30m, 1h30m or 2d. It may
    /// only grow.
    #[serde(default = "default_expires_in")]
    #[schemars(length(max = 16), regex(pattern = "^([0-9]{1,3}d|([0-9]{1,6}[hms])+)$"))]
    #[x_kube(
        validation = Rule::new(format!("{SECONDS} >= 10 && {SECONDS} <= 604800"))
            .message("expiresIn is out of range; give 10s to 7d"),
        validation = Rule::new(format!("{SECONDS} >= {OLD_SECONDS}"))
            .message("expiresIn may only grow; give at least the former value")
    )]
    pub expires_in: String,
    /// Hide prices and the proposing sellers until the order's deadline. Then the order is opened,
    /// takes no more proposals, and waits for a decision.
    #[serde(default)]
    pub sealed: bool,
    /// The buyer's contact; absent when the buyer is not notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<ContactSpec>,
    /// Accept no proposals for now.
    #[serde(default)]
    pub suspend: bool,
    /// The reason for suspending, for all who take part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub suspend_reason: Option<String>,
    /// Cancel the order, as if it had never been requested. This cannot be taken back.
    #[serde(default)]
    pub cancel: bool,
    /// The reason for cancelling, for all who took part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub cancel_reason: Option<String>,
    /// End the order without an award. This cannot be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<CloseSpec>,
    /// End the order with an award. It is set once, unless it is undone in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<AwardSpec>,
    /// Questions and remarks to the sellers, oldest first. The list only grows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".to_owned()]))]
    pub follow_ups: Vec<FollowUpSpec>,
    /// The time for which the resource is kept after the order's end: 0s to 30d.
    #[serde(default = "default_ttl")]
    #[schemars(length(max = 16), regex(pattern = "^([0-9]{1,3}d|([0-9]{1,6}[hms])+)$"))]
    #[x_kube(
        validation = Rule::new(format!("{SECONDS} <= 2592000"))
            .message("ttlAfterFinished is out of range; give 0s to 30d")
    )]
    pub ttl_after_finished: String,
}

/// The CEL expression for a duration's seconds; CEL has no unit for days. Numbers keep a rule's
/// estimated cost small: a text that a rule makes counts as one of any length.
const SECONDS: &str = "(self.endsWith('d') ? int(self.substring(0, size(self) - 1)) * 86400 : \
    duration(self).getSeconds())";
/// The same expression for the field's former value.
const OLD_SECONDS: &str = "(oldSelf.endsWith('d') ? \
    int(oldSelf.substring(0, size(oldSelf) - 1)) * 86400 : duration(oldSelf).getSeconds())";

/// Returns the rule for a field that never changes once it is written. It is a rule of the whole
/// spec: a rule of the field itself is not evaluated when the field is added or removed.
fn immutable(field: &str) -> kube::core::Rule {
    fixed_field(
        field,
        &format!(
            "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
        ),
    )
}

/// Returns the rule for a list that never changes once it is written; an empty list equals an
/// absent one.
fn immutable_list(field: &str) -> kube::core::Rule {
    fixed_field(
        field,
        &format!(
            "(has(self.{field}) ? self.{field} : []) == (has(oldSelf.{field}) ? oldSelf.{field} : [])"
        ),
    )
}

fn fixed_field(field: &str, rule: &str) -> kube::core::Rule {
    let message =
        format!("{field} cannot change once sellers were asked; create a new OrderRequest");
    kube::core::Rule::new(rule).message(message.as_str()).field_path(format!(".{field}"))
}

fn default_expires_in() -> String {
    "30m".to_owned()
}

fn default_ttl() -> String {
    "1h".to_owned()
}

const fn default_max_count() -> u32 {
    orderstream_core::limits::SELLERS_DEFAULT
}

impl Default for OrderRequestSpec {
    fn default() -> Self {
        Self {
            order_req_id: None,
            session: None,
            notification_type: NotificationChannel::default(),
            title: None,
            items: Vec::new(),
            category: None,
            delivery: None,
            sellers: None,
            message: None,
            expires_in: default_expires_in(),
            sealed: false,
            buyer: None,
            suspend: false,
            suspend_reason: None,
            cancel: false,
            cancel_reason: None,
            close: None,
            award: None,
            follow_ups: Vec::new(),
            ttl_after_finished: default_ttl(),
        }
    }
}

/// A kind of channel for notifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Channel")]
pub enum NotificationChannel {
    /// Google Chat.
    GChat,
    /// An email.
    #[default]
    Email,
    /// A text message.
    #[serde(rename = "SMS")]
    Sms,
    /// An HTTP request to the recipient's address.
    Webhook,
}

/// One wanted item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ItemSpec {
    /// The buyer's article number.
    #[schemars(length(min = 1, max = 256))]
    pub sku: String,
    /// A description for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// The quantity: a whole number, or a decimal in quotes such as "2.5".
    pub quantity: IntOrString,
    /// The unit of the quantity: pieces, kg, hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub unit: Option<String>,
}

/// The place of delivery, and its latest time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.latitude) == has(self.longitude)")
        .message("latitude and longitude belong together; give both or neither")
)]
pub struct DeliverySpec {
    /// The latitude in degrees, -90 to 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -90, max = 90))]
    pub latitude: Option<f64>,
    /// The longitude in degrees, -180 to 180.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -180, max = 180))]
    pub longitude: Option<f64>,
    /// The address, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub address: Option<String>,
    /// The latest time of delivery: RFC 3339, such as 2026-12-01T12:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub by: Option<String>,
}

/// The limits on the sellers that an order invites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SellersSpec {
    /// The largest number of sellers to invite.
    #[serde(default = "default_max_count")]
    #[schemars(range(min = 1, max = 100))]
    pub max_count: u32,
    /// The largest distance from the place of delivery, kilometres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 20040))]
    pub max_distance_km: Option<f64>,
    /// The only sellers to invite, when any are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 128)))]
    pub names: Vec<String>,
    /// The sellers never to invite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 128)))]
    pub excluded: Vec<String>,
}

/// A text with its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageSpec {
    /// The format of the text.
    #[serde(default, rename = "type")]
    pub kind: TextType,
    /// The text.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// Links that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 256)))]
    pub urls: Vec<String>,
}

/// The format of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextType {
    /// Plain text.
    #[default]
    Text,
    /// HTML markup.
    Html,
    /// Markdown markup.
    Markdown,
}

/// The decision that ends the order: one proposal wins, or one for each line, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new(
        "(has(self.proposalId) ? 1 : 0) + (has(self.lines) && size(self.lines) > 0 ? 1 : 0) + (has(self.none) && self.none ? 1 : 0) == 1"
    )
    .message("an award is one decision; give proposalId, or lines, or none: true")
)]
pub struct AwardSpec {
    /// The id of the proposal that wins the whole order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub proposal_id: Option<String>,
    /// The lines, when they go to different proposals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub lines: Vec<AwardLineSpec>,
    /// Award to nobody.
    #[serde(default, skip_serializing_if = "is_false")]
    pub none: bool,
    /// The reason, for all who took part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
    /// The time in which it can be undone, before it takes effect and anybody is notified: 0s to
    /// 1d, such as 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^([0-9]{1,3}d|([0-9]{1,6}[hms])+)$"))]
    #[x_kube(
        validation = Rule::new(format!("{SECONDS} <= 86400"))
            .message("undoWithin is out of range; give 0s to 1d")
    )]
    pub undo_within: Option<String>,
    /// Undo it, while it is pending. Afterwards another award can be set.
    #[serde(default, skip_serializing_if = "is_false")]
    pub undo: bool,
    /// The reason for undoing it, for the order's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub undo_reason: Option<String>,
}

/// The end of an order without an award.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloseSpec {
    /// The reason, for all who took part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
}

/// A contact: its channels and its language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactSpec {
    /// The channels, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub channels: Vec<SellerChannel>,
    /// The language, as a BCP 47 tag such as de or pt-BR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 35))]
    #[x_kube(
        validation = Rule::new(format!("self.matches('{LANGUAGE}')"))
            .message("language is not a BCP 47 tag; write a tag such as de or pt-BR")
    )]
    pub language: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// One line of an award.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AwardLine")]
pub struct AwardLineSpec {
    /// The article number of one of the order's items.
    #[schemars(length(min = 1, max = 256))]
    pub sku: String,
    /// The id of the proposal that wins it.
    #[schemars(length(min = 1, max = 128))]
    pub proposal_id: String,
}

/// The buyer's question or remark to all sellers, or to some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("a follow-up cannot change once it was sent; add another one with a new id")
)]
pub struct FollowUpSpec {
    /// The follow-up's id, unique in its order.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
    pub id: String,
    /// The recipients; empty means all sellers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 128)))]
    pub audience: Vec<String>,
    /// The text.
    pub message: MessageSpec,
    /// The seller's question that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
    pub answers: Option<String>,
}
