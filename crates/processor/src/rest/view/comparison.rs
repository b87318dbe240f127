//! A comparison as a document.

use orderstream_core::comparison::{Comparison, ComparisonLine, ComparisonRow};
use orderstream_rest_types::comparison::{ComparedLineView, ComparisonView, RowView};

/// Converts a comparison.
pub(in crate::rest) fn comparison(comparison: Comparison) -> ComparisonView {
    let Comparison { skus, rows, omitted, sealed } = comparison;
    ComparisonView { skus, rows: rows.into_iter().map(row).collect(), omitted, sealed }
}

fn row(row: ComparisonRow) -> RowView {
    RowView {
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
        lines: row.lines.into_iter().map(|offered| offered.map(line)).collect(),
        missing: row.missing,
    }
}

fn line(line: ComparisonLine) -> ComparedLineView {
    let ComparisonLine { quantity, price, best } = line;
    ComparedLineView { quantity, price, best }
}
