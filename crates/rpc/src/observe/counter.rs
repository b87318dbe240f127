//! Counts the gRPC messages of a body, however its bytes are cut into frames.

/// The length of a message's prefix: one flag byte and a big-endian length (gRPC over HTTP/2).
const PREFIX_LEN: u8 = 5;

/// Reads the prefixes of the messages of one body.
///
/// One data frame is not one message: several messages come in one frame, and one message in
/// several. The work grows with the number of messages, not of bytes; nothing is copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageCounter {
    prefix_seen: u8,
    length: u32,
    remaining: u32,
}

/// The numbers of messages that began and ended in one piece of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages whose prefix is complete: these count as sent.
    pub begun: u64,
    /// Messages whose last byte has arrived: these count as received.
    pub ended: u64,
}

impl MessageCounter {
    /// Counts the next piece of the body.
    pub fn feed(&mut self, mut piece: &[u8]) -> Counts {
        let mut counts = Counts::default();
        while !piece.is_empty() {
            if self.remaining > 0 {
                piece = self.skip_message(piece, &mut counts);
                continue;
            }
            let Some((&byte, rest)) = piece.split_first() else { break };
            piece = rest;
            if self.prefix_seen > 0 {
                self.length = (self.length << 8) | u32::from(byte);
            }
            self.prefix_seen += 1;
            if self.prefix_seen == PREFIX_LEN {
                self.begin_message(&mut counts);
            }
        }
        counts
    }

    /// Begins a message, whose prefix is complete.
    fn begin_message(&mut self, counts: &mut Counts) {
        counts.begun += 1;
        self.remaining = self.length;
        if self.length == 0 {
            counts.ended += 1;
        }
        self.prefix_seen = 0;
        self.length = 0;
    }

    /// Skips bytes of the message; returns the bytes after them.
    fn skip_message<'a>(&mut self, piece: &'a [u8], counts: &mut Counts) -> &'a [u8] {
        let available = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let taken = self.remaining.min(available);
        self.remaining -= taken;
        if self.remaining == 0 {
            counts.ended += 1;
        }
        piece.get(taken as usize..).unwrap_or_default()
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
            let mut total = Counts::default();
            let mut rest = bytes.as_slice();
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                let counts = counter.feed(piece);
                total.begun += counts.begun;
                total.ended += counts.ended;
                rest = after;
            }
            let expected = lengths.len() as u64;
            prop_assert_eq!(total, Counts { begun: expected, ended: expected });
        }
    }

    /// A message counts as received at its last byte.
    #[test]
    fn messages_are_received_when_whole() {
        let mut counter = MessageCounter::default();
        assert_eq!(counter.feed(&[0, 0, 0, 0, 2, 9]), Counts { begun: 1, ended: 0 });
        assert_eq!(counter.feed(&[9]), Counts { begun: 0, ended: 1 });
        assert_eq!(counter.feed(&[1, 0, 0, 0, 0]), Counts { begun: 1, ended: 1 });
    }
}
