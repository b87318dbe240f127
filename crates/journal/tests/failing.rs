//! A full or failing disk: errors, never a false acknowledgement, and service again when there is
//! space.

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use bytes::Bytes;
use orderstream_journal::engine::OpenReason;
use orderstream_journal::{
    Append, AppendError, Embedded, Health, Journal, OpenError, Options, RemoveError, SubmitError,
};

use crate::faulty::{Disk, DiskSpace, Fault};
use crate::support::{
    STEP_TIMEOUT, append, append_until_tombstones_are_purged, lists, payloads, submit,
};

fn wait_until_healthy(journal: &Embedded) {
    let started = Instant::now();
    while journal.health() != Health::Healthy {
        assert!(started.elapsed() < STEP_TIMEOUT, "service resumes: {:?}", journal.health());
        std::thread::yield_now();
    }
}

fn with_three_records(disk: &Disk, dir: &Path) -> Embedded {
    let journal = disk.open(dir);
    assert_eq!(append(&journal, "a", 0, &["1", "2", "3"]), Ok(3));
    journal
}

/// Appends fail meanwhile.
#[test]
fn service_resumes_after_a_full_disk() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    disk.set_space(DiskSpace::None);
    disk.hold();
    let first = submit(&journal, "a", 3, &["lost"]).unwrap();
    disk.wait_for_commit();
    let queued = submit(&journal, "b", 0, &["lost"]).unwrap();
    disk.release();
    assert!(matches!(first.wait(), Err(AppendError::Full(_))));
    assert!(matches!(queued.wait(), Err(AppendError::Full(_))));
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
        // After a failed sync the record may be there; the caller learns it from a conflict.
        let last = if fault == Fault::SyncFails { 6 } else { 5 };
        let conflict = AppendError::Conflict { expected: 0, actual: last };
        assert_eq!(append(&journal, "a", 0, &["x"]), Err(conflict), "{fault:?}");
        assert_eq!(append(&journal, "a", last, &["x"]), Ok(last + 1), "{fault:?}");
        assert_eq!(payloads(&journal, "a", 0).len() as u64, last + 1);
    }
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

/// A list whose first append is on disk although its sync failed is reported when it is lost.
#[test]
fn refused_durable_lists_are_missed_later() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let journal = with_three_records(&disk, dir.path());
    disk.fail_after(0, Fault::SyncFails);
    assert!(append(&journal, "b", 0, &["1"]).is_err());
    wait_until_healthy(&journal);
    assert_eq!(append(&journal, "b", 1, &["2"]), Ok(2));
    journal.close();
    // The records of `b` and its key are gone, as if the end of the log were.
    disk.tamper(|map| map.retain(|key, _| key != b"lb" && !key.starts_with(b"r\0\0\0\x01")));
    let journal = disk.open(dir.path());
    let damage = journal.damage().lists;
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!((damage[0].list.as_ref(), damage[0].missing), (&b"b"[..], 2));
}

/// Makes a journal whose record 4 of list `a` was refused and is on disk all the same.
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

/// A record that is on disk although its sync failed is reported when it is lost after a kill.
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

/// Names a directory on a small volume of its own, e.g. a tmpfs of 80 MiB; without it this passes.
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
