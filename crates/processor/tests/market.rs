//! Reading conversations, versions and locks, and protecting a write from overwriting
//! changes that its caller does not know of.

use std::net::SocketAddr;

use orderstream_rpc::v1;
use serde_json::{Value, json};

use crate::http::{HttpResponse, get, post, post_once, send};
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, order};

fn proposal(seller: &str, id: &str, price: &str) -> Value {
    json!({ "order_req_id": "a", "proposal_id": id, "seller": seller, "price": price,
            "currency": "EUR" })
}

/// Sends a write with a precondition.
async fn guarded(address: SocketAddr, request: &str, etag: &str, body: &Value) -> HttpResponse {
    let header = format!("if-match: {etag}");
    send(address, request, &[&header], &body.to_string()).await
}

fn etag(response: &HttpResponse) -> &str {
    response.head.split("etag: ").nth(1).unwrap().split("\r\n").next().unwrap()
}

async fn ask_sellers(wire: &Wire, id: &str, answers: &str) {
    let request = v1::FollowUpRequest {
        order_req_id: "a".to_owned(),
        follow_up_id: id.to_owned(),
        answers: answers.to_owned(),
        message: Some(v1::Message { message: "how soon?".to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    within("a follow-up", wire.unary.clone().process_follow_up(request)).await.unwrap();
}

/// The refusal holds the current version.
#[tokio::test]
async fn stale_etags_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let rest = rig.rest();
    assert_eq!(post(rest, "/api/v1/proposals", &proposal("seller1", "p", "10")).await.status, 201);
    let path = "/api/v1/proposals/p?order_req_id=a";
    let current = get(rest, path).await;
    let first = etag(&current).to_owned();
    assert_eq!(first, "\"1\"");
    let put = "PUT /api/v1/proposals/p";
    let amended = guarded(rest, put, &first, &proposal("seller1", "p", "9")).await;
    assert_eq!(amended.status, 200, "{amended:?}");
    let late = guarded(rest, put, &first, &proposal("seller1", "p", "8")).await;
    assert_eq!((late.status, late.reason().as_str()), (412, "CHANGED"));
    assert_eq!(late.json()["metadata"]["current"], "2");
    assert_eq!(get(rest, path).await.json()["price"], "9", "nothing was done");
    let lock = json!({ "order_req_id": "a", "holder": "seller1" });
    let withdraw = json!({ "order_req_id": "a" });
    for (request, body) in [
        ("POST /api/v1/proposals/p/edit-lock", &lock),
        ("DELETE /api/v1/proposals/p/edit-lock", &lock),
        ("POST /api/v1/proposals/p/withdraw", &withdraw),
    ] {
        let late = guarded(rest, request, &first, body).await;
        assert_eq!((late.status, late.reason().as_str()), (412, "CHANGED"), "{request}");
        let wrong = guarded(rest, request, "1", body).await;
        assert_eq!((wrong.status, wrong.reason().as_str()), (422, "INVALID_FIELD"), "{request}");
        assert_eq!(wrong.json()["field"], "if-match");
        let any = guarded(rest, request, "*", body).await;
        assert_eq!(any.status, 200, "{request} {any:?}");
    }
}

#[tokio::test]
async fn order_etag_is_last_event() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let rest = rig.rest();
    let current = get(rest, "/api/v1/orders/a").await;
    assert_eq!(etag(&current), "\"2\"");
    wire.propose("a", "p").await;
    let body = json!({ "seller": "seller2" });
    let late = guarded(rest, "POST /api/v1/orders/a/decline", "\"2\"", &body).await;
    assert_eq!((late.status, late.reason().as_str()), (412, "CHANGED"));
    let now = guarded(rest, "POST /api/v1/orders/a/decline", "\"3\"", &body).await;
    assert_eq!(now.status, 200, "{now:?}");
}

/// Their holder and their end are shown.
#[tokio::test]
async fn locks_are_shown_until_they_expire() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose("a", "p").await;
    let rest = rig.rest();
    let lock = json!({ "order_req_id": "a", "holder": "seller1", "lease_ms": 60_000 });
    assert_eq!(post(rest, "/api/v1/proposals/p/edit-lock", &lock).await.status, 200);
    let paths = ["/api/v1/proposals/p?order_req_id=a", "/api/v1/orders/a/proposals"];
    let lock_of = async |path: &str| {
        let view = get(rest, path).await.json();
        let view = view["proposals"].get(0).cloned().unwrap_or(view);
        (view["locked_by"].clone(), view["locked_until"].clone())
    };
    for path in paths {
        assert_eq!(
            lock_of(path).await,
            (json!("seller1"), json!("2026-01-01T00:01:00Z")),
            "{path}"
        );
    }
    rig.clock.set(START.plus_ms(60_000));
    for path in paths {
        assert_eq!(lock_of(path).await, (Value::Null, Value::Null), "{path}");
    }
}

