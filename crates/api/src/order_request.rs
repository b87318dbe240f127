//! The `OrderRequest` resource: its spec, and the rules that the API server enforces.
//!
//! An order's content never changes once it is written: sellers have been asked for exactly that. It
//! may be corrected only where the order was refused before it was opened. The rules of the resource
//! and of [`OrderRequestSpec`] define which fields may change, and how.

#![allow(unreachable_pub, reason = "kube's derive makes public types inside of functions")]
#![allow(clippy::struct_excessive_bools, reason = "independent switches of the manifest")]
#![allow(clippy::duplicated_attributes, reason = "columns of one type and priority")]

use kube::{CustomResource, KubeSchema};
use orderstream_core::limits::{
    DECIDE_WITHIN_MS_MAX, EXPIRES_IN_MS_MAX, EXPIRES_IN_MS_MIN, UNDO_WITHIN_MS_MAX,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod award_rule;
mod contact;
mod duration_rules;
mod wanted;

use self::award_rule::award_once;
pub use self::contact::ContactSpec;
use self::duration_rules::{duration_between, only_grows};
pub use self::wanted::{DeliverySpec, ItemSpec, SellersSpec};
use crate::controller_name::CONTROLLER_NAME;
use crate::duration::TTL_MS_MAX;
pub use crate::order_status::{
    AwardStatus, BestProposalStatus, FollowUpsStatus, LastEvent, OrderRequestStatus,
    ProposalsStatus, RefusedAwardStatus, SellersStatus, StreamStatus, TrackerStatus,
};
use crate::schema::describe_entries;

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
    selectable = ".status.stream.processor",
    selectable = ".status.tracker.stream",
    validation = Rule::new(NAME_IS_ID)
        .message("the name is too long for the order's id; give orderReqId, or a shorter name")
        .field_path(".spec.orderReqId"),
    validation = immutable("orderReqId"),
    validation = immutable("session"),
    validation = immutable("notificationType"),
    validation = immutable("title"),
    validation = immutable_list("items"),
    validation = immutable("category"),
    validation = immutable("delivery"),
    validation = immutable("sellers"),
    validation = immutable("message"),
    validation = immutable("decideWithin"),
    validation = immutable("sealed"),
    validation = immutable("buyer"),
    validation = immutable("currency"),
    validation = immutable("timeZone"),
    validation = controller_until_taken(),
    validation = award_once()
)]
#[kube(
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Proposals", type_ = "integer", json_path = ".status.proposals.received"),
    printcolumn(
        name = "Best",
        type_ = "string",
        json_path = ".status.proposals.best.price",
        description = "The best price of the proposals that are still valid, with its currency."
    ),
    printcolumn(name = "Stream", type_ = "string", json_path = ".status.tracker.stream"),
    // A string: of a time to come, a column of dates prints `<invalid>`.
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
    ),
    printcolumn(name = "Category", type_ = "string", json_path = ".spec.category", priority = 1),
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.title", priority = 1)
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!oldSelf.cancel || self.cancel")
        .message("cancel cannot be taken back; create a new OrderRequest")
        .field_path(".cancel"),
    validation = Rule::new("!has(oldSelf.close) || (has(self.close) && self.close == oldSelf.close)")
        .message("close cannot be taken back; create a new OrderRequest")
        .field_path(".close"),
    validation = Rule::new(
        "!has(self.close) || !self.cancel && (!has(self.award) || has(self.award.undo) && self.award.undo)"
    )
        .message("close excludes cancel and award; an order ends one way, remove one, or undo the award")
        .field_path(".close"),
    validation = Rule::new("!has(self.award) || !self.cancel || has(self.award.undo) && self.award.undo")
        .message("award and cancel exclude each other; remove one of them, or undo the award")
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
    #[x_kube(
        validation = Rule::new("!(self in ['.', '..', 'status'])")
            .message("orderReqId has another meaning in paths; use another one")
    )]
    pub order_req_id: Option<String>,
    /// The controller that takes the order, as a class; the one named `orderstream` when absent. An
    /// order of a name that no controller has is taken by none, and gets no status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub controller_name: Option<String>,
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
    #[x_kube(
        validation = Rule::new(
            "self.all(i, self.exists_one(o, has(o.line) ? (has(i.line) ? o.line == i.line : o.line == i.sku) : (has(i.line) ? o.sku == i.line : o.sku == i.sku)) && (has(i.line) || self.exists_one(o, o.sku == i.sku)))"
        )
            .message("items have one sku, or one line, twice; give each of them a line of its own")
    )]
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
    /// The time from the order's opening to its deadline: 10s to 180d, such as 30m, 1h30m or 2d. It
    /// may only grow.
    #[serde(default = "default_expires_in")]
    #[schemars(length(max = 16))]
    #[x_kube(
        validation = duration_between("expiresIn", EXPIRES_IN_MS_MIN, EXPIRES_IN_MS_MAX),
        validation = only_grows("expiresIn")
    )]
    pub expires_in: String,
    /// The time after the deadline in which the buyer may decide: 0s to 180d, such as 12h or 7d; 30d
    /// when absent. The order takes no proposals then. 0s ends the order at its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = duration_between("decideWithin", 0, DECIDE_WITHIN_MS_MAX))]
    pub decide_within: Option<String>,
    /// Hide prices and the proposing sellers until the order's deadline. Then the order is opened,
    /// takes no more proposals, and waits for a decision.
    #[serde(default)]
    pub sealed: bool,
    /// The buyer's contact; absent when the buyer is not notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<ContactSpec>,
    /// The only currency of proposals, ISO 4217; absent means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 3), regex(pattern = "^[A-Z]{3}$"))]
    pub currency: Option<String>,
    /// The time zone in which dates without a time end, such as Europe/Berlin (IANA); UTC when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"))]
    pub time_zone: Option<String>,
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
    /// End the order with an award. It is set once, unless it is undone in time, or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<AwardSpec>,
    /// Questions and remarks to the sellers, oldest first. The list only grows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".to_owned()]))]
    pub follow_ups: Vec<FollowUpSpec>,
    /// The time for which the resource is kept after the order's end: 0s to 30d, such as 12h or 7d.
    #[serde(default = "default_ttl")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = duration_between("ttlAfterFinished", 0, TTL_MS_MAX))]
    pub ttl_after_finished: String,
}

