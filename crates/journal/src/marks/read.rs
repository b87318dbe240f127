//! Reads the intact entries of a marks file.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{END, FILE, HEAD_LEN, LAYOUT, NEW, REMOVED, SYNCED, checksum_of};
use crate::damage::FileDamage;
use crate::engine::ListCatalog;
use crate::heads::{AcknowledgedList, Heads};
use crate::keys::ListId;
use crate::pages::{self, ReadablePages};

/// The number of items that are parsed before an entry's checksum is computed.
const ITEMS_PROBED: usize = 8;

/// The content of a marks file.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The key and the last number of each list, by id.
    pub(crate) lists: HashMap<ListId, (Bytes, u64)>,
    /// The lists that occur before a damaged part and not after it: they may have been removed in
    /// between.
    pub(crate) uncertain: HashSet<ListId>,
    /// The last numbers of lists whose keys are lost.
    orphan_ends: HashMap<ListId, u64>,
    /// An id above all ids in the file.
    pub(crate) next_id: ListId,
    pub(super) integrity: MarksIntegrity,
}

/// The state of the file when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum MarksIntegrity {
    /// The file does not exist.
    #[default]
    Missing,
    /// The file is intact and has this length.
    Whole(u64),
    /// The file ends in an incomplete write.
    Torn,
    /// Synced bytes of the file are damaged.
    Damaged(FileDamage),
}

/// The result of scanning a file for entries.
#[derive(Debug, Default)]
struct MarksScan {
    /// The offset of the first bytes that are not part of an entry; absent if there are none.
    first_damage: Option<usize>,
    /// The synced length of the file, as recorded in its entries; 0 if no entry records it.
    synced_len: u64,
}

impl Marks {
    /// Reads the marks file in a journal's folder.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        let file = dir.join(FILE);
        let ReadablePages { bytes, damage } = match pages::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            pages => pages?,
        };
        let mut marks = Self::default();
        let scan = marks.scan(&bytes);
        if let Some(damage) = damage {
            marks.integrity = MarksIntegrity::Damaged(damage);
            return Ok(marks);
        }
        marks.integrity = match scan.first_damage {
            None => MarksIntegrity::Whole(bytes.len() as u64),
            Some(at) if at == 0 || scan.synced_len > at as u64 => {
                let what = "what was synced of it is not what was written".to_owned();
                MarksIntegrity::Damaged(FileDamage { file, offset: Some(at as u64), reason: what })
            }
            // If the write of a removal was incomplete, the store still has its record.
            Some(_) => {
                marks.uncertain.clear();
                MarksIntegrity::Torn
            }
        };
        Ok(marks)
    }

    /// Reads all intact entries: the checksum of each covers its offset, and so proves that it
    /// belongs to this file.
    fn scan(&mut self, bytes: &[u8]) -> MarksScan {
        let first = entry_at(bytes, 0);
        if bytes.is_empty() || first.is_some_and(|body| body != LAYOUT) {
            return MarksScan { first_damage: Some(0), synced_len: 0 };
        }
        let mut scan = MarksScan::default();
        let mut at = first.map_or(0, |body| HEAD_LEN + body.len());
        while at < bytes.len() {
            if let Some(body) = entry_at(bytes, at).filter(|body| self.fold(body).is_some()) {
                at += HEAD_LEN + body.len();
                let synced_len = body.strip_prefix(&[SYNCED]).and_then(|rest| rest.first_chunk());
                scan.synced_len =
                    synced_len.map_or(scan.synced_len, |place| u64::from_le_bytes(*place));
                continue;
            }
            scan.first_damage = scan.first_damage.or(Some(at));
            self.uncertain.extend(self.lists.keys());
            at = next_entry(bytes, at + 1).unwrap_or(bytes.len());
        }
        scan
    }

    fn fold(&mut self, mut body: &[u8]) -> Option<()> {
        while !body.is_empty() {
            match item(&mut body)? {
                MarkItem::End(id, last) => {
                    self.uncertain.remove(&id);
                    match self.lists.get_mut(&id) {
                        Some(mark) => mark.1 = last,
                        None => drop(self.orphan_ends.insert(id, last)),
                    }
                    self.next_id = self.next_id.max(id.saturating_add(1));
                }
                MarkItem::New(id, last, key) => {
                    self.forget(id);
                    self.lists.insert(id, (Bytes::copy_from_slice(key), last));
                }
                MarkItem::Removed(id) => self.forget(id),
                MarkItem::Synced => {}
            }
        }
        Some(())
    }

    fn forget(&mut self, id: ListId) {
        self.uncertain.remove(&id);
        self.orphan_ends.remove(&id);
        self.lists.remove(&id);
        self.next_id = self.next_id.max(id.saturating_add(1));
    }

    /// Returns the path of the marks file in a journal's folder.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Returns the damage of the file. The store records whether the file existed.
    pub(crate) fn damage(&self, dir: &Path, heads: &Heads) -> Option<FileDamage> {
        match &self.integrity {
            MarksIntegrity::Damaged(damage) => {
                let mut damage = damage.clone();
                let uncertain = self.uncertain.iter().filter_map(|id| self.name(*id));
                let absent = uncertain.filter(|list| !heads.lists.contains_key(list)).count();
                if absent > 0 {
                    damage.reason.push_str(&format!(
                        "; {absent} of the lists that it names are not in the store: they were \
                         removed, or are lost"
                    ));
                }
                Some(damage)
            }
            MarksIntegrity::Missing if heads.has_marks => {
                let what = "it is missing".to_owned();
                Some(FileDamage { file: Self::path(dir), offset: None, reason: what })
            }
            MarksIntegrity::Missing | MarksIntegrity::Whole(_) | MarksIntegrity::Torn => None,
        }
    }

    /// Returns the acknowledged ends according to the file: those of lists in the store, and of
    /// lists that were not removed.
    pub(crate) fn acknowledged(&self, heads: &Heads) -> Vec<AcknowledgedList> {
        let named = self.lists.iter().filter(|(id, (list, _))| {
            !self.uncertain.contains(id) || heads.lists.contains_key(list)
        });
        let mut all: Vec<_> = named.map(|(id, (list, last))| (*id, list.clone(), *last)).collect();
        if !self.orphan_ends.is_empty() {
            all.extend(heads.lists.iter().filter_map(|(list, head)| {
                Some((head.id, list.clone(), *self.orphan_ends.get(&head.id)?))
            }));
        }
        all
    }
}

