//! Flags as people write them: durations, and failures that name what was typed.

use crate::market::Market;

const SELLER: &str = "--seller chairs-rosenheim";

/// Opens an order for two desks.
fn submit_desks(market: &Market) {
    market.ok("submit --name desks --title Desks --item DESK:2 --expires-in 1d12h");
    market.ok("wait desks --for condition=Streaming --timeout '1 min'");
}

#[test]
fn failures_name_the_flags_that_were_typed() {
    let market = Market::start();
    submit_desks(&market);
    let propose = format!("propose desks {SELLER} --currency EUR");
    market.ok(&format!("{propose} --proposal-id p-1 --line DESK:2=90"));
    for (line, part) in [
        ("submit --title Desks --deliver-by tomorrow", "--deliver-by 'tomorrow' "),
        ("submit --title Desks --item A:1 --item B:0", "--item 2 (quantity)"),
        ("submit --title Desks --expires-in 5s", "--expires-in 5s is too short; give 10s to 180d"),
        (
            format!("lock desks p-1 {SELLER} --for 2h").as_str(),
            "--for 2h is too long; give 1s to 1h",
        ),
        (format!("answer desks q-9 Yes {SELLER}").as_str(), "FOLLOW-UP: is not known"),
        (format!("amend desks p-1 {SELLER} --price 5").as_str(), "--price is 5"),
        (format!("{propose} --price 1_5").as_str(), "--price "),
        ("extend desks --by 200d", "--by 200d is too long; give 1s to 180d"),
        ("wait desks --for create --timeout soon", "--timeout 'soon' is not a duration"),
        (format!("list --server {}", market.processor).as_str(), "this is the sellers' port"),
    ] {
        let (code, text) = market.refused(line);
        assert!(code == 2 && text.contains(part), "{line}: {code}: '{text}' lacks '{part}'");
    }
}

#[test]
fn durations_are_taken_as_people_write_them() {
    let market = Market::start();
    submit_desks(&market);
    let manifest = market.ok("get desks -o yaml");
    assert!(manifest.contains("expiresIn: 36h\n"), "{manifest}");
    market.ok("extend desks --by '2w 1s'");
    let manifest = market.ok("get desks -o json");
    assert!(manifest.contains("\"expiresIn\": \"22320m1s\""), "{manifest}");
}

#[test]
fn amendments_can_drop_the_lines() {
    let market = Market::start();
    submit_desks(&market);
    market.ok(&format!("propose desks {SELLER} --proposal-id p-1 --currency EUR --line DESK:2=90"));
    let amended = market.ok(&format!("amend desks p-1 {SELLER} --no-lines --price 80"));
    let expected = "proposal p-1 amended, version 2\n  price: 90 EUR -> 80 EUR\n";
    assert!(amended.starts_with(expected) && amended.contains("lines.DESK: "), "{amended}");
}