/// The CEL expression for a resource that has an id for its order. One with a status was stored
/// before this was a rule, and takes its updates: a new resource has no status yet.
const NAME_IS_ID: &str =
    "has(self.status) || has(self.spec.orderReqId) || size(self.metadata.name) <= 128";

/// The CEL expression for an order that was refused before it was opened: nothing was sent to
/// sellers, so its spec may be corrected.
const WAS_REFUSED: &str = "has(oldSelf.status) && has(oldSelf.status.phase) && \
    oldSelf.status.phase == 'Failed' && !has(oldSelf.status.startTime)";

/// Returns the rule for a field that never changes once it was sent. It is a rule of the whole
/// resource, which has the status too, and sees that the field is added or removed.
fn immutable(field: &str) -> kube::core::Rule {
    fixed_field(
        field,
        &format!(
            "has(self.spec.{field}) == has(oldSelf.spec.{field}) && (!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field})"
        ),
    )
}

/// Returns the rule for a list that never changes once it was sent; an empty list equals an absent
/// one.
fn immutable_list(field: &str) -> kube::core::Rule {
    fixed_field(
        field,
        &format!(
            "(has(self.spec.{field}) ? self.spec.{field} : []) == (has(oldSelf.spec.{field}) ? oldSelf.spec.{field} : [])"
        ),
    )
}

fn fixed_field(field: &str, rule: &str) -> kube::core::Rule {
    let message =
        format!("{field} cannot change once sellers were asked; create a new OrderRequest");
    let rule = format!("({rule}) || ({WAS_REFUSED})");
    kube::core::Rule::new(rule).message(message.as_str()).field_path(format!(".spec.{field}"))
}

/// Returns the rule for the controller's name: it may change until a controller has taken the order,
/// which has a status then, and after the order was refused. An absent name equals the default one.
fn controller_until_taken() -> kube::core::Rule {
    let name = |resource: &str| {
        let field = format!("{resource}.spec.controllerName");
        format!("(has({field}) ? {field} : '{CONTROLLER_NAME}')")
    };
    let is_same = format!("{} == {}", name("self"), name("oldSelf"));
    kube::core::Rule::new(format!("{is_same} || !has(oldSelf.status) || ({WAS_REFUSED})"))
        .message(
            "controllerName cannot change once a controller has taken the order; create a new \
             OrderRequest",
        )
        .field_path(".spec.controllerName")
}

fn default_expires_in() -> String {
    "30m".to_owned()
}

fn default_ttl() -> String {
    "7d".to_owned()
}

impl Default for OrderRequestSpec {
    fn default() -> Self {
        Self {
            order_req_id: None,
            controller_name: None,
            session: None,
            notification_type: NotificationChannel::default(),
            title: None,
            items: Vec::new(),
            category: None,
            delivery: None,
            sellers: None,
            message: None,
            expires_in: default_expires_in(),
            decide_within: None,
            sealed: false,
            buyer: None,
            currency: None,
            time_zone: None,
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
    #[schemars(
        length(max = 20),
        inner(length(min = 1, max = 256)),
        transform = describe_entries("The URL of a link.")
    )]
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
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
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
    #[schemars(length(max = 16))]
    #[x_kube(validation = duration_between("undoWithin", 0, UNDO_WITHIN_MS_MAX))]
    pub undo_within: Option<String>,
    /// Undo it, while it is pending or where it was refused. Afterwards another award can be set, or
    /// the order be closed or cancelled.
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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// One line of an award.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AwardLine")]
pub struct AwardLineSpec {
    /// The line of the order: its name, or its article number where it has none.
    #[schemars(length(min = 1, max = 256))]
    pub sku: String,
    /// The id of the proposal that wins it.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
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
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$")),
        transform = describe_entries("The name of a seller.")
    )]
    pub audience: Vec<String>,
    /// The text.
    pub message: MessageSpec,
    /// The seller's question that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
    pub answers: Option<String>,
}
