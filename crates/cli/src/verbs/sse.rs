//! Server-sent events, read from a body that arrives in parts.

use orderstream_rest_types::sse::SseSplitter;

/// One message of a stream; comments and messages without data are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SseMessage {
    /// The event's type.
    pub(super) event: String,
    /// The event's data.
    pub(super) data: String,
}

/// A reader of the messages in a body.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    splitter: SseSplitter,
}

impl SseReader {
    /// Adds a part of the body; returns the messages that it completes.
    pub(super) fn push(&mut self, part: &[u8]) -> Vec<SseMessage> {
        let events = self.splitter.push(part).into_iter();
        events.filter_map(|event| message(&String::from_utf8_lossy(&event))).collect()
    }
}

fn message(block: &str) -> Option<SseMessage> {
    let field = |name: &'static str| {
        block.lines().filter_map(move |line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.strip_prefix(' ').unwrap_or(value))
        })
    };
    let data: Vec<&str> = field("data").collect();
    if data.is_empty() {
        return None;
    }
    let event = field("event").next_back().unwrap_or("message").to_owned();
    Some(SseMessage { event, data: data.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = ": hello\n\nid: 1\nevent: OrderOpened\ndata: {\"seq\":1}\n\n:\n\n\
                        id: 2\nevent: NewProposal\ndata: {\"note\":\"ü\"}\n\nid: 3\ndata: x";

    #[test]
    fn messages_are_read_wherever_the_body_is_cut() {
        let message =
            |event: &str, data: &str| SseMessage { event: event.to_owned(), data: data.to_owned() };
        let expected =
            [message("OrderOpened", "{\"seq\":1}"), message("NewProposal", "{\"note\":\"ü\"}")];
        for size in 1..=BODY.len() {
            let mut reader = SseReader::default();
            let messages = BODY.as_bytes().chunks(size).flat_map(|part| reader.push(part));
            assert_eq!(messages.collect::<Vec<_>>(), expected, "{size}");
            assert_eq!(reader.push(b"\n\n"), [message("message", "x")]);
        }
    }

    #[test]
    fn lines_of_data_belong_together() {
        let messages = SseReader::default().push(b"data:a\ndata: b\n\n");
        assert_eq!(messages, [SseMessage { event: "message".to_owned(), data: "a\nb".to_owned() }]);
    }
}
