//! Tests of comparisons, and of the differences between versions.

use super::*;
use crate::command::{Award, ProposalContent, ProposalLine};
use crate::event::{Event, EventKind, OrderOpened};
use crate::id::{Incarnation, OrderKey, Seq};
use crate::price::{Price, Quantity};
use crate::spec::{Delivery, Item, OrderSpec, SellerChoice, Verdict};

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// A proposal: id, seller, total, lines, delivery.
struct ProposalCase(
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
);

fn price(text: &str) -> Price {
    let (amount, currency) = text.split_once(' ').unwrap();
    Price::parse(amount, currency).unwrap()
}

fn content(case: &ProposalCase) -> ProposalContent {
    let line = |(sku, text): &(&str, &str)| ProposalLine {
        sku: (*sku).to_owned(),
        quantity: Quantity::parse("2").unwrap(),
        unit: None,
        price: price(text),
        line: None,
        substitutes: None,
    };
    ProposalContent {
        proposal_id: Some(ProposalId::new(case.0).unwrap()),
        lines: case.3.iter().map(line).collect(),
        delivery_date: case.4.map(ToOwned::to_owned),
        ..ProposalContent::new(SellerId::new(case.1).unwrap(), price(case.2))
    }
}

#[allow(clippy::fn_params_excessive_bools, reason = "a case of a test")]
fn order(sealed: bool, cases: &[ProposalCase]) -> Order {
    let item = |sku: &str| Item {
        sku: sku.to_owned(),
        description: None,
        quantity: Quantity::parse("2").unwrap(),
        unit: None,
        line: None,
    };
    let by = Some("2026-12-10".to_owned());
    let spec = OrderSpec {
        items: vec![item("chair"), item("desk")],
        delivery: Some(Box::new(Delivery { by, ..Delivery::default() })),
        sealed,
        ..OrderSpec::default()
    };
    let opened = OrderOpened {
        key: OrderKey::new("", "SB1").unwrap(),
        incarnation: Incarnation::new("uid-1").unwrap(),
        spec,
        expires_at: NOW.plus_ms(60_000),
    };
    let choice = |(index, name): (usize, &str)| SellerChoice {
        seller: SellerId::new(name).unwrap(),
        verdict: Verdict::Chosen,
        distance_m: Some(1_000 * u32::try_from(index + 1).unwrap()),
        display_name: None,
    };
    let choices = ["near", "far"].into_iter().enumerate().map(choice).collect();
    let mut kinds =
        vec![EventKind::OrderOpened(Box::new(opened)), EventKind::SellersSelected(choices)];
    kinds.extend(cases.iter().map(|offer| EventKind::NewProposal(content(offer))));
    let mut order = None;
    for (index, kind) in kinds.into_iter().enumerate() {
        let seq = Seq(u64::try_from(index + 1).unwrap());
        Order::fold(&mut order, &Event { seq, at: NOW, cause: None, kind }).unwrap();
    }
    order.unwrap()
}

fn compare(order: &Order, by: Criterion, now: Timestamp) -> Comparison {
    Ranking::of(order, by, now).page(None, usize::MAX).unwrap()
}

fn ids(comparison: &Comparison) -> Vec<&str> {
    comparison.rows.iter().map(|row| row.proposal_id.as_str()).collect()
}

/// The first is too late, and the last lacks a line and was not invited.
const CASES: [ProposalCase; 3] = [
    ProposalCase(
        "p1",
        "far",
        "100 EUR",
        &[("chair", "40 EUR"), ("desk", "60 EUR")],
        Some("2026-12-12"),
    ),
    ProposalCase(
        "p2",
        "near",
        "110 EUR",
        &[("chair", "30 EUR"), ("desk", "80 EUR")],
        Some("2026-12-05"),
    ),
    ProposalCase("p3", "other", "20 EUR", &[("chair", "20 EUR")], None),
];

/// Those that compete are first, and unknown values come last.
#[test]
fn rows_are_sorted_by_criterion() {
    let order = order(false, &CASES);
    let by = |criterion| compare(&order, criterion, NOW);
    assert_eq!(ids(&by(Criterion::Total)), ["p2", "p3", "p1"]);
    assert_eq!(ids(&by(Criterion::Delivery)), ["p2", "p1", "p3"]);
    assert_eq!(ids(&by(Criterion::Distance)), ["p2", "p1", "p3"]);
}

