//! Counts the gRPC messages of a body, however its bytes are split into frames.

/// The length of a message's prefix: one flag byte and a big-endian length (gRPC over HTTP/2).
const PREFIX_LEN: u8 = 5;

/// A parser of the message prefixes of one body.
///
/// A data frame is not a message: a frame may hold several messages, and a message may span several
/// frames. The work is proportional to the number of messages, not of bytes; nothing is copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageCounter {
    prefix_read: u8,
    length: u32,
    remaining: u32,
}

/// The numbers of messages that began and ended in one chunk of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Messages whose prefix is complete: these count as sent.
    pub begun: u64,
    /// Messages whose last byte has arrived: these count as received.
    pub ended: u64,
}

impl MessageCounter {
    /// Counts the next chunk of the body.
    pub fn count(&mut self, mut piece: &[u8]) -> MessageCounts {
        let mut counts = MessageCounts::default();
        while !piece.is_empty() {
            if self.remaining > 0 {
                piece = self.skip_message(piece, &mut counts);
                continue;
            }
            let Some((&byte, rest)) = piece.split_first() else { break };
            piece = rest;
            if self.prefix_read > 0 {
                self.length = (self.length << 8) | u32::from(byte);
            }
            self.prefix_read += 1;
            if self.prefix_read == PREFIX_LEN {
                self.begin_message(&mut counts);
            }
        }
        counts
    }

    /// Begins a message after its complete prefix.
    fn begin_message(&mut self, counts: &mut MessageCounts) {
        counts.begun += 1;
        self.remaining = self.length;
        if self.length == 0 {
            counts.ended += 1;
        }
        self.prefix_read = 0;
        self.length = 0;
    }

    /// Skips bytes of the message; returns the bytes after them.
    fn skip_message<'a>(&mut self, piece: &'a [u8], counts: &mut MessageCounts) -> &'a [u8] {
        let available = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let skipped = self.remaining.min(available);
        self.remaining -= skipped;
        if self.remaining == 0 {
            counts.ended += 1;
        }
        piece.get(skipped as usize..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_counts(
            lengths in prop::collection::vec(0usize..300, 0..40),
            cuts in prop::collection::vec(1usize..64, 1..200),
        ) {
            let mut bytes = Vec::new();
            for length in &lengths {
                bytes.push(0);
                bytes.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes());
                bytes.resize(bytes.len() + length, 0xff);
            }
            let mut counter = MessageCounter::default();
            let mut total = MessageCounts::default();
            let mut rest = bytes.as_slice();
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                let counts = counter.count(piece);
                total.begun += counts.begun;
                total.ended += counts.ended;
                rest = after;
            }
            let expected = lengths.len() as u64;
            prop_assert_eq!(total, MessageCounts { begun: expected, ended: expected });
        }
    }

    /// A message counts as received at its last byte.
    #[test]
    fn messages_are_received_when_whole() {
        let mut counter = MessageCounter::default();
        assert_eq!(counter.count(&[0, 0, 0, 0, 2, 9]), MessageCounts { begun: 1, ended: 0 });
        assert_eq!(counter.count(&[9]), MessageCounts { begun: 0, ended: 1 });
        assert_eq!(counter.count(&[1, 0, 0, 0, 0]), MessageCounts { begun: 1, ended: 1 });
    }
}
