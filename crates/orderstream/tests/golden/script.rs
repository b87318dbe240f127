//! The script: requests of buyers and sellers over REST, with their refusals. Every order ends in
//! it, each in a way of its own. A step begins once all processes have the effects of the one
//! before.

use serde_json::{Value, json};

use super::client::get;
use super::receiver::Receiver;
use super::stage::{Side, Stage, buyers, sellers, start_processor};
use super::{refusals, verbs};
use crate::process::until;

/// The lifetime of the orders that expire, milliseconds: above the least of ten seconds, so that a
/// slow machine sends everything before the end.
const SHORT_LIFETIME_MS: u64 = 45_000;
/// An order of another tenant, with every special character that an id may have.
const OTHER: &str = "acme/Dots.and_signs-1:2";
/// Its part of a path.
const OTHER_PATH: &str = "acme%2FDots.and_signs-1:2";

/// Plays the whole script.
pub(super) fn play(stage: &mut Stage, receiver: &Receiver) {
    read_empty(stage);
    open_sealed(stage);
    open(
        stage,
        "expired",
        json!({"expires_in_ms": SHORT_LIFETIME_MS, "sellers": {"names": ["full"]}}),
    );
    stage.verb("list -A -o json");
    propose_under_seal(stage);
    open_chairs(stage, receiver);
    sell_chairs(stage);
    refusals::play(stage);
    stage.settle("chairs");
    message_about_chairs(stage);
    steer_chairs(stage);
    read_order(stage, "chairs");
    award_chairs(stage);
    award_by_the_clock(stage);
    end_without_award(stage);
    close_while_silent(stage, receiver);
    verbs::play(stage);
    decide_after_opening(stage);
    let_expire(stage);
    read_lists(stage);
    read_with_unreachable_peer(stage);
}

/// Initiates an order, and waits until all its notifications are sent.
fn open(stage: &mut Stage, id: &str, fields: Value) {
    let mut body = json!({"order_req_id": id, "session_id": "sess_1"});
    let Value::Object(fields) = fields else { panic!("give an object") };
    body.as_object_mut().unwrap().extend(fields);
    stage.send(buyers("POST /api/v1/orders/initiate").json(body));
    stage.settle(id);
}

/// Sends a seller's command under a key, and waits until the order is settled.
fn sell(stage: &mut Stage, request: &str, key: &str, body: Value) {
    let order = body["order_req_id"].as_str().map(str::to_owned);
    let of_path = || request.split("/orders/").nth(1).and_then(|rest| rest.split('/').next());
    let order = order.or_else(|| of_path().map(str::to_owned)).unwrap();
    stage.send(sellers(request).key(key).json(body));
    stage.settle(&order);
}

/// Sends a buyer's command under a key, and waits until the order is settled.
fn buy(stage: &mut Stage, command: &str, id: &str, key: &str, body: Value) {
    stage.send(buyers(&format!("POST /api/v1/orders/{command}/{id}")).key(key).json(body));
    stage.settle(id);
}

/// Returns the body of a seller's proposal.
pub(super) fn proposal(order: &str, id: &str, seller: &str, price: &str) -> Value {
    json!({"order_req_id": order, "proposal_id": id, "seller": seller, "price": price,
        "currency": "EUR"})
}

fn read_empty(stage: &mut Stage) {
    stage.send(buyers("GET /api/v1/orders/tracking/status"));
    stage.send(buyers("GET /api/v1/orders"));
    stage.send(sellers("GET /api/v1/orders"));
    stage.send(sellers("GET /api/v1/dead-letters"));
    for line in ["list -o json", "get chairs -o json", "status chairs -o json"] {
        stage.verb(line);
    }
}

fn open_sealed(stage: &mut Stage) {
    let fields = json!({"title": "Under seal", "sealed": true, "expires_in_ms": SHORT_LIFETIME_MS,
        "sellers": {"names": ["north"], "open_to_all": true}});
    open(stage, "sealed", fields);
}

