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
    create_with(dir, sync)
}

/// Creates a folder and its missing parents, which `sync` makes durable.
fn create_with(dir: &Path, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// Creates two folders, where one folder cannot be synced; returns the outcome, and the synced
    /// folders.
    fn created(unsynced: &Path, dir: &Path) -> (io::Result<()>, Vec<PathBuf>) {
        let mut synced = Vec::new();
        let outcome = create_with(&dir.join("new/journal"), |path| {
            synced.push(path.to_owned());
            if path == unsynced { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        });
        assert!(dir.join("new/journal").is_dir());
        (outcome, synced)
    }

    /// Parents that were there before are synced as far up as they can be.
    #[test]
    fn new_folders_must_be_synced() {
        let dir = tempfile::tempdir().unwrap();
        let (dir, above) = (dir.path(), dir.path().parent().unwrap());
        for unsynced in [dir.join("new"), dir.to_owned()] {
            let (outcome, synced) = created(&unsynced, dir);
            assert_eq!(outcome.unwrap_err().raw_os_error(), Some(5), "{unsynced:?}");
            assert_eq!(synced.last(), Some(&unsynced));
            fs::remove_dir_all(dir.join("new")).unwrap();
        }
        let (outcome, synced) = created(above, dir);
        outcome.unwrap();
        assert_eq!(synced, [&dir.join("new"), dir, above]);
        let (outcome, synced) = created(Path::new(""), dir);
        outcome.unwrap();
        assert_eq!(synced.last().map(PathBuf::as_path), Some(Path::new("/")));
    }

    /// A killed process may have left a part of it.
    #[test]
    fn remainders_are_not_laid_out_over() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, new) = (dir.path().join("store"), dir.path().join("store.new"));
        fs::create_dir_all(new.join("a part")).unwrap();
        create_atomically(&folder, |new| fs::create_dir(new)).unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        fs::write(new, "not a folder").unwrap();
        let other = dir.path().join("store.other");
        let created = create_atomically(&other, |_| -> io::Result<()> { panic!("it is there") });
        assert!(created.is_err());
    }

    #[test]
    fn failed_syncs_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        sync_tree(dir.path()).unwrap();
        let missing = dir.path().join("folder/missing");
        assert!(sync(&missing).is_err());
        fs::create_dir(dir.path().join("folder")).unwrap();
        symlink("nowhere", missing).unwrap();
        assert!(sync_tree(dir.path()).is_err());
    }
}
