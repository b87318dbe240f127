//! The acknowledged end of each list, in a file next to the store.
//!
//! A log whose end was lost looks like a log whose end was never written. So each durable batch
//! adds an entry to this file: the lists that it changed, and their ends. When the journal is
//! opened, a list that ends before its mark has lost acknowledged records.
//!
//! ```text
//! file  = entry*                  the first entry identifies the layout
//! entry = len of body (4) | CRC32C over the entry's offset in the file (8) and the body (4) | body
//! body  = item*
//! item  = 0 | "OSMARKS1"                                  the layout
//!       | 1 | id (4) | last (8)                           the list ends at this number
//!       | 2 | id (4) | last (8) | key len (2) | key       the same, for a list that is new here
//!       | 3 | id (4)                                      the list is removed
//!       | 4 | offset (8)                                  all bytes before it are on disk
//!                                                         all numbers little endian
//! ```
//!
//! The file is written after the store's sync, so a mark is never ahead of the store. It is synced
//! itself at most once in [`limits::MARKS_SYNC_INTERVAL`] and when the journal is closed: no append
//! waits for it. A power cut may leave an incomplete last entry, which is skipped. The file is
//! rewritten, through a temporary file, when it has grown too much or is damaged.

mod read;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;

pub(crate) use self::read::Marks;
use self::read::MarksIntegrity;
use crate::heads::{Heads, ListHead};
use crate::keys::ListId;
use crate::limits;

const FILE: &str = "journal.marks";
const LAYOUT: &[u8] = b"\0OSMARKS1";
const HEAD_LEN: usize = 8;
const END: u8 = 1;
const NEW: u8 = 2;
const REMOVED: u8 = 3;
const SYNCED: u8 = 4;

/// A batch's change of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MarkUpdate<'a> {
    End(ListHead),
    New(ListHead, &'a [u8]),
    Removed(ListId),
}

impl MarkUpdate<'_> {
    /// Appends the change to `out`.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let (kind, id) = match self {
            Self::End(head) => (END, head.id),
            Self::New(head, _) => (NEW, head.id),
            Self::Removed(id) => (REMOVED, id),
        };
        out.push(kind);
        out.extend_from_slice(&id.to_le_bytes());
        if let Self::End(head) | Self::New(head, _) = self {
            out.extend_from_slice(&head.last.to_le_bytes());
        }
        if let Self::New(_, key) = self {
            out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
            out.extend_from_slice(key);
        }
    }
}

/// The marks file, open for writing; used by the writer's thread only.
#[derive(Debug)]
pub(crate) struct MarksFile {
    dir: PathBuf,
    /// The open file; absent after a failed write, until it is rewritten.
    file: Option<File>,
    len: u64,
    /// The file's length when it was last rewritten or opened.
    base_len: u64,
    /// The length that is on disk; absent once the file has an entry for that.
    synced_len: Option<u64>,
    /// The time of the first unsynced write; absent while all writes are synced.
    dirty_since: Option<Instant>,
    /// The time of the last attempt to rewrite the file.
    last_attempt: Option<Instant>,
}

impl MarksFile {
    /// Continues the existing file, or rewrites it.
    pub(crate) fn open(dir: &Path, marks: &Marks, heads: &Heads) -> io::Result<Self> {
        let mut this = Self {
            dir: dir.to_owned(),
            file: None,
            len: 0,
            base_len: 0,
            synced_len: None,
            dirty_since: None,
            last_attempt: None,
        };
        if let MarksIntegrity::Whole(len) = marks.integrity {
            this.file = Some(File::options().append(true).open(dir.join(FILE))?);
            (this.len, this.base_len) = (len, len);
            this.write(&diff(marks, heads))?;
            return Ok(this);
        }
        if let MarksIntegrity::Damaged(_) = marks.integrity {
            fs::rename(dir.join(FILE), dir.join(format!("{FILE}.damaged")))?;
        }
        this.rewrite(heads)?;
        Ok(this)
    }

    /// Marks the changes of a durable batch, encoded one after the other. `heads` are the ends
    /// after the batch. A failed write is retried later; the batch is durable in any case.
    pub(crate) fn mark(&mut self, changes: &[u8], heads: &Heads) {
        let has_grown = self.len > self.base_len.saturating_mul(2) + limits::MARKS_GROWTH_BYTES;
        let outcome = if self.file.is_none() || has_grown {
            let is_early =
                self.last_attempt.is_some_and(|at| at.elapsed() < limits::MARKS_SYNC_INTERVAL);
            if is_early && self.file.is_none() { Ok(()) } else { self.rewrite(heads) }
        } else {
            self.write(changes)
        };
        self.handle_failure(outcome);
    }

