//! A comparison as tables: the proposals that compete, those that are set aside with the reasons,
//! and the prices of the lines.

use std::collections::{BTreeMap, BTreeSet};

use orderstream_core::comparison::SetAside;
use orderstream_core::visible::{folded, is_blank};
use orderstream_rest_types::comparison::{
    ComparedLineView, ComparisonView, QuantityGapView, RowView,
};
use orderstream_rest_types::order::{ItemView, OrderView, ProposalCountsView};

use super::ids::ShortIds;
use super::lines::line_key;
use super::table::{self, Column};
use super::{print, shell};
use crate::output;

/// The remarks on best values.
const BEST: [&str; 3] = ["awarded", "best total", "earliest"];
/// The most proposals whose lines are shown side by side; more do not fit on a screen.
const COLUMNS_MAX: usize = 5;

/// Prints a comparison, and the command that awards the best proposal where it can be awarded as it
/// is.
pub(super) fn show(name: &str, order: &OrderView, comparison: &ComparisonView) {
    if comparison.sealed {
        let opens = print::moment(&order.expires_at, crate::clock::now());
        let standing = standing(order.proposals);
        output::line(&format!("order {name} is sealed; {standing} so far, opens at {opens}"));
        return;
    }
    if comparison.rows.is_empty() {
        output::line(&format!("order {name} has no proposal to compare"));
        return;
    }
    let (competing, set_aside): (Vec<&RowView>, Vec<&RowView>) =
        comparison.rows.iter().partition(|row| row.reasons.is_empty());
    if competing.is_empty() {
        output::line("no proposal can be taken as it is");
    }
    totals(comparison, &competing, "REMARKS");
    currencies(comparison);
    if !set_aside.is_empty() {
        print::heading("set aside, compared with no other");
        totals(comparison, &set_aside, "REASONS");
    }
    if comparison.rows.iter().any(|row| row.lines.iter().any(Option::is_some)) {
        lines(order, comparison);
    }
    if comparison.omitted > 0 {
        output::line(&format!("and {} more, which are not shown", comparison.omitted));
    }
    if let Some(id) = &comparison.suggested {
        output::line("");
        print::next(&shell::command(&["award", name, id, "--undo-within", "10m"]));
    }
}

/// Counts the proposals that were not withdrawn.
fn standing(counts: ProposalCountsView) -> String {
    let count = counts.received.saturating_sub(counts.withdrawn);
    print::count(usize::try_from(count).unwrap_or_default(), "proposal")
}

/// Returns the ids of the compared proposals.
fn short_ids(comparison: &ComparisonView) -> ShortIds<'_> {
    ShortIds::of(comparison.rows.iter().map(|row| row.proposal_id.as_str()))
}

fn totals(comparison: &ComparisonView, rows: &[&RowView], last: &str) {
    let columns = [
        Column::Text("PROPOSAL"),
        Column::Text("SELLER"),
        Column::Numbers("TOTAL"),
        Column::Text("DELIVERY"),
        Column::ExtraNumbers("DISTANCE"),
        Column::ExtraNumbers("VERSION"),
        Column::Prose(last),
    ];
    let short = short_ids(comparison);
    let places = |currency: &str| {
        let same = comparison.rows.iter().filter(|row| row.currency == currency);
        same.map(|row| decimals(&row.total)).max().unwrap_or_default()
    };
    let row = |row: &&RowView| {
        vec![
            short.short(&row.proposal_id).to_owned(),
            print::seller(&row.seller, row.seller_name.as_deref()),
            format!("{} {}", padded(&row.total, places(&row.currency)), row.currency),
            print::or_dash(row.delivery_date.as_deref()),
            print::distance(row.distance_m),
            row.version.to_string(),
            remarks(comparison, row),
        ]
    };
    table::print_with_best(&columns, rows.iter().map(row).collect(), &BEST);
}

