//! Checks the store's files before the store opens them.
//!
//! The store treats missing files as files that were never created: if the names of its keyspaces
//! are missing, it removes their folders, and if a list of tables is missing, it removes the
//! tables. So the files that list others are verified here, and a store is never opened while they
//! are damaged.
//!
//! ```text
//! version                "FJL" 3
//! N.jnl                  the log
//! keyspaces/0, 1         the keyspace's name; its content
//!   current              number of the list of tables (8) | its XXH3-128 (16) | 0
//!   vN                   the list of tables
//!   tables/N             a table
//! ```

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::log::{Log, LogRegion};
use crate::damage::FileDamage;

/// The store's magic number and format version.
const VERSION: &[u8] = b"FJL\x03";
/// The length of a table's entry in the list of tables, bytes: id, kind of checksum, checksum,
/// first sequence number.
const TABLE_LEN: usize = 33;
/// The size of one read when a file's checksum is computed, bytes.
const CHUNK_LEN: usize = 256 * 1024;

/// Returns the folder of the journal's keyspace.
pub(super) fn tree(dir: &Path) -> PathBuf {
    dir.join("keyspaces").join("1")
}

/// Returns the folder of the keyspaces' names.
pub(super) fn names(dir: &Path) -> PathBuf {
    dir.join("keyspaces").join("0")
}

