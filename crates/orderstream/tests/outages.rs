//! What the log of a processor says while nobody can be notified.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::http::post;
use crate::notifications::{ORDER, RecipientServer, processor_args, requestor};
use crate::process::{Role, until};

/// Starts a processor with all of its log in a file, and opens an order that invites two sellers.
fn open_order(dir: &Path, args: &[String], log: &Path) -> [Role; 2] {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let processor = Role::start_logging(&args, dir, log);
    let requestor = requestor(dir, &processor);
    let body = format!(r#"{{"order_req_id":"{ORDER}","notification_type":"Webhook"}}"#);
    let initiate = "/api/v1/orders/initiate";
    let response = post(requestor.address("requestor"), initiate, &body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    [processor, requestor]
}

/// Returns the lines of a log with these parts, as soon as there is one.
fn lines_with(log: &Path, parts: &[&str]) -> Vec<String> {
    until(&format!("the log has {parts:?}"), || {
        let text = std::fs::read_to_string(log).ok()?;
        let found = text.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
        let found: Vec<String> = found.map(str::to_owned).collect();
        (!found.is_empty()).then_some(found)
    })
}

/// The circuit breaker of the one destination opens after five failures, and closes with a reply.
#[test]
fn outages_of_recipients_are_logged_once() {
    let (dir, recipient) = (tempfile::tempdir().unwrap(), RecipientServer::start());
    recipient.state.is_down.store(true, Ordering::SeqCst);
    let settings = "webhook: {allow-local: true}\n";
    let args = processor_args(dir.path(), recipient.address, settings);
    let log = dir.path().join("processor.log");
    let roles = open_order(dir.path(), &args, &log);
    let down = ["WARN", "notifications are not delivered"];
    let lines = lines_with(&log, &down);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [&*recipient.address.to_string(), "503", "orderstream notify pending"] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
    recipient.state.is_down.store(false, Ordering::SeqCst);
    lines_with(&log, &["INFO", "replies again; notifications are sent"]);
    assert_eq!(lines_with(&log, &down).len(), 1, "once for each outage");
    drop(roles);
}

/// This machine's addresses are refused unless they are allowed.
#[test]
fn first_given_up_notification_is_logged() {
    let (dir, recipient) = (tempfile::tempdir().unwrap(), RecipientServer::start());
    let args = processor_args(dir.path(), recipient.address, "{}");
    let log = dir.path().join("processor.log");
    let roles = open_order(dir.path(), &args, &log);
    let lines = lines_with(&log, &["WARN", "a notification was given up"]);
    assert!(lines[0].contains("`orderstream notify dead`"), "{lines:?}");
    drop(roles);
}