/// Returns the number of decimal places of a price.
fn decimals(price: &str) -> usize {
    price.rsplit_once('.').map_or(0, |(_, places)| places.len())
}

/// Returns a price with at least so many decimal places, so that prices in one column line up.
fn padded(price: &str, places: usize) -> String {
    let missing = places.saturating_sub(decimals(price));
    let point = if missing > 0 && !price.contains('.') { "." } else { "" };
    format!("{price}{point}{}", "0".repeat(missing))
}

/// Prints the best total of each currency, where there are several.
fn currencies(comparison: &ComparisonView) {
    if comparison.currencies.len() < 2 {
        return;
    }
    let short = short_ids(comparison);
    let best = comparison.currencies.iter().map(|best| {
        let (total, currency, id) = (&best.total, &best.currency, short.short(&best.proposal_id));
        let of = print::count(best.competing, "proposal");
        if best.equal > 1 {
            return format!("{total} {currency} ({} of {of})", best.equal);
        }
        format!("{total} {currency} by {id} (of {of})")
    });
    let best = best.collect::<Vec<_>>().join(", ");
    output::line("");
    print::lines(&format!("best total of each currency: {best}; they are not compared"));
}

/// Lists a proposal's state, strengths and flaws in words, because no fact may be shown by colour
/// alone.
fn remarks(comparison: &ComparisonView, row: &RowView) -> String {
    let mut remarks = Vec::new();
    if row.awarded {
        remarks.push("awarded".to_owned());
    } else if !row.open {
        remarks.push("not awarded".to_owned());
    }
    remarks.extend(flaws(row));
    if row.best_total {
        let several = comparison.currencies.len() > 1;
        let currency = if several { format!(" in {}", row.currency) } else { String::new() };
        remarks.push(format!("best total{currency}"));
    }
    if row.best_delivery {
        remarks.push("earliest".to_owned());
    }
    remarks.extend(differences(&comparison.skus, row));
    remarks.join(", ")
}

/// Returns all in which a proposal offers something else than the order wants, though nothing less:
/// larger quantities, and substitutes.
pub(super) fn differences(skus: &[String], row: &RowView) -> Vec<String> {
    let substitutes = skus.iter().zip(&row.lines).filter_map(|(sku, line)| {
        let substitute = line.as_ref()?.substitute.as_ref()?;
        Some(format!("{substitute} instead of {sku}"))
    });
    row.excess.iter().map(of_wanted).chain(substitutes).collect()
}

/// Returns the reasons for which a proposal is set aside.
pub(super) fn flaws(row: &RowView) -> Vec<String> {
    let mut flaws = Vec::new();
    for reason in &row.reasons {
        match SetAside::parse(reason) {
            Some(SetAside::Alternative) => {
                let label = row.alternative.as_deref().unwrap_or_default();
                flaws.push(format!("alternative: {label}"));
            }
            Some(SetAside::NotInvited) => flaws.push("not invited".to_owned()),
            Some(SetAside::OtherCurrency) => {
                flaws.push(format!("the order does not take {}", row.currency));
            }
            Some(SetAside::Incomplete) => flaws.extend(shortfalls(row)),
            Some(SetAside::OtherUnit) => flaws.extend(row.other_units.iter().map(other_unit)),
            Some(SetAside::Lapsed) => flaws.push("no longer valid".to_owned()),
            Some(SetAside::DeliveryPast) => flaws.push("delivery date is past".to_owned()),
            Some(SetAside::TooLate) => flaws.push("too late".to_owned()),
            Some(SetAside::Declined) => flaws.push("its seller declined".to_owned()),
            // A later processor has further reasons.
            None => flaws.push(reason.clone()),
        }
    }
    if row.reasons.is_empty() {
        flaws.extend(flaws_without_reasons(row));
    }
    flaws
}

