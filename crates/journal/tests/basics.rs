//! Tests of append, read, remove, scan and reopening.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use orderstream_core::Seq;
use orderstream_core::withheld::{Durable as _, ListHash};
use orderstream_journal::{
    AppendError, DurableProof, Embedded, Health, Journal, OpenError, Options, ReadError,
    SubmitError, limits,
};

use crate::support::{MEBIBYTE, append, lists, payloads, submit};

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, Options::default()).expect("journal opens")
}

#[test]
fn reopened_journals_are_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    assert_eq!(append(&journal, "a", 0, &["1", "2"]), Ok(2));
    assert_eq!(append(&journal, "b", 0, &["x"]), Ok(1));
    assert_eq!(append(&journal, "a", 2, &["3", ""]), Ok(4));
    assert_eq!(journal.health(), Health::Healthy);
    journal.close();
    let journal = open(dir.path());
    assert_eq!(lists(&journal), [("a".to_owned(), 4), ("b".to_owned(), 1)]);
    assert_eq!(payloads(&journal, "a", 0), ["1", "2", "3", ""]);
    assert_eq!(payloads(&journal, "a", 3), [""]);
    assert_eq!(payloads(&journal, "a", 9), [""; 0]);
    assert_eq!(payloads(&journal, "none", 0), [""; 0]);
    assert_eq!(append(&journal, "a", 4, &["5"]), Ok(5));
    assert_eq!(append(&journal, "c", 0, &["new"]), Ok(1), "ids of lists are not used twice");
    assert_eq!(payloads(&journal, "b", 0), ["x"]);
    for (limit, expected) in [(0, &[][..]), (2, &[2, 3]), (9, &[2, 3, 4, 5])] {
        let page = journal.read(b"a", 1, limit).unwrap();
        assert_eq!(page.iter().map(|record| record.seq).collect::<Vec<_>>(), expected);
    }
}

/// Other appends in the batch are not affected.
#[test]
fn wrong_expectations_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let conflict = |expected, actual| Err(AppendError::Conflict { expected, actual });
    assert_eq!(append(&journal, "a", 1, &["x"]), conflict(1, 0));
    assert_eq!(append(&journal, "a", 0, &["1"]), Ok(1));
    assert_eq!(append(&journal, "a", 0, &["x"]), conflict(0, 1));
    let pending: Vec<_> = [("a", 1), ("a", 1), ("b", 0), ("a", 2)]
        .map(|(list, expected)| submit(&journal, list, expected, &["y"]).unwrap())
        .into_iter()
        .map(|pending| pending.wait().map(|appended| appended.last()))
        .collect();
    assert_eq!(pending, [Ok(2), conflict(1, 2), Ok(1), Ok(3)]);
    assert_eq!(payloads(&journal, "a", 0), ["1", "y", "y"]);
}

#[test]
fn empty_appends_return_the_durable_end() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    assert_eq!(append(&journal, "a", 0, &[]), Ok(0));
    assert_eq!(lists(&journal), []);
    assert_eq!(append(&journal, "a", 0, &["1"]), Ok(1));
    assert_eq!(append(&journal, "a", 1, &[]), Ok(1));
}

#[test]
fn removed_lists_can_begin_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    append(&journal, "a", 0, &["old", "old"]).unwrap();
    append(&journal, "b", 0, &["stays"]).unwrap();
    journal.remove(b"a").unwrap();
    journal.remove(b"a").unwrap();
    assert_eq!(lists(&journal), [("b".to_owned(), 1)]);
    assert_eq!(payloads(&journal, "a", 0), [""; 0]);
    assert_eq!(append(&journal, "a", 0, &["new"]), Ok(1));
    journal.remove(b"b").unwrap();
    drop(journal);
    let journal = open(dir.path());
    assert_eq!(lists(&journal), [("a".to_owned(), 1)]);
    assert_eq!(payloads(&journal, "a", 0), ["new"]);
}

