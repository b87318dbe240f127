//! The layout of a payload on disk.
//!
//! ```text
//! version (1 byte) | CRC32C, little endian (4 bytes) | payload
//! ```
//!
//! The checksum covers the version, the list's key, the record's number and the payload, so an
//! intact record in the place of another is detected as damage too.

/// The version of the layout that is written today.
const VERSION: u8 = 1;

/// The length of the header before the payload, bytes.
pub(crate) const HEADER_LEN: usize = 5;

/// The reason for which bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("it is shorter than its header")]
    Short,
    #[error("its version {0} is unknown")]
    Version(u8),
    #[error("its checksum is wrong")]
    Checksum,
}

/// Appends the frame of one record to `out`.
pub(crate) fn encode(list: &[u8], seq: u64, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEADER_LEN + payload.len());
    out.push(VERSION);
    out.extend_from_slice(&checksum(list, seq, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Verifies a frame and returns its payload.
pub(crate) fn decode<'a>(list: &[u8], seq: u64, frame: &'a [u8]) -> Result<&'a [u8], FrameError> {
    let (header, payload) = frame.split_first_chunk::<HEADER_LEN>().ok_or(FrameError::Short)?;
    let [version, crc @ ..] = *header;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    if u32::from_le_bytes(crc) != checksum(list, seq, payload) {
        return Err(FrameError::Checksum);
    }
    Ok(payload)
}

fn checksum(list: &[u8], seq: u64, payload: &[u8]) -> u32 {
    let mut head = [0; 17];
    head[0] = VERSION;
    head[1..9].copy_from_slice(&(list.len() as u64).to_be_bytes());
    head[9..].copy_from_slice(&seq.to_be_bytes());
    let crc = crc32c::crc32c(&head);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, list), payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(list: &[u8], seq: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(list, seq, payload, &mut out);
        out
    }

    #[test]
    fn layout_is_fixed() {
        assert_eq!(framed(b"list", 7, b"payload"), LAYOUT);
    }

    /// Changing these bytes makes every existing store unreadable: add a version instead.
    const LAYOUT: [u8; 12] = *b"\x01\xce\x48\xeb\x28payload";

    #[test]
    fn empty_payload_is_a_record() {
        assert_eq!(decode(b"l", 1, &framed(b"l", 1, b"")), Ok(&b""[..]));
    }

    #[test]
    fn short_frames_are_damage() {
        for len in 0..HEADER_LEN {
            assert_eq!(decode(b"l", 1, &framed(b"l", 1, b"x")[..len]), Err(FrameError::Short));
        }
    }

    proptest! {
        #[test]
        fn payloads_round_trip(list: Vec<u8>, seq: u64, payload: Vec<u8>) {
            let frame = framed(&list, seq, &payload);
            prop_assert_eq!(decode(&list, seq, &frame), Ok(&payload[..]));
        }

        #[test]
        fn any_flipped_bit_is_damage(list: Vec<u8>, seq: u64, payload: Vec<u8>) {
            let mut frame = framed(&list, seq, &payload);
            for bit in 0..frame.len() * 8 {
                frame[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(decode(&list, seq, &frame).is_err());
                frame[bit / 8] ^= 1 << (bit % 8);
            }
        }

        #[test]
        fn truncated_frame_is_damage(payload in proptest::collection::vec(any::<u8>(), 1..64)) {
            let frame = framed(b"list", 3, &payload);
            for len in 0..frame.len() {
                prop_assert!(decode(b"list", 3, &frame[..len]).is_err());
            }
        }

        #[test]
        fn misplaced_frames_are_damage(seq: u64, other: u64, payload: Vec<u8>) {
            prop_assume!(seq != other);
            prop_assert!(decode(b"list", other, &framed(b"list", seq, &payload)).is_err());
            prop_assert!(decode(b"tsil", seq, &framed(b"list", seq, &payload)).is_err());
        }
    }
}
