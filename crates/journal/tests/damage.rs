//! A damaged list is refused with a reason; nothing is deleted, and other lists are served.

use std::collections::BTreeMap;

use orderstream_journal::{
    AppendError, DamageCounts, Embedded, Health, Journal, ReadError, RemoveError, SubmitError,
};

use crate::faulty::{Disk, Fault};
use crate::support::{append, lists, payloads};

fn filled(disk: &Disk) -> (tempfile::TempDir, Embedded) {
    let dir = tempfile::tempdir().unwrap();
    let journal = disk.open(dir.path());
    for list in ["a", "b", "c"] {
        append(&journal, list, 0, &["1", "2", "3"]).unwrap();
    }
    (dir, journal)
}

/// Returns the store's key of a record of the list of this id: `a` has 0, `b` 1 and `c` 2.
fn record_of(id: u8, seq: u8) -> Vec<u8> {
    [&b"r\0\0\0"[..], &[id], &b"\0\0\0\0\0\0\0"[..], &[seq]].concat()
}

fn record_of_b(seq: u8) -> Vec<u8> {
    record_of(1, seq)
}

fn damaged_at(journal: &Embedded, list: &str) -> Option<u64> {
    match journal.read(list.as_bytes(), 0, usize::MAX) {
        Ok(_) => None,
        Err(ReadError::Damaged { list: found, seq, reason }) => {
            assert_eq!(found, list);
            assert!(!reason.is_empty());
            Some(seq)
        }
        Err(ReadError::Io(error)) => panic!("{error}"),
    }
}

/// Runs a scan; returns each list's number of records, and the number of its damaged record.
fn scanned(journal: &Embedded) -> BTreeMap<String, (usize, Option<u64>)> {
    let mut found = BTreeMap::<_, (usize, Option<u64>)>::new();
    journal
        .scan(&mut |list, record| {
            let entry = found.entry(String::from_utf8_lossy(list).into_owned()).or_default();
            match record {
                Ok(record) => {
                    assert_eq!(entry.1, None, "nothing is given after damage");
                    entry.0 += 1;
                    assert_eq!(record.seq, entry.0 as u64);
                }
                Err(ReadError::Damaged { seq, .. }) => {
                    assert_eq!(entry.1.replace(seq), None, "a list's damage is given once");
                }
                Err(ReadError::Io(error)) => panic!("{error}"),
            }
        })
        .unwrap();
    found
}

fn all_fine() -> BTreeMap<String, (usize, Option<u64>)> {
    ["a", "b", "c"].map(|list| (list.to_owned(), (3, None))).into()
}

fn only_b(records: usize, damaged: u64) -> BTreeMap<String, (usize, Option<u64>)> {
    let mut found = all_fine();
    found.insert("b".to_owned(), (records, Some(damaged)));
    found
}

#[test]
fn flipped_byte_refuses_that_list_only() {
    let disk = Disk::default();
    let (dir, journal) = filled(&disk);
    let len = 6;
    for at in 0..len {
        disk.tamper(|map| map.get_mut(&record_of_b(2)).unwrap()[at] ^= 1);
        assert_eq!(damaged_at(&journal, "b"), Some(2));
        assert_eq!(scanned(&journal), only_b(1, 2));
        assert_eq!(payloads(&journal, "a", 0), ["1", "2", "3"]);
        assert_eq!(payloads(&journal, "b", 2), ["3"], "what is whole can be looked at");
        disk.tamper(|map| map.get_mut(&record_of_b(2)).unwrap()[at] ^= 1);
    }
    disk.tamper(|map| map.get_mut(&record_of_b(2)).unwrap()[len - 1] ^= 1);
    drop(journal);
    let journal = disk.open(dir.path());
    assert_eq!(damaged_at(&journal, "b"), Some(2), "nothing is repaired by opening again");
    assert_eq!(append(&journal, "c", 3, &["4"]), Ok(4));
}

#[test]
fn missing_record_refuses_that_list_only() {
    for (seq, after) in [(1, 0), (2, 1), (3, 2)] {
        let disk = Disk::default();
        let (dir, journal) = filled(&disk);
        disk.tamper(|map| drop(map.remove(&record_of_b(seq))));
        assert_eq!(damaged_at(&journal, "b"), Some(u64::from(seq)));
        assert_eq!(scanned(&journal), only_b(after, u64::from(seq)));
        drop(journal);
        let journal = disk.open(dir.path());
        assert_eq!(payloads(&journal, "c", 0), ["1", "2", "3"]);
        assert_eq!(damaged_at(&journal, "b"), Some(u64::from(seq)));
        let outcome = append(&journal, "b", 3, &["4"]);
        assert!(matches!(outcome, Err(AppendError::Damaged(_))), "{outcome:?}");
        assert_eq!(lists(&journal).len(), 3, "the list is still named");
        assert_eq!(journal.damage().missing_records(), 1);
        let counts = DamageCounts { lists: 1, missing_records: 1, ..DamageCounts::default() };
        assert_eq!(journal.damage_counts(), counts);
    }
}

/// It may have lost its end, or all of its records.
#[test]
fn scans_report_the_last_list_too() {
    for left in 0..3 {
        let disk = Disk::default();
        let (_dir, journal) = filled(&disk);
        disk.tamper(|map| (left + 1..=3).for_each(|seq| drop(map.remove(&record_of(2, seq)))));
        let mut expected = all_fine();
        expected.insert("c".to_owned(), (left.into(), Some(u64::from(left) + 1)));
        assert_eq!(scanned(&journal), expected);
    }
}

