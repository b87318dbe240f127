//! The deadline by commands: what a buyer and a seller see when an order's time is over, and the
//! decision after it.

use serde_json::Value;

use crate::market::{Market, row, split_args};
use crate::process::until;

const PROPOSE: &str = "--seller moebel-augsburg --price 7418.40 --currency EUR";

fn submit(market: &Market, name: &str, more: &str) {
    market.ok(&format!(
        "submit --name {name} --title Chairs --item CHAIR:40 --category furniture \
         --expires-in 10s --decide-within 1h {more}"
    ));
    market.ok(&format!("wait {name} --for phase=Open"));
    market.ok(&format!("propose {name} --proposal-id p-1 {PROPOSE}"));
}

/// Returns what `status` says of the order's stream.
fn stream(market: &Market, name: &str) -> Value {
    let output = market.run(&split_args(&format!("status {name} -o json")));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["stream"].clone()
}

/// Open and sealed ones alike; the opening of the sealed one is no fault of its stream.
#[test]
fn orders_are_awarded_after_their_deadline() {
    let market = Market::start();
    let names = ["open-chairs", "sealed-chairs"];
    submit(&market, names[0], "");
    submit(&market, names[1], "--sealed");
    for name in names {
        market.ok(&format!("wait {name} --for phase=Deciding"));
        let status = market.ok(&format!("status {name}"));
        assert!(status.contains("\n  phase      Deciding until "), "{status}");
        assert_eq!(row(&market.ok("list"), name)[1], "Deciding");
        let stream = until("its stream is up", || {
            let stream = stream(&market, name);
            (stream["active"] == true).then_some(stream)
        });
        assert_eq!(stream["phase"], "Active", "{stream}");
        assert_eq!(stream["reconnects"], 0, "{stream}");
        let lower = "--seller moebel-augsburg --price 7000.00 --currency EUR";
        for late in [
            format!("propose {name} --proposal-id p-2 {lower}"),
            format!("amend {name} p-1 {lower}"),
            format!("extend {name} --by 1h"),
        ] {
            let (code, text) = market.refused(&late);
            assert!(code == 3 && text.contains("[DEADLINE_PASSED]"), "{late}: {text}");
        }
        for state in ["proposals=2", "phase=Open"] {
            let (code, text) = market.refused(&format!("wait {name} --for {state}"));
            let expected = format!("it takes no more proposals; {state} is out of reach");
            assert!(code == 3 && text.contains(&expected), "{code}: {text}");
        }
        let awarded = market.ok(&format!("award {name} p-1"));
        assert!(awarded.starts_with("awarded p-1 of moebel-augsburg"), "{awarded}");
        market.ok(&format!("wait {name} --for phase=Finalised"));
        let status = market.ok(&format!("status {name}"));
        assert!(status.contains("\n  phase      Finalised since "), "{status}");
        assert!(status.contains("\n  stream     Ended; event "), "{status}");
    }
}
