//! A list that is damaged while its order is served: the order is refused and reported once,
//! nothing is retried for ever, and the others are served.

use std::time::Duration;

use orderstream_core::{SellerId, Tenant};
use orderstream_rpc::v1;
use tokio::task::JoinSet;
use tonic::Status;

use crate::faulty::{Disk, DiskSpace};
use crate::http::get;
use crate::incarnations::{holds, of_incarnation, reader_of, state_of, tender};
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

/// Makes two orders on a disk that can be damaged.
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

async fn proposal_reason(wire: &Wire, order: &str, id: &str) -> String {
    wire.submit(vec![submission(order, id)]).await.unwrap().results[0].reason.clone()
}

/// Proposes to order `a` until its records count as damaged.
async fn until_refused(wire: &Wire) {
    let refused = async { while proposal_reason(wire, "a", "p2").await != "RECORDS_DAMAGED" {} };
    within("the order is refused", refused).await;
}

async fn assert_only_a_is_refused(rig: &Rig, wire: &Wire) {
    for round in 1..=3 {
        let refused = wire.follow(observer("a")).await.err().unwrap();
        assert_eq!(reason(&refused), "RECORDS_DAMAGED");
        assert_eq!(proposal_reason(wire, "a", "p3").await, "RECORDS_DAMAGED");
        assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 1.0, "reported once");
        let id = format!("q{round}");
        assert_eq!(proposal_reason(wire, "b", &id).await, "", "the other order takes it");
    }
    assert_eq!(wire.observe("b").await.through(6).await.len(), 6);
}

/// While the disk may recover, the refusal is retriable.
#[tokio::test]
async fn damaged_events_refuse_their_order() {
    let (disk, rig, wire) = two_orders().await;
    damage(&disk, 'e');
    let mut follow = wire.observe("a").await;
    assert_eq!(reason(&follow.error().await), "STORAGE_UNAVAILABLE", "the disk may be well again");
    let response = get(rig.rest(), "/api/v1/orders/a/proposals").await;
    assert_eq!(response.status, 503, "{response:?}");
    rig.clock.wait_for_expiry_round().await;
    rig.clock.set(START.plus_ms(2_000));
    until_refused(&wire).await;
    assert_only_a_is_refused(&rig, &wire).await;
}

/// They are read after a failed command.
#[tokio::test]
async fn damaged_grants_refuse_their_order() {
    let (disk, rig, wire) = two_orders().await;
    damage(&disk, 'g');
    // After a failed command the order is read again.
    disk.set_space(DiskSpace::None);
    assert_eq!(proposal_reason(&wire, "a", "p2").await, "STORAGE_UNAVAILABLE");
    disk.set_space(DiskSpace::Enough);
    rig.clock.wait_for_expiry_round().await;
    rig.clock.set(START.plus_ms(2_000));
    until_refused(&wire).await;
    assert_only_a_is_refused(&rig, &wire).await;
}

/// Returns the refusals for following and for reading an ended incarnation.
async fn end_refusals(wire: &Wire) -> [Status; 2] {
    let followed = match wire.follow(reader_of("a", "uid-1")).await {
        Ok(mut follow) => follow.error().await,
        Err(status) => status,
    };
    [followed, state_of(wire, "a", "uid-1").await.err().unwrap()]
}

async fn until_the_end_is_refused(wire: &Wire) {
    let refused =
        async { while end_refusals(wire).await.iter().any(|s| reason(s) != "RECORDS_DAMAGED") {} };
    within("the ended order is refused", Box::pin(refused)).await;
}

/// Makes orders that ended, on a disk that can be damaged; they are kept for an hour.
async fn ended(incarnations: &[&str]) -> (Disk, Rig) {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    rig.keep_ended(Duration::from_hours(1));
    rig.restart().await;
    for incarnation in incarnations {
        tender(&rig, "a", incarnation).await;
    }
    (disk, rig)
}

async fn assert_kept_for_ever(disk: &Disk, rig: &Rig) {
    rig.clock.set(START.plus_ms(2 * 3_600_000));
    rig.clock.wait_for_expiry_round().await;
    rig.clock.wait_for_expiry_round().await;
    assert!(holds(disk, "won-uid-1"), "what cannot be read is not removed");
}

