//! An order's end by the clock: once, never early, whatever happens around it.

use orderstream_core::Timestamp;
use orderstream_rpc::convert::timestamp_from_wire;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_stream_response::Detail;
use serde_json::json;

use crate::faulty::{Disk, DiskSpace};
use crate::http::post;
use crate::rig::{Rig, START};
use crate::wire::{Follow, Wire, observer, order, submission, tracker};

const EXPIRES_IN_MS: u64 = 60_000;
const DEADLINE: Timestamp = START.plus_ms(EXPIRES_IN_MS);
const JUST_BEFORE: Timestamp = START.plus_ms(EXPIRES_IN_MS - 1);

async fn track(wire: &Wire, id: &str) -> Follow {
    let spec = v1::OrderSpec {
        expires_in_ms: EXPIRES_IN_MS,
        decide_within_ms: Some(0),
        ..v1::OrderSpec::default()
    };
    let mut follow =
        wire.follow(v1::OrderStreamRequest { order: Some(spec), ..tracker(id) }).await.unwrap();
    follow.through(2).await;
    follow
}

fn assert_expiry(event: &v1::OrderStreamResponse, not_before: Timestamp) {
    assert_eq!(event.streaming_response_status, "OrderPaused");
    let Some(Detail::OrderPaused(paused)) = &event.detail else { panic!("{event:?}") };
    assert!(paused.expired);
    let at = timestamp_from_wire(event.at.as_ref().unwrap());
    assert!(at >= not_before, "{at:?} is early");
}

/// Reads the whole list of an order that ended.
async fn whole(wire: &Wire, id: &str) -> Vec<String> {
    wire.follow(observer(id)).await.unwrap().rest().await
}

#[tokio::test]
async fn orders_expire_once_at_deadline() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = track(&wire, "a").await;
    rig.clock.set(JUST_BEFORE);
    rig.clock.wait_for_expiry_round().await;
    assert_eq!(wire.state("a").await.unwrap().phase, "Open");
    assert_eq!(wire.propose("a", "in-time").await, 3, "a millisecond is enough");
    assert_eq!(follow.event().await.proposal_id, "in-time");
    rig.clock.set(DEADLINE);
    assert_expiry(&follow.event().await, DEADLINE);
    assert!(follow.next().await.is_none(), "it is the last event");
    assert_eq!(wire.state("a").await.unwrap().phase, "Expired");
    rig.clock.set(DEADLINE.plus_ms(EXPIRES_IN_MS));
    rig.clock.wait_for_expiry_round().await;
    assert_eq!(wire.last_seq("a").await, 4);
}

#[tokio::test]
async fn orders_overdue_at_start_expire_once() {
    let mut rig = Rig::start().await;
    drop(track(&rig.wire().await, "a").await);
    drop(track(&rig.wire().await, "b").await);
    rig.stop().await;
    rig.clock.set(DEADLINE.plus_ms(5_000));
    rig.begin().await;
    let mut follow = rig.wire().await.track("a").await;
    follow.through(2).await;
    assert_expiry(&follow.event().await, DEADLINE.plus_ms(5_000));
    assert!(follow.next().await.is_none());
    for _ in 0..2 {
        rig.crash().await;
        rig.begin().await;
        rig.clock.wait_for_expiry_round().await;
        for id in ["a", "b"] {
            let events = whole(&rig.wire().await, id).await;
            assert_eq!(events, ["OrderOpened", "SellersSelected", "OrderPaused"]);
        }
    }
}

#[tokio::test]
async fn crash_at_deadline_expires_orders_once() {
    let mut rig = Rig::start().await;
    let ids: Vec<String> = (0..100).map(|n| format!("order-{n}")).collect();
    let wire = rig.wire().await;
    for id in &ids {
        drop(track(&wire, id).await);
    }
    let mut first = wire.follow(observer(&ids[0])).await.unwrap();
    first.through(2).await;
    rig.clock.set(DEADLINE);
    assert_expiry(&first.event().await, DEADLINE);
    // The other expiries are under way now, done, or not begun.
    rig.crash().await;
    rig.begin().await;
    let wire = rig.wire().await;
    for id in &ids {
        assert_eq!(whole(&wire, id).await, ["OrderOpened", "SellersSelected", "OrderPaused"]);
    }
}

/// They are refused even before the expiry is stored.
#[tokio::test]
async fn commands_at_deadline_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = track(&wire, "a").await;
    rig.clock.set(DEADLINE);
    let summary = wire.submit(vec![submission("a", "late")]).await.unwrap();
    assert_eq!(summary.results[0].reason, "DEADLINE_PASSED");
    assert_expiry(&follow.event().await, DEADLINE);
    assert!(follow.next().await.is_none());
    assert_eq!(wire.last_seq("a").await, 3);
}