/// Proposes and asks in a sealed order, and reads it before the opening.
fn propose_under_seal(stage: &mut Stage) {
    let mut proposed = proposal("sealed", "p-1", "north", "7654.21");
    proposed["note"] = json!("nobody's business yet");
    sell(stage, "POST /api/v1/proposals", "s-1", proposed.clone());
    let other = proposal("sealed", "p-2", "west", "7000");
    sell(stage, "POST /api/v1/proposals", "s-1", other);
    proposed["price"] = json!("7600");
    sell(stage, "PUT /api/v1/proposals/p-1", "s-2", proposed);
    let question = json!({"seller": "north", "question_id": "q-1", "message": "Which colour?"});
    sell(stage, "POST /api/v1/orders/sealed/questions", "s-3", question);
    read_order(stage, "sealed");
    stage.send(
        buyers("POST /api/v1/orders/award/sealed").key("b-1").json(json!({"proposal_id": "p-1"})),
    );
    stage.send(buyers("GET /api/v1/orders/sealed/acts/b-1"));
    check_in_time(stage, "sealed");
}

/// Checks that an order is still open when the script needs it to be.
fn check_in_time(stage: &Stage, id: &str) {
    let order = stage.read(Side::Sellers, &format!("/api/v1/orders/{id}"));
    assert_eq!(
        order["phase"], "Open",
        "the machine is too slow for an order of {SHORT_LIFETIME_MS} ms"
    );
}

/// Reads all of an order over both interfaces, and by commands.
fn read_order(stage: &mut Stage, id: &str) {
    let order = stage.read(Side::Sellers, &format!("/api/v1/orders/{id}"));
    stage.send(sellers(&format!("GET /api/v1/orders/{id}")));
    for part in
        ["proposals", "comparison", "comparison?format=csv", "conversation", "notifications"]
    {
        stage.send(sellers(&format!("GET /api/v1/orders/{id}/{part}")));
    }
    let last_seq = order["last_seq"].as_u64().unwrap();
    stage.send(sellers(&format!("GET /api/v1/orders/{id}/events")).up_to(last_seq));
    for path in ["p-1", "p-1/versions"] {
        let (path, query) = (format!("/api/v1/proposals/{path}"), format!("order_req_id={id}"));
        stage.send(sellers(&format!("GET {path}?{query}")));
    }
    stage.send(buyers(&format!("GET /api/v1/orders/tracking/{id}")));
    for verb in ["get", "status", "compare", "conversation", "why"] {
        stage.verb(&format!("{verb} {id} -o json"));
    }
}

/// Opens an order with every field that an order can have, for three sellers: one accepts its
/// webhooks, one refuses them for good, and one for an hour.
fn open_chairs(stage: &mut Stage, receiver: &Receiver) {
    let at = receiver.address;
    let body = json!({
        "order_req_id": "chairs", "session_id": "sess_123", "notification_type": "webhook",
        "title": "Chairs for the new floor", "category": "furniture", "expires_in_ms": 1_800_000,
        "items": [
            {"sku": "CHAIR-01", "description": "Black", "quantity": "40", "unit": "pieces"},
            {"sku": "MAT-120", "quantity": "40.5"},
        ],
        "delivery": {"latitude": 48.137154, "longitude": 11.576124, "address": "Marienplatz 1",
            "by": "2099-02-01T12:00:00Z"},
        "sellers": {"max_count": 3, "max_distance_km": 100.0, "excluded": ["shunned"],
            "open_to_all": true},
        "message": {"type": "markdown", "message": "**Soon**, please.",
            "urls": ["https://example.com/plan.pdf"]},
        "buyer": {"channels": [{"type": "Webhook", "address": format!("http://{at}/buyer")}],
            "language": "en"},
    });
    stage.send(buyers("POST /api/v1/orders/initiate").json(body.clone()));
    until("the north is told", || {
        let order = stage.read(Side::Sellers, "/api/v1/orders/chairs");
        (order["last_seq"] == 3).then_some(())
    });
    receiver.let_south_respond();
    until("the south cannot be told", || {
        let order = stage.read(Side::Sellers, "/api/v1/orders/chairs");
        (order["last_seq"] == 4).then_some(())
    });
    stage.settle("chairs");
    stage.send(buyers("POST /api/v1/orders/initiate").json(body));
    open(stage, "whole", json!({"sellers": {"names": ["north"], "open_to_all": true}}));
    // The requestor follows no more than four.
    stage
        .send(buyers("POST /api/v1/orders/initiate").json(json!({"order_req_id": "one-too-many"})));
    check_in_time(stage, "expired");
}

