//! Damage in the marks file: the journal keeps working, and reports no list wrongly as lost or
//! present.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use orderstream_journal::Journal as _;
use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::engine::{OpenReason, StoreLocation as _, WriteOp};

use crate::faulty::Disk;
use crate::on_disk::{ROUNDS, files, journal_in_log, make_unreadable, open, refused, restore};
use crate::support::{STEP_TIMEOUT, append, append_until_tombstones_are_purged, lists, payloads};
use orderstream_journal::salvage::verify;

/// The length of the first entry of the marks, bytes; beyond it, nothing in a small file is known
/// to be synced.
const LAYOUT_LEN: usize = 17;

/// The marks are reported and rewritten.
#[test]
fn missing_or_damaged_marks_stop_nothing() {
    let dir = journal_in_log();
    let pristine = files(dir.path());
    let marks = dir.path().join("journal.marks");
    let bytes = fs::read(&marks).unwrap();
    fs::remove_file(&marks).unwrap();
    let journal = open(dir.path());
    assert_eq!(refused(&journal, "no marks"), [""; 0]);
    let reported = journal.damage().files;
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].to_string(), format!("{}: it is missing", marks.display()));
    journal.close();
    assert!(open(dir.path()).damage().is_none(), "they were written anew");
    for at in 0..bytes.len() {
        restore(dir.path(), &pristine);
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&marks, &flipped).unwrap();
        let journal = open(dir.path());
        assert_eq!(refused(&journal, &format!("byte {at} of the marks")), [""; 0]);
        assert_eq!(journal.damage().files.len(), usize::from(at < LAYOUT_LEN), "byte {at}");
        assert_eq!(append(&journal, "a", ROUNDS, &["3"]), Ok(ROUNDS + 1));
        journal.close();
    }
}

/// Earlier releases wrote no marks.
#[test]
fn journals_without_marks_open() {
    let dir = journal_in_log();
    fs::remove_file(dir.path().join("journal.marks")).unwrap();
    let store = FjallLocation::new(dir.path().join("store")).open(OpenReason::Startup).unwrap();
    store.commit(vec![WriteOp::Delete(b"m".to_vec())]).unwrap();
    drop(store);
    let journal = open(dir.path());
    assert!(journal.damage().is_none(), "{:?}", journal.damage());
    assert_eq!(refused(&journal, "an earlier release"), [""; 0]);
    assert_eq!(append(&journal, "a", ROUNDS, &["3"]), Ok(ROUNDS + 1));
    journal.close();
    assert!(open(dir.path()).damage().is_none());
}

#[test]
fn removed_lists_are_not_losses() {
    let dir = journal_in_log();
    let stale = fs::read(dir.path().join("journal.marks")).unwrap();
    let journal = open(dir.path());
    journal.remove(b"b").unwrap();
    journal.remove(b"c").unwrap();
    append(&journal, "c", 0, &["again"]).unwrap();
    journal.close();
    // A power cut may lose the unsynced part of the marks.
    fs::write(dir.path().join("journal.marks"), stale).unwrap();
    let journal = open(dir.path());
    assert!(journal.damage().is_none(), "{:?}", journal.damage());
    assert_eq!(lists(&journal), [("a".to_owned(), ROUNDS), ("c".to_owned(), 1)]);
    journal.close();
    let journal = open(dir.path());
    append(&journal, "b", 0, &["again"]).unwrap();
    journal.close();
    let journal = open(dir.path());
    assert_eq!(payloads(&journal, "b", 0), ["again"]);
}

/// The marks are reported and rewritten.
#[test]
fn unreadable_marks_stop_nothing() {
    let dir = journal_in_log();
    let marks = dir.path().join("journal.marks");
    make_unreadable(&marks);
    assert_eq!(verify(dir.path()).unwrap().damage.files.len(), 1);
    let journal = open(dir.path());
    assert_eq!(refused(&journal, "unreadable marks"), [""; 0]);
    let reported = journal.damage().files;
    assert!(reported[0].reason.starts_with("it cannot be read: "), "{reported:?}");
    assert_eq!(append(&journal, "a", ROUNDS, &["3"]), Ok(ROUNDS + 1));
    journal.close();
    assert!(open(dir.path()).damage().is_none(), "they were written anew");
}