/// Cheaper proposals that cannot be taken as they are have no best value, and have reasons.
#[test]
fn only_proposals_that_compete_are_best() {
    let compared = compare(&order(false, &CASES), Criterion::Total, NOW);
    let best: Vec<_> = compared.rows.iter().map(|row| row.best_total).collect();
    assert_eq!(best, [true, false, false]);
    let reasons: Vec<_> = compared.rows.iter().map(|row| row.reasons.as_slice()).collect();
    let partial = [SetAside::NotInvited, SetAside::Incomplete];
    assert_eq!(reasons, [&[] as &[SetAside], &partial, &[SetAside::TooLate]]);
    assert_eq!(compared.rows[1].missing, ["desk"]);
    assert_eq!(compared.skus, ["chair", "desk"]);
    let lines = |row: usize| -> Vec<Option<bool>> {
        compared.rows[row].lines.iter().map(|line| line.as_ref().map(|line| line.best)).collect()
    };
    assert_eq!(lines(0), [Some(true), Some(true)]);
    assert_eq!(lines(1), [Some(false), None]);
    assert_eq!(lines(2), [Some(false), Some(false)]);
    assert_eq!(compared.suggested.as_ref().map(ProposalId::as_str), Some("p2"));
}

/// The order's date decides what is in time.
#[test]
fn rows_mark_early_and_timely_delivery() {
    let compared = compare(&order(false, &CASES), Criterion::Delivery, NOW);
    let marks: Vec<_> = compared.rows.iter().map(|r| (r.best_delivery, r.in_time)).collect();
    assert_eq!(marks, [(true, Some(true)), (false, Some(false)), (false, None)]);
    assert_eq!(compared.rows[0].distance_m, Some(1_000));
}

#[test]
fn currencies_are_compared_separately() {
    let cases = [
        ProposalCase("p1", "near", "100 EUR", &[], None),
        ProposalCase("p2", "far", "90 USD", &[], None),
        ProposalCase("p3", "far", "95 USD", &[], None),
    ];
    let compared = compare(&order(false, &cases), Criterion::Total, NOW);
    let best: Vec<_> =
        compared.rows.iter().filter(|r| r.best_total).map(|r| r.proposal_id.as_str()).collect();
    assert_eq!(best, ["p1", "p2"]);
    let currencies: Vec<_> = compared
        .currencies
        .iter()
        .map(|best| (best.currency.as_str(), best.total.as_str(), best.competing))
        .collect();
    assert_eq!(currencies, [("EUR", "100", 1), ("USD", "90", 2)]);
    assert_eq!(compared.suggested, None, "a person decides between currencies");
}

/// Their own articles are named.
#[test]
fn sealed_orders_have_no_rows() {
    let compared = compare(&order(true, &CASES), Criterion::Total, NOW);
    assert!(compared.sealed && compared.rows.is_empty());
    assert_eq!(compared.skus, ["chair", "desk"]);
}