fn sell_chairs(stage: &mut Stage) {
    sell(stage, "POST /api/v1/orders/chairs/seen", "s-0", json!({"seller": "north"}));
    let line = |sku: &str, price: &str| json!({"sku": sku, "quantity": "40", "unit": "pieces", "price": price});
    let mut first = proposal("chairs", "p-1", "north", "6600.00");
    first["lines"] = json!([line("CHAIR-01", "5200.00"), line("MAT-120", "1400.00")]);
    first["note"] = json!("=from stock");
    first["delivery_date"] = json!("2099-01-15");
    first["valid_until"] = json!("2099-12-31T12:00:00Z");
    first["attachments"] = json!(["https://example.com/offer.pdf"]);
    sell(stage, "POST /api/v1/proposals", "s-1", first.clone());
    let mut second = proposal("chairs", "p-2", "south", "4900");
    second["lines"] = json!([line("CHAIR-01", "4900")]);
    sell(stage, "POST /api/v1/proposal-submissions", "s-1", second);
    let third = proposal("chairs", "p-3", "west", "6999");
    sell(stage, "POST /api/v1/proposals", "s-1", third);
    let drawn = json!({"order_req_id": "chairs", "seller_id": "north", "price": 9000,
        "currency": "EUR", "alternative": "from stock"});
    sell(stage, "POST /api/v1/proposals", "s-2", drawn);
    // A lock, which keeps others out, and is given back.
    let holder =
        |seller: &str| json!({"order_req_id": "chairs", "holder": seller, "lease_ms": 600_000});
    sell(stage, "POST /api/v1/proposals/p-2/edit-lock", "s-2", holder("south"));
    stage.send(sellers("POST /api/v1/proposals/p-2/edit-lock").json(holder("north")));
    stage.send(sellers("GET /api/v1/proposals/p-2?order_req_id=chairs"));
    sell(stage, "DELETE /api/v1/proposals/p-2/edit-lock", "s-3", holder("south"));
    // A change of what is known, and of what is not known any more.
    first["delivery_date"] = json!("2099-01-08");
    let change = sellers("PUT /api/v1/proposals/p-1").header("if-match: \"1\"");
    stage.send(change.clone().key("s-4").json(first.clone()));
    first["note"] = json!("late");
    stage.send(change.json(first));
    stage.settle("chairs");
    let reason = json!({"order_req_id": "chairs", "reason": "sold out"});
    sell(stage, "POST /api/v1/proposals/p-3/withdraw", "s-5", reason);
    let reason = json!({"seller": "east", "reason": "on holiday"});
    sell(stage, "POST /api/v1/orders/chairs/decline", "s-6", reason);
}

fn message_about_chairs(stage: &mut Stage) {
    let question = json!({"seller": "north", "question_id": "q-1", "message": "With assembly?"});
    sell(stage, "POST /api/v1/orders/chairs/questions", "s-7", question);
    let question = json!({"seller": "south", "message": "When?"});
    sell(stage, "POST /api/v1/orders/chairs/questions", "s-7", question);
    let follow_up = |id: &str, more: Value| {
        let mut body = json!({"order_req_id": "chairs", "follow_up_id": id});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        buyers("POST /api/v1/orders/followup").key(id).json(body)
    };
    stage.send(follow_up("f-1", json!({"message": "Yes, by you.", "answers": "q-1"})));
    stage.settle("chairs");
    let message = json!({"type": "html", "message": "<b>Rosewood?</b>",
        "urls": ["https://example.com/wood"]});
    stage.send(follow_up("f-2", json!({"message": message, "audience": ["north"]})));
    stage.settle("chairs");
    stage.send(follow_up("f-2", json!({"message": "Other words"})));
    let answer = json!({"order_req_id": "chairs", "seller": "north", "follow_up_id": "f-2",
        "message": "No, beech."});
    sell(stage, "POST /api/v1/proposals/p-1/followup", "s-8", answer);
}

fn steer_chairs(stage: &mut Stage) {
    buy(stage, "pause", "chairs", "b-1", json!({"reason": "lunch"}));
    stage.send(sellers("POST /api/v1/proposals").json(proposal("chairs", "p-9", "west", "1")));
    buy(stage, "resume", "chairs", "b-2", json!({}));
    buy(stage, "extend", "chairs", "b-3", json!({"expires_in_ms": 3_600_000}));
    stage.send(
        buyers("POST /api/v1/orders/pause/chairs")
            .header("idempotency-key: b-1")
            .json(json!({"reason": "tea"})),
    );
}