#[test]
fn damaged_large_marks_do_not_delay_opening() {
    let dir = journal_in_log();
    let path = dir.path().join("journal.marks");
    let mut marks = fs::read(&path).unwrap();
    // The content after long use; every id in it could be the length of an entry.
    for list in 0..600_000_u32 {
        marks.push(1);
        marks.extend_from_slice(&(0x0030_0000 + list).to_le_bytes());
        marks.extend_from_slice(&u64::from(list % 300).to_le_bytes());
    }
    fs::write(&path, marks).unwrap();
    let (sender, receiver) = mpsc::channel();
    let from = dir.path().to_owned();
    let opening = thread::spawn(move || sender.send(refused(&open(&from), "large marks")));
    assert_eq!(receiver.recv_timeout(STEP_TIMEOUT), Ok(vec![]));
    opening.join().unwrap().unwrap();
}

/// A journal on an in-memory disk, and its marks file.
struct JournalSnapshot {
    dir: tempfile::TempDir,
    disk: Disk,
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    marks: Vec<u8>,
}

impl JournalSnapshot {
    /// Takes a snapshot of the disk's current content.
    fn of(dir: tempfile::TempDir, disk: Disk) -> Self {
        let marks = fs::read(dir.path().join("journal.marks")).unwrap();
        let mut map = BTreeMap::new();
        disk.tamper(|stored| map.clone_from(stored));
        Self { dir, disk, map, marks }
    }

    /// Restores everything, and flips a bit in a byte of the marks.
    fn with_damage_at(&self, at: usize) -> &Path {
        let mut marks = self.marks.clone();
        marks[at] ^= 1 << (at % 8);
        fs::write(self.dir.path().join("journal.marks"), marks).unwrap();
        self.disk.tamper(|stored| stored.clone_from(&self.map));
        self.dir.path()
    }
}

/// Creates a journal in which list `a` has two records and `c` has one, `gone` was created between
/// them and removed, and `b` has many records that came last; the store no longer has the
/// tombstone. Returns the offset at which the marks of the removal end.
fn with_a_removed_list() -> (JournalSnapshot, usize) {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    append(&journal, "a", 0, &["1"]).unwrap();
    append(&journal, "gone", 0, &["1", "2"]).unwrap();
    append(&journal, "c", 0, &["1"]).unwrap();
    journal.remove(b"gone").unwrap();
    let removed = fs::metadata(dir.path().join("journal.marks")).unwrap().len();
    append(&journal, "a", 1, &["2"]).unwrap();
    append_until_tombstones_are_purged(&journal, &disk);
    journal.close();
    (JournalSnapshot::of(dir, disk), usize::try_from(removed).unwrap())
}

/// A list that was removed is not reported as lost.
#[test]
fn damaged_marks_report_no_removed_list() {
    let (snapshot, removed) = with_a_removed_list();
    for at in 0..removed {
        let dir = snapshot.with_damage_at(at);
        for start in 0..2 {
            let journal = snapshot.disk.open(dir);
            let damage = journal.damage();
            assert_eq!(damage.lists, [], "byte {at}");
            assert_eq!(damage.files.len(), 1 - start, "byte {at}: it is told once");
            let mut names = lists(&journal);
            names.retain(|(list, _)| list != "b");
            assert_eq!(names, [("a".to_owned(), 2), ("c".to_owned(), 1)], "byte {at}");
            journal.close();
        }
        let journal = snapshot.disk.open(dir);
        assert_eq!(append(&journal, "gone", 0, &["again"]), Ok(1));
    }
}

#[test]
fn marks_after_damage_still_report_losses() {
    let (snapshot, removed) = with_a_removed_list();
    for at in 0..removed {
        let dir = snapshot.with_damage_at(at);
        // All of `b`, which is new after the damage, and the end of `a`.
        snapshot.disk.tamper(|stored| {
            let last_of_a = b"r\0\0\0\0\0\0\0\0\0\0\0\x02";
            stored.retain(|key, _| {
                key != last_of_a && key != b"lb" && !key.starts_with(b"r\0\0\0\x03")
            });
        });
        let journal = snapshot.disk.open(dir);
        let lost: Vec<_> = journal.damage().lists.into_iter().map(|lost| lost.list).collect();
        assert_eq!(lost, ["a", "b"], "byte {at}");
        assert!(append(&journal, "a", 1, &["another"]).is_err(), "byte {at}");
        assert!(append(&journal, "b", 0, &["another"]).is_err(), "byte {at}");
    }
}
