//! The items, the place of delivery and the sellers that an `OrderRequest` asks for.

#![allow(unreachable_pub, reason = "kube's derive makes public types inside of functions")]

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::describe_entries;

const fn default_max_count() -> u32 {
    orderstream_core::limits::SELLERS_DEFAULT
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
    #[schemars(extend(
        "maxLength" = 28,
        "minimum" = 1,
        "maximum" = 1_000_000_000,
        "pattern" = "^0*([1-9][0-9]{0,8}([.][0-9]{1,6}0*)?|1000000000([.]0+)?|0[.][0-9]{0,5}[1-9]0*)$"
    ))]
    pub quantity: IntOrString,
    /// The unit of the quantity: pieces, kg, hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub unit: Option<String>,
    /// The name of the line, unique in the order; needed where two items have one article number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub line: Option<String>,
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
    /// The latest time of delivery: a date, which counts to its end in `timeZone`, such as
    /// 2030-12-01, or a time, such as 2030-12-01T12:00:00Z (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        regex(
            pattern = "^([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)([Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$"
        )
    )]
    pub by: Option<String>,
}

/// The limits on the sellers that an order invites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
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
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$")),
        transform = describe_entries("The name of a seller.")
    )]
    pub names: Vec<String>,
    /// The sellers never to invite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._:-]+$")),
        transform = describe_entries("The name of a seller.")
    )]
    pub excluded: Vec<String>,
    /// True where sellers that are not invited may propose too. Otherwise only invited ones may,
    /// unless the order invites none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open_to_all: bool,
    /// False where only sellers that fit at the opening are invited. Otherwise those that come while
    /// the order is open are invited too, as long as it invites fewer than `maxCount`.
    #[serde(default = "late_by_default", skip_serializing_if = "is_true")]
    pub late: bool,
}

const fn late_by_default() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_true(value: &bool) -> bool {
    *value
}
