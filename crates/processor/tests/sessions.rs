//! A seller's live connection.

use std::collections::VecDeque;

use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::rig::{NAME, Rig, within};
use crate::wire::{Wire, order, proposal, reason, refusal, submission};

/// One session, read at the test's request.
pub(crate) struct Session {
    up: mpsc::Sender<v1::SellerMessage>,
    down: Streaming<v1::SellerEvent>,
    /// Events that arrived during a wait for something else.
    events: VecDeque<v1::OrderStreamResponse>,
}

impl Session {
    /// Sends hello, to follow these orders after these numbers; checks the welcome.
    pub(crate) async fn open(wire: &Wire, seller: &str, cursors: &[(&str, u64)]) -> Self {
        let cursor = |(id, after_seq): &(&str, u64)| v1::OrderCursor {
            order: Some(order(id)),
            after_seq: *after_seq,
        };
        let hello = v1::Hello {
            seller: seller.to_owned(),
            cursors: cursors.iter().map(cursor).collect(),
            ..v1::Hello::default()
        };
        let mut session = Self::send_first(wire, Up::Hello(hello)).await.unwrap();
        let Some(Down::Welcome(welcome)) = session.next().await else { panic!("no welcome") };
        assert_eq!((welcome.seller.as_str(), welcome.processor.as_str()), (seller, NAME));
        session
    }

    pub(crate) async fn send_first(wire: &Wire, kind: Up) -> Result<Self, Status> {
        let (up, messages) = mpsc::channel(8);
        up.send(v1::SellerMessage { request_id: String::new(), kind: Some(kind) }).await.unwrap();
        let mut client = wire.streaming.clone();
        let call = client.seller_session(ReceiverStream::new(messages));
        let down = within("a session", call).await?.into_inner();
        Ok(Self { up, down, events: VecDeque::new() })
    }

    pub(crate) async fn next(&mut self) -> Option<Down> {
        let message = within("a word of the session", self.down.message()).await.unwrap();
        message.map(|message| message.kind.unwrap())
    }

    pub(crate) async fn send(&self, request_id: &str, kind: Up) {
        let message = v1::SellerMessage { request_id: request_id.to_owned(), kind: Some(kind) };
        within("room", self.up.send(message)).await.unwrap();
    }

    /// Sends a message, and waits for its result.
    pub(crate) async fn ask(&mut self, request_id: &str, kind: Up) -> v1::SellerResult {
        self.send(request_id, kind).await;
        loop {
            match self.next().await.expect("the session goes on") {
                Down::Result(result) if result.request_id == request_id => return result,
                Down::Event(event) => self.events.push_back(event),
                other @ (Down::Result(_) | Down::Welcome(_) | Down::Draining(_)) => {
                    panic!("{other:?}")
                }
            }
        }
    }

    pub(crate) async fn event(&mut self) -> v1::OrderStreamResponse {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        match self.next().await {
            Some(Down::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }
}

fn lock(id: &str, proposal_id: &str) -> Up {
    let (order, proposal_id) = (Some(order(id)), proposal_id.to_owned());
    let (lease_ms, version) = (60_000, 0);
    Up::Lock(v1::LockRequest { order, proposal_id, lease_ms, version })
}

fn unlock(id: &str, proposal_id: &str) -> Up {
    Up::Unlock(v1::UnlockRequest { order: Some(order(id)), proposal_id: proposal_id.to_owned() })
}

#[tokio::test]
async fn sellers_propose_and_lock_in_session() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut tracked = wire.track("a").await;
    let mut session = Session::open(&wire, "seller1", &[("a", 0)]).await;
    assert_eq!(session.event().await.streaming_response_status, "OrderOpened");
    // The seller's name and the key need not be repeated.
    let mut first = submission("a", "p");
    first.proposal.as_mut().unwrap().seller.clear();
    let stored = session.ask("1", Up::Proposal(first)).await;
    assert_eq!((stored.seq, stored.proposal_id.as_str(), stored.reason.as_str()), (3, "p", ""));
    assert_eq!(session.event().await.seq, 3);
    assert_eq!(session.ask("2", lock("a", "p")).await.seq, 4);
    assert_eq!(session.event().await.streaming_response_status, "EditLock");
    let mut other = Session::open(&rig.wire().await, "seller2", &[]).await;
    let refused = other.ask("1", lock("a", "p")).await;
    assert_eq!((refused.reason.as_str(), refused.seq), ("LOCKED", 0));
    assert!(refused.message.contains("seller1 is editing"), "{refused:?}");
    assert_eq!(session.ask("3", unlock("a", "p")).await.seq, 5);
    assert_eq!(other.ask("2", lock("a", "p")).await.seq, 6);
    let acknowledge =
        |id: &str, seq| Up::Acknowledge(v1::Acknowledge { order: Some(order(id)), seq });
    let acknowledged = session.ask("4", acknowledge("a", 5)).await;
    assert_eq!((acknowledged.seq, acknowledged.reason.as_str()), (0, ""));
    let unfollowed = session.ask("5", acknowledge("b", 1)).await;
    assert_eq!(unfollowed.reason, "INVALID_FIELD", "only what is followed");
    let kinds = tracked.through(6).await;
    assert_eq!(kinds[2..], ["NewProposal", "EditLock", "EditLock", "EditLock"]);
}

/// They have one reply as well, over a new connection too.
#[tokio::test]
async fn repeated_messages_have_one_effect() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut session = Session::open(&wire, "seller1", &[]).await;
    let first = session.ask("1", Up::Proposal(submission("a", ""))).await;
    assert_eq!(first.seq, 3);
    let again = session.ask("1", Up::Proposal(submission("a", ""))).await;
    assert_eq!(again, first);
    // Another connection of the same seller, as after a cut.
    let mut later = Session::open(&rig.wire().await, "seller1", &[]).await;
    assert_eq!(later.ask("1", Up::Proposal(submission("a", ""))).await, first);
    let other = later.ask("1", Up::Proposal(submission("a", "other"))).await;
    assert_eq!(other.reason, "IDEMPOTENCY_CONFLICT");
    let mut neighbour = Session::open(&wire, "seller2", &[]).await;
    let of_neighbour = v1::Proposal { seller: "seller2".to_owned(), ..proposal("") };
    let of_neighbour =
        v1::ProposalSubmission { proposal: Some(of_neighbour), ..submission("a", "") };
    let result = neighbour.ask("1", Up::Proposal(of_neighbour)).await;
    assert_eq!(result.seq, 4, "another seller's ids are its own: {result:?}");
}

