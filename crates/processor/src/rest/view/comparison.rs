//! A comparison as JSON.

use orderstream_core::comparison::{Comparison, ComparisonLine, ComparisonRow};
use serde::Serialize;
use utoipa::ToSchema;

/// An order's proposals side by side.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ComparisonView {
    /// The order's articles, in its order, followed by those that only proposals name.
    skus: Vec<String>,
    /// The proposals that were not withdrawn, the best first.
    rows: Vec<RowView>,
    /// The number of proposals beyond the limit of rows.
    omitted: usize,
    /// True while the order is sealed and nothing can be shown.
    sealed: bool,
}

/// One proposal in a comparison.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "independent marks")]
pub(in crate::rest) struct RowView {
    /// The proposal's id.
    proposal_id: String,
    /// The proposing seller.
    seller: String,
    /// The compared version.
    version: u32,
    /// True while the proposal can be awarded, and once it has won.
    open: bool,
    /// True if it won, as a whole or with a line.
    awarded: bool,
    /// The total, a decimal.
    #[schema(example = "1249.50")]
    total: String,
    /// The currency, ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// True if it offers everything, and no other such proposal in its currency has a lower total.
    best_total: bool,
    /// The date of delivery, as the seller wrote it.
    delivery_date: Option<String>,
    /// True if no other proposal is delivered earlier.
    best_delivery: bool,
    /// True if it is delivered by the order's date; absent if either has no date.
    in_time: Option<bool>,
    /// The distance from the seller to the place of delivery, in metres.
    distance_m: Option<u32>,
    /// True once its validity has ended.
    lapsed: bool,
    /// Its lines, in the order of `skus`; null where it does not offer the article, or only within
    /// a whole.
    lines: Vec<Option<ComparedLineView>>,
    /// The order's articles that it does not offer; none where it offers only a whole.
    missing: Vec<String>,
}

/// One line of a proposal in a comparison.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ComparedLineView {
    /// The quantity, a decimal.
    quantity: String,
    /// The price of the whole line, a decimal.
    price: String,
    /// True if no other proposal offers the line for less in this currency.
    best: bool,
}

impl From<Comparison> for ComparisonView {
    fn from(comparison: Comparison) -> Self {
        let Comparison { skus, rows, omitted, sealed } = comparison;
        Self { skus, rows: rows.into_iter().map(RowView::from).collect(), omitted, sealed }
    }
}

impl From<ComparisonRow> for RowView {
    fn from(row: ComparisonRow) -> Self {
        Self {
            proposal_id: row.proposal_id.to_string(),
            seller: row.seller.to_string(),
            version: row.version,
            open: row.open,
            awarded: row.awarded,
            total: row.total,
            currency: row.currency,
            best_total: row.best_total,
            delivery_date: row.delivery_date,
            best_delivery: row.best_delivery,
            in_time: row.in_time,
            distance_m: row.distance_m,
            lapsed: row.lapsed,
            lines: row.lines.into_iter().map(|line| line.map(ComparedLineView::from)).collect(),
            missing: row.missing,
        }
    }
}

impl From<ComparisonLine> for ComparedLineView {
    fn from(line: ComparisonLine) -> Self {
        let ComparisonLine { quantity, price, best } = line;
        Self { quantity, price, best }
    }
}
