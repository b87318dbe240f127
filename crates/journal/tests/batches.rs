//! One sync serves all appends that arrived during the previous one, and they are acknowledged only
//! after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use bytes::Bytes;
use orderstream_journal::limits::RECORD_BYTES_MAX;
use orderstream_journal::{Append, AppendError, Embedded, Journal, Options, SubmitError};
use parking_lot::Mutex;

use crate::faulty::Disk;
use crate::support::{MEBIBYTE, STEP_TIMEOUT, append, pending, submit};

#[test]
fn appends_during_a_sync_share_the_next() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    disk.hold();
    let first = submit(&journal, "first", 0, &["x"]).unwrap();
    disk.wait_for_commit();
    let rest: Vec<_> = (0..500).map(|seq| submit(&journal, "rest", seq, &["y"]).unwrap()).collect();
    assert_eq!(journal.stats().queue_len.load(Ordering::Relaxed), 500);
    disk.release();
    assert_eq!(first.wait().unwrap().last(), 1);
    for (seq, pending) in (1..).zip(rest) {
        assert_eq!(pending.wait().unwrap().last(), seq);
    }
    // Each new list's key is one more change, and the first batch also records that marks exist.
    assert_eq!(disk.commits(), [3, 501]);
    assert_eq!(journal.stats().syncs.load(Ordering::Relaxed), 2);
    assert_eq!(journal.stats().bytes.load(Ordering::Relaxed), 501);
}

#[test]
fn batches_and_queue_are_bounded() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let options = Options { batch_records_max: 3, batch_bytes_max: 10, queue_len_max: 8 };
    let journal = Embedded::open_at(dir.path(), options, Box::new(disk.clone())).unwrap();
    append(&journal, "a", 0, &["made"]).unwrap();
    disk.hold();
    let mut pending = vec![submit(&journal, "a", 1, &["x"]).unwrap()];
    disk.wait_for_commit();
    // With the record before it, it fills a batch to the byte.
    let long = "nine long";
    for (seq, text) in (2..).zip(["x", "x", "x", "x", long, "x", "x", "x"]) {
        pending.push(submit(&journal, "a", seq, &[text]).unwrap());
    }
    assert_eq!(submit(&journal, "a", 10, &["x"]).map(drop), Err(SubmitError::Full));
    disk.release();
    for pending in pending {
        pending.wait().unwrap();
    }
    assert_eq!(disk.commits(), [3, 1, 3, 2, 3]);
}

/// The append that fills it is the last one, and the next has a batch of its own.
#[test]
fn batches_have_four_mebibytes() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    append(&journal, "a", 0, &["made"]).unwrap();
    disk.hold();
    let mut pending = vec![submit(&journal, "a", 1, &["x"]).unwrap()];
    disk.wait_for_commit();
    let record = "r".repeat(MEBIBYTE);
    pending.extend((2..7).map(|seq| submit(&journal, "a", seq, &[&record]).unwrap()));
    disk.release();
    for pending in pending {
        pending.wait().unwrap();
    }
    assert_eq!(disk.commits(), [3, 1, 4, 1]);
}

/// Grouped appends share a sync.
#[test]
fn each_grouped_append_has_an_outcome() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    let together = [pending("a", 0, &["x"]), pending("b", 7, &["y"]), pending("c", 0, &["z"])];
    let (appends, outcomes): (Vec<_>, Vec<_>) = together.into_iter().unzip();
    journal.submit_all(appends).unwrap();
    let outcomes: Vec<_> =
        outcomes.into_iter().map(|pending| pending.wait().map(|done| done.last())).collect();
    let conflict = AppendError::Conflict { expected: 7, actual: 0 };
    assert_eq!(outcomes, [Ok(1), Err(conflict), Ok(1)]);
    assert_eq!(disk.commits(), [5]);
}

