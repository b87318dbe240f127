//! A seller's inbox: the orders that it is invited to, with state, deadline and its own proposals.

use orderstream_rpc::v1;
use serde_json::{Value, json};

use crate::http::{SseStream, get, post};
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, order, proposal, submission, tracker};

/// Opens an order for these sellers, for a minute.
#[allow(clippy::fn_params_excessive_bools, reason = "a case of a test")]
async fn open(wire: &Wire, id: &str, sellers: &[&str], sealed: bool) {
    let names = sellers.iter().map(|name| (*name).to_owned()).collect();
    let limits = v1::SellerLimits { names, ..v1::SellerLimits::default() };
    let spec = v1::OrderSpec {
        title: format!("Order {id}"),
        sellers: Some(limits),
        sealed,
        expires_in_ms: 60_000,
        ..v1::OrderSpec::default()
    };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker(id) };
    wire.follow(request).await.unwrap().through(2).await;
}

/// Makes a main proposal.
async fn propose(wire: &Wire, id: &str, seller: &str, price: &str) {
    let main = v1::Proposal {
        seller: seller.to_owned(),
        price: price.to_owned(),
        alternative: String::new(),
        ..proposal(&format!("p-{seller}"))
    };
    let submission = v1::ProposalSubmission { proposal: Some(main), ..submission(id, "") };
    let summary = wire.submit(vec![submission]).await.unwrap();
    assert_eq!(summary.accepted, 1, "{summary:?}");
}

async fn inbox(rig: &Rig, seller: &str, query: &str) -> Value {
    let response = get(rig.rest(), &format!("/api/v1/sellers/{seller}/invitations{query}")).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn ids(page: &Value) -> Vec<&str> {
    let entries = page["invitations"].as_array().unwrap().iter();
    entries.map(|entry| entry["order_req_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn inbox_has_state_deadline_and_own_proposal() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller1", "seller2"], false).await;
    open(&wire, "b", &["seller2"], false).await;
    propose(&wire, "a", "seller1", "10.50").await;
    propose(&wire, "a", "seller2", "7654.21").await;
    let page = inbox(&rig, "seller1", "").await;
    assert_eq!(
        (ids(&page), &page["next"], &page["unreached"]),
        (vec!["a"], &Value::Null, &json!([]))
    );
    let entry = &page["invitations"][0];
    assert_eq!((&entry["state"], &entry["phase"]), (&json!("Proposed"), &json!("Open")));
    assert_eq!(entry["expires_at"], "2026-01-01T00:01:00Z", "{entry}");
    assert_eq!((&entry["title"], &entry["last_seq"]), (&json!("Order a"), &json!(4)));
    let own = json!([{ "proposal_id": "p-seller1", "status": "Open", "version": 1,
        "alternative": null, "price": "10.50", "currency": "EUR", "won": false }]);
    assert_eq!(entry["proposals"], own);
    let text = page.to_string();
    assert!(!text.contains("seller2") && !text.contains("7654.21"), "{text}");
    assert_eq!(ids(&inbox(&rig, "seller2", "").await), ["a", "b"]);
    assert_eq!(
        ids(&inbox(&rig, "nobody", "").await),
        [""; 0],
        "an unknown seller has no invitation"
    );
    assert_eq!(ids(&inbox(&rig, "seller2", "?tenant=other").await), [""; 0]);
}

#[tokio::test]
async fn ended_orders_stay_on_request() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    for id in ["a", "b", "c"] {
        open(&wire, id, &["seller1"], false).await;
    }
    propose(&wire, "b", "seller1", "10.50").await;
    let award = v1::AwardRequest {
        order: Some(order("b")),
        proposal_id: "p-seller1".to_owned(),
        ..v1::AwardRequest::default()
    };
    within("an award", wire.control.clone().award(award)).await.unwrap();
    assert_eq!(ids(&inbox(&rig, "seller1", "").await), ["a", "c"]);
    rig.restart().await;
    assert_eq!(ids(&inbox(&rig, "seller1", "").await), ["a", "c"]);
    let page = inbox(&rig, "seller1", "?ended=true").await;
    assert_eq!(ids(&page), ["a", "b", "c"]);
    let ended = &page["invitations"][1];
    assert_eq!((&ended["phase"], &ended["ended_at"].is_string()), (&json!("Finalised"), &true));
    assert_eq!(ended["proposals"][0]["won"], true, "{ended}");
}

#[tokio::test]
async fn inboxes_are_read_in_pages() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let all = ["a", "b", "c", "d", "e"];
    for id in all.iter().rev() {
        open(&wire, id, &["seller1"], false).await;
    }
    for ended in ["", "&ended=true"] {
        let (mut listed, mut after) = (Vec::new(), String::new());
        loop {
            let page = inbox(&rig, "seller1", &format!("?limit=2&after={after}{ended}")).await;
            listed.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next"].as_str() else { break };
            next.clone_into(&mut after);
        }
        assert_eq!(listed, all, "{ended}");
    }
    assert_eq!(ids(&inbox(&rig, "seller1", "?limit=0").await).len(), 1, "one at least");
}

