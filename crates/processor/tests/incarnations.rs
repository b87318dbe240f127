//! Incarnations of one order id: an ended one is kept beside the one that came after it, and
//! nothing that happens to an opening touches what was there before.

use std::time::Duration;

use orderstream_journal::{Journal as _, append};
use orderstream_rpc::v1;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::faulty::{Disk, DiskSpace, Fault};
use crate::http::{SseStream, get, post_once};
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, observer, order, reason, refusal, submission, tracker};

pub(crate) fn of_incarnation(id: &str, incarnation: &str) -> v1::OrderStreamRequest {
    v1::OrderStreamRequest { incarnation: incarnation.to_owned(), ..tracker(id) }
}

pub(crate) fn reader_of(id: &str, incarnation: &str) -> v1::OrderStreamRequest {
    v1::OrderStreamRequest { incarnation: incarnation.to_owned(), ..observer(id) }
}

fn named(id: &str, incarnation: &str) -> v1::OrderRef {
    v1::OrderRef { incarnation: incarnation.to_owned(), ..order(id) }
}

pub(crate) async fn state_of(
    wire: &Wire,
    id: &str,
    incarnation: &str,
) -> Result<v1::OrderState, Status> {
    let order = Some(named(id, incarnation));
    let request = v1::GetOrderRequest { order, ..v1::GetOrderRequest::default() };
    let mut client = wire.control.clone();
    Ok(within("an order", client.get_order(request)).await?.into_inner())
}

async fn award(
    wire: &Wire,
    order: v1::OrderRef,
    proposal_id: &str,
) -> Result<v1::ActResponse, Status> {
    let request = v1::AwardRequest {
        order: Some(order),
        proposal_id: proposal_id.to_owned(),
        idempotency_key: "the-award".to_owned(),
        ..v1::AwardRequest::default()
    };
    let mut client = wire.control.clone();
    Ok(within("an award", client.award(request)).await?.into_inner())
}

/// Opens an incarnation, proposes to it under a key, and awards the proposal.
pub(crate) async fn tender(rig: &Rig, id: &str, incarnation: &str) {
    let wire = rig.wire().await;
    let mut follow = wire.follow(of_incarnation(id, incarnation)).await.unwrap();
    follow.through(2).await;
    let (path, key) = ("/api/v1/proposals", format!("key-of-{incarnation}"));
    let response = post_once(rig.rest(), path, &key, &proposed(id, incarnation)).await;
    assert_eq!(response.status, 201, "{response:?}");
    award(&wire, order(id), &format!("won-{incarnation}")).await.unwrap();
    assert_eq!(follow.rest().await, ["NewProposal", "OrderFinalised"]);
}

fn proposed(id: &str, incarnation: &str) -> Value {
    json!({
        "order_req_id": id, "proposal_id": format!("won-{incarnation}"), "seller": "seller1",
        "price": "7", "currency": "EUR"
    })
}

/// Everything that a caller can see of an awarded order by naming its incarnation.
#[derive(Debug, PartialEq)]
pub(crate) struct ObservedOrder {
    state: v1::OrderState,
    pub(crate) events: Vec<String>,
    texts: Vec<String>,
    pub(crate) award_seq: u64,
}

