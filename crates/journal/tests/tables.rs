//! Damage of the store's tables, and of the files that list them.

use std::fs;
use std::path::{Path, PathBuf};

use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::engine::{OpenReason, StoreLocation as _};
use orderstream_journal::{Embedded, OpenError, Options};

use crate::on_disk::{
    append_rounds, files, journal_in_log, journal_in_tables_and_log, make_unreadable, open, refused,
};

const NONE: [&str; 0] = [];

/// Creates a journal with the first record of each list in one table, and the second in another.
fn journal_in_two_tables() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for seq in 0..2 {
        let journal = open(dir.path());
        append_rounds(&journal, seq, seq + 1);
        journal.close();
        drop(FjallLocation::new(dir.path().join("store")).open(OpenReason::AfterFailure).unwrap());
    }
    dir
}

/// Returns the folder of the journal's tables and their list.
fn tree(dir: &Path) -> PathBuf {
    dir.join("store/keyspaces/1")
}

/// Returns the files of the store, and what was cut off its log.
fn store_files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files(dir);
    files.retain(|(path, _)| !path.parent().is_some_and(|folder| folder == dir));
    files
}

/// Their other files are whole, and nothing is in a table.
#[test]
fn stores_without_tables_are_checked() {
    for name in ["version", "keyspaces/0/current", "keyspaces/1/current"] {
        let dir = journal_in_log();
        let path = dir.path().join("store").join(name);
        fs::remove_file(&path).unwrap();
        let journal = open(dir.path());
        let reason = format!("{}: it is missing", path.display());
        assert_eq!(journal.damage().read_only, Some(reason));
        assert_eq!(refused(&journal, name), NONE);
        journal.close();
        fs::write(&path, "").unwrap();
        make_unreadable(&path);
        let reason = open(dir.path()).damage().read_only.unwrap();
        let expected = format!("{}: it cannot be read: ", path.display());
        assert!(reason.starts_with(&expected), "{reason}");
    }
}

/// Its checksum proves it, and so must be of a known kind.
#[test]
fn damaged_lists_of_tables_hide_no_table() {
    let dir = journal_in_two_tables();
    let current = tree(dir.path()).join("current");
    let number = u64::from_le_bytes(*fs::read(&current).unwrap().first_chunk().unwrap());
    for path in [current, tree(dir.path()).join(format!("v{number}"))] {
        let bytes = fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&path, &damaged).unwrap();
        let journal = open(dir.path());
        let reason = journal.damage().read_only.unwrap();
        assert!(reason.starts_with(&path.display().to_string()), "{reason}");
        assert_eq!(refused(&journal, &reason), NONE);
        journal.close();
        assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is repaired");
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(open(dir.path()).damage().read_only, None);
}

/// A table may have lost its index, and the list of tables may be damaged too.
#[test]
fn broken_tables_hide_no_others() {
    for is_listed in [true, false] {
        let dir = journal_in_two_tables();
        let tables = tree(dir.path()).join("tables");
        let mut names: Vec<_> =
            fs::read_dir(&tables).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        assert_eq!(names.len(), 2, "{names:?}");
        fs::write(&names[1], "").unwrap();
        if !is_listed {
            fs::write(tree(dir.path()).join("current"), "").unwrap();
        }
        let journal = open(dir.path());
        assert!(journal.damage().read_only.is_some());
        assert_eq!(journal.damage().missing_records(), 3, "one of each list; listed: {is_listed}");
    }
}

/// A table is missing, and the log has an incomplete end, which is cut off a store that is whole.
#[test]
fn stores_that_lack_a_table_are_not_touched() {
    let dir = journal_in_tables_and_log();
    fs::remove_file(tree(dir.path()).join("tables/1")).unwrap();
    let log = dir.path().join("store/1.jnl");
    fs::write(&log, [&fs::read(&log).unwrap()[..], b"torn"].concat()).unwrap();
    let before = store_files(dir.path());
    let journal = open(dir.path());
    assert!(journal.damage().read_only.is_some());
    journal.close();
    assert!(store_files(dir.path()) == before, "nothing is repaired");
}

/// They are not taken for empty folders.
#[test]
fn folders_that_cannot_be_read_are_errors() {
    let dir = journal_in_tables_and_log();
    let (tables, moved) = (tree(dir.path()).join("tables"), dir.path().join("moved"));
    fs::rename(&tables, &moved).unwrap();
    fs::write(&tables, "not a folder").unwrap();
    let opened = Embedded::open(dir.path(), Options::default());
    assert!(matches!(opened, Err(OpenError::Store { .. })), "{opened:?}");
    fs::remove_file(&tables).unwrap();
    fs::rename(&moved, &tables).unwrap();
    let journal = open(dir.path());
    assert_eq!(refused(&journal, "it is back"), NONE);
    assert!(journal.damage().is_none());
}