fn award_chairs(stage: &mut Stage) {
    let lines = json!([["CHAIR-01", "p-2"], ["MAT-120", "p-1"]]);
    let award = json!({"lines": lines, "reason": "cheapest by line", "undo_within_ms": 3_600_000});
    let before = stage.read(Side::Sellers, "/api/v1/orders/chairs")["last_seq"].to_string();
    buy(stage, "award", "chairs", "b-4", award);
    stage.send(sellers("GET /api/v1/orders/chairs"));
    stage.send(
        buyers("POST /api/v1/orders/award/chairs").key("b-5").json(json!({"proposal_id": "p-1"})),
    );
    stage.send(sellers("POST /api/v1/proposals").json(proposal("chairs", "p-9", "west", "1")));
    buy(stage, "undo-award", "chairs", "b-6", json!({"reason": "a slip"}));
    let award = json!({"lines": lines, "reason": "cheapest by line"});
    buy(stage, "finalize", "chairs", "b-7", award);
    for part in ["", "/comparison", &format!("/events?after={before}")] {
        stage.send(sellers(&format!("GET /api/v1/orders/chairs{part}")));
    }
    stage.send(buyers("GET /api/v1/orders/tracking/chairs"));
    stage.verb("status chairs -o json");
    for key in ["b-1", "b-3", "b-5", "b-7", "f-1", "f-2"] {
        stage.send(buyers(&format!("GET /api/v1/orders/chairs/acts/{key}")));
    }
    // Nothing more is accepted.
    stage.send(sellers("POST /api/v1/proposals").json(proposal("chairs", "p-9", "west", "1")));
    stage.send(buyers("POST /api/v1/orders/cancel/chairs").key("b-8").json(json!({})));
    stage.send(buyers("POST /api/v1/orders/initiate").json(json!({"order_req_id": "chairs"})));
    stage.verb("watch chairs -o json");
    let after = stage.read(Side::Sellers, "/api/v1/orders/chairs")["last_seq"].to_string();
    stage.send(sellers(&format!("GET /api/v1/orders/chairs/events?after={after}")));
}

/// Awards an order, and waits until the time to undo it is over; before, its stream gets a new
/// epoch.
fn award_by_the_clock(stage: &mut Stage) {
    for (id, seller, price) in [("p-1", "north", "12.50"), ("p-2", "west", "13")] {
        sell(stage, "POST /api/v1/proposals", "s-1", proposal("whole", id, seller, price));
    }
    stage.restart_requestor();
    stage.settle("whole");
    let award = json!({"proposal_id": "p-1", "undo_within_ms": 1_000});
    stage.send(buyers("POST /api/v1/orders/award/whole").key("b-1").json(award));
    stage.until_phase("whole", "Finalised");
    stage.settle("whole");
    stage.send(sellers("GET /api/v1/orders/whole"));
    stage.send(buyers("GET /api/v1/orders/tracking/whole"));
    stage.verb("compare whole -o json");
}

fn end_without_award(stage: &mut Stage) {
    for (id, command) in [("nobody", "finalize"), ("cancelled", "cancel")] {
        open(stage, id, json!({"sellers": {"names": ["north"]}}));
        sell(stage, "POST /api/v1/proposals", "s-1", proposal(id, "p-1", "north", "12.50"));
        // One that is not invited, and a second one.
        for seller in ["west", "north"] {
            let refused = proposal(id, "p-2", seller, "12");
            stage.send(sellers("POST /api/v1/proposals").json(refused));
        }
        buy(stage, command, id, "b-1", json!({"reason": "not needed any more"}));
        stage.send(sellers(&format!("GET /api/v1/orders/{id}")));
        stage.send(sellers(&format!("GET /api/v1/orders/{id}/events?after=4")));
        stage.send(buyers(&format!("GET /api/v1/orders/tracking/{id}")));
    }
}

