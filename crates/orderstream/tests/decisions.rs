//! Decisions: a person at a terminal is asked first, and the words for what they lead to are true.

use std::io::{self, Write as _};
use std::process::Stdio;

use serde_json::Value;

use crate::market::{Market, row};
use crate::process::BINARY;

/// Opens an order with two proposals.
fn market() -> Market {
    let market = Market::start();
    market.ok("submit -f examples/office-chairs.yaml");
    market.ok("wait office-chairs --for condition=Streaming");
    for (id, seller) in [("p-1", "chairs-rosenheim"), ("p-2", "moebel-augsburg")] {
        let by = format!("--proposal-id {id} --seller {seller}");
        market.ok(&format!("propose OR-2041 {by} --price 5 --currency EUR"));
    }
    market
}

/// Runs a command at a terminal where an answer is typed; returns its exit code and all that the
/// terminal shows. `None` where there is no `script`, which makes terminals.
fn at_terminal(market: &Market, line: &str, answer: &str) -> Option<(Option<i32>, String)> {
    let mut script = market.command("script");
    script.args(["--quiet", "--return", "--command", &format!("{BINARY} {line}"), "/dev/null"]);
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match script.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
            assert!(!is_required, "no script; install Debian's package `bsdutils`");
            println!("SKIPPED, no script; install Debian's package `bsdutils`");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((output.status.code(), String::from_utf8(output.stdout).unwrap()))
}

#[test]
fn people_confirm_what_cannot_be_undone() {
    let market = market();
    for (line, question) in [
        (
            "award office-chairs p-1",
            "Award p-1 of chairs-rosenheim for 5 EUR? Without --undo-within",
        ),
        (
            "close office-chairs",
            "Close order office-chairs without an award? That cannot be undone",
        ),
        (
            "cancel OR-2041",
            "Cancel order OR-2041? That cannot be undone and ends 2 open proposals.",
        ),
        (
            "delete OR-2041",
            "Delete orderrequest/office-chairs? That cancels its order and cannot be undone.",
        ),
        (
            "delete -f examples/office-chairs.yaml",
            "Delete orderrequest/office-chairs? That cancels its order and cannot be undone.",
        ),
    ] {
        let Some((code, text)) = at_terminal(&market, line, "n\n") else { return };
        assert!(code == Some(4) && text.contains("nothing was done"), "{line}: {text}");
        assert!(text.contains(question) && text.contains("Go on? [y/N]"), "{line}: {text}");
    }
    assert!(market.ok("status office-chairs").contains("\n  proposals  2 open, "));
    let (code, text) =
        at_terminal(&market, "award office-chairs p-1 --undo-within 1h", "").unwrap();
    assert!(code == Some(0) && !text.contains("[y/N]"), "{text}");
    market.ok("undo-award office-chairs");
    let (code, text) = at_terminal(&market, "award office-chairs p-1", "y\n").unwrap();
    assert!(code == Some(0) && text.contains("awarded p-1 "), "{text}");
    let (code, text) = at_terminal(&market, "award office-chairs p-1", "").unwrap();
    assert!(code == Some(0) && text.contains("is already awarded: "), "{text}");
    market.ok("wait office-chairs --for phase=Finalised");
    let (code, text) = at_terminal(&market, "delete office-chairs", "").unwrap();
    assert!(code == Some(0) && !text.contains("[y/N]"), "{text}");
    for verb in ["cancel", "delete"] {
        market.ok(&format!("submit --name {verb}-me --item DESK:2"));
        market.ok(&format!("wait {verb}-me --for condition=Streaming"));
        let line = format!("{verb} {verb}-me --yes");
        let (code, text) = at_terminal(&market, &line, "").unwrap();
        assert_eq!(code, Some(0), "{line}: {text}");
    }
}

/// The question is on standard error: where nobody can read it, nobody is asked.
#[test]
fn questions_need_readable_standard_error() {
    let market = market();
    let line = "award office-chairs p-1 | cat";
    let Some((_, text)) = at_terminal(&market, line, "n\n") else { return };
    assert!(text.contains("Go on? [y/N]") && text.contains("nothing was done"), "{text}");
    assert!(market.ok("status office-chairs").contains("\n  proposals  2 open, "));
    let line = "award office-chairs p-1 2>/dev/null";
    let (code, text) = at_terminal(&market, line, "").unwrap();
    assert!(code == Some(0) && text.contains("awarded p-1 "), "{text}");
}

/// Applies an order whose manifest awards it to a proposal that nobody made.
fn apply_refused_award(market: &Market, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("order.yaml");
    let manifest = format!(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {{name: {name}}}\n\
         spec: {{items: [{{sku: A, quantity: 2}}], award: {{proposalId: nope}}}}\n"
    );
    std::fs::write(&file, manifest).unwrap();
    market.ok(&format!("apply -f {}", file.display()));
    market.ok(&format!("wait {name} --for condition=Stalled"));
}

