//! Tests of the best proposals: which ones compete, why the others do not, and what is suggested.

use super::*;
use crate::command::{Award, ProposalContent, ProposalLine};
use crate::comparison::{Comparison, ComparisonRow, Criterion, QuantityGap, Ranking};
use crate::event::{Event, EventKind, OrderOpened, ProposalUpdate};
use crate::id::{Incarnation, OrderKey, SellerId, Seq};
use crate::order::PendingAward;
use crate::price::Quantity;
use crate::spec::{Delivery, Item, OrderSpec, SellerChoice, Verdict};

/// The time now: 2026-09-21T14:13:20Z.
const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// An order for 100 pieces of `BOLT`, with these proposals.
fn bolts(proposals: Vec<ProposalContent>) -> Order {
    let item = Item {
        sku: "BOLT".to_owned(),
        description: None,
        quantity: Quantity::parse("100").unwrap(),
        unit: Some("pieces".to_owned()),
        line: None,
    };
    folded(OrderSpec { items: vec![item], ..OrderSpec::default() }, proposals)
}

/// An order with this content; sellers `a` to `f` are invited.
fn folded(spec: OrderSpec, proposals: Vec<ProposalContent>) -> Order {
    let opened = OrderOpened {
        key: OrderKey::new("", "SB1").unwrap(),
        incarnation: Incarnation::new("uid-1").unwrap(),
        spec,
        expires_at: NOW.plus_ms(60_000),
    };
    let choice = |name: &str| SellerChoice {
        seller: SellerId::new(name).unwrap(),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let choices = ["a", "b", "c", "d", "e", "f"].map(choice).to_vec();
    let first = [EventKind::OrderOpened(Box::new(opened)), EventKind::SellersSelected(choices)];
    let kinds = first.into_iter().chain(proposals.into_iter().map(EventKind::NewProposal));
    let mut order = None;
    for (seq, kind) in (1..).zip(kinds) {
        Order::fold(&mut order, &Event { seq: Seq(seq), at: NOW, cause: None, kind }).unwrap();
    }
    order.unwrap()
}

/// A proposal of the seller whose name is the first letter of the id.
fn whole(id: &str, price: &str) -> ProposalContent {
    let seller = SellerId::new(&id[..1]).unwrap();
    ProposalContent {
        proposal_id: Some(ProposalId::new(id).unwrap()),
        ..ProposalContent::new(seller, price.parse().unwrap())
    }
}

fn bolt(quantity: &str, unit: Option<&str>, price: &str) -> ProposalLine {
    ProposalLine {
        sku: "BOLT".to_owned(),
        quantity: Quantity::parse(quantity).unwrap(),
        unit: unit.map(str::to_owned),
        price: price.parse().unwrap(),
        line: None,
        substitutes: None,
    }
}

/// A proposal with one line of bolts.
fn offer(id: &str, quantity: &str, unit: Option<&str>, price: &str) -> ProposalContent {
    ProposalContent { lines: vec![bolt(quantity, unit, price)], ..whole(id, price) }
}

fn compared(order: &Order) -> Comparison {
    Ranking::of(order, Criterion::Total, NOW).page(None, usize::MAX).unwrap()
}

fn row<'a>(comparison: &'a Comparison, id: &str) -> &'a ComparisonRow {
    comparison.rows.iter().find(|row| row.proposal_id.as_str() == id).unwrap()
}

fn best(comparison: &Comparison) -> Vec<&str> {
    let rows = comparison.rows.iter().filter(|row| row.best_total);
    rows.map(|row| row.proposal_id.as_str()).collect()
}

fn suggested(order: &Order) -> Option<String> {
    compared(order).suggested.map(|id| id.to_string())
}

fn gap(offered: &str, offered_unit: &str) -> QuantityGap {
    QuantityGap {
        line: "BOLT".to_owned(),
        wanted: "100".to_owned(),
        unit: Some("pieces".to_owned()),
        offered: offered.to_owned(),
        offered_unit: Some(offered_unit.to_owned()),
    }
}

