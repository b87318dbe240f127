//! Bytes that were cut off a log because they are not a batch. They are kept while a list is
//! refused: a damaged batch still holds records that their checksums prove.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::log::{self, Log, Part};
use super::{Fjall, files};
use crate::engine::{Engine as _, Known};
use crate::{durable, frame, keys};

/// Returns the folder of the bytes that were cut off, beside the store.
fn folder(dir: &Path) -> PathBuf {
    dir.with_extension("cut")
}

/// Cuts a log where its last whole batch ends, and keeps the bytes after it. The store cuts logs
/// too, but not at a batch whose end is whole and whose middle is not.
pub(super) fn cut(dir: &Path, number: u64, at: u64) -> io::Result<()> {
    let (path, aside) = (files::log_path(dir, number), folder(dir));
    let log = fs::read(&path)?;
    let begin = usize::try_from(at).unwrap_or(usize::MAX);
    let rest = log.get(begin..).unwrap_or_default();
    let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    durable::create_folder(&aside)?;
    let mut kept = create(&aside, &format!("{number}.jnl.{at}"))?;
    kept.write_all(rest.get(..written).unwrap_or_default())?;
    kept.sync_all()?;
    durable::sync(&aside)?;
    let file = File::options().write(true).open(path)?;
    file.set_len(at)?;
    file.sync_all()
}

/// Makes a file under a name that is not used yet: a log may be cut at one place again.
fn create(aside: &Path, name: &str) -> io::Result<File> {
    let mut path = aside.join(name);
    let mut again = 0_u64;
    loop {
        match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created,
        }
        again += 1;
        path = aside.join(format!("{name}.{again}"));
    }
}

/// Removes all bytes that were kept.
pub(super) fn forget(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns the keys and values that a store misses and that were kept: records that their checksums
/// prove, that were acknowledged, and whose list was not removed since.
pub(super) fn missed(
    dir: &Path,
    store: &Fjall,
    known: &dyn Known,
) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let (aside, mut missed) = (folder(dir), BTreeMap::new());
    for name in files::entries(&aside)? {
        let log = Log::read(&aside.join(name))?;
        for part in log.parts() {
            let (Part::Whole(range) | Part::Damaged(range) | Part::Torn(range)) = part;
            for item in log::items(log.get(range)) {
                let Some((id, seq)) = keys::record_of(item.key) else { continue };
                let Some(list) = known.name(id).filter(|_| !item.is_deletion) else { continue };
                let is_missed = known.is_acknowledged(id, seq)
                    && frame::decode(&list, seq, item.value).is_ok()
                    && !has(store, &keys::gone(id))
                    && !has(store, item.key);
                if is_missed {
                    missed.insert(item.key.to_vec(), item.value.to_vec());
                    name_list(store, &list, id, &mut missed);
                }
            }
        }
    }
    Ok(missed)
}

/// Adds the key of a list where the store does not have it.
fn name_list(store: &Fjall, list: &[u8], id: u32, missed: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    let key = keys::list(list);
    if !has(store, &key) {
        let mut framed = Vec::new();
        frame::encode(list, 0, &id.to_be_bytes(), &mut framed);
        missed.insert(key, framed);
    }
}

/// Reports whether a store has a key; true where it cannot be read.
fn has(store: &Fjall, key: &[u8]) -> bool {
    !matches!(store.last_key(key, &[key, &[0]].concat()), Ok(None))
}
