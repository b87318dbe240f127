//! A process that is killed while it appends under load loses no acknowledged record.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its child says what was acknowledged"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use orderstream_journal::{Append, Embedded, Journal, Options};

/// The number of times the child is killed.
const KILLS: u32 = 60;
/// The number of lists that the child appends to at once.
const LISTS: usize = 16;
/// The variable that names the journal's directory to the child.
const DIR: &str = "ORDERSTREAM_JOURNAL_KILL_DIR";

/// Returns the payload of a record; the child and the test compute the same one. Lengths vary, so
/// that records end at all offsets in a block.
fn payload(list: usize, seq: u64) -> Bytes {
    let text = format!("list {list} record {seq} ");
    let len = usize::try_from((seq * 37 + list as u64 * 101) % 700).unwrap();
    Bytes::from(text.repeat(1 + len / text.len()))
}

fn name(list: usize) -> Bytes {
    Bytes::from(format!("list-{list}"))
}

/// The child process: appends to every list until it is killed, and prints what is acknowledged.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let journal = Embedded::open(&PathBuf::from(dir), Options::default()).unwrap();
    let lasts: BTreeMap<_, _> = journal.lists().unwrap().into_iter().collect();
    println!("\nopen");
    for list in 0..LISTS {
        let last = lasts.get(name(list).as_ref()).copied().unwrap_or(0);
        append_next(&Arc::new(journal.clone()), list, last);
    }
    loop {
        std::thread::park();
    }
}

fn append_next(journal: &Arc<Embedded>, list: usize, last: u64) {
    // One, two or three records at a time.
    let records = (last + 1..).take(1 + list % 3).map(|seq| payload(list, seq)).collect();
    let handle = Arc::clone(journal);
    let done = Box::new(move |outcome: Result<orderstream_journal::AppendReceipt, _>| {
        let last = outcome.expect("the disk is fine").last();
        let mut out = std::io::stdout().lock();
        // A single write, so that the test never reads half a number.
        out.write_all(format!("acked {list} {last} .\n").as_bytes()).expect("the judge reads");
        append_next(&handle, list, last);
    });
    journal.submit(Append { list: name(list), expected: last, records, done }).unwrap();
}

#[test]
fn killed_process_loses_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for kill in 0..KILLS {
        let acks = 1 + (kill * 53) % 150;
        run_and_kill(dir.path(), acks, &mut acknowledged);
        verify_lists(dir.path(), &mut acknowledged);
    }
    let records: u64 = acknowledged.values().sum();
    assert!(records > u64::from(KILLS), "there was load: {records}");
}

/// Runs the child until it has acknowledged `acks` appends, kills it, and records all that it
/// acknowledged.
fn run_and_kill(dir: &Path, acks: u32, acknowledged: &mut BTreeMap<usize, u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acked = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut fields = line.split(' ');
        let (Some("acked"), Some(list), Some(last), Some(".")) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (list, last): (usize, u64) = (list.parse().unwrap(), last.parse().unwrap());
        let before = acknowledged.insert(list, last).unwrap_or(0);
        assert!(last > before, "list {list} goes on after {before}, not at {last}");
        acked += 1;
        if acked == acks {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acked >= acks, "the child lived until it was killed");
}

/// Checks that every acknowledged record exists with its bytes and without a gap, and that nothing
/// else exists except, at most, the one append in flight. The records found are expected from then
/// on.
fn verify_lists(dir: &Path, acknowledged: &mut BTreeMap<usize, u64>) {
    let journal = Embedded::open(dir, Options::default()).unwrap();
    for list in 0..LISTS {
        let records = journal.read(&name(list), 0, usize::MAX).unwrap();
        let found = records.len() as u64;
        for (seq, record) in (1..).zip(&records) {
            assert_eq!(record.seq, seq, "list {list} has a gap");
            assert_eq!(record.payload, payload(list, seq), "list {list} record {seq}");
        }
        let acknowledged = acknowledged.entry(list).or_default();
        assert!(
            found >= *acknowledged,
            "list {list} lost {} acknowledged records",
            *acknowledged - found
        );
        let beyond = found - *acknowledged;
        let in_flight = 1 + list as u64 % 3;
        assert!(beyond == 0 || beyond == in_flight, "list {list} has {beyond} records too many");
        *acknowledged = found;
    }
    journal.close();
}
