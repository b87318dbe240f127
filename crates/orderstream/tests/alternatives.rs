//! The proposals of one seller by commands: one, alternatives with a label, and withdrawals by
//! their own seller only.

use crate::market::Market;

#[test]
fn alternatives_stand_beside_one_proposal() {
    let market = Market::start();
    market.ok("submit --name desks --title Desks --item DESK:2 --category furniture");
    market.ok("wait desks --for condition=Streaming");
    let propose = "propose desks --seller chairs-rosenheim --currency EUR";
    market.ok(&format!("{propose} --proposal-id p-1 --price 700"));
    let (code, text) = market.refused(&format!("{propose} --proposal-id p-2 --price 650"));
    assert!(code == 4 && text.contains("[PROPOSAL_EXISTS]"), "{code}: {text}");
    assert!(text.contains("chairs-rosenheim has proposed p-1 already; amend it"), "{text}");
    let again = market.ok(&format!("{propose} --proposal-id p-1 --price 700"));
    assert!(again.starts_with("proposal p-1 of chairs-rosenheim submitted: 700 EUR\n"), "{again}");
    let output =
        market.ok(&format!("{propose} --proposal-id p-2 --price 650 --alternative 'from stock'"));
    assert!(
        output.starts_with("alternative p-2 (from stock) of chairs-rosenheim submitted: 650 EUR\n"),
        "{output}"
    );
    market.ok("amend desks p-2 --seller chairs-rosenheim --price 640");
    let same = format!("{propose} --price 600 --alternative 'from stock'");
    let (code, text) = market.refused(&same);
    assert!(code == 4 && text.contains("'from stock' is the label of p-2"), "{code}: {text}");

    let (code, text) = market.refused("withdraw desks p-2");
    assert!(code == 2 && text.contains("not provided: --seller <NAME>"), "{code}: {text}");
    let (code, text) = market.refused("withdraw desks p-2 --seller moebel-augsburg");
    assert!(code == 2 && text.contains("p-2 is not yours; withdraw your own"), "{text}");
    let (code, text) = market.refused("amend desks p-2 --seller moebel-augsburg --price 1");
    assert!(code == 2 && text.contains("p-2 is not yours; amend your own"), "{text}");
    let last_seq = || market.json("status desks")["stream"]["last_seq"].clone();
    let before = last_seq();
    let again = market.ok("amend desks p-2 --seller chairs-rosenheim --price 640");
    assert_eq!(again, "proposal p-2 already has this content, version 2\n");
    assert_eq!(last_seq(), before, "nothing is sent");
    market.ok("withdraw desks p-2 --seller chairs-rosenheim");
    market.ok(&same);
    let declined = market.ok("decline desks --seller chairs-rosenheim");
    assert!(declined.starts_with("chairs-rosenheim declined order desks\nwarning: "), "{declined}");
    let withdraw = "warning: proposal p-1 still binds; to take it back: orderstream withdraw desks \
                    p-1 --seller chairs-rosenheim\n";
    assert!(declined.contains(withdraw), "{declined}");
}
