//! The frames of server-sent events: the parts of a body, put together to whole events.

/// The empty line that ends an event, with the end of the line before it.
const END: &[u8] = b"\n\n";

/// A splitter of a body that arrives in parts into its events and comments.
#[derive(Debug, Default)]
pub struct SseSplitter {
    /// The start of an event that is not complete.
    rest: Vec<u8>,
}

impl SseSplitter {
    /// Adds a part of the body; returns the events that it completes, each with its empty line.
    pub fn push(&mut self, part: &[u8]) -> Vec<Vec<u8>> {
        // The end of an event may begin with the last byte of the part before.
        let mut searched = self.rest.len().saturating_sub(1);
        self.rest.extend_from_slice(part);
        let (mut events, mut start) = (Vec::new(), 0);
        while let Some(end) = self.end_after(searched) {
            events.extend(self.rest.get(start..end).map(<[u8]>::to_vec));
            (start, searched) = (end, end);
        }
        self.rest.drain(..start);
        events
    }

    /// Returns the number of bytes of the event that is not complete.
    pub const fn incomplete_len(&self) -> usize {
        self.rest.len()
    }

    /// Returns the end of the first event that ends after this position.
    fn end_after(&self, position: usize) -> Option<usize> {
        let rest = self.rest.get(position..)?;
        let found = rest.windows(END.len()).position(|pair| pair == END)?;
        Some(position.saturating_add(found).saturating_add(END.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_stay_whole_wherever_a_body_is_cut() {
        let body = b":\n\nevent: Invitation\ndata: {}\n\nevent: Draining\ndata: {}\n\nevent: Inv";
        for size in 1..=body.len() {
            let mut splitter = SseSplitter::default();
            let events: Vec<Vec<u8>> =
                body.chunks(size).flat_map(|part| splitter.push(part)).collect();
            let expected =
                [":\n\n", "event: Invitation\ndata: {}\n\n", "event: Draining\ndata: {}\n\n"];
            assert_eq!(events, expected.map(|event| event.as_bytes().to_vec()), "{size}");
            assert_eq!(splitter.incomplete_len(), "event: Inv".len(), "{size}");
        }
    }

    #[test]
    fn further_empty_lines_are_kept() {
        let mut splitter = SseSplitter::default();
        assert_eq!(splitter.push(b"data: a\n\n\n"), [b"data: a\n\n"]);
        assert_eq!(splitter.push(b"data: b\n\n"), [b"\ndata: b\n\n"]);
    }
}
