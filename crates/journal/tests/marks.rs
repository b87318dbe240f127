//! Damage in the marks file: the journal keeps working, and reports no list wrongly as lost or
//! present.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::engine::{OpenReason, StoreLocation as _, WriteOp};
use orderstream_journal::{AppendError, Embedded, Journal as _, OpenError, Options, limits};

use crate::faulty::Disk;
use crate::on_disk::{ROUNDS, files, journal_in_log, make_unreadable, open, refused, restore};
use crate::support::{
    MEBIBYTE, STEP_TIMEOUT, append, append_until_tombstones_are_purged, lists, payloads, pending,
};
use orderstream_journal::salvage::verify;

/// The length of the first entry of the marks, bytes; beyond it, nothing in a small file is known
/// to be synced.
const LAYOUT_LEN: usize = 17;
/// The length of an entry that removes a list, bytes.
const REMOVAL_LEN: usize = 13;

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

/// Returns an entry for this place of the marks.
fn entry(at: usize, body: &[u8]) -> Vec<u8> {
    let place = crc32c::crc32c(&(at as u64).to_le_bytes());
    let checksum = crc32c::crc32c_append(place, body);
    let len = u32::try_from(body.len()).unwrap();
    [&len.to_le_bytes(), &checksum.to_le_bytes(), body].concat()
}

/// They may be empty, in another layout, or have an item that this release does not know.
#[test]
fn marks_of_another_release_stop_nothing() {
    let dir = journal_in_log();
    let pristine = files(dir.path());
    let marks = dir.path().join("journal.marks");
    let bytes = fs::read(&marks).unwrap();
    // Enough items that are known come first.
    let unknown = [&[3, 9, 9, 9, 9][..]; 8].concat();
    let unknown = entry(bytes.len(), &[&unknown[..], &[99]].concat());
    for (what, marked, reported) in [
        ("empty", Vec::new(), 1),
        ("another layout", entry(0, b"\0OSMARKS2"), 1),
        ("an unknown item, not synced", [&bytes[..], &unknown].concat(), 0),
    ] {
        restore(dir.path(), &pristine);
        fs::write(&marks, marked).unwrap();
        let journal = open(dir.path());
        assert_eq!(refused(&journal, what), [""; 0]);
        assert_eq!(journal.damage().files.len(), reported, "{what}");
        assert_eq!(append(&journal, "a", ROUNDS, &["3"]), Ok(ROUNDS + 1), "{what}");
        journal.close();
        assert!(open(dir.path()).damage().is_none(), "{what}: they were written anew");
    }
}

/// Marks that may be there must not be taken for missing, and written anew.
#[test]
fn marks_that_cannot_be_opened_are_errors() {
    let dir = journal_in_log();
    let marks = dir.path().join("journal.marks");
    fs::remove_file(&marks).unwrap();
    symlink("journal.marks", &marks).unwrap();
    let error = Embedded::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
    assert!(verify(dir.path()).is_err());
}

/// A process that is killed between a sync and its marks leaves such.
#[test]
fn unmarked_records_are_marked_at_the_start() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let marks = dir.path().join("journal.marks");
    let journal = disk.open(dir.path());
    append(&journal, "a", 0, &["1", "2", "3"]).unwrap();
    let at_kill = fs::read(&marks).unwrap();
    append(&journal, "a", 3, &["4"]).unwrap();
    append(&journal, "b", 0, &["1"]).unwrap();
    journal.close();
    fs::write(&marks, at_kill).unwrap();
    let journal = disk.open(dir.path());
    assert_eq!(lists(&journal), [("a".to_owned(), 4), ("b".to_owned(), 1)]);
    journal.close();
    let settled = fs::read(&marks).unwrap();
    disk.open(dir.path()).close();
    assert_eq!(fs::read(&marks).unwrap(), settled, "what is marked is not marked again");
    disk.tamper(|map| {
        let fourth = b"r\0\0\0\0\0\0\0\0\0\0\0\x04";
        map.retain(|key, _| key != fourth && key != b"lb" && !key.starts_with(b"r\0\0\0\x01"));
    });
    let damage = disk.open(dir.path()).damage().lists;
    let lost: Vec<_> = damage.iter().map(|list| (&list.list[..], list.seq, list.missing)).collect();
    assert_eq!(lost, [(&b"a"[..], 4, 1), (b"b", 1, 1)]);
}

