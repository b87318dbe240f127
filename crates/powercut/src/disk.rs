//! The disk: all files and names, with their synced and their unsynced changes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::cut::{DiskImage, PowerCut};
use crate::file::{FileImage, FileState, PAGE};
use crate::names::{EntryName, Id, NameTable};
use crate::trace::{DiskChange, Trace, TraceRecord};

/// A page that was never written.
static ZEROS: [u8; PAGE] = [0; PAGE];

/// The recorded folder itself.
pub(crate) const ROOT: Id = 0;

/// A file or a folder.
#[derive(Clone, Debug)]
pub(crate) enum Inode {
    File(FileState),
    Folder,
}

/// A folder with all its content: as processes read it, and as it may be on disk.
#[derive(Clone, Debug)]
pub struct RecordedDisk {
    folder: PathBuf,
    /// The files and folders, by id.
    pub(crate) nodes: Vec<Inode>,
    pub(crate) names: NameTable,
    /// The ids by inode number; the newest id if a number was reused.
    by_ino: HashMap<u64, Id>,
}

impl RecordedDisk {
    /// Reads a folder's current content as synced.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn synced(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let root = fs::metadata(&folder)?.ino();
        let mut disk = Self {
            folder: folder.clone(),
            nodes: vec![Inode::Folder],
            names: NameTable::default(),
            by_ino: HashMap::from([(root, ROOT)]),
        };
        let mut names = BTreeMap::new();
        disk.scan(&folder, ROOT, &mut names)?;
        disk.names = NameTable::synced(names);
        Ok(disk)
    }

    fn scan(&mut self, dir: &Path, id: Id, names: &mut BTreeMap<EntryName, Id>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            let node = if is_folder {
                Inode::Folder
            } else {
                Inode::File(FileState::synced(content(&entry.path())?))
            };
            let inner = self.add(node, entry.metadata()?.ino());
            names.insert((id, entry.file_name().to_string_lossy().into_owned()), inner);
            if is_folder {
                self.scan(&entry.path(), inner, names)?;
            }
        }
        Ok(())
    }

    /// Applies the records of a trace before a position. The record at the position is in progress:
    /// it is applied but not synced; if it is a sync, nothing is synced yet.
    pub fn replay(&mut self, trace: &Trace, from: usize, position: usize) {
        let mut records = trace.records.iter().skip(from);
        for record in records.by_ref().take(position.saturating_sub(from)) {
            if let TraceRecord::Change(change) = record {
                self.apply(change);
            }
        }
        match records.next() {
            None | Some(TraceRecord::Note(_) | TraceRecord::Change(DiskChange::Sync { .. })) => {}
            Some(TraceRecord::Change(change)) => self.apply(change),
        }
    }

    /// Applies one change.
    pub fn apply(&mut self, change: &DiskChange) {
        match change {
            DiskChange::Create { path, ino } => {
                let id = self.add(Inode::File(FileState::default()), *ino);
                self.set_name(path, Some(id));
            }
            DiskChange::MakeFolder { path, ino } => {
                let id = self.add(Inode::Folder, *ino);
                self.set_name(path, Some(id));
            }
            DiskChange::Write { ino, offset, data } => {
                self.with_file(*ino, |file| file.write(*offset, data));
            }
            DiskChange::Resize { ino, len } => self.with_file(*ino, |file| file.resize(*len)),
            DiskChange::Sync { ino } => {
                if let Some(Inode::Folder) = self.node(*ino) {
                    self.by_ino.get(ino).copied().into_iter().for_each(|id| self.names.sync(id));
                }
                self.with_file(*ino, FileState::sync);
            }
            DiskChange::SyncFailed { ino, drops: true } => {
                self.with_file(*ino, FileState::drop_unwritten);
            }
            DiskChange::SyncFailed { drops: false, .. } => {}
            DiskChange::Rename { from, to } => {
                let (Some(from), Some(to)) = (self.resolve(from), self.resolve(to)) else { return };
                let id = self.names.get(&from);
                self.names.change(vec![(from, None), (to, id)]);
            }
            DiskChange::Link { from, to } => {
                let id = self.resolve(from).and_then(|from| self.names.get(&from));
                self.set_name(to, id);
            }
            DiskChange::Remove { path } => self.set_name(path, None),
        }
    }

    /// Reports whether the whole folder is on disk.
    pub fn is_synced(&self) -> bool {
        let is_synced = |node: &Inode| match node {
            Inode::File(file) => file.is_synced(),
            Inode::Folder => true,
        };
        self.names.is_synced() && self.nodes.iter().all(is_synced)
    }

    /// Cuts the power, and draws the content of the disk.
    pub fn after_cut(&self, cut: PowerCut) -> DiskImage {
        DiskImage::draw(self, cut)
    }

    fn add(&mut self, node: Inode, ino: u64) -> Id {
        let id = self.nodes.len();
        self.nodes.push(node);
        self.by_ino.insert(ino, id);
        id
    }

    fn node(&self, ino: u64) -> Option<&Inode> {
        self.nodes.get(*self.by_ino.get(&ino)?)
    }

    /// Changes a file. Unknown files were removed before the recording began.
    fn with_file(&mut self, ino: u64, change: impl FnOnce(&mut FileState)) {
        let id = self.by_ino.get(&ino).copied();
        if let Some(Inode::File(file)) = id.and_then(|id| self.nodes.get_mut(id)) {
            change(file);
        }
    }

    fn set_name(&mut self, path: &Path, id: Option<Id>) {
        if let Some(name) = self.resolve(path) {
            self.names.change(vec![(name, id)]);
        }
    }

    /// Returns the folder of a path and the name in it; `None` for a path outside the recorded
    /// folder, or that folder itself.
    fn resolve(&self, path: &Path) -> Option<EntryName> {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::ParentDir => drop(parts.pop()),
                Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        let normalized: PathBuf =
            std::iter::once("/").chain(parts.iter().map(String::as_str)).collect();
        let relative = normalized.strip_prefix(&self.folder).ok()?;
        let (mut at, name) = (ROOT, relative.file_name()?.to_string_lossy().into_owned());
        for part in relative.parent()?.components() {
            at = self.names.get(&(at, part.as_os_str().to_string_lossy().into_owned()))?;
        }
        Some((at, name))
    }
}

/// Reads a file, without its zero pages.
fn content(path: &Path) -> io::Result<FileImage> {
    let bytes = fs::read(path)?;
    let mut content = FileImage { len: bytes.len() as u64, ..FileImage::default() };
    for (at, chunk) in (0..).zip(bytes.chunks(PAGE)) {
        if Some(chunk) != ZEROS.get(..chunk.len()) {
            let mut page = Box::new([0; PAGE]);
            page.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            content.pages.insert(at, page);
        }
    }
    Ok(content)
}
