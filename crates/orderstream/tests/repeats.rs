//! Requests that are repeated under their key across `kill -9`, by sellers and a buyer whose keys
//! all count from 1.

use std::net::SocketAddr;

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_client::OrderControlServiceClient;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

use crate::client::block_on;
use crate::http::{get, post, send};
use crate::process::{Pair, run, until};

const ORDER: &str = "SB1029436";

/// Posts under the key 1; returns the status and the body.
fn once(address: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
    let headers = ["content-type: application/json", "idempotency-key: 1"];
    let response = until("an answer", || {
        send(address, &format!("POST {path}"), &headers, &body.to_string()).ok()
    });
    (response.status, response.json())
}

async fn connected(processor: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{processor}")).unwrap();
    endpoint.connect().await.unwrap()
}

/// Sends a follow-up under the key 2, as old clients do: without an id.
async fn follow_up(processor: SocketAddr, text: &str) -> Result<v1::FollowUpResponse, String> {
    let mut client = OrderNonStreamingServiceClient::new(connected(processor).await);
    let request = v1::FollowUpRequest {
        order_req_id: ORDER.to_owned(),
        idempotency_key: "2".to_owned(),
        message: Some(v1::Message { message: text.to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    let response = client.process_follow_up(request).await;
    response.map(tonic::Response::into_inner).map_err(|status| status.code().to_string())
}

/// Pauses the order as its buyer, under the key 1.
async fn pause(processor: SocketAddr) -> v1::ActResponse {
    let mut client = OrderControlServiceClient::new(connected(processor).await);
    let order = v1::OrderRef { order_req_id: ORDER.to_owned(), ..v1::OrderRef::default() };
    let request = v1::PauseRequest {
        order: Some(order),
        idempotency_key: "1".to_owned(),
        ..v1::PauseRequest::default()
    };
    client.pause(request).await.unwrap().into_inner()
}

/// Sends a request of each kind, for each seller and the buyer, under keys; returns the replies.
fn send_everything(processor: SocketAddr, grpc: SocketAddr) -> Vec<String> {
    let offer = |seller: &str| json!({"order_req_id": ORDER, "seller": seller, "price": "10.50", "currency": "EUR"});
    let question = |seller: &str| json!({"seller": seller, "message": "when?"});
    let questions = format!("/api/v1/orders/{ORDER}/questions");
    let mut replies = Vec::new();
    for seller in ["s1", "s2"] {
        let (status, response) = once(processor, "/api/v1/proposals", &offer(seller));
        assert_eq!(status, 201, "{seller}: {response}");
        replies.push(response.to_string());
    }
    for seller in ["s3", "s4"] {
        let (status, response) = once(processor, &questions, &question(seller));
        assert_eq!(status, 201, "{seller}: {response}");
        replies.push(response.to_string());
    }
    replies.push(format!("{:?}", block_on(follow_up(grpc, "more?"))));
    replies.push(format!("{:?}", block_on(pause(grpc))));
    replies
}

#[test]
fn keys_repeat_their_reply_after_kills() {
    let mut pair = Pair::start();
    let (rest, grpc) = (pair.processor.address("rest"), pair.processor.address("grpc"));
    let requestor = pair.requestor.address("requestor");
    let body = json!({"order_req_id": ORDER}).to_string();
    assert_eq!(post(requestor, "/api/v1/orders/initiate", &body).unwrap().status, 200);
    let path = format!("/api/v1/orders/{ORDER}");
    until("the order is open", || get(rest, &path).ok().filter(|response| response.status == 200));
    let first = send_everything(rest, grpc);
    let distinct: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), first.len(), "each has an effect of its own: {first:?}");
    // A reply shows the state at its own time, and no later changes.
    let longer = json!({"expires_in_ms": 3 * 3_600_000}).to_string();
    let extended = post(requestor, &format!("/api/v1/orders/extend/{ORDER}"), &longer).unwrap();
    assert_eq!(extended.status, 200, "{extended:?}");
    for _ in 0..2 {
        pair.processor.kill();
        pair.processor.restart();
        assert_eq!(send_everything(rest, grpc), first);
        assert_eq!(block_on(follow_up(grpc, "less?")), Err(tonic::Code::Aborted.to_string()));
    }
    let events = get(rest, &path).unwrap().json()["last_seq"].clone();
    assert_eq!(events, 9, "two of the opening, one of each request, and the extension");
}

/// A command over the buyer's REST.
struct BuyerRestCommand {
    name: &'static str,
    body: Value,
}

/// A command, and another body or command under the same key.
struct Row {
    name: &'static str,
    before: Option<BuyerRestCommand>,
    command: BuyerRestCommand,
    other: BuyerRestCommand,
}

fn rows() -> Vec<Row> {
    let row = |name, ask, other| Row { name, before: None, command: ask, other };
    let command = |name, body| BuyerRestCommand { name, body };
    let why = |name, reason| command(name, json!({ "reason": reason }));
    let follow_up_command =
        |text| command("followup", json!({"message": {"type": "text", "message": text}}));
    let extend = |hours: u64| command("extend", json!({"expires_in_ms": hours * 3_600_000}));
    let award = |ms: u64| command("award", json!({"proposal_id": "p1", "undo_within_ms": ms}));
    let after = |before, row| Row { before: Some(before), ..row };
    let hour = 3_600_000;
    vec![
        row("follow-up", follow_up_command("when?"), follow_up_command("where?")),
        row("pause", why("pause", "lunch"), why("pause", "tea")),
        after(why("pause", ""), row("resume", command("resume", json!({})), why("pause", "tea"))),
        row("extend", extend(2), extend(3)),
        row("award", award(0), why("finalize", "nobody")),
        row("award-with-undo", award(hour), award(hour + 1)),
        after(award(hour), row("undo", why("undo-award", "oh"), why("undo-award", "no"))),
        row("finalize", why("finalize", "nobody"), why("finalize", "none")),
        row("close", why("close", "no"), why("close", "never")),
        row("cancel", why("cancel", "no"), why("cancel", "never")),
    ]
}

/// Sends a command to the requestor under a key until it is decided; returns the status and the
/// body.
fn decided(requestor: SocketAddr, id: &str, key: &str, command: &BuyerRestCommand) -> (u16, Value) {
    let mut body = command.body.clone();
    let path = match command.name {
        "followup" => "/api/v1/orders/followup".to_owned(),
        name => format!("/api/v1/orders/{name}/{id}"),
    };
    if command.name == "followup" {
        body["order_req_id"] = json!(id);
    }
    let key = format!("idempotency-key: {key}");
    let headers = ["content-type: application/json", &key];
    until("the act is decided", || {
        let response =
            send(requestor, &format!("POST {path}"), &headers, &body.to_string()).ok()?;
        (response.status != 202 && response.status != 503)
            .then(|| (response.status, response.json()))
    })
}

fn last_seq(processor: SocketAddr, id: &str) -> Value {
    get(processor, &format!("/api/v1/orders/{id}")).unwrap().json()["last_seq"].clone()
}

/// Opens an order of this id with a proposal.
fn open(pair: &Pair, id: &str) {
    let (requestor, rest) = (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let body = json!({"order_req_id": id}).to_string();
    assert_eq!(post(requestor, "/api/v1/orders/initiate", &body).unwrap().status, 200);
    let offer = json!({"order_req_id": id, "proposal_id": "p1", "seller": "s1", "price": "9",
        "currency": "EUR"});
    let offer = offer.to_string();
    until("the order takes a proposal", || {
        post(rest, "/api/v1/proposals", &offer).ok().filter(|response| response.status == 201)
    });
}

/// Each command over REST has one effect and one reply for ever.
#[test]
fn buyers_keys_have_one_effect() {
    let mut pair = Pair::start();
    let (requestor, rest) = (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let mut sent = Vec::new();
    for row in rows() {
        let id = row.name;
        open(&pair, id);
        if let Some(before) = &row.before {
            assert_eq!(decided(requestor, id, "0", before).0, 200, "{id}");
        }
        // A seller uses the same key for the same order.
        let question = json!({"seller": "s1", "message": "when?"});
        let path = format!("/api/v1/orders/{id}/questions");
        assert_eq!(once(rest, &path, &question).0, 201, "{id}");
        let first = decided(requestor, id, "1", &row.command);
        assert_eq!(first.0, 200, "{id}: {first:?}");
        sent.push((row, first));
    }
    let again = |when: &str| {
        for (row, first) in &sent {
            let (id, before) = (row.name, last_seq(rest, row.name));
            assert_eq!(decided(requestor, id, "1", &row.command), *first, "{id}: {when}");
            let (status, other) = decided(requestor, id, "1", &row.other);
            let reason = (status, other["reason"].as_str());
            assert_eq!(reason, (409, Some("IDEMPOTENCY_CONFLICT")), "{id}: {when}");
            assert_eq!(last_seq(rest, id), before, "{id}: {when}");
        }
    };
    again("at once");
    pair.processor.kill();
    pair.requestor.kill();
    pair.processor.restart();
    pair.requestor.restart();
    again("after a kill of both");
    for (row, _) in &sent {
        // Not every order is to be ended any more.
        let cancel = BuyerRestCommand { name: "cancel", body: json!({}) };
        drop(decided(requestor, row.name, "2", &cancel));
    }
    again("after the end");
    pair.requestor.kill();
    pair.requestor.restart();
    again("after the end and a kill");
}

/// The outcome stays the same, whatever was done to the order since.
#[test]
fn verbs_repeat_their_outcome_under_keys() {
    let pair = Pair::start();
    let rest = pair.processor.address("rest");
    let (server, sellers) =
        (format!("http://{}", pair.requestor.address("requestor")), format!("http://{rest}"));
    let verb = |line: &str| {
        let flags = ["--server", &server, "--processor-rest", &sellers];
        let output = run(&[&line.split(' ').collect::<Vec<_>>()[..], &flags].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    };
    let id = "verbs";
    open(&pair, id);
    let mut sent_lines: Vec<String> = Vec::new();
    // Each command is done once, and the earlier ones are repeated.
    for (key, line) in [
        "pause verbs",
        "resume verbs",
        "extend verbs --expires-in 2h",
        "extend verbs --expires-in 3h",
        "award verbs p1 --undo-within 1h",
        "undo-award verbs",
        "ask verbs when?",
        "close verbs",
    ]
    .iter()
    .enumerate()
    {
        let line = format!("{line} --key k-{key}");
        let (code, printed) = verb(&line);
        assert_eq!(code, 0, "{line}: {printed}");
        sent_lines.push(line);
        let before = last_seq(rest, id);
        for line in &sent_lines {
            let (code, printed) = verb(line);
            assert_eq!(code, 0, "{line}, after {sent_lines:?}: {printed}");
        }
        assert_eq!(last_seq(rest, id), before, "nothing is done twice: {sent_lines:?}");
    }
    assert!(verb(&sent_lines[0]).1.contains("pause of order verbs was done; it is Closed by now"));
    let (code, printed) = verb("extend verbs --by 1h --key k-9");
    assert!(code == 2 && printed.contains("give --expires-in"), "{printed}");
    let (code, printed) = verb("pause verbs --key k-7");
    assert!(code == 4 && printed.contains("IDEMPOTENCY_CONFLICT"), "{printed}");
}
