//! Sellers that come while orders are open are invited, as far as these have places.

use orderstream_rpc::v1;
use serde_json::json;

use crate::http::{get, post};
use crate::notifications::ManualNotifier;
use crate::rig::Rig;
use crate::sessions::Session;
use crate::wire::{Follow, Wire, order, tracker};

fn up_to(max_count: u32) -> v1::SellerLimits {
    v1::SellerLimits { max_count, ..v1::SellerLimits::default() }
}

/// Opens an order with these limits, and follows it.
async fn open(wire: &Wire, id: &str, limits: v1::SellerLimits) -> Follow {
    let spec = v1::OrderSpec { sellers: Some(limits), ..v1::OrderSpec::default() };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker(id) };
    let mut follow = wire.follow(request).await.unwrap();
    follow.through(2).await;
    follow
}

/// Returns the sellers that an order invites, by name.
async fn invited(wire: &Wire, id: &str) -> Vec<String> {
    let mut sellers = wire.state(id).await.unwrap().sellers;
    sellers.sort();
    sellers
}

#[tokio::test]
async fn late_sellers_take_part() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = open(&wire, "a", up_to(5)).await;
    let mut session = Session::open(&wire, "later", &[]).await;
    let body = json!({
        "order_req_id": "a", "seller": "later", "price": "9", "currency": "EUR",
    });
    assert_eq!(post(rig.rest(), "/api/v1/proposals", &body).await.reason(), "NOT_INVITED");
    rig.add_sellers(&["later"]);
    assert_eq!(follow.through(3).await, ["SellersSelected"]);
    let event = session.event().await;
    let received = (event.order_req_id.as_str(), event.streaming_response_status.as_str());
    assert_eq!(received, ("a", "OrderOpened"));
    assert_eq!(invited(&wire, "a").await, ["later", "seller1", "seller2", "seller3"]);
    let inbox = get(rig.rest(), "/api/v1/sellers/later/invitations").await.json();
    assert_eq!(inbox["invitations"][0]["order_req_id"], "a", "{inbox}");
    assert_eq!(post(rig.rest(), "/api/v1/proposals", &body).await.status, 201);
}

/// Those that are applied together are ranked together.
#[tokio::test]
async fn full_orders_invite_nobody() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "full", up_to(3)).await;
    let refusing = v1::SellerLimits { late: Some(false), ..up_to(5) };
    open(&wire, "refusing", refusing).await;
    let mut last = open(&wire, "last", up_to(4)).await;
    rig.add_sellers(&["z", "b", "a"]);
    last.through(3).await;
    assert_eq!(invited(&wire, "last").await, ["a", "seller1", "seller2", "seller3"]);
    for id in ["full", "refusing"] {
        assert_eq!(wire.last_seq(id).await, 2, "{id}");
    }
}

/// It would have been first, and takes no place.
#[tokio::test]
async fn sellers_that_declined_take_no_place() {
    let rig = Rig::start_among([]).await;
    let wire = rig.wire().await;
    let mut follow = open(&wire, "a", up_to(1)).await;
    let declined = json!({ "seller": "early" });
    assert_eq!(post(rig.rest(), "/api/v1/orders/a/decline", &declined).await.status, 200);
    rig.add_sellers(&["early", "later"]);
    assert_eq!(follow.through(4).await, ["ProposalUpdate", "SellersSelected"]);
    assert_eq!(invited(&wire, "a").await, ["later"]);
}

/// One of them came back from its suspension meanwhile.
#[tokio::test]
async fn sellers_that_came_while_down_are_invited() {
    let mut rig = Rig::start().await;
    rig.suspend_seller("seller1");
    let wire = rig.wire().await;
    open(&wire, "a", up_to(5)).await;
    assert_eq!(invited(&wire, "a").await, ["seller2", "seller3"]);
    rig.stop().await;
    rig.add_sellers(&["seller1", "seller4"]);
    rig.hide_sellers();
    rig.begin().await;
    let wire = rig.wire().await;
    let mut follow = wire.observe("a").await;
    follow.through(2).await;
    rig.list_sellers();
    assert_eq!(follow.through(3).await, ["SellersSelected"]);
    assert_eq!(invited(&wire, "a").await, ["seller1", "seller2", "seller3", "seller4"]);
    rig.restart().await;
    let wire = rig.wire().await;
    assert_eq!(wire.last_seq("a").await, 3, "once");
}

/// The end of the one that it was invited to later frees its capacity.
#[tokio::test]
async fn late_sellers_capacity_is_counted() {
    let rig = Rig::start_among([]).await;
    let wire = rig.wire().await;
    let mut first = open(&wire, "first", up_to(5)).await;
    rig.add_seller_with_capacity("small", 1);
    first.through(3).await;
    open(&wire, "second", up_to(5)).await;
    assert_eq!(invited(&wire, "second").await, [""; 0]);
    let close = v1::CloseRequest { order: Some(order("first")), ..v1::CloseRequest::default() };
    wire.control.clone().close(close).await.unwrap();
    open(&wire, "third", up_to(5)).await;
    assert_eq!(invited(&wire, "third").await, ["small"]);
}

/// The award has to be undone first.
#[tokio::test]
async fn pending_awards_delay_invitations() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = open(&wire, "a", up_to(5)).await;
    let award = v1::AwardRequest {
        order: Some(order("a")),
        undo_within_ms: 60_000,
        ..v1::AwardRequest::default()
    };
    wire.control.clone().award(award).await.unwrap();
    let mut other = open(&wire, "b", up_to(5)).await;
    rig.add_sellers(&["later"]);
    other.through(3).await;
    let undo = v1::UndoAwardRequest { order: Some(order("a")), ..v1::UndoAwardRequest::default() };
    wire.control.clone().undo_award(undo).await.unwrap();
    assert_eq!(follow.through(5).await, ["AwardPending", "AwardUndone", "SellersSelected"]);
}

/// Nobody else is notified once more, and somebody is where nobody could be before.
#[tokio::test]
async fn late_sellers_are_notified_alone() {
    let notifier = std::sync::Arc::new(ManualNotifier::default());
    let rig = Rig::start_with_notifier(&notifier).await;
    let wire = rig.wire().await;
    let mut follow = open(&wire, "a", up_to(5)).await;
    follow.through(5).await;
    rig.add_sellers(&["later"]);
    assert_eq!(follow.through(7).await, ["SellersSelected", "SellerNotified"]);
    let state = wire.state("a").await.unwrap();
    assert!(state.invitations.iter().all(|held| held.state == "Notified"), "{state:?}");
    let delivered = notifier.wait_for_delivered("all", |delivered| delivered.len() >= 4).await;
    assert_eq!(delivered.len(), 4, "{delivered:?}");
}