/// Closes an order of another tenant while its processor is stopped, so that the command waits; its
/// buyer cannot be notified.
fn close_while_silent(stage: &mut Stage, receiver: &Receiver) {
    let (tenant, id) = OTHER.split_once('/').unwrap();
    let buyer = format!("http://{}/gone", receiver.address);
    let body = json!({"order_req_id": id, "tenant": tenant, "notification_type": "Webhook",
        "sellers": {"names": ["north"]},
        "buyer": {"channels": [{"type": "Webhook", "address": buyer}]}});
    stage.send(buyers("POST /api/v1/orders/initiate").json(body));
    stage.settle(OTHER);
    let mut proposed = proposal(id, "p-1", "north", "12.50");
    proposed["tenant"] = json!(tenant);
    stage.send(sellers("POST /api/v1/proposals").key("s-1").json(proposed));
    stage.settle(OTHER);
    stage.processor.signal("STOP");
    let close = buyers(&format!("POST /api/v1/orders/close/{OTHER_PATH}")).key("b-1");
    stage.send(close.json(json!({"reason": "silence"})).pending());
    let state_request = format!("GET /api/v1/orders/{OTHER_PATH}/acts/b-1");
    stage.send(buyers(&state_request));
    stage.processor.signal("CONT");
    until("it is known to be done", || {
        let state = stage.read(Side::Buyers, state_request.trim_start_matches("GET "));
        (state["state"] == "done").then_some(())
    });
    stage.settle(OTHER);
    stage.send(buyers(&state_request));
    stage.send(buyers(&format!("GET /api/v1/orders/tracking/{id}?tenant={tenant}")));
    for part in ["", "/notifications", "/events"] {
        stage.send(sellers(&format!("GET /api/v1/orders/{id}{part}?tenant={tenant}")));
    }
    stage.send(sellers(&format!("GET /api/v1/dead-letters?tenant={tenant}")));
}

fn decide_after_opening(stage: &mut Stage) {
    until("the order is opened", || {
        let order = stage.read(Side::Sellers, "/api/v1/orders/sealed");
        (!order["decide_until"].is_null()).then_some(())
    });
    stage.settle("sealed");
    read_order(stage, "sealed");
    stage.send(sellers("POST /api/v1/proposals").json(proposal("sealed", "p-3", "west", "1")));
    buy(stage, "award", "sealed", "b-2", json!({"proposal_id": "p-2", "reason": "the best"}));
    stage.send(sellers("GET /api/v1/orders/sealed"));
}

fn let_expire(stage: &mut Stage) {
    stage.until_phase("expired", "Expired");
    stage.settle("expired");
    stage.send(sellers("GET /api/v1/orders/expired"));
    stage.send(sellers("GET /api/v1/orders/expired/events"));
    stage.send(buyers("GET /api/v1/orders/tracking/expired"));
    stage.send(sellers("POST /api/v1/proposals").json(proposal("expired", "p-1", "full", "1")));
    stage.send(buyers("POST /api/v1/orders/pause/expired").key("b-1").json(json!({})));
    stage.verb("why expired -o json");
}

fn read_lists(stage: &mut Stage) {
    for request in [
        "GET /api/v1/orders",
        "GET /api/v1/orders?phase=finalised&limit=2",
        "GET /api/v1/orders?tenant=acme",
        "GET /api/v1/orders/tracking/status",
    ] {
        stage.send(buyers(request));
    }
    let page = stage.send(sellers("GET /api/v1/orders?limit=1"));
    let next = page.json()["next"].as_str().unwrap().replace('/', "%2F");
    stage.send(sellers(&format!("GET /api/v1/orders?limit=1&after={next}")));
    stage.verb("list -n acme -o json");
    let page = stage.send(sellers("GET /api/v1/dead-letters?limit=1&tenant=default"));
    let dead = page.json()["dead_letters"][0]["notification_id"].as_str().unwrap().to_owned();
    stage.send(sellers(&format!("GET /api/v1/dead-letters?after={dead}&limit=2")));
    // It is refused once more.
    stage.send(sellers(&format!("POST /api/v1/dead-letters/{dead}/replay")));
    stage.settle("chairs");
    stage.send(sellers("GET /api/v1/orders/chairs/notifications"));
}

/// Asks a processor whose peer does not reply, so that it cannot know whether the order exists.
fn read_with_unreachable_peer(stage: &mut Stage) {
    let dir = stage.dir().join("another");
    std::fs::create_dir(&dir).unwrap();
    // The port is occupied at another address than this one, so nobody listens here meanwhile.
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupied.local_addr().unwrap().port();
    let peers = dir.join("peers");
    std::fs::write(&peers, format!("http://127.0.0.2:{port}\n")).unwrap();
    let role = start_processor(&dir, &["--peers", peers.to_str().unwrap()]);
    let (address, path) = (role.address("rest"), "/api/v1/orders/nowhere");
    until("the other one is known not to answer", || {
        let response = get(address, path).unwrap().json();
        response["metadata"]["processor"].is_string().then_some(())
    });
    stage.send_to(address, sellers(&format!("GET {path}")));
}
