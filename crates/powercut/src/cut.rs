//! A power cut, and the folder's content after it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fastrand::Rng;

use crate::disk::{Inode, ROOT, RecordedDisk};
use crate::file::{FileImage, PAGE};
use crate::names::{EntryName, Id};

/// The part of the unsynced changes that the disk had written when the power was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writeback {
    /// None of them.
    Nothing,
    /// All of them, as after the kill of a process without a power cut.
    Everything,
    /// Some pages and names.
    Partial,
    /// Some pages and names, and some pages in part.
    Torn,
}

/// A power cut; its seed determines the content of the disk afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut {
    /// The seed.
    pub seed: u64,
}

impl PowerCut {
    /// The cut that leaves only synced changes.
    pub const WORST: Self = Self { seed: 0 };

    fn draw_writeback(self, rng: &mut Rng) -> Writeback {
        if self == Self::WORST {
            return Writeback::Nothing;
        }
        match rng.u8(..10) {
            0 => Writeback::Nothing,
            1 => Writeback::Everything,
            2..=5 => Writeback::Partial,
            _ => Writeback::Torn,
        }
    }
}

/// The content of a disk after a power cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskImage {
    names: BTreeMap<EntryName, Id>,
    /// The files by id; folders are not included.
    files: BTreeMap<Id, FileImage>,
}

impl DiskImage {
    pub(crate) fn draw(disk: &RecordedDisk, cut: PowerCut) -> Self {
        let mut rng = Rng::with_seed(cut.seed);
        let names = {
            let writeback = cut.draw_writeback(&mut rng);
            disk.names.after_cut(writeback, &mut rng)
        };
        let mut files = BTreeMap::new();
        for (id, node) in disk.nodes.iter().enumerate() {
            let Inode::File(file) = node else { continue };
            // Drawn for each file: one may lose more than another.
            let writeback = cut.draw_writeback(&mut rng);
            files.insert(id, file.after_cut(writeback, &mut rng));
        }
        Self { names, files }
    }

    /// Writes the image into a folder, which must exist and be empty.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        self.write_folder(ROOT, folder)
    }

    fn write_folder(&self, id: Id, folder: &Path) -> io::Result<()> {
        let inside = (id, String::new())..(id + 1, String::new());
        for ((_, name), inner) in self.names.range(inside) {
            let path = folder.join(name);
            match self.files.get(inner) {
                Some(content) => write_file(content, &path)?,
                None => {
                    fs::create_dir(&path)?;
                    self.write_folder(*inner, &path)?;
                }
            }
        }
        Ok(())
    }
}

fn write_file(content: &FileImage, path: &Path) -> io::Result<()> {
    let file = File::create_new(path)?;
    for (at, bytes) in &content.pages {
        file.write_all_at(bytes.as_slice(), at * PAGE as u64)?;
    }
    file.set_len(content.len)
}
