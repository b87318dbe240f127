//! Proposals side by side, in each form: as pages of JSON, as CSV, and as CSV for spreadsheets.

use orderstream_rpc::v1;
use serde_json::{Value, json};

use crate::http::{get, post};
use crate::rig::{Rig, START};
use crate::wire::{order, tracker};

const COMPARISON: &str = "/api/v1/orders/a/comparison";

fn item(sku: &str, quantity: &str, unit: &str) -> v1::OrderItem {
    v1::OrderItem {
        sku: sku.to_owned(),
        quantity: quantity.to_owned(),
        unit: unit.to_owned(),
        ..v1::OrderItem::default()
    }
}

/// Starts a processor with an order for these items.
async fn start(items: Vec<v1::OrderItem>) -> Rig {
    let rig = Rig::start().await;
    let spec = v1::OrderSpec { items, ..v1::OrderSpec::default() };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker("a") };
    drop(rig.wire().await.follow(request).await.unwrap());
    rig
}

fn proposal(seller: &str, id: &str, price: &str) -> Value {
    json!({ "order_req_id": "a", "proposal_id": id, "seller": seller, "price": price,
            "currency": "EUR" })
}

async fn propose(rig: &Rig, body: &Value) {
    let response = post(rig.rest(), "/api/v1/proposals", body).await;
    assert_eq!(response.status, 201, "{response:?}");
}