#[tokio::test]
async fn extended_orders_expire_at_new_deadline() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = track(&wire, "a").await;
    let extend = v1::ExtendRequest {
        order: Some(order("a")),
        expires_in_ms: 2 * EXPIRES_IN_MS,
        ..v1::ExtendRequest::default()
    };
    wire.control.clone().extend(extend).await.unwrap();
    assert_eq!(follow.event().await.streaming_response_status, "OrderExtended");
    rig.clock.set(START.plus_ms(2 * EXPIRES_IN_MS - 1));
    rig.clock.wait_for_expiry_round().await;
    assert_eq!(wire.state("a").await.unwrap().phase, "Open");
    rig.clock.set(START.plus_ms(2 * EXPIRES_IN_MS));
    assert_expiry(&follow.event().await, START.plus_ms(2 * EXPIRES_IN_MS));
}

#[tokio::test]
async fn paused_orders_expire_too() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = track(&wire, "a").await;
    let pause = v1::PauseRequest { order: Some(order("a")), ..v1::PauseRequest::default() };
    wire.control.clone().pause(pause).await.unwrap();
    rig.clock.set(DEADLINE);
    let paused = follow.event().await;
    let Some(Detail::OrderPaused(by_the_buyer)) = paused.detail else { panic!("{paused:?}") };
    assert!(!by_the_buyer.expired);
    assert_expiry(&follow.event().await, DEADLINE);
    assert!(follow.next().await.is_none());
}

#[tokio::test]
async fn failed_expiry_happens_after_recovery() {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    let mut follow = track(&wire, "a").await;
    disk.set_space(DiskSpace::None);
    rig.clock.set(DEADLINE);
    rig.clock.wait_for_expiry_round().await;
    disk.set_space(DiskSpace::Enough);
    assert_expiry(&follow.event().await, DEADLINE);
    assert!(follow.next().await.is_none());
    assert_eq!(whole(&wire, "a").await.len(), 3);
}

/// The times of events never run back either.
#[tokio::test]
async fn clock_set_back_extends_nothing() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = track(&wire, "a").await;
    rig.clock.set(JUST_BEFORE);
    wire.propose("a", "one").await;
    rig.clock.set(START);
    wire.propose("a", "two").await;
    let (one, two) = (follow.event().await, follow.event().await);
    let at = |event: v1::OrderStreamResponse| timestamp_from_wire(&event.at.unwrap());
    assert_eq!(at(one), JUST_BEFORE);
    assert_eq!(at(two), JUST_BEFORE, "time in a list never runs back");
    rig.clock.set(DEADLINE);
    assert_expiry(&follow.event().await, DEADLINE);
}

/// The reason depends on the phase, and nothing is stored.
#[tokio::test]
async fn late_proposals_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut control = wire.control.clone();
    drop(track(&wire, "expired").await);
    rig.clock.set(DEADLINE);
    whole(&wire, "expired").await;
    for id in ["closed", "cancelled", "awarded", "paused"] {
        drop(wire.track(id).await);
    }
    let of = |id: &str| Some(order(id));
    let close = v1::CloseRequest { order: of("closed"), ..Default::default() };
    control.close(close).await.unwrap();
    let cancel = v1::CancelRequest { order: of("cancelled"), ..Default::default() };
    control.cancel(cancel).await.unwrap();
    let award = v1::AwardRequest { order: of("awarded"), ..Default::default() };
    control.award(award).await.unwrap();
    let pause = v1::PauseRequest { order: of("paused"), ..Default::default() };
    control.pause(pause).await.unwrap();
    for (id, reason) in [
        ("expired", "DEADLINE_PASSED"),
        ("closed", "ORDER_ENDED"),
        ("cancelled", "ORDER_ENDED"),
        ("awarded", "ORDER_ENDED"),
        ("paused", "ORDER_PAUSED"),
    ] {
        let summary = wire.submit(vec![submission(id, "late")]).await.unwrap();
        assert_eq!((summary.accepted, summary.refused), (0, 1));
        assert_eq!(summary.results[0].reason, reason, "{id}");
        let body = json!({
            "order_req_id": id, "seller": "seller1", "price": "7", "currency": "EUR",
        });
        let response = post(rig.rest(), "/api/v1/proposals", &body).await;
        assert_eq!((response.status, response.reason().as_str()), (409, reason), "{id}");
        let state = wire.state(id).await.unwrap();
        assert_eq!((state.last_seq, state.proposals.len()), (3, 0), "{id}");
    }
}