/// Returns the numbers of the store's log files, in order.
pub(super) fn logs(dir: &Path) -> io::Result<Vec<u64>> {
    let numbers = entries(dir)?.into_iter();
    let numbers = numbers.filter_map(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn log_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.jnl"))
}

/// Returns the names in a folder; none if the folder does not exist.
pub(super) fn entries(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// The result of checking the files.
#[derive(Debug, Default)]
pub(super) struct FileInspection {
    pub(super) damage: Vec<FileDamage>,
    /// The numbers of the logs that end in bytes that are not a batch, and the offsets of those
    /// bytes.
    pub(super) torn: Vec<(u64, u64)>,
    /// Set when the store has no log: the store creates its log first and always has one.
    pub(super) missing_log: Option<FileDamage>,
    /// The store was fully laid out. Otherwise nothing was ever written to it.
    pub(super) is_laid_out: bool,
}

/// Checks all files except the content of tables. A store that does not exist has no damage.
pub(super) fn inspect(dir: &Path) -> io::Result<FileInspection> {
    let mut inspection = FileInspection::default();
    let mut is_logged = false;
    let logs = logs(dir)?;
    for &number in &logs {
        let path = log_path(dir, number);
        let log = Log::read(&path)?;
        inspection.damage.extend(log.unreadable.clone());
        for region in log.regions() {
            match region {
                LogRegion::Whole(_) => is_logged = true,
                LogRegion::Torn(range) => inspection.torn.push((number, range.start as u64)),
                LogRegion::Damaged(range) => {
                    let what = format!("{} bytes of its log are not what was written", range.len());
                    let at = Some(range.start as u64);
                    inspection.damage.push(FileDamage {
                        file: path.clone(),
                        offset: at,
                        reason: what,
                    });
                }
            }
        }
    }
    let has_tables = !entries(&tree(dir).join("tables"))?.is_empty();
    let is_fresh = !is_logged && !has_tables && inspection.damage.is_empty();
    // The store writes its file `version` after its first log exists.
    inspection.is_laid_out = !is_fresh || dir.join("version").exists();
    if inspection.is_laid_out && logs.is_empty() {
        inspection.missing_log = Some(file_damage(dir, "its log is missing".to_owned()));
    }
    if is_fresh {
        return Ok(inspection);
    }
    inspection.damage.extend(check_version(dir));
    for tree in [names(dir), tree(dir)] {
        match tables(&tree) {
            Ok(tables) => {
                let files = tables.iter().map(|table| table_path(&tree, table.id));
                inspection.damage.extend(files.filter_map(|file| check_exists(&file)));
            }
            Err(damage) => inspection.damage.push(damage),
        }
    }
    Ok(inspection)
}

fn check_version(dir: &Path) -> Option<FileDamage> {
    let file = dir.join("version");
    match fs::read(&file) {
        Ok(bytes) if bytes == VERSION => None,
        Ok(bytes) => {
            let what = format!("it holds '{}' and not 'FJL\\x03'", bytes.escape_ascii());
            Some(file_damage(&file, what))
        }
        Err(error) => Some(unreadable(&file, &error)),
    }
}

/// An entry of the list of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) id: u64,
    checksum: u128,
}

/// Reads a keyspace's list of tables.
pub(super) fn tables(tree: &Path) -> Result<Vec<Table>, FileDamage> {
    let file = tree.join("current");
    let current = fs::read(&file).map_err(|error| unreadable(&file, &error))?;
    let (number, checksum) = split_current(&current)
        .ok_or_else(|| file_damage(&file, "it does not name a list of tables".to_owned()))?;
    let file = tree.join(format!("v{number}"));
    let list = fs::read(&file).map_err(|error| unreadable(&file, &error))?;
    if xxh3_128(&list) != checksum {
        return Err(file_damage(&file, "its checksum is wrong".to_owned()));
    }
    parse(&list)
        .ok_or_else(|| file_damage(&file, "its layout is unknown to this release".to_owned()))
}

pub(super) fn table_path(tree: &Path, id: u64) -> PathBuf {
    tree.join("tables").join(id.to_string())
}

fn check_exists(file: &Path) -> Option<FileDamage> {
    fs::metadata(file).err().map(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &io::Error) -> FileDamage {
    if error.kind() == io::ErrorKind::NotFound {
        return file_damage(file, "it is missing".to_owned());
    }
    file_damage(file, format!("it cannot be read: {error}"))
}

fn file_damage(file: &Path, what: String) -> FileDamage {
    FileDamage { file: file.to_owned(), offset: None, reason: what }
}

fn split_current(bytes: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    let (checksum, kind) = rest.split_first_chunk::<16>()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

/// Parses a list of tables: after one byte with the number of levels, each level has a number of
/// runs (1 byte), and each run a number of tables (4 bytes).
fn parse(list: &[u8]) -> Option<Vec<Table>> {
    let archive = sfa::Reader::from_reader(&mut io::Cursor::new(list)).ok()?;
    let section = archive.toc().section(b"tables")?;
    let begin = usize::try_from(section.pos()).ok()?;
    let end = begin.checked_add(usize::try_from(section.len()).ok()?)?;
    let mut rest = list.get(begin..end)?;
    let mut tables = Vec::new();
    for _ in 0..byte(&mut rest)? {
        for _ in 0..byte(&mut rest)? {
            let (count, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            for _ in 0..u32::from_le_bytes(*count) {
                let (table, after) = rest.split_first_chunk::<TABLE_LEN>()?;
                rest = after;
                let (id, checksum) = table.split_first_chunk::<8>()?;
                let checksum = checksum.get(1..)?.first_chunk::<16>()?;
                let (id, checksum) = (u64::from_le_bytes(*id), u128::from_le_bytes(*checksum));
                tables.push(Table { id, checksum });
            }
        }
    }
    rest.is_empty().then_some(tables)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

/// Reads a table in full and verifies its checksum.
pub(super) fn verify(tree: &Path, table: Table) -> Result<(), FileDamage> {
    let file = table_path(tree, table.id);
    match checksum_of(&file) {
        Ok(checksum) if checksum == table.checksum => Ok(()),
        Ok(_) => Err(file_damage(&file, "its checksum is wrong".to_owned())),
        Err(error) => Err(unreadable(&file, &error)),
    }
}

/// Reports whether a file that is not in the list of tables has the layout of a table.
pub(super) fn is_table(tree: &Path, id: u64) -> bool {
    sfa::Reader::new(table_path(tree, id)).is_ok()
}

fn checksum_of(file: &Path) -> io::Result<u128> {
    let (mut file, mut hasher) = (File::open(file)?, Xxh3Default::new());
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        let len = file.read(&mut chunk)?;
        if len == 0 {
            return Ok(hasher.digest128());
        }
        hasher.update(chunk.get(..len).unwrap_or_default());
    }
}

/// Returns the ids of all tables in a keyspace's folder; used when the list of tables is damaged.
pub(super) fn table_files(tree: &Path) -> io::Result<Vec<u64>> {
    let names = entries(&tree.join("tables"))?;
    let mut ids: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}
