//! An order's proposals side by side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An order's proposals side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Comparison")]
pub struct ComparisonView {
    /// The order's articles, in its order, followed by those that only proposals name.
    #[schema(required)]
    pub skus: Vec<String>,
    /// The proposals that were not withdrawn, the best first.
    #[schema(required)]
    pub rows: Vec<RowView>,
    /// The number of proposals beyond the limit of rows.
    #[schema(required)]
    pub omitted: usize,
    /// True while the order is sealed and nothing can be shown.
    #[schema(required)]
    pub sealed: bool,
}

/// One proposal in a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Row")]
#[allow(clippy::struct_excessive_bools, reason = "independent marks")]
pub struct RowView {
    /// The proposal's id.
    #[schema(required)]
    pub proposal_id: String,
    /// The proposing seller.
    #[schema(required)]
    pub seller: String,
    /// The compared version.
    #[schema(required)]
    pub version: u32,
    /// True while the proposal can be awarded, and once it has won.
    #[schema(required)]
    pub open: bool,
    /// True if it won, as a whole or with a line.
    #[schema(required)]
    pub awarded: bool,
    /// The total, a decimal.
    #[schema(required, example = "1249.50")]
    pub total: String,
    /// The currency, ISO 4217.
    #[schema(required, example = "EUR")]
    pub currency: String,
    /// True if it offers everything, and no other such proposal in its currency has a lower total.
    #[schema(required)]
    pub best_total: bool,
    /// The date of delivery, as the seller wrote it.
    pub delivery_date: Option<String>,
    /// True if no other proposal is delivered earlier.
    #[schema(required)]
    pub best_delivery: bool,
    /// True if it is delivered by the order's date; absent if either has no date.
    pub in_time: Option<bool>,
    /// The distance from the seller to the place of delivery, in metres.
    pub distance_m: Option<u32>,
    /// True once its validity has ended.
    #[schema(required)]
    pub lapsed: bool,
    /// Its lines, in the order of `skus`; null where it does not offer the article, or only within
    /// a whole.
    #[schema(required)]
    pub lines: Vec<Option<ComparedLineView>>,
    /// The order's articles that it does not offer; none where it offers only a whole.
    #[schema(required)]
    pub missing: Vec<String>,
}

/// One line of a proposal in a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "ComparedLine")]
pub struct ComparedLineView {
    /// The quantity, a decimal.
    #[schema(required)]
    pub quantity: String,
    /// The price of the whole line, a decimal.
    #[schema(required)]
    pub price: String,
    /// True if no other proposal offers the line for less in this currency.
    #[schema(required)]
    pub best: bool,
}
