//! Properties of comparisons: the best proposal depends on neither worse ones nor the order of all,
//! and every form of a comparison has the same rows.

use orderstream_core::command::{ProposalContent, ProposalLine};
use orderstream_core::comparison::{
    Comparison, ComparisonRow, Criterion, CsvFormat, Ranking, SetAside,
};
use orderstream_core::event::{OrderOpened, ProposalUpdate};
use orderstream_core::order::Order;
use orderstream_core::price::{Currency, Quantity};
use orderstream_core::spec::{Delivery, Item};
use orderstream_core::{
    Event, EventKind, Incarnation, OrderKey, OrderSpec, Price, ProposalId, Seq, Timestamp,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::{T0, invited, sellers};

/// The columns of a row before those of the articles.
const FIXED_COLUMNS: usize = 14;
/// The day before the comparison, its day, that of the delivery, and the day after it.
const DATES: [&str; 4] = ["2026-09-20", "2026-09-21", "2026-12-10", "2026-12-11"];

fn units() -> impl Strategy<Value = Option<String>> {
    of(select(&["pieces", "pcs", "box"][..]).prop_map(str::to_owned))
}

fn dates() -> impl Strategy<Value = Option<String>> {
    of(select(&DATES[..]).prop_map(str::to_owned))
}

fn specs() -> impl Strategy<Value = OrderSpec> {
    let items = (0..3usize, units());
    let by = of(Just("2026-12-10".to_owned()));
    let currency = of(Just(Currency::new("EUR").unwrap()));
    (items, by, currency).prop_map(|((count, unit), by, currency)| {
        let item = |sku: &&str| Item {
            sku: (*sku).to_owned(),
            description: None,
            quantity: Quantity::parse("10").unwrap(),
            unit: unit.clone(),
            line: None,
        };
        OrderSpec {
            items: ["a", "b"].iter().take(count).map(item).collect(),
            delivery: Some(Box::new(Delivery { by, ..Delivery::default() })),
            currency,
            ..OrderSpec::default()
        }
    })
}

fn contents() -> impl Strategy<Value = ProposalContent> {
    let quantities = select(&["5", "10", "10.0", "12"][..]);
    let skus = (select(&["a", "b"][..]), any::<bool>());
    let lines = vec((skus, quantities, units(), 1..8u8), 0..3);
    let currencies = prop_oneof![4 => Just("EUR"), 1 => Just("USD")];
    let dates = (dates(), dates());
    (sellers(), 1..8u8, currencies, lines, dates).prop_map(
        |(seller, total, currency, lines, (delivery_date, valid_until))| {
            let price = |amount: u8| Price::parse(&amount.to_string(), currency).unwrap();
            let line = |((sku, is_substitute), quantity, unit, amount): (
                (&str, bool),
                &str,
                Option<String>,
                u8,
            )| ProposalLine {
                sku: if is_substitute { "other".to_owned() } else { sku.to_owned() },
                quantity: Quantity::parse(quantity).unwrap(),
                unit,
                price: price(amount),
                line: None,
                substitutes: is_substitute.then(|| sku.to_owned()),
            };
            ProposalContent {
                lines: lines.into_iter().map(line).collect(),
                delivery_date,
                valid_until,
                ..ProposalContent::new(seller, price(total))
            }
        },
    )
}

/// Opens an order and adds the proposals, with ids in their order.
fn order(spec: &OrderSpec, contents: &[ProposalContent]) -> Order {
    let opened = OrderOpened {
        key: OrderKey::new("", "SB1").unwrap(),
        incarnation: Incarnation::new("uid-1").unwrap(),
        spec: spec.clone(),
        expires_at: Timestamp(T0 + 60_000),
    };
    let first = [EventKind::OrderOpened(Box::new(opened)), EventKind::SellersSelected(invited())];
    let proposed = contents.iter().enumerate().map(|(index, content)| {
        let proposal_id = ProposalId::new(format!("p{index}")).ok();
        EventKind::NewProposal(ProposalContent { proposal_id, ..content.clone() })
    });
    let mut order = None;
    for (seq, kind) in (1..).zip(first.into_iter().chain(proposed)) {
        let event = Event { seq: Seq(seq), at: Timestamp(T0), cause: None, kind };
        Order::fold(&mut order, &event).unwrap();
    }
    order.unwrap()
}

fn compared(order: &Order) -> Comparison {
    Ranking::of(order, Criterion::Total, Timestamp(T0)).page(None, usize::MAX).unwrap()
}

fn best(comparison: &Comparison) -> Vec<&ProposalId> {
    let rows = comparison.rows.iter().filter(|row| row.best_total);
    rows.map(|row| &row.proposal_id).collect()
}

/// The content of a row, without its id and the order of the articles that nobody ordered.
fn content_of(comparison: &Comparison, row: &ComparisonRow) -> String {
    let mut lines: Vec<String> =
        comparison.skus.iter().zip(&row.lines).map(|cell| format!("{cell:?}")).collect();
    lines.sort();
    let proposal_id = ProposalId::new("p").unwrap();
    let row = ComparisonRow { proposal_id, lines: Vec::new(), ..row.clone() };
    format!("{row:?} {lines:?}")
}

fn contents_of(comparison: &Comparison) -> Vec<String> {
    let rows = comparison.rows.iter().map(|row| content_of(comparison, row));
    let mut contents: Vec<String> = rows.collect();
    contents.sort();
    contents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn worse_proposals_never_change_the_best(
        spec in specs(), before in vec(contents(), 0..6), extra in contents(),
    ) {
        let after: Vec<_> = before.iter().cloned().chain([extra]).collect();
        let (before, after) = (order(&spec, &before), order(&spec, &after));
        let (before, after) = (compared(&before), compared(&after));
        let new = before.rows.len();
        let new = after.rows.iter().find(|row| row.proposal_id.as_str() == format!("p{new}"));
        let new = new.unwrap();
        if !new.best_total {
            prop_assert_eq!(best(&before), best(&after));
            prop_assert_eq!(&before.suggested, &after.suggested);
        }
        if !new.reasons.is_empty() {
            prop_assert_eq!(&before.currencies, &after.currencies);
            for row in &before.rows {
                let is_same = |held: &&ComparisonRow| held.proposal_id == row.proposal_id;
                let now = after.rows.iter().find(is_same).unwrap();
                prop_assert_eq!(row.best_delivery, now.best_delivery);
                prop_assert_eq!(&row.reasons, &now.reasons);
            }
        }
    }

    #[test]
    fn order_of_proposals_does_not_matter(
        (spec, contents, shuffled) in (specs(), vec(contents(), 0..6)).prop_flat_map(
            |(spec, contents)| {
                let shuffled = Just(contents.clone()).prop_shuffle();
                (Just(spec), Just(contents), shuffled)
            }
        ),
    ) {
        let (one, other) = (compared(&order(&spec, &contents)), compared(&order(&spec, &shuffled)));
        prop_assert_eq!(contents_of(&one), contents_of(&other));
        let suggested = |comparison: &Comparison| {
            let id = comparison.suggested.as_ref()?;
            let row = comparison.rows.iter().find(|row| row.proposal_id == *id)?;
            Some(content_of(comparison, row))
        };
        prop_assert_eq!(suggested(&one), suggested(&other));
    }

    #[test]
    fn pages_and_values_have_all_rows(
        spec in specs(), contents in vec(contents(), 0..8), limit in 1..4usize,
    ) {
        let order = order(&spec, &contents);
        let ranking = Ranking::of(&order, Criterion::Delivery, Timestamp(T0));
        let all = ranking.page(None, usize::MAX).unwrap();
        prop_assert_eq!(all.rows.len(), contents.len());
        let mut page = ranking.page(None, limit).unwrap();
        let mut rows = std::mem::take(&mut page.rows);
        while let Some(next) = page.next {
            prop_assert_eq!(rows.len() + page.omitted, contents.len());
            page = ranking.page(Some(&next), limit).unwrap();
            rows.append(&mut page.rows);
        }
        prop_assert_eq!(&rows, &all.rows);
        let text = ranking.csv(CsvFormat::default(), usize::MAX).unwrap();
        let lines: Vec<Vec<&str>> =
            text.split_terminator("\r\n").map(|line| line.split(',').collect()).collect();
        prop_assert_eq!(lines.len(), rows.len() + 1);
        for (row, cells) in rows.iter().zip(&lines[1..]) {
            prop_assert_eq!(cells.len(), lines[0].len());
            prop_assert_eq!(cells[0], row.proposal_id.as_str());
            prop_assert_eq!(cells[5], &row.total);
            prop_assert_eq!(cells[7], row.best_total.to_string());
            let reasons: Vec<&str> = row.reasons.iter().map(|reason| reason.as_str()).collect();
            prop_assert_eq!(cells[FIXED_COLUMNS + 3 * all.skus.len()], reasons.join("; "));
        }
    }

    /// The proposals of others are judged as before.
    #[test]
    fn proposals_of_declined_sellers_are_never_best(
        spec in specs(), contents in vec(contents(), 0..8), seller in sellers(),
    ) {
        let before = order(&spec, &contents);
        let kind = EventKind::ProposalUpdate(ProposalUpdate::Declined {
            seller: seller.clone(),
            reason: None,
        });
        let event = Event { seq: before.last_seq.next(), at: Timestamp(T0), cause: None, kind };
        let mut after = Some(before.clone());
        Order::fold(&mut after, &event).unwrap();
        let (before, after) = (compared(&before), compared(&after.unwrap()));
        for row in &after.rows {
            let has_declined = row.seller == seller;
            prop_assert_eq!(row.reasons.contains(&SetAside::Declined), has_declined);
            if has_declined {
                prop_assert!(!row.best_total && !row.best_delivery);
                prop_assert_ne!(after.suggested.as_ref(), Some(&row.proposal_id));
            } else {
                let is_same = |held: &&ComparisonRow| held.proposal_id == row.proposal_id;
                let then = before.rows.iter().find(is_same).unwrap();
                prop_assert_eq!(&row.reasons, &then.reasons);
            }
        }
    }

    /// A suggestion competes, is cheaper than all others that do, and is exactly what is wanted.
    #[test]
    fn suggestions_are_best(spec in specs(), contents in vec(contents(), 0..8)) {
        let order = order(&spec, &contents);
        let comparison = compared(&order);
        for row in &comparison.rows {
            prop_assert!(!row.best_total || row.reasons.is_empty());
            prop_assert!(!row.best_delivery || row.reasons.is_empty());
        }
        if let Some(id) = &comparison.suggested {
            prop_assert_eq!(best(&comparison), [id]);
            prop_assert_eq!(comparison.currencies.len(), 1);
            let row = comparison.rows.iter().find(|row| row.proposal_id == *id).unwrap();
            prop_assert!(row.excess.is_empty());
            let wants_date = spec.delivery.as_ref().is_some_and(|wanted| wanted.by.is_some());
            prop_assert!(!wants_date || row.in_time == Some(true));
        }
        // The status shows the same.
        let shown = order.best_open().map(|(id, _)| id);
        let first = comparison.currencies.first().filter(|_| comparison.currencies.len() == 1);
        prop_assert_eq!(shown, first.map(|best| best.proposal_id.clone()));
    }
}