#[test]
fn scan_gives_every_record_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    append(&journal, "b", 0, &["b1", "b2"]).unwrap();
    append(&journal, "a", 0, &["a1"]).unwrap();
    append(&journal, "b", 2, &["b3"]).unwrap();
    let mut found: BTreeMap<Vec<u8>, Vec<(u64, Bytes)>> = BTreeMap::new();
    journal
        .scan(&mut |list, record| {
            let record = record.expect("record is fine");
            found.entry(list.to_vec()).or_default().push((record.seq, record.payload));
        })
        .unwrap();
    let record = |seq, text: &'static str| (seq, Bytes::from_static(text.as_bytes()));
    assert_eq!(found[&b"a"[..]], [record(1, "a1")]);
    assert_eq!(found[&b"b"[..]], [record(1, "b1"), record(2, "b2"), record(3, "b3")]);
    assert_eq!(found.len(), 2);
}

/// The error names the directory.
#[test]
fn second_opens_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let error = Embedded::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    journal.close();
    open(dir.path()).close();
}

#[test]
fn unwritable_directories_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let error = Embedded::open(&file.join("sub"), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
    assert!(error.to_string().contains("file/sub"), "{error}");
}

/// The store is laid out under that name first.
#[test]
fn files_in_the_way_of_a_store_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("store.new"), "not a directory").unwrap();
    let error = Embedded::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Store { .. }), "{error:?}");
}

/// Folders above them that cannot be synced do not matter: here `/proc/self`.
#[test]
fn missing_folders_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().strip_prefix("/").unwrap().join("new/journal");
    let journal = open(&Path::new("/proc/self/root").join(below));
    assert_eq!(append(&journal, "a", 0, &["1"]), Ok(1));
    journal.close();
    assert_eq!(payloads(&open(&dir.path().join("new/journal")), "a", 0), ["1"]);
}

#[test]
fn oversized_appends_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let too_large = |outcome| matches!(outcome, Err(SubmitError::TooLarge(_)));
    assert!(too_large(submit(&journal, "", 0, &["x"]).map(drop)));
    let key = "k".repeat(limits::LIST_KEY_BYTES_MAX);
    assert_eq!(append(&journal, &key, 0, &["x"]), Ok(1));
    assert!(too_large(submit(&journal, &format!("{key}k"), 0, &["x"]).map(drop)));
    let record = "r".repeat(16 * MEBIBYTE);
    assert_eq!(append(&journal, "a", 0, &[&record]), Ok(1));
    assert!(too_large(submit(&journal, "a", 1, &[&format!("{record}r")]).map(drop)));
}

/// A closed journal accepts no new appends.
#[test]
fn closed_journals_finish_their_appends() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let pending: Vec<_> = (0..100).map(|seq| submit(&journal, "a", seq, &["x"]).unwrap()).collect();
    let other = journal.clone();
    journal.close();
    for (seq, pending) in (1..).zip(pending) {
        assert_eq!(pending.wait().map(|appended| appended.last()), Ok(seq));
    }
    assert!(matches!(submit(&other, "a", 100, &["x"]).map(drop), Err(SubmitError::Stopped)));
    let read = other.read(b"a", 0, 1);
    assert!(matches!(read, Err(ReadError::Io(_))), "the store is closed: {read:?}");
    let stats = other.stats();
    assert_eq!(stats.records.load(Ordering::Relaxed), 100);
    assert_eq!(stats.queue_len.load(Ordering::Relaxed), 0);
    assert!(stats.batches.load(Ordering::Relaxed) <= 100);
}

#[tokio::test]
async fn append_can_be_awaited() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let list = Bytes::from_static(b"a");
    let records = vec![Bytes::from_static(b"1")];
    let appended = orderstream_journal::append(&journal, list.clone(), 0, records).await.unwrap();
    assert_eq!((appended.list(), appended.last()), (&list, 1));
}

#[tokio::test]
async fn appends_prove_their_own_list_only() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let list = || Bytes::from_static(b"one");
    let records = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
    let appended = orderstream_journal::append(&journal, list(), 0, records).await.unwrap();
    let read = journal.read(b"one", 0, 9).unwrap();
    let (one, two) = (ListHash::of(b"one"), ListHash::of(b"two"));
    for (proof, until) in [
        (DurableProof::from(&appended), 2),
        (DurableProof::from(&read[0]), 1),
        (DurableProof::from(&read[1]), 2),
    ] {
        assert_eq!(proof.last(), until);
        assert!(proof.proves(one, Seq(until)));
        assert!(!proof.proves(one, Seq(until + 1)), "not so far");
        assert!(!proof.proves(two, Seq(1)), "another list");
    }
}