/// Ten of a hundred, or a box of fifty, are not all that is wanted, however cheap they are.
#[test]
fn incomplete_quantities_and_units_do_not_compete() {
    let order = bolts(vec![
        offer("a-full", "100", None, "1000 EUR"),
        offer("b-part", "10", Some("pieces"), "150 EUR"),
        offer("c-box", "1", Some("box of 50"), "200 EUR"),
        offer("d-more", "120", Some("pcs"), "1080 EUR"),
    ]);
    let comparison = compared(&order);
    assert_eq!(best(&comparison), ["a-full"]);
    assert_eq!(suggested(&order).as_deref(), Some("a-full"));
    for (id, reasons, unit_price, is_best) in [
        ("a-full", vec![], "10", true),
        ("b-part", vec![SetAside::Incomplete], "15", false),
        ("c-box", vec![SetAside::OtherUnit], "200", false),
        ("d-more", vec![], "9", false),
    ] {
        let row = row(&comparison, id);
        assert_eq!(row.reasons, reasons, "{id}");
        let line = row.lines[0].as_ref().unwrap();
        assert_eq!((line.unit_price.as_deref(), line.best), (Some(unit_price), is_best), "{id}");
    }
    assert_eq!(row(&comparison, "b-part").shortfalls, [gap("10", "pieces")]);
    assert_eq!(row(&comparison, "c-box").other_units, [gap("1", "box of 50")]);
    assert_eq!(row(&comparison, "d-more").excess, [gap("120", "pieces")]);
    assert_eq!(order.best_open().unwrap().0.as_str(), "a-full");
}

/// A hundred milliwatts are not a hundred megawatts, however cheap they are.
#[test]
fn milli_never_competes_with_mega() {
    let mut spec = bolts(Vec::new()).spec;
    spec.items[0].unit = Some("MW".to_owned());
    let proposals =
        vec![offer("a", "100", Some("MW"), "1000 EUR"), offer("b", "100", Some("mW"), "1 EUR")];
    let order = folded(spec, proposals);
    let comparison = compared(&order);
    assert_eq!(best(&comparison), ["a"]);
    assert_eq!(row(&comparison, "b").reasons, [SetAside::OtherUnit]);
    assert_eq!(suggested(&order).as_deref(), Some("a"));
}

