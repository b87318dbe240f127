//! Outboxes as the processor's journal has them, in a golden file: see `crate::golden`.

use super::*;
use crate::golden::file;

const FILE: &str = "src/golden/outboxes.jsonl";

/// Returns every state of a notification.
fn states() -> Vec<State> {
    vec![
        State::Waiting { attempts: 0, next_at: Timestamp(0), reason: None },
        State::Waiting {
            attempts: 3,
            next_at: Timestamp(1_800_000_000_123),
            reason: Some("busy".to_owned()),
        },
        State::Told,
        given_up(),
    ]
}

fn given_up() -> State {
    let reason = "no such user".to_owned();
    State::GivenUp { attempts: 4, at: Timestamp(1_800_000_000_123), reason }
}

fn recipients() -> Vec<Recipient> {
    vec![Recipient::Buyer, Recipient::Seller(seller("a")), Recipient::Sink]
}

fn due(recipient: Recipient, language: Option<&str>) -> Due {
    Due {
        topic: Topic::RequestFailures,
        template: Template::SellerNotReached,
        recipient,
        channel: Channel { kind: NotificationType::Sms, address: "+4930123456".to_owned() },
        language: language.map(str::to_owned),
    }
}

fn failure(seller: Option<SellerId>) -> Failure {
    Failure {
        id: "acme~SB1~life~2~00000000deadbeef".to_owned(),
        template: Template::Invitation,
        channel: NotificationType::GChat,
        seller,
        reason: "no such user".to_owned(),
    }
}

/// Returns a notification with this number; one with an even number has every field.
fn kept(number: u64, recipient: &Recipient, state: &State) -> Kept {
    let is_full = number.is_multiple_of(2);
    let told_of = is_full.then(|| seller("b")).filter(|_| *recipient != Recipient::Buyer);
    Kept {
        seq: Seq(2),
        due_at: Timestamp(1_800_000_000_000),
        due: due(recipient.clone(), is_full.then_some("pt-BR")),
        failed: is_full.then(|| failure(told_of)),
        state: state.clone(),
    }
}

/// Returns an empty outbox, one for each recipient and state, and one with all that can be in it.
fn outboxes() -> Vec<Snapshot> {
    let mut outboxes = vec![Snapshot::default()];
    for (tens, recipient) in (0..).step_by(10).zip(recipients()) {
        for (number, state) in (tens..).zip(states()) {
            let pending = [(number, kept(number, &recipient, &state))].into();
            outboxes.push(Snapshot { pending, ..Snapshot::default() });
        }
    }
    let given_up = kept(6, &Recipient::Sink, &given_up());
    outboxes.push(Snapshot {
        cursor: Seq(9),
        next_number: u64::MAX,
        pending: [(7, kept(7, &Recipient::Buyer, &State::Told))].into(),
        dead: [(6, given_up)].into(),
        forgotten: u64::MAX,
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
    let read: Snapshot = serde_json::from_str(r#"{"cursor":0,"next_number":0}"#).unwrap();
    assert_eq!(read, Snapshot::default());
}
