//! Damage in the files of a journal: it opens, distinguishes lost records from incomplete writes,
//! refuses the damaged lists and serves the rest.

use std::fs;
use std::path::{Path, PathBuf};

use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::engine::{OpenReason, StoreLocation as _};
use orderstream_journal::salvage::{SalvagePolicy, salvage, verify};
use orderstream_journal::{AppendError, Embedded, Health, Journal, Options, ReadError};

use crate::support::{append, lists, payloads};

const LISTS: [&str; 3] = ["a", "b", "c"];
pub(crate) const ROUNDS: u64 = 2;
const PAGE: usize = 4096;

pub(crate) fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, Options::default()).unwrap()
}

/// Returns the text of a record, which names its list.
fn text(list: &str, seq: u64) -> String {
    format!("record {seq} of {list}")
}

/// Appends to each list in turn, each record in a batch of its own.
pub(crate) fn append_rounds(journal: &Embedded, from: u64, to: u64) {
    for seq in from..to {
        for list in LISTS {
            assert_eq!(append(journal, list, seq, &[&text(list, seq + 1)]), Ok(seq + 1));
        }
    }
}

/// Creates a journal with two records in each of three lists, all of them in its log, which is
/// truncated to its content.
pub(crate) fn journal_in_log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    append_rounds(&journal, 0, ROUNDS);
    journal.close();
    open(dir.path()).close();
    dir
}

/// Creates the same, with the first record of each list in a table and the second in the log.
pub(crate) fn journal_in_tables_and_log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    append_rounds(&journal, 0, 1);
    journal.close();
    drop(FjallLocation::new(dir.path().join("store")).open(OpenReason::AfterFailure).unwrap());
    let journal = open(dir.path());
    append_rounds(&journal, 1, ROUNDS);
    journal.close();
    open(dir.path()).close();
    dir
}

/// Returns all files of a journal, with their content.
pub(crate) fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// Restores all files.
pub(crate) fn restore(dir: &Path, files: &[(PathBuf, Vec<u8>)]) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    for folder in ["keyspaces/0/tables", "keyspaces/1/tables"] {
        fs::create_dir_all(dir.join("store").join(folder)).unwrap();
    }
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

fn log_of(files: &[(PathBuf, Vec<u8>)]) -> (PathBuf, Vec<u8>) {
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "jnl");
    files.iter().rfind(|(path, bytes)| is_log(path) && !bytes.is_empty()).unwrap().clone()
}

/// Replaces a file with one on which every read fails with EIO.
pub(crate) fn make_unreadable(path: &Path) {
    fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", path).unwrap();
    assert_eq!(fs::read(path).unwrap_err().raw_os_error(), Some(5));
}

/// Returns the offsets at which the batches of a log end.
fn ends(log: &[u8]) -> Vec<usize> {
    let trailers = log.windows(4).enumerate().filter(|(_, bytes)| bytes == b"FJL\x03");
    trailers.map(|(at, _)| at + 4).collect()
}

/// Checks a journal against the acknowledged records: each list is read in full and correctly, or
/// refused with a reason. Returns the refused ones.
pub(crate) fn refused(journal: &Embedded, context: &str) -> Vec<&'static str> {
    let mut refused = Vec::new();
    let names = lists(journal);
    for list in LISTS {
        assert!(names.iter().any(|(name, _)| name == list), "{context}: list {list} is not known");
        match journal.read(list.as_bytes(), 0, usize::MAX) {
            Ok(records) => {
                let found: Vec<_> = records
                    .iter()
                    .map(|record| String::from_utf8(record.payload.to_vec()).unwrap())
                    .collect();
                let expected: Vec<_> = (1..=ROUNDS).map(|seq| text(list, seq)).collect();
                assert_eq!(found, expected, "{context}: {list}");
            }
            Err(ReadError::Damaged { reason, .. }) => {
                assert!(!reason.is_empty(), "{context}");
                refused.push(list);
            }
            Err(error) => panic!("{context}: {error}"),
        }
    }
    refused
}

/// Checks that no number of a refused list is reused, whatever the caller expects.
fn assert_numbers_not_reused(journal: &Embedded, list: &str, context: &str) {
    for expected in 0..5 {
        let outcome = append(journal, list, expected, &["another"]);
        let is_refused = matches!(
            outcome,
            Err(AppendError::Damaged(_) | AppendError::Conflict { .. } | AppendError::NotQueued(_))
        );
        assert!(is_refused, "{context}: {outcome:?}");
    }
}

