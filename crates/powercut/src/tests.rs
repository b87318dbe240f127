//! Tests of the model against the rules for what a disk may hold.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use proptest::prelude::*;

use crate::{DiskChange, PowerCut, RecordedDisk, scratch};

/// The inode number of the file in these tests.
const FILE: u64 = u64::MAX;

/// Returns a disk with one file, whose name is on disk.
fn with_file(dir: &Path) -> RecordedDisk {
    let mut disk = RecordedDisk::synced(dir).unwrap();
    disk.apply(&DiskChange::Create { path: dir.join("file"), ino: FILE });
    sync_folder(&mut disk, dir);
    disk
}

fn sync_folder(disk: &mut RecordedDisk, dir: &Path) {
    disk.apply(&DiskChange::Sync { ino: fs::metadata(dir).unwrap().ino() });
}

fn write(disk: &mut RecordedDisk, offset: u64, data: &[u8]) {
    disk.apply(&DiskChange::Write { ino: FILE, offset, data: data.to_vec() });
}

/// Returns the file's content after a cut; `None` if the file does not exist.
fn found(disk: &RecordedDisk, seed: u64) -> Option<Vec<u8>> {
    let dir = scratch().unwrap();
    disk.after_cut(PowerCut { seed }).write(dir.path()).unwrap();
    fs::read(dir.path().join("file")).ok()
}

/// Returns all contents that a few hundred seeds yield.
fn all_found(disk: &RecordedDisk) -> BTreeSet<Option<Vec<u8>>> {
    (0..300).map(|seed| found(disk, seed)).collect()
}

#[test]
fn synced_bytes_survive_and_others_may() {
    let dir = scratch().unwrap();
    let mut disk = with_file(dir.path());
    write(&mut disk, 0, b"old");
    disk.apply(&DiskChange::Sync { ino: FILE });
    assert!(disk.is_synced());
    assert_eq!(all_found(&disk), BTreeSet::from([Some(b"old".to_vec())]));
    write(&mut disk, 0, b"new and longer");
    let all = all_found(&disk);
    for legal in [&b"old"[..], b"new", b"new and longer", b"old\0\0\0\0\0\0\0\0\0\0\0"] {
        assert!(all.contains(&Some(legal.to_vec())), "{legal:?} may be found");
    }
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(found(&disk, PowerCut::WORST.seed), Some(b"old".to_vec()));
}

/// Pages are also written in part, sector by sector.
#[test]
fn pages_are_written_in_any_order() {
    let dir = scratch().unwrap();
    let mut disk = with_file(dir.path());
    write(&mut disk, 0, &[1; 3 * 4096]);
    let all = all_found(&disk);
    let is = |test: &dyn Fn(&[u8]) -> bool| all.iter().flatten().any(|bytes| test(bytes));
    assert!(is(&|bytes| bytes.len() == 3 * 4096 && bytes[0] == 0 && bytes[4096] == 1), "order");
    assert!(is(&|bytes| bytes.len() > 512 && bytes[0] != bytes[512]), "torn at a sector");
    let are_whole =
        |bytes: &[u8]| bytes.chunks(512).all(|sector| sector.iter().all(|b| *b == sector[0]));
    assert!(all.iter().flatten().all(|bytes| are_whole(bytes)), "a sector is whole");
}

/// A sync of the file is not enough.
#[test]
fn names_survive_by_syncs_of_their_folder() {
    let dir = scratch().unwrap();
    let mut disk = RecordedDisk::synced(dir.path()).unwrap();
    disk.apply(&DiskChange::Create { path: dir.path().join("file"), ino: FILE });
    write(&mut disk, 0, b"x");
    disk.apply(&DiskChange::Sync { ino: FILE });
    assert_eq!(all_found(&disk), BTreeSet::from([None, Some(b"x".to_vec())]));
    sync_folder(&mut disk, dir.path());
    assert_eq!(all_found(&disk), BTreeSet::from([Some(b"x".to_vec())]));
}

