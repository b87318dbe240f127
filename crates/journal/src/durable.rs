//! Makes folders and files durable before anything relies on them. A file's sync does not include
//! its name in the folder, so folders are synced too.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Creates a folder and its missing parents; durable on return.
///
/// # Errors
/// When it cannot be created or synced.
pub(crate) fn create_folder(dir: &Path) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|ancestor| !ancestor.exists()).count();
    fs::create_dir_all(dir)?;
    // A killed process may have created folders without syncing them, so the parents are synced
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

/// Creates a folder atomically: its content is written under another name, synced, and renamed.
///
/// # Errors
/// When it cannot be written, synced or renamed.
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

/// Syncs a folder, everything in it, and its entry in the parent folder.
///
/// # Errors
/// When any part of it cannot be synced.
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