#[test]
fn scans_stop_at_acknowledged_ends() {
    let (longer, disk) = (Disk::default(), Disk::default());
    let (_dir_of_longer, journal) = filled(&longer);
    append(&journal, "b", 3, &["4"]).unwrap();
    let (_dir, journal) = filled(&disk);
    let mut fourth = None;
    longer.tamper(|map| fourth = map.get(&record_of_b(4)).cloned());
    disk.tamper(|map| drop(map.insert(record_of_b(4), fourth.unwrap())));
    assert_eq!(scanned(&journal), all_fine());
}

#[test]
fn damaged_keys_are_read_from_marks() {
    let disk = Disk::default();
    let (dir, journal) = filled(&disk);
    drop(journal);
    disk.tamper(|map| map.get_mut(&b"lb"[..]).unwrap()[5] ^= 1);
    let journal = disk.open(dir.path());
    assert_eq!(payloads(&journal, "b", 0), ["1", "2", "3"]);
    assert_eq!(append(&journal, "b", 3, &["4"]), Ok(4));
}

/// Other lists are served.
#[test]
fn damaged_unmarked_keys_refuse_their_list() {
    let disk = Disk::default();
    let (dir, journal) = filled(&disk);
    drop(journal);
    disk.tamper(|map| map.get_mut(&b"lb"[..]).unwrap()[5] ^= 1);
    std::fs::remove_file(dir.path().join("journal.marks")).unwrap();
    let journal = disk.open(dir.path());
    assert_eq!(damaged_at(&journal, "b"), Some(0));
    assert_eq!(scanned(&journal), only_b(0, 0));
    assert!(matches!(append(&journal, "b", 0, &["x"]), Err(AppendError::Damaged(_))));
    // What cannot be found cannot be removed.
    assert!(matches!(journal.remove(b"b"), Err(RemoveError::Damaged { seq: 0, .. })));
    assert_eq!(append(&journal, "d", 0, &["new"]), Ok(1));
    assert_eq!(payloads(&journal, "d", 0), ["new"]);
    disk.tamper(|map| map.get_mut(&b"lb"[..]).unwrap()[5] ^= 1);
    drop(journal);
    let journal = disk.open(dir.path());
    assert_eq!(payloads(&journal, "b", 0), ["1", "2", "3"], "its records were never touched");
}

#[test]
fn unreadable_blocks_refuse_their_lists_only() {
    let disk = Disk::default();
    let (dir, journal) = filled(&disk);
    disk.set_unreadable(Some(record_of_b(3)));
    assert_eq!(damaged_at(&journal, "b"), Some(3));
    assert_eq!(scanned(&journal), only_b(2, 3));
    drop(journal);
    let journal = disk.open(dir.path());
    assert_eq!(damaged_at(&journal, "b"), Some(0));
    let damage = journal.damage().lists;
    assert_eq!((damage[0].last, damage[0].missing), (3, 0), "nobody knows what is missing");
    assert_eq!(damage[0].reason, "a block cannot be read");
    assert_eq!(payloads(&journal, "c", 0), ["1", "2", "3"]);
    assert_eq!(append(&journal, "d", 0, &["new"]), Ok(1));
    assert_eq!(payloads(&journal, "d", 0), ["new"]);
}

/// A gap, a key and a block are damaged, each of another list, and no mark helps.
#[test]
fn unreadable_blocks_hide_no_other_damage() {
    let disk = Disk::default();
    let (dir, journal) = filled(&disk);
    drop(journal);
    std::fs::remove_file(dir.path().join("journal.marks")).unwrap();
    disk.tamper(|map| {
        drop(map.remove(&record_of(0, 2)));
        map.get_mut(&b"lb"[..]).unwrap()[5] ^= 1;
    });
    disk.set_unreadable(Some(record_of(2, 3)));
    let journal = disk.open(dir.path());
    let damage = journal.damage().lists;
    let found: Vec<_> =
        damage.iter().map(|list| (&list.list[..], list.seq, list.missing)).collect();
    assert_eq!(found, [(&b"a"[..], 2, 1), (b"b", 0, 0), (b"c", 0, 0)]);
    for list in ["a", "b", "c"] {
        let outcome = append(&journal, list, 3, &["4"]);
        assert!(matches!(outcome, Err(AppendError::Damaged(_))), "{list}: {outcome:?}");
    }
    let counts = DamageCounts { files: 1, lists: 3, missing_records: 1, is_read_only: false };
    assert_eq!(journal.damage_counts(), counts);
}

#[test]
fn damaged_lists_can_be_removed() {
    let disk = Disk::default();
    let (_dir, journal) = filled(&disk);
    disk.tamper(|map| map.get_mut(&record_of_b(1)).unwrap()[5] ^= 1);
    journal.remove(b"b").unwrap();
    assert_eq!(append(&journal, "b", 0, &["new"]), Ok(1));
    assert_eq!(payloads(&journal, "b", 0), ["new"]);
}

/// The journal becomes read only if a block of its store cannot be read.
#[test]
fn failed_writes_leave_whole_lists_readable() {
    let disk = Disk::default();
    let (dir, journal) = filled(&disk);
    disk.set_unreadable(Some(record_of_b(3)));
    drop(journal);
    let journal = disk.open(dir.path());
    assert_eq!(append(&journal, "c", 3, &["4"]), Ok(4), "nothing else is hit");
    disk.fail_after(0, Fault::WriteFails);
    assert!(append(&journal, "c", 4, &["5"]).is_err());
    assert!(matches!(journal.health(), Health::ReadOnly(_)), "{:?}", journal.health());
    let refused = append(&journal, "c", 4, &["5"]);
    let refused = matches!(refused, Err(AppendError::NotQueued(SubmitError::ReadOnly(_))));
    assert!(refused, "a store that cannot be merged fails again and again");
    assert_eq!(payloads(&journal, "c", 0), ["1", "2", "3", "4"]);
}
