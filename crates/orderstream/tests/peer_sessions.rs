//! A seller's session at a processor that owns none of the orders: its messages reach their owner,
//! and the orders' events reach it, also when the owner was killed in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::poll_fn;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::client::block_on;
use crate::http::{get, post};
use crate::peers::ProcessorGroup;
use crate::process::pause;

/// One session, without a client that would hide repeated events.
struct Session {
    up: mpsc::Sender<v1::SellerMessage>,
    down: Streaming<v1::SellerEvent>,
    /// The events so far: sequence number, status, proposal.
    events: Vec<(u64, String, String)>,
}

fn order(id: &str) -> Option<v1::OrderRef> {
    Some(v1::OrderRef { order_req_id: id.to_owned(), ..v1::OrderRef::default() })
}

fn proposal(order_req_id: &str, id: &str) -> Up {
    let proposal = v1::Proposal {
        proposal_id: id.to_owned(),
        price: "9".to_owned(),
        currency: "EUR".to_owned(),
        alternative: id.to_owned(),
        ..v1::Proposal::default()
    };
    Up::Proposal(v1::ProposalSubmission {
        order_req_id: order_req_id.to_owned(),
        proposal: Some(proposal),
        ..v1::ProposalSubmission::default()
    })
}

impl Session {
    /// Opens a session as acme; returns it with the orders that the welcome lists.
    async fn open(url: &str, cursors: &[(&str, &str, u64)]) -> (Self, Vec<String>) {
        let (up, mut messages) = mpsc::channel(8);
        let cursor = |(id, incarnation, after_seq): &(&str, &str, u64)| v1::OrderCursor {
            order: order(id)
                .map(|it| v1::OrderRef { incarnation: (*incarnation).to_owned(), ..it }),
            after_seq: *after_seq,
        };
        let cursors = cursors.iter().map(cursor).collect();
        let hello = v1::Hello { seller: "acme".to_owned(), cursors, ..v1::Hello::default() };
        let hello = v1::SellerMessage { kind: Some(Up::Hello(hello)), ..Default::default() };
        up.send(hello).await.unwrap();
        let endpoint = tonic::transport::Endpoint::from_shared(url.to_owned()).unwrap();
        let messages = poll_fn(move |context| messages.poll_recv(context));
        let mut client = OrderStreamingServiceClient::new(endpoint.connect().await.unwrap());
        let call = client.seller_session(messages).await.unwrap();
        let mut session = Self { up, down: call.into_inner(), events: Vec::new() };
        let Some(Down::Welcome(welcome)) = session.next_message().await else {
            panic!("no welcome")
        };
        let orders = welcome.orders.into_iter().map(|order| order.order_req_id).collect();
        (session, orders)
    }

    async fn next_message(&mut self) -> Option<Down> {
        self.down.message().await.unwrap().map(|message| message.kind.unwrap())
    }

    /// Receives one message; returns it if it is a result, and stores it if it is an event.
    async fn result(&mut self) -> Option<v1::SellerResult> {
        match self.next_message().await.expect("the session goes on") {
            Down::Result(result) => Some(result),
            Down::Event(event) => {
                let status = event.streaming_response_status;
                self.events.push((event.seq, status, event.proposal_id));
                None
            }
            other @ (Down::Welcome(_) | Down::Draining(_)) => panic!("{other:?}"),
        }
    }

    async fn send(&mut self, request_id: &str, kind: Up) -> v1::SellerResult {
        let message = v1::SellerMessage { request_id: request_id.to_owned(), kind: Some(kind) };
        self.up.send(message).await.unwrap();
        loop {
            if let Some(result) = self.result().await {
                assert_eq!(result.request_id, request_id, "{result:?}");
                return result;
            }
        }
    }

    async fn send_accepted(&mut self, request_id: &str, kind: Up) -> u64 {
        let result = self.send(request_id, kind).await;
        assert_eq!(result.reason, "", "{result:?}");
        result.seq
    }

