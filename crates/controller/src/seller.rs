//! The `Seller` resource: who may be invited to propose.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::order_request::Channel;

/// A seller: what it sells, from where, and how it is told.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "orderstream.dev",
    version = "v1alpha1",
    kind = "Seller",
    plural = "sellers",
    category = "orderstream",
    namespaced,
    derive = "PartialEq",
    doc = "A seller that order requests may invite.",
    printcolumn(name = "Categories", type_ = "string", json_path = ".spec.categories"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspended"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SellerSpec {
    /// Where it delivers from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What it sells; an order's category must be one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    pub categories: Vec<String>,
    /// How it can be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub channels: Vec<SellerChannel>,
    /// Languages it reads, as BCP 47 tags such as en or de-AT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 2, max = 35)))]
    pub languages: Vec<String>,
    /// The currency it proposes in, ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 3), regex(pattern = "^[A-Z]{3}$"))]
    pub currency: Option<String>,
    /// How many orders it can work on at once; absent means any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub capacity: Option<u32>,
    /// Whether it takes no invitations now.
    #[serde(default)]
    pub suspended: bool,
}

/// A point on the Earth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Location {
    /// Degrees, -90 to 90.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: f64,
    /// Degrees, -180 to 180.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: f64,
}

/// One way to tell a seller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SellerChannel {
    /// By what.
    #[serde(rename = "type")]
    pub kind: Channel,
    /// Mail address, telephone number or URL.
    #[schemars(length(min = 1, max = 1024))]
    pub address: String,
}
