//! A comparison as a document.

use orderstream_core::comparison::{
    BestOfCurrency, Comparison, ComparisonLine, ComparisonRow, QuantityGap,
};
use orderstream_core::date::rfc3339;
use orderstream_rest_types::comparison::{
    BestOfCurrencyView, ComparedLineView, ComparisonView, QuantityGapView, RowView,
};

/// Converts a page of a comparison.
pub(in crate::rest) fn comparison(comparison: Comparison) -> ComparisonView {
    let Comparison { skus, rows, omitted, next, sealed, last_seq, as_of, currencies, suggested } =
        comparison;
    ComparisonView {
        skus,
        rows: rows.into_iter().map(row).collect(),
        omitted,
        sealed,
        next: next.map(|id| id.to_string()),
        last_seq: last_seq.0,
        as_of: rfc3339(as_of),
        currencies: currencies.into_iter().map(best_of_currency).collect(),
        suggested: suggested.map(|id| id.to_string()),
    }
}

fn best_of_currency(best: BestOfCurrency) -> BestOfCurrencyView {
    let BestOfCurrency { currency, total, proposal_id, equal, competing } = best;
    let proposal_id = proposal_id.to_string();
    BestOfCurrencyView { currency, total, proposal_id, equal, competing }
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
        reasons: row.reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
        shortfalls: row.shortfalls.into_iter().map(gap).collect(),
        excess: row.excess.into_iter().map(gap).collect(),
        other_units: row.other_units.into_iter().map(gap).collect(),
        alternative: row.alternative,
        your_reference: row.your_reference,
        seller_name: row.seller_name,
        valid_until: row.valid_until,
        note: row.note,
    }
}

fn line(line: ComparisonLine) -> ComparedLineView {
    let ComparisonLine { quantity, price, best, unit, unit_price, substitute } = line;
    ComparedLineView { quantity, price, best, unit, unit_price, substitute }
}

fn gap(gap: QuantityGap) -> QuantityGapView {
    let QuantityGap { line, wanted, unit, offered, offered_unit } = gap;
    QuantityGapView { line, wanted, unit, offered, offered_unit }
}
