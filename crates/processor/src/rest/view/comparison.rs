//! A comparison as JSON.

use orderstream_core::comparison::{Comparison, Line, Row};
use serde::Serialize;
use utoipa::ToSchema;

/// Proposals side by side.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ComparisonView {
    /// The order's articles, in its order; those that only proposals name come after them.
    skus: Vec<String>,
    /// The proposals that were not withdrawn, the best first.
    rows: Vec<RowView>,
    /// Proposals beyond the largest number of rows.
    omitted: usize,
    /// Whether nothing can be shown yet because the order is sealed.
    sealed: bool,
}

/// One proposal in a comparison.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "independent marks")]
pub(in crate::rest) struct RowView {
    /// Which.
    proposal_id: String,
    /// Whose.
    seller: String,
    /// Its version.
    version: u32,
    /// Whether it can be awarded, or won.
    open: bool,
    /// Whether it won, as a whole or with a line.
    awarded: bool,
    /// The total, a decimal.
    #[schema(example = "1249.50")]
    total: String,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// Whether no other total in its currency is lower, of those that offer everything.
    best_total: bool,
    /// When it would be delivered, as the seller wrote it.
    delivery_date: Option<String>,
    /// Whether no other one is delivered earlier.
    best_delivery: bool,
    /// Whether it is delivered when the order wants it; absent where one of the two does not say.
    in_time: Option<bool>,
    /// From the seller to the place of delivery, metres.
    distance_m: Option<u32>,
    /// Whether its time of validity is over.
    lapsed: bool,
    /// What it offers of each article, in the order of `skus`; null: not, or only as a whole.
    lines: Vec<Option<ComparedLineView>>,
    /// Articles of the order that it does not offer; none where it offers only a whole.
    missing: Vec<String>,
}

/// One line of a proposal in a comparison.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ComparedLineView {
    /// A decimal.
    quantity: String,
    /// For how much in all, a decimal.
    price: String,
    /// Whether nobody offers the line for less in this currency.
    best: bool,
}

impl From<Comparison> for ComparisonView {
    fn from(comparison: Comparison) -> Self {
        let Comparison { skus, rows, omitted, sealed } = comparison;
        Self { skus, rows: rows.into_iter().map(RowView::from).collect(), omitted, sealed }
    }
}

impl From<Row> for RowView {
    fn from(row: Row) -> Self {
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

impl From<Line> for ComparedLineView {
    fn from(line: Line) -> Self {
        let Line { quantity, price, best } = line;
        Self { quantity, price, best }
    }
}