fn ids(comparison: &Value) -> Vec<&str> {
    let rows = comparison["rows"].as_array().unwrap();
    rows.iter().map(|row| row["proposal_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn comparisons_come_as_json_and_csv() {
    let rig = start(vec![item("paper", "1", ""), item("=ink", "1", "")]).await;
    let rest = rig.rest();
    let mut dear = proposal("seller1", "dear", "30");
    dear["lines"] = json!([{ "sku": "paper", "quantity": "1", "price": "10" },
                           { "sku": "=ink", "quantity": "1", "price": "20" }]);
    dear["delivery_date"] = json!("2026-02-01");
    dear["valid_until"] = json!("2030-01-01");
    dear["note"] = json!("Only if paid in advance");
    let mut part = proposal("seller2", "part", "9");
    part["lines"] = json!([{ "sku": "paper", "quantity": "1", "price": "9" }]);
    for body in [&dear, &part] {
        propose(&rig, body).await;
    }
    let comparison = get(rest, COMPARISON).await.json();
    assert_eq!(comparison["skus"], json!(["paper", "=ink"]));
    assert_eq!(ids(&comparison), ["dear", "part"], "those that compete come first");
    assert_eq!(comparison["rows"][1]["missing"], json!(["=ink"]));
    assert_eq!(comparison["rows"][1]["lines"][1], Value::Null);
    assert_eq!(comparison["rows"][0]["best_total"], true, "the only one that offers everything");
    assert_eq!(comparison["rows"][0]["valid_until"], "2030-01-01");
    assert_eq!(comparison["rows"][0]["note"], "Only if paid in advance");
    let by_delivery = get(rest, &format!("{COMPARISON}?by=delivery")).await.json();
    assert_eq!(ids(&by_delivery), ["dear", "part"]);
    let csv = get(rest, &format!("{COMPARISON}?format=csv")).await;
    assert!(csv.head.contains("content-type: text/csv"), "{csv:?}");
    assert!(csv.head.contains("orderstream-omitted: 0"), "{csv:?}");
    let lines: Vec<_> = csv.text.split("\r\n").collect();
    assert_eq!(lines.len(), 4, "a head, two rows, and the end of the last line");
    assert!(lines[0].starts_with("proposal_id,seller,version,"), "{csv:?}");
    assert!(lines[0].contains(",'=ink quantity,"), "no formula: {csv:?}");
    assert!(lines[0].ends_with(",valid_until,note"), "{csv:?}");
    assert!(lines[1].ends_with(",2030-01-01,Only if paid in advance"), "{csv:?}");
    assert!(lines[2].starts_with("part,seller2,1,true,false,9,EUR,false,"), "{csv:?}");
}

#[tokio::test]
async fn queries_are_parsed_strictly() {
    let rig = start(Vec::new()).await;
    for (query, field) in [
        ("by=price", "by"),
        ("format=xml", "format"),
        ("sort=by", "sort"),
        ("after=nobody", "after"),
        ("after=no%20id", "after"),
        ("format=csv&after=p", "after"),
        ("as_of=now", "as_of"),
        ("as_of=2026-01-01%2000:00:00Z", "as_of"),
        ("as_of=2026-01-01T00:00Z", "as_of"),
        ("as_of=2026-01-01T00:00:00.001Z", "as_of"),
        ("format=csv&as_of=2025-12-31T22:59:59.999Z", "as_of"),
        ("format=csv-excel&limit=10", "limit"),
        ("format=csv&locale=de", "locale"),
        ("locale=de", "locale"),
        ("format=csv-excel&locale=012345678901234567890123456789012345", "locale"),
    ] {
        let wrong = get(rig.rest(), &format!("{COMPARISON}?{query}")).await;
        assert_eq!((wrong.status, wrong.reason().as_str()), (422, "INVALID_FIELD"), "{query}");
        assert_eq!(wrong.json()["field"], field, "{query}");
    }
}

/// Ten of a hundred pieces and a box of fifty are cheaper, and not what the order wants.
#[tokio::test]
async fn incomplete_proposals_stand_apart_with_reasons() {
    let rig = start(vec![item("BOLT", "100", "pieces")]).await;
    for (seller, id, price, quantity, unit) in [
        ("seller1", "full", "1000", "100", Value::Null),
        ("seller2", "part", "150", "10", json!("pieces")),
        ("seller3", "box", "200", "1", json!("box of 50")),
    ] {
        let mut body = proposal(seller, id, price);
        body["lines"] =
            json!([{ "sku": "BOLT", "quantity": quantity, "unit": unit, "price": price }]);
        propose(&rig, &body).await;
    }
    let comparison = get(rig.rest(), COMPARISON).await.json();
    assert_eq!(ids(&comparison), ["full", "part", "box"]);
    assert_eq!(comparison["suggested"], "full");
    let best = json!([{ "currency": "EUR", "total": "1000", "proposal_id": "full", "equal": 1,
                        "competing": 1 }]);
    assert_eq!(comparison["currencies"], best);
    let row = |index: usize| &comparison["rows"][index];
    assert_eq!(row(0)["reasons"], json!([]));
    assert_eq!(row(0)["lines"][0]["unit_price"], "10");
    assert_eq!(row(1)["reasons"], json!(["Incomplete"]));
    let shortfall = json!([{ "line": "BOLT", "wanted": "100", "unit": "pieces", "offered": "10",
                             "offered_unit": "pieces" }]);
    assert_eq!(row(1)["shortfalls"], shortfall);
    assert_eq!(row(2)["reasons"], json!(["OtherUnit"]));
    assert_eq!(row(2)["other_units"][0]["offered_unit"], "box of 50");
    let csv = get(rig.rest(), &format!("{COMPARISON}?format=csv")).await.text;
    assert!(csv.contains(",Incomplete,BOLT: 10 of 100 pieces,"), "{csv}");
    assert!(csv.contains(",OtherUnit,,,BOLT: 1 box of 50 for 100 pieces,"), "{csv}");
}

/// More than one page has rows; no form leaves one out.
#[tokio::test]
async fn every_form_has_all_proposals() {
    const PROPOSALS: usize = 503;
    let rig = start(Vec::new()).await;
    rig.wire().await.propose_many("a", PROPOSALS).await;
    let first = get(rig.rest(), COMPARISON).await.json();
    assert_eq!((ids(&first).len(), &first["omitted"]), (500, &json!(3)));
    let next = first["next"].as_str().unwrap();
    let last = get(rig.rest(), &format!("{COMPARISON}?after={next}")).await.json();
    assert_eq!((&last["omitted"], &last["next"]), (&json!(0), &Value::Null));
    assert_eq!(last["last_seq"], first["last_seq"]);
    let all: Vec<&str> = ids(&first).into_iter().chain(ids(&last)).collect();
    assert_eq!(all.len(), PROPOSALS);
    for format in ["csv", "csv-excel"] {
        let csv = get(rig.rest(), &format!("{COMPARISON}?format={format}")).await.text;
        let rows = csv.split_terminator("\r\n").skip(1);
        let ids: Vec<&str> = rows.map(|row| row.split(',').next().unwrap()).collect();
        assert_eq!(ids, all, "{format}");
    }
    let (mut small, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(rig.rest(), &format!("{COMPARISON}?limit=200&after={after}")).await.json();
        small.extend(ids(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(small, all);
}

/// All pages are ranked by the time of the first one.
#[tokio::test]
async fn rows_that_lapse_between_pages_hide_no_other() {
    let rig = start(Vec::new()).await;
    for (seller, price) in [("seller1", "10"), ("seller2", "20"), ("seller3", "30")] {
        let mut body = proposal(seller, seller, price);
        if seller == "seller1" {
            body["valid_until"] = json!("2026-01-01T00:00:05Z");
        }
        propose(&rig, &body).await;
    }
    let page =
        async |query: &str| get(rig.rest(), &format!("{COMPARISON}?limit=1{query}")).await.json();
    let first = page("").await;
    let as_of = first["as_of"].as_str().unwrap();
    assert_eq!((ids(&first), as_of), (vec!["seller1"], "2026-01-01T00:00:00Z"));
    rig.clock.set(START.plus_ms(10_000));
    assert_eq!(ids(&page("").await), ["seller2"], "the first one has lapsed by now");
    let second = page(&format!("&after=seller1&as_of={as_of}")).await;
    let third = page(&format!("&after=seller2&as_of={as_of}")).await;
    assert_eq!((ids(&second), ids(&third)), (vec!["seller2"], vec!["seller3"]));
    assert_eq!((&second["as_of"], &third["next"]), (&first["as_of"], &Value::Null));
    let csv = get(rig.rest(), &format!("{COMPARISON}?format=csv&as_of={as_of}")).await;
    assert!(csv.head.contains("\r\norderstream-as-of: 2026-01-01t00:00:00z\r\n"), "{csv:?}");
    assert!(csv.text.contains("\r\nseller1,seller1,1,true,false,10,EUR,true,"), "{csv:?}");
}

/// After its end an order is compared as it was then, however long ago that is.
#[tokio::test]
async fn ended_orders_are_paged_by_their_end() {
    let rig = start(Vec::new()).await;
    for seller in ["seller1", "seller2"] {
        propose(&rig, &proposal(seller, seller, "10")).await;
    }
    let close = v1::CloseRequest { order: Some(order("a")), ..v1::CloseRequest::default() };
    rig.wire().await.control.clone().close(close).await.unwrap();
    rig.clock.set(START.plus_ms(2 * 3_600_000));
    let first = get(rig.rest(), &format!("{COMPARISON}?limit=1")).await.json();
    assert_eq!(first["as_of"], "2026-01-01T00:00:00Z");
    let query = "limit=1&after=seller1&as_of=2026-01-01T00:00:00Z";
    let second = get(rig.rest(), &format!("{COMPARISON}?{query}")).await.json();
    assert_eq!((ids(&first), ids(&second)), (vec!["seller1"], vec!["seller2"]));
}

/// The mark, the separator and the comma are those that a spreadsheet expects.
#[tokio::test]
async fn spreadsheets_get_their_own_form() {
    let rig = start(vec![item("Stühle", "1", "")]).await;
    let mut body = proposal("seller1", "p", "9.50");
    body["lines"] = json!([{ "sku": "Stühle", "quantity": "1", "price": "9.50" }]);
    propose(&rig, &body).await;
    for (query, head, row) in [
        ("csv", "proposal_id,seller", "p,seller1,1,true,false,9.50,EUR"),
        ("csv-excel", "\u{feff}proposal_id,seller", "p,seller1,1,true,false,9.50,EUR"),
        ("csv-excel&locale=de", "\u{feff}proposal_id;seller", "p;seller1;1;true;false;9,50;EUR"),
    ] {
        let csv = get(rig.rest(), &format!("{COMPARISON}?format={query}")).await.text;
        let (first, rows) = csv.split_once("\r\n").unwrap();
        assert!(first.starts_with(head) && first.contains("Stühle"), "{csv}");
        assert!(rows.starts_with(row), "{csv}");
    }
}
