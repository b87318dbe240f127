//! Bytes lost or changed on the disk of a processor or a requestor that is down: it starts, reports
//! the damage, refuses the orders that have it, and serves the others.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::http::{HttpResponse, get, post};
use crate::process::{Pair, Role, run, until};

const PROPOSALS: u64 = 120;

/// Opens an order with one proposal, and after it one with many, all of them acknowledged.
fn filled() -> Pair {
    let pair = Pair::start();
    for (order, proposals) in [("QUIET", 1), ("BUSY", PROPOSALS)] {
        let body =
            format!(r#"{{"order_req_id":"{order}","session_id":"s","notification_type":"SMS"}}"#);
        let requestor = pair.requestor.address("requestor");
        assert_eq!(post(requestor, "/api/v1/orders/initiate", &body).unwrap().status, 200);
        let rest = pair.processor.address("rest");
        until("the order is open", || {
            order_of(rest, order).filter(|response| response.status == 200)
        });
        for serial in 0..proposals {
            assert_eq!(propose(rest, order, serial).status, 201);
        }
    }
    pair
}

fn propose(rest: SocketAddr, order: &str, serial: u64) -> HttpResponse {
    let body = format!(
        r#"{{"order_req_id":"{order}","proposal_id":"{order}-{serial}","seller":"a{serial}",
            "price":"10.50","currency":"EUR"}}"#
    );
    post(rest, "/api/v1/proposals", &body).unwrap()
}

fn order_of(rest: SocketAddr, order: &str) -> Option<HttpResponse> {
    get(rest, &format!("/api/v1/orders/{order}")).ok()
}