#[tokio::test]
async fn versions_are_kept_with_changes() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let rest = rig.rest();
    let mut body = proposal("seller1", "p", "10");
    assert_eq!(post(rest, "/api/v1/proposals", &body).await.status, 201);
    wire.propose("a", "another").await;
    for version in 2..=5 {
        body["price"] = json!(format!("{}", 20 - version));
        body["note"] = json!(format!("version {version}"));
        body["attachments"] = json!([format!("https://s.example/{version}.pdf")]);
        let put = send(rest, "PUT /api/v1/proposals/p", &[], &body.to_string()).await;
        assert_eq!(put.status, 200, "{put:?}");
    }
    let path = "/api/v1/proposals/p/versions?order_req_id=a";
    let all = get(rest, path).await.json();
    let versions = all["versions"].as_array().unwrap();
    assert_eq!(all["next"], Value::Null);
    let numbers: Vec<_> = versions.iter().map(|held| held["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let seqs: Vec<_> = versions.iter().map(|held| held["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [3, 5, 6, 7, 8], "the event of each");
    assert_eq!(versions[0]["changes"], json!([]));
    assert_eq!(versions[2]["attachments"], json!(["https://s.example/3.pdf"]));
    let changed = json!([
        { "field": "price", "from": "18 EUR", "to": "17 EUR" },
        { "field": "note", "from": "version 2", "to": "version 3" },
        { "field": "attachments", "from": "https://s.example/2.pdf",
          "to": "https://s.example/3.pdf" },
    ]);
    assert_eq!(versions[2]["changes"], changed);
    let (mut after, mut paged) = (0, Vec::new());
    loop {
        let page = get(rest, &format!("{path}&limit=2&after={after}")).await.json();
        paged.extend(page["versions"].as_array().unwrap().clone());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(paged, *versions, "pages say the same, changes too");
    let none = get(rest, "/api/v1/proposals/x/versions?order_req_id=a").await;
    assert_eq!((none.status, none.reason().as_str()), (404, "PROPOSAL_NOT_FOUND"));
    let beyond = get(rest, &format!("{path}&after=4294967295")).await.json();
    assert_eq!(beyond, json!({ "versions": [], "next": null }));
}

#[tokio::test]
async fn conversations_are_paged_in_order() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let rest = rig.rest();
    let question = json!({ "seller": "seller2", "question_id": "q1", "message": "which paper?" });
    let asked = post(rest, "/api/v1/orders/a/questions", &question).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    assert_eq!(asked.json()["follow_up_id"], "q1");
    wire.propose("a", "p").await;
    ask_sellers(&wire, "f1", "q1").await;
    let answer = json!({ "order_req_id": "a", "seller": "seller1", "follow_up_id": "f1",
                         "message": "in a week" });
    assert_eq!(post(rest, "/api/v1/proposals/p/followup", &answer).await.status, 201);
    let all = get(rest, "/api/v1/orders/a/conversation").await.json();
    let messages = all["conversation"].as_array().unwrap();
    let kinds: Vec<_> = messages
        .iter()
        .map(|message| (message["seq"].as_u64().unwrap(), message["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [(3, "question"), (5, "follow_up"), (6, "answer")]);
    assert_eq!((&messages[0]["id"], &messages[0]["seller"]), (&json!("q1"), &json!("seller2")));
    assert_eq!((&messages[1]["id"], &messages[1]["answers"]), (&json!("f1"), &json!("q1")));
    assert_eq!(
        (&messages[2]["message"], &messages[2]["answers"]),
        (&json!("in a week"), &json!("f1"))
    );
    let (mut after, mut paged) = (0, Vec::new());
    loop {
        let path = format!("/api/v1/orders/a/conversation?limit=1&after={after}");
        let page = get(rest, &path).await.json();
        paged.extend(page["conversation"].as_array().unwrap().clone());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(paged, *messages);
}

#[tokio::test]
async fn scans_of_long_lists_are_limited() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose_many("a", 4_500).await;
    ask_sellers(&wire, "f1", "").await;
    let first = get(rig.rest(), "/api/v1/orders/a/conversation").await.json();
    assert_eq!(first, json!({ "conversation": [], "next": 4_096 }));
    let rest = get(rig.rest(), "/api/v1/orders/a/conversation?after=4096").await.json();
    assert_eq!(rest["conversation"][0]["id"], "f1");
    assert_eq!(rest["next"], Value::Null);
}

/// A repetition asks no second question.
#[tokio::test]
async fn idempotency_key_becomes_question_id() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let rest = rig.rest();
    let body = json!({ "seller": "seller1", "message": "which paper?" });
    let first = post_once(rest, "/api/v1/orders/a/questions", "k1", &body).await;
    let again = post_once(rest, "/api/v1/orders/a/questions", "k1", &body).await;
    assert_eq!((first.status, first.json()), (again.status, again.json()));
    assert_eq!(first.json()["follow_up_id"], "k1");
    let other = json!({ "seller": "seller1", "message": "which ink?" });
    let other = post_once(rest, "/api/v1/orders/a/questions", "k1", &other).await;
    assert_eq!((other.status, other.reason().as_str()), (409, "IDEMPOTENCY_CONFLICT"));
    assert_eq!(get(rest, "/api/v1/orders/a").await.json()["questions"], 1);
}

#[tokio::test]
async fn invitation_states_follow_seller_commands() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let rest = rig.rest();
    let seen = json!({ "seller": "seller1" });
    assert_eq!(post(rest, "/api/v1/orders/a/seen", &seen).await.status, 200);
    let declined = json!({ "seller": "seller2", "reason": "sold out" });
    assert_eq!(post(rest, "/api/v1/orders/a/decline", &declined).await.status, 200);
    assert_eq!(post(rest, "/api/v1/proposals", &proposal("seller3", "p", "1")).await.status, 201);
    let order = get(rest, "/api/v1/orders/a").await.json();
    let states: Vec<_> = order["invitations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| (held["seller"].as_str().unwrap(), held["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("seller1", "Seen"), ("seller2", "Declined"), ("seller3", "Proposed")]);
    assert_eq!(order["invitations"][1]["reason"], "sold out");
}

#[tokio::test]
async fn undoable_awards_are_shown_pending() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose("a", "p").await;
    let award = v1::AwardRequest {
        order: Some(order("a")),
        proposal_id: "p".to_owned(),
        undo_within_ms: 60_000,
        ..v1::AwardRequest::default()
    };
    within("an award", wire.control.clone().award(award)).await.unwrap();
    let view = get(rig.rest(), "/api/v1/orders/a").await.json();
    let pending = json!({ "award": { "Whole": "p" }, "reason": null,
                          "effective_at": "2026-01-01T00:01:00Z" });
    assert_eq!((&view["pending_award"], &view["award"]), (&pending, &Value::Null));
    assert_eq!(view["phase"], "Open");
}
