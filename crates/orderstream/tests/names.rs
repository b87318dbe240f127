//! The names that commands take: an order by its order request or by its id, a proposal by the first
//! letters of its id or by its seller.

use crate::market::{Market, row};

/// Opens the order OR-2041 by the order request office-chairs.
fn market() -> Market {
    let market = Market::start();
    market.ok("submit -f examples/office-chairs.yaml");
    market.ok("wait OR-2041 --for condition=Streaming");
    market
}

#[test]
fn every_verb_takes_name_and_id() {
    let market = market();
    for (order, seller, id) in [
        ("office-chairs", "chairs-rosenheim", "offer-rosenheim"),
        ("OR-2041", "moebel-augsburg", "offer-augsburg"),
    ] {
        let (by, prefix) = (format!("--seller {seller}"), id.get(..8).unwrap());
        let seen = market.ok(&format!("seen {order} {by}"));
        assert_eq!(seen, format!("the buyer sees that {seller} has seen order OR-2041\n"));
        market.ok(&format!("propose {order} --proposal-id {id} {by} --price 5 --currency EUR"));
        for named in [seller, prefix] {
            let amended = market.ok(&format!("amend {order} {named} {by} --note {named}"));
            assert!(amended.starts_with(&format!("proposal {id} amended, ")), "{amended}");
            let locked = market.ok(&format!("lock {order} {named} {by}"));
            assert!(locked.starts_with(&format!("proposal {id} locked by {seller} ")), "{locked}");
            let unlocked = market.ok(&format!("unlock {order} {named} {by}"));
            assert_eq!(unlocked, format!("proposal {id} unlocked\n"));
        }
        market.ok(&format!("question {order} Oak? --question-id ask-{seller} {by}"));
        let question = format!("ask-{}", seller.get(..3).unwrap());
        let key = format!("reply-to-{seller}");
        let answered = market.ok(&format!("ask {order} Yes. --answers {question} --key {key}"));
        assert!(answered.starts_with(&format!("question ask-{seller} answered ")), "{answered}");
        let follow_up = key.get(..12).unwrap();
        let answered = market.ok(&format!("answer {order} {follow_up} Fine. {by}"));
        assert_eq!(answered, format!("{seller} answered follow-up {key}\n"));
        for line in ["get", "status", "why", "conversation", "compare", "pause", "resume"] {
            market.ok(&format!("{line} {order}"));
        }
        market.ok(&format!("award {order} {seller} --undo-within 1h"));
        market.ok(&format!("undo-award {order}"));
    }
    market.ok("withdraw office-chairs moebel-augsburg --seller moebel-augsburg");
    let output = market.ok("award OR-2041 offer-r");
    assert!(
        output.starts_with("awarded offer-rosenheim of chairs-rosenheim for 5 EUR"),
        "{output}"
    );
    assert_eq!(market.ok("delete OR-2041"), "orderrequest/office-chairs deleted\n");
}

#[test]
fn unknown_orders_come_with_the_nearest_name() {
    let market = market();
    let proposed = "--seller acme --price 1 --currency EUR";
    for line in [
        "get office-chiars",
        "delete office-chiars",
        "status office-chiars",
        "conversation office-chiars",
        "award office-chiars p-1",
        "pause office-chiars",
        &format!("propose office-chiars {proposed}"),
    ] {
        let (code, text) = market.refused(line);
        assert_eq!(code, 4, "{line}: {text}");
        let expected = "; did you mean office-chairs? [ORDER_NOT_FOUND]";
        assert!(text.contains(expected), "{line}: {text}");
    }
    let (_, text) = market.refused(&format!("propose OR-2014 {proposed}"));
    assert!(text.contains("did you mean OR-2041?"), "{text}");
}

#[test]
fn tables_shorten_generated_ids() {
    let market = market();
    let by = "--seller chairs-rosenheim";
    let proposed = market.ok(&format!("propose OR-2041 {by} --price 5 --currency EUR"));
    let id = proposed.split(' ').nth(1).unwrap();
    assert_eq!(id.len(), 36, "{proposed}");
    market.ok(&format!("question OR-2041 Oak? {by}"));
    let status = market.ok("status office-chairs");
    let short = id.get(..8).unwrap();
    assert_eq!(row(&status, short)[1], "chairs-rosenheim", "{status}");
    assert!(!status.contains(id), "{status}");
    let conversation = market.ok("conversation office-chairs");
    let asked = conversation.lines().nth(1).unwrap();
    let question = asked.split("  ").map(str::trim).find(|cell| cell.starts_with("cli-")).unwrap();
    assert_eq!(question.len(), "cli-01234567".len(), "{conversation}");
    market.ok(&format!("ask office-chairs Yes. --answers {question}"));
    let output = market.ok(&format!("award office-chairs {short}"));
    assert!(output.starts_with(&format!("awarded {id} of chairs-rosenheim ")), "{output}");
}
