//! Comparisons by commands: the best proposal, those that are set aside, and every form with all
//! proposals.

use serde_json::{Value, json};

use crate::http::post;
use crate::market::{Market, row};

/// Opens an order for 100 pieces of `BOLT`.
fn submit_bolts(market: &Market) {
    market.ok("submit --name bolts --title Bolts --item BOLT:100:pieces --deliver-by 2030-02-01");
    market.ok("wait bolts --for condition=Streaming");
}

/// Proposes one line of bolts for a seller.
fn propose(market: &Market, seller: &str, line: &str) {
    let id = format!("--proposal-id {seller}-1");
    market.ok(&format!("propose bolts {id} --seller {seller} --line BOLT:{line}"));
}

/// Ten of a hundred pieces are cheaper than a hundred, and nobody would award them.
#[test]
fn incomplete_proposals_are_never_suggested() {
    let market = Market::start();
    submit_bolts(&market);
    propose(&market, "moebel-augsburg", "10:pieces=150 --currency EUR");
    propose(&market, "saar-coils", "50:pieces=200 --currency EUR --delivery-date 2030-02-02");
    let table = market.ok("compare bolts");
    assert!(table.starts_with("no proposal can be taken as it is\n"), "{table}");
    assert!(!table.contains("next:"), "{table}");
    let complete = "100:pieces=1000 --currency EUR --delivery-date 2030-01-15";
    propose(&market, "chairs-rosenheim", complete);
    let table = market.ok("compare bolts");
    let (competing, set_aside) = table.split_once("\nset aside, compared with no other\n").unwrap();
    assert_eq!(
        row(competing, "chairs-rosenheim-1").last(),
        Some(&"best total, earliest"),
        "{table}"
    );
    for (id, reasons) in [
        ("moebel-augsburg-1", "10 of 100 pieces of BOLT"),
        ("saar-coils-1", "50 of 100 pieces of BOLT, too late"),
    ] {
        assert_eq!(row(set_aside, id).last(), Some(&reasons), "{table}");
    }
    let prices = ["100 pieces", "1000 (10) *", "150 (15) for 10 pieces", "200 (4) for 50 pieces"];
    assert_eq!(row(&table, "BOLT")[1..], prices, "{table}");
    let next = "\n\nnext: orderstream award bolts chairs-rosenheim-1 --undo-within 10m\n";
    assert!(table.ends_with(next), "{table}");
    propose(&market, "rhein-stahl-duisburg", "100:pieces=900 --currency USD");
    let table = market.ok("compare bolts");
    let currencies = "\nbest total of each currency: 1000 EUR by chairs-rosenheim-1 (of 1 \
                      proposal), 900 USD by rhein-stahl-duisburg-1 (of 1 proposal); they are not \
                      compared\n";
    assert!(table.contains(currencies), "{table}");
    assert!(!table.contains("next:"), "a person decides between currencies: {table}");
}

#[test]
fn every_form_has_all_proposals() {
    const PROPOSALS: usize = 503;
    let market = Market::start();
    market.ok("submit --name many --title Many --category nobody-has-it");
    market.ok("wait many --for condition=Streaming");
    let address = market.processor.trim_start_matches("http://").parse().unwrap();
    for number in 0..PROPOSALS {
        let body = json!({"order_req_id": "many", "proposal_id": format!("p-{number}"),
                          "seller": format!("s-{number}"), "price": "10", "currency": "EUR"});
        let response = post(address, "/api/v1/proposals", &body.to_string()).unwrap();
        assert_eq!(response.status, 201, "{response:?}");
    }
    let printed: Value = serde_json::from_str(&market.ok("compare many -o json")).unwrap();
    let rows = printed["rows"].as_array().unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row["proposal_id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), &printed["omitted"]), (PROPOSALS, &json!(0)));
    let csv = market.ok("compare many -o csv");
    let in_csv: Vec<&str> =
        csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(in_csv, ids);
    let table = market.ok("compare many");
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let in_table: Vec<String> =
        table.lines().filter_map(first).filter(|word| word.starts_with("p-")).collect();
    assert_eq!(in_table, ids);
}

/// It opens by a double click, whatever the locale's separators are.
#[test]
fn spreadsheets_get_their_own_form() {
    let market = Market::start();
    submit_bolts(&market);
    propose(&market, "chairs-rosenheim", "100:pieces=1000.50 --currency EUR");
    let german = market.ok("compare bolts -o csv --excel=de-AT");
    assert!(german.starts_with("\u{feff}proposal_id;seller;"), "{german}");
    assert!(german.contains(";1000,50;EUR;true;"), "{german}");
    let english = market.ok("compare bolts -o csv --excel=en");
    assert!(english.starts_with("\u{feff}proposal_id,seller,"), "{english}");
    let (code, text) = market.refused("compare bolts --excel");
    assert!(code == 2 && text.contains("add -o csv"), "{text}");
}