pub(crate) async fn observe(rig: &Rig, id: &str, incarnation: &str) -> ObservedOrder {
    let wire = rig.wire().await;
    let mut state = state_of(&wire, id, incarnation).await.unwrap();
    // Other incarnations of the order id come and go.
    state.former.clear();
    let events = wire.follow(reader_of(id, incarnation)).await.unwrap().rest().await;
    let mut texts = Vec::new();
    for path in [
        format!("/api/v1/orders/{id}/proposals?incarnation={incarnation}"),
        format!("/api/v1/orders/{id}/conversation?incarnation={incarnation}"),
        format!("/api/v1/orders/{id}/comparison?incarnation={incarnation}"),
        format!("/api/v1/proposals/won-{incarnation}?order_req_id={id}&incarnation={incarnation}"),
        format!(
            "/api/v1/proposals/won-{incarnation}/versions?order_req_id={id}&incarnation={incarnation}"
        ),
    ] {
        let response = get(rig.rest(), &path).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        texts.push(response.text);
    }
    let view = get(rig.rest(), &format!("/api/v1/orders/{id}?incarnation={incarnation}")).await;
    assert_eq!(view.json()["award"]["Whole"], format!("won-{incarnation}"), "{view:?}");
    let path = format!("/api/v1/orders/{id}/events?incarnation={incarnation}");
    let mut stream = SseStream::open(rig.rest(), &path, &[]).await;
    for kind in &events {
        assert_eq!(stream.next().await.unwrap().event, *kind);
    }
    assert!(stream.next().await.is_none());
    // A command that was done under a key gets its reply again.
    let again = award(&wire, named(id, incarnation), &format!("won-{incarnation}")).await.unwrap();
    ObservedOrder { state, events, texts, award_seq: again.seq }
}

/// Reads the newest incarnation of an order id, where a seller's key gets its reply too.
pub(crate) async fn observe_newest(rig: &Rig, id: &str, incarnation: &str) -> ObservedOrder {
    let state = rig.wire().await.state(id).await.unwrap();
    assert_eq!(state.order.unwrap().incarnation, incarnation);
    let key = format!("key-of-{incarnation}");
    let again = post_once(rig.rest(), "/api/v1/proposals", &key, &proposed(id, incarnation)).await;
    assert_eq!((again.status, again.json()["seq"].as_u64()), (201, Some(3)), "{again:?}");
    observe(rig, id, incarnation).await
}

/// Reports whether the disk holds this text.
pub(crate) fn holds(disk: &Disk, text: &str) -> bool {
    let mut holds = false;
    disk.tamper(|map| {
        let part = |bytes: &[u8]| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        holds = map.iter().any(|(key, value)| part(key) || part(value));
    });
    holds
}

/// Waits until the disk holds none of these texts.
pub(crate) async fn wait_until_removed(rig: &Rig, disk: &Disk, texts: &[&str]) {
    let removed = async {
        while texts.iter().any(|text| holds(disk, text)) {
            rig.clock.wait_for_expiry_round().await;
        }
    };
    within("what was removed is gone", removed).await;
}

/// The reopening fails on a full disk; streams, reads and replies stay as they were.
#[tokio::test]
async fn award_survives_failed_reopening() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    tender(&rig, "a", "uid-1").await;
    let before = observe_newest(&rig, "a", "uid-1").await;
    assert_eq!(before.state.award.as_ref().unwrap().proposal_id, "won-uid-1");
    let mut half_read = rig.wire().await.follow(observer("a")).await.unwrap();
    half_read.through(2).await;
    disk.set_space(DiskSpace::None);
    let status = rig.wire().await.follow(of_incarnation("a", "uid-2")).await.err().unwrap();
    assert_eq!(reason(&status), "STORAGE_UNAVAILABLE");
    assert_eq!(observe_newest(&rig, "a", "uid-1").await, before, "while the disk is full");
    rig.clock.wait_for_expiry_round().await;
    disk.set_space(DiskSpace::Enough);
    rig.clock.wait_for_expiry_round().await;
    assert_eq!(observe_newest(&rig, "a", "uid-1").await, before, "with room again");
    assert_eq!(half_read.rest().await, ["NewProposal", "OrderFinalised"], "streams go on");
    rig.restart().await;
    assert_eq!(observe_newest(&rig, "a", "uid-1").await, before, "after a restart");
}

