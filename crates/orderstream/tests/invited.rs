//! Who may propose, by commands: what a buyer sees of it at once, and what a seller that is not
//! invited does.

use crate::market::{Market, split_args};

/// Submits an order; returns what is printed, and what is warned of.
fn submit(market: &Market, line: &str) -> (String, String) {
    let output = market.run(&split_args(line));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (printed, warned) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{line}: {warned}");
    (printed, warned)
}

#[test]
fn submit_and_why_count_invited_sellers() {
    let market = Market::start();
    let (printed, warned) = submit(
        &market,
        "submit --name desks --title Desks --item DESK:2 --category furniture --place 48.137,11.576",
    );
    assert!(printed.contains(" of 10 sellers invited\nnext: "), "{printed}");
    assert!(!printed.contains("\n0 of 10"), "{printed}");
    assert_eq!(warned, "");
    market.ok("wait desks --for condition=Streaming");
    let stranger = "propose desks --seller saar-coils --price 7 --currency EUR";
    let (code, text) = market.refused(stranger);
    assert!(code == 4 && text.contains("saar-coils is not invited"), "{code}: {text}");
    assert!(text.contains("[NOT_INVITED]\n hint: orderstream explain NOT_INVITED\n"), "{text}");
    market.ok("propose desks --seller chairs-rosenheim --price 700 --currency EUR");

    let open = "submit --name lamps --title Lamps --item LAMP:2 --category furniture --open-to-all";
    let (printed, _) = submit(&market, open);
    assert!(printed.contains(" sellers invited; others may propose too\n"), "{printed}");
    market.ok("wait lamps --for condition=Streaming");
    market.ok("propose lamps --seller saar-coils --price 7 --currency EUR");
    let why = market.ok("why lamps");
    assert!(why.contains("\nothers may propose too: the order is open to all\n"), "{why}");
}

/// Nobody is invited where a category is mistyped, and then anybody may propose.
#[test]
fn orders_without_sellers_are_warned_of() {
    let market = Market::start();
    let line = "submit --name desks --title Desks --item DESK:2 --category furnitur";
    let (printed, warned) = submit(&market, line);
    assert!(printed.contains("\n0 of 10 sellers invited\n"), "{printed}");
    assert!(warned.starts_with("warning: none of 10 sellers fits ("), "{warned}");
    assert!(warned.contains(": does not sell the order's category"), "{warned}");
    assert!(warned.ends_with("nobody is invited, so anybody may propose\n"), "{warned}");
    market.ok("wait desks --for condition=Streaming");
    let why = market.ok("why desks");
    assert!(why.starts_with("sellers of desks: 0 of 10 invited\nnone of 10 sellers fits"), "{why}");
    market.ok("propose desks --seller anybody --price 700 --currency EUR");

    let output = market.ok("ask desks 'Any colour.' --key f-1");
    assert_eq!(output, "follow-up f-1 sent to the only seller that takes part\n");
    market.ok("question desks 'Which wood?' --question-id q-1 --seller saar-coils");
    let output = market.ok("ask desks Oak. --answers q-1 --key f-2");
    assert_eq!(output, "question q-1 answered to all 2 sellers (follow-up f-2)\n");
    let output = market.ok("ask desks 'Oak only.' --to saar-coils --key f-3");
    assert_eq!(output, "follow-up f-3 sent to saar-coils\n");
    let (code, text) = market.refused("ask desks Oak. --to saar-coil");
    assert!(code == 2 && text.contains("these do: anybody, saar-coils"), "{code}: {text}");
}

/// Its order invites named sellers only, and a slip would open it to all.
#[test]
fn mistyped_seller_names_are_named() {
    let market = Market::start();
    let line = "submit --name desks --title Desks --item DESK:2 --seller chairs-rosenhaim";
    let (printed, warned) = submit(&market, line);
    assert!(printed.contains("\n0 of 10 sellers invited\n"), "{printed}");
    let unknown = "warning: no seller is named chairs-rosenhaim; did you mean chairs-rosenheim?\n";
    assert!(warned.contains(unknown), "{warned}");
    assert!(warned.contains("`orderstream cancel desks` ends it\n"), "{warned}");

    let line = "submit --name lamps --title Lamps --item LAMP:2 --seller chairs-rosenheim";
    let (_, warned) = submit(&market, line);
    assert_eq!(warned, "");
    market.ok("wait lamps --for condition=Streaming");
    let before = market.json("status lamps")["stream"]["last_seq"].clone();
    for line in ["seen lamps", "decline lamps", "question lamps 'Which wood?'"] {
        let (code, text) = market.refused(&format!("{line} --seller chairs-rosenhaim"));
        assert!(code == 4 && text.contains("did you mean chairs-rosenheim?"), "{code}: {text}");
    }
    // Under a key of its own, a command is left to the processor.
    let (code, text) = market.refused("seen lamps --seller chairs-rosenhaim --key k-1");
    assert!(code == 4 && text.contains("[NOT_INVITED]"), "{code}: {text}");
    assert_eq!(market.json("status lamps")["stream"]["last_seq"], before);
    market.ok("seen lamps --seller chairs-rosenheim");
}
