//! Reads the store's write-ahead log without the store.
//!
//! ```text
//! log   = batch* rest
//! batch = 1 | items (4) | seqno (8) | item* | 3 | checksum (8) | "FJL" 3
//! item  = 2 | type (1) | compression (1) | keyspace (8) | key len (2) | value len (4)
//!           | value len on disk (4) | key | value                      all little endian
//! ```
//!
//! The checksum is XXH3 over the items. The journal syncs each batch before it begins the next, so
//! after a crash at most the last batch may be incomplete; it was not acknowledged. If a complete
//! batch follows bytes that are not a batch, those bytes were synced, and are damaged.

use std::io;
use std::ops::Range;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::damage::FileDamage;
use crate::pages::{self, ReadablePages};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
/// The length of a batch's head, before its items, bytes.
const HEAD_LEN: usize = 13;
/// The highest type of an item: 0 is a value, 1 and 2 are deletions.
const TYPE_MAX: u8 = 2;
/// The type of an item that sets a key.
const PUT: u8 = 0;
/// The id that the store assigns to the journal's keyspace.
const KEYSPACE_ID: u64 = 1;
/// The compression type of an uncompressed value.
const UNCOMPRESSED: u8 = 0;
/// The last bytes of a batch.
const TRAILER: [u8; 4] = *b"FJL\x03";
/// The exclusive upper bound of the step from one batch's number to the next.
const SEQNO_STEP_MAX: u64 = 1 << 32;
/// The upper bound of the first batch's number; no store reaches it.
const SEQNO_MAX: u64 = 1 << 62;

/// A log in memory.
#[derive(Debug)]
pub(super) struct Log {
    bytes: Vec<u8>,
    /// The first unreadable part, which has zeros in `bytes`; absent if all of the log can be read.
    pub(super) unreadable: Option<FileDamage>,
}

/// A region of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LogRegion {
    /// An intact batch.
    Whole(Range<usize>),
    /// Bytes that are not a batch, followed by an intact batch.
    Damaged(Range<usize>),
    /// Bytes that are not a batch, not followed by an intact batch.
    Torn(Range<usize>),
}

/// A change in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogItem<'a> {
    /// All bytes of the item, as they are in the log.
    pub(super) bytes: &'a [u8],
    pub(super) is_deletion: bool,
    keyspace: u64,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Log {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let ReadablePages { bytes, damage } = pages::read(path)?;
        Ok(Self { unreadable: damage, ..Self::of(bytes) })
    }

    fn of(mut bytes: Vec<u8>) -> Self {
        // A new log is preallocated with zeros.
        let written_len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(written_len);
        Self { bytes, unreadable: None }
    }

    /// Returns the bytes of a region.
    pub(super) fn get(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Splits the log, without its preallocated zeros, into regions.
    pub(super) fn regions(&self) -> Vec<LogRegion> {
        let (mut regions, mut at, mut previous) = (Vec::new(), 0, None);
        while at < self.bytes.len() {
            match self.batch_at(at) {
                Some((len, number)) if self.is_in_order(previous, number, at + len) => {
                    regions.push(LogRegion::Whole(at..at + len));
                    (at, previous) = (at + len, Some(number));
                }
                found => {
                    let from = at + found.map_or(1, |(len, _)| len);
                    let Some(next) = self.next_batch(from, previous) else {
                        regions.push(LogRegion::Torn(at..self.bytes.len()));
                        break;
                    };
                    regions.push(LogRegion::Damaged(at..next));
                    at = next;
                }
            }
        }
        regions
    }

    /// Reports whether a batch's number, which its checksum does not cover, lies between those of
    /// its neighbours.
    fn is_in_order(&self, previous: Option<u64>, number: u64, next: usize) -> bool {
        let next = self.batch_at(next).map(|(_, number)| number);
        let is_past_next = next.is_some_and(|next| follows(previous, next) && next <= number);
        follows(previous, number) && !is_past_next
    }

    /// Returns the length and number of the intact batch at this offset; `None` if there is none.
    fn batch_at(&self, at: usize) -> Option<(usize, u64)> {
        let log = self.bytes.get(at..)?;
        let mut rest = log;
        let (count, seqno) = head(&mut rest)?;
        let items = rest;
        for _ in 0..count {
            // The journal has one keyspace, and the store continues from the highest id that it
            // finds.
            let KEYSPACE_ID = item(&mut rest)?.keyspace else { return None };
        }
        let items = items.get(..items.len() - rest.len())?;
        let [END] = *take::<1>(&mut rest)? else { return None };
        let checksum = u64::from_le_bytes(*take(&mut rest)?);
        let is_whole = *take(&mut rest)? == TRAILER && checksum == xxh3_64(items);
        is_whole.then_some((log.len() - rest.len(), seqno))
    }

    /// Returns the offset of the next intact batch; `None` if there is none.
    fn next_batch(&self, from: usize, previous: Option<u64>) -> Option<usize> {
        let starts = self.bytes.get(from..)?.iter().enumerate().filter(|(_, byte)| **byte == START);
        let mut starts = starts.map(|(place, _)| from + place);
        starts.find(|at| {
            // The tag of the first item rules out most offsets.
            self.bytes.get(at + HEAD_LEN) == Some(&ITEM)
                && self.batch_at(*at).is_some_and(|(_, number)| follows(previous, number))
        })
    }
}