/// The repeated command gets its reply.
#[tokio::test]
async fn repetition_after_end_resends_no_events() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut session = Session::open(&wire, "seller1", &[]).await;
    let first = session.ask("1", Up::Proposal(submission("a", "p"))).await;
    let cancel = v1::CancelRequest { order: Some(order("a")), ..v1::CancelRequest::default() };
    wire.control.clone().cancel(cancel).await.unwrap();
    for kind in ["OrderOpened", "NewProposal", "OrderCancelled"] {
        assert_eq!(session.event().await.streaming_response_status, kind);
    }
    for _ in 0..2 {
        assert_eq!(session.ask("1", Up::Proposal(submission("a", "p"))).await, first);
    }
    drop(wire.track("b").await);
    session.ask("2", Up::Proposal(submission("b", "p"))).await;
    assert_eq!(session.event().await.order_req_id, "b");
}

#[tokio::test]
async fn sellers_see_only_own_proposals() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut session = Session::open(&wire, "seller1", &[("a", 0)]).await;
    let mut other = Session::open(&rig.wire().await, "seller2", &[]).await;
    let theirs = v1::Proposal { seller: "seller2".to_owned(), ..proposal("theirs") };
    let theirs = v1::ProposalSubmission { proposal: Some(theirs), ..submission("a", "") };
    assert_eq!(other.ask("1", Up::Proposal(theirs)).await.seq, 3);
    assert_eq!(other.ask("2", lock("a", "theirs")).await.seq, 4);
    assert_eq!(other.ask("3", unlock("a", "theirs")).await.seq, 5);
    let withdraw = v1::Withdraw {
        order: Some(order("a")),
        proposal_id: "theirs".to_owned(),
        ..v1::Withdraw::default()
    };
    assert_eq!(other.ask("4", Up::Withdraw(withdraw)).await.seq, 6);
    let decline = v1::Decline { order: Some(order("a")), reason: "later".to_owned() };
    assert_eq!(other.ask("5", Up::Decline(decline)).await.seq, 7);
    assert_eq!(session.ask("1", Up::Proposal(submission("a", "mine"))).await.seq, 8);
    assert_eq!(other.ask("6", lock("a", "mine")).await.seq, 9);
    assert_eq!(other.ask("7", unlock("a", "mine")).await.seq, 10);
    let withdraw = v1::Withdraw {
        order: Some(order("a")),
        proposal_id: "mine".to_owned(),
        ..v1::Withdraw::default()
    };
    assert_eq!(session.ask("2", Up::Withdraw(withdraw)).await.seq, 11);
    for seq in [1, 8, 9, 10, 11] {
        let event = session.event().await;
        assert_eq!(event.seq, seq, "{event:?}");
    }
}

