//! Temporary folders for the disks of tests.

use std::io;
use std::path::Path;

use tempfile::TempDir;

/// Creates a temporary folder, in memory if the system supports it: syncs there cost nothing, and
/// the model decides what they preserve.
///
/// # Errors
/// When the folder cannot be created.
pub fn scratch() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}
