//! A full or failing disk causes errors, never a false acknowledgement; service resumes when there
//! is space.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Instant;

use bytes::Bytes;
use orderstream_journal::engine::OpenReason;
use orderstream_journal::{
    Append, AppendError, DamageCounts, Embedded, Health, Journal, OpenError, Options, ReadError,
    RemoveError, SubmitError, limits,
};

use crate::faulty::{DAMAGE, Disk, DiskSpace, Fault};
use crate::support::{
    STEP_TIMEOUT, append, append_until_tombstones_are_purged, lists, payloads, pending, submit,
};

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < STEP_TIMEOUT, "{what}");
        std::thread::yield_now();
    }
}

fn wait_until_healthy(journal: &Embedded) {
    wait_until("service resumes", || journal.health() == Health::Healthy);
}

fn with_three_records(disk: &Disk, dir: &Path) -> Embedded {
    let journal = disk.open(dir);
    assert_eq!(append(&journal, "a", 0, &["1", "2", "3"]), Ok(3));
    journal
}

/// Appends fail until then.
#[test]
fn service_resumes_after_a_full_disk() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    disk.set_space(DiskSpace::None);
    disk.hold();
    let together = [pending("a", 3, &["lost"]), pending("c", 0, &["lost"])];
    let (appends, outcomes): (Vec<_>, Vec<_>) = together.into_iter().unzip();
    journal.submit_all(appends).unwrap();
    disk.wait_for_commit();
    let queued = submit(&journal, "b", 0, &["lost"]).unwrap();
    disk.release();
    for outcome in outcomes.into_iter().chain([queued]) {
        assert!(matches!(outcome.wait(), Err(AppendError::Full(_))));
    }
    assert_eq!(journal.stats().failed_appends.load(Ordering::Relaxed), 3, "with the queued one");
    assert!(matches!(journal.health(), Health::Unhealthy(_)));
    let refused = submit(&journal, "a", 3, &["lost"]).map(drop);
    assert!(matches!(refused, Err(SubmitError::Unhealthy(_))), "{refused:?}");
    assert!(matches!(journal.remove(b"a"), Err(RemoveError::NotDurable(_))));
    assert_eq!(payloads(&journal, "a", 0), ["1", "2", "3"], "reads go on");
    disk.set_space(DiskSpace::Enough);
    wait_until_healthy(&journal);
    assert_eq!(disk.open_reasons(), [OpenReason::Startup, OpenReason::AfterFailure]);
    assert_eq!(append(&journal, "a", 3, &["4"]), Ok(4));
    assert_eq!(payloads(&journal, "a", 0), ["1", "2", "3", "4"]);
    assert_eq!(payloads(&journal, "b", 0), [""; 0]);
}

#[test]
fn failed_writes_are_never_acknowledged() {
    for fault in [Fault::WriteFails, Fault::SyncFails, Fault::DiskFull, Fault::Panics] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
        let journal = with_three_records(&disk, dir.path());
        disk.fail_after(2, fault);
        assert_eq!(append(&journal, "a", 3, &["4"]), Ok(4));
        assert_eq!(append(&journal, "a", 4, &["5"]), Ok(5));
        let outcome = append(&journal, "a", 5, &["6"]);
        assert!(outcome.is_err(), "{fault:?}: {outcome:?}");
        wait_until_healthy(&journal);
        // After a failed sync the record may exist; the caller finds out by a conflict.
        let last = if fault == Fault::SyncFails { 6 } else { 5 };
        let conflict = AppendError::Conflict { expected: 0, actual: last };
        assert_eq!(append(&journal, "a", 0, &["x"]), Err(conflict), "{fault:?}");
        assert_eq!(append(&journal, "a", last, &["x"]), Ok(last + 1), "{fault:?}");
        assert_eq!(payloads(&journal, "a", 0).len() as u64, last + 1);
    }
}

/// The disk is asked at once, and then ever more seldom.
#[test]
fn full_disks_are_asked_with_back_off() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    disk.set_space(DiskSpace::None);
    let failed = Instant::now();
    assert!(append(&journal, "a", 3, &["4"]).is_err());
    wait_until("the disk is asked twice", || disk.probes().len() >= 2);
    let probes = disk.probes();
    assert!(probes[0] - failed >= limits::REOPEN_BACKOFF_MIN);
    assert!(probes[1] - probes[0] >= limits::REOPEN_BACKOFF_MIN * 2);
}

