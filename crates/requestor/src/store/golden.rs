//! The order store's records as they are stored, in a golden file: each kind without the optional
//! fields, and with all fields. The contents of orders and commands are in the golden files of
//! core.
//!
//! `ORDERSTREAM_GOLDEN=write cargo test -p orderstream-requestor golden` rewrites the file.

#[path = "../../../core/src/golden/file.rs"]
mod file;

use orderstream_core::command::Award;
use orderstream_core::spec::{Message, MessageType, NotificationType, SellerLimits};
use orderstream_core::{OrderSpec, ProposalId, Reason, SellerId};

use super::*;

const FILE: &str = "src/store/golden.jsonl";

fn command_key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

fn follow_up_id(text: &str) -> FollowUpId {
    FollowUpId::new(text).unwrap()
}

fn test_incarnation() -> Option<Incarnation> {
    Incarnation::new("6f1f9a3b-7c59-4c0e-9d5e-2f6a1c7b8d90").ok()
}

fn reason() -> Option<String> {
    Some("too \"dear\"".to_owned())
}

fn order_key() -> OrderKey {
    OrderKey::new("acme", "SB1029436").unwrap()
}

fn bare_submission() -> OrderSubmission {
    let sellers = SellerLimits { max_count: 10, ..SellerLimits::default() };
    OrderSubmission {
        key: OrderKey::new("", "1").unwrap(),
        session_id: None,
        notification_type: NotificationType::Email,
        spec: OrderSpec { expires_in_ms: 60_000, sellers, ..OrderSpec::default() },
        incarnation: Incarnation::new("i").unwrap(),
        processor: String::new(),
    }
}

fn submission() -> OrderSubmission {
    OrderSubmission {
        key: order_key(),
        session_id: Some("sess_123".to_owned()),
        notification_type: NotificationType::Webhook,
        spec: OrderSpec { title: Some("M8 bolts".into()), ..bare_submission().spec },
        incarnation: test_incarnation().unwrap(),
        processor: "http://processor-0:50051".to_owned(),
    }
}

/// Returns each kind of record without the optional fields.
fn bare() -> Vec<OrderRecord> {
    let (id, incarnation, reason) = (command_key("k"), None, None);
    let message = Message { kind: MessageType::Text, message: String::new(), urls: Vec::new() };
    vec![
        OrderRecord::RequestSubmission(Box::new(bare_submission())),
        OrderRecord::RequestFollowUp {
            id: follow_up_id("f"),
            audience: Vec::new(),
            message,
            answers: None,
            incarnation: None,
        },
        OrderRecord::FollowUpForwarded { id: follow_up_id("f"), incarnation: None },
        OrderRecord::OrderFinalised {
            id: id.clone(),
            award: None,
            reason: None,
            undo_within_ms: None,
            incarnation: None,
        },
        OrderRecord::CommandRequested {
            id: id.clone(),
            body: Box::new(CommandKind::Resume),
            incarnation: None,
        },
        OrderRecord::OrderPaused { id: id.clone(), reason, incarnation: None },
        OrderRecord::CommandSettled { id, refused: None, refusal: None, incarnation },
        OrderRecord::OrderEnded { phase: Phase::Closed, last: None },
        OrderRecord::Disowned { records: Vec::new() },
    ]
}

/// Returns each kind of record with all fields.
fn full() -> Vec<OrderRecord> {
    let (id, incarnation) = (command_key("follow-up:f-1"), test_incarnation());
    let last = PublishedView::only_ended(test_incarnation().unwrap(), Phase::Finalised);
    let award = ProposalId::new("p-1").ok().map(Award::Whole);
    vec![
        OrderRecord::RequestSubmission(Box::new(submission())),
        OrderRecord::RequestFollowUp {
            id: follow_up_id("f-1"),
            audience: vec![SellerId::new("a").unwrap(), SellerId::new("b").unwrap()],
            message: message(),
            answers: Some(follow_up_id("q-1")),
            incarnation: test_incarnation(),
        },
        OrderRecord::FollowUpForwarded { id: follow_up_id("f-1"), incarnation: test_incarnation() },
        OrderRecord::OrderFinalised {
            id: id.clone(),
            award,
            reason: reason(),
            undo_within_ms: Some(u64::MAX),
            incarnation: test_incarnation(),
        },
        OrderRecord::CommandRequested {
            id: id.clone(),
            body: Box::new(CommandKind::Cancel { reason: reason() }),
            incarnation: test_incarnation(),
        },
        OrderRecord::OrderPaused {
            id: id.clone(),
            reason: reason(),
            incarnation: test_incarnation(),
        },
        settled_record(id.clone(), &Refusal::new(Reason::OrderEnded, "is over"), None),
        settled_record(id, &refusal(), incarnation),
        OrderRecord::OrderEnded { phase: Phase::Finalised, last: Some(Box::new(last)) },
        OrderRecord::Disowned { records: vec![1, u64::MAX] },
    ]
}

fn message() -> Message {
    let urls = vec!["https://example.com/a".to_owned()];
    Message { kind: MessageType::Html, message: "how soon?".to_owned(), urls }
}

/// Returns a refusal with all fields that are stored.
fn refusal() -> Refusal {
    let metadata = vec![("limit".to_owned(), "32".to_owned())];
    let field = Some("undo_within_ms".to_owned());
    Refusal { field, metadata, ..Refusal::new(Reason::InvalidField, "is too long") }
}

fn settled_record(
    id: IdempotencyKey,
    refusal: &Refusal,
    incarnation: Option<Incarnation>,
) -> OrderRecord {
    let (refused, refusal) = (Some(refusal.to_string()), Some(Box::new(refusal.into())));
    OrderRecord::CommandSettled { id, refused, refusal, incarnation }
}

#[test]
fn stored_records_never_change() {
    let records: Vec<_> = bare().into_iter().chain(full()).collect();
    file::check_values(FILE, &records);
}

#[test]
fn every_record_kind_is_golden() {
    file::check_variants(&bare());
    file::check_variants(&full());
}

#[test]
fn list_names_never_change() {
    assert_eq!(list_of(&order_key()), "requestor/orders/acme/SB1029436");
    assert_eq!(key_of("requestor/orders/acme/SB1029436"), Some(order_key()));
    assert_eq!(STARTS, "requestor/starts");
}
