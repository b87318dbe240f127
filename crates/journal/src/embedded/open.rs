//! Opens a store and determines its state: intact, missing acknowledged records, or read only.

use std::path::Path;

use crate::damage::FileDamage;
use crate::engine::{Engine, EngineError, OpenReason, RescuedStore, StoreLocation};
use crate::error::OpenError;
use crate::heads::Heads;
use crate::marks::{Marks, MarksFile};
use crate::writer::catch_panics;

/// An open store.
pub(super) struct OpenedStore {
    pub(super) engine: Box<dyn Engine>,
    pub(super) heads: Heads,
    pub(super) files: Vec<FileDamage>,
    /// The marks file, or the reason for which the journal is read only.
    pub(super) marks: Result<MarksFile, String>,
}

pub(super) fn open(dir: &Path, location: &dyn StoreLocation) -> Result<OpenedStore, OpenError> {
    let failed = |reason: String| OpenError::Store { dir: dir.to_owned(), reason };
    let marks =
        Marks::read(dir).map_err(|source| OpenError::Unwritable { dir: dir.to_owned(), source })?;
    let opened = catch_panics(|| {
        let engine = location.open(OpenReason::Startup)?;
        let heads = Heads::of(engine.as_ref(), &marks)?;
        Ok((engine, heads))
    });
    let opened = match opened {
        Ok((engine, heads)) => writable(dir, engine, heads, &marks, location)
            .map_err(|error| failed(format!("its marks cannot be written: {error}")))?,
        Err(EngineError::Damaged(reason)) => {
            read_only(location, &marks, &reason).map_err(|error| {
                failed(format!("{reason}; and what is whole of it cannot be read: {error}"))
            })?
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    report(&opened);
    Ok(opened)
}

fn writable(
    dir: &Path,
    engine: Box<dyn Engine>,
    heads: Heads,
    marks: &Marks,
    location: &dyn StoreLocation,
) -> std::io::Result<OpenedStore> {
    let files = engine.damage().into_iter().chain(marks.damage(dir, &heads)).collect();
    let file = MarksFile::open(dir, marks, &heads)?;
    if heads.damaged.is_empty()
        && let Err(error) = location.purge_quarantine()
    {
        tracing::warn!(%error, "the quarantined bytes of the log cannot be removed");
    }
    Ok(OpenedStore { engine, heads, files, marks: Ok(file) })
}

fn read_only(
    location: &dyn StoreLocation,
    marks: &Marks,
    reason: &str,
) -> Result<OpenedStore, EngineError> {
    catch_panics(|| {
        let RescuedStore { engine, damage } = location.rescue(marks)?;
        let heads = Heads::of(engine.as_ref(), marks)?;
        let reason = damage.first().map_or_else(|| reason.to_owned(), ToString::to_string);
        Ok(OpenedStore { engine, heads, files: damage, marks: Err(reason) })
    })
}

fn report(opened: &OpenedStore) {
    for file in &opened.files {
        tracing::error!(file = %file.file.display(), at = file.offset, what = file.reason, "a file of the journal is damaged");
    }
    for list in opened.heads.damage() {
        let (name, seq, missing) = (list.list.escape_ascii().to_string(), list.seq, list.missing);
        tracing::error!(list = name, seq, missing, reason = list.reason, "list refused");
    }
    if let Err(reason) = &opened.marks {
        tracing::error!(
            reason,
            "the journal is read only; `orderstream journal salvage` copies its intact lists"
        );
    }
}
