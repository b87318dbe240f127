//! Makes folders and files durable before anything relies on them. A file's sync does not include
//! its name in the folder, so folders are synced too.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes a folder, with those above it that are missing; durable on return.
///
/// # Errors
/// When it cannot be made or synced.
pub(crate) fn create_folder(dir: &Path) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|ancestor| !ancestor.exists()).count();
    fs::create_dir_all(dir)?;
    // A process that was killed may have made folders and not synced them: those above are synced
    // too, as far up as this process has access.
    for (depth, ancestor) in dir.ancestors().enumerate().skip(1) {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        match sync(ancestor) {
            Err(error) if depth <= missing => return Err(error),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Makes a folder that exists as a whole or not at all: it is laid out under another name, synced,
/// and renamed.
///
/// # Errors
/// When it cannot be laid out, synced or moved.
pub(crate) fn create_atomically<E: From<io::Error>>(
    dir: &Path,
    lay_out: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let new = dir.with_extension("new");
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    lay_out(&new)?;
    sync_tree(&new)?;
    Ok(fs::rename(&new, dir)?)
}

/// Syncs a folder, everything in it, and its name.
///
/// # Errors
/// When any of it cannot be synced.
pub(crate) fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            sync(&entry.path())?;
        }
    }
    sync(dir)?;
    dir.parent().map_or(Ok(()), sync)
}

/// Syncs a file or a folder.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
