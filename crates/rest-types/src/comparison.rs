//! An order's proposals side by side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An order's proposals side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Comparison")]
pub struct ComparisonView {
    /// The order's lines, in its order, each by its name or else its article number, followed by
    /// articles that only proposals name. The same on every page.
    #[schema(required)]
    pub skus: Vec<String>,
    /// The proposals that were not withdrawn: those that compete, the best first, and then those
    /// that are set aside.
    #[schema(required)]
    pub rows: Vec<RowView>,
    /// The number of proposals after this page.
    #[schema(required)]
    pub omitted: usize,
    /// True while the order is sealed and nothing can be shown.
    #[schema(required)]
    pub sealed: bool,
    /// The `after` of the next page; absent on the last one.
    pub next: Option<String>,
    /// The sequence number of the order's last event. Pages with the same one, and with the same
    /// `as_of`, are of one comparison.
    #[schema(required)]
    pub last_seq: u64,
    /// The time by which the rows are ranked: what has lapsed then is set aside. Of an order that
    /// has ended it is the end. It is the `as_of` of the next pages.
    #[schema(required, format = DateTime)]
    pub as_of: String,
    /// The best total of each currency, in the order of their codes. Totals in different currencies
    /// are not compared.
    #[schema(required)]
    pub currencies: Vec<BestOfCurrencyView>,
    /// The proposal that may be awarded as it is: the only best one. Absent where a person has to
    /// decide first, between currencies, between equal totals, on a substitute, on more than the
    /// order wants or on a delivery without a date, and where nothing can be awarded.
    pub suggested: Option<String>,
}

/// The best total in one currency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "BestOfCurrency")]
pub struct BestOfCurrencyView {
    /// The currency, ISO 4217.
    #[schema(required, example = "EUR")]
    pub currency: String,
    /// The lowest total, a decimal.
    #[schema(required, example = "1249.50")]
    pub total: String,
    /// The id of the proposal with this total; of the first one where several have it.
    #[schema(required)]
    pub proposal_id: String,
    /// The number of proposals with this total.
    #[schema(required)]
    pub equal: usize,
    /// The number of proposals in this currency that compete.
    #[schema(required)]
    pub competing: usize,
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
    /// True if it competes, and no other proposal that competes in its currency has a lower total.
    #[schema(required)]
    pub best_total: bool,
    /// The date of delivery, as the seller wrote it.
    pub delivery_date: Option<String>,
    /// True if it competes, and no other proposal that competes is delivered earlier.
    #[schema(required)]
    pub best_delivery: bool,
    /// True if it is delivered by the order's date; absent if either has no date.
    pub in_time: Option<bool>,
    /// The distance from the seller to the place of delivery, in metres.
    pub distance_m: Option<u32>,
    /// True once its validity has ended; the order's end stops that.
    #[schema(required)]
    pub lapsed: bool,
    /// Its lines, in the order of `skus`; null where it does not offer the article, or only within
    /// a whole.
    #[schema(required)]
    pub lines: Vec<Option<ComparedLineView>>,
    /// The order's lines that it does not offer; none where it offers only a whole.
    #[schema(required)]
    pub missing: Vec<String>,
    /// The reasons for which it is set aside; none where it competes. `Alternative`, `NotInvited`,
    /// `OtherCurrency`, `Incomplete`, `OtherUnit`, `Lapsed`, `DeliveryPast`, `TooLate` and
    /// `Declined`; there may be more later.
    #[schema(required)]
    pub reasons: Vec<String>,
    /// The lines of which it offers less than the order wants.
    #[schema(required)]
    pub shortfalls: Vec<QuantityGapView>,
    /// The lines of which it offers more than the order wants.
    #[schema(required)]
    pub excess: Vec<QuantityGapView>,
    /// The lines that it offers in another unit than the order wants.
    #[schema(required)]
    pub other_units: Vec<QuantityGapView>,
    /// The label of an alternative; absent where it is the seller's main proposal.
    pub alternative: Option<String>,
    /// The seller's own number for it.
    pub your_reference: Option<String>,
    /// The seller's name for people; absent where it has none.
    #[schema(example = "Möbel Müller")]
    pub seller_name: Option<String>,
    /// The end of its validity, as the seller wrote it.
    #[schema(example = "2026-12-31")]
    pub valid_until: Option<String>,
    /// The note to the buyer.
    pub note: Option<String>,
}

/// A line that a proposal offers in another quantity or unit than the order wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "QuantityGap")]
pub struct QuantityGapView {
    /// The line's name, or else its article number.
    #[schema(required)]
    pub line: String,
    /// The quantity that the order wants, a decimal.
    #[schema(required, example = "100")]
    pub wanted: String,
    /// The unit of the wanted quantity; absent where the order names none.
    #[schema(example = "pieces")]
    pub unit: Option<String>,
    /// The quantity offered, a decimal.
    #[schema(required, example = "10")]
    pub offered: String,
    /// The unit of the offered quantity; absent where neither side names one.
    #[schema(example = "pieces")]
    pub offered_unit: Option<String>,
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
    /// True if it competes, and no other proposal offers all of the line for less in this currency.
    #[schema(required)]
    pub best: bool,
    /// The unit of the quantity; the order's where the seller names none.
    pub unit: Option<String>,
    /// The price of one unit, a decimal with at most six places; absent where the line is offered
    /// in several units.
    #[schema(example = "10.5")]
    pub unit_price: Option<String>,
    /// The article that is offered in place of the wanted one.
    pub substitute: Option<String>,
}