#[test]
fn cuts_of_acknowledged_bytes_are_losses() {
    let dir = journal_in_log();
    let pristine = files(dir.path());
    let (path, log) = log_of(&pristine);
    let ends = ends(&log);
    for cut in ends[ends.len() - 3]..log.len() {
        let context = format!("cut at {cut}");
        restore(dir.path(), &pristine);
        fs::write(&path, &log[..cut]).unwrap();
        let lost = ends.iter().filter(|end| **end > cut).count();
        let journal = open(dir.path());
        let damage = journal.damage();
        assert_eq!((damage.missing_records(), damage.read_only), (lost as u64, None), "{context}");
        let hit = refused(&journal, &context);
        assert_eq!(hit, LISTS[LISTS.len() - lost..], "{context}");
        for list in hit {
            assert_numbers_not_reused(&journal, list, &context);
        }
        assert_eq!(append(&journal, "new", 0, &["x"]), Ok(1), "{context}");
    }
}

/// Each opening of the journal reports the losses.
#[test]
fn losses_are_reported_until_removed() {
    let dir = journal_in_log();
    let (path, log) = log_of(&files(dir.path()));
    fs::write(&path, &log[..log.len() - 1]).unwrap();
    for other in 0..2 {
        let journal = open(dir.path());
        assert_eq!(refused(&journal, "again"), ["c"]);
        assert_numbers_not_reused(&journal, "c", "again");
        assert_eq!(append(&journal, "new", other, &["x"]), Ok(other + 1));
        assert!(dir.path().join("store.cut").exists(), "what was cut off is kept");
        journal.close();
    }
    let journal = open(dir.path());
    journal.remove(b"c").unwrap();
    assert_eq!(append(&journal, "c", 0, &["again"]), Ok(1));
    journal.close();
    assert!(open(dir.path()).damage().is_none());
}

#[test]
fn cuts_of_unacknowledged_bytes_lose_nothing() {
    let dir = journal_in_log();
    let before = files(dir.path());
    let unanswered = open(dir.path());
    append(&unanswered, "b", ROUNDS, &["not told", "nor this"]).unwrap();
    unanswered.close();
    let (path, longer) = log_of(&files(dir.path()));
    let begin = log_of(&before).1.len();
    let written_len = longer.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for cut in begin..written_len {
        restore(dir.path(), &before);
        fs::write(&path, [&longer[..cut], &[0; 64][..]].concat()).unwrap();
        let context = format!("cut at {cut}");
        let journal = open(dir.path());
        assert!(journal.damage().is_none(), "{context}: {:?}", journal.damage());
        assert_eq!(refused(&journal, &context), [""; 0]);
        assert_eq!(append(&journal, "b", ROUNDS, &["3"]), Ok(ROUNDS + 1), "{context}");
        journal.close();
        assert!(!dir.path().join("store.cut").exists(), "{context}: nothing is missing of it");
    }
    // The middle of the batch is missing and its end exists: pages reach the disk in any order.
    for at in begin..written_len - 1 {
        restore(dir.path(), &before);
        let mut torn = longer[..written_len].to_vec();
        torn[at] ^= 0x55;
        fs::write(&path, &torn).unwrap();
        let journal = open(dir.path());
        assert!(journal.damage().is_none(), "byte {at}: {:?}", journal.damage());
        // If the damage is in the batch's number, the whole batch may be accepted.
        let found = payloads(&journal, "b", 0).len() as u64;
        assert!(found == ROUNDS || found == ROUNDS + 2, "byte {at}: {found}");
        assert_eq!(append(&journal, "b", found, &["more"]), Ok(found + 1));
        journal.close();
    }
}

/// The torn batch was not acknowledged.
#[test]
fn torn_first_batches_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close();
    let before = files(dir.path());
    let unanswered = open(dir.path());
    append(&unanswered, "b", 0, &["not told", "nor this"]).unwrap();
    unanswered.close();
    let (path, log) = log_of(&files(dir.path()));
    let written_len = log.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in (0..written_len - 1).step_by(3) {
        restore(dir.path(), &before);
        let mut torn = log[..written_len].to_vec();
        torn[at] ^= 0x55;
        fs::write(&path, &torn).unwrap();
        let journal = open(dir.path());
        assert!(journal.damage().is_none(), "byte {at}: {:?}", journal.damage());
        // If the damage is in the batch's number, the whole batch may be accepted.
        let found = payloads(&journal, "b", 0).len() as u64;
        assert!(found == 0 || found == 2, "byte {at}: {found}");
        assert_eq!(append(&journal, "b", found, &["more"]), Ok(found + 1), "byte {at}");
        journal.close();
    }
}

