//! The form of an outbox in the journal, to the byte. Its content has a golden file in core.

use super::*;

const EMPTY: &str = r#"{"cursor":2,"next_number":1,"forgotten":0}"#;
const BUSY: &str = concat!(
    r#"{"cursor":2,"next_number":9,"pending":{"#,
    r#""7":{"seq":2,"due_at":1800000000123,"topic":"BUYER_NOTIFY","template":"proposal","#,
    r#""recipient":"Buyer","channel":{"type":"Email","address":"b@example.com"},"#,
    r#""state":{"Waiting":{"attempts":0,"next_at":0}}}},"#,
    r#""dead":{"8":{"seq":2,"due_at":0,"topic":"BUYER_NOTIFY","template":"proposal","#,
    r#""recipient":"Buyer","channel":{"type":"Email","address":"b@example.com"},"#,
    r#""state":{"GivenUp":{"attempts":1,"at":0,"reason":"no"}}}},"forgotten":0}"#,
);

#[test]
fn outboxes_are_stored_behind_their_summary() {
    let busy = r#"{"cursor":2,"pending":1,"dead":1,"oldest":1800000000123}"#;
    let table = [(EMPTY, r#"{"cursor":2,"pending":0,"dead":0,"oldest":null}"#), (BUSY, busy)];
    for (outbox, head) in table {
        let snapshot: OutboxSnapshot = serde_json::from_str(outbox).unwrap();
        let stored = format!(r#"{{"revision":5,"head":{head},"outbox":{outbox}}}"#);
        assert_eq!(encode(5, &snapshot).unwrap(), stored);
        assert_eq!(decode(stored.as_bytes()).unwrap(), snapshot);
        let mut location = OutboxLocation::default();
        location.fold(Half::B, 4, stored.as_bytes());
        assert_eq!((location.half, location.record, location.revision), (Half::B, 4, 5));
        assert_eq!(location.summary, OutboxSummary::of(&snapshot));
    }
}
