//! Two lines of one article by commands, offered and awarded by their names, and a substitute.

use serde_json::json;

use crate::market::{Market, row, split_args};

fn submit(market: &Market) {
    let twice = "submit --name desks --title Desks --item DESK:2 --item DESK:3";
    let (code, text) = market.refused(twice);
    assert!(code == 2 && text.contains("give each a line of its own"), "{text}");
    let (code, text) = market.refused("submit --name desks --title Desks --currency EUX");
    assert!(code == 2 && text.contains("EUX is not a currency of ISO 4217"), "{text}");
    let (code, text) = market.refused("submit --name desks --title Desks --time-zone Berlin");
    assert!(code == 2 && text.contains("write Europe/Berlin"), "{text}");
    market.ok(
        "submit --name desks --title Desks --item ground@DESK:2 --item first@DESK:3 --item LAMP:5 \
         --currency EUR --time-zone Europe/Berlin --deliver-by 2030-02-01",
    );
    market.ok("wait desks --for condition=Streaming");
}

/// Amends a proposal to one without lines, and back.
fn drop_lines(market: &Market) {
    let amend = "amend desks p-2 --seller moebel-augsburg";
    let (code, text) = market.refused(&format!("{amend} --no-lines --line LAMP:5=50"));
    assert!(code == 2 && text.contains("cannot be used with"), "{code}: {text}");
    let (code, text) = market.refused(&format!("{amend} --price 1"));
    assert!(code == 2 && text.contains("or --no-lines for one price for all"), "{code}: {text}");
    let output = market.ok(&format!("{amend} --line LAMP:5=60"));
    assert!(output.contains("\n  price: 180 EUR -> 240 EUR\n"), "only this line: {output}");
    market.ok(&format!("{amend} --no-lines --price 180"));
    market.ok(&format!("{amend} --line ground@DESK:2=180"));
    let output = market.ok(&format!("{amend} --no-lines --price 700"));
    assert!(output.contains("\n  price: 180 EUR -> 700 EUR\n"), "{output}");
    assert_eq!(market.json("status desks")["proposals"][1]["lines"], json!([]));
    let output = market.ok(&format!("{amend} --line ground@DESK:2=180"));
    assert!(output.contains("\n  price: 700 EUR -> 180 EUR\n"), "{output}");
}

#[test]
fn lines_are_offered_and_awarded_by_name() {
    let market = Market::start();
    submit(&market);
    let status = market.ok("status desks");
    assert!(status.contains("2 DESK (line ground)"), "{status}");
    let propose = "propose desks --seller chairs-rosenheim --proposal-id p-1 --currency EUR";
    for (lines, text) in [
        ("--line DESK:2=200", "--line 1 (line)"),
        ("--line attic@DESK:2=200", "has 'ground', 'first', 'LAMP'"),
        ("--line CHAIR:2=200", "'CHAIR' is not an article of the order, which lists 'DESK'"),
        ("--line ground@DESK:2=200 --delivery-date 2020-01-01", "'2020-01-01' is past"),
        ("--line ground@DESK:2=200.005", "EUR has 2 decimal places"),
    ] {
        let (code, error) = market.refused(&format!("{propose} {lines}"));
        assert!(code == 2 && error.contains(text), "{lines}: {error}");
    }
    let other = "propose desks --seller moebel-augsburg --currency JPY --price 9000";
    assert!(market.refused(other).1.contains("the order takes EUR only"));
    market.ok(&format!(
        "{propose} --line ground@DESK:2=200 --line first@DESK:3=290 --line BULB:5=50 \
         --substitutes BULB=LAMP --reference A-7 --delivery-date 2030-01-15"
    ));
    market.ok("propose desks --seller moebel-augsburg --proposal-id p-2 --currency EUR \
         --line ground@DESK:2=180");
    drop_lines(&market);
    let table = market.ok("compare desks");
    assert_eq!(row(&table, "ground")[1..], ["2", "200 (100)", "180 (90) *"], "{table}");
    assert_eq!(row(&table, "first")[1..], ["3", "290 (96.666667) *", "-"], "{table}");
    assert_eq!(row(&table, "LAMP")[1..], ["5", "50 (10) as BULB *", "-"], "{table}");
    assert!(row(&table, "p-1").contains(&"best total, earliest, BULB instead of LAMP"), "{table}");
    assert!(!table.contains("next:"), "a person checks the substitute first: {table}");
    let (_, text) = market.refused("award desks --line DESK=p-1");
    assert!(text.contains("it wants ground, first, LAMP"), "{text}");
    let output = market.ok("award desks --line ground=p-2 --line first=p-1 --line LAMP=p-1");
    assert!(
        output.starts_with(
            "awarded ground to p-2 of moebel-augsburg for 180 EUR, first to p-1 of \
             chairs-rosenheim for 290 EUR, LAMP to p-1 of chairs-rosenheim for 50 EUR; "
        ),
        "{output}"
    );
}

/// A buyer reads the conditions before, and what nobody wins after.
#[test]
fn awards_name_gaps_and_conditions() {
    let market = Market::start();
    submit(&market);
    market.ok("propose desks --seller chairs-rosenheim --proposal-id p-1 --currency EUR \
         --line ground@DESK:2=200 --line first@DESK:3=290 --valid-until 2030-01-01 \
         --note 'Only if paid in advance'");
    let status = market.ok("status desks");
    let conditions = "\np-1: valid until 2030-01-01; note: Only if paid in advance\n";
    assert!(status.contains(conditions), "{status}");
    let compared = market.json("compare desks");
    assert_eq!(compared["rows"][0]["note"], "Only if paid in advance");
    let output = market.ok("award desks p-1 --undo-within 1h");
    assert!(output.ends_with("\nwarning: p-1: lacks LAMP\n"), "{output}");
    market.ok("undo-award desks");
    let output = market.ok("award desks --line ground=p-1");
    let expected = "awarded ground to p-1 of chairs-rosenheim for 200 EUR, first to nobody, LAMP \
                    to nobody; ";
    assert!(output.starts_with(expected) && !output.contains("lacks"), "{output}");
    let status = market.ok("status desks");
    assert_eq!(row(&status, "p-1").last(), Some(&"ground for 200 EUR"), "{status}");
    let ground = json!({ "line": "ground", "quantity": "2", "unit": null, "price": "200" });
    let won = json!({ "whole": false, "lines": [ground], "total": "200" });
    assert_eq!(market.json("status desks")["proposals"][0]["won"], won);
}

/// No proposal could be in time. The order is submitted: a buyer may still ask what is possible.
#[test]
fn deliveries_in_the_past_are_warned_of() {
    let market = Market::start();
    let line = "submit --name late --item DESK:2 --deliver-by 2020-01-01";
    let output = market.run(&split_args(line));
    let text = String::from_utf8(output.stderr).unwrap();
    let warning = "warning: spec.delivery.by '2020-01-01' is past, so no proposal is in time";
    assert!(output.status.success() && text.contains(warning), "{text}");
}