/// They no longer count as open.
#[tokio::test]
async fn refused_orders_end_their_streams() {
    let (disk, rig, wire) = two_orders().await;
    let invited = || {
        let seller = SellerId::new("seller1").unwrap();
        rig.orders().invitations(Tenant::default(), seller).unwrap().first(9).len()
    };
    assert_eq!((rig.metric("orderstream_processor_orders_open", &[]), invited()), (2.0, 2));
    let mut newest = wire.observe("a").await;
    newest.through(3).await;
    damage(&disk, 'e');
    assert_eq!(reason(&wire.observe("a").await.error().await), "STORAGE_UNAVAILABLE");
    rig.clock.wait_for_expiry_round().await;
    rig.clock.set(START.plus_ms(2_000));
    until_refused(&wire).await;
    assert_eq!(reason(&newest.error().await), "RECORDS_DAMAGED");
    assert_eq!((rig.metric("orderstream_processor_orders_open", &[]), invited()), (1.0, 1));
}

/// They are refused only once the damage has lasted; the newest incarnation is served.
#[tokio::test]
async fn damaged_former_incarnations_are_refused() {
    let (disk, rig) = ended(&["uid-1", "uid-2"]).await;
    let wire = rig.wire().await;
    drop(wire.follow(of_incarnation("a", "uid-3")).await.unwrap());
    damage(&disk, 'e');
    for status in end_refusals(&wire).await {
        assert_eq!(reason(&status), "STORAGE_UNAVAILABLE", "the disk may be well again");
    }
    rig.clock.wait_for_expiry_round().await;
    assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 0.0);
    rig.clock.set(START.plus_ms(2_000));
    until_the_end_is_refused(&wire).await;
    assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 1.0, "reported once");
    let state = wire.state("a").await.unwrap();
    assert_eq!(state.order.unwrap().incarnation, "uid-3", "the newest is served");
    let phases: Vec<_> = state.former.iter().map(|former| former.phase.as_str()).collect();
    assert_eq!(phases, ["Finalised", ""]);
    assert_kept_for_ever(&disk, &rig).await;
}

#[tokio::test]
async fn recovered_disk_spares_former_incarnations() {
    let (disk, rig) = ended(&["uid-1", "uid-2"]).await;
    let wire = rig.wire().await;
    damage(&disk, 'e');
    for status in end_refusals(&wire).await {
        assert_eq!(reason(&status), "STORAGE_UNAVAILABLE");
    }
    damage(&disk, 'e');
    rig.clock.wait_for_expiry_round().await;
    rig.clock.set(START.plus_ms(60_000));
    rig.clock.wait_for_expiry_round().await;
    assert_eq!(state_of(&wire, "a", "uid-1").await.unwrap().phase, "Finalised");
    assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 0.0);
}

#[tokio::test]
async fn damaged_ended_orders_are_kept() {
    let (disk, rig) = ended(&["uid-1"]).await;
    let wire = rig.wire().await;
    damage(&disk, 'e');
    let followed = wire.follow(reader_of("a", "uid-1")).await.unwrap().error().await;
    assert_eq!(reason(&followed), "STORAGE_UNAVAILABLE");
    rig.clock.wait_for_expiry_round().await;
    rig.clock.set(START.plus_ms(2_000));
    let refused = async {
        while wire.state("a").await.err().is_none_or(|s| reason(&s) != "RECORDS_DAMAGED") {}
    };
    within("the order is refused", refused).await;
    assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 1.0);
    assert_kept_for_ever(&disk, &rig).await;
}

/// The newest incarnation becomes a former one while its damage is not confirmed yet.
#[tokio::test]
async fn damage_is_judged_across_a_new_opening() {
    let (disk, rig) = ended(&["uid-1"]).await;
    let wire = rig.wire().await;
    disk.hold();
    let mut opening = JoinSet::new();
    let follower = wire.clone();
    opening.spawn(async move { follower.follow(of_incarnation("a", "uid-2")).await.map(drop) });
    let waits = disk.clone();
    tokio::task::spawn_blocking(move || waits.wait_for_commit()).await.unwrap();
    damage(&disk, 'e');
    let followed = wire.follow(reader_of("a", "uid-1")).await.unwrap().error().await;
    assert_eq!(reason(&followed), "STORAGE_UNAVAILABLE");
    disk.release();
    within("the opening", opening.join_next()).await.unwrap().unwrap().unwrap();
    rig.clock.wait_for_expiry_round().await;
    rig.clock.set(START.plus_ms(2_000));
    until_the_end_is_refused(&wire).await;
    assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 1.0, "reported once");
    wire.propose("a", "p").await;
    assert_kept_for_ever(&disk, &rig).await;
}
