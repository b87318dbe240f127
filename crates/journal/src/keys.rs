//! The keys in the store.
//!
//! ```text
//! 'g' | list id (4 bytes)                 -> empty frame: the list was removed
//! 'l' | list key                          -> frame of the list's id (4 bytes, big endian)
//! 'm'                                     -> empty frame: a marks file exists
//! 'r' | list id (4 bytes) | seq (8 bytes) -> frame of the payload
//! ```
//!
//! A list's key is written once; its records carry the 4 bytes of its id. Big endian keeps a list's
//! records together and in order. A removal is recorded here until it is durable in the marks file.

/// A number that stands for a list's key in the store.
pub(crate) type ListId = u32;

/// The length of a record's key, bytes.
const RECORD_KEY_LEN: usize = 13;

const TOMBSTONE: u8 = b'g';
const LIST: u8 = b'l';
const RECORD: u8 = b'r';

/// The first key of removed lists, which end before [`TOMBSTONES_END`].
pub(crate) const TOMBSTONES_BEGIN: &[u8] = b"g";
/// The first key after those of removed lists.
pub(crate) const TOMBSTONES_END: &[u8] = b"h";
/// The key that records that a marks file exists.
pub(crate) const MARKS_KEY: &[u8] = b"m";
/// The first key after [`MARKS_KEY`].
pub(crate) const MARKS_KEY_END: &[u8] = b"n";
/// The first key of lists, which end before [`LISTS_END`].
pub(crate) const LISTS_BEGIN: &[u8] = b"l";
/// The first key after those of lists.
pub(crate) const LISTS_END: &[u8] = b"m";
/// The first key after those of records.
pub(crate) const RECORDS_END: &[u8] = b"s";

/// Returns the store's key for a list that was removed.
pub(crate) fn tombstone(id: ListId) -> Vec<u8> {
    [&[TOMBSTONE][..], &id.to_be_bytes()].concat()
}

/// Returns the list's id from the store's key for a list that was removed.
pub(crate) fn tombstone_of(stored: &[u8]) -> Option<ListId> {
    Some(ListId::from_be_bytes(stored.strip_prefix(&[TOMBSTONE])?.try_into().ok()?))
}

/// Returns the store's key for a list.
pub(crate) fn list(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(LIST);
    out.extend_from_slice(key);
    out
}

/// Returns the list's key from the store's key for a list.
pub(crate) fn list_of(stored: &[u8]) -> Option<&[u8]> {
    stored.strip_prefix(&[LIST])
}

/// Returns the store's key for a record.
pub(crate) fn record(id: ListId, seq: u64) -> [u8; RECORD_KEY_LEN] {
    let mut out = [RECORD; RECORD_KEY_LEN];
    out[1..5].copy_from_slice(&id.to_be_bytes());
    out[5..].copy_from_slice(&seq.to_be_bytes());
    out
}

/// Returns the list's id and the number from the store's key for a record.
pub(crate) fn record_of(stored: &[u8]) -> Option<(ListId, u64)> {
    let (id, seq) = stored.strip_prefix(&[RECORD])?.split_first_chunk::<4>()?;
    Some((ListId::from_be_bytes(*id), u64::from_be_bytes(seq.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys sort by list, then by number.
    #[test]
    fn keys_round_trip_and_sort() {
        assert_eq!(record_of(&record(7, 1 << 40)), Some((7, 1 << 40)));
        assert_eq!(list_of(&list(b"a list")), Some(&b"a list"[..]));
        assert!(record(1, u64::MAX) < record(2, 0));
        assert!(record(1, 255) < record(1, 256));
        assert!(list(&[0xff; 8]).as_slice() < LISTS_END);
        assert_eq!(tombstone_of(&tombstone(7)), Some(7));
        assert!(record(u32::MAX, u64::MAX).as_slice() < RECORDS_END);
    }

    #[test]
    fn unknown_keys_are_not_parsed() {
        for key in [&b""[..], b"r", b"r123", b"r12345678901", b"r1234567890123", b"l12345678901"] {
            assert_eq!(record_of(key), None, "{key:?}");
        }
    }
}