/// Only a list from before that rule has another one's proposal after it.
#[test]
fn proposals_before_the_first_invitation_compete() {
    let opened = OrderOpened {
        key: OrderKey::new("", "SB1").unwrap(),
        incarnation: Incarnation::new("uid-1").unwrap(),
        spec: OrderSpec::default(),
        expires_at: NOW.plus_ms(60_000),
    };
    let late = SellerChoice {
        seller: SellerId::new("a").unwrap(),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let kinds = [
        EventKind::OrderOpened(Box::new(opened)),
        EventKind::SellersSelected(Vec::new()),
        EventKind::NewProposal(whole("x", "10 EUR")),
        EventKind::SellersSelected(vec![late]),
        EventKind::NewProposal(whole("y", "5 EUR")),
    ];
    let mut order = None;
    for (seq, kind) in (1..).zip(kinds) {
        Order::fold(&mut order, &Event { seq: Seq(seq), at: NOW, cause: None, kind }).unwrap();
    }
    let comparison = compared(&order.unwrap());
    assert_eq!(row(&comparison, "x").reasons, []);
    assert_eq!(row(&comparison, "y").reasons, [SetAside::NotInvited]);
    assert_eq!(best(&comparison), ["x"]);
}

/// Each one alone is enough, and the best of the others stays the best.
#[test]
fn every_reason_sets_a_proposal_aside() {
    let by = |by: &str| Some(Box::new(Delivery { by: Some(by.to_owned()), ..Delivery::default() }));
    let spec = OrderSpec {
        currency: Some(Currency::new("EUR").unwrap()),
        delivery: by("2026-12-10"),
        ..bolts(Vec::new()).spec
    };
    let date = |text: &str| Some(text.to_owned());
    let cheap = |id: &str| offer(id, "100", None, "1 EUR");
    let dated =
        |content: ProposalContent| ProposalContent { delivery_date: date("2026-12-10"), ..content };
    let cases = [
        (SetAside::NotInvited, cheap("x")),
        (SetAside::OtherCurrency, offer("b", "100", None, "1 USD")),
        (SetAside::Incomplete, offer("b", "99.999999", None, "1 EUR")),
        (SetAside::OtherUnit, offer("b", "100", Some("g"), "1 EUR")),
        (SetAside::Lapsed, ProposalContent { valid_until: date("2026-09-20"), ..cheap("b") }),
        (
            SetAside::DeliveryPast,
            ProposalContent { delivery_date: date("2026-09-20"), ..cheap("b") },
        ),
        (SetAside::TooLate, ProposalContent { delivery_date: date("2026-12-11"), ..cheap("b") }),
    ];
    for (reason, content) in cases {
        let id = content.proposal_id.clone().unwrap();
        let order = folded(spec.clone(), vec![dated(whole("a", "1000 EUR")), content]);
        let comparison = compared(&order);
        assert_eq!(row(&comparison, id.as_str()).reasons, [reason]);
        assert_eq!(best(&comparison), ["a"], "{reason:?}");
        assert_eq!(comparison.rows[0].proposal_id.as_str(), "a", "the others are below");
        assert_eq!(suggested(&order).as_deref(), Some("a"), "{reason:?}");
        let is_best_line = row(&comparison, id.as_str()).lines[0].as_ref().unwrap().best;
        assert!(!is_best_line, "{reason:?}");
        let best = order.best_open().unwrap();
        assert_eq!(best.0.as_str(), "a", "{reason:?}");
    }
}

/// Today is valid, and may be the date of delivery, until the day is over.
#[test]
fn today_is_not_past() {
    let today = Some("2026-09-21".to_owned());
    let content = ProposalContent {
        valid_until: today.clone(),
        delivery_date: today,
        ..offer("a", "100", None, "1000 EUR")
    };
    let order = bolts(vec![content]);
    assert_eq!(best(&compared(&order)), ["a"]);
    let tomorrow = Ranking::of(&order, Criterion::Total, NOW.plus_ms(86_400_000));
    let reasons = tomorrow.page(None, 1).unwrap().rows.remove(0).reasons;
    assert_eq!(reasons, [SetAside::Lapsed, SetAside::DeliveryPast]);
}

/// Afterwards it stays as it was decided.
#[test]
fn ended_orders_are_judged_at_their_end() {
    let valid_until = Some("2026-09-21".to_owned());
    let mut order = bolts(vec![ProposalContent { valid_until, ..whole("a", "10 EUR") }]);
    order.phase = crate::order::Phase::Finalised;
    order.ended_at = Some(NOW.plus_ms(1));
    let later = Ranking::of(&order, Criterion::Total, NOW.plus_ms(10 * 86_400_000));
    let comparison = later.page(None, 1).unwrap();
    assert!(comparison.rows[0].best_total && !comparison.rows[0].lapsed);
    assert_eq!(comparison.suggested, None);
}

/// A line that is complete competes, although the proposal lacks another.
#[test]
fn complete_lines_of_incomplete_proposals_compete() {
    let mut spec = bolts(Vec::new()).spec;
    spec.items.push(Item { sku: "NUT".to_owned(), ..spec.items[0].clone() });
    let nut = ProposalLine { sku: "NUT".to_owned(), ..bolt("100", None, "5 EUR") };
    let both =
        ProposalContent { lines: vec![bolt("100", None, "20 EUR"), nut], ..whole("a", "25 EUR") };
    let order = folded(spec, vec![both, offer("b", "100", None, "10 EUR")]);
    let comparison = compared(&order);
    let lines = |id: &str| -> Vec<_> {
        row(&comparison, id).lines.iter().map(|line| line.as_ref().map(|line| line.best)).collect()
    };
    assert_eq!(lines("a"), [Some(false), Some(true)]);
    assert_eq!(lines("b"), [Some(true), None]);
    assert_eq!(best(&comparison), ["a"]);
}

/// An article and its substitute for one line are counted together.
#[test]
fn substitutes_complete_a_line() {
    let screw = ProposalLine {
        sku: "SCREW".to_owned(),
        substitutes: Some("BOLT".to_owned()),
        ..bolt("60", None, "30 EUR")
    };
    let mixed =
        ProposalContent { lines: vec![bolt("40", None, "40 EUR"), screw], ..whole("a", "70 EUR") };
    let order = bolts(vec![mixed, offer("b", "100", None, "80 EUR")]);
    let comparison = compared(&order);
    assert_eq!(best(&comparison), ["a"]);
    let line = row(&comparison, "a").lines[0].as_ref().unwrap();
    assert_eq!((line.quantity.as_str(), line.price.as_str()), ("100", "70"));
    assert_eq!(line.substitute.as_deref(), Some("SCREW"));
    assert_eq!(suggested(&order), None, "a person checks the substitute first");
}

/// The order wants no quantity of them: their prices are compared by the unit.
#[test]
fn lines_nobody_ordered_are_compared_by_unit_price() {
    let order = folded(
        OrderSpec::default(),
        vec![
            offer("a", "100", None, "1000 EUR"),
            offer("b", "10", None, "90 EUR"),
            offer("c", "1", Some("box"), "8 EUR"),
        ],
    );
    let comparison = compared(&order);
    let is_best = |id: &str| row(&comparison, id).lines[0].as_ref().unwrap().best;
    assert_eq!(["a", "b", "c"].map(is_best), [false, true, true]);
}

/// Nothing is suggested that a person would not do without another thought.
#[test]
fn suggestions_are_unambiguous() {
    let order = |prices: &[(&str, &str)]| {
        bolts(prices.iter().map(|(id, price)| offer(id, "100", None, price)).collect())
    };
    for (prices, expected) in [
        (Vec::new(), None),
        (vec![("a", "10 EUR")], Some("a")),
        (vec![("a", "10 EUR"), ("b", "9 EUR")], Some("b")),
        (vec![("a", "10 EUR"), ("b", "10 EUR")], None),
        (vec![("a", "10 EUR"), ("b", "9 USD")], None),
    ] {
        assert_eq!(suggested(&order(&prices)).as_deref(), expected, "{prices:?}");
    }
    let mut pending = order(&[("a", "10 EUR")]);
    let award = Some(Award::Whole(ProposalId::new("a").unwrap()));
    pending.pending_award =
        Some(Box::new(PendingAward { award, reason: None, effective_at: NOW.plus_ms(1) }));
    assert_eq!(suggested(&pending), None);
    let mut locked = order(&[("a", "10 EUR")]);
    let lock = Some((SellerId::new("a").unwrap(), NOW.plus_ms(1)));
    locked.proposals.values_mut().for_each(|proposal| proposal.lock.clone_from(&lock));
    assert_eq!(suggested(&locked), None, "its seller is changing it");
}

/// More than is wanted costs more than is needed, and a day of delivery that nobody names may be
/// too late.
#[test]
fn suggestions_have_the_wanted_quantity_and_a_date() {
    let by = |by: Option<&str>| OrderSpec {
        delivery: Some(Box::new(Delivery { by: by.map(str::to_owned), ..Delivery::default() })),
        ..bolts(Vec::new()).spec
    };
    for (wanted, date, quantity, expected) in [
        (None, None, "100", Some("a")),
        (None, None, "100.5", None),
        (Some("2026-12-10"), None, "100", None),
        (Some("2026-12-10"), Some("soon"), "100", None),
        (Some("2026-12-10"), Some("2026-12-10"), "100", Some("a")),
        (Some("2026-12-10"), Some("2026-12-10"), "101", None),
    ] {
        let delivery_date = date.map(str::to_owned);
        let offered = ProposalContent { delivery_date, ..offer("a", quantity, None, "10 EUR") };
        let order = folded(by(wanted), vec![offered]);
        assert_eq!(best(&compared(&order)), ["a"], "{wanted:?} {date:?} {quantity}");
        assert_eq!(suggested(&order).as_deref(), expected, "{wanted:?} {date:?} {quantity}");
    }
}

/// What a seller proposes after it has declined competes.
#[test]
fn proposals_of_sellers_that_declined_are_set_aside() {
    let cheap = |id: &str| EventKind::NewProposal(offer(id, "100", None, "10 EUR"));
    let declined = || {
        EventKind::ProposalUpdate(ProposalUpdate::Declined {
            seller: SellerId::new("a").unwrap(),
            reason: None,
        })
    };
    let dear = || EventKind::NewProposal(offer("b", "100", None, "20 EUR"));
    for (kinds, expected) in [
        (vec![cheap("a"), dear(), declined()], "b"),
        (vec![declined(), cheap("a"), dear()], "a"),
        (vec![cheap("a-1"), dear(), declined(), cheap("a-2")], "a-2"),
    ] {
        let mut order = Some(bolts(Vec::new()));
        for (seq, kind) in (3..).zip(kinds.clone()) {
            let event = Event { seq: Seq(seq), at: NOW, cause: None, kind };
            Order::fold(&mut order, &event).unwrap();
        }
        let order = order.unwrap();
        let comparison = compared(&order);
        assert_eq!(best(&comparison), [expected], "{kinds:?}");
        assert_eq!(suggested(&order).as_deref(), Some(expected), "{kinds:?}");
        assert_eq!(order.best_open().unwrap().0.as_str(), expected, "{kinds:?}");
        let mut set_aside = comparison.rows.iter().filter(|row| !row.reasons.is_empty());
        assert!(set_aside.all(|row| row.reasons == [SetAside::Declined]), "{kinds:?}");
    }
}

/// Each proposal is on one page.
#[test]
fn pages_follow_each_other() {
    let order = bolts((1..=5).map(|n| offer(&format!("a{n}"), "100", None, "10 EUR")).collect());
    let ranking = Ranking::of(&order, Criterion::Total, NOW);
    let all = compared(&order);
    assert_eq!((all.rows.len(), all.omitted, &all.next), (5, 0, &None));
    let (mut rows, mut after) = (Vec::new(), None);
    for omitted in [3, 1, 0] {
        let page = ranking.page(after.as_ref(), 2).unwrap();
        assert_eq!((page.omitted, page.last_seq), (omitted, all.last_seq));
        rows.extend(page.rows);
        after = page.next;
    }
    assert_eq!((rows, after), (all.rows, None));
    let unknown = ProposalId::new("x").unwrap();
    assert_eq!(ranking.page(Some(&unknown), 2), None);
}

/// A proposal that was the best at the last event is not once its validity has ended.
#[test]
fn lapsed_proposals_are_best_no_more() {
    let until = |content: ProposalContent, at: Timestamp| ProposalContent {
        valid_until: Some(crate::date::rfc3339(at)),
        ..content
    };
    let order = bolts(vec![
        offer("a", "100", None, "1000 EUR"),
        until(offer("b", "100", None, "900 EUR"), NOW.plus_ms(10_000)),
        until(offer("c", "100", None, "950 EUR"), NOW.plus_ms(5_000)),
        // It competes with nobody, so that nothing changes when it lapses.
        until(offer("d", "10", None, "1 EUR"), NOW.plus_ms(1_000)),
    ]);
    let best_at = |at| order.best_open_at(at).map(|(id, _)| id.to_string());
    let mut found = Vec::new();
    let mut at = NOW;
    found.push((0, best_at(at)));
    while let Some(next) = order.next_lapse(at) {
        assert!(next > at, "{next:?}");
        at = next;
        found.push((at.ms_since(NOW), best_at(at)));
    }
    let best = |id: &str| Some(id.to_owned());
    assert_eq!(found, [(0, best("b")), (5_001, best("b")), (10_001, best("a"))]);
    assert_eq!(best_at(Timestamp(0)), best("b"), "a clock that is behind does not count");
    assert_eq!(order.best_open().map(|(id, _)| id.to_string()), best("b"));
}

/// The end of an order stops the time for its proposals.
#[test]
fn ended_orders_keep_their_best() {
    let valid_until = Some(crate::date::rfc3339(NOW.plus_ms(5_000)));
    let content = ProposalContent { valid_until, ..offer("a", "100", None, "1000 EUR") };
    let mut order = Some(bolts(vec![content]));
    let kind = EventKind::OrderClosed { reason: None };
    let at = NOW.plus_ms(1_000);
    Order::fold(&mut order, &Event { seq: Seq(4), at, cause: None, kind }).unwrap();
    let order = order.unwrap();
    let later = NOW.plus_ms(60_000);
    assert_eq!(order.best_open_at(later).unwrap().0.as_str(), "a");
    assert_eq!(order.next_lapse(NOW), None);
}