/// A record is missing, and the key of a list is damaged, when the store is opened again.
#[test]
fn losses_during_a_failure_are_refused() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    assert_eq!(append(&journal, "b", 0, &["1", "2"]), Ok(2));
    lose_record_3_and_the_key_of_b(&disk);
    disk.fail_after(0, Fault::WriteFails);
    assert!(append(&journal, "b", 2, &["3"]).is_err());
    wait_until_healthy(&journal);
    assert_only_record_3_is_lost(&journal);
    assert_eq!(append(&journal, "b", 2, &["3"]), Ok(3));
}

fn lose_record_3_and_the_key_of_b(disk: &Disk) {
    disk.tamper(|map| {
        assert!(map.remove(&b"r\0\0\0\0\0\0\0\0\0\0\0\x03"[..]).is_some());
        map.get_mut(&b"lb"[..]).unwrap()[5] ^= 1;
    });
}

fn assert_only_record_3_is_lost(journal: &Embedded) {
    let read = journal.read(b"a", 0, 9);
    assert!(matches!(read, Err(ReadError::Damaged { seq: 3, .. })), "{read:?}");
    assert_eq!(lists(journal), [("a".to_owned(), 3), ("b".to_owned(), 2)]);
    assert_eq!(payloads(journal, "b", 0), ["1", "2"]);
}

/// A disk that failed once more may be whole again.
#[test]
fn damage_that_goes_away_is_waited_for() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    disk.damage_opens(3);
    disk.fail_after(0, Fault::WriteFails);
    assert!(append(&journal, "a", 3, &["4"]).is_err());
    wait_until_healthy(&journal);
    assert_eq!(disk.open_reasons().len(), 1 + 4);
    assert_eq!(append(&journal, "a", 3, &["4"]), Ok(4));
}

/// What is whole of it is served.
#[test]
fn damage_that_stays_makes_journals_read_only() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    assert_eq!(append(&journal, "b", 0, &["1", "2"]), Ok(2));
    lose_record_3_and_the_key_of_b(&disk);
    disk.damage_opens(usize::MAX);
    disk.fail_after(0, Fault::WriteFails);
    assert!(append(&journal, "b", 2, &["3"]).is_err());
    wait_until("it is read only", || journal.read_only().is_some());
    assert_eq!(disk.open_reasons().len(), 1 + 4);
    assert_eq!(journal.read_only().unwrap(), DAMAGE);
    assert_only_record_3_is_lost(&journal);
    let refused = append(&journal, "b", 2, &["3"]);
    let refused = matches!(refused, Err(AppendError::NotQueued(SubmitError::ReadOnly(_))));
    assert!(refused, "no number is given twice");
    let counts = DamageCounts { files: 1, lists: 1, missing_records: 1, is_read_only: true };
    assert_eq!(journal.damage_counts(), counts);
}

/// They are not written from what is left of the store, even where they were not written before.
#[test]
fn read_only_journals_leave_their_marks() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let (marks, obstacle) =
        (dir.path().join("journal.marks"), dir.path().join("journal.marks.new"));
    let journal = with_three_records(&disk, dir.path());
    assert_eq!(append(&journal, "b", 0, &["1"]), Ok(1));
    disk.set_unreadable(Some(b"r\0\0\0\x01\0\0\0\0\0\0\0\x01".to_vec()));
    std::fs::create_dir(&obstacle).unwrap();
    disk.fail_after(0, Fault::WriteFails);
    assert!(append(&journal, "a", 3, &["4"]).is_err());
    wait_until_healthy(&journal);
    disk.fail_after(0, Fault::WriteFails);
    assert!(append(&journal, "a", 3, &["4"]).is_err());
    assert!(journal.read_only().is_some(), "{:?}", journal.health());
    let before = std::fs::read(&marks).unwrap();
    std::fs::remove_dir(&obstacle).unwrap();
    journal.close();
    assert_eq!(std::fs::read(&marks).unwrap(), before);
}

