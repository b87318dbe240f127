//! A comparison as comma-separated values (RFC 4180), safe to open in a spreadsheet.

use super::{Comparison, ComparisonRow};

/// The first columns of each row; those of the articles follow.
const FIXED_COLUMNS: [&str; 14] = [
    "proposal_id",
    "seller",
    "version",
    "open",
    "awarded",
    "total",
    "currency",
    "best_total",
    "delivery_date",
    "best_delivery",
    "in_time",
    "distance_m",
    "lapsed",
    "missing",
];

/// Returns a header line and one line for each proposal. An article has three columns: its
/// quantity, its price, and whether the price is the best. Cells that a spreadsheet would take for
/// a formula begin with an apostrophe.
pub fn csv(comparison: &Comparison) -> String {
    let articles = comparison
        .skus
        .iter()
        .flat_map(|sku| ["quantity", "price", "best"].map(|what| format!("{sku} {what}")));
    let header: Vec<String> =
        FIXED_COLUMNS.iter().map(ToString::to_string).chain(articles).collect();
    let mut text = line(&header);
    for row in &comparison.rows {
        text.push_str(&line(&cells(row)));
    }
    text
}

fn cells(row: &ComparisonRow) -> Vec<String> {
    let optional = |value: Option<String>| value.unwrap_or_default();
    let mut cells = vec![
        row.proposal_id.to_string(),
        row.seller.to_string(),
        row.version.to_string(),
        row.open.to_string(),
        row.awarded.to_string(),
        row.total.clone(),
        row.currency.clone(),
        row.best_total.to_string(),
        optional(row.delivery_date.clone()),
        row.best_delivery.to_string(),
        optional(row.in_time.map(|in_time| in_time.to_string())),
        optional(row.distance_m.map(|distance| distance.to_string())),
        row.lapsed.to_string(),
        row.missing.join("; "),
    ];
    for offered in &row.lines {
        cells.extend(match offered {
            Some(line) => [line.quantity.clone(), line.price.clone(), line.best.to_string()],
            None => [String::new(), String::new(), String::new()],
        });
    }
    cells
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("{}\r\n", cells.join(","))
}

/// Returns one cell: never a formula, and quoted where it contains a quote or a separator.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::ComparisonLine;
    use crate::id::{ProposalId, SellerId};

    fn row(lines: Vec<Option<ComparisonLine>>) -> ComparisonRow {
        ComparisonRow {
            proposal_id: ProposalId::new("p1").unwrap(),
            seller: SellerId::new("anna").unwrap(),
            version: 3,
            open: true,
            awarded: false,
            total: "1249.50".to_owned(),
            currency: "EUR".to_owned(),
            best_total: true,
            delivery_date: Some("2026-12-10".to_owned()),
            best_delivery: false,
            in_time: Some(true),
            distance_m: Some(1_200),
            lapsed: false,
            lines,
            missing: vec!["desk".to_owned(), "lamp".to_owned()],
        }
    }

    #[test]
    fn proposals_are_lines_under_a_header() {
        let line = |price: &str, best| ComparisonLine {
            quantity: "2".to_owned(),
            price: price.to_owned(),
            best,
        };
        let bare = ComparisonRow {
            delivery_date: None,
            in_time: None,
            distance_m: None,
            missing: Vec::new(),
            ..row(vec![None, None])
        };
        let comparison = Comparison {
            skus: vec!["chair".to_owned(), "=desk".to_owned()],
            rows: vec![row(vec![Some(line("10", true)), None]), bare],
            omitted: 0,
            sealed: false,
        };
        let text = csv(&comparison);
        let lines: Vec<_> = text.split_terminator("\r\n").collect();
        let articles =
            "chair quantity,chair price,chair best,'=desk quantity,'=desk price,'=desk best";
        assert_eq!(lines[0], format!("{},{articles}", FIXED_COLUMNS.join(",")));
        assert_eq!(
            lines[1],
            "p1,anna,3,true,false,1249.50,EUR,true,2026-12-10,false,true,1200,false,desk; lamp,\
             2,10,true,,,"
        );
        assert_eq!(lines[2], "p1,anna,3,true,false,1249.50,EUR,true,,false,,,false,,,,,,,");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("a=b", "a=b"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }
}
