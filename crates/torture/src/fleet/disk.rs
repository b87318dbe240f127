//! A small disk that can be filled: an in-memory file system, if the rig is allowed to mount one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The size of the disk, MiB: the stores of a run need less than half.
const SIZE_MIB: u32 = 192;
/// The size of the ballast's writes, bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// A folder, with a file system of its own if possible.
#[derive(Debug)]
pub struct FillableDisk {
    dir: PathBuf,
    is_mounted: bool,
}

impl FillableDisk {
    /// Creates the folder, and mounts a small file system on it if that is allowed.
    pub fn make(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let size = format!("size={SIZE_MIB}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir);
        let status = mount.stdout(Stdio::null()).stderr(Stdio::null()).status();
        Self { dir: dir.to_owned(), is_mounted: status.is_ok_and(|status| status.success()) }
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Fills the disk to the last byte. Returns `false` if it has no file system of its own.
    pub fn fill(&self) -> bool {
        if !self.is_mounted {
            return false;
        }
        let Ok(mut ballast) = std::fs::File::create(self.ballast()) else { return true };
        let block = vec![0_u8; BLOCK_BYTES];
        while ballast.write_all(&block).is_ok() {}
        while ballast.write_all(&[0]).is_ok() {}
        true
    }

    /// Frees the space.
    pub fn free(&self) {
        drop(std::fs::remove_file(self.ballast()));
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }
}

impl Drop for FillableDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            // A lazy unmount: a process that was just killed may still use the disk.
            drop(Command::new("umount").arg("-l").arg(&self.dir).status());
        }
    }
}
