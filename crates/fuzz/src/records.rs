//! The records on a processor's disk: arbitrary bytes as an order's events.

use orderstream_core::{Book, Event, OrderKey};

/// Replays each line as an event in the journal's format, which may be refused with a reason;
/// checks that a replayed order can be read.
pub(crate) fn replay(data: &[u8]) {
    let mut book = Book::new(OrderKey::new("", "SB1").expect("a key"));
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(event) = serde_json::from_slice::<Event>(line) else { continue };
        let encoded = serde_json::to_vec(&event).expect("an event that was read can be written");
        let decoded: Event = serde_json::from_slice(&encoded).expect("and read again");
        assert_eq!(decoded, event, "an event is the same after it was written and read");
        if let Err(error) = book.replay(&event) {
            assert!(!error.to_string().is_empty());
            return;
        }
        let Some(order) = book.order() else { panic!("an order that was replayed is there") };
        assert_eq!(order.last_seq, event.seq);
        let sealed = orderstream_core::seal::order(order);
        let hides = order.is_sealed();
        assert!(!hides || sealed.proposals.values().all(|held| held.content.price.is_hidden()));
        let counts = order.proposal_counts();
        assert!(counts.open <= counts.received);
        assert!(order.best_open().is_none_or(|(id, _)| order.proposals.contains_key(&id)));
    }
}
