//! The buyer's commands, and reading orders, over gRPC.

use orderstream_rpc::convert::timestamp_from_wire;
use orderstream_rpc::v1;
use tonic::{Code, Status};

use crate::rig::{NAME, Rig, START, within};
use crate::wire::{Wire, order, reason, refusal, tracker};

const MINUTE_MS: u64 = 60_000;

async fn pause(wire: &Wire, id: &str) -> Result<v1::ActResponse, Status> {
    let request = v1::PauseRequest { order: Some(order(id)), ..Default::default() };
    Ok(within("a pause", wire.control.clone().pause(request)).await?.into_inner())
}

async fn resume(wire: &Wire, id: &str) -> Result<v1::ActResponse, Status> {
    let request = v1::ResumeRequest { order: Some(order(id)), ..Default::default() };
    Ok(within("a resume", wire.control.clone().resume(request)).await?.into_inner())
}

async fn extend(wire: &Wire, id: &str, expires_in_ms: u64) -> Result<v1::ActResponse, Status> {
    let request = v1::ExtendRequest { order: Some(order(id)), expires_in_ms, ..Default::default() };
    Ok(within("an extension", wire.control.clone().extend(request)).await?.into_inner())
}

async fn award(wire: &Wire, request: v1::AwardRequest) -> Result<v1::ActResponse, Status> {
    Ok(within("an award", wire.control.clone().award(request)).await?.into_inner())
}

async fn close(wire: &Wire, id: &str) -> Result<v1::ActResponse, Status> {
    let request = v1::CloseRequest { order: Some(order(id)), ..Default::default() };
    Ok(within("a close", wire.control.clone().close(request)).await?.into_inner())
}

async fn cancel(wire: &Wire, id: &str) -> Result<v1::ActResponse, Status> {
    let request = v1::CancelRequest { order: Some(order(id)), ..Default::default() };
    Ok(within("a cancel", wire.control.clone().cancel(request)).await?.into_inner())
}

async fn list(wire: &Wire, request: v1::ListOrdersRequest) -> Vec<v1::OrderSummary> {
    let mut control = wire.control.clone();
    let read = async {
        let mut stream = control.list_orders(request).await.unwrap().into_inner();
        let mut all = Vec::new();
        while let Some(summary) = stream.message().await.unwrap() {
            all.push(summary);
        }
        all
    };
    within("a list", read).await
}

fn ids(list: &[v1::OrderSummary]) -> Vec<&str> {
    list.iter().map(|summary| summary.order.as_ref().unwrap().order_req_id.as_str()).collect()
}

fn whole(id: &str, proposal_id: &str) -> v1::AwardRequest {
    let (order, proposal_id) = (Some(order(id)), proposal_id.to_owned());
    v1::AwardRequest { order, proposal_id, ..v1::AwardRequest::default() }
}

#[tokio::test]
async fn paused_orders_take_no_proposals() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    follow.through(2).await;
    let paused = pause(&wire, "a").await.unwrap();
    assert_eq!((paused.seq, paused.phase.as_str()), (3, "Paused"));
    assert_eq!(pause(&wire, "a").await.unwrap().seq, 3, "to say it again changes nothing");
    let summary = wire.submit(vec![crate::wire::submission("a", "p")]).await.unwrap();
    assert_eq!(summary.results[0].reason, "ORDER_PAUSED");
    let resumed = resume(&wire, "a").await.unwrap();
    assert_eq!((resumed.seq, resumed.phase.as_str()), (4, "Open"));
    assert_eq!(wire.propose("a", "p").await, 5);
    assert_eq!(follow.through(5).await, ["OrderPaused", "OrderResumed", "NewProposal"]);
}

#[tokio::test]
async fn an_expiry_grows_and_never_shrinks() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let extended = extend(&wire, "a", 90 * MINUTE_MS).await.unwrap();
    assert_eq!(extended.seq, 3);
    let expires_at = timestamp_from_wire(&extended.expires_at.unwrap());
    assert_eq!(expires_at, START.plus_ms(90 * MINUTE_MS));
    let shorter = extend(&wire, "a", 89 * MINUTE_MS).await.err().unwrap();
    assert_eq!(shorter.code(), Code::FailedPrecondition);
    assert_eq!(reason(&shorter), "EXPIRY_SHRINKS");
    assert_eq!(refusal(&shorter).field.as_deref(), Some("expires_in_ms"));
    for absurd in [0, 9_999, 15_552_000_001, u64::MAX] {
        let status = extend(&wire, "a", absurd).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(refusal(&status).field.as_deref(), Some("expires_in_ms"));
        assert!(status.message().contains("10000 (10 s) to 15552000000 (180 d)"), "{status:?}");
    }
    assert_eq!(wire.last_seq("a").await, 3);
}

