//! The trace: changes to files and the test's notes, in one order.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// The length of a record's header, before its path, bytes.
const HEAD: usize = 32;
/// The kind of a record that is a note of the test.
pub(crate) const NOTE: u32 = 100;

/// A change of a file or a folder. Files and folders are identified by inode number, and by path if
/// names change.
#[derive(Clone, PartialEq, Eq)]
pub enum DiskChange {
    /// A file was created.
    Create {
        /// The path.
        path: PathBuf,
        /// The inode number.
        ino: u64,
    },
    /// Bytes were written.
    Write {
        /// The file's inode number.
        ino: u64,
        /// The offset of the first byte.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// A file was truncated or extended.
    Resize {
        /// The file's inode number.
        ino: u64,
        /// The file's new length, bytes.
        len: u64,
    },
    /// A file or a folder was synced.
    Sync {
        /// The inode number.
        ino: u64,
    },
    /// A sync failed.
    SyncFailed {
        /// The inode number.
        ino: u64,
        /// Set when the unwritten pages were dropped, as Linux does.
        drops: bool,
    },
    /// A file or a folder was renamed.
    Rename {
        /// The former name.
        from: PathBuf,
        /// The new name.
        to: PathBuf,
    },
    /// The name of a file or of an empty folder was removed.
    Remove {
        /// The name.
        path: PathBuf,
    },
    /// A folder was created.
    MakeFolder {
        /// The path.
        path: PathBuf,
        /// The inode number.
        ino: u64,
    },
    /// A file got a second name.
    Link {
        /// An existing name.
        from: PathBuf,
        /// The second name.
        to: PathBuf,
    },
}

impl fmt::Debug for DiskChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { path, ino } => write!(f, "create {} ({ino})", path.display()),
            Self::Write { ino, offset, data } => {
                write!(f, "write {} bytes at {offset} of {ino}", data.len())
            }
            Self::Resize { ino, len } => write!(f, "resize {ino} to {len}"),
            Self::Sync { ino } => write!(f, "sync {ino}"),
            Self::SyncFailed { ino, drops } => write!(f, "sync {ino} failed, drops: {drops}"),
            Self::Rename { from, to } => write!(f, "rename {} to {}", from.display(), to.display()),
            Self::Remove { path } => write!(f, "remove {}", path.display()),
            Self::MakeFolder { path, ino } => write!(f, "make {} ({ino})", path.display()),
            Self::Link { from, to } => write!(f, "link {} to {}", from.display(), to.display()),
        }
    }
}

/// One record of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceRecord {
    /// A process changed something.
    Change(DiskChange),
    /// The test wrote a note.
    Note(String),
}

/// An error in reading a trace.
#[derive(Debug)]
pub enum TraceError {
    /// The file cannot be read.
    Io(io::Error),
    /// The record at this byte is not valid.
    Malformed(usize),
    /// A process made a system call, with this number, that the disk model does not support: the
    /// test would check the wrong content.
    UnknownCall(u32),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the trace cannot be read: {error}"),
            Self::Malformed(at) => write!(f, "the trace is broken at byte {at}"),
            Self::UnknownCall(number) => write!(
                f,
                "the recorded process changed a file by system call {number}, which the model of \
                 the disk does not know; teach it to crates/powercut"
            ),
        }
    }
}

impl std::error::Error for TraceError {}

impl From<io::Error> for TraceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// All records of a run, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The records.
    pub records: Vec<TraceRecord>,
}

impl Trace {
    /// Reads a trace file.
    ///
    /// # Errors
    /// As [`TraceError`] lists.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let bytes = fs::read(path)?;
        let (mut records, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let total = u32_at(rest, 0).and_then(|total| usize::try_from(total).ok());
            let whole =
                total.and_then(|total| rest.get(..total)).ok_or(TraceError::Malformed(at))?;
            records.push(record(whole).ok_or(TraceError::Malformed(at))??);
            at += whole.len();
        }
        Ok(Self { records })
    }

    /// Returns the texts of the notes before a position, in order.
    pub fn notes_before(&self, position: usize) -> impl Iterator<Item = &str> {
        self.records.iter().take(position).filter_map(|record| match record {
            TraceRecord::Note(text) => Some(text.as_str()),
            TraceRecord::Change(_) => None,
        })
    }
}

/// Returns a note as a record of the trace.
pub(crate) fn note(text: &str) -> io::Result<Vec<u8>> {
    let total = u32::try_from(HEAD + text.len()).map_err(io::Error::other)?;
    let mut bytes = [total, NOTE, 0, 0].map(u32::to_le_bytes).concat();
    bytes.resize(HEAD, 0);
    bytes.extend_from_slice(text.as_bytes());
    Ok(bytes)
}

fn record(bytes: &[u8]) -> Option<Result<TraceRecord, TraceError>> {
    let (kind, detail) = (u32_at(bytes, 4)?, u32_at(bytes, 8)?);
    let path_len = usize::try_from(u32_at(bytes, 12)?).ok()?;
    let (ino, offset) = (u64_at(bytes, 16)?, u64_at(bytes, 24)?);
    let (path, data) = bytes.get(HEAD..)?.split_at_checked(path_len)?;
    let (path, other) = (path_of(path), path_of(data));
    // The numbers are those of recorder.c.
    let change = match kind {
        1 => DiskChange::Create { path, ino },
        2 => DiskChange::Write { ino, offset, data: data.to_vec() },
        3 => DiskChange::Resize { ino, len: offset },
        4 => DiskChange::Sync { ino },
        5 => DiskChange::SyncFailed { ino, drops: detail != 0 },
        6 => DiskChange::Rename { from: path, to: other },
        7 => DiskChange::Remove { path },
        8 => DiskChange::MakeFolder { path, ino },
        9 => DiskChange::Link { from: path, to: other },
        10 => return Some(Err(TraceError::UnknownCall(detail))),
        NOTE => return Some(Ok(TraceRecord::Note(String::from_utf8(data.to_vec()).ok()?))),
        _ => return None,
    };
    Some(Ok(TraceRecord::Change(change)))
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
