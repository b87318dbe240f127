//! Opens the intact parts of a damaged store, read only.
//!
//! A new store is laid out in a folder next to the damaged one, which is not touched: the tables
//! are linked or copied; from the log it takes every intact batch, and every record of a damaged
//! batch whose own checksum is valid. So a record is missing only if it is damaged itself, or if
//! its batch can no longer be split into records. Nothing is merged or written there: it needs the
//! space of the log, and that of the tables only if the file system does not support hard links.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Cursor, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::fjall::{Database, KeyspaceCreateOptions};
use bytes::Bytes;

use super::files::{self, FileInspection};
use super::log::{self, Log, LogItem, LogRegion};
use super::{Fjall, KEYSPACE, quarantine};
use crate::damage::FileDamage;
use crate::engine::{Engine, EngineError, EntryVisitor, ListCatalog, RescuedStore, WriteOp};
use crate::keys;
use crate::writer::catch_panics;
use crate::{frame, limits, pages};

/// The number of the new store's only log.
const LOG: u64 = 0;
/// The number of the new store's list of tables.
const TABLES_NUMBER: u64 = 1;
/// The number of levels of tables in the store's format.
const LEVELS: u8 = 7;
/// The largest number of runs in one level in the store's format.
const RUNS_MAX: usize = 255;

/// Opens the intact parts of the store in `dir`, laid out in the folder `scratch`, which is
/// recreated.
pub(super) fn rescue(
    dir: &Path,
    scratch: PathBuf,
    catalog: &dyn ListCatalog,
) -> Result<RescuedStore, EngineError> {
    let FileInspection { mut damage, missing_log, .. } = files::inspect(dir)?;
    damage.extend(missing_log);
    let mut log = merge_logs(dir, catalog)?;
    tables_of(&files::names(dir), &mut damage)?;
    let (all, intact) = tables_of(&files::tree(dir), &mut damage)?;
    // In a table with a damaged block, the other blocks can be read; in a table with a damaged
    // index, none can.
    for tables in [all, Some(intact), Some(Vec::new())] {
        let Some(store) = open_scratch(dir, &scratch, tables.as_deref(), &log)? else { continue };
        let store = if restore_quarantined(dir, &store, catalog, &mut log) {
            drop(store);
            open_scratch(dir, &scratch, tables.as_deref(), &log)?
        } else {
            Some(store)
        };
        if let Some(store) = store {
            let engine = Box::new(ReadOnlyEngine { store, scratch: ScratchDir(scratch) });
            return Ok(RescuedStore { engine, damage });
        }
    }
    clear(&scratch)?;
    Err(EngineError::Damaged("nothing of the store can be read".to_owned()))
}

/// Opens a store of these tables and this log; `None` if that fails.
fn open_scratch(
    dir: &Path,
    scratch: &Path,
    tables: Option<&[u64]>,
    log: &[u8],
) -> Result<Option<Fjall>, EngineError> {
    clear(scratch)?;
    lay_out(dir, scratch, tables, log)?;
    match catch_unwind(AssertUnwindSafe(|| open(scratch))) {
        Ok(Ok(store)) => return Ok(Some(store)),
        Ok(Err(error)) => tracing::warn!(%error, "the store cannot be read with these tables"),
        Err(_) => tracing::warn!("the store panicked while it opened these tables"),
    }
    Ok(None)
}

/// Appends missing records from the quarantine to the end of the log; reports whether there are
/// any.
fn restore_quarantined(
    dir: &Path,
    store: &Fjall,
    catalog: &dyn ListCatalog,
    log: &mut Vec<u8>,
) -> bool {
    let recoverable = catch_panics(|| Ok(quarantine::recoverable_entries(dir, store, catalog)?))
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "the quarantined bytes of the log cannot be read");
            BTreeMap::new()
        });
    let items: Vec<_> =
        recoverable.iter().map(|(key, value)| log::encode_put(key, value)).collect();
    if items.is_empty() {
        return false;
    }
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    // Not written through the store, which may wait for threads that are not running here.
    log::encode(store.database.seqno(), &items, log);
    true
}

/// All tables, or `None` if the list of tables is valid; and the undamaged tables.
type Tables = (Option<Vec<u64>>, Vec<u64>);