#[tokio::test]
async fn award_ends_order_and_is_shown() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose("a", "p1").await;
    let missing = award(&wire, whole("a", "p9")).await.err().unwrap();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(reason(&missing), "PROPOSAL_NOT_FOUND");
    let line = v1::AwardLine { sku: "beam".to_owned(), proposal_id: "p1".to_owned() };
    let both = v1::AwardRequest { lines: vec![line.clone()], ..whole("a", "p1") };
    let both = award(&wire, both).await.err().unwrap();
    assert_eq!(refusal(&both).field.as_deref(), Some("lines"), "{both:?}");
    let awarded = award(&wire, whole("a", "p1")).await.unwrap();
    assert_eq!((awarded.seq, awarded.phase.as_str()), (4, "Finalised"));
    assert!(awarded.expires_at.is_none(), "it has ended");
    assert_eq!(award(&wire, whole("a", "p1")).await.unwrap().seq, 4, "said again");
    let other = award(&wire, whole("a", "")).await.err().unwrap();
    assert_eq!(reason(&other), "ALREADY_AWARDED");
    let state = wire.state("a").await.unwrap();
    assert_eq!(state.award.unwrap().proposal_id, "p1");
    drop(wire.track("b").await);
    wire.propose("b", "p1").await;
    let lines = v1::AwardRequest { lines: vec![line.clone()], ..whole("b", "") };
    assert_eq!(award(&wire, lines).await.unwrap().phase, "Finalised");
    assert_eq!(wire.state("b").await.unwrap().award.unwrap().lines, [line]);
}

#[tokio::test]
async fn close_and_cancel_end_orders_once() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    for id in ["a", "b"] {
        drop(wire.track(id).await);
    }
    for _ in 0..2 {
        let closed = close(&wire, "a").await.unwrap();
        assert_eq!((closed.seq, closed.phase.as_str()), (3, "Closed"));
        let cancelled = cancel(&wire, "b").await.unwrap();
        assert_eq!((cancelled.seq, cancelled.phase.as_str()), (3, "Cancelled"));
    }
    for (id, outcome) in [
        ("a", cancel(&wire, "a").await),
        ("b", close(&wire, "b").await),
        ("a", resume(&wire, "a").await),
        ("b", extend(&wire, "b", 90 * MINUTE_MS).await),
    ] {
        let status = outcome.err().unwrap();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), "ORDER_ENDED");
        assert_eq!(wire.last_seq(id).await, 3);
    }
}

#[tokio::test]
async fn commands_on_unknown_orders_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    for outcome in [
        pause(&wire, "nobody").await,
        resume(&wire, "nobody").await,
        extend(&wire, "nobody", 90 * MINUTE_MS).await,
        award(&wire, whole("nobody", "")).await,
        close(&wire, "nobody").await,
        cancel(&wire, "nobody").await,
    ] {
        let status = outcome.err().unwrap();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(reason(&status), "ORDER_NOT_FOUND");
    }
    let unnamed = v1::PauseRequest::default();
    let status = wire.control.clone().pause(unnamed).await.err().unwrap();
    assert_eq!(refusal(&status).field.as_deref(), Some("order"));
    assert_eq!(rig.orders().count(), 0);
}

#[tokio::test]
async fn proposal_pages_hold_each_proposal_once() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose_many("a", 25).await;
    let mut received = Vec::new();
    let mut after = String::new();
    loop {
        let request = v1::GetOrderRequest {
            order: Some(order("a")),
            after_proposal_id: after,
            max_proposals: 10,
        };
        let page = wire.control.clone().get_order(request).await.unwrap().into_inner();
        assert!(page.proposals.len() <= 10);
        received.extend(page.proposals.into_iter().map(|proposal| proposal.proposal_id));
        after = page.next_proposal_id;
        if after.is_empty() {
            break;
        }
    }
    let mut each: Vec<String> = (0..25).map(|n| format!("many-{n}")).collect();
    each.sort();
    assert_eq!(received, each);
}

