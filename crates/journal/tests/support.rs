//! Helpers that the tests share.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use orderstream_journal::{Append, AppendError, AppendReceipt, Journal, SubmitError};

use crate::faulty::Disk;

pub(crate) const MEBIBYTE: usize = 1024 * 1024;

/// The longest duration of a test's step; one that takes longer is considered hung.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// The polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A pending outcome.
pub(crate) struct Pending(mpsc::Receiver<Result<AppendReceipt, AppendError>>);

impl Pending {
    pub(crate) fn wait(self) -> Result<AppendReceipt, AppendError> {
        self.0.recv_timeout(STEP_TIMEOUT).expect("done is called")
    }
}

pub(crate) fn submit(
    journal: &dyn Journal,
    list: &str,
    expected: u64,
    records: &[&str],
) -> Result<Pending, SubmitError> {
    let (append, pending) = pending(list, expected, records);
    journal.submit(append)?;
    Ok(pending)
}

/// Creates an append without submitting it.
pub(crate) fn pending(list: &str, expected: u64, records: &[&str]) -> (Append, Pending) {
    let (sender, receiver) = mpsc::channel();
    let append = Append {
        list: Bytes::copy_from_slice(list.as_bytes()),
        expected,
        records: records.iter().map(|r| Bytes::copy_from_slice(r.as_bytes())).collect(),
        done: Box::new(move |outcome| {
            // The test may not wait for the outcome.
            drop(sender.send(outcome));
        }),
    };
    (append, Pending(receiver))
}

pub(crate) fn append(
    journal: &dyn Journal,
    list: &str,
    expected: u64,
    records: &[&str],
) -> Result<u64, AppendError> {
    Ok(submit(journal, list, expected, records)?.wait()?.last())
}

pub(crate) fn payloads(journal: &dyn Journal, list: &str, after: u64) -> Vec<String> {
    let records = journal.read(list.as_bytes(), after, usize::MAX).expect("list is fine");
    let numbers: Vec<u64> = records.iter().map(|record| record.seq).collect();
    let expected: Vec<u64> = (after + 1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "numbers have no gap");
    records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()).collect()
}

pub(crate) fn lists(journal: &dyn Journal) -> Vec<(String, u64)> {
    let lists = journal.lists().expect("store is fine");
    let mut lists: Vec<_> = lists
        .into_iter()
        .map(|(list, last)| (String::from_utf8_lossy(&list).into_owned(), last))
        .collect();
    lists.sort();
    lists
}

/// Appends to list `b` until the store has deleted its tombstones, because the removals are durable
/// in the marks. Returns the number of records in `b`.
pub(crate) fn append_until_tombstones_are_purged(journal: &dyn Journal, disk: &Disk) -> u64 {
    let has_tombstones = || {
        let mut found = false;
        disk.tamper(|map| found = map.keys().any(|key| key.starts_with(b"g")));
        found
    };
    assert!(has_tombstones());
    let mut last = 0;
    while has_tombstones() {
        last = append(journal, "b", last, &["1"]).unwrap();
        // The marks file stays small.
        let next = Instant::now() + POLL_INTERVAL;
        while Instant::now() < next {
            std::thread::yield_now();
        }
    }
    last
}