fn tables_of(tree: &Path, damage: &mut Vec<FileDamage>) -> io::Result<Tables> {
    let Ok(listed) = files::tables(tree) else {
        let all = files::table_files(tree)?;
        let intact = all.iter().copied().filter(|id| files::is_table(tree, *id)).collect();
        return Ok((Some(all), intact));
    };
    let (mut intact, mut existing) = (Vec::new(), Vec::new());
    for table in &listed {
        let Err(table_damage) = files::verify(tree, *table) else {
            intact.push(table.id);
            existing.push(table.id);
            continue;
        };
        if files::table_path(tree, table.id).exists() {
            existing.push(table.id);
        }
        if damage.iter().all(|known| known.file != table_damage.file) {
            damage.push(table_damage);
        }
    }
    let all = (intact.len() < listed.len()).then_some(existing);
    Ok((all, intact))
}

/// Returns the keys of the lists in the logs, by id.
fn names_in(logs: &[Log]) -> HashMap<u32, Bytes> {
    let mut names = HashMap::new();
    for log in logs {
        for region in log.regions() {
            let (LogRegion::Whole(range) | LogRegion::Damaged(range) | LogRegion::Torn(range)) =
                region;
            for item in log::items(log.get(range)) {
                let Some(list) = keys::list_of(item.key).filter(|_| !item.is_deletion) else {
                    continue;
                };
                let id = frame::decode(list, 0, item.value).ok().and_then(|id| id.try_into().ok());
                if let Some(id) = id {
                    names.insert(u32::from_be_bytes(id), Bytes::copy_from_slice(list));
                }
            }
        }
    }
    names
}

/// Returns all intact batches and proven records of the logs as one log.
fn merge_logs(dir: &Path, catalog: &dyn ListCatalog) -> io::Result<Vec<u8>> {
    let logs: io::Result<Vec<Log>> = files::logs(dir)?
        .into_iter()
        .map(|number| Log::read(&files::log_path(dir, number)))
        .collect();
    let logs = logs?;
    let logged_names = names_in(&logs);
    let names = |id: u32| catalog.name(id).or_else(|| logged_names.get(&id).cloned());
    let mut out = Vec::new();
    for log in &logs {
        for region in log.regions() {
            match region {
                LogRegion::Whole(range) => out.extend_from_slice(log.get(range)),
                LogRegion::Damaged(range) | LogRegion::Torn(range) => {
                    let batch = log.get(range);
                    let Some(seqno) = log::seqno(batch) else { continue };
                    let mut items = log::items(batch);
                    items.retain(|item| is_proven(item, &names));
                    if !items.is_empty() {
                        let items: Vec<&[u8]> = items.iter().map(|item| item.bytes).collect();
                        log::encode(seqno, &items, &mut out);
                    }
                }
            }
        }
    }
    Ok(out)
}

/// Reports whether an item's own checksum is valid for its list and number.
fn is_proven(item: &LogItem<'_>, names: &impl Fn(u32) -> Option<Bytes>) -> bool {
    if item.is_deletion {
        return false;
    }
    if let Some((id, seq)) = keys::record_of(item.key) {
        return names(id).is_some_and(|list| frame::decode(&list, seq, item.value).is_ok());
    }
    keys::list_of(item.key).is_some_and(|list| frame::decode(list, 0, item.value).is_ok())
}

/// Lays out a store of this log and these tables, or all tables in the list of tables.
fn lay_out(
    dir: &Path,
    scratch: &Path,
    tables: Option<&[u64]>,
    log: &[u8],
) -> Result<(), EngineError> {
    let database = builder(scratch).open()?;
    drop(database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?);
    drop(database);
    let (from, to) = (files::tree(dir), files::tree(scratch));
    for name in fs::read_dir(&to)? {
        let path = name?.path();
        if path.is_file() {
            fs::remove_file(path)?;
        }
    }
    let ids = match tables {
        Some(ids) => ids.to_vec(),
        None => files::table_files(&from)?,
    };
    for id in &ids {
        let name = Path::new("tables").join(id.to_string());
        link_or_copy(&from.join(&name), &to.join(&name))?;
    }
    match tables {
        Some(ids) => write_list(&to, ids)?,
        None => {
            for entry in fs::read_dir(&from)? {
                let path = entry?.path();
                if let Some(name) = path.file_name().filter(|_| path.is_file()) {
                    pages::copy(&path, &to.join(name))?;
                }
            }
        }
    }
    Ok(fs::write(files::log_path(scratch, LOG), log)?)
}