/// The records of the earlier one are not given for those of the list.
#[test]
fn stores_that_hold_an_earlier_list_lost_it() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    append(&journal, "a", 0, &["old", "old", "old"]).unwrap();
    let mut before = BTreeMap::new();
    disk.tamper(|map| before.clone_from(map));
    journal.remove(b"a").unwrap();
    append(&journal, "a", 0, &["new"]).unwrap();
    journal.close();
    disk.tamper(|map| *map = before);
    let journal = disk.open(dir.path());
    assert_eq!(journal.damage().missing_records(), 1);
    assert!(journal.read(b"a", 0, 9).is_err());
    for expected in [0, 1, 3] {
        let outcome = append(&journal, "a", expected, &["another"]);
        assert!(matches!(outcome, Err(AppendError::Damaged(_))), "{outcome:?}");
    }
}

/// They are so from 8 MiB, in entries of 64 KiB. Each list with so long a key takes more than 512
/// bytes of them.
#[test]
fn grown_marks_are_written_anew() {
    let half = u64::try_from(4 * MEBIBYTE / limits::LIST_KEY_BYTES_MAX).unwrap();
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let marks = dir.path().join("journal.marks");
    let file = || fs::metadata(&marks).unwrap().ino();
    let journal = disk.open(dir.path());
    let first = file();
    for lists in [0..half, half..2 * half] {
        append_to_long_keys(&journal, lists);
        assert_eq!(file(), first);
    }
    append(&journal, "a", 0, &["1"]).unwrap();
    assert_ne!(file(), first, "another file has replaced it");
    let written = fs::read(&marks).unwrap();
    let entry_len = u32::from_le_bytes(*written[LAYOUT_LEN..].first_chunk().unwrap());
    assert!((64 * 1024..65 * 1024).contains(&entry_len), "{entry_len}");
    journal.close();
    let journal = disk.open(dir.path());
    assert!(journal.damage().is_none(), "{:?}", journal.damage());
    assert_eq!(lists(&journal).len() as u64, 2 * half + 1);
}

/// Appends a record to each of these lists, in one batch; their keys are as long as can be.
fn append_to_long_keys(journal: &Embedded, lists: Range<u64>) {
    let width = limits::LIST_KEY_BYTES_MAX;
    let appends = lists.map(|list| pending(&format!("{list:0>width$}"), 0, &["1"]));
    let (appends, mut outcomes): (Vec<_>, Vec<_>) = appends.unzip();
    journal.submit_all(appends).unwrap();
    outcomes.pop().unwrap().wait().unwrap();
}

/// The entry of its first append names it, also if an earlier list had the same key.
#[test]
fn marks_name_each_list_once() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let marks = dir.path().join("journal.marks");
    let len = || fs::metadata(&marks).unwrap().len();
    let key = "k".repeat(limits::LIST_KEY_BYTES_MAX);
    let journal = disk.open(dir.path());
    append(&journal, &key, 0, &["old"]).unwrap();
    journal.remove(key.as_bytes()).unwrap();
    append(&journal, &key, 0, &["1"]).unwrap();
    let named = len();
    append(&journal, &key, 1, &["2"]).unwrap();
    assert!(len() - named < limits::LIST_KEY_BYTES_MAX as u64);
    journal.close();
    disk.tamper(|map| map.get_mut(&[b"l", key.as_bytes()].concat()).unwrap()[5] ^= 1);
    assert_eq!(payloads(&disk.open(dir.path()), &key, 0), ["1", "2"]);
}

