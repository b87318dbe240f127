//! Every command over every interface, under a key: repeated, with another body, by another actor
//! with the same key, after a restart and after the order's end.

use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_message::Kind as Up;
use serde_json::{Value, json};
use tonic::{Response, Status};

use crate::http::send;
use crate::rig::{Rig, within};
use crate::sessions::Session;
use crate::wire::{Wire, order, proposal, reason, submission};

/// The key that all actors use.
const KEY: &str = "1";
const MINUTE_MS: u64 = 60_000;

/// The buyer's commands over gRPC.
#[derive(Clone)]
enum Rpc {
    FollowUp { id: &'static str, text: &'static str },
    Pause(&'static str),
    Resume,
    Extend(u64),
    Award { proposal: &'static str, undo_within_ms: u64 },
    Undo(&'static str),
    Close(&'static str),
    Cancel(&'static str),
}

/// One request of some interface, without its order and its key.
#[derive(Clone)]
enum TestRequest {
    Rpc(Rpc),
    /// One proposal over `SubmitProposals`.
    Submit(Box<v1::Proposal>),
    /// A message of a seller's session.
    Session(&'static str, fn(v1::OrderRef) -> Up),
    /// A request to the sellers' REST: method and path, where `{}` is the order, and the body.
    Rest(&'static str, Value),
}

/// A request under a key, and the same actor's request with another body.
struct Row {
    name: &'static str,
    before: Vec<TestRequest>,
    request: TestRequest,
    other: TestRequest,
}

/// The whole reply as text that can be compared, or the reason of the refusal.
type ReplyText = Result<String, String>;

fn reply_text(response: Result<Response<v1::ActResponse>, Status>) -> ReplyText {
    response.map(|done| format!("{:?}", done.into_inner())).map_err(|e| reason(&e).to_owned())
}

async fn rpc(wire: &Wire, id: &str, key: &str, call: Rpc) -> ReplyText {
    let (mut control, mut unary) = (wire.control.clone(), wire.unary.clone());
    let (order, idempotency_key, epoch) = (Some(order(id)), key.to_owned(), 0);
    match call {
        Rpc::FollowUp { id: follow_up_id, text } => {
            let message = v1::Message { message: text.to_owned(), ..v1::Message::default() };
            let request = v1::FollowUpRequest {
                order_req_id: id.to_owned(),
                follow_up_id: follow_up_id.to_owned(),
                idempotency_key,
                message: Some(message),
                ..v1::FollowUpRequest::default()
            };
            let response = unary.process_follow_up(request).await;
            response
                .map(|done| format!("{:?}", done.into_inner()))
                .map_err(|e| reason(&e).to_owned())
        }
        Rpc::Pause(reason) => {
            let reason = reason.to_owned();
            reply_text(
                control.pause(v1::PauseRequest { order, idempotency_key, epoch, reason }).await,
            )
        }
        Rpc::Resume => {
            reply_text(control.resume(v1::ResumeRequest { order, idempotency_key, epoch }).await)
        }
        Rpc::Extend(expires_in_ms) => {
            let request = v1::ExtendRequest { order, idempotency_key, epoch, expires_in_ms };
            reply_text(control.extend(request).await)
        }
        Rpc::Award { proposal, undo_within_ms } => {
            let proposal_id = proposal.to_owned();
            let request = v1::AwardRequest {
                order,
                idempotency_key,
                proposal_id,
                undo_within_ms,
                ..v1::AwardRequest::default()
            };
            reply_text(control.award(request).await)
        }
        Rpc::Undo(reason) => {
            let reason = reason.to_owned();
            let request = v1::UndoAwardRequest { order, idempotency_key, epoch, reason };
            reply_text(control.undo_award(request).await)
        }
        Rpc::Close(reason) => {
            let reason = reason.to_owned();
            reply_text(
                control.close(v1::CloseRequest { order, idempotency_key, epoch, reason }).await,
            )
        }
        Rpc::Cancel(reason) => {
            let reason = reason.to_owned();
            reply_text(
                control.cancel(v1::CancelRequest { order, idempotency_key, epoch, reason }).await,
            )
        }
    }
}

async fn submit(wire: &Wire, id: &str, key: &str, proposal: v1::Proposal) -> ReplyText {
    let submission = v1::ProposalSubmission {
        idempotency_key: key.to_owned(),
        proposal: Some(proposal),
        ..submission(id, "")
    };
    let mut summary = wire.submit(vec![submission]).await.unwrap();
    let result = summary.results.swap_remove(0);
    if result.reason.is_empty() { Ok(format!("{result:?}")) } else { Err(result.reason) }
}

async fn rest(rig: &Rig, id: &str, key: &str, request: &str, mut body: Value) -> ReplyText {
    // A path that names the order leaves no field for it.
    if !request.contains("{}") {
        body["order_req_id"] = json!(id);
    }
    let header = format!("idempotency-key: {key}");
    let headers = ["content-type: application/json", &header];
    let headers = if key.is_empty() { &headers[..1] } else { &headers[..] };
    let request = request.replace("{}", id);
    let response = send(rig.rest(), &request, headers, &body.to_string()).await;
    match response.status {
        200 | 201 => Ok(format!("{} {}", response.status, response.text)),
        _ => Err(response.reason()),
    }
}

async fn send_request(
    rig: &Rig,
    wire: &Wire,
    id: &str,
    key: &str,
    request: &TestRequest,
) -> ReplyText {
    match request.clone() {
        TestRequest::Rpc(act) => within("an act", rpc(wire, id, key, act)).await,
        TestRequest::Submit(proposal) => submit(wire, id, key, *proposal).await,
        TestRequest::Rest(request, body) => rest(rig, id, key, request, body).await,
        TestRequest::Session(seller, message) => {
            let mut session = Session::open(wire, seller, &[]).await;
            let result = session.ask(key, message(order(id))).await;
            if result.reason.is_empty() { Ok(format!("{result:?}")) } else { Err(result.reason) }
        }
    }
}

fn offer(id: &str, price: &str) -> v1::Proposal {
    v1::Proposal { price: price.to_owned(), ..proposal(id) }
}

fn amended(price: &str) -> v1::Proposal {
    v1::Proposal { version: 1, ..offer("p1", price) }
}

fn proposed(order: &v1::OrderRef, proposal: v1::Proposal) -> Up {
    let submission = submission(&order.order_req_id, "");
    Up::Proposal(v1::ProposalSubmission { proposal: Some(proposal), ..submission })
}

fn message(text: &str) -> Option<v1::Message> {
    Some(v1::Message { message: text.to_owned(), ..v1::Message::default() })
}

fn withdraw(order: v1::OrderRef, reason: &str) -> Up {
    let (order, proposal_id, reason) = (Some(order), "p1".to_owned(), reason.to_owned());
    Up::Withdraw(v1::Withdraw { order, proposal_id, reason, version: 0 })
}

fn decline(order: v1::OrderRef, reason: &str) -> Up {
    Up::Decline(v1::Decline { order: Some(order), reason: reason.to_owned() })
}

fn answer(order: v1::OrderRef, text: &str) -> Up {
    let (order, follow_up_id, message) = (Some(order), "f0".to_owned(), message(text));
    Up::Answer(v1::Answer { order, follow_up_id, message, ..v1::Answer::default() })
}

fn question(order: v1::OrderRef, text: &str) -> Up {
    let (order, question_id, message) = (Some(order), String::new(), message(text));
    Up::Question(v1::Question { order, question_id, message })
}

fn lock(order: v1::OrderRef, lease_ms: u64) -> Up {
    let (order, proposal_id, version) = (Some(order), "p1".to_owned(), 0);
    Up::Lock(v1::LockRequest { order, proposal_id, lease_ms, version })
}

fn unlock(order: v1::OrderRef) -> Up {
    Up::Unlock(v1::UnlockRequest { order: Some(order), proposal_id: "p1".to_owned() })
}

fn buyers() -> Vec<Row> {
    let row = |name, before: Vec<Rpc>, ask, other| {
        let before = before.into_iter().map(TestRequest::Rpc).collect();
        Row { name, before, request: TestRequest::Rpc(ask), other: TestRequest::Rpc(other) }
    };
    let follow_up = |id, text| Rpc::FollowUp { id, text };
    let award = |undo_within_ms| Rpc::Award { proposal: "p1", undo_within_ms };
    let nobody = || Rpc::Award { proposal: "", undo_within_ms: 0 };
    vec![
        row("follow-up", vec![], follow_up("", "when?"), follow_up("", "where?")),
        row("named-follow-up", vec![], follow_up("f1", "when?"), follow_up("f1", "where?")),
        row("pause", vec![], Rpc::Pause("lunch"), Rpc::Pause("tea")),
        row("resume", vec![Rpc::Pause("")], Rpc::Resume, Rpc::Pause("")),
        row("idle-resume", vec![], Rpc::Resume, Rpc::Pause("")),
        row("extend", vec![], Rpc::Extend(90 * MINUTE_MS), Rpc::Extend(91 * MINUTE_MS)),
        row("idle-extend", vec![], Rpc::Extend(30 * MINUTE_MS), Rpc::Extend(31 * MINUTE_MS)),
        row("award", vec![], award(0), nobody()),
        row("award-with-undo", vec![], award(MINUTE_MS), nobody()),
        row("undo", vec![award(MINUTE_MS)], Rpc::Undo("oh"), Rpc::Undo("no")),
        row("close", vec![], Rpc::Close("no"), Rpc::Close("never")),
        row("cancel", vec![], Rpc::Cancel("no"), Rpc::Cancel("never")),
    ]
}

fn submitted() -> Vec<Row> {
    let row = |name, ask, other| Row {
        name,
        before: vec![],
        request: TestRequest::Submit(Box::new(ask)),
        other: TestRequest::Submit(Box::new(other)),
    };
    vec![
        row("submit", offer("p2", "9"), offer("p3", "9")),
        row("submit-unnamed", offer("", "9"), offer("", "8")),
        row("submit-amendment", amended("9"), amended("8")),
    ]
}

fn sessions() -> Vec<Row> {
    let session = |words| TestRequest::Session("seller1", words);
    let row = |name, ask, other| Row {
        name,
        before: vec![],
        request: session(ask),
        other: session(other),
    };
    let locked = vec![session(|order| lock(order, 60_000))];
    vec![
        row("say-proposal", |o| proposed(&o, offer("", "9")), |o| proposed(&o, offer("", "8"))),
        row("say-amendment", |o| proposed(&o, amended("9")), |o| proposed(&o, amended("8"))),
        row("say-withdraw", |o| withdraw(o, "late"), |o| withdraw(o, "later")),
        row("say-decline", |o| decline(o, "far"), |o| decline(o, "dear")),
        row("say-answer", |o| answer(o, "yes"), |o| answer(o, "no")),
        row("say-question", |o| question(o, "when?"), |o| question(o, "where?")),
        row("say-lock", |o| lock(o, 1_000), |o| lock(o, 2_000)),
        Row { before: locked, ..row("say-unlock", unlock, |o| lock(o, 2_000)) },
    ]
}

fn rest_rows() -> Vec<Row> {
    let row = |name, request, body: Value, other: Value| Row {
        name,
        before: vec![],
        request: TestRequest::Rest(request, body),
        other: TestRequest::Rest(request, other),
    };
    let offer = |id: Value, price| json!({"proposal_id": id, "seller": "seller1", "price": price, "currency": "EUR"});
    let reason = |text| json!({"seller": "seller1", "reason": text});
    let body = |text| json!({"seller": "seller1", "follow_up_id": "f0", "message": text});
    let question = |text| json!({"seller": "seller1", "message": text});
    let lease = |ms: u64| json!({"holder": "seller1", "lease_ms": ms});
    const PROPOSE: &str = "POST /api/v1/proposals";
    const LOCK: &str = "POST /api/v1/proposals/p1/edit-lock";
    let locked = vec![TestRequest::Rest(LOCK, lease(60_000))];
    let seen = json!({"seller": "seller2"});
    let declined = TestRequest::Rest("POST /api/v1/orders/{}/decline", seen.clone());
    vec![
        row("propose", PROPOSE, offer(json!("p2"), "9"), offer(json!("p3"), "9")),
        row("propose-unnamed", PROPOSE, offer(json!(null), "9"), offer(json!(null), "8")),
        row("amend", "PUT /api/v1/proposals/p1", offer(json!(null), "9"), offer(json!(null), "8")),
        row("withdraw", "POST /api/v1/proposals/p1/withdraw", reason("late"), reason("later")),
        row("answer", "POST /api/v1/proposals/p1/followup", body("yes"), body("no")),
        row("lock", LOCK, lease(1_000), lease(2_000)),
        Row {
            before: locked,
            other: TestRequest::Rest(LOCK, lease(3_000)),
            ..row("unlock", "DELETE /api/v1/proposals/p1/edit-lock", lease(1), lease(1))
        },
        row("decline", "POST /api/v1/orders/{}/decline", reason("far"), reason("dear")),
        row("ask", "POST /api/v1/orders/{}/questions", question("when?"), question("where?")),
        Row { other: declined, ..row("see", "POST /api/v1/orders/{}/seen", seen.clone(), seen) },
    ]
}

/// Returns requests of all other actors under the same key, each with a command that is always
/// possible.
fn others(row: &Row) -> Vec<TestRequest> {
    let question_of = |seller: &str| {
        let body = json!({"seller": seller, "message": format!("{seller} asks")});
        TestRequest::Rest("POST /api/v1/orders/{}/questions", body)
    };
    let buyer = TestRequest::Rpc(Rpc::FollowUp { id: "", text: "somebody else" });
    let strangers =
        vec![question_of("seller4"), TestRequest::Session("seller3", |o| question(o, "me too"))];
    match row.request {
        TestRequest::Rpc(_) => strangers,
        TestRequest::Submit(_) | TestRequest::Session(..) | TestRequest::Rest(..) => {
            [strangers, vec![buyer]].concat()
        }
    }
}

/// The first replies for one row's order.
struct FirstReplies {
    row: Row,
    first: String,
    others: Vec<(TestRequest, String)>,
}

impl FirstReplies {
    /// Opens an order of the row's name; all others use the key, and then the row's actor does.
    async fn begin(rig: &Rig, wire: &Wire, row: Row) -> Self {
        let id = row.name;
        wire.track(id).await.through(2).await;
        let begun = [
            TestRequest::Submit(Box::new(offer("p1", "10"))),
            TestRequest::Rpc(Rpc::FollowUp { id: "f0", text: "" }),
        ];
        for request in begun.iter().chain(&row.before) {
            send_request(rig, wire, id, "", request).await.expect(id);
        }
        let mut others = Vec::new();
        for request in self::others(&row) {
            let reply =
                send_request(rig, wire, id, KEY, &request).await.expect("the key of somebody else");
            others.push((request, reply));
        }
        let before = wire.last_seq(id).await;
        let first = send_request(rig, wire, id, KEY, &row.request).await;
        let first = first.unwrap_or_else(|reason| panic!("{id}: {reason}"));
        assert!(wire.last_seq(id).await > before, "{id} had no effect");
        Self { row, first, others }
    }

    /// Repeats all requests; nothing happens, and the replies are the first ones.
    async fn again(&self, rig: &Rig, wire: &Wire, when: &str) {
        let (id, before) = (self.row.name, wire.last_seq(self.row.name).await);
        let again = send_request(rig, wire, id, KEY, &self.row.request).await;
        assert_eq!(again.as_ref(), Ok(&self.first), "{id}: {when}");
        let other = send_request(rig, wire, id, KEY, &self.row.other).await;
        assert_eq!(other, Err("IDEMPOTENCY_CONFLICT".to_owned()), "{id}: {when}");
        for (request, first) in &self.others {
            let again = send_request(rig, wire, id, KEY, request).await;
            assert_eq!(again.as_ref(), Ok(first), "somebody else in {id}: {when}");
        }
        assert_eq!(wire.last_seq(id).await, before, "{id}: {when}");
    }

    /// Changes everything that a reply might depend on, as far as the order's state allows.
    async fn change_everything(&self, rig: &Rig, wire: &Wire) {
        let requests = [
            TestRequest::Rpc(Rpc::Undo("")),
            TestRequest::Rpc(Rpc::Resume),
            TestRequest::Submit(Box::new(offer("later", "7"))),
            TestRequest::Rpc(Rpc::Extend(120 * MINUTE_MS)),
            TestRequest::Rest("POST /api/v1/proposals/p1/withdraw", json!({})),
            TestRequest::Rpc(Rpc::Pause("later")),
        ];
        for request in requests {
            drop(send_request(rig, wire, self.row.name, "", &request).await);
        }
    }
}

async fn all_again(rig: &Rig, replies: &[FirstReplies], when: &str) {
    let wire = rig.wire().await;
    for one in replies {
        one.again(rig, &wire, when).await;
    }
}

/// This holds over every interface, with one effect, after restarts and after the order's end.
#[tokio::test]
async fn repeated_commands_get_first_reply() {
    let sellers = (1..=4).map(|number| format!("seller{number}"));
    let mut rig = Rig::start_among(sellers).await;
    let wire = rig.wire().await;
    let mut replies = Vec::new();
    for row in [buyers(), submitted(), sessions(), rest_rows()].into_iter().flatten() {
        replies.push(FirstReplies::begin(&rig, &wire, row).await);
    }
    all_again(&rig, &replies, "at once").await;
    for one in &replies {
        one.change_everything(&rig, &wire).await;
    }
    all_again(&rig, &replies, "later").await;
    rig.restart().await;
    all_again(&rig, &replies, "after a restart").await;
    let wire = rig.wire().await;
    for one in &replies {
        drop(
            send_request(&rig, &wire, one.row.name, "", &TestRequest::Rpc(Rpc::Cancel("over")))
                .await,
        );
    }
    all_again(&rig, &replies, "after the end").await;
    rig.crash().await;
    rig.begin().await;
    all_again(&rig, &replies, "after the end and a crash").await;
}

/// A seller sends the same command under one key over one interface after another.
#[tokio::test]
async fn interfaces_share_a_sellers_keys() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    wire.track("a").await.through(2).await;
    let body = json!({"seller": "seller1", "price": "10.50", "currency": "EUR"});
    let requests = [
        TestRequest::Rest("POST /api/v1/proposals", body),
        TestRequest::Submit(Box::new(proposal(""))),
        TestRequest::Session("seller1", |order| proposed(&order, proposal(""))),
    ];
    for request in &requests {
        let reply = send_request(&rig, &wire, "a", KEY, request).await.unwrap();
        assert!(reply.contains("seq\":3") || reply.contains("seq: 3"), "{reply}");
    }
    assert_eq!(wire.last_seq("a").await, 3);
}

/// A command that finds its work done replies with the event that did it, whatever came later.
#[tokio::test]
async fn repeated_seen_marks_keep_reply() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    wire.track("a").await.through(2).await;
    let see = TestRequest::Rest("POST /api/v1/orders/{}/seen", json!({"seller": "seller1"}));
    let stranger = TestRequest::Rest("POST /api/v1/orders/{}/seen", json!({"seller": "stranger"}));
    drop(send_request(&rig, &wire, "a", "", &see).await.unwrap());
    let first = send_request(&rig, &wire, "a", "k", &see).await.unwrap();
    let refused = send_request(&rig, &wire, "a", "k", &stranger).await;
    assert_eq!(refused, Err("NOT_INVITED".to_owned()));
    assert!(first.contains("\"seq\":3"), "{first}");
    for _ in 0..2 {
        let wire = rig.wire().await;
        drop(wire.submit(vec![submission("a", "p"), submission("a", "q")]).await.unwrap());
        assert_eq!(send_request(&rig, &wire, "a", "k", &see).await, Ok(first.clone()));
        drop(send_request(&rig, &wire, "a", "", &TestRequest::Rpc(Rpc::Close(""))).await);
        assert_eq!(
            send_request(&rig, &wire, "a", "k", &see).await,
            Ok(first.clone()),
            "after the end"
        );
        assert_eq!(send_request(&rig, &wire, "a", "k", &stranger).await, refused);
        rig.restart().await;
    }
}

/// A refusal does not use up its key: a refused command can be sent again under it, with another
/// body too.
#[tokio::test]
async fn refused_keys_stay_free() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    wire.track("a").await.through(2).await;
    drop(send_request(&rig, &wire, "a", "", &TestRequest::Rpc(Rpc::Pause(""))).await.unwrap());
    let refused =
        send_request(&rig, &wire, "a", KEY, &TestRequest::Submit(Box::new(offer("p1", "10"))))
            .await;
    assert_eq!(refused, Err("ORDER_PAUSED".to_owned()));
    drop(send_request(&rig, &wire, "a", "", &TestRequest::Rpc(Rpc::Resume)).await.unwrap());
    let second =
        send_request(&rig, &wire, "a", KEY, &TestRequest::Submit(Box::new(offer("p1", "9"))))
            .await
            .unwrap();
    let again =
        send_request(&rig, &wire, "a", KEY, &TestRequest::Submit(Box::new(offer("p1", "9")))).await;
    assert_eq!(again, Ok(second));
}
