//! Looks at the store's write-ahead log before the store does.
//!
//! The store takes the first place it cannot parse for the torn end of the log and cuts the file
//! there. After a crash that is right. When the place is in the middle it would delete what was
//! acknowledged, so the journal is not opened at all then.
//!
//! ```text
//! log   = batch* rest
//! batch = 1 | items (4) | seqno (8) | item* | 3 | checksum (8) | "FJL" 3
//! item  = 2 | type (1) | compression (1) | keyspace (8) | key len (2) | value len (4)
//!           | value len on disk (4) | key | value                      all little endian
//! ```
//!
//! The journal syncs each batch before it begins the next: where a batch begins behind the place,
//! the batch at the place was synced, and it is damage. Bytes with no batch behind them are a
//! write that a crash cut short, which nobody was told of.

use std::fs;
use std::io;
use std::path::Path;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
/// A value, a deletion and a deletion of another kind are 0 to 2.
const TYPE_MAX: u8 = 2;
/// The value is not compressed.
const PLAIN: u8 = 0;
/// Ends a batch.
const TRAILER: [u8; 4] = *b"FJL\x03";
/// The end of one batch and the tag of the next.
const SEAM: [u8; 5] = *b"FJL\x03\x01";
/// A start behind the damage has a number at most this far on; more is the bytes of a payload.
const SEQNO_STEP_MAX: u64 = 1 << 32;

/// Says where the log is damaged in the middle, if it is.
pub(super) fn damage(path: &Path) -> io::Result<Option<u64>> {
    let log = fs::read(path)?;
    let whole = Whole::of(&log);
    let rest = log.get(whole.end..).unwrap_or_default();
    // A new log is laid out with zeros.
    let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let rest = rest.get(..written).unwrap_or_default();
    let begins = |at: usize| {
        let head = rest.get(at + SEAM.len()..)?;
        let (count, head) = head.split_first_chunk::<4>()?;
        let (seqno, _) = head.split_first_chunk::<8>()?;
        let step = u64::from_le_bytes(*seqno).checked_sub(whole.seqno)?;
        (u32::from_le_bytes(*count) > 0 && (1..SEQNO_STEP_MAX).contains(&step)).then_some(())
    };
    let mut seams = rest.windows(SEAM.len()).enumerate().filter(|(_, bytes)| *bytes == SEAM);
    let damaged = seams.any(|(at, _)| begins(at).is_some());
    Ok(damaged.then_some(whole.end as u64))
}

/// The batches at the begin of a log that parse.
struct Whole {
    end: usize,
    seqno: u64,
}

impl Whole {
    fn of(log: &[u8]) -> Self {
        let mut whole = Self { end: 0, seqno: 0 };
        let mut rest = log;
        while let Some(seqno) = batch(&mut rest) {
            whole = Self { end: log.len() - rest.len(), seqno };
        }
        whole
    }
}

/// Takes one batch off the front and gives its number.
fn batch(rest: &mut &[u8]) -> Option<u64> {
    let [START] = *take::<1>(rest)? else { return None };
    let count = u32::from_le_bytes(*take(rest)?);
    let seqno = u64::from_le_bytes(*take(rest)?);
    for _ in 0..count {
        item(rest)?;
    }
    let [END] = *take::<1>(rest)? else { return None };
    take::<8>(rest)?;
    (*take(rest)? == TRAILER).then_some(seqno)
}

fn item(rest: &mut &[u8]) -> Option<()> {
    let [ITEM, 0..=TYPE_MAX, PLAIN] = *take::<3>(rest)? else { return None };
    take::<8>(rest)?;
    let key_len = u16::from_le_bytes(*take(rest)?);
    let plain_len = u32::from_le_bytes(*take(rest)?);
    let value_len = u32::from_le_bytes(*take(rest)?);
    if plain_len != value_len {
        return None;
    }
    let len = usize::from(key_len).checked_add(usize::try_from(value_len).ok()?)?;
    *rest = rest.get(len..)?;
    Some(())
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(taken)
}