/// Starts to remove list `a`, and waits until the removal is written and not synced.
fn remove_unsynced<'a>(
    scope: &'a std::thread::Scope<'a, '_>,
    journal: &'a Embedded,
    disk: &Disk,
) -> std::thread::ScopedJoinHandle<'a, Result<(), RemoveError>> {
    disk.hold_syncs();
    let removal = scope.spawn(|| journal.remove(b"a"));
    disk.wait_for_commit();
    removal
}

/// They are not damaged, though the store has their ends and not their records.
#[test]
fn lists_being_removed_read_as_removed() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = &with_three_records(&disk, dir.path());
    std::thread::scope(|scope| {
        let removal = remove_unsynced(scope, journal, &disk);
        let (records, lists) = (journal.read(b"a", 0, 10), lists(journal));
        disk.release();
        assert!(removal.join().unwrap().is_ok());
        assert!(matches!(&records, Ok(records) if records.is_empty()), "{records:?}");
        assert_eq!(lists, []);
    });
    assert_eq!(append(journal, "a", 0, &["new"]), Ok(1));
    assert_eq!(payloads(journal, "a", 0), ["new"]);
}

/// Their reads fail until the store is open again; they are not damaged.
#[test]
fn lists_of_failed_removals_are_unavailable() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = &with_three_records(&disk, dir.path());
    disk.fail_after(0, Fault::SyncFails);
    std::thread::scope(|scope| {
        let removal = remove_unsynced(scope, journal, &disk);
        disk.set_space(DiskSpace::None);
        disk.release();
        assert!(matches!(removal.join().unwrap(), Err(RemoveError::NotDurable(_))));
    });
    assert!(matches!(journal.read(b"a", 0, 10), Err(ReadError::Io(_))));
    assert_eq!(lists(journal), [("a".to_owned(), 3)], "it is not known to be removed");
    disk.set_space(DiskSpace::Enough);
    wait_until_healthy(journal);
    assert_eq!(payloads(journal, "a", 0), [""; 0]);
    assert_eq!(lists(journal), []);
}

/// A removal may be on disk although its sync failed.
#[test]
fn failed_durable_removals_are_not_losses() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    disk.fail_after(0, Fault::SyncFails);
    assert!(matches!(journal.remove(b"a"), Err(RemoveError::NotDurable(_))));
    wait_until_healthy(&journal);
    let last = append_until_tombstones_are_purged(&journal, &disk);
    journal.close();
    let journal = disk.open(dir.path());
    assert!(journal.damage().is_none(), "{:?}", journal.damage());
    assert_eq!(lists(&journal), [("b".to_owned(), last)]);
}

/// The loss of a list is reported even if the sync of its first append failed, but the append was
/// on disk.
#[test]
fn refused_durable_lists_are_missed_later() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    disk.fail_after(0, Fault::SyncFails);
    assert!(append(&journal, "b", 0, &["1"]).is_err());
    wait_until_healthy(&journal);
    assert_eq!(append(&journal, "b", 1, &["2"]), Ok(2));
    journal.close();
    // The records of `b` and its key are missing, as if the end of the log were lost.
    disk.tamper(|map| map.retain(|key, _| key != b"lb" && !key.starts_with(b"r\0\0\0\x01")));
    let journal = disk.open(dir.path());
    let damage = journal.damage().lists;
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!((damage[0].list.as_ref(), damage[0].missing), (&b"b"[..], 2));
}

/// Creates a journal in which record 4 of list `a` was refused but is on disk.
fn with_a_refused_record_on_disk(disk: &Disk, dir: &Path) -> Embedded {
    let journal = with_three_records(disk, dir);
    disk.fail_after(0, Fault::SyncFails);
    assert!(append(&journal, "a", 3, &["4"]).is_err());
    wait_until_healthy(&journal);
    assert_eq!(payloads(&journal, "a", 0), ["1", "2", "3", "4"], "it may be told of from now on");
    journal
}

/// Removes the last record of list `a`, as if the end of the log were lost; returns the number of
/// missing records.
fn missing_without_record_4(disk: &Disk, dir: &Path) -> u64 {
    disk.tamper(|map| assert!(map.remove(&b"r\0\0\0\0\0\0\0\0\0\0\0\x04"[..]).is_some()));
    let journal = disk.open(dir);
    assert!(append(&journal, "a", 3, &["another 4"]).is_err(), "no number is given twice");
    journal.damage().missing_records()
}