#[tokio::test]
async fn failed_openings_change_no_ended_incarnation() {
    for fault in [Fault::DiskFull, Fault::WriteFails, Fault::SyncFails, Fault::Panics] {
        for fine in 0..2 {
            let disk = Disk::default();
            let mut rig = Rig::start_on(&disk).await;
            tender(&rig, "a", "uid-1").await;
            let before = observe_newest(&rig, "a", "uid-1").await;
            disk.fail_after(fine, fault);
            let mut opened = Vec::new();
            for uid in ["uid-2", "uid-3"] {
                if rig.wire().await.follow(of_incarnation("a", uid)).await.is_err() {
                    wait_until_removed(&rig, &disk, &[uid]).await;
                    assert_eq!(
                        observe_newest(&rig, "a", "uid-1").await,
                        before,
                        "{fault:?} {fine}"
                    );
                } else {
                    let wire = rig.wire().await;
                    let won = format!("won-{uid}");
                    while wire.submit(vec![submission("a", &won)]).await.unwrap().accepted == 0 {}
                    while award(&wire, named("a", uid), &won).await.is_err() {}
                    opened.push(uid);
                }
                assert_eq!(observe(&rig, "a", "uid-1").await, before, "{fault:?} {fine} {uid}");
            }
            rig.crash().await;
            rig.begin().await;
            assert_eq!(observe(&rig, "a", "uid-1").await, before, "{fault:?} {fine}");
            for uid in opened {
                observe(&rig, "a", uid).await;
            }
            rig.clock.wait_for_expiry_round().await;
            assert_eq!(
                observe(&rig, "a", "uid-1").await,
                before,
                "{fault:?} {fine}: after the mending"
            );
        }
    }
}

#[tokio::test]
async fn crash_while_reopening_keeps_ended_incarnation() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    tender(&rig, "a", "uid-1").await;
    let before = observe_newest(&rig, "a", "uid-1").await;
    disk.hold();
    let wire = rig.wire().await;
    let mut opening = JoinSet::new();
    opening.spawn(async move { wire.follow(of_incarnation("a", "uid-2")).await.map(drop) });
    let waits = disk.clone();
    let waits = tokio::task::spawn_blocking(move || waits.wait_for_commit());
    within("the opening is written", waits).await.unwrap();
    assert_eq!(observe_newest(&rig, "a", "uid-1").await, before, "nothing is seen of it yet");
    disk.fail_after(0, Fault::WriteFails);
    rig.crash().await;
    disk.release();
    let outcome = within("the opener is told", opening.join_next()).await.unwrap();
    assert!(outcome.unwrap().is_err());
    rig.begin().await;
    assert_eq!(observe_newest(&rig, "a", "uid-1").await, before);
}

#[tokio::test]
async fn ended_and_new_incarnation_are_readable() {
    // In either order of their names.
    for (first, second) in [("uid-1", "uid-2"), ("uid-2", "uid-1")] {
        let mut rig = Rig::start().await;
        tender(&rig, "a", first).await;
        let before = observe_newest(&rig, "a", first).await;
        tender(&rig, "a", second).await;
        for _ in 0..3 {
            assert_eq!(observe(&rig, "a", first).await, before);
            let newest = observe_newest(&rig, "a", second).await;
            assert_eq!(newest.state.award.unwrap().proposal_id, format!("won-{second}"));
            let wire = rig.wire().await;
            let state = wire.state("a").await.unwrap();
            let listed: Vec<_> = state.former.iter().collect();
            assert_eq!(listed.len(), 1, "{state:?}");
            assert_eq!(
                (listed[0].incarnation.as_str(), listed[0].phase.as_str(), listed[0].last_seq),
                (first, "Finalised", 4)
            );
            let view = get(rig.rest(), "/api/v1/orders").await.json();
            let former = &view["orders"][0]["former_incarnations"][0];
            assert_eq!((&former["incarnation"], &former["last_seq"]), (&json!(first), &json!(4)));
            assert_eq!(rig.orders().count(), 1);
            rig.restart().await;
        }
    }
}

