//! Temporary folders for the disks of tests.

use std::io;
use std::path::Path;

use tempfile::TempDir;

/// Makes a folder in memory where the system has one: its syncs cost nothing, and the model decides
/// what they keep.
///
/// # Errors
/// When no folder can be made.
pub fn scratch() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}