/// The loss of a record after a kill is reported even if its sync failed, but it was on disk.
#[test]
fn refused_durable_records_are_missed_later() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_a_refused_record_on_disk(&disk, dir.path());
    let marks = dir.path().join("journal.marks");
    let marks_at_kill = std::fs::read(&marks).unwrap();
    journal.close();
    std::fs::write(&marks, marks_at_kill).unwrap();
    assert_eq!(missing_without_record_4(&disk, dir.path()), 1);
}

#[test]
fn closing_writes_outstanding_marks() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let obstacle = dir.path().join("journal.marks.new");
    let journal = with_three_records(&disk, dir.path());
    std::fs::create_dir(&obstacle).unwrap();
    disk.fail_after(0, Fault::SyncFails);
    assert!(append(&journal, "a", 3, &["4"]).is_err());
    wait_until_healthy(&journal);
    std::fs::remove_dir(&obstacle).unwrap();
    journal.close();
    assert_eq!(missing_without_record_4(&disk, dir.path()), 1);
}

#[test]
fn failed_journals_can_be_closed() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    disk.set_space(DiskSpace::None);
    assert!(matches!(append(&journal, "a", 3, &["4"]), Err(AppendError::Full(_))));
    journal.close();
    disk.set_space(DiskSpace::Enough);
    let journal = disk.open(dir.path());
    assert_eq!(payloads(&journal, "a", 0), ["1", "2", "3"]);
}

/// A `done` may drop the last handle.
#[test]
fn journals_stay_locked_until_closed() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = disk.open(dir.path());
    disk.hold();
    let (sender, receiver) = mpsc::channel();
    let (last, path, same_disk) = (journal.clone(), dir.path().to_owned(), disk.clone());
    let done = Box::new(move |_| {
        drop(last);
        let opened = Embedded::open_at(&path, Options::default(), Box::new(same_disk));
        sender.send(opened.map(drop)).unwrap();
    });
    let (list, records) = (Bytes::from_static(b"a"), vec![Bytes::from_static(b"1")]);
    journal.submit(Append { list, expected: 0, records, done }).unwrap();
    drop(journal);
    disk.release();
    let opened = receiver.recv_timeout(STEP_TIMEOUT).unwrap();
    assert!(matches!(opened, Err(OpenError::Locked { .. })), "{opened:?}");
}

/// The variable that names a directory on a small dedicated volume, e.g. a tmpfs of 80 MiB; the
/// test is skipped if it is not set.
const SMALL_VOLUME: &str = "ORDERSTREAM_JOURNAL_SMALL_VOLUME";

/// Service resumes when there is space.
#[test]
fn full_volumes_lose_nothing() {
    let Some(volume) = std::env::var_os(SMALL_VOLUME) else { return };
    let (dir, ballast) = (Path::new(&volume).join("journal"), Path::new(&volume).join("ballast"));
    let journal = Embedded::open(&dir, Options::default()).unwrap();
    let record = "r".repeat(64 * 1024);
    let mut last = append(&journal, "a", 0, &[&record]).unwrap();
    for _ in 0..3 {
        let mut fill = std::fs::File::create(&ballast).unwrap();
        while std::io::Write::write_all(&mut fill, &[1; 4096]).is_ok() {}
        let refusal = loop {
            match append(&journal, "a", last, &[&record]) {
                Ok(written) => last = written,
                Err(refusal) => break refusal,
            }
        };
        assert!(matches!(refusal, AppendError::Full(_)), "{refusal:?}");
        assert_eq!(payloads(&journal, "a", 0).len() as u64, last, "reads go on");
        drop(fill);
        std::fs::remove_file(&ballast).unwrap();
        wait_until_healthy(&journal);
        let found = payloads(&journal, "a", 0).len() as u64;
        assert!(found == last || found == last + 1, "{found} of {last}");
        last = append(&journal, "a", found, &[&record]).unwrap();
    }
    journal.close();
    let journal = Embedded::open(&dir, Options::default()).unwrap();
    assert_eq!(payloads(&journal, "a", 0).len() as u64, last);
}
