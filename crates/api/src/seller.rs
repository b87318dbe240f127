//! The `Seller` resource: a seller that orders may invite.

#![allow(unreachable_pub, reason = "kube's derive makes public types inside of functions")]
#![allow(clippy::duplicated_attributes, reason = "columns of one type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::{READY, reasons};
use crate::order_request::NotificationChannel;
use crate::schema::describe_entries;

/// A seller: its place, its categories, its channels and its limits.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "orderstream.dev",
    version = "v1alpha1",
    kind = "Seller",
    plural = "sellers",
    shortname = "oseller",
    category = "orderstream",
    namespaced,
    status = "SellerStatus",
    derive = "PartialEq",
    doc = "A seller that order requests may invite.",
    selectable = ".spec.suspended",
    selectable = ".status.phase"
)]
#[kube(
    printcolumn(name = "Display", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Categories", type_ = "string", json_path = ".spec.categories"),
    printcolumn(name = "Currency", type_ = "string", json_path = ".spec.currency"),
    printcolumn(name = "Capacity", type_ = "integer", json_path = ".spec.capacity"),
    printcolumn(name = "Open", type_ = "integer", json_path = ".status.openOrders"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspended"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SellerSpec {
    /// The name that people read, one line such as Möbel Müller; absent means the resource's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(
        validation = Rule::new(r"self.matches(r'^[^\pZ\p{Cc}]([^\p{Zl}\p{Zp}\p{Cc}]*[^\pZ\p{Cc}])?$')")
            .message("displayName is not one line of text; write it without blanks around it"),
        validation = Rule::new("!self.matches('(?i)^(buyer|orderstream|sealed)$')")
            .message("displayName stands for the buyer, this service or hidden sellers; use another name")
    )]
    pub display_name: Option<String>,
    /// The place from which it delivers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The categories that it sells; an order's category must be one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 256)),
        transform = describe_entries("A category.")
    )]
    pub categories: Vec<String>,
    /// The channels on which it is notified, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub channels: Vec<SellerChannel>,
    /// The languages that it reads, as BCP 47 tags such as en or de-AT; it is notified in the first
    /// one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 2, max = 35)),
        transform = describe_entries("A BCP 47 tag.")
    )]
    #[x_kube(
        validation = Rule::new(format!("self.all(tag, tag.matches('{LANGUAGE}'))"))
            .message("languages has an entry that is not a BCP 47 tag; write tags such as en or de-AT")
    )]
    pub languages: Vec<String>,
    /// The currency in which it proposes, ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 3))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Z]{3}$')")
            .message("currency is not an ISO 4217 code; write three capital letters such as EUR")
    )]
    pub currency: Option<String>,
    /// The largest number of open orders that it takes part in, 1 to 1000000; absent means any
    /// number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub capacity: Option<u32>,
    /// Accept no invitations for now.
    #[serde(default)]
    pub suspended: bool,
}

/// The pattern of a BCP 47 tag: a language, and what narrows it down. It has no quotes and no
/// backslashes, because rules embed it.
pub(crate) const LANGUAGE: &str = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$";

/// A point on the Earth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Location {
    /// The latitude in degrees, -90 to 90.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: f64,
    /// The longitude in degrees, -180 to 180.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: f64,
}

/// One way to notify a seller or a buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new(
        r"self.type != 'Email' || size(self.address) <= 256 && self.address.matches(r'^[^@,;<>\s\pZ\p{Cc}]+@[^@,;<>\s\pZ\p{Cc}]+$')"
    )
        .message("address is not a mail address of at most 256 characters; write name@example.com")
        .field_path(".address"),
    validation = Rule::new("self.type != 'SMS' || self.address.matches('^[+][0-9]{7,15}$')")
        .message("address is not a telephone number; write +491711234567 (E.164)")
        .field_path(".address"),
    validation = Rule::new(
        r"!(self.type in ['GChat', 'Webhook']) || self.address.matches(r'^https?://[^\s\pZ\p{Cc}]+$')"
    )
        .message("address is not a URL; begin with https:// or http://")
        .field_path(".address")
)]
pub struct SellerChannel {
    /// The kind of channel.
    #[serde(rename = "type")]
    pub kind: NotificationChannel,
    /// A mail address for `Email`, a telephone number for `SMS`, a URL for `GChat` and `Webhook`.
    #[schemars(length(min = 1, max = 2048))]
    pub address: String,
}

/// The phases of a seller.
const PHASES: [&str; 3] = [READY, reasons::SUSPENDED, reasons::FAILED];

/// The observed state of the seller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SellerStatus {
    /// The generation of the resource that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The phase: Ready, Suspended or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = PHASES))]
    pub phase: Option<String>,
    /// The conditions `Ready` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The number of orders of this namespace that it is invited to and that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_orders: Option<u32>,
}
