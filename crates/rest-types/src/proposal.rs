//! Proposals and their versions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The content of a proposal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "ProposalContent")]
pub struct ContentView {
    /// The proposing seller; `sealed` while the order is.
    #[schema(required)]
    pub seller: String,
    /// The total price, a decimal.
    #[schema(required, example = "1249.50")]
    pub price: String,
    /// The currency, ISO 4217; the code of no currency while the order is sealed.
    #[schema(required, example = "EUR")]
    pub currency: String,
    /// The lines; empty where the seller gave none.
    #[schema(required)]
    pub lines: Vec<ProposalLineView>,
    /// The note to the buyer.
    pub note: Option<String>,
    /// The date of delivery, as the seller wrote it.
    pub delivery_date: Option<String>,
    /// The end of validity, as the seller wrote it.
    pub valid_until: Option<String>,
    /// The URLs of its documents.
    #[schema(required)]
    pub attachments: Vec<String>,
    /// The seller's own number for it.
    pub your_reference: Option<String>,
    /// The label of an alternative; absent for the seller's main proposal.
    #[schema(example = "from stock")]
    pub alternative: Option<String>,
}

/// One line of a proposal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schema(as = LineView)]
pub struct ProposalLineView {
    /// The buyer's article number, or the seller's of a substitute.
    #[schema(required)]
    pub sku: String,
    /// The quantity, a decimal.
    #[schema(required)]
    pub quantity: String,
    /// The unit of the quantity.
    pub unit: Option<String>,
    /// The price of the whole line, a decimal in the proposal's currency.
    #[schema(required)]
    pub price: String,
    /// The name of the order's line that it is for, where the seller gave it.
    pub line: Option<String>,
    /// The order's article that this one stands for; absent for the order's own article.
    pub substitutes: Option<String>,
}

/// The part of an order that a proposal has won.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "WonPart")]
pub struct WonPartView {
    /// True where it is the whole order: it was awarded as a whole, or each of its lines was. False
    /// where other lines went to other proposals, or to nobody.
    #[schema(required)]
    pub whole: bool,
    /// The lines, as the order lists them.
    #[schema(required)]
    pub lines: Vec<WonPartLineView>,
    /// The price of all of it, a decimal in the proposal's currency; absent where single lines were
    /// won of a proposal that has no price for each of them.
    #[schema(example = "1249.50")]
    pub total: Option<String>,
}

/// One line that a proposal has won.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "WonPartLine")]
pub struct WonPartLineView {
    /// The line's name, or else its article number.
    #[schema(required, example = "CHAIR-01")]
    pub line: String,
    /// The quantity offered, a decimal; the wanted one where the proposal has no lines.
    #[schema(example = "40")]
    pub quantity: Option<String>,
    /// The unit of the quantity.
    pub unit: Option<String>,
    /// The price of the whole line, a decimal; absent where the proposal has one price for
    /// everything.
    pub price: Option<String>,
}

/// One proposal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProposalView {
    /// The proposal's id.
    #[serde(default)]
    #[schema(required)]
    pub proposal_id: String,
    /// The status: `Open`, `Withdrawn` or `Closed`.
    #[serde(default)]
    #[schema(required, example = "Open")]
    pub status: String,
    /// The effect of the order's end: `Awarded`, `NotAwarded`, or `Ended` where there was no
    /// decision; absent before the end, and for a withdrawn proposal.
    #[schema(example = "Awarded")]
    pub outcome: Option<String>,
    /// The part of the order that it has won: lines, quantities and price; absent before the end,
    /// and where it has won nothing.
    pub won: Option<WonPartView>,
    /// The version, 1 is the first; also the ETag.
    #[serde(default)]
    #[schema(required)]
    pub version: u32,
    /// The seller that holds the edit lock; absent without one.
    pub locked_by: Option<String>,
    /// The time at which the lock expires, unless it is released before.
    #[schema(format = DateTime)]
    pub locked_until: Option<String>,
    /// The time of its first version.
    #[serde(default)]
    #[schema(required, format = DateTime)]
    pub at: String,
    /// The seller's name for people; absent where it has none, and while the order is sealed.
    #[schema(example = "Möbel Müller")]
    pub seller_name: Option<String>,
    /// The content of the newest version.
    #[serde(flatten)]
    pub content: ContentView,
}

/// A page of an order's proposals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ProposalsPage {
    /// The proposals, by id.
    #[schema(required)]
    pub proposals: Vec<ProposalView>,
    /// The `after` of the next page; absent at the end.
    pub next: Option<String>,
}

/// One version of a proposal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// The version's number, 1 is the first.
    #[serde(default)]
    #[schema(required)]
    pub version: u32,
    /// The sequence number of the event that made it.
    #[serde(default)]
    #[schema(required)]
    pub seq: u64,
    /// The time of that event.
    #[serde(default)]
    #[schema(required, format = DateTime)]
    pub at: String,
    /// The differences from the version before; none in the first one.
    #[serde(default)]
    #[schema(required)]
    pub changes: Vec<ChangeView>,
    /// The content of this version.
    #[serde(flatten)]
    pub content: ContentView,
}

/// One field that differs from the version before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChangeView {
    /// The field: `price`, `note`, `lines.SKU`, …
    #[schema(required)]
    pub field: String,
    /// The former value; absent when there was none.
    pub from: Option<String>,
    /// The new value; absent when there is none.
    pub to: Option<String>,
}

/// A page of a proposal's versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct VersionsPage {
    /// The versions, the first one first.
    #[schema(required)]
    pub versions: Vec<VersionView>,
    /// The `after` of the next page; absent at the end.
    pub next: Option<u32>,
}
