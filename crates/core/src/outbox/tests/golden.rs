//! Outboxes as the processor's journal has them, in a golden file: see `crate::golden`.

use super::*;
use crate::golden::file;

const FILE: &str = "src/golden/outboxes.jsonl";

/// Returns every state of a notification.
fn states() -> Vec<DeliveryProgress> {
    vec![
        DeliveryProgress::Waiting { attempts: 0, next_at: Timestamp(0), reason: None },
        DeliveryProgress::Waiting {
            attempts: 3,
            next_at: Timestamp(1_800_000_000_123),
            reason: Some("busy".to_owned()),
        },
        DeliveryProgress::Delivered,
        given_up(),
    ]
}

fn given_up() -> DeliveryProgress {
    let reason = "no such user".to_owned();
    DeliveryProgress::GivenUp { attempts: 4, at: Timestamp(1_800_000_000_123), reason }
}

fn recipients() -> Vec<Recipient> {
    vec![Recipient::Buyer, Recipient::Seller(seller("a")), Recipient::Sink]
}

fn due(recipient: Recipient, language: Option<&str>) -> DueNotification {
    DueNotification {
        topic: Topic::RequestFailures,
        template: Template::SellerNotReached,
        recipient,
        channel: Channel { kind: NotificationType::Sms, address: "+4930123456".to_owned() },
        language: language.map(str::to_owned),
    }
}

fn failure(seller: Option<SellerId>) -> DeliveryFailure {
    DeliveryFailure {
        id: "acme~SB1~life~2~00000000deadbeef".to_owned(),
        template: Template::Invitation,
        channel: NotificationType::GChat,
        seller,
        reason: "no such user".to_owned(),
    }
}

/// Returns a notification with this number; one with an even number has every field.
fn entry(number: u64, recipient: &Recipient, state: &DeliveryProgress) -> OutboxEntry {
    let is_full = number.is_multiple_of(2);
    let reported_seller = is_full.then(|| seller("b")).filter(|_| *recipient != Recipient::Buyer);
    OutboxEntry {
        seq: Seq(2),
        due_at: Timestamp(1_800_000_000_000),
        due: due(recipient.clone(), is_full.then_some("pt-BR")),
        failed: is_full.then(|| failure(reported_seller)),
        state: state.clone(),
    }
}

/// Returns an empty outbox, one for each recipient and state, and one with all that can be in it.
fn outboxes() -> Vec<OutboxSnapshot> {
    let mut outboxes = vec![OutboxSnapshot::default()];
    for (tens, recipient) in (0..).step_by(10).zip(recipients()) {
        for (number, state) in (tens..).zip(states()) {
            let pending = [(number, entry(number, &recipient, &state))].into();
            outboxes.push(OutboxSnapshot { pending, ..OutboxSnapshot::default() });
        }
    }
    let given_up = entry(6, &Recipient::Sink, &given_up());
    outboxes.push(OutboxSnapshot {
        cursor: Seq(9),
        next_number: u64::MAX,
        pending: [(7, entry(7, &Recipient::Buyer, &DeliveryProgress::Delivered))].into(),
        dead: [(6, given_up)].into(),
        dropped: u64::MAX,
    });
    outboxes
}

#[test]
fn stored_outboxes_never_change() {
    file::check_values(FILE, &outboxes());
    file::check_variants(&states());
    file::check_variants(&recipients());
}

#[test]
fn older_outboxes_are_read_with_defaults() {
    let read: OutboxSnapshot = serde_json::from_str(r#"{"cursor":0,"next_number":0}"#).unwrap();
    assert_eq!(read, OutboxSnapshot::default());
}