    async fn until_event(&mut self, status: &str, proposal: &str) {
        while !self.events.iter().any(|(_, event_status, event_proposal)| {
            (event_status.as_str(), event_proposal.as_str()) == (status, proposal)
        }) {
            assert_eq!(self.result().await, None);
        }
    }
}

/// Returns the events in the owner's list that concern the only seller.
fn listed(group: &ProcessorGroup) -> Vec<(u64, String, String)> {
    let text = get(group.rest(0), "/api/v1/orders/SB1/events").unwrap().text;
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = events.map(|line| serde_json::from_str::<Value>(line).unwrap()).map(|event| {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        (event["seq"].as_u64().unwrap(), text("status"), text("proposal_id"))
    });
    events.filter(|(_, status, _)| status != "SellersSelected").collect()
}

fn grpc(group: &ProcessorGroup, number: usize) -> String {
    format!("http://{}", group.processors[number].address("grpc"))
}

/// Sends every command of a seller, to an order of another processor.
async fn send_commands(session: &mut Session, group: &ProcessorGroup) {
    let opened = session.send_accepted("r-1", proposal("SB1", "p-1")).await;
    assert_eq!(session.send_accepted("r-1", proposal("SB1", "p-1")).await, opened, "one effect");
    let lock = v1::LockRequest {
        order: order("SB1"),
        proposal_id: "p-1".to_owned(),
        lease_ms: 60_000,
        version: 0,
    };
    session.send_accepted("r-2", Up::Lock(lock)).await;
    let unlock = v1::UnlockRequest { order: order("SB1"), proposal_id: "p-1".to_owned() };
    session.send_accepted("r-3", Up::Unlock(unlock)).await;
    let message = Some(v1::Message { message: "Which colour?".to_owned(), ..Default::default() });
    let question = v1::Question { order: order("SB1"), question_id: "q-1".to_owned(), message };
    session.send_accepted("r-4", Up::Question(question)).await;
    let acknowledged = v1::Acknowledge { order: order("SB1"), seq: 1 };
    session.send_accepted("r-5", Up::Acknowledge(acknowledged)).await;
    // In the order in which they are sent, although nobody waits for a reply.
    let mut amended = proposal("SB1", "p-2");
    if let Up::Proposal(v1::ProposalSubmission { proposal: Some(amended), .. }) = &mut amended {
        (amended.version, amended.price) = (1, "8".to_owned());
    }
    for (id, kind) in [("r-6", proposal("SB1", "p-2")), ("r-7", amended)] {
        let message = v1::SellerMessage { request_id: id.to_owned(), kind: Some(kind) };
        session.up.send(message).await.unwrap();
    }
    for id in ["r-6", "r-7"] {
        let result = loop {
            if let Some(result) = session.result().await {
                break result;
            }
        };
        assert_eq!((result.request_id.as_str(), result.reason.as_str()), (id, ""), "{result:?}");
    }
    let unknown = session.send("r-8", proposal("nowhere", "p-1")).await;
    assert_eq!(unknown.reason, "ORDER_NOT_FOUND", "{unknown:?}");
    let follow_up = json!({"order_req_id": "SB1", "audience": ["acme"],
        "message": {"message": "By Friday?", "urls": []}});
    let path = "/api/v1/orders/followup";
    let response =
        post(group.requestor.address("requestor"), path, &follow_up.to_string()).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    session.until_event("FollowUpAdded", "").await;
}