#[tokio::test]
async fn late_tracker_receives_its_incarnations_end() {
    let mut rig = Rig::start().await;
    tender(&rig, "a", "uid-1").await;
    tender(&rig, "a", "uid-2").await;
    for _ in 0..2 {
        let wire = rig.wire().await;
        let resumed = v1::OrderStreamRequest { after_seq: 2, ..of_incarnation("a", "uid-1") };
        let mut follow = wire.follow(resumed).await.unwrap();
        assert_eq!(follow.event().await.proposal_id, "won-uid-1");
        assert_eq!(follow.rest().await, ["OrderFinalised"]);
        let all = wire.follow(of_incarnation("a", "uid-1")).await.unwrap().rest().await;
        assert_eq!(all.len(), 4, "from its first event too");
        let beyond = v1::OrderStreamRequest { after_seq: 9, ..of_incarnation("a", "uid-1") };
        assert_eq!(reason(&wire.follow(beyond).await.err().unwrap()), "AHEAD_OF_LIST");
        assert_eq!(wire.state("a").await.unwrap().order.unwrap().incarnation, "uid-2");
        rig.restart().await;
    }
}

/// A new command on a former incarnation is refused, and its epoch fences no tracker.
#[tokio::test]
async fn former_incarnations_repeat_replies_only() {
    let rig = Rig::start().await;
    tender(&rig, "a", "uid-1").await;
    let wire = rig.wire().await;
    drop(wire.follow(of_incarnation("a", "uid-2")).await.unwrap());
    let again = award(&wire, named("a", "uid-1"), "won-uid-1").await.unwrap();
    assert_eq!((again.seq, again.phase.as_str()), (4, "Finalised"), "the key's answer");
    let other = award(&wire, named("a", "uid-1"), "another").await.err().unwrap();
    assert_eq!(reason(&other), "IDEMPOTENCY_CONFLICT");
    let mut control = wire.control.clone();
    let order = Some(named("a", "uid-1"));
    let pause = v1::PauseRequest { order, epoch: 9, ..v1::PauseRequest::default() };
    assert_eq!(reason(&control.pause(pause).await.err().unwrap()), "ORDER_ENDED");
    let unknown = Some(named("a", "uid-7"));
    let pause = v1::PauseRequest { order: unknown, epoch: 9, ..v1::PauseRequest::default() };
    assert_eq!(reason(&control.pause(pause).await.err().unwrap()), "ORDER_NOT_FOUND");
    let state = wire.state("a").await.unwrap();
    assert_eq!((state.last_seq, state.epoch), (2, 0), "an epoch for another one fences nobody");
    let status = state_of(&wire, "a", "uid-7").await.err().unwrap();
    assert_eq!(reason(&status), "ORDER_NOT_FOUND");
    let newest = ("incarnation".to_owned(), "uid-2".to_owned());
    assert!(refusal(&status).metadata.contains(&newest), "it says which one is here: {status:?}");
    assert_eq!(status.code(), Code::NotFound);
}

/// This holds unless the request names another incarnation.
#[tokio::test]
async fn ended_orders_are_joined_not_reopened() {
    let mut rig = Rig::start().await;
    tender(&rig, "a", "uid-1").await;
    for _ in 0..2 {
        for request in [tracker("a"), of_incarnation("a", "uid-1")] {
            let kinds = rig.wire().await.follow(request).await.unwrap().rest().await;
            assert_eq!(kinds, ["OrderOpened", "SellersSelected", "NewProposal", "OrderFinalised"]);
        }
        assert_eq!(rig.wire().await.last_seq("a").await, 4);
        rig.restart().await;
    }
}

/// Copies every list of a disk onto another one, as an operator might who merges copies.
async fn copy(from: &Disk, to: &Disk) {
    let disks = [from.clone(), to.clone()];
    let closed =
        tokio::task::spawn_blocking(move || disks.iter().for_each(Disk::wait_until_closed));
    within("the processors let go of their disks", closed).await.unwrap();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (from, to) = (from.open(dirs[0].path()), to.open(dirs[1].path()));
    for (list, last) in from.lists().unwrap() {
        let records = from.read(&list, 0, usize::try_from(last).unwrap()).unwrap();
        let payloads = records.into_iter().map(|record| record.payload).collect();
        append(&to, bytes::Bytes::from(list), 0, payloads).await.unwrap();
    }
}