/// Returns the flaws in a comparison by an earlier processor, which gives no reasons.
fn flaws_without_reasons(row: &RowView) -> Vec<String> {
    let mut flaws = Vec::new();
    if row.in_time == Some(false) {
        flaws.push("too late".to_owned());
    }
    if row.lapsed {
        flaws.push("no longer valid".to_owned());
    }
    flaws.extend(shortfalls(row));
    flaws
}

fn shortfalls(row: &RowView) -> Vec<String> {
    let missing = Some(&row.missing).filter(|missing| !missing.is_empty());
    let missing = missing.map(|missing| format!("lacks {}", missing.join(", ")));
    missing.into_iter().chain(row.shortfalls.iter().map(of_wanted)).collect()
}

/// Formats a quantity and the wanted one: `10 of 100 pieces of BOLT`.
fn of_wanted(gap: &QuantityGapView) -> String {
    let wanted = with_unit(&gap.wanted, gap.unit.as_deref());
    format!("{} of {wanted} of {}", gap.offered, gap.line)
}

/// Formats a quantity in another unit: `BOLT as 1 box of 50 and not 100 pieces`.
fn other_unit(gap: &QuantityGapView) -> String {
    let offered = with_unit(&gap.offered, gap.offered_unit.as_deref());
    let wanted = with_unit(&gap.wanted, gap.unit.as_deref());
    format!("{} as {offered} and not {wanted}", gap.line)
}

fn with_unit(quantity: &str, unit: Option<&str>) -> String {
    match unit {
        Some(unit) => format!("{quantity} {unit}"),
        None => quantity.to_owned(),
    }
}

/// Returns a seller's name for people, or else its own.
fn shown_name(row: &RowView) -> String {
    let name = row.seller_name.as_deref().map(print::one_line);
    name.filter(|name| !is_blank(name)).unwrap_or_else(|| row.seller.clone())
}

/// Returns the headings of these proposals' columns: the seller, with both names where another one
/// has the same, its label or its id where it has several, and the currency where there are several.
fn heads(rows: &[RowView], short: &ShortIds<'_>) -> Vec<String> {
    let mut sellers: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        sellers.entry(folded(&shown_name(row))).or_default().insert(&row.seller);
        *counts.entry(&row.seller).or_default() += 1;
    }
    let currencies: BTreeSet<&str> = rows.iter().map(|row| row.currency.as_str()).collect();
    let head = |row: &RowView| {
        let own = shown_name(row);
        let is_shared = sellers.get(&folded(&own)).is_some_and(|sellers| sellers.len() > 1);
        let mut head =
            if is_shared { print::seller(&row.seller, row.seller_name.as_deref()) } else { own };
        if let Some(label) = &row.alternative {
            head.push_str(&format!(" ({label})"));
        } else if counts.get(row.seller.as_str()).is_some_and(|count| *count > 1) {
            head.push_str(&format!(" {}", short.short(&row.proposal_id)));
        }
        if currencies.len() > 1 {
            head.push_str(&format!(" {}", row.currency));
        }
        head
    };
    rows.iter().map(head).collect()
}

/// Prints the lines' prices: articles down, proposals across; the best of each line has a star.
fn lines(order: &OrderView, comparison: &ComparisonView) {
    // A pipe has every column.
    let most = if table::is_for_terminal() { COLUMNS_MAX } else { usize::MAX };
    let visible_rows = &comparison.rows[..comparison.rows.len().min(most)];
    let heads = heads(visible_rows, &short_ids(comparison));
    let mut columns = vec![Column::Text("LINE"), Column::Numbers("WANTED")];
    columns.extend(heads.iter().map(|head| Column::ExtraNumbers(head)));
    let mut rows = Vec::new();
    for (index, sku) in comparison.skus.iter().enumerate() {
        let wanted = order.items.iter().find(|item| line_key(item) == sku);
        let quantity = wanted.map(|item| with_unit(&item.quantity, item.unit.as_deref()));
        let mut cells = vec![sku.clone(), quantity.unwrap_or_else(|| "-".to_owned())];
        cells.extend(visible_rows.iter().map(|row| match row.lines.get(index) {
            Some(Some(line)) => cell(row, sku, line, wanted),
            Some(None) | None if row.lines.iter().all(Option::is_none) => "whole  ".to_owned(),
            Some(None) | None => "-  ".to_owned(),
        }));
        rows.push(cells);
    }
    output::line("");
    table::print(&columns, rows);
    let hidden = comparison.rows.len().saturating_sub(visible_rows.len());
    let more =
        if hidden > 0 { format!("; {hidden} more proposals with -o csv") } else { String::new() };
    let several = if comparison.currencies.len() > 1 { " in its currency" } else { "" };
    let legend =
        format!("* lowest price of the whole line{several}; in parentheses the price of one unit");
    output::line(&format!("{legend}{more}"));
}