#[tokio::test]
async fn lists_are_filtered_and_sorted() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    for id in ["d", "b", "a", "c"] {
        drop(wire.track(id).await);
    }
    let other_tenant = v1::OrderStreamRequest { tenant: "elsewhere".to_owned(), ..tracker("a") };
    drop(wire.follow(other_tenant).await.unwrap());
    cancel(&wire, "a").await.unwrap();
    cancel(&wire, "c").await.unwrap();
    let all = list(&wire, v1::ListOrdersRequest::default()).await;
    assert_eq!(ids(&all), ["a", "b", "c", "d", "a"]);
    let in_default = v1::ListOrdersRequest { tenant: "default".to_owned(), ..Default::default() };
    assert_eq!(ids(&list(&wire, in_default.clone()).await), ["a", "b", "c", "d"]);
    let live = v1::ListOrdersRequest { phases: vec!["Open".to_owned()], ..in_default.clone() };
    assert_eq!(ids(&list(&wire, live.clone()).await), ["b", "d"]);
    let two = v1::ListOrdersRequest { max_orders: 2, ..live };
    assert_eq!(ids(&list(&wire, two).await), ["b", "d"], "at most two of those that fit");
    let after = v1::ListOrdersRequest { after: Some(order("b")), ..in_default };
    assert_eq!(ids(&list(&wire, after).await), ["c", "d"]);
    let summary = &all[0];
    assert_eq!((summary.phase.as_str(), summary.last_seq), ("Cancelled", 3));
}

#[tokio::test]
async fn unlimited_lists_hold_every_order() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    // Enough orders for more than one page.
    let each: Vec<String> = (0..1_100).map(|n| format!("order-{n:04}")).collect();
    let opened = futures_util::future::join_all(each.iter().map(|id| wire.track(id)));
    drop(within("all are open", opened).await);
    let all = list(&wire, v1::ListOrdersRequest::default()).await;
    assert!(ids(&all) == each, "{} orders of {}", all.len(), each.len());
}

/// An order that is not here gets a reply, not a refusal.
#[tokio::test]
async fn locating_finds_held_orders_only() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.follow(v1::OrderStreamRequest { epoch: 6, ..tracker("a") }).await.unwrap());
    let locate = |id: &str| v1::LocateOrderRequest { order: Some(order(id)) };
    let mut control = wire.control.clone();
    let found = control.locate_order(locate("a")).await.unwrap().into_inner();
    assert!(found.found);
    assert_eq!((found.processor.as_str(), found.last_seq, found.epoch), (NAME, 2, 6));
    assert_eq!(found.phase, "Open");
    let missing = control.locate_order(locate("b")).await.unwrap().into_inner();
    let nowhere = v1::LocateOrderResponse::default();
    assert_eq!(missing, v1::LocateOrderResponse { processor: NAME.to_owned(), ..nowhere });
}

#[tokio::test]
async fn pages_of_large_proposals_fit_messages() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    // 4 096 characters of four bytes each.
    let note = "\u{1F680}".repeat(4_096);
    let many = (0..100).map(|n| {
        let mut submission = crate::wire::submission("a", &format!("p{n:03}"));
        submission.proposal.as_mut().unwrap().note.clone_from(&note);
        submission
    });
    assert_eq!(wire.submit(many.collect()).await.unwrap().accepted, 100);
    let mut count = 0;
    let mut after = String::new();
    loop {
        let request = v1::GetOrderRequest {
            order: Some(order("a")),
            after_proposal_id: after,
            max_proposals: 0,
        };
        let page = wire.control.clone().get_order(request).await.unwrap().into_inner();
        count += page.proposals.len();
        after = page.next_proposal_id;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(count, 100);
}

/// An order that is too large to follow is refused at its opening.
#[tokio::test]
async fn largest_orders_can_be_followed() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let item = |n: usize, chars: usize| v1::OrderItem {
        sku: format!("sku-{n}"),
        quantity: "1".to_owned(),
        description: "\u{1F680}".repeat(chars),
        ..v1::OrderItem::default()
    };
    // Sizes around half of a message, the limit of an order, and around a whole one, which the
    // stored form would slightly exceed.
    let sizes = (4_000..4_096).step_by(16).map(|last| (31, last));
    for (whole, last) in sizes.chain((3_700..3_800).step_by(10).map(|last| (63, last))) {
        let mut items: Vec<_> = (0..whole).map(|n| item(n, 4_096)).collect();
        items.push(item(whole, last));
        let spec = v1::OrderSpec { items, ..v1::OrderSpec::default() };
        let id = format!("large-{whole}-{last}");
        let request = v1::OrderStreamRequest { order: Some(spec), ..tracker(&id) };
        match wire.follow(request).await {
            Ok(mut follow) => assert_eq!(follow.through(2).await.len(), 2, "{last}"),
            Err(status) => {
                let is_large = ["LIMIT_REACHED", "INVALID_FIELD"].contains(&reason(&status));
                assert!(is_large && status.message().contains("at most"), "{status:?}");
                assert!(wire.state(&id).await.is_err(), "{last}: nothing was stored");
            }
        }
    }
}