/// The earlier one can still be read.
#[tokio::test]
async fn later_open_incarnation_is_served() {
    for (earlier, later) in [("uid-1", "uid-2"), ("uid-2", "uid-1")] {
        let disks = [Disk::default(), Disk::default()];
        for ((disk, incarnation), at) in disks.iter().zip([earlier, later]).zip([0, 60_000]) {
            let mut rig = Rig::start_on(disk).await;
            rig.clock.set(START.plus_ms(at));
            let wire = rig.wire().await;
            drop(wire.follow(of_incarnation("a", incarnation)).await.unwrap());
            wire.propose("a", &format!("by-{incarnation}")).await;
            rig.stop().await;
        }
        copy(&disks[1], &disks[0]).await;
        let closed = disks[0].clone();
        tokio::task::spawn_blocking(move || closed.wait_until_closed()).await.unwrap();
        let mut rig = Rig::start_on(&disks[0]).await;
        rig.keep_ended(Duration::from_mins(1));
        for _ in 0..2 {
            rig.restart().await;
            rig.clock.set(START.plus_ms(180_000));
            rig.clock.wait_for_expiry_round().await;
            let wire = rig.wire().await;
            let state = wire.state("a").await.unwrap();
            assert_eq!(state.order.unwrap().incarnation, later);
            assert_eq!((state.former.len(), state.former[0].phase.as_str()), (1, "Open"));
            let former = state_of(&wire, "a", earlier).await.unwrap();
            assert_eq!(former.proposals[0].proposal_id, format!("by-{earlier}"));
            let kinds = wire.follow(reader_of("a", earlier)).await.unwrap().rest().await;
            assert_eq!(kinds.len(), 3);
            let refused = award(&wire, named("a", earlier), &format!("by-{earlier}")).await;
            assert_eq!(reason(&refused.err().unwrap()), "ORDER_EXISTS");
        }
        let wire = rig.wire().await;
        award(&wire, order("a"), &format!("by-{later}")).await.unwrap();
    }
}

/// It is refused, and kept on the disk.
#[tokio::test]
async fn damaged_incarnation_blocks_no_newer_one() {
    // Damaged from its first record on, or later.
    for text in ["OrderOpened", "won-uid-1"] {
        let disk = Disk::default();
        let mut rig = Rig::start_on(&disk).await;
        tender(&rig, "a", "uid-1").await;
        let before = observe_newest(&rig, "a", "uid-1").await;
        let damage = || {
            disk.tamper(|map| {
                let holds = |bytes: &[u8], text: &str| {
                    bytes.windows(text.len()).any(|part| part == text.as_bytes())
                };
                let mut records = map.iter_mut().filter(|(key, value)| {
                    (holds(key, "uid-1") || holds(value, "uid-1")) && holds(value, text)
                });
                *records.next().unwrap().1.last_mut().unwrap() ^= 1;
            });
        };
        drop(rig.wire().await.follow(of_incarnation("a", "uid-2")).await.unwrap());
        rig.stop().await;
        damage();
        rig.begin().await;
        for id in ["p", "q"] {
            let wire = rig.wire().await;
            let state = wire.state("a").await.unwrap();
            assert_eq!(state.order.unwrap().incarnation, "uid-2", "{text}");
            assert_eq!((state.former.len(), state.former[0].phase.as_str()), (1, ""));
            wire.propose("a", id).await;
            for status in [
                state_of(&wire, "a", "uid-1").await.err().unwrap(),
                wire.follow(reader_of("a", "uid-1")).await.err().unwrap(),
                award(&wire, named("a", "uid-1"), "won-uid-1").await.err().unwrap(),
            ] {
                assert_eq!(reason(&status), "RECORDS_DAMAGED", "{status:?}");
            }
            rig.restart().await;
        }
        rig.stop().await;
        damage();
        rig.begin().await;
        assert_eq!(observe(&rig, "a", "uid-1").await, before, "nothing of it was thrown away");
    }
}
