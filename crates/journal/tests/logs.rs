//! The lines that operators look for in the log; a runbook names them.

use std::fmt::{self, Write as _};
use std::fs;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Metadata, Subscriber};

use crate::faulty::Disk;
use crate::on_disk::{journal_in_log, make_unreadable, open};
use crate::support::append;

/// A log in memory: each line has the message, and the fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut Line(&mut line));
        self.0.lock().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Returns the lines that this thread logs meanwhile.
fn logged<T>(work: impl FnOnce() -> T) -> Vec<String> {
    let log = Log::default();
    drop(with_default(log.clone(), work));
    let lines = log.0.lock();
    lines.clone()
}

/// Checks that a line has all of these parts.
fn assert_line(lines: &[String], parts: &[&str]) {
    let has_all = |line: &String| parts.iter().all(|part| line.contains(part));
    assert!(lines.iter().any(has_all), "{parts:?}: {lines:#?}");
}

#[test]
fn damage_is_logged_at_the_start() {
    let dir = journal_in_log();
    let log = dir.path().join("store/0.jnl");
    make_unreadable(&log);
    let lines = logged(|| open(dir.path()).close());
    let path = log.display().to_string();
    assert_line(&lines, &["a file of the journal is damaged", &path, "it cannot be read"]);
    for list in ["list=\"a\"", "list=\"b\"", "list=\"c\""] {
        assert_line(&lines, &["list refused", list, "missing=2"]);
    }
    assert_line(&lines, &["the journal is read only", &path]);
}

/// Their list cannot be named.
#[test]
fn records_of_no_list_are_logged() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    append(&journal, "a", 0, &["1", "2"]).unwrap();
    append(&journal, "b", 0, &["1", "2", "3"]).unwrap();
    journal.close();
    let orphans = "records whose list is damaged or missing";
    let reported = |lines: Vec<String>| lines.into_iter().find(|line| line.contains(orphans));
    assert_eq!(reported(logged(|| disk.open(dir.path()).close())), None);
    fs::remove_file(dir.path().join("journal.marks")).unwrap();
    disk.tamper(|map| map.get_mut(&b"lb"[..]).unwrap()[5] ^= 1);
    let line = reported(logged(|| disk.open(dir.path()).close())).unwrap();
    assert!(line.contains("orphans=3"), "{line}");
}

/// The quarantined bytes of a log are removed, where there are any.
#[test]
fn starts_log_failures_only() {
    let (dir, cut) = (journal_in_log(), "the quarantined bytes of the log cannot be removed");
    assert_eq!(logged(|| open(dir.path()).close()), [""; 0]);
    fs::write(dir.path().join("store.cut"), "not a folder").unwrap();
    assert_line(&logged(|| open(dir.path()).close()), &[cut]);
}
