//! The store below the journal: what it makes of errors, and how it is opened again after them.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;

use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::engine::{EngineError, OpenReason, StoreLocation as _};

use crate::on_disk::open;
use crate::support::{MEBIBYTE, append, payloads};

#[test]
fn only_content_errors_are_damage() {
    for (kind, expected) in [
        (ErrorKind::StorageFull, "full"),
        (ErrorKind::QuotaExceeded, "full"),
        (ErrorKind::PermissionDenied, "failed"),
        (ErrorKind::ReadOnlyFilesystem, "failed"),
        (ErrorKind::NotADirectory, "failed"),
        (ErrorKind::NotFound, "damaged"),
        (ErrorKind::UnexpectedEof, "damaged"),
        (ErrorKind::InvalidData, "damaged"),
        (ErrorKind::Other, "damaged"),
    ] {
        let found = match EngineError::from(io::Error::new(kind, "the text")) {
            EngineError::Full(_) => "full",
            EngineError::Failed(_) => "failed",
            EngineError::Damaged(_) => "damaged",
        };
        assert_eq!(found, expected, "{kind}");
    }
}

#[test]
fn probes_write_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let location = FjallLocation::new(dir.path().join("store"));
    location.probe().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let (probe, written) = (dir.path().join("store.probe"), dir.path().join("written"));
    symlink(&written, &probe).unwrap();
    location.probe().unwrap();
    assert_eq!(fs::metadata(written).unwrap().len(), MEBIBYTE as u64);
    fs::create_dir(&probe).unwrap();
    assert!(location.probe().is_err(), "there is no place to write to");
}

/// They stay in the log until then.
#[test]
fn tables_are_written_from_32_mebibytes() {
    let dir = tempfile::tempdir().unwrap();
    let tables = dir.path().join("store/keyspaces/1/tables");
    let journal = open(dir.path());
    let record = "r".repeat(MEBIBYTE);
    for seq in 0..24 {
        assert_eq!(append(&journal, "a", seq, &[&record]), Ok(seq + 1));
    }
    journal.close();
    assert_eq!(fs::read_dir(tables).unwrap().count(), 0);
    assert!(!dir.path().join("store/1.jnl").exists());
}

/// What their logs held is in tables before they are read.
#[test]
fn reopened_stores_use_new_files() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    // It takes a while to write them.
    let long = "long".repeat(1 << 18);
    for seq in 0..8 {
        assert_eq!(append(&journal, "a", seq, &[&long]), Ok(seq + 1));
    }
    journal.close();
    let store = dir.path().join("store");
    let (log, tables) = (store.join("0.jnl"), store.join("keyspaces/1/current"));
    let before = fs::read(&tables).unwrap();
    let opened = FjallLocation::new(store).open(OpenReason::AfterFailure).unwrap();
    assert_ne!(fs::read(&tables).unwrap(), before, "a table is named");
    drop(opened);
    assert!(!log.exists() || fs::metadata(&log).unwrap().len() == 0, "the old log is given up");
    let journal = open(dir.path());
    assert_eq!(payloads(&journal, "a", 0).len(), 8);
    assert_eq!(append(&journal, "a", 8, &["more"]), Ok(9));
    drop(journal);
    assert_eq!(payloads(&open(dir.path()), "a", 7), [long, "more".to_owned()]);
}
