//! Damage of the store's tables, and of the files that list them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::engine::{EngineError, OpenReason, StoreLocation as _, WriteOp};
use orderstream_journal::{Embedded, OpenError, Options};

use crate::on_disk::{
    append_rounds, files, journal_in_log, journal_in_tables_and_log, make_unreadable, open, refused,
};
use crate::support::{append, payloads};

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

/// Returns the two tables.
fn tables(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(tree(dir).join("tables")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    names
}

/// Returns the files of the store, and what was cut off its log.
fn store_files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files(dir);
    files.retain(|(path, _)| path.parent().is_none_or(|folder| folder != dir));
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
fn damaged_lists_hide_no_table() {
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
        let tables = tables(dir.path());
        fs::write(&tables[1], "").unwrap();
        let current = tree(dir.path()).join("current");
        if !is_listed {
            fs::write(&current, "").unwrap();
        }
        let damage = open(dir.path()).damage();
        assert!(damage.read_only.is_some());
        assert_eq!(damage.missing_records(), 3, "one of each list; listed: {is_listed}");
        let reported: Vec<_> = damage.files.into_iter().map(|file| file.file).collect();
        assert_eq!(reported, [if is_listed { tables[1].as_path() } else { &current }]);
    }
}

/// One of the two is missing; of the other, only the block with `b` cannot be read.
#[test]
fn blocks_beside_missing_tables_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let records: Vec<_> = ["z", "a", "b", "c"].map(|list| (list, block())).into();
    for lists in [&records[..1], &records[1..]] {
        let journal = open(dir.path());
        for (list, record) in lists {
            append(&journal, list, 0, &[record]).unwrap();
        }
        journal.close();
        drop(FjallLocation::new(store.clone()).open(OpenReason::AfterFailure).unwrap());
    }
    let tables = tables(dir.path());
    for path in &tables {
        let mut table = fs::read(path).unwrap();
        let text = &records[2].1.as_bytes()[..100];
        match table.windows(100).position(|bytes| bytes == text) {
            Some(at) => {
                table[at] ^= 1;
                fs::write(path, table).unwrap();
            }
            None => fs::remove_file(path).unwrap(),
        }
    }
    let journal = open(dir.path());
    let mut reported: Vec<_> = journal.damage().files.into_iter().map(|file| file.file).collect();
    reported.sort();
    assert_eq!(reported, tables);
    assert_eq!(payloads(&journal, "c", 0), [records[3].1.clone()]);
    let refused = journal.damage().lists;
    let refused: Vec<_> = refused.iter().map(|list| &list.list[..]).collect();
    assert_eq!(refused, [&b"a"[..], b"b", b"z"]);
}

/// Returns text that takes a block of its own in a table.
fn block() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(10_000).collect()
}

/// Creates a journal with tables and a damaged log.
fn journal_with_a_damaged_log() -> tempfile::TempDir {
    let dir = journal_in_tables_and_log();
    let log = dir.path().join("store/1.jnl");
    let mut bytes = fs::read(&log).unwrap();
    bytes[20] ^= 1;
    fs::write(&log, bytes).unwrap();
    dir
}

#[test]
fn valid_lists_of_tables_are_kept() {
    let dir = journal_with_a_damaged_log();
    let journal = open(dir.path());
    assert!(journal.damage().read_only.is_some());
    let [store, copy] = ["store", "store.read"]
        .map(|store| fs::read(dir.path().join(store).join("keyspaces/1/current")).unwrap());
    assert_eq!(store, copy);
    journal.close();
    assert!(!dir.path().join("store.read").exists());
}

#[test]
fn rescued_stores_take_no_writes() {
    let dir = journal_with_a_damaged_log();
    let names = HashMap::from([(0_u32, (Bytes::from_static(b"a"), 2_u64))]);
    let rescued = FjallLocation::new(dir.path().join("store")).rescue(&names).unwrap();
    let ops = vec![WriteOp::Delete(b"la".to_vec())];
    assert!(matches!(rescued.engine.commit(ops), Err(EngineError::Damaged(_))));
}

/// What is whole of the store would be laid out there.
#[test]
fn rescues_need_their_folder() {
    let dir = journal_with_a_damaged_log();
    fs::write(dir.path().join("store.read"), "not a folder").unwrap();
    let error = Embedded::open(dir.path(), Options::default()).unwrap_err().to_string();
    assert!(error.contains("Not a directory"), "{error}");
}

/// A table is missing, and the log has an incomplete end, which is cut off a store that is whole.
#[test]
fn stores_without_a_table_stay_untouched() {
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
fn unreadable_folders_are_errors() {
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
