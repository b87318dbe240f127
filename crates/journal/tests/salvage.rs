//! Tests of `verify` and `salvage`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::engine::{OpenReason, StoreLocation as _};
use orderstream_journal::salvage::{SalvageError, SalvagePolicy, salvage, verify};
use orderstream_journal::{Embedded, Journal, OpenError, Options, ReadError};

use crate::support::{STEP_TIMEOUT, append, lists, payloads, pending};

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, Options::default()).unwrap()
}

/// Creates three lists of three records each, record by record; returns the log and its content.
fn filled(dir: &Path) -> (PathBuf, Vec<u8>) {
    let journal = open(dir);
    for seq in 0..3 {
        for list in ["a", "b", "c"] {
            append(&journal, list, seq, &[&format!("{list}{}", seq + 1)]).unwrap();
        }
    }
    journal.close();
    open(dir).close();
    let log = dir.join("store/0.jnl");
    let bytes = fs::read(&log).unwrap();
    (log, bytes)
}

/// Flips a bit of the text of a record in the log, or in a table.
fn damage(log: &Path, bytes: &[u8], text: &str) {
    let mut bytes = bytes.to_vec();
    let at = bytes.windows(text.len()).rposition(|found| found == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(log, bytes).unwrap();
}

#[test]
fn verify_leaves_whole_journals_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (log, bytes) = filled(dir.path());
    let verified = verify(dir.path()).unwrap();
    assert!(verified.damage.is_none(), "{:?}", verified.damage);
    assert_eq!((verified.lists, verified.records), (3, 9));
    assert_eq!(fs::read(log).unwrap(), bytes);
    assert!(!dir.path().join("store.read").exists());
}

#[test]
fn verify_names_file_byte_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    let (log, bytes) = filled(dir.path());
    damage(&log, &bytes, "b2");
    let damaged = fs::read(&log).unwrap();
    let verified = verify(dir.path()).unwrap();
    let file = &verified.damage.files[0];
    assert_eq!(file.file, log);
    let at = usize::try_from(file.offset.unwrap()).unwrap();
    let batch = &bytes[at..];
    assert!(batch.windows(2).position(|found| found == b"b2").unwrap() < 80, "it is that batch");
    let hit: Vec<_> = verified.damage.lists.iter().map(|list| (&list.list[..], list.seq)).collect();
    assert_eq!(hit, [(&b"b"[..], 2)]);
    assert_eq!((verified.lists, verified.records), (2, 7));
    assert_eq!(fs::read(&log).unwrap(), damaged, "it only looks");
}

/// Lists that were not copied are reported.
#[test]
fn salvage_copies_whole_lists() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (log, bytes) = filled(dir.path());
    damage(&log, &bytes, "b2");
    let salvaged = salvage(dir.path(), to.path(), SalvagePolicy::Skip).unwrap();
    assert_eq!((salvaged.lists, salvaged.records, salvaged.truncated_lists), (2, 6, 0));
    let skipped: Vec<_> = salvaged.skipped_lists.iter().map(|list| &list.list[..]).collect();
    assert_eq!(skipped, [b"b"]);
    let journal = open(to.path());
    assert!(journal.damage().is_none());
    assert_eq!(lists(&journal), [("a".to_owned(), 3), ("c".to_owned(), 3)]);
    assert_eq!(payloads(&journal, "a", 0), ["a1", "a2", "a3"]);
    assert_eq!(append(&journal, "a", 3, &["a4"]), Ok(4), "it is a journal like any other");
}

/// The records up to the damage are copied, and no number is reused.
#[test]
fn salvage_can_keep_damaged_lists() {
    let dir = tempfile::tempdir().unwrap();
    let (log, bytes) = filled(dir.path());
    for (damaged, text) in [(1, "b1"), (2, "b2"), (3, "b3")] {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("not there yet");
        damage(&log, &bytes, text);
        let salvaged = salvage(dir.path(), &to, SalvagePolicy::Keep).unwrap();
        let whole = 6 + damaged - 1;
        assert_eq!(salvaged.verification.records, whole, "{text}");
        assert_eq!((salvaged.lists, salvaged.records, salvaged.truncated_lists), (2, whole, 1));
        assert_eq!(salvaged.skipped_lists, []);
        let journal = open(&to);
        assert_eq!(journal.damage().read_only, None);
        let error = journal.read(b"b", 0, 9).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { seq, .. } if seq == damaged), "{error}");
        assert!(append(&journal, "b", damaged - 1, &["again"]).is_err());
        assert!(append(&journal, "b", 3, &["again"]).is_err());
        assert_eq!(append(&journal, "new", 0, &["x"]), Ok(1));
        journal.close();
        assert_eq!(verify(&to).unwrap().records, whole + 1, "{text}: those before it are there");
    }
}