/// Anybody may read an inbox, so that nothing in it shows who proposed until the opening.
#[tokio::test]
async fn sealed_orders_hide_prices_in_inboxes() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller1", "seller2"], true).await;
    propose(&wire, "a", "seller1", "7654.21").await;
    let declined = json!({ "seller": "seller2", "reason": "too far" });
    assert_eq!(post(rig.rest(), "/api/v1/orders/a/decline", &declined).await.status, 200);
    let before = inbox(&rig, "seller1", "").await["invitations"][0].clone();
    assert_eq!((&before["sealed"], &before["proposals"]), (&json!(true), &json!([])));
    assert_eq!((&before["state"], &before["at"]), (&json!("Invited"), &before["opened_at"]));
    let other = inbox(&rig, "seller2", "").await["invitations"][0].clone();
    assert_eq!((&other["state"], &other["proposals"]), (&json!("Invited"), &json!([])));

    rig.clock.set(START.plus_ms(60_000));
    rig.clock.wait_for_expiry_round().await;
    let opened = inbox(&rig, "seller1", "").await["invitations"][0].clone();
    assert_eq!((&opened["phase"], &opened["state"]), (&json!("Deciding"), &json!("Proposed")));
    assert_eq!(opened["proposals"][0]["price"], "7654.21", "{opened}");
    assert!(opened["decide_until"].is_string(), "{opened}");
    let other = inbox(&rig, "seller2", "").await.to_string();
    assert!(other.contains("Declined") && !other.contains("7654.21"), "{other}");
}

#[tokio::test]
async fn followed_inboxes_show_each_change() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller1", "seller2"], false).await;
    open(&wire, "for-another", &["seller2"], false).await;
    let path = "/api/v1/sellers/seller1/invitations/events";
    let mut events = SseStream::open(rig.rest(), path, &[]).await;
    assert!(events.head.contains("\nx-accel-buffering: no\n"), "{}", events.head);
    let first = events.next().await.unwrap();
    assert_eq!((first.event.as_str(), &first.data["order_req_id"]), ("Invitation", &json!("a")));
    assert_eq!((&first.data["state"], &first.data["proposals"]), (&json!("Invited"), &json!([])));

    propose(&wire, "a", "seller2", "7654.21").await;
    propose(&wire, "a", "seller1", "10.50").await;
    let proposed = events.next().await.unwrap().data;
    assert_eq!((&proposed["state"], &proposed["last_seq"]), (&json!("Proposed"), &json!(4)));
    assert_eq!(proposed["proposals"][0]["price"], "10.50", "{proposed}");
    assert!(!proposed.to_string().contains("7654.21"), "{proposed}");
    open(&wire, "b", &["seller1"], false).await;
    assert_eq!(events.next().await.unwrap().data["order_req_id"], "b");
    let award = v1::AwardRequest {
        order: Some(order("a")),
        proposal_id: "p-seller1".to_owned(),
        ..v1::AwardRequest::default()
    };
    within("an award", wire.control.clone().award(award)).await.unwrap();
    let ended = events.next().await.unwrap().data;
    assert_eq!((&ended["order_req_id"], &ended["phase"]), (&json!("a"), &json!("Finalised")));
    assert_eq!(ended["proposals"][0]["won"], true, "{ended}");
    rig.drain();
    assert_eq!(events.next().await.unwrap().event, "Draining");
    assert!(events.next().await.is_none());
}

/// Whoever follows a seller's inbox may be another one.
#[tokio::test]
async fn sealed_orders_push_nothing_of_their_sellers() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller1"], true).await;
    let path = "/api/v1/sellers/seller1/invitations/events";
    let mut events = SseStream::open(rig.rest(), path, &[]).await;
    let first = events.next().await.unwrap().data;
    assert_eq!((&first["state"], &first["last_seq"]), (&json!("Invited"), &json!(2)));
    propose(&wire, "a", "seller1", "7654.21").await;
    let question = json!({ "seller": "seller1", "message": "which?" });
    assert_eq!(post(rig.rest(), "/api/v1/orders/a/questions", &question).await.status, 201);
    let follow_up = v1::FollowUpRequest {
        order_req_id: "a".to_owned(),
        follow_up_id: "f1".to_owned(),
        message: Some(v1::Message { message: "how soon?".to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    within("a follow-up", wire.unary.clone().process_follow_up(follow_up)).await.unwrap();
    let asked = events.next().await.unwrap().data;
    assert_eq!((&asked["state"], &asked["last_seq"]), (&json!("Invited"), &json!(5)), "{asked}");
    assert_eq!(asked["proposals"], json!([]));

    rig.clock.set(START.plus_ms(60_000));
    let opened = events.next().await.unwrap().data;
    assert_eq!((&opened["phase"], &opened["state"]), (&json!("Deciding"), &json!("Proposed")));
    assert_eq!(opened["proposals"][0]["price"], "7654.21", "{opened}");
}

#[tokio::test]
async fn streams_of_one_inbox_are_limited() {
    let rig = Rig::start().await;
    let path = "/api/v1/sellers/seller1/invitations/events";
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(SseStream::open(rig.rest(), path, &[]).await);
    }
    let refused = get(rig.rest(), path).await;
    assert_eq!((refused.status, refused.reason().as_str()), (429, "LIMIT_REACHED"));
    let wrong = get(rig.rest(), &format!("{path}?after=1")).await;
    assert_eq!((wrong.status, &wrong.json()["field"]), (422, &json!("after")));
}