#[test]
fn batch_limits_never_split_groups() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let options = Options { batch_records_max: 1, batch_bytes_max: 1, ..Options::default() };
    let journal = Embedded::open_at(dir.path(), options, Box::new(disk.clone())).unwrap();
    let together = [pending("a", 0, &["x"]), pending("b", 0, &["y"])];
    let (appends, outcomes): (Vec<_>, Vec<_>) = together.into_iter().unzip();
    journal.submit_all(appends).unwrap();
    for pending in outcomes {
        pending.wait().unwrap();
    }
    assert_eq!(disk.commits(), [5], "a crash leaves both or none");
}

/// A group is accepted as a whole or not at all.
#[test]
fn grouped_appends_are_taken_as_one() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let options = Options { queue_len_max: 2, ..Options::default() };
    let journal = Embedded::open_at(dir.path(), options, Box::new(disk.clone())).unwrap();
    disk.hold();
    let first = submit(&journal, "first", 0, &["x"]).unwrap();
    disk.wait_for_commit();
    let second = submit(&journal, "second", 0, &["x"]).unwrap();
    let two = || vec![pending("a", 0, &["x"]).0, pending("b", 0, &["x"]).0];
    assert_eq!(journal.submit_all(two()), Err(SubmitError::Full));
    let mut one_too_large = two();
    one_too_large[1].records = vec![Bytes::from(vec![0; RECORD_BYTES_MAX + 1])];
    assert!(matches!(journal.submit_all(one_too_large), Err(SubmitError::TooLarge(_))));
    disk.release();
    for pending in [first, second] {
        pending.wait().unwrap();
    }
    assert_eq!(disk.commits(), [3, 2], "nothing of what was refused");
    assert_eq!(journal.stats().refused_appends.load(Ordering::Relaxed), 2);
}

#[test]
fn outcomes_follow_the_sync_in_order() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    disk.hold();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = mpsc::channel();
    for seq in 0..100 {
        let (acknowledged, sender) = (Arc::clone(&acknowledged), sender.clone());
        journal
            .submit(Append {
                list: Bytes::from_static(b"a"),
                expected: seq,
                records: vec![Bytes::from_static(b"x")],
                done: Box::new(move |outcome| {
                    acknowledged.lock().push(outcome.expect("it is written").last());
                    sender.send(()).expect("the test waits");
                }),
            })
            .unwrap();
    }
    disk.wait_for_commit();
    assert!(acknowledged.lock().is_empty(), "nothing is answered before the sync");
    assert_eq!(journal.lists().unwrap(), [], "nothing is shown before the sync");
    disk.release();
    for _ in 0..100 {
        receiver.recv_timeout(STEP_TIMEOUT).unwrap();
    }
    assert_eq!(*acknowledged.lock(), (1..=100).collect::<Vec<u64>>());
}

#[test]
fn panicking_callbacks_end_nothing() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    let done = Box::new(|_| panic!("a caller's bug"));
    let list = Bytes::from_static(b"a");
    journal
        .submit(Append { list, expected: 0, records: vec![Bytes::from_static(b"x")], done })
        .unwrap();
    assert_eq!(append(&journal, "a", 1, &["y"]), Ok(2));
}

#[test]
fn append_between_removals_keeps_its_place() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    append(&journal, "a", 0, &["1", "2"]).unwrap();
    disk.hold();
    let first = submit(&journal, "b", 0, &["x"]).unwrap();
    disk.wait_for_commit();
    let second = submit(&journal, "a", 2, &["3"]).unwrap();
    let remover = journal.clone();
    let removal = std::thread::spawn(move || remover.remove(b"a"));
    while journal.stats().queue_len.load(Ordering::Relaxed) < 2 {
        std::thread::yield_now();
    }
    let third = submit(&journal, "a", 0, &["again"]).unwrap();
    disk.release();
    removal.join().unwrap().unwrap();
    assert_eq!(first.wait().unwrap().last(), 1);
    assert_eq!(second.wait().unwrap().last(), 3);
    assert_eq!(third.wait().unwrap().last(), 1);
    assert_eq!(disk.commits(), [4, 2, 1, 5, 2]);
}