/// The session also continues when the owner was killed in between.
#[test]
fn sessions_reach_orders_of_other_processors() {
    let mut group = ProcessorGroup::build();
    group.introduce();
    block_on(async {
        let (mut session, orders) = Session::open(&grpc(&group, 2), &[]).await;
        assert_eq!(orders, ["SB1"]);
        session.until_event("OrderOpened", "").await;
        send_commands(&mut session, &group).await;

        group.processors[0].kill();
        let silent = session.send("r-9", proposal("SB1", "p-3")).await;
        assert_eq!(silent.reason, "UNREACHABLE", "{silent:?}");
        group.processors[0].restart();
        let mut tries = 0;
        while !session.send("r-9", proposal("SB1", "p-3")).await.reason.is_empty() {
            tries += 1;
            assert!(tries < 100, "the owner is back");
            pause(Duration::from_millis(50));
        }
        session.until_event("NewProposal", "p-3").await;
        let end = json!({"proposal_id": "p-3"}).to_string();
        let path = "/api/v1/orders/finalize/SB1";
        assert_eq!(post(group.requestor.address("requestor"), path, &end).unwrap().status, 200);
        session.until_event("OrderFinalised", "").await;
        assert_eq!(session.events, listed(&group), "each once, in order, over the kill");

        drop(std::mem::replace(&mut session.up, mpsc::channel(1).0));
        assert_eq!(session.next_message().await, None, "all is said and answered");
    });
}

/// The session resumes after the given cursors; one of an unknown order is refused alone.
#[test]
fn sessions_resume_at_other_processors() {
    let group = ProcessorGroup::build();
    group.introduce();
    block_on(async {
        let (mut first, _) = Session::open(&grpc(&group, 1), &[]).await;
        let seq = first.send_accepted("r-1", proposal("SB1", "p-1")).await;
        first.until_event("NewProposal", "p-1").await;
        let (mut again, _) =
            Session::open(&grpc(&group, 2), &[("SB1", "", seq), ("gone", "", 3)]).await;
        let refused = loop {
            if let Some(result) = again.result().await {
                break result;
            }
        };
        assert_eq!(refused.reason, "ORDER_NOT_FOUND");
        assert_eq!(refused.order.map(|order| order.order_req_id).as_deref(), Some("gone"));
        again.send_accepted("r-2", proposal("SB1", "p-2")).await;
        again.until_event("NewProposal", "p-2").await;
        assert_eq!(again.events.len(), 1, "{:?}", again.events);
    });
}

/// The session gets `Draining`, and ends, while its order's owner has more events.
#[test]
fn draining_ends_busy_peer_sessions() {
    let group = ProcessorGroup::build();
    group.introduce();
    let (rest, is_done) = (group.rest(0), Arc::new(AtomicBool::new(false)));
    block_on(async {
        let (mut session, _) = Session::open(&grpc(&group, 2), &[]).await;
        session.send_accepted("r-1", proposal("SB1", "p-1")).await;
        let stop = Arc::clone(&is_done);
        let busy = std::thread::spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) && number < 5_000 {
                number += 1;
                let id = format!("b-{number}");
                let body = json!({"order_req_id": "SB1", "proposal_id": id, "alternative": id,
                    "seller": "acme", "price": "10", "currency": "EUR"});
                let response = post(rest, "/api/v1/proposals", &body.to_string()).unwrap();
                assert_eq!(response.status, 201, "{response:?}");
            }
        });
        session.until_event("NewProposal", "b-20").await;
        group.processors[2].signal("TERM");
        loop {
            match session.next_message().await {
                Some(Down::Event(_)) => {}
                Some(Down::Draining(_)) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(session.next_message().await, None);
        is_done.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
}

/// The order then starts from its first event.
#[test]
fn cursors_of_other_incarnations_are_refused() {
    let group = ProcessorGroup::build();
    group.introduce();
    block_on(async {
        let (mut session, _) = Session::open(&grpc(&group, 2), &[("SB1", "former", 2)]).await;
        let refused = loop {
            if let Some(result) = session.result().await {
                break result;
            }
        };
        assert_eq!(refused.reason, "ORDER_NOT_FOUND", "{refused:?}");
        assert_eq!(refused.order.map(|order| order.order_req_id).as_deref(), Some("SB1"));
        session.until_event("OrderOpened", "").await;
    });
}