/// Reports whether a batch with this number may follow the one before.
fn follows(previous: Option<u64>, number: u64) -> bool {
    let step = number.checked_sub(previous.unwrap_or(0));
    let least = u64::from(previous.is_some());
    let bound = if previous.is_some() { SEQNO_STEP_MAX } else { SEQNO_MAX };
    step.is_some_and(|step| (least..bound).contains(&step))
}

/// Returns the items of an intact batch, or those of a damaged one that can still be parsed; their
/// bytes may then be damaged.
pub(super) fn items(mut batch: &[u8]) -> Vec<LogItem<'_>> {
    let mut items = Vec::new();
    let Some((count, _)) = head(&mut batch) else { return items };
    for _ in 0..count {
        let Some(item) = item(&mut batch) else { break };
        items.push(item);
    }
    items
}

/// Returns the number of a batch; `None` if its head cannot be parsed.
pub(super) fn seqno(mut batch: &[u8]) -> Option<u64> {
    head(&mut batch).map(|(_, seqno)| seqno)
}

/// Encodes an item that sets a key of the journal's keyspace.
pub(super) fn encode_put(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![ITEM, PUT, UNCOMPRESSED];
    out.extend_from_slice(&KEYSPACE_ID.to_le_bytes());
    out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
    let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&value_len);
    out.extend_from_slice(&value_len);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
    out
}