/// The bytes after the last intact batch are quarantined.
#[test]
fn zeroed_log_ends_are_losses() {
    for len in [1, 87, 200] {
        let dir = journal_in_log();
        let (path, mut log) = log_of(&files(dir.path()));
        let begin = log.len() - len;
        log[begin..].fill(0);
        let lost = {
            let ends = ends(&log);
            6 - ends.len()
        };
        fs::write(&path, &log).unwrap();
        let journal = open(dir.path());
        assert_eq!(journal.damage().missing_records(), lost as u64);
        assert_eq!(journal.health(), Health::Healthy);
        let quarantined = fs::read_dir(dir.path().join("store.cut")).unwrap().count();
        assert_eq!(quarantined, 1, "what was cut off is kept");
    }
}

/// A damaged batch may be the only content of the log.
#[test]
fn damaged_only_batches_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    append(&journal, "a", 0, &[&text("a", 1)]).unwrap();
    journal.close();
    let (path, mut log) = log_of(&files(dir.path()));
    let end = ends(&log)[0];
    log[end - 1] ^= 1;
    fs::write(&path, &log).unwrap();
    let journal = open(dir.path());
    assert_eq!(journal.damage().missing_records(), 1);
    assert_eq!(fs::read(dir.path().join("store.cut/0.jnl.0")).unwrap(), log[..end]);
}

/// The journal opens read only, and its tables can be salvaged.
#[test]
fn unreadable_logs_leave_tables_to_salvage() {
    let (dir, to) = (journal_in_tables_and_log(), tempfile::tempdir().unwrap());
    let (path, _) = log_of(&files(dir.path()));
    make_unreadable(&path);
    let journal = open(dir.path());
    assert_eq!(refused(&journal, "unreadable"), LISTS);
    let reason = journal.damage().read_only.unwrap();
    assert!(reason.starts_with(&format!("{} at byte 0: it cannot be read", path.display())));
    assert!(append(&journal, "new", 0, &["x"]).is_err());
    journal.close();
    let salvaged = salvage(dir.path(), to.path(), SalvagePolicy::Keep).unwrap();
    assert_eq!(
        (salvaged.verification.damage.files[0].file.as_path(), salvaged.truncated_lists),
        (&*path, 3)
    );
    assert_eq!(verify(to.path()).unwrap().records, 3, "the first of each list");
}

#[test]
fn missing_logs_are_losses() {
    let dir = journal_in_log();
    let (path, _) = log_of(&files(dir.path()));
    fs::remove_file(path).unwrap();
    let journal = open(dir.path());
    assert_eq!(refused(&journal, "no log"), LISTS);
    assert_eq!(journal.damage().missing_records(), 6);
    for list in LISTS {
        assert_numbers_not_reused(&journal, list, "no log");
    }
    assert_eq!(append(&journal, "new", 0, &["x"]), Ok(1));
    assert_eq!(payloads(&journal, "new", 0), ["x"]);
}

#[test]
fn appends_after_a_missing_log_survive() {
    for make in [journal_in_log, journal_in_tables_and_log] {
        let dir = make();
        let (path, _) = log_of(&files(dir.path()));
        fs::remove_file(path).unwrap();
        let journal = open(dir.path());
        let reported: Vec<_> = journal.damage().files.iter().map(ToString::to_string).collect();
        let store = dir.path().join("store");
        assert_eq!(reported, [format!("{}: its log is missing", store.display())]);
        assert_eq!(journal.health(), Health::Healthy);
        for other in 0..3 {
            assert_eq!(append(&journal, "new", other, &["x"]), Ok(other + 1));
        }
        journal.close();
        for _ in 0..2 {
            let journal = open(dir.path());
            assert_eq!(refused(&journal, "no log"), LISTS);
            assert_eq!(payloads(&journal, "new", 0), ["x"; 3]);
            assert_eq!(journal.damage().files, [], "it is told when it is found");
            journal.close();
        }
    }
}