#[test]
fn renames_are_atomic_in_any_order() {
    let dir = scratch().unwrap();
    let mut disk = with_file(dir.path());
    write(&mut disk, 0, b"one");
    disk.apply(&DiskChange::Sync { ino: FILE });
    let path = |name: &str| dir.path().join(name);
    disk.apply(&DiskChange::Create { path: path("next"), ino: FILE - 1 });
    disk.apply(&DiskChange::Write { ino: FILE - 1, offset: 0, data: b"two".to_vec() });
    disk.apply(&DiskChange::Sync { ino: FILE - 1 });
    disk.apply(&DiskChange::Rename { from: path("next"), to: path("file") });
    disk.apply(&DiskChange::Create { path: path("third"), ino: FILE - 2 });
    let two = [b"one".to_vec(), b"two".to_vec()].map(Some);
    assert_eq!(all_found(&disk), BTreeSet::from(two));
    let names = (1..300).map(|seed| {
        let dir = scratch().unwrap();
        disk.after_cut(PowerCut { seed }).write(dir.path()).unwrap();
        let has = |name: &str| dir.path().join(name).exists();
        assert!(has("file"), "one of both is there");
        (has("next"), has("third"))
    });
    let names: BTreeSet<_> = names.collect();
    assert!(names.contains(&(true, true)), "a later change of names without the one before");
    sync_folder(&mut disk, dir.path());
    assert_eq!(all_found(&disk), BTreeSet::from([Some(b"two".to_vec())]));
}

/// A later sync writes only pages that were written again.
#[test]
fn failed_syncs_drop_pages_for_good() {
    let dir = scratch().unwrap();
    let mut disk = with_file(dir.path());
    write(&mut disk, 0, &[1; 100]);
    disk.apply(&DiskChange::SyncFailed { ino: FILE, drops: true });
    write(&mut disk, 4096, &[2; 4]);
    disk.apply(&DiskChange::Sync { ino: FILE });
    let lost = found(&disk, PowerCut::WORST.seed).unwrap();
    assert_eq!(
        (lost[0], &lost[4096..]),
        (0, &[2; 4][..]),
        "the first page is lost, the second is not"
    );
    // Writing the page again writes all of it.
    write(&mut disk, 99, &[1]);
    disk.apply(&DiskChange::Sync { ino: FILE });
    assert_eq!(found(&disk, PowerCut::WORST.seed).unwrap()[..100], [1; 100]);
}

#[derive(Clone, Debug)]
enum FileOp {
    Write(u16, Vec<u8>),
    Resize(u16),
    Sync,
}

fn file_ops() -> impl Strategy<Value = Vec<FileOp>> {
    let bytes = proptest::collection::vec(1_u8.., 1..5000);
    let op = prop_oneof![
        4 => (0_u16..20_000, bytes).prop_map(|(at, bytes)| FileOp::Write(at, bytes)),
        1 => (0_u16..20_000).prop_map(FileOp::Resize),
        2 => Just(FileOp::Sync),
    ];
    proptest::collection::vec(op, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Compared with a file in memory: all synced bytes are found, and each other byte is one of
    /// those written at its offset since the last sync.
    #[test]
    fn bytes_come_from_writes_since_last_sync(deeds in file_ops(), seed in 0_u64..50) {
        let dir = scratch().unwrap();
        let mut disk = with_file(dir.path());
        let (mut now, mut since) = (Vec::new(), vec![Vec::new()]);
        for deed in deeds {
            match deed {
                FileOp::Write(at, bytes) => {
                    let end = usize::from(at) + bytes.len();
                    now.resize(end.max(now.len()), 0);
                    now[usize::from(at)..end].copy_from_slice(&bytes);
                    write(&mut disk, u64::from(at), &bytes);
                }
                FileOp::Resize(len) => {
                    now.resize(usize::from(len), 0);
                    disk.apply(&DiskChange::Resize { ino: FILE, len: u64::from(len) });
                }
                FileOp::Sync => {
                    since.clear();
                    disk.apply(&DiskChange::Sync { ino: FILE });
                }
            }
            since.push(now.clone());
        }
        let found = found(&disk, seed).unwrap();
        prop_assert!(since.iter().any(|state| state.len() == found.len()));
        for (at, byte) in found.iter().enumerate() {
            let stood = since.iter().any(|state| state.get(at).copied().unwrap_or(0) == *byte);
            prop_assert!(stood, "byte {} is {}", at, byte);
        }
    }
}
