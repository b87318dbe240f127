//! Bytes that were cut off a log because they are not a batch. They are retained while a list is
//! refused: a damaged batch may still hold records whose own checksums are valid.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::log::{self, Log, LogRegion};
use super::{Fjall, files};
use crate::engine::{Engine as _, ListCatalog};
use crate::{durable, frame, keys};

/// Returns the folder of the quarantined bytes, next to the store.
fn folder(dir: &Path) -> PathBuf {
    dir.with_extension("cut")
}

/// Truncates a log after its last intact batch, and stores the bytes after it in quarantine. The
/// store truncates logs too, but not at a batch with an intact end and a damaged middle.
pub(super) fn truncate_log(dir: &Path, number: u64, at: u64) -> io::Result<()> {
    let (path, quarantine) = (files::log_path(dir, number), folder(dir));
    let log = fs::read(&path)?;
    let begin = usize::try_from(at).unwrap_or(usize::MAX);
    let rest = log.get(begin..).unwrap_or_default();
    let written_len = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    durable::create_folder(&quarantine)?;
    let mut copy = create(&quarantine, &format!("{number}.jnl.{at}"))?;
    copy.write_all(rest.get(..written_len).unwrap_or_default())?;
    copy.sync_all()?;
    durable::sync(&quarantine)?;
    let file = File::options().write(true).open(path)?;
    file.set_len(at)?;
    file.sync_all()
}

/// Creates a file under an unused name: a log may be truncated at the same offset more than once.
fn create(quarantine: &Path, name: &str) -> io::Result<File> {
    let mut path = quarantine.join(name);
    let mut attempt = 0_u64;
    loop {
        match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created,
        }
        attempt += 1;
        path = quarantine.join(format!("{name}.{attempt}"));
    }
}

/// Removes all quarantined bytes.
pub(super) fn purge(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns the quarantined keys and values that the store lacks: acknowledged records with valid
/// checksums whose list has not been removed since.
pub(super) fn recoverable_entries(
    dir: &Path,
    store: &Fjall,
    catalog: &dyn ListCatalog,
) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let (quarantine, mut recoverable) = (folder(dir), BTreeMap::new());
    for name in files::entries(&quarantine)? {
        let log = Log::read(&quarantine.join(name))?;
        for region in log.regions() {
            let (LogRegion::Whole(range) | LogRegion::Damaged(range) | LogRegion::Torn(range)) =
                region;
            for item in log::items(log.get(range)) {
                let Some((id, seq)) = keys::record_of(item.key) else { continue };
                let Some(list) = catalog.name(id).filter(|_| !item.is_deletion) else { continue };
                let is_recoverable = catalog.is_acknowledged(id, seq)
                    && frame::decode(&list, seq, item.value).is_ok()
                    && !has_key(store, &keys::tombstone(id))
                    && !has_key(store, item.key);
                if is_recoverable {
                    recoverable.insert(item.key.to_vec(), item.value.to_vec());
                    add_list_key(store, &list, id, &mut recoverable);
                }
            }
        }
    }
    Ok(recoverable)
}

/// Adds the key of a list if the store does not have it.
fn add_list_key(store: &Fjall, list: &[u8], id: u32, recoverable: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    let key = keys::list(list);
    if !has_key(store, &key) {
        let mut framed = Vec::new();
        frame::encode(list, 0, &id.to_be_bytes(), &mut framed);
        recoverable.insert(key, framed);
    }
}

/// Reports whether a store has a key; true if the store cannot be read.
fn has_key(store: &Fjall, key: &[u8]) -> bool {
    !matches!(store.last_key(key, &[key, &[0]].concat()), Ok(None))
}
