//! Helpers that the tests share.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use orderstream_journal::{Append, AppendError, Appended, Journal, SubmitError};

use crate::faulty::Disk;

/// The longest step of a test; one that takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The interval of polling.
const PAUSE: Duration = Duration::from_millis(50);

/// A pending outcome.
pub(crate) struct Pending(mpsc::Receiver<Result<Appended, AppendError>>);

impl Pending {
    pub(crate) fn wait(self) -> Result<Appended, AppendError> {
        self.0.recv_timeout(PATIENCE).expect("done is called")
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

/// Makes an append that is not submitted yet.
pub(crate) fn pending(list: &str, expected: u64, records: &[&str]) -> (Append, Pending) {
    let (sender, receiver) = mpsc::channel();
    let append = Append {
        list: Bytes::copy_from_slice(list.as_bytes()),
        expected,
        records: records.iter().map(|r| Bytes::copy_from_slice(r.as_bytes())).collect(),
        done: Box::new(move |outcome| {
            // A test may not care.
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

/// Appends to list `b` until the store no longer records removals, because the marks have them on
/// disk. Returns the number of its records.
pub(crate) fn append_until_removals_are_forgotten(journal: &dyn Journal, disk: &Disk) -> u64 {
    let says_so = || {
        let mut says_so = false;
        disk.tamper(|map| says_so = map.keys().any(|key| key.starts_with(b"g")));
        says_so
    };
    assert!(says_so());
    let mut last = 0;
    while says_so() {
        last = append(journal, "b", last, &["1"]).unwrap();
        // The file of marks stays small.
        let next = Instant::now() + PAUSE;
        while Instant::now() < next {
            std::thread::yield_now();
        }
    }
    last
}