/// Its store or its marks may be all that is left of a journal.
#[test]
fn verify_reads_what_is_left() {
    for (gone, lists, missing, files) in [("journal.marks", 3, 0, 1), ("store", 0, 9, 0)] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let gone = dir.path().join(gone);
        if gone.is_dir() { fs::remove_dir_all(&gone) } else { fs::remove_file(&gone) }.unwrap();
        let verified = verify(dir.path()).unwrap();
        assert_eq!((verified.lists, verified.damage.missing_records()), (lists, missing));
        let reported: Vec<_> = verified.damage.files.into_iter().map(|file| file.file).collect();
        assert_eq!(reported, [gone][..files], "a missing store is told by its lists");
    }
}

/// They were cut off the log, and the journal has gone on without them.
#[test]
fn salvage_leaves_unacknowledged_records() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (log, _) = filled(dir.path());
    let journal = open(dir.path());
    append(&journal, "d", 0, &["d1"]).unwrap();
    append(&journal, "e", 0, &["e1"]).unwrap();
    journal.close();
    damage(&log, &fs::read(&log).unwrap(), "e1");
    // From here on, what is cut off is kept.
    let journal = open(dir.path());
    let marks = dir.path().join("journal.marks");
    let at_kill = fs::read(&marks).unwrap();
    append(&journal, "d", 1, &["d2", "d3"]).unwrap();
    journal.close();
    fs::write(&marks, at_kill).unwrap();
    damage(&log, &fs::read(&log).unwrap(), "d3");
    let journal = open(dir.path());
    assert_eq!(payloads(&journal, "d", 0), ["d1"]);
    journal.close();
    let salvaged = salvage(dir.path(), to.path(), SalvagePolicy::Keep).unwrap();
    assert_eq!((salvaged.lists, salvaged.records, salvaged.truncated_lists), (4, 10, 1));
    assert_eq!(payloads(&open(to.path()), "d", 0), ["d1"]);
}

/// Appends two records of `d` and one of `e` in one batch.
fn append_d_and_e(journal: &Embedded) {
    let (first, first_pending) = pending("d", 0, &["d1", "d2"]);
    let (second, second_pending) = pending("e", 0, &["e1"]);
    journal.submit_all(vec![first, second]).unwrap();
    first_pending.wait().unwrap();
    second_pending.wait().unwrap();
}

/// The batch is followed by another, and the records before it are in a table. The keys of its
/// lists are in the marks, or in the batch itself.
#[test]
fn damaged_batches_give_proven_records() {
    for has_marks in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let store = dir.path().join("store");
        drop(FjallLocation::new(store.clone()).open(OpenReason::AfterFailure).unwrap());
        let journal = open(dir.path());
        append_d_and_e(&journal);
        append(&journal, "a", 3, &["a4"]).unwrap();
        journal.close();
        let log = store.join("1.jnl");
        damage(&log, &fs::read(&log).unwrap(), "d2");
        if !has_marks {
            fs::remove_file(dir.path().join("journal.marks")).unwrap();
        }
        let journal = open(dir.path());
        assert!(journal.read_only().is_some());
        assert_eq!(payloads(&journal, "e", 0), ["e1"]);
        assert_eq!(payloads(&journal, "a", 0), ["a1", "a2", "a3", "a4"]);
        let damaged = journal.damage().lists;
        let damaged: Vec<_> = damaged.iter().map(|list| (&list.list[..], list.seq)).collect();
        assert_eq!(damaged, [(&b"d"[..], 2)][..usize::from(has_marks)]);
    }
}

/// Creates a journal whose log ended in a batch of two records of `d` and one of `e`; a bit of `d2`
/// was flipped, and opening the journal cut the batch off.
fn with_quarantined_batch(dir: &Path) -> Embedded {
    filled(dir);
    let journal = open(dir);
    append_d_and_e(&journal);
    journal.close();
    let log = dir.join("store/0.jnl");
    damage(&log, &fs::read(&log).unwrap(), "d2");
    let journal = open(dir);
    assert_eq!(journal.damage().missing_records(), 3);
    journal
}

/// The records belong to a damaged batch that was cut off the log.
#[test]
fn salvage_copies_proven_records_cut_off() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = with_quarantined_batch(dir.path());
    assert_eq!(append(&journal, "a", 3, &["a4"]), Ok(4), "it goes on behind what was cut off");
    journal.close();
    let salvaged = salvage(dir.path(), to.path(), SalvagePolicy::Keep).unwrap();
    assert_eq!((salvaged.lists, salvaged.records, salvaged.truncated_lists), (4, 12, 1));
    let journal = open(to.path());
    assert_eq!(payloads(&journal, "e", 0), ["e1"]);
    let error = journal.read(b"d", 0, 9).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { seq: 2, .. }), "{error}");
}

/// Removed lists are also skipped if their records had been cut off the log before.
#[test]
fn salvage_skips_removed_lists() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = with_quarantined_batch(dir.path());
    // The mark of the first removal is on disk; the second is recorded in the store only.
    journal.remove(b"e").unwrap();
    journal.close();
    let journal = open(dir.path());
    let marks = dir.path().join("journal.marks");
    let before = fs::read(&marks).unwrap();
    journal.remove(b"d").unwrap();
    journal.close();
    fs::write(&marks, before).unwrap();
    let salvaged = salvage(dir.path(), to.path(), SalvagePolicy::Keep).unwrap();
    assert_eq!((salvaged.lists, salvaged.records, salvaged.truncated_lists), (3, 9, 0));
    let names: Vec<_> = lists(&open(to.path())).into_iter().map(|(list, _)| list).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

