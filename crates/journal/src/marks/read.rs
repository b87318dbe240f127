//! What a file of marks says, as far as it is what was written.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{END, FILE, HEAD_LEN, LAYOUT, NEW, REMOVED, SYNCED, checksum_of};
use crate::damage::FileDamage;
use crate::heads::{Acknowledged, Heads};
use crate::keys::ListId;

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The key and the last number of each list, by id.
    pub(crate) lists: HashMap<ListId, (Bytes, u64)>,
    pub(crate) state: State,
}

/// How the file was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// There is none.
    #[default]
    Missing,
    /// All of it is what was written, up to here.
    Whole(u64),
    /// It ends in a write that was cut short.
    Torn,
    /// What was synced of it is not what was written.
    Damaged(FileDamage),
}

impl Marks {
    /// Reads the file in a journal's folder.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        let file = dir.join(FILE);
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes?,
        };
        let mut marks = Self::default();
        let whole = marks.take(&bytes);
        marks.state = if whole == bytes.len() && whole > 0 {
            State::Whole(whole as u64)
        } else if whole == 0 || is_synced(&bytes, whole) {
            let what = "what was synced of it is not what was written".to_owned();
            State::Damaged(FileDamage { file, at: Some(whole as u64), what })
        } else {
            State::Torn
        };
        Ok(marks)
    }

    /// Takes all entries from the begin that are whole, and says where they end.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(body) = entry_at(bytes, at) {
            let is_layout = body == LAYOUT;
            if (at == 0) != is_layout || (!is_layout && self.fold(body).is_none()) {
                break;
            }
            at += HEAD_LEN + body.len();
        }
        at
    }

    fn fold(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((kind, rest)) = body.split_first() {
            body = rest;
            match *kind {
                END => {
                    let (id, last) = (number4(&mut body)?, number8(&mut body)?);
                    if let Some(mark) = self.lists.get_mut(&id) {
                        mark.1 = last;
                    }
                }
                NEW => {
                    let (id, last) = (number4(&mut body)?, number8(&mut body)?);
                    let (len, rest) = body.split_first_chunk::<2>()?;
                    let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
                    body = rest;
                    self.lists.insert(id, (Bytes::copy_from_slice(key), last));
                }
                REMOVED => {
                    self.lists.remove(&number4(&mut body)?);
                }
                SYNCED => {
                    number8(&mut body)?;
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// The file in a journal's folder.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// What is wrong with the file, where the store says whether there is one.
    pub(crate) fn damage(&self, dir: &Path, heads: &Heads) -> Option<FileDamage> {
        match &self.state {
            State::Damaged(damage) => Some(damage.clone()),
            State::Missing if heads.is_marked => {
                let what = "it is missing".to_owned();
                Some(FileDamage { file: Self::path(dir), at: None, what })
            }
            State::Missing | State::Whole(_) | State::Torn => None,
        }
    }

    /// What was acknowledged, as the file says.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = Acknowledged> + '_ {
        self.lists.iter().map(|(id, (list, last))| (*id, list.clone(), *last))
    }

    /// The key of a list.
    pub(crate) fn name(&self, id: ListId) -> Option<Bytes> {
        self.lists.get(&id).map(|(list, _)| list.clone())
    }
}

/// The body of the entry that begins here, if a whole one does.
fn entry_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (len, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let body = rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    let is_whole = !body.is_empty() && u32::from_le_bytes(*checksum) == checksum_of(at, body);
    is_whole.then_some(body)
}

/// Whether an entry behind says that more than the first `whole` bytes were on disk.
fn is_synced(bytes: &[u8], whole: usize) -> bool {
    let mut bodies = (whole..bytes.len()).filter_map(|at| entry_at(bytes, at));
    bodies.any(|body| {
        let place = body.strip_prefix(&[SYNCED]).and_then(|rest| rest.first_chunk::<8>());
        place.is_some_and(|place| u64::from_le_bytes(*place) > whole as u64)
    })
}

fn number4(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

fn number8(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}