    /// Makes the next sync rewrite the file, because the store's lists may differ from the last
    /// marks.
    pub(crate) fn invalidate(&mut self) {
        (self.file, self.dirty_since, self.last_attempt) = (None, None, None);
    }

    /// Returns the time at which the file is due to be synced or rewritten; `None` while all of it
    /// is on disk.
    pub(crate) fn due(&self) -> Option<Instant> {
        match (&self.file, self.last_attempt) {
            (Some(_), _) => self.dirty_since.map(|since| since + limits::MARKS_SYNC_INTERVAL),
            (None, Some(tried)) => Some(tried + limits::MARKS_SYNC_INTERVAL),
            (None, None) => Some(Instant::now()),
        }
    }

    /// Syncs the file, or rewrites it after a failed write. Reports whether all of it is on disk.
    pub(crate) fn sync_or_rewrite(&mut self, heads: &Heads) -> bool {
        let outcome = if self.file.is_some() { self.sync() } else { self.rewrite(heads) };
        let is_synced = outcome.is_ok();
        self.handle_failure(outcome);
        is_synced
    }

    /// Syncs the file and closes it.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.sync()
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| self.dirty_since.is_some()) else {
            return Ok(());
        };
        file.sync_data()?;
        (self.synced_len, self.dirty_since) = (Some(self.len), None);
        Ok(())
    }

    fn handle_failure(&mut self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            tracing::warn!(%error, "the journal's marks cannot be written; the file will be rewritten");
            (self.file, self.dirty_since) = (None, None);
        }
    }

    fn write(&mut self, changes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut out = Vec::new();
        if let Some(offset) = self.synced_len.take() {
            let mut body = vec![SYNCED];
            body.extend_from_slice(&offset.to_le_bytes());
            put_entry(self.len, &body, &mut out);
        }
        if !changes.is_empty() {
            put_entry(self.len + out.len() as u64, changes, &mut out);
        }
        if out.is_empty() {
            return Ok(());
        }
        self.dirty_since = self.dirty_since.or_else(|| Some(Instant::now()));
        file.write_all(&out)?;
        self.len += out.len() as u64;
        Ok(())
    }

    /// Writes the ends of all lists into a new file, which then replaces the old one.
    fn rewrite(&mut self, heads: &Heads) -> io::Result<()> {
        self.last_attempt = Some(Instant::now());
        let (path, new_path) = (self.dir.join(FILE), self.dir.join(format!("{FILE}.new")));
        let mut out = Vec::new();
        put_entry(0, LAYOUT, &mut out);
        let mut body = Vec::new();
        for (list, head) in &heads.lists {
            MarkUpdate::New(*head, list).encode(&mut body);
            if body.len() >= limits::MARKS_ENTRY_BYTES {
                put_entry(out.len() as u64, &body, &mut out);
                body.clear();
            }
        }
        if !body.is_empty() {
            put_entry(out.len() as u64, &body, &mut out);
        }
        let synced_len = out.len() as u64;
        let mut body = vec![SYNCED];
        body.extend_from_slice(&synced_len.to_le_bytes());
        put_entry(synced_len, &body, &mut out);
        fs::write(&new_path, &out)?;
        let file = File::options().append(true).open(&new_path)?;
        file.sync_all()?;
        fs::rename(&new_path, path)?;
        File::open(&self.dir)?.sync_all()?;
        self.file = Some(file);
        (self.len, self.base_len) = (out.len() as u64, out.len() as u64);
        (self.synced_len, self.dirty_since) = (None, None);
        Ok(())
    }
}

/// Raises the marked ends of lists of a closed journal above the records that it holds.
pub(crate) fn raise_ends(dir: &Path, ends: &[(Bytes, u64)]) -> io::Result<()> {
    let marks = Marks::read(dir)?;
    let mut heads = Heads::default();
    for (id, (list, last)) in &marks.lists {
        heads.lists.insert(list.clone(), ListHead { id: *id, last: *last });
    }
    let mut next_id = marks.next_id;
    for (list, last) in ends {
        let head = heads.lists.entry(list.clone()).or_insert(ListHead { id: next_id, last: *last });
        head.last = *last;
        next_id = next_id.max(head.id.saturating_add(1));
    }
    MarksFile::open(dir, &marks, &heads)?.rewrite(&heads)
}

