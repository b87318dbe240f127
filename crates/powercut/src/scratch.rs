//! Folders for disks that are played with.

use std::io;
use std::path::Path;

use tempfile::TempDir;

/// A folder in memory where the system has one: its syncs cost nothing, and what they are worth is the
/// model's matter.
///
/// # Errors
/// When no folder can be made.
pub fn scratch() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}