/// Links a table, or copies it. Tables never change, and the store that reads them removes only its
/// own links to them.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| pages::copy(from, to))
}

/// Writes a list of tables that may overlap in any way.
fn write_list(tree: &Path, ids: &[u64]) -> io::Result<()> {
    let failed = |error: sfa::Error| io::Error::other(format!("{error:?}"));
    let mut archive = sfa::Writer::from_writer(Cursor::new(Vec::new()));
    let sections: [(&str, &[u8]); 5] = [
        ("format_version", &[3]),
        ("crate_version", b"3"),
        ("tree_type", &[0]),
        ("level_count", &[LEVELS]),
        ("filter_hash_type", &[0]),
    ];
    for (name, bytes) in sections {
        archive.start(name)?;
        archive.write_all(bytes)?;
    }
    archive.start("tables")?;
    archive.write_all(&[LEVELS])?;
    let mut runs = ids.iter().rev();
    for _ in 0..LEVELS {
        let level: Vec<_> = runs.by_ref().take(RUNS_MAX).collect();
        archive.write_all(&[u8::try_from(level.len()).unwrap_or(u8::MAX)])?;
        for id in level {
            archive.write_all(&1_u32.to_le_bytes())?;
            archive.write_all(&id.to_le_bytes())?;
            // The kind of the checksum, the checksum, and the first sequence number.
            archive.write_all(&[0; 25])?;
        }
    }
    archive.start("blob_files")?;
    archive.write_all(&0_u32.to_le_bytes())?;
    archive.start("blob_gc_stats")?;
    archive.write_all(&0_u32.to_le_bytes())?;
    let list = archive.into_inner().map_err(failed)?.into_inner();
    let mut current = TABLES_NUMBER.to_le_bytes().to_vec();
    current.extend_from_slice(&xxhash_rust::xxh3::xxh3_128(&list).to_le_bytes());
    current.push(0);
    fs::write(tree.join(format!("v{TABLES_NUMBER}")), list)?;
    fs::write(tree.join("current"), current)
}

/// Returns the settings of a store without threads, so that nothing is merged or flushed.
fn builder(dir: &Path) -> ::fjall::DatabaseBuilder<Database> {
    Database::builder(dir)
        .cache_size(limits::CACHE_BYTES)
        .worker_threads_unchecked(0)
        .max_cached_files(Some(limits::OPEN_FILES_MAX))
}

fn open(scratch: &Path) -> Result<Fjall, EngineError> {
    let database = builder(scratch).open()?;
    let keyspace = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
    let store = Fjall { database, keyspace, damage: Vec::new() };
    // A table with a damaged index fails here; a block is verified only when it is read.
    let scan = store.range(&[], &[0xff], &mut |_, _| std::ops::ControlFlow::Continue(()));
    if let Err(error) = scan {
        tracing::warn!(%error, "a part of the store cannot be read");
    }
    Ok(store)
}

fn clear(scratch: &Path) -> io::Result<()> {
    match fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A folder that is removed when it is dropped.
#[derive(Debug)]
struct ScratchDir(PathBuf);

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.0) {
            tracing::warn!(%error, "the folder of a read-only store cannot be removed");
        }
    }
}

/// A read-only store.
#[derive(Debug)]
struct ReadOnlyEngine {
    store: Fjall,
    #[expect(dead_code, reason = "held, and dropped after the store")]
    scratch: ScratchDir,
}

impl Engine for ReadOnlyEngine {
    fn commit(&self, _: Vec<WriteOp>) -> Result<(), EngineError> {
        Err(EngineError::Damaged("the store is read only".to_owned()))
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), EngineError> {
        self.store.range(from, to, visit)
    }

    fn last_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.store.last_key(from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of an earlier process must not be a part of the new store.
    #[test]
    fn folders_that_stay_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = dir.path().join("scratch");
        clear(&scratch).unwrap();
        fs::create_dir_all(scratch.join("keyspaces")).unwrap();
        clear(&scratch).unwrap();
        assert!(!scratch.exists());
        fs::write(&scratch, "not a folder").unwrap();
        assert!(clear(&scratch).is_err());
    }
}
