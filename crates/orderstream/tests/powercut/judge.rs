//! The checks of a process after a power cut.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::bed::Bed;
use super::history::{Act, History};
use super::load::Ports;
use crate::http::{Answer, get};
use crate::process::{Role, until};

/// Starts `dev` on the disk of a cut, and judges it.
pub(super) fn judge(bed: &Bed, folder: &Path, history: &History, told: &str) {
    bed.ear.listen(None);
    println!("{told}");
    let dev = bed.start(folder, Vec::new());
    judge_running(bed, &dev, history, told);
}

/// Judges a process that was just started.
pub(super) fn judge_running(bed: &Bed, dev: &Role, history: &History, told: &str) {
    let ports = Ports::of(dev);
    until("the process is ready", || {
        get(dev.address("metrics"), "/readyz").ok().filter(|answer| answer.status == 200)
    });
    let orders: BTreeSet<&str> = history.asked.iter().map(Act::order).collect();
    for order in orders {
        let is_answered = history.answered.iter().any(|(act, _)| act.order() == order);
        if is_answered {
            judge_order(bed, ports, order, history, told);
        }
    }
}

fn judge_order(bed: &Bed, ports: Ports, order: &str, history: &History, told: &str) {
    let answered = || history.answered.iter().filter(|(act, _)| act.order() == order);
    // What the buyer was answered was stored; it reaches the list after the start at the latest.
    let missed = Missed::default();
    until(&format!("order {order} is open, and has what its buyer was answered: {told}"), || {
        let answer = get(ports.rest, &format!("/api/v1/orders/{order}")).ok()?;
        assert!([200, 404, 503].contains(&answer.status), "{answer:?}: {told}");
        let events =
            (answer.status == 200).then(|| events(ports.rest, order, &answer)).flatten()?;
        let missing = answered().find(|(act, _)| of_buyer(act, &events) == Some(false));
        let Some((act, _)) = missing else { return Some(()) };
        missed.set(format!("{act:?} is missing in {events:#?}"));
        None
    });
    let answer = get(ports.rest, &format!("/api/v1/orders/{order}")).unwrap();
    let events = events(ports.rest, order, &answer).unwrap();
    for (number, event) in (1_u64..).zip(&events) {
        assert_eq!(event["seq"], number, "a gap or a repeat: {told}");
    }
    for (act, seq) in answered() {
        let found: Vec<_> = events.iter().filter(|event| is_of(act, event)).collect();
        assert_eq!(found.len(), 1, "{act:?} is there {} times: {told}", found.len());
        if let Some(seq) = seq {
            assert_eq!(found[0]["seq"], *seq, "{act:?} has another number: {told}");
        }
    }
    let proposed = events.iter().filter(|event| event["status"] == "NewProposal");
    for event in proposed.clone() {
        let is_asked = history.asked.iter().any(|act| act.order() == order && is_of(act, event));
        assert!(is_asked, "{event} was never sent: {told}");
    }
    let opened = events.iter().filter(|event| event["status"] == "OrderOpened");
    let due: BTreeSet<u64> = opened.chain(proposed).filter_map(|it| it["seq"].as_u64()).collect();
    until(&format!("people are told of all of order {order}: {told}"), || {
        let now = bed.ear.heard();
        let told_of = history.heard.union(&now).filter_map(|id| told_of(id, order)).collect();
        due.is_subset(&told_of).then_some(())
    });
}

/// The event that was missing last; printed at the end if the test fails.
#[derive(Debug, Default)]
struct Missed(RefCell<String>);

impl Missed {
    fn set(&self, text: String) {
        self.0.replace(text);
    }
}

impl Drop for Missed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0.borrow());
        }
    }
}

/// Returns the sequence number in a notification's id, if it is about this order.
fn told_of(id: &str, order: &str) -> Option<u64> {
    let mut parts = id.split('~').skip(1);
    let is_of = parts.next()?.eq_ignore_ascii_case(order);
    is_of.then(|| parts.nth(1)?.parse().ok()).flatten()
}

/// Reports whether the list has a buyer's command; absent for a seller's.
fn of_buyer(act: &Act, events: &[Value]) -> Option<bool> {
    match act {
        Act::Initiate { .. } | Act::FollowUp { .. } | Act::Award { .. } => {
            Some(events.iter().any(|event| is_of(act, event)))
        }
        Act::Propose { .. } | Act::Lock { .. } => None,
    }
}

/// Reports whether an event is the effect of a command, with all of its content.
fn is_of(act: &Act, event: &Value) -> bool {
    let detail = || event["detail"].to_string();
    let says = |text: &str| detail().contains(&format!("\"{text}\""));
    match act {
        Act::Initiate { .. } => event["status"] == "OrderOpened",
        Act::FollowUp { id, .. } => {
            event["status"] == "FollowUpAdded"
                && event["follow_up_id"] == id.as_str()
                && detail().contains(&format!("what of {id}?"))
        }
        Act::Propose { id, price, .. } => {
            event["status"] == "NewProposal"
                && event["proposal_id"] == id.as_str()
                && says(price)
                && says(&format!("seller-of-{id}"))
        }
        Act::Lock { id, .. } => {
            event["status"] == "EditLock" && event["proposal_id"] == id.as_str()
        }
        Act::Award { id, .. } => event["status"] == "OrderFinalised" && says(id),
    }
}

/// Reads an order's events up to the last one that a reply names.
fn events(rest: SocketAddr, order: &str, answer: &Answer) -> Option<Vec<Value>> {
    let last = answer.json()["last_seq"].as_u64()?;
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