/// Formats an offered line: its price, that of one unit, and all in which it is not the wanted one.
fn cell(row: &RowView, sku: &str, line: &ComparedLineView, wanted: Option<&ItemView>) -> String {
    let unit_price = line.unit_price.as_ref().map(|price| format!(" ({price})"));
    let mut gaps = row.shortfalls.iter().chain(&row.excess).chain(&row.other_units);
    let is_other = wanted.is_none() || gaps.any(|gap| gap.line == sku);
    let quantity = is_other.then(|| with_unit(&line.quantity, line.unit.as_deref()));
    let quantity = quantity.map(|quantity| format!(" for {quantity}"));
    let substitute = line.substitute.as_ref().map(|article| format!(" as {article}"));
    let star = if line.best { "*" } else { " " };
    let parts = [unit_price, quantity, substitute].map(Option::unwrap_or_default);
    format!("{}{} {star}", line.price, parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(offered: &str, offered_unit: &str) -> QuantityGapView {
        QuantityGapView {
            line: "BOLT".to_owned(),
            wanted: "100".to_owned(),
            unit: Some("pieces".to_owned()),
            offered: offered.to_owned(),
            offered_unit: Some(offered_unit.to_owned()),
        }
    }

    fn row(reasons: &[SetAside]) -> RowView {
        let reasons = reasons.iter().map(|reason| reason.as_str().to_owned()).collect();
        RowView { open: true, currency: "USD".to_owned(), reasons, ..RowView::default() }
    }

    #[test]
    fn every_reason_is_in_words() {
        for (reason, words) in [
            (SetAside::Alternative, "alternative: oak"),
            (SetAside::NotInvited, "not invited"),
            (SetAside::OtherCurrency, "the order does not take USD"),
            (SetAside::Incomplete, "lacks NUT, NAIL, 10 of 100 pieces of BOLT"),
            (SetAside::OtherUnit, "BOLT as 1 box of 50 and not 100 pieces"),
            (SetAside::Lapsed, "no longer valid"),
            (SetAside::DeliveryPast, "delivery date is past"),
            (SetAside::TooLate, "too late"),
            (SetAside::Declined, "its seller declined"),
        ] {
            let row = RowView {
                missing: vec!["NUT".to_owned(), "NAIL".to_owned()],
                shortfalls: vec![gap("10", "pieces")],
                other_units: vec![gap("1", "box of 50")],
                alternative: Some("oak".to_owned()),
                ..row(&[reason])
            };
            assert_eq!(flaws(&row).join(", "), words, "{reason:?}");
        }
        assert_eq!(SetAside::ALL.len(), 9, "a reason is not above");
        let later = RowView { reasons: vec!["Odd".to_owned()], ..RowView::default() };
        assert_eq!(flaws(&later), ["Odd"]);
    }

    #[test]
    fn remarks_name_what_is_best_and_what_differs() {
        let line = ComparedLineView { substitute: Some("SCREW".to_owned()), ..line() };
        let best = RowView {
            best_total: true,
            best_delivery: true,
            excess: vec![gap("120", "pieces")],
            lines: vec![Some(line)],
            ..row(&[])
        };
        let skus = vec!["BOLT".to_owned()];
        let comparison = ComparisonView { skus, ..ComparisonView::default() };
        let text = remarks(&comparison, &best);
        let expected = "best total, earliest, 120 of 100 pieces of BOLT, SCREW instead of BOLT";
        assert_eq!(text, expected);
        let two = ComparisonView { currencies: vec![Default::default(); 2], ..comparison };
        assert!(remarks(&two, &best).starts_with("best total in USD, "));
    }

    #[test]
    fn withdrawn_proposals_are_not_counted() {
        let counts = |received: u32, withdrawn: u32| {
            standing(ProposalCountsView { received, withdrawn, ..ProposalCountsView::default() })
        };
        assert_eq!((counts(2, 1), counts(3, 1)), ("1 proposal".into(), "2 proposals".into()));
    }

    #[test]
    fn prices_in_a_column_line_up() {
        for (price, places, expected) in
            [("6000", 2, "6000.00"), ("6400.00", 2, "6400.00"), ("7.5", 2, "7.50"), ("9", 0, "9")]
        {
            assert_eq!(padded(price, places), expected);
        }
    }

    #[test]
    fn prices_of_several_currencies_have_theirs() {
        let of = |seller: &str, currency: &str| RowView {
            seller: seller.to_owned(),
            currency: currency.to_owned(),
            ..RowView::default()
        };
        let rows = [of("acme", "EUR"), of("bolt", "USD")];
        assert_eq!(heads(&rows, &ShortIds::default()), ["acme EUR", "bolt USD"]);
        assert_eq!(heads(&rows[..1], &ShortIds::default()), ["acme"]);
    }

    #[test]
    fn sellers_with_one_name_are_told_apart() {
        let of = |seller: &str, name: Option<&str>| RowView {
            seller: seller.to_owned(),
            seller_name: name.map(str::to_owned),
            ..RowView::default()
        };
        let rows = [
            of("twin1", Some("Twin GmbH")),
            of("twin2", Some("Twin\u{200b} GmbH")),
            of("acme", None),
            of("evil", Some("acme")),
            of("bolt", Some("Bolt KG")),
        ];
        let expected = ["Twin GmbH (twin1)", "Twin GmbH (twin2)", "acme", "acme (evil)", "Bolt KG"];
        assert_eq!(heads(&rows, &ShortIds::default()), expected);
    }

    /// An earlier processor gives no reasons.
    #[test]
    fn flaws_are_named_without_reasons() {
        let row = RowView {
            in_time: Some(false),
            lapsed: true,
            missing: vec!["NUT".to_owned()],
            ..RowView::default()
        };
        assert_eq!(flaws(&row), ["too late", "no longer valid", "lacks NUT"]);
    }

    fn line() -> ComparedLineView {
        ComparedLineView {
            quantity: "10".to_owned(),
            price: "150".to_owned(),
            unit: Some("pieces".to_owned()),
            unit_price: Some("15".to_owned()),
            ..ComparedLineView::default()
        }
    }

    #[test]
    fn cells_say_how_a_line_differs() {
        let item = ItemView::default();
        let short = RowView { shortfalls: vec![gap("10", "pieces")], ..row(&[]) };
        let (line, whole) = (line(), row(&[]));
        assert_eq!(cell(&whole, "BOLT", &line, Some(&item)), "150 (15)  ");
        assert_eq!(cell(&short, "BOLT", &line, Some(&item)), "150 (15) for 10 pieces  ");
        assert_eq!(cell(&short, "NUT", &line, Some(&item)), "150 (15)  ");
        assert_eq!(cell(&whole, "BOLT", &line, None), "150 (15) for 10 pieces  ");
        let substitute = Some("SCREW".to_owned());
        let best = ComparedLineView { best: true, substitute, ..line };
        assert_eq!(cell(&whole, "BOLT", &best, Some(&item)), "150 (15) as SCREW *");
    }
}