#[test]
fn flipped_log_bytes_refuse_their_lists_only() {
    let dir = journal_in_log();
    let pristine = files(dir.path());
    let (path, log) = log_of(&pristine);
    let ends = ends(&log);
    let last = ends[ends.len() - 2];
    for at in ends[1]..log.len() {
        let context = format!("byte {at}");
        restore(dir.path(), &pristine);
        let mut flipped = log.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let journal = open(dir.path());
        let hit = refused(&journal, &context);
        assert!(hit.len() <= 1, "{context}: {hit:?}");
        for list in hit {
            assert_numbers_not_reused(&journal, list, &context);
        }
        let damage = journal.damage();
        if at < last {
            let reason = damage.read_only.expect(&context);
            assert!(reason.contains("0.jnl at byte "), "{context}: {reason}");
            assert!(append(&journal, "new", 0, &["x"]).is_err(), "{context}");
            journal.close();
            assert_eq!(fs::read(&path).unwrap(), flipped, "{context}: the log is not touched");
            assert!(!dir.path().join("store.read").exists(), "{context}: the copy is gone");
        } else {
            assert_eq!(damage.read_only, None, "{context}");
            assert_eq!(append(&journal, "new", 0, &["x"]), Ok(1), "{context}");
        }
    }
}

/// The records that are still served are correct.
#[test]
fn journals_open_whatever_is_damaged() {
    let dir = journal_in_tables_and_log();
    let pristine = files(dir.path());
    assert!(
        pristine.iter().any(|(path, _)| path.ends_with("keyspaces/1/tables/1")),
        "{pristine:?}"
    );
    for (path, bytes) in &pristine {
        let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
        for (damage_kind, damaged) in damages(bytes) {
            let context = format!("{name}: {damage_kind}");
            restore(dir.path(), &pristine);
            match &damaged {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            let journal = open(dir.path());
            let hit = refused(&journal, &context);
            for list in &hit {
                assert_numbers_not_reused(&journal, list, &context);
            }
            let damage = journal.damage();
            assert!(hit.is_empty() || !damage.is_none(), "{context}");
            if let Some(reason) = damage.read_only {
                assert!(reason.contains("store/"), "{context} names no file: {reason}");
                journal.close();
                assert_eq!(fs::read(path).ok(), damaged, "{context}: nothing is repaired");
                continue;
            }
            assert_eq!(append(&journal, "new", 0, &["x"]), Ok(1), "{context}");
            journal.close();
            let journal = open(dir.path());
            assert_eq!(payloads(&journal, "new", 0), ["x"], "{context}");
            assert_eq!(refused(&journal, &context), hit, "{context}");
            journal.close();
        }
    }
}

/// Returns a file's content with each kind of damage: missing, empty, truncated, a page zeroed or
/// reversed, a bit flipped.
fn damages(bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut damages = vec![("gone".to_owned(), None)];
    if bytes.is_empty() {
        return damages;
    }
    damages.push(("empty".to_owned(), Some(Vec::new())));
    damages.push(("cut".to_owned(), Some(bytes[..bytes.len() / 2].to_vec())));
    for page in 0..bytes.len().div_ceil(PAGE) {
        let range = page * PAGE..bytes.len().min((page + 1) * PAGE);
        let mut zeroed = bytes.to_vec();
        zeroed[range.clone()].fill(0);
        damages.push((format!("page {page} zeroed"), Some(zeroed)));
        let mut swapped = bytes.to_vec();
        swapped[range].reverse();
        damages.push((format!("page {page} swapped"), Some(swapped)));
    }
    let step = bytes.len().div_ceil(24);
    for at in (0..bytes.len()).step_by(step) {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        damages.push((format!("bit {at} flipped"), Some(flipped)));
    }
    damages
}

#[test]
fn removed_lost_lists_can_begin_again() {
    let dir = journal_in_log();
    let (path, _) = log_of(&files(dir.path()));
    fs::remove_file(path).unwrap();
    let journal = open(dir.path());
    journal.remove(b"b").unwrap();
    assert_eq!(append(&journal, "b", 0, &["again"]), Ok(1));
    journal.close();
    let journal = open(dir.path());
    assert_eq!(payloads(&journal, "b", 0), ["again"]);
    assert_eq!(journal.damage().missing_records(), 4);
}

#[test]
fn half_made_stores_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fs::create_dir_all(store.join("keyspaces")).unwrap();
    fs::write(store.join("0.jnl"), vec![0; PAGE]).unwrap();
    fs::write(store.join("lock"), "").unwrap();
    let journal = open(dir.path());
    assert!(journal.damage().is_none());
    assert_eq!(append(&journal, "a", 0, &["1"]), Ok(1));
}