/// Encodes a batch of items that are already encoded as in a log.
pub(super) fn encode(seqno: u64, items: &[&[u8]], out: &mut Vec<u8>) {
    let bytes = items.concat();
    out.push(START);
    out.extend_from_slice(&u32::try_from(items.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&seqno.to_le_bytes());
    out.extend_from_slice(&bytes);
    out.push(END);
    out.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    out.extend_from_slice(&TRAILER);
}

/// Parses the head of a batch off the front: the number of its items, and its own number.
fn head(rest: &mut &[u8]) -> Option<(u32, u64)> {
    let [START] = *take::<1>(rest)? else { return None };
    let count = u32::from_le_bytes(*take(rest)?);
    Some((count, u64::from_le_bytes(*take(rest)?)))
}

fn item<'a>(rest: &mut &'a [u8]) -> Option<LogItem<'a>> {
    let whole = *rest;
    let [ITEM, kind @ 0..=TYPE_MAX, UNCOMPRESSED] = *take::<3>(rest)? else { return None };
    let keyspace = u64::from_le_bytes(*take(rest)?);
    let key_len = usize::from(u16::from_le_bytes(*take(rest)?));
    let uncompressed_len = u32::from_le_bytes(*take(rest)?);
    let value_len = u32::from_le_bytes(*take(rest)?);
    if uncompressed_len != value_len {
        return None;
    }
    let (key, after) = rest.split_at_checked(key_len)?;
    let (value, after) = after.split_at_checked(usize::try_from(value_len).ok()?)?;
    *rest = after;
    let bytes = whole.get(..whole.len() - after.len())?;
    Some(LogItem { bytes, is_deletion: kind != PUT, keyspace, key, value })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a batch of one item with this number.
    fn batch(number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        encode(number, &[&encode_put(b"key", b"value")], &mut out);
        out
    }

    /// Splits a log of batches with these numbers, each as long as the others; returns the kind of
    /// each region, and how many batches long it is.
    fn kinds(numbers: &[u64]) -> Vec<(char, usize)> {
        let len = batch(0).len();
        let log = Log::of(numbers.iter().flat_map(|number| batch(*number)).collect());
        let kinds = log.regions().into_iter().map(|region| match region {
            LogRegion::Whole(range) => ('w', range.len() / len),
            LogRegion::Damaged(range) => ('d', range.len() / len),
            LogRegion::Torn(range) => ('t', range.len() / len),
        });
        kinds.collect()
    }

    #[test]
    fn preallocated_zeros_are_no_region() {
        let batch = batch(1);
        assert_eq!(Log::of(Vec::new()).regions(), []);
        assert_eq!(Log::of(vec![0; 64]).regions(), []);
        let whole = [LogRegion::Whole(0..batch.len())];
        assert_eq!(Log::of(batch.clone()).regions(), whole);
        assert_eq!(Log::of([&batch[..], &[0; 64]].concat()).regions(), whole);
    }

    /// They may contain what begins like a batch.
    #[test]
    fn other_bytes_are_damage_or_torn() {
        let (batch, next) = (batch(1), batch(2));
        let (len, next_len) = (batch.len(), next.len());
        for other in [&b"x"[..], &next[..next_len - 1], &[&[START; 20][..], &[ITEM; 3]].concat()] {
            let torn = len..len + other.len();
            let log = Log::of([&batch[..], other].concat());
            assert_eq!(log.regions(), [LogRegion::Whole(0..len), LogRegion::Torn(torn.clone())]);
            let log = Log::of([&batch[..], other, &next].concat());
            let last = LogRegion::Whole(torn.end..torn.end + next_len);
            assert_eq!(log.regions(), [LogRegion::Whole(0..len), LogRegion::Damaged(torn), last]);
        }
    }

    /// No checksum covers them.
    #[test]
    fn numbers_of_batches_rise() {
        assert_eq!(kinds(&[0, 1, 7]), [('w', 1); 3]);
        assert_eq!(kinds(&[1, 3, 2]), [('w', 1), ('d', 1), ('w', 1)], "3 is damaged");
        assert_eq!(kinds(&[5, 1, 6]), [('d', 1), ('w', 1), ('w', 1)], "5 is damaged");
        assert_eq!(kinds(&[2, 2]), [('d', 1), ('w', 1)]);
        assert_eq!(kinds(&[2, 1]), [('d', 1), ('w', 1)]);
        // 3 and 2 are damaged.
        assert_eq!(kinds(&[4, 5, 3, 2, 6]), [('w', 1), ('w', 1), ('d', 2), ('w', 1)]);
        assert_eq!(kinds(&[4, 5, 3, 2]), [('w', 1), ('w', 1), ('t', 2)]);
    }

    #[test]
    fn steps_of_numbers_are_bounded() {
        assert_eq!(kinds(&[7, 7 + SEQNO_STEP_MAX - 1]), [('w', 1); 2]);
        assert_eq!(kinds(&[7, 7 + SEQNO_STEP_MAX]), [('w', 1), ('t', 1)]);
        assert_eq!(kinds(&[SEQNO_MAX - 1]), [('w', 1)]);
        assert_eq!(kinds(&[SEQNO_MAX]), [('t', 1)]);
    }
}