/// Returns the changes that turn the file's lists into the store's.
fn diff(marks: &Marks, heads: &Heads) -> Vec<u8> {
    let mut changes = Vec::new();
    for (id, (list, _)) in &marks.lists {
        if heads.lists.get(list).is_none_or(|head| head.id != *id) {
            MarkUpdate::Removed(*id).encode(&mut changes);
        }
    }
    for (list, head) in &heads.lists {
        match marks.lists.get(&head.id) {
            Some((_, last)) if *last == head.last => {}
            Some(_) => MarkUpdate::End(*head).encode(&mut changes),
            None => MarkUpdate::New(*head, list).encode(&mut changes),
        }
    }
    changes
}

/// Appends an entry for this offset of the file to `out`.
fn put_entry(offset: u64, body: &[u8], out: &mut Vec<u8>) {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&checksum_of(offset, body).to_le_bytes());
    out.extend_from_slice(body);
}

fn checksum_of(at: usize, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&(at as u64).to_le_bytes()), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes an empty folder's file of marks, with the heads that it is told of.
    fn marks_of_a_list() -> (tempfile::TempDir, MarksFile, Heads) {
        let dir = tempfile::tempdir().unwrap();
        let mut heads = Heads::default();
        heads.lists.insert(Bytes::from_static(b"a"), ListHead { id: 0, last: 1 });
        let file = MarksFile::open(dir.path(), &Marks::default(), &heads).unwrap();
        (dir, file, heads)
    }

    /// Marks one more record of the list.
    fn mark_next(file: &mut MarksFile, heads: &mut Heads) {
        let head = heads.lists.get_mut(&b"a"[..]).unwrap();
        head.last += 1;
        let mut changes = Vec::new();
        MarkUpdate::End(*head).encode(&mut changes);
        file.mark(&changes, heads);
    }

    fn last_marked(dir: &tempfile::TempDir) -> u64 {
        Marks::read(dir.path()).unwrap().lists[&0].1
    }

    /// No append waits for a sync of them.
    #[test]
    fn syncs_of_marks_are_an_interval_apart() {
        let (dir, mut file, mut heads) = marks_of_a_list();
        assert_eq!(file.due(), None, "all of it is on disk");
        let before = Instant::now();
        mark_next(&mut file, &mut heads);
        assert_eq!(last_marked(&dir), 2);
        let due = file.due().unwrap();
        assert!(due >= before + limits::MARKS_SYNC_INTERVAL);
        mark_next(&mut file, &mut heads);
        assert_eq!(file.due(), Some(due), "since the first of them");
        assert!(file.sync_or_rewrite(&heads));
        assert_eq!(file.due(), None);
    }

    /// The disk that is full here has room for other files.
    #[test]
    fn failed_marks_are_written_anew() {
        let (dir, mut file, mut heads) = marks_of_a_list();
        file.file = Some(File::options().write(true).open("/dev/full").unwrap());
        mark_next(&mut file, &mut heads);
        assert_eq!(last_marked(&dir), 1);
        assert!(file.due().is_some());
        assert!(file.sync_or_rewrite(&heads));
        assert_eq!(last_marked(&dir), 2);
    }

    /// Here they are on a device without a disk.
    #[test]
    fn closed_marks_are_synced() {
        let (_dir, mut file, mut heads) = marks_of_a_list();
        file.file = Some(File::options().write(true).open("/dev/null").unwrap());
        mark_next(&mut file, &mut heads);
        assert!(file.close().is_err());
    }

    #[test]
    fn marks_grow_up_to_their_limit() {
        let (_dir, mut file, mut heads) = marks_of_a_list();
        for (beyond, is_rewritten) in [(0, false), (1, true)] {
            file.base_len = 100;
            file.len = 200 + limits::MARKS_GROWTH_BYTES + beyond;
            mark_next(&mut file, &mut heads);
            assert_eq!(file.base_len != 100, is_rewritten);
        }
    }

    #[test]
    fn marks_are_not_written_anew_all_the_time() {
        let (dir, mut file, mut heads) = marks_of_a_list();
        let obstacle = dir.path().join(format!("{FILE}.new"));
        fs::create_dir(&obstacle).unwrap();
        file.invalidate();
        let before = Instant::now();
        assert!(!file.sync_or_rewrite(&heads));
        assert!(file.due().unwrap() >= before + limits::MARKS_SYNC_INTERVAL);
        fs::remove_dir(&obstacle).unwrap();
        mark_next(&mut file, &mut heads);
        if before.elapsed() < limits::MARKS_SYNC_INTERVAL {
            assert_eq!(last_marked(&dir), 1);
        }
        file.invalidate();
        mark_next(&mut file, &mut heads);
        assert_eq!(last_marked(&dir), 3, "they are, once the store is another one");
    }
}