#[tokio::test]
async fn follow_ups_reach_their_audience() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut tracked = wire.track("a").await;
    tracked.through(2).await;
    let mut asked = Session::open(&wire, "seller1", &[("a", 2)]).await;
    let mut passed_over = Session::open(&rig.wire().await, "seller2", &[("a", 2)]).await;
    let question = |id: &str, audience: &[&str]| v1::FollowUpRequest {
        order_req_id: "a".to_owned(),
        follow_up_id: id.to_owned(),
        audience: audience.iter().map(|name| (*name).to_owned()).collect(),
        message: Some(v1::Message { message: "when?".to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    let mut unary = wire.unary.clone();
    unary.process_follow_up(question("q1", &["seller1"])).await.unwrap();
    unary.process_follow_up(question("q2", &[])).await.unwrap();
    assert_eq!(asked.event().await.follow_up_id, "q1");
    assert_eq!(asked.event().await.follow_up_id, "q2");
    assert_eq!(passed_over.event().await.follow_up_id, "q2", "the first was not for it");
    let answer = v1::Answer {
        order: Some(order("a")),
        follow_up_id: "q1".to_owned(),
        message: Some(v1::Message { message: "tomorrow".to_owned(), ..v1::Message::default() }),
        ..v1::Answer::default()
    };
    assert_eq!(asked.ask("1", Up::Answer(answer)).await.seq, 5);
    let kinds = tracked.through(5).await;
    assert_eq!(kinds, ["FollowUpAdded", "FollowUpAdded", "ProposalUpdate"]);
}

#[tokio::test]
async fn sessions_need_hello_and_one_seller() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let status = Session::send_first(&wire, lock("a", "p")).await.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(refusal(&status).field.as_deref(), Some("hello"));
    let nameless = Session::send_first(&wire, Up::Hello(v1::Hello::default())).await.err().unwrap();
    assert_eq!(refusal(&nameless).field.as_deref(), Some("hello.seller"));
    let twice = v1::OrderCursor { order: Some(order("a")), after_seq: 0 };
    let twice = v1::Hello {
        seller: "seller1".to_owned(),
        cursors: vec![twice.clone(), twice],
        ..v1::Hello::default()
    };
    let status = Session::send_first(&wire, Up::Hello(twice)).await.err().unwrap();
    assert_eq!(reason(&status), "INVALID_FIELD");
    assert_eq!(refusal(&status).field.as_deref(), Some("hello.cursors"));
    let mut session = Session::open(&wire, "seller2", &[]).await;
    let foreign = session.ask("1", Up::Proposal(submission("a", "p"))).await;
    assert_eq!(foreign.reason, "INVALID_FIELD");
    assert!(foreign.message.contains("proposal.seller"), "{foreign:?}");
    let again = session.ask("2", Up::Hello(v1::Hello::default())).await;
    assert_eq!(again.reason, "INVALID_REQUEST");
    let long = "r".repeat(200);
    let too_long = session.ask(&long, lock("a", "p")).await;
    assert!(too_long.message.contains("request_id"), "{too_long:?}");
    assert_eq!(wire.last_seq("a").await, 2);
}

/// It ends once the seller has closed its side.
#[tokio::test]
async fn session_ends_after_last_reply() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let session = Session::open(&wire, "seller1", &[]).await;
    for n in 0..100 {
        session.send(&n.to_string(), Up::Proposal(submission("a", &format!("p{n}")))).await;
    }
    let Session { up, mut down, .. } = session;
    drop(up);
    let mut seqs = Vec::new();
    while let Some(event) = within("an answer", down.message()).await.unwrap() {
        if let Some(Down::Result(result)) = event.kind {
            assert_eq!(result.reason, "");
            seqs.push(result.seq);
        }
    }
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(3..=102), "each is answered before the end");
}

/// The session receives the order from its first event.
#[tokio::test]
async fn commands_make_session_follow_order() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut session = Session::open(&wire, "seller1", &[]).await;
    assert_eq!(
        session.ask("1", Up::Proposal(submission("b", "p"))).await.reason,
        "ORDER_NOT_FOUND"
    );
    for (n, seq) in [("2", 3), ("3", 4)] {
        assert_eq!(session.ask(n, Up::Proposal(submission("a", n))).await.seq, seq);
    }
    let question = v1::FollowUpRequest {
        order_req_id: "a".to_owned(),
        message: Some(v1::Message { message: "when?".to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    wire.unary.clone().process_follow_up(question).await.unwrap();
    for (seq, kind) in
        [(1, "OrderOpened"), (3, "NewProposal"), (4, "NewProposal"), (5, "FollowUpAdded")]
    {
        let event = session.event().await;
        assert_eq!((event.seq, event.streaming_response_status.as_str()), (seq, kind));
    }
}

#[tokio::test]
async fn hundred_sellers_have_sessions_at_once() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut tracked = wire.track("a").await;
    let mut sessions = Vec::new();
    for n in 0..100 {
        sessions.push(Session::open(&wire, &format!("seller-{n}"), &[("a", 0)]).await);
    }
    for session in &mut sessions {
        assert_eq!(session.event().await.streaming_response_status, "OrderOpened");
    }
    assert_eq!(tracked.through(2).await.len(), 2);
}