#[test]
fn refused_and_undone_awards_free_the_order() {
    let market = Market::start();
    for (name, end) in [("desks", "close"), ("lamps", "cancel")] {
        apply_refused_award(&market, name);
        let status = market.ok(&format!("status {name}"));
        let stalled = status.lines().find(|line| line.starts_with("  stalled    award: "));
        assert!(stalled.is_some_and(|line| line.ends_with(" [PROPOSAL_NOT_FOUND]")), "{status}");
        let why = market.ok(&format!("why {name}"));
        assert!(why.contains("\nstalled: award: "), "{why}");

        let by = "--proposal-id p-1 --seller chairs-rosenheim --price 5 --currency EUR";
        market.ok(&format!("propose {name} {by}"));
        let (_, text) = market.refused(&format!("award {name} --line A=p-1 --line A=p-2"));
        assert!(text.contains("--line A is given twice, for p-1 and for p-2"), "{text}");
        market.ok(&format!("award {name} p-1 --undo-within 1h"));
        assert!(!market.ok(&format!("status {name}")).contains("\n  stalled "));
        let (code, text) = market.refused(&format!("{end} {name}"));
        assert!(code == 4 && text.contains("[AWARD_PENDING]"), "{text}");
        assert!(text.contains("undo it first with undo-award"), "{text}");
        market.ok(&format!("undo-award {name}"));
        market.ok(&format!("{end} {name}"));
    }
}

/// Nobody replaced it by another one.
#[test]
fn refused_awards_leave_other_ends_open() {
    let market = Market::start();
    for (name, end) in [("desks", "close"), ("lamps", "cancel"), ("mats", "undo-award")] {
        apply_refused_award(&market, name);
        market.ok(&format!("{end} {name}"));
    }
}

/// Returns the state of a proposal in the table of `status`.
fn state(status: &str, id: &str) -> String {
    row(status, id)[2].to_owned()
}

#[test]
fn ended_proposals_have_words_of_their_own() {
    let market = market();
    market.ok("award office-chairs p-1 --undo-within 1h");
    let status = market.ok("status office-chairs");
    let award = "  award      p-1 of chairs-rosenheim for 5 EUR, counts from ";
    assert!(status.contains(award) && state(&status, "p-1") == "Open", "{status}");
    assert!(status.contains("\n  proposals  2 open, 0 withdrawn, 0 closed\n"), "{status}");
    let outcomes =
        |status: &Value| [0_usize, 1].map(|index| status["proposals"][index]["outcome"].clone());
    assert_eq!(outcomes(&market.json("status OR-2041")), [Value::Null, Value::Null]);
    let hint =
        "hint: the award counts by itself; until then `orderstream undo-award office-chairs`";
    assert!(status.ends_with(&format!("{hint} undoes it\n")), "{status}");
    market.ok("undo-award office-chairs");
    market.ok("award office-chairs p-1");
    let status = market.ok("status office-chairs");
    let states = ["p-1", "p-2"].map(|id| state(&status, id));
    assert_eq!(states, ["Awarded", "Not awarded"], "{status}");
    assert!(status.contains("\n  proposals  2 received, 0 withdrawn\n"), "{status}");
    assert!(status.contains("\n  kept       in `list` until "), "{status}");
    assert_eq!(outcomes(&market.json("status OR-2041")), ["Awarded", "NotAwarded"]);
}

#[test]
fn awards_to_nobody_close_no_proposal() {
    let market = market();
    let output = market.ok("award office-chairs --none");
    let expected = "awarded nobody; no proposal is closed, all who took part can read it\n";
    assert!(output.starts_with(expected), "{output}");
    let status = market.ok("status office-chairs");
    assert!(status.contains("\n  proposals  2 received, 0 withdrawn\n"), "{status}");
    assert!(status.contains("\n  award      nobody\n"), "{status}");
    assert_eq!(state(&status, "p-1"), "Not awarded", "{status}");
}

#[test]
fn closed_orders_end_their_proposals() {
    let market = market();
    market.ok("withdraw OR-2041 p-2 --seller moebel-augsburg");
    market.ok("close office-chairs");
    let status = market.ok("status office-chairs");
    let states = ["p-1", "p-2"].map(|id| state(&status, id));
    assert_eq!(states, ["Ended", "Withdrawn"], "{status}");
    assert!(status.contains("\n  proposals  2 received, 1 withdrawn\n"), "{status}");
    let proposals = &market.json("status OR-2041")["proposals"];
    assert_eq!(
        (&proposals[0]["outcome"], &proposals[1]["outcome"]),
        (&"Ended".into(), &Value::Null)
    );
}
