//! The possible contents of one file on a disk.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::cut::Writeback;

/// The size of the disk's atomic writes, bytes.
const SECTOR: usize = 512;
/// The size of a page of the kernel's cache, which may be written back at any time, bytes.
pub(crate) const PAGE: usize = 4096;

pub(crate) type PageBytes = Box<[u8; PAGE]>;

/// A page's contents since its last sync; a page that was never written is all zeros.
#[derive(Clone, Debug, Default)]
struct PageHistory {
    /// The content that is certainly on disk.
    synced: Option<PageBytes>,
    /// The page's contents since its last sync, in order.
    unsynced: Vec<PageBytes>,
    /// Set when a sync failed and the kernel counts the page as written.
    is_dropped: bool,
}

impl PageHistory {
    /// Returns the content that a process reads.
    fn now(&self) -> Option<&PageBytes> {
        self.unsynced.last().or(self.synced.as_ref())
    }

    fn change(&mut self, change: impl FnOnce(&mut [u8; PAGE])) {
        let mut bytes = self.now().cloned().unwrap_or_else(zeros);
        change(&mut bytes);
        self.unsynced.push(bytes);
        self.is_dropped = false;
    }

    fn sync(&mut self) {
        if !self.is_dropped
            && let Some(now) = self.unsynced.pop()
        {
            self.synced = Some(now);
            self.unsynced.clear();
        }
    }

    /// Returns the content after this number of changes.
    fn version(&self, changes: usize) -> Option<&PageBytes> {
        changes.checked_sub(1).map_or(self.synced.as_ref(), |at| self.unsynced.get(at))
    }

    fn after_cut(&self, writeback: Writeback, rng: &mut Rng) -> Option<PageBytes> {
        let all = self.unsynced.len();
        match writeback {
            Writeback::Nothing => self.synced.clone(),
            Writeback::Everything => self.now().cloned(),
            Writeback::Partial => self.version(rng.usize(..=all)).cloned(),
            Writeback::Torn => {
                let newer = rng.usize(..=all);
                let older = self.version(rng.usize(..=newer)).cloned().unwrap_or_else(zeros);
                let mut torn = self.version(newer).cloned().unwrap_or_else(zeros);
                let sectors = torn.chunks_mut(SECTOR).zip(older.chunks(SECTOR));
                for (sector, older) in sectors {
                    if rng.bool() {
                        sector.copy_from_slice(older);
                    }
                }
                Some(torn)
            }
        }
    }
}

/// A file's pages and lengths since its last sync.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileState {
    pages: BTreeMap<u64, PageHistory>,
    synced_len: u64,
    lens: Vec<u64>,
}

/// The content of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileImage {
    /// The file's length in bytes.
    pub(crate) len: u64,
    /// The pages by number; missing ones are all zeros.
    pub(crate) pages: BTreeMap<u64, PageBytes>,
}

impl FileState {
    /// Returns a synced file with this content.
    pub(crate) fn synced(content: FileImage) -> Self {
        let page = |bytes| PageHistory { synced: Some(bytes), ..PageHistory::default() };
        let pages = content.pages.into_iter().map(|(at, bytes)| (at, page(bytes)));
        Self { pages: pages.collect(), synced_len: content.len, lens: Vec::new() }
    }

    fn len(&self) -> u64 {
        self.lens.last().copied().unwrap_or(self.synced_len)
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let mut rest = data;
        let mut at = offset;
        while !rest.is_empty() {
            let (page, inside) = page_offset(at);
            let (now, later) = rest.split_at(rest.len().min(PAGE - inside));
            let page = self.pages.entry(page).or_default();
            page.change(|bytes| {
                if let Some(part) = bytes.get_mut(inside..inside + now.len()) {
                    part.copy_from_slice(now);
                }
            });
            at += now.len() as u64;
            rest = later;
        }
        if at > self.len() {
            self.lens.push(at);
        }
    }

    pub(crate) fn resize(&mut self, len: u64) {
        if len == self.len() {
            return;
        }
        if len < self.len() {
            let (first, inside) = page_offset(len);
            for (at, page) in self.pages.range_mut(first..) {
                let from = if *at == first { inside } else { 0 };
                let is_zero = |bytes: &PageBytes| bytes.iter().skip(from).all(|byte| *byte == 0);
                if !page.now().is_none_or(is_zero) {
                    page.change(|bytes| bytes.iter_mut().skip(from).for_each(|byte| *byte = 0));
                }
            }
        }
        self.lens.push(len);
    }

    pub(crate) fn sync(&mut self) {
        self.pages.values_mut().for_each(PageHistory::sync);
        self.synced_len = self.len();
        self.lens.clear();
    }

    /// Marks unwritten pages as written, as the kernel does after a failed sync.
    pub(crate) fn drop_unwritten(&mut self) {
        for page in self.pages.values_mut().filter(|page| !page.unsynced.is_empty()) {
            page.is_dropped = true;
        }
    }

    /// Reports whether the whole file is on disk.
    pub(crate) fn is_synced(&self) -> bool {
        self.lens.is_empty() && self.pages.values().all(|page| page.unsynced.is_empty())
    }

    pub(crate) fn after_cut(&self, writeback: Writeback, rng: &mut Rng) -> FileImage {
        let len = match writeback {
            Writeback::Nothing => self.synced_len,
            Writeback::Everything => self.len(),
            Writeback::Partial | Writeback::Torn => {
                let drawn = rng.usize(..=self.lens.len()).checked_sub(1);
                drawn.and_then(|at| self.lens.get(at).copied()).unwrap_or(self.synced_len)
            }
        };
        let mut content = FileImage { len, ..FileImage::default() };
        for (at, page) in &self.pages {
            let bytes = page.after_cut(writeback, rng);
            content.pages.extend(bytes.map(|bytes| (*at, bytes)));
        }
        content.truncate();
        content
    }
}

impl FileImage {
    /// Removes the bytes after the file's end.
    fn truncate(&mut self) {
        let (last, inside) = page_offset(self.len);
        drop(self.pages.split_off(&(last + 1)));
        if let Some(bytes) = self.pages.get_mut(&last) {
            bytes.iter_mut().skip(inside).for_each(|byte| *byte = 0);
        }
    }
}

fn zeros() -> PageBytes {
    Box::new([0; PAGE])
}

/// Returns the page of a byte and its offset in the page.
const fn page_offset(at: u64) -> (u64, usize) {
    const BYTES: u64 = PAGE as u64;
    (at / BYTES, (at % BYTES) as usize)
}