/// Earlier releases wrote none.
#[test]
fn journals_without_marks_open() {
    let dir = journal_in_log();
    fs::remove_file(dir.path().join("journal.marks")).unwrap();
    let store = FjallLocation::new(dir.path().join("store")).open(OpenReason::Startup).unwrap();
    store.commit(vec![WriteOp::Delete(b"m".to_vec())]).unwrap();
    drop(store);
    assert!(verify(dir.path()).unwrap().damage.is_none());
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

/// Makes a journal in which list `a` has two records, `c` and `d` have one, `gone` was made between
/// them and removed, and `b` has many that came last; the store has forgotten the removal. Returns
/// the place of the removal in its marks.
fn with_a_removed_list() -> (JournalSnapshot, Range<usize>) {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    append(&journal, "a", 0, &["1"]).unwrap();
    append(&journal, "gone", 0, &["1", "2"]).unwrap();
    append(&journal, "c", 0, &["1"]).unwrap();
    append(&journal, "d", 0, &["1"]).unwrap();
    journal.remove(b"gone").unwrap();
    let end = fs::metadata(dir.path().join("journal.marks")).unwrap().len();
    let end = usize::try_from(end).unwrap();
    let removal = end - REMOVAL_LEN..end;
    append(&journal, "a", 1, &["2"]).unwrap();
    append_until_tombstones_are_purged(&journal, &disk);
    journal.close();
    (JournalSnapshot::of(dir, disk), removal)
}

/// Returns the lists that are there, and their ends, but for `b`, which has many records.
fn lists_without_b(journal: &Embedded) -> Vec<(String, u64)> {
    let mut lists = lists(journal);
    lists.retain(|(list, _)| list != "b");
    lists
}

fn names_and_ends() -> Vec<(String, u64)> {
    [("a", 2), ("c", 1), ("d", 1)].map(|(list, last)| (list.to_owned(), last)).into()
}

/// A list that was removed is not reported as lost.
#[test]
fn damaged_marks_report_no_removed_list() {
    let (snapshot, removal) = with_a_removed_list();
    for at in 0..removal.end {
        let dir = snapshot.with_damage_at(at);
        for start in 0..2 {
            let journal = snapshot.disk.open(dir);
            let damage = journal.damage();
            assert_eq!(damage.lists, [], "byte {at}");
            assert_eq!(damage.files.len(), 1 - start, "byte {at}: it is told once");
            for file in damage.files {
                let doubt = file.reason.split_once("; ").map(|(_, doubt)| doubt);
                let is_expected =
                    doubt.map(|doubt| doubt.starts_with("1 of the lists that it names"));
                let expected = removal.contains(&at).then_some(true);
                assert_eq!(is_expected, expected, "byte {at}: {}", file.reason);
            }
            assert_eq!(lists_without_b(&journal), names_and_ends(), "byte {at}");
            journal.close();
        }
        let journal = snapshot.disk.open(dir);
        assert_eq!(append(&journal, "gone", 0, &["again"]), Ok(1));
    }
}

/// A list whose key is lost, too, is known by its records.
#[test]
fn doubtful_marks_still_name_lists() {
    let (snapshot, removal) = with_a_removed_list();
    for at in removal {
        let dir = snapshot.with_damage_at(at);
        snapshot.disk.tamper(|map| map.get_mut(&b"lc"[..]).unwrap()[5] ^= 1);
        let journal = snapshot.disk.open(dir);
        assert_eq!(journal.damage().lists, [], "byte {at}");
        assert_eq!(lists_without_b(&journal), names_and_ends(), "byte {at}");
        assert_eq!(payloads(&journal, "c", 0), ["1"], "byte {at}");
    }
}

#[test]
fn marks_after_damage_still_report_losses() {
    let (snapshot, removal) = with_a_removed_list();
    for at in 0..removal.end {
        let dir = snapshot.with_damage_at(at);
        // All of `b`, which is new after the damage, and the end of `a`.
        snapshot.disk.tamper(|stored| {
            let last_of_a = b"r\0\0\0\0\0\0\0\0\0\0\0\x02";
            stored.retain(|key, _| {
                key != last_of_a && key != b"lb" && !key.starts_with(b"r\0\0\0\x04")
            });
        });
        let journal = snapshot.disk.open(dir);
        let lost: Vec<_> = journal.damage().lists.into_iter().map(|lost| lost.list).collect();
        assert_eq!(lost, ["a", "b"], "byte {at}");
        assert!(append(&journal, "a", 1, &["another"]).is_err(), "byte {at}");
        assert!(append(&journal, "b", 0, &["another"]).is_err(), "byte {at}");
    }
}
