//! A stable hash: the same number for the same text in every build, on every machine, for ever.
//! Some of its results are stored. Not for secrets, and not safe against an attacker who chooses
//! the texts.

use std::io;

/// The offset basis of FNV-1a.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A hasher for FNV-1a of 64 bits (Fowler, Noll, Vo), over the bytes written into it.
#[derive(Clone, Copy, Debug)]
pub struct StableHasher(u64);

impl Default for StableHasher {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl StableHasher {
    /// Returns a hasher with another offset basis, for a second hash of the same text.
    pub const fn starting_at(offset: u64) -> Self {
        Self(offset)
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        Self(bytes.iter().fold(self.0, add))
    }

    /// Adds texts, each with a terminator, so that `ab, c` and `a, bc` differ.
    #[must_use]
    pub fn texts(self, texts: &[&str]) -> Self {
        texts.iter().fold(self, |hasher, text| hasher.bytes(text.as_bytes()).bytes(&[0]))
    }

    /// Returns the hash, unmixed: its lowest bits depend only on the lowest bits of each byte.
    pub const fn finish(self) -> u64 {
        self.0
    }

    /// Returns the hash, mixed so that every bit depends on every byte (the finalizer of
    /// `MurmurHash3`), for comparison and division.
    pub const fn mixed(self) -> u64 {
        let hash = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}

impl io::Write for StableHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self = self.bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes are from the reference implementation's test vectors.
    #[test]
    fn known_texts_have_known_hashes() {
        let hash = |text: &str| StableHasher::default().bytes(text.as_bytes()).finish();
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn text_boundaries_change_the_hash() {
        let hash = |texts: &[&str]| StableHasher::default().texts(texts).mixed();
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["a"]), hash(&["a", ""]));
    }
}
