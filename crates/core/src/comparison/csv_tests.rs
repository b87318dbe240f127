//! Tests of comparisons as comma-separated values.

use super::*;
use crate::comparison::SetAside;
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
        reasons: vec![SetAside::Incomplete, SetAside::TooLate],
        shortfalls: vec![gap("2", None, "1", None)],
        excess: Vec::new(),
        other_units: vec![gap("2", Some("pieces"), "1", Some("box of 50"))],
        alternative: None,
        your_reference: Some("A-7".to_owned()),
        seller_name: Some("Anna & Söhne".to_owned()),
        valid_until: Some("2026-12-31".to_owned()),
        note: Some("-50% in advance".to_owned()),
    }
}

fn gap(wanted: &str, unit: Option<&str>, offered: &str, offered_unit: Option<&str>) -> QuantityGap {
    QuantityGap {
        line: "chair".to_owned(),
        wanted: wanted.to_owned(),
        unit: unit.map(str::to_owned),
        offered: offered.to_owned(),
        offered_unit: offered_unit.map(str::to_owned),
    }
}

fn line(price: &str) -> ComparisonLine {
    ComparisonLine {
        quantity: "2".to_owned(),
        price: price.to_owned(),
        best: false,
        unit: Some("pieces".to_owned()),
        unit_price: Some("5.25".to_owned()),
        substitute: None,
    }
}

/// Columns are only ever added at the end.
#[test]
fn proposals_are_lines_under_a_header() {
    let bare = ComparisonRow {
        delivery_date: None,
        in_time: None,
        distance_m: None,
        missing: Vec::new(),
        reasons: Vec::new(),
        shortfalls: Vec::new(),
        other_units: Vec::new(),
        your_reference: None,
        seller_name: None,
        valid_until: None,
        note: None,
        ..row(vec![None, None])
    };
    let rows = vec![row(vec![Some(ComparisonLine { best: true, ..line("10.50") }), None]), bare];
    let skus = ["chair", "=desk"];
    let text = csv(&skus, rows.into_iter(), CsvFormat::default(), usize::MAX).unwrap();
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    assert_eq!(
        lines,
        [
            "proposal_id,seller,version,open,awarded,total,currency,best_total,delivery_date,\
             best_delivery,in_time,distance_m,lapsed,missing,chair quantity,chair price,chair best,\
             '=desk quantity,'=desk price,'=desk best,reasons,shortfalls,excess,other_units,\
             alternative,your_reference,seller_name,chair unit,chair unit price,chair substitute,\
             '=desk unit,'=desk unit price,'=desk substitute,valid_until,note",
            "p1,anna,3,true,false,1249.50,EUR,true,2026-12-10,false,true,1200,false,desk; lamp,\
             2,10.50,true,,,,Incomplete; TooLate,chair: 1 of 2,,\
             chair: 1 box of 50 for 2 pieces,,A-7,Anna & Söhne,pieces,5.25,,,,,\
             2026-12-31,'-50% in advance",
            "p1,anna,3,true,false,1249.50,EUR,true,,false,,,false,,,,,,,,,,,,,,,,,,,,,,",
        ]
    );
}

/// They open by a double click: with letters beyond ASCII, one cell in each column, and numbers
/// that can be added.
#[test]
fn spreadsheets_read_the_form_of_their_locale() {
    let price = |locale: &str| {
        let format = CsvFormat::of_spreadsheet(locale);
        let rows =
            vec![row(vec![Some(ComparisonLine { best: true, ..line("10.50") })])].into_iter();
        let text = csv(&["Stühle"], rows, format, usize::MAX).unwrap();
        assert!(text.starts_with('\u{feff}'), "{locale}");
        let columns = text.split_once("chair: 1 of 2").unwrap().0;
        columns.rsplit("\r\n").next().unwrap().to_owned()
    };
    let point = "p1,anna,3,true,false,1249.50,EUR,true,2026-12-10,false,true,1200,false,desk; \
                 lamp,2,10.50,true,Incomplete; TooLate,";
    for locale in ["en", "en_US.UTF-8", "C", "C.UTF-8", "POSIX", "", "ja_JP", "es-MX", "xx"] {
        assert_eq!(price(locale), point, "{locale}");
    }
    let comma = "p1;anna;3;true;false;1249,50;EUR;true;2026-12-10;false;true;1200;false;\"desk; \
                 lamp\";2;10,50;true;\"Incomplete; TooLate\";";
    for locale in ["de", "de_DE.UTF-8", "DE-at", "fr-CA", "sr-Latn-RS", "pt_BR", "en-ZA", "tr"] {
        assert_eq!(price(locale), comma, "{locale}");
    }
    let swiss = comma.replace("1249,50", "1249.50").replace("10,50", "10.50");
    for locale in ["de-CH", "fr_CH.UTF-8", "it-CH", "de-LI"] {
        assert_eq!(price(locale), swiss, "{locale}");
    }
}

#[test]
fn bytes_are_bounded() {
    let rows = || vec![row(Vec::new()), row(Vec::new())].into_iter();
    let whole = csv(&[], rows(), CsvFormat::default(), usize::MAX).unwrap();
    let length = whole.len();
    assert_eq!(csv(&[], rows(), CsvFormat::default(), length), Some(whole));
    assert_eq!(csv(&[], rows(), CsvFormat::default(), length - 1), None);
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
        ("\tplain", "'\tplain"),
        ("\r=1", "\"'\n=1\""),
        (" =HYPERLINK(1)", "' =HYPERLINK(1)"),
        ("\u{a0}\u{3000}@SUM(A1)", "'\u{a0}\u{3000}@SUM(A1)"),
        ("\u{200b}=1", "'=1"),
        ("\u{34f}=1", "'=1"),
        ("\u{ad}\u{fe0f}\u{e0041}+1", "'+1"),
        ("\u{3164}\u{2800}@A1", "'  @A1"),
        ("\u{200e}=1", "'\u{200e}=1"),
        ("\u{2066}\u{61c}=1", "'\u{2066}\u{61c}=1\u{2069}"),
        ("a\u{2028}b\u{2029}c", "\"a\nb\nc\""),
        ("a\u{85}b\u{b}c\u{c}d\re", "\"a\nb\nc\nd\ne\""),
        ("\u{ff1d}1\u{ff0b}1", "'\u{ff1d}1\u{ff0b}1"),
        ("\u{ff0b}1", "'\u{ff0b}1"),
        (" \u{ff0d}1", "' \u{ff0d}1"),
        ("\u{ff20}SUM(A1)", "'\u{ff20}SUM(A1)"),
        ("\u{fe66}1", "'\u{fe66}1"),
        ("-5V relay", "'-5V relay"),
        ("a=b", "a=b"),
        ("M8 \u{2013} 40", "M8 \u{2013} 40"),
        ("safe \u{202e}gnp.exe", "safe gnp.exe"),
        ("\u{2066}open", "\u{2066}open\u{2069}"),
        ("1.5 kg", "1.5 kg"),
    ] {
        let cell = CsvCell::Text(text.to_owned());
        assert_eq!(CsvFormat::default().cell(&cell), expected, "{text:?}");
    }
    let german = CsvFormat::of_spreadsheet("de");
    for (text, expected) in [
        ("a;b", "\"a;b\""),
        (" =1", "' =1"),
        ("\u{34f}=1", "'=1"),
        ("a\u{2028}b\u{c}c", "\"a\nb\nc\""),
        ("1.5 kg", "1.5 kg"),
    ] {
        assert_eq!(german.cell(&CsvCell::Text(text.to_owned())), expected, "{text:?}");
    }
}