/// Returns the newest log of a journal that no process has open.
fn log_of(journal: &Path) -> PathBuf {
    let files = fs::read_dir(journal.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    logs.max_by_key(|path| number(path)).unwrap()
}

/// Zeroes the last bytes that were written to a log.
fn zero_tail(log: &Path, len: usize) {
    let mut bytes = fs::read(log).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[written - len..written].fill(0);
    fs::write(log, bytes).unwrap();
}

/// Flips a bit at the last place of a log that holds this text.
fn flip(log: &Path, text: &str) {
    let mut bytes = fs::read(log).unwrap();
    let at = bytes.windows(text.len()).rposition(|found| found == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(log, bytes).unwrap();
}

/// Flips a bit at the first place that holds the text, so that whole batches follow it.
fn flip_first(log: &Path, text: &str) {
    let mut bytes = fs::read(log).unwrap();
    let at = bytes.windows(text.len()).position(|found| found == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(log, bytes).unwrap();
}

fn ready(role: &Role) -> String {
    let response = until("the role is ready", || {
        get(role.address("metrics"), "/readyz").ok().filter(|response| response.status == 200)
    });
    response.text
}

/// Returns the value of a role's metric, by the name of its series.
fn metric_value(role: &Role, series: &str) -> f64 {
    let page = get(role.address("metrics"), "/metrics").unwrap().text;
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}

fn reason(response: &HttpResponse) -> String {
    response.json()["reason"].as_str().unwrap().to_owned()
}

/// The refusal counts the missing events, none of whose sequence numbers is reused.
#[test]
fn zeroed_log_tails_refuse_their_order_only() {
    for (signal, len) in [("TERM", 1), ("KILL", 87), ("TERM", 4096)] {
        let mut pair = filled();
        pair.processor.signal(signal);
        pair.processor.wait();
        zero_tail(&log_of(&pair.processor_dir()), len);
        pair.processor.restart();
        assert_eq!(ready(&pair.processor), "ok\n", "{len} bytes");
        let rest = pair.processor.address("rest");
        let missing = metric_value(&pair.processor, "orderstream_journal_damaged{kind=\"record\"}");
        assert!(missing >= 1.0, "{len} bytes: {missing} are told");
        assert_eq!(metric_value(&pair.processor, "orderstream_journal_read_only"), 0.0);
        let response = order_of(rest, "BUSY").unwrap();
        assert_eq!((response.status, reason(&response).as_str()), (500, "RECORDS_DAMAGED"));
        let expected = format!("{missing} of its ");
        assert!(response.text.contains(&expected), "{len} bytes: {expected}: {}", response.text);
        let refused = propose(rest, "BUSY", PROPOSALS);
        assert_eq!(reason(&refused), "RECORDS_DAMAGED", "{}", refused.text);
        assert_eq!(order_of(rest, "QUIET").unwrap().status, 200);
        assert_eq!(propose(rest, "QUIET", 1).status, 201, "the others go on");
    }
}

/// The processor writes again once the journal is salvaged.
#[test]
fn flipped_bits_make_processors_read_only() {
    let mut pair = filled();
    let dir = pair.processor_dir();
    let journal = dir.to_str().unwrap();
    let output = run(&["journal", "verify", journal]);
    assert_eq!(output.status.code(), Some(4), "a process has it open: {output:?}");
    pair.processor.terminate();
    pair.processor.wait();
    let log = log_of(&dir);
    flip(&log, "BUSY-7\"");
    pair.processor.restart();
    let readiness = ready(&pair.processor);
    assert!(readiness.contains("read only") && readiness.contains(".jnl at byte "), "{readiness}");
    assert_eq!(metric_value(&pair.processor, "orderstream_journal_read_only"), 1.0);
    assert_eq!(metric_value(&pair.processor, "orderstream_journal_damaged{kind=\"file\"}"), 1.0);
    let rest = pair.processor.address("rest");
    let busy = order_of(rest, "BUSY").unwrap();
    assert_eq!(reason(&busy), "RECORDS_DAMAGED");
    assert_eq!(order_of(rest, "QUIET").unwrap().status, 200, "reads go on");
    let refused = propose(rest, "QUIET", 1);
    assert_eq!((refused.status, reason(&refused).as_str()), (503, "STORAGE_UNAVAILABLE"));
    for part in ["read only", ".jnl at byte ", "orderstream journal salvage"] {
        assert!(refused.text.contains(part), "{part}: {}", refused.text);
    }
    pair.processor.terminate();
    assert!(pair.processor.wait().success());

    let found = run(&["journal", "verify", journal, "-o", "json"]);
    assert_eq!(found.status.code(), Some(6), "{found:?}");
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["files"][0]["file"].as_str(), log.to_str());
    assert!(found["lists"][0]["list"].as_str().unwrap().starts_with("e/default/BUSY/"), "{found}");
    let fresh = dir.with_extension("salvaged");
    let salvaged = run(&["journal", "salvage", journal, "--to", fresh.to_str().unwrap()]);
    assert_eq!(salvaged.status.code(), Some(6), "{salvaged:?}");
    let again = run(&["journal", "salvage", journal, "--to", fresh.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "it holds a journal already: {again:?}");
    assert!(run(&["journal", "verify", fresh.to_str().unwrap()]).status.success());
    fs::rename(&dir, dir.with_extension("damaged")).unwrap();
    fs::rename(&fresh, &dir).unwrap();
    pair.processor.restart();
    assert_eq!(ready(&pair.processor), "ok\n");
    assert_eq!(propose(rest, "QUIET", 1).status, 201);
}

/// It still follows its orders, and initiates none.
#[test]
fn flipped_bits_make_requestors_read_only() {
    let mut pair = filled();
    pair.requestor.terminate();
    pair.requestor.wait();
    let store = pair.requestor_dir();
    flip_first(&log_of(&store), "QUIET");
    pair.requestor.restart();
    let readiness = ready(&pair.requestor);
    assert!(readiness.contains("read only") && readiness.contains(".jnl at byte "), "{readiness}");
    let requestor = pair.requestor.address("requestor");
    until("the whole order is followed", || {
        let tracked = get(requestor, "/api/v1/orders/tracking/BUSY").ok()?;
        let is_whole = tracked.status == 200 && tracked.json()["proposals_received"] == PROPOSALS;
        is_whole.then_some(())
    });
    let body = r#"{"order_req_id":"NEW","session_id":"s","notification_type":"SMS"}"#;
    let refused = post(requestor, "/api/v1/orders/initiate", body).unwrap();
    assert!(refused.status >= 500, "{refused:?}");
    assert!(ready(&pair.requestor).contains("read only"), "it goes on");
}
