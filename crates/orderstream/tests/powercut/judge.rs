//! The checks of a process after a power cut.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::bed::Bed;
use super::history::{History, LoadCommand};
use super::load::Ports;
use crate::http::{HttpResponse, get};
use crate::process::{Role, until};

/// Starts `dev` on the disk of a cut, and checks it.
pub(super) fn judge(bed: &Bed, folder: &Path, history: &History, context: &str) {
    bed.sink.listen(None);
    println!("{context}");
    let dev = bed.start(folder, Vec::new());
    judge_running(bed, &dev, history, context);
}

/// Checks a process that was just started.
pub(super) fn judge_running(bed: &Bed, dev: &Role, history: &History, context: &str) {
    let ports = Ports::of(dev);
    until("the process is ready", || {
        get(dev.address("metrics"), "/readyz").ok().filter(|response| response.status == 200)
    });
    let orders: BTreeSet<&str> = history.requested.iter().map(LoadCommand::order).collect();
    for order in orders {
        let is_answered = history.replied.iter().any(|(command, _)| command.order() == order);
        if is_answered {
            judge_order(bed, ports, order, history, context);
        }
    }
}

fn judge_order(bed: &Bed, ports: Ports, order: &str, history: &History, context: &str) {
    let replied = || history.replied.iter().filter(|(command, _)| command.order() == order);
    // An acknowledged command was stored; it reaches the list after the start at the latest.
    let last_missing = LastMissing::default();
    until(
        &format!("order {order} is open, and has what its buyer was answered: {context}"),
        || {
            let response = get(ports.rest, &format!("/api/v1/orders/{order}")).ok()?;
            assert!([200, 404, 503].contains(&response.status), "{response:?}: {context}");
            let events =
                (response.status == 200).then(|| events(ports.rest, order, &response)).flatten()?;
            let missing = replied().find(|(command, _)| of_buyer(command, &events) == Some(false));
            let Some((command, _)) = missing else { return Some(()) };
            last_missing.set(format!("{command:?} is missing in {events:#?}"));
            None
        },
    );
    let response = get(ports.rest, &format!("/api/v1/orders/{order}")).unwrap();
    let events = events(ports.rest, order, &response).unwrap();
    for (number, event) in (1_u64..).zip(&events) {
        assert_eq!(event["seq"], number, "a gap or a repeat: {context}");
    }
    for (command, seq) in replied() {
        let found: Vec<_> = events.iter().filter(|event| is_of(command, event)).collect();
        assert_eq!(found.len(), 1, "{command:?} is there {} times: {context}", found.len());
        if let Some(seq) = seq {
            assert_eq!(found[0]["seq"], *seq, "{command:?} has another number: {context}");
        }
    }
    let proposed = events.iter().filter(|event| event["status"] == "NewProposal");
    for event in proposed.clone() {
        let is_requested = history
            .requested
            .iter()
            .any(|command| command.order() == order && is_of(command, event));
        assert!(is_requested, "{event} was never sent: {context}");
    }
    let opened = events.iter().filter(|event| event["status"] == "OrderOpened");
    let due: BTreeSet<u64> = opened.chain(proposed).filter_map(|it| it["seq"].as_u64()).collect();
    until(&format!("people are told of all of order {order}: {context}"), || {
        let received = bed.sink.received();
        let notified_seqs =
            history.notified.union(&received).filter_map(|id| notified_seq(id, order)).collect();
        due.is_subset(&notified_seqs).then_some(())
    });
}

/// The event that was missing last; printed at the end if the test fails.
#[derive(Debug, Default)]
struct LastMissing(RefCell<String>);

impl LastMissing {
    fn set(&self, text: String) {
        self.0.replace(text);
    }
}

impl Drop for LastMissing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0.borrow());
        }
    }
}

/// Returns the sequence number in a notification's id, if it is about this order.
fn notified_seq(id: &str, order: &str) -> Option<u64> {
    let mut parts = id.split('~').skip(1);
    let is_of = parts.next()?.eq_ignore_ascii_case(order);
    is_of.then(|| parts.nth(1)?.parse().ok()).flatten()
}

/// Reports whether the list has a buyer's command; absent for a seller's.
fn of_buyer(command: &LoadCommand, events: &[Value]) -> Option<bool> {
    match command {
        LoadCommand::Initiate { .. } | LoadCommand::FollowUp { .. } | LoadCommand::Award { .. } => {
            Some(events.iter().any(|event| is_of(command, event)))
        }
        LoadCommand::Propose { .. } | LoadCommand::Lock { .. } => None,
    }
}

/// Reports whether an event is the effect of a command, with all of its content.
fn is_of(command: &LoadCommand, event: &Value) -> bool {
    let detail = || event["detail"].to_string();
    let has_text = |text: &str| detail().contains(&format!("\"{text}\""));
    match command {
        LoadCommand::Initiate { .. } => event["status"] == "OrderOpened",
        LoadCommand::FollowUp { id, .. } => {
            event["status"] == "FollowUpAdded"
                && event["follow_up_id"] == id.as_str()
                && detail().contains(&format!("what of {id}?"))
        }
        LoadCommand::Propose { id, price, .. } => {
            event["status"] == "NewProposal"
                && event["proposal_id"] == id.as_str()
                && has_text(price)
                && has_text(&format!("seller-of-{id}"))
        }
        LoadCommand::Lock { id, .. } => {
            event["status"] == "EditLock" && event["proposal_id"] == id.as_str()
        }
        LoadCommand::Award { id, .. } => event["status"] == "OrderFinalised" && has_text(id),
    }
}

/// Reads an order's events up to the last one that a reply names.
fn events(rest: SocketAddr, order: &str, response: &HttpResponse) -> Option<Vec<Value>> {
    let last = response.json()["last_seq"].as_u64()?;
    let mut stream = TcpStream::connect(rest).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(15))).ok()?;
    let path = format!("/api/v1/orders/{order}/events");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {rest}\r\n\r\n").ok()?;
    let mut events = Vec::new();
    for line in BufReader::new(stream).lines() {
        if let Some(data) = line.ok()?.strip_prefix("data: ") {
            let event: Value = serde_json::from_str(data).ok()?;
            let is_last = event["seq"].as_u64()? >= last;
            events.push(event);
            if is_last {
                break;
            }
        }
    }
    Some(events)
}