/// Cuts may be at the same offset of the log.
#[test]
fn repeated_cuts_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (log, bytes) = filled(dir.path());
    for list in ["d", "e"] {
        let journal = open(dir.path());
        append(&journal, list, 0, &[&format!("{list}1")]).unwrap();
        journal.close();
        damage(&log, &fs::read(&log).unwrap(), &format!("{list}1"));
    }
    open(dir.path()).close();
    let kept = fs::read_dir(dir.path().join("store.cut")).unwrap();
    let mut kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).collect();
    kept.sort();
    let at = bytes.len();
    assert_eq!(kept, [&*format!("0.jnl.{at}"), &*format!("0.jnl.{at}.1")]);
}

/// No file can be made in the folder of the cuts.
#[test]
fn cuts_that_cannot_be_kept_fail() {
    let dir = tempfile::tempdir().unwrap();
    let (log, bytes) = filled(dir.path());
    damage(&log, &bytes, "c3");
    let damaged = fs::read(&log).unwrap();
    symlink("/proc/self/fdinfo", dir.path().join("store.cut")).unwrap();
    let (sender, receiver) = mpsc::channel();
    let path = dir.path().to_owned();
    let opening = thread::spawn(move || {
        let opened = Embedded::open(&path, Options::default());
        sender.send(opened.map(|journal| journal.damage().read_only))
    });
    let opened = receiver.recv_timeout(STEP_TIMEOUT).unwrap();
    assert!(!matches!(opened, Ok(None)), "{opened:?}");
    opening.join().unwrap().unwrap();
    assert_eq!(fs::read(&log).unwrap(), damaged);
}

/// A list also stays refused if none of its records is left.
#[test]
fn salvaged_lost_lists_stay_refused() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (log, _) = filled(dir.path());
    fs::remove_file(log).unwrap();
    let salvaged = salvage(dir.path(), to.path(), SalvagePolicy::Keep).unwrap();
    assert_eq!((salvaged.lists, salvaged.truncated_lists), (0, 3));
    let journal = open(to.path());
    assert_eq!(journal.damage().missing_records(), 9);
    assert!(append(&journal, "a", 0, &["again"]).is_err());
}

/// Nothing is known of them but their keys: their first record cannot be read, and no mark is left.
#[test]
fn lists_without_a_known_end_are_skipped() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rng = fastrand::Rng::with_seed(1);
    // Each takes a block of its own.
    let records = ["a", "b", "c"].map(|list| {
        (list, std::iter::repeat_with(|| rng.alphanumeric()).take(10_000).collect::<String>())
    });
    let journal = open(dir.path());
    for (list, record) in &records {
        append(&journal, list, 0, &[record]).unwrap();
    }
    journal.close();
    let store = dir.path().join("store");
    drop(FjallLocation::new(store.clone()).open(OpenReason::AfterFailure).unwrap());
    fs::remove_file(dir.path().join("journal.marks")).unwrap();
    let table = store.join("keyspaces/1/tables/1");
    damage(&table, &fs::read(&table).unwrap(), &records[1].1[5_000..5_050]);
    let salvaged = salvage(dir.path(), to.path(), SalvagePolicy::Keep).unwrap();
    // The block of `b` is the next one after the record of `a`, and might have more of it.
    let skipped: Vec<_> =
        salvaged.skipped_lists.iter().map(|list| (&list.list[..], list.last)).collect();
    assert_eq!(skipped, [(&b"a"[..], 0), (b"b", 0)]);
    assert_eq!((salvaged.lists, salvaged.records, salvaged.truncated_lists), (1, 1, 0));
}

/// It refuses a folder without a journal, one in use, and a target that is not empty.
#[test]
fn salvage_refuses_unfit_folders_by_name() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let error = verify(dir.path()).unwrap_err();
    assert!(matches!(error, SalvageError::NotAJournal { .. }), "{error}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is made");
    filled(dir.path());
    let error = salvage(dir.path(), dir.path(), SalvagePolicy::Keep).unwrap_err();
    assert!(matches!(error, SalvageError::NotEmpty { .. }), "{error}");
    let file = to.path().join("a file");
    fs::write(&file, "").unwrap();
    let error = salvage(dir.path(), &file, SalvagePolicy::Keep).unwrap_err();
    assert!(matches!(error, SalvageError::Io(_)), "{error}");
    fs::remove_file(file).unwrap();
    let journal = open(dir.path());
    append(&journal, "a", 3, &["a4"]).unwrap();
    for error in [
        verify(dir.path()).map(drop),
        salvage(dir.path(), to.path(), SalvagePolicy::Keep).map(drop),
    ] {
        let error = error.unwrap_err();
        assert!(matches!(error, SalvageError::Open(OpenError::Locked { .. })), "{error}");
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    }
}