impl ListCatalog for Marks {
    fn name(&self, id: u32) -> Option<Bytes> {
        self.lists.name(id)
    }

    fn is_acknowledged(&self, id: u32, seq: u64) -> bool {
        !self.uncertain.contains(&id) && self.lists.is_acknowledged(id, seq)
    }
}

/// Returns the body of the intact entry at this offset; `None` if there is none.
fn entry_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (len, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let body = rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    let is_whole = !body.is_empty() && u32::from_le_bytes(*checksum) == checksum_of(at, body);
    is_whole.then_some(body)
}

/// Returns the offset of the next intact entry.
fn next_entry(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|at| is_plausible_entry(bytes, *at) && entry_at(bytes, *at).is_some())
}

/// Reports whether an entry may begin here, judging by its first items: computing a checksum for
/// each length that any four bytes may encode would take too long.
fn is_plausible_entry(bytes: &[u8], at: usize) -> bool {
    let body = bytes.get(at + HEAD_LEN..).and_then(|rest| {
        let len = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
        rest.get(..usize::try_from(len).ok()?)
    });
    let Some(mut body) = body.filter(|body| !body.is_empty()) else { return false };
    (0..ITEMS_PROBED).all(|_| body.is_empty() || item(&mut body).is_some())
}

/// An item of an entry.
enum MarkItem<'a> {
    End(ListId, u64),
    New(ListId, u64, &'a [u8]),
    Removed(ListId),
    /// The synced length of the file; it does not concern a list.
    Synced,
}

/// Parses an item off the front of an entry's body.
fn item<'a>(body: &mut &'a [u8]) -> Option<MarkItem<'a>> {
    let (kind, rest) = body.split_first()?;
    *body = rest;
    match *kind {
        END => Some(MarkItem::End(take_u32(body)?, take_u64(body)?)),
        NEW => {
            let (id, last) = (take_u32(body)?, take_u64(body)?);
            let (len, rest) = body.split_first_chunk::<2>()?;
            let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
            *body = rest;
            Some(MarkItem::New(id, last, key))
        }
        REMOVED => Some(MarkItem::Removed(take_u32(body)?)),
        SYNCED => take_u64(body).map(|_| MarkItem::Synced),
        _ => None,
    }
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}