#[test]
fn changes_name_field_and_both_values() {
    let from = content(&CASES[0]);
    let mut to =
        content(&ProposalCase("p1", "far", "95 EUR", &[("chair", "35 EUR")], Some("2026-12-12")));
    to.note = Some("from stock".to_owned());
    to.attachments = vec!["https://a/1".to_owned(), "https://a/2".to_owned()];
    let actual: Vec<_> = changes(&from, &to)
        .into_iter()
        .map(|change| {
            (change.field, change.from.unwrap_or_default(), change.to.unwrap_or_default())
        })
        .collect();
    let expected = [
        ("price", "100 EUR", "95 EUR"),
        ("lines.chair", "2 for 40 EUR", "2 for 35 EUR"),
        ("lines.desk", "2 for 60 EUR", ""),
        ("note", "", "from stock"),
        ("attachments", "", "https://a/1 https://a/2"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(actual, expected);
    assert!(changes(&from, &from).is_empty());
}

#[test]
fn rows_mark_open_won_and_lapsed() {
    let mut order = order(false, &CASES);
    let id = |text: &str| ProposalId::new(text).unwrap();
    let mut set = |text: &str, phase: ProposalPhase, valid_until: &str| {
        let proposal = order.proposals.get_mut(&id(text)).unwrap();
        proposal.phase = phase;
        proposal.content.valid_until = Some(valid_until.to_owned());
    };
    set("p1", ProposalPhase::Open, "2026-09-21T14:13:20Z");
    set("p2", ProposalPhase::Closed, "2026-09-21T14:13:19Z");
    let marks = |order: &Order| -> Vec<_> {
        let rows = compare(order, Criterion::Delivery, NOW).rows;
        rows.iter().map(|row| (row.open, row.awarded, row.lapsed)).collect()
    };
    let none_won = [(false, false, true), (true, false, false), (true, false, false)];
    assert_eq!(marks(&order), none_won, "valid until now is not lapsed");
    let won = |order: &Order| marks(order).iter().map(|row| row.1).collect::<Vec<_>>();
    order.award = Some(Award::Whole(id("p1")));
    assert_eq!(won(&order), [false, true, false]);
    order.award = Some(Award::Lines(vec![("chair".to_owned(), id("p2"))]));
    assert_eq!(won(&order), [true, false, false]);
}

/// The day of the comparison is over in Auckland already, and not in Vienna.
#[test]
fn dates_count_to_their_end_in_the_zone() {
    let today = Some("2026-09-21");
    for (zone, lapsed, in_time) in [
        (None, false, Some(true)),
        (Some("Europe/Vienna"), false, Some(true)),
        (Some("Pacific/Auckland"), true, Some(true)),
    ] {
        let mut order = order(false, &[ProposalCase("p1", "near", "10 EUR", &[], today)]);
        order.spec.time_zone = zone.map(Into::into);
        order.spec.delivery =
            Some(Box::new(Delivery { by: today.map(ToOwned::to_owned), ..Delivery::default() }));
        let proposal = order.proposals.values_mut().next().unwrap();
        proposal.content.valid_until = today.map(ToOwned::to_owned);
        let rows = compare(&order, Criterion::Delivery, NOW).rows;
        assert_eq!((rows[0].lapsed, rows[0].in_time), (lapsed, in_time), "{zone:?}");
    }
}

/// A date means its whole day: a time on it is earlier, and in time.
#[test]
fn days_and_times_are_compared_by_their_ends() {
    let cases = [
        ProposalCase("p1", "near", "1 EUR", &[], Some("2026-12-10")),
        ProposalCase("p2", "near", "2 EUR", &[], Some("2026-12-10T12:00:00Z")),
        ProposalCase("p3", "near", "3 EUR", &[], Some("2026-12-11T00:00:00Z")),
        ProposalCase("p4", "near", "4 EUR", &[], Some("soon")),
    ];
    let compared = compare(&order(false, &cases), Criterion::Delivery, NOW);
    assert_eq!(ids(&compared), ["p2", "p1", "p4", "p3"]);
    let in_time: Vec<_> = compared.rows.iter().map(|row| row.in_time).collect();
    assert_eq!(in_time, [Some(true), Some(true), None, Some(false)]);
}

/// Lines of one article stand apart, and a substitute stands in the line that it is for.
#[test]
fn lines_are_compared_by_their_names() {
    let mut order = order(false, &CASES);
    order.spec.items[0].line = Some("ground".to_owned());
    order.spec.items[1].sku = "chair".to_owned();
    order.spec.items[1].line = Some("first".to_owned());
    let lines = &mut order.proposals.values_mut().next().unwrap().content.lines;
    lines[0].line = Some("first".to_owned());
    lines[1].line = Some("ground".to_owned());
    lines[1].substitutes = Some("chair".to_owned());
    let compared = compare(&order, Criterion::Total, NOW);
    assert_eq!(compared.skus, ["ground", "first", "desk"]);
    let row = compared.rows.iter().find(|row| row.proposal_id.as_str() == "p1").unwrap();
    let prices: Vec<_> =
        row.lines.iter().map(|line| line.as_ref().map(|line| line.price.as_str())).collect();
    assert_eq!(prices, [Some("60"), Some("40"), None]);
    assert!(row.missing.is_empty(), "{:?}", row.missing);
}

#[test]
fn changes_of_lines_name_substitutes() {
    let from = content(&CASES[0]);
    let mut to = from.clone();
    to.your_reference = Some("A-7".to_owned());
    to.lines[0].line = Some("ground".to_owned());
    to.lines[1].substitutes = Some("table".to_owned());
    let changes: Vec<_> = changes(&from, &to)
        .into_iter()
        .map(|change| (change.field, change.to.unwrap_or_default()))
        .collect();
    let expected = [
        ("lines.chair", ""),
        ("lines.desk", "2 instead of table for 60 EUR"),
        ("lines.ground", "2 for 40 EUR"),
        ("your_reference", "A-7"),
    ];
    assert_eq!(changes, expected.map(|(field, to)| (field.to_owned(), to.to_owned())));
}

#[test]
fn articles_have_a_limit() {
    let lines: Vec<ProposalLine> = (0..COMPARED_MAX)
        .map(|number| ProposalLine {
            sku: format!("extra-{number}"),
            quantity: Quantity::parse("1").unwrap(),
            unit: None,
            price: price("1 EUR"),
            line: None,
            substitutes: None,
        })
        .collect();
    let mut order = order(false, &CASES);
    order.proposals.values_mut().next().unwrap().content.lines = lines;
    let skus = compare(&order, Criterion::Total, NOW).skus;
    assert_eq!(skus.len(), COMPARED_MAX);
    assert_eq!(skus[..3], ["chair", "desk", "extra-0"]);
}

#[test]
fn criteria_are_parsed_by_their_spelling() {
    let parsed = ["total", "delivery", "distance", "Total", ""].map(Criterion::parse);
    let known = [Criterion::Total, Criterion::Delivery, Criterion::Distance].map(Some);
    assert_eq!(parsed[..3], known);
    assert_eq!(parsed[3..], [None, None]);
}
