//! A list that is damaged while its order is served: the order is refused and reported once, nothing is
//! tried again and again, and the others are served.

use orderstream_rpc::v1;

use crate::faulty::{Disk, Room};
use crate::http::get;
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, observer, reason, submission, tracker};

/// Changes every record of a list of order `a`; its kind is the first letter of the list's name.
pub(crate) fn damage(disk: &Disk, kind: char) {
    let begin = format!("l{kind}\n");
    let is_named = |key: &[u8]| {
        key.starts_with(begin.as_bytes())
            && key.split(|byte| *byte == b'\n').any(|part| part == b"a")
    };
    disk.tamper(|map| {
        let (_, named) = map.iter().find(|(key, _)| is_named(key)).unwrap();
        let id = named.last_chunk::<4>().unwrap();
        let begin = [b"r", id.as_slice()].concat();
        let records = map.iter_mut().filter(|(key, _)| key.starts_with(&begin));
        let damaged = records.map(|(_, value)| *value.last_mut().unwrap() ^= 1).count();
        assert!(damaged > 0);
    });
}

/// Two orders on a disk that can be damaged.
async fn two_orders() -> (Disk, Rig, Wire) {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    for id in ["a", "b"] {
        drop(wire.follow(v1::OrderStreamRequest { epoch: 1, ..tracker(id) }).await.unwrap());
        wire.propose(id, "p1").await;
    }
    (disk, rig, wire)
}

async fn answer_to_a_proposal(wire: &Wire, order: &str, id: &str) -> String {
    wire.submit(vec![submission(order, id)]).await.unwrap().results[0].reason.clone()
}

/// Proposes to order `a` until its records are taken for damaged.
async fn until_refused(wire: &Wire) {
    let refused =
        async { while answer_to_a_proposal(wire, "a", "p2").await != "RECORDS_DAMAGED" {} };
    within("the order is refused", refused).await;
}

async fn assert_only_a_is_refused(rig: &Rig, wire: &Wire) {
    for round in 1..=3 {
        let refused = wire.follow(observer("a")).await.err().unwrap();
        assert_eq!(reason(&refused), "RECORDS_DAMAGED");
        assert_eq!(answer_to_a_proposal(wire, "a", "p3").await, "RECORDS_DAMAGED");
        assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 1.0, "reported once");
        let id = format!("q{round}");
        assert_eq!(answer_to_a_proposal(wire, "b", &id).await, "", "the other order takes it");
    }
    assert_eq!(wire.observe("b").await.through(6).await.len(), 6);
}

#[tokio::test]
async fn damaged_events_are_told_to_who_reads_them() {
    let (disk, rig, wire) = two_orders().await;
    damage(&disk, 'e');
    let mut follow = wire.observe("a").await;
    assert_eq!(reason(&follow.error().await), "RECORDS_DAMAGED");
    let answer = get(rig.rest(), "/api/v1/orders/a/proposals").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    rig.clock.has_been_heeded().await;
    rig.clock.set(START.plus_ms(2_000));
    until_refused(&wire).await;
    assert_only_a_is_refused(&rig, &wire).await;
}

#[tokio::test]
async fn damaged_grants_refuse_their_order_when_they_are_read() {
    let (disk, rig, wire) = two_orders().await;
    damage(&disk, 'g');
    // After a failed act the order is read again.
    disk.set_room(Room::None);
    assert_eq!(answer_to_a_proposal(&wire, "a", "p2").await, "STORAGE_UNAVAILABLE");
    disk.set_room(Room::Enough);
    rig.clock.has_been_heeded().await;
    rig.clock.set(START.plus_ms(2_000));
    until_refused(&wire).await;
    assert_only_a_is_refused(&rig, &wire).await;
}
