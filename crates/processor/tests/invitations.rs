//! A seller's session receives every order that the seller is invited to, once, wherever it
//! resumes.

use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use serde_json::json;
use tokio::task::JoinSet;

use crate::http::{get, post, send};
use crate::rig::{Rig, START, within};
use crate::sessions::Session;
use crate::wire::{Wire, order, proposal, reason, submission, tracker};

/// Opens an order for these sellers.
async fn open(wire: &Wire, id: &str, sellers: &[&str]) {
    let names = sellers.iter().map(|name| (*name).to_owned()).collect();
    open_with(wire, id, v1::SellerLimits { names, ..v1::SellerLimits::default() }).await;
}

async fn open_with(wire: &Wire, id: &str, limits: v1::SellerLimits) {
    let spec = v1::OrderSpec { sellers: Some(limits), ..v1::OrderSpec::default() };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker(id) };
    wire.follow(request).await.unwrap().through(2).await;
}

async fn follow_up(wire: &Wire, id: &str) -> u64 {
    let request = v1::FollowUpRequest {
        order_req_id: id.to_owned(),
        message: Some(v1::Message { message: "when?".to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    let mut client = wire.unary.clone();
    within("a follow-up", client.process_follow_up(request)).await.unwrap().into_inner().seq
}

fn acknowledge(id: &str, seq: u64) -> Up {
    Up::Acknowledge(v1::Acknowledge { order: Some(order(id)), seq })
}

async fn state_of(wire: &Wire, id: &str, seller: &str) -> String {
    let state = wire.state(id).await.unwrap();
    let invitation = state.invitations.into_iter().find(|held| held.seller == seller);
    invitation.unwrap_or_else(|| panic!("{seller} is not invited")).state
}

/// Returns the next event: its order, number and kind.
async fn next_event(session: &mut Session) -> (String, u64, String) {
    let event = session.event().await;
    (event.order_req_id, event.seq, event.streaming_response_status)
}

fn opened(id: &str) -> (String, u64, String) {
    (id.to_owned(), 1, "OrderOpened".to_owned())
}

#[tokio::test]
async fn sessions_receive_present_and_later_invitations() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "before", &["seller1"]).await;
    open(&wire, "for-another", &["seller2"]).await;
    let hello = v1::Hello { seller: "seller1".to_owned(), ..v1::Hello::default() };
    let mut session = Session::send_first(&wire, Up::Hello(hello)).await.unwrap();
    let Some(Down::Welcome(welcome)) = session.next().await else { panic!("no welcome") };
    let orders: Vec<_> = welcome.orders.into_iter().map(|order| order.order_req_id).collect();
    assert_eq!(orders, ["before"]);
    assert_eq!(next_event(&mut session).await, opened("before"));
    open(&wire, "for-another-too", &["seller2"]).await;
    open(&wire, "later", &["seller2", "seller1"]).await;
    assert_eq!(next_event(&mut session).await, opened("later"), "and nothing of the others");
}

#[tokio::test]
async fn an_acknowledged_invitation_is_seen_once() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller1", "seller2"]).await;
    let mut session = Session::open(&wire, "seller1", &[]).await;
    assert_eq!(next_event(&mut session).await, opened("a"));
    assert_eq!(state_of(&wire, "a", "seller1").await, "Invited");
    let nothing = session.ask("0", acknowledge("a", 0)).await;
    assert_eq!(nothing.reason, "INVALID_FIELD");
    for n in ["1", "2"] {
        assert_eq!(session.ask(n, acknowledge("a", 1)).await.reason, "");
    }
    let mut again = Session::open(&wire, "seller1", &[("a", 1)]).await;
    assert_eq!(again.ask("1", acknowledge("a", 1)).await.reason, "");
    assert_eq!(state_of(&wire, "a", "seller1").await, "Seen");
    assert_eq!(state_of(&wire, "a", "seller2").await, "Invited");
    assert_eq!(wire.last_seq("a").await, 3, "one event, however often it was said");
    let kind = "SellerNotified".to_owned();
    assert_eq!(next_event(&mut session).await, ("a".to_owned(), 3, kind));
}

/// It resumes after a crash of the processor.
#[tokio::test]
async fn resumed_session_receives_each_event_once() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller1"]).await;
    open(&wire, "b", &["seller1"]).await;
    let mut session = Session::open(&wire, "seller1", &[("b", 2)]).await;
    assert_eq!(follow_up(&wire, "a").await, 3);
    let mut seqs = vec![next_event(&mut session).await.1, next_event(&mut session).await.1];
    follow_up(&wire, "a").await;
    rig.crash().await;
    rig.begin().await;
    let wire = rig.wire().await;
    follow_up(&wire, "a").await;
    let mut session = Session::open(&wire, "seller1", &[("a", 3), ("b", 2)]).await;
    for _ in 0..2 {
        seqs.push(next_event(&mut session).await.1);
    }
    assert_eq!(seqs, [1, 3, 4, 5], "2 names the other sellers");
    assert_eq!(follow_up(&wire, "b").await, 3);
    assert_eq!(next_event(&mut session).await.0, "b", "nothing of it was told before");
    let mut anew = Session::open(&wire, "seller1", &[("b", 3)]).await;
    for seq in [1, 3, 4, 5] {
        assert_eq!(next_event(&mut anew).await.1, seq, "without a cursor from the first event");
    }
}

#[tokio::test]
async fn unusable_cursors_block_no_other_order() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let of_incarnation =
        |id: &str| v1::OrderStreamRequest { incarnation: id.to_owned(), ..tracker("a") };
    drop(wire.follow(of_incarnation("first")).await.unwrap());
    let cancel = v1::CancelRequest { order: Some(order("a")), ..v1::CancelRequest::default() };
    wire.control.clone().cancel(cancel).await.unwrap();
    drop(wire.follow(of_incarnation("second")).await.unwrap());
    open(&wire, "b", &["seller1"]).await;
    open(&wire, "short", &["seller1"]).await;
    let cursor = |id: &str, incarnation: &str, after_seq| v1::OrderCursor {
        order: Some(v1::OrderRef { incarnation: incarnation.to_owned(), ..order(id) }),
        after_seq,
    };
    let hello = v1::Hello {
        seller: "seller1".to_owned(),
        cursors: vec![
            cursor("gone", "", 7),
            cursor("a", "first", 2),
            cursor("short", "", 99),
            cursor("b", "", 1),
        ],
        ..v1::Hello::default()
    };
    let mut session = Session::send_first(&wire, Up::Hello(hello)).await.unwrap();
    assert!(matches!(session.next().await, Some(Down::Welcome(_))));
    for (id, reason) in
        [("gone", "ORDER_NOT_FOUND"), ("a", "ORDER_NOT_FOUND"), ("short", "AHEAD_OF_LIST")]
    {
        let Some(Down::Result(refused)) = session.next().await else { panic!("no result") };
        let named = refused.order.unwrap().order_req_id;
        assert_eq!((named.as_str(), refused.reason.as_str()), (id, reason));
        assert_eq!(refused.request_id, "");
    }
    let mut firsts = vec![next_event(&mut session).await, next_event(&mut session).await];
    firsts.sort();
    assert_eq!(firsts, [opened("a"), opened("short")], "what is here now, from its first event");
}

/// Over each interface; an order that is open to all takes their proposals.
#[tokio::test]
async fn uninvited_sellers_propose_where_it_is_open_to_all() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let limits = |open_to_all| v1::SellerLimits {
        names: vec!["seller2".to_owned()],
        open_to_all,
        ..v1::SellerLimits::default()
    };
    open_with(&wire, "closed", limits(false)).await;
    open_with(&wire, "open", limits(true)).await;
    for (id, status, reason) in [("closed", 403, "NOT_INVITED"), ("open", 201, "")] {
        let body = json!({ "order_req_id": id, "proposal_id": "p-1", "seller": "seller1",
                           "price": "10.50", "currency": "EUR", "alternative": "p-1" });
        let response = post(rig.rest(), "/api/v1/proposals", &body).await;
        assert_eq!(response.status, status, "{response:?}");
        if status == 403 {
            assert_eq!(
                (response.reason().as_str(), &response.json()["field"]),
                (reason, &json!("seller"))
            );
        }
        let summary = wire.submit(vec![submission(id, "p-2")]).await.unwrap();
        assert_eq!(summary.results[0].reason, reason, "{summary:?}");
        let mut session = Session::open(&wire, "seller1", &[]).await;
        let result = session.ask("1", Up::Proposal(submission(id, "p-3"))).await;
        assert_eq!(result.reason, reason, "{result:?}");
        let view = get(rig.rest(), &format!("/api/v1/orders/{id}")).await.json();
        assert_eq!(view["open_to_all"], status == 201, "{view}");
    }
    assert_eq!((wire.last_seq("closed").await, wire.last_seq("open").await), (2, 5));
}

/// They are refused as for a proposal, over REST and in a session, and nothing is recorded.
#[tokio::test]
async fn uninvited_sellers_command_nothing() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller2"]).await;
    let theirs = v1::Proposal { seller: "seller2".to_owned(), ..proposal("p") };
    let theirs = v1::ProposalSubmission { proposal: Some(theirs), ..submission("a", "") };
    wire.submit(vec![theirs]).await.unwrap();
    let by_path = json!({ "seller": "seller1" });
    let question = json!({ "seller": "seller1", "message": "how soon?" });
    let withdrawal = json!({ "order_req_id": "a", "seller": "seller1" });
    let amendment = json!({ "order_req_id": "a", "seller": "seller1", "price": "1",
                            "currency": "EUR" });
    let lock = json!({ "order_req_id": "a", "holder": "seller1" });
    for (request, body) in [
        ("POST /api/v1/orders/a/seen", &by_path),
        ("POST /api/v1/orders/a/decline", &by_path),
        ("POST /api/v1/orders/a/questions", &question),
        ("PUT /api/v1/proposals/p", &amendment),
        ("POST /api/v1/proposals/p/withdraw", &withdrawal),
        ("POST /api/v1/proposals/p/edit-lock", &lock),
        ("DELETE /api/v1/proposals/p/edit-lock", &lock),
    ] {
        let refused = send(rig.rest(), request, &[], &body.to_string()).await;
        let found = (refused.status, refused.reason());
        assert_eq!(found, (403, "NOT_INVITED".to_owned()), "{request}: {refused:?}");
    }
    let mut session = Session::open(&wire, "seller1", &[("a", 0)]).await;
    let (order, proposal_id) = (Some(order("a")), "p".to_owned());
    let decline = v1::Decline { order: order.clone(), ..v1::Decline::default() };
    let lock = v1::LockRequest {
        order: order.clone(),
        proposal_id: proposal_id.clone(),
        ..v1::LockRequest::default()
    };
    let withdraw = v1::Withdraw { order, proposal_id, ..v1::Withdraw::default() };
    for (number, kind) in
        [acknowledge("a", 1), Up::Decline(decline), Up::Lock(lock), Up::Withdraw(withdraw)]
            .into_iter()
            .enumerate()
    {
        let refused = session.ask(&number.to_string(), kind).await;
        assert_eq!(refused.reason, "NOT_INVITED", "{refused:?}");
    }
    assert_eq!(wire.last_seq("a").await, 3);
}

/// They receive the award once it takes effect.
#[tokio::test]
async fn sellers_see_no_pending_award() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller1", "seller2"]).await;
    let mut loser = Session::open(&wire, "seller1", &[("a", 2)]).await;
    assert_eq!(loser.ask("1", Up::Proposal(submission("a", "mine"))).await.seq, 3);
    assert_eq!(next_event(&mut loser).await.2, "NewProposal");
    let theirs = v1::Proposal { seller: "seller2".to_owned(), ..proposal("theirs") };
    let theirs = v1::ProposalSubmission { proposal: Some(theirs), ..submission("a", "") };
    wire.submit(vec![theirs]).await.unwrap();
    let award = |undo_within_ms| v1::AwardRequest {
        order: Some(order("a")),
        proposal_id: "theirs".to_owned(),
        undo_within_ms,
        ..v1::AwardRequest::default()
    };
    let mut control = wire.control.clone();
    assert_eq!(control.award(award(60_000)).await.unwrap().into_inner().seq, 5);
    let pending = wire.state("a").await.unwrap().pending_award.unwrap();
    assert_eq!(pending.award.unwrap().proposal_id, "theirs");
    let undo = v1::UndoAwardRequest { order: Some(order("a")), ..v1::UndoAwardRequest::default() };
    control.undo_award(undo.clone()).await.unwrap();
    assert_eq!(reason(&control.undo_award(undo).await.unwrap_err()), "AWARD_NOT_PENDING");
    assert_eq!(follow_up(&wire, "a").await, 7);
    assert_eq!(next_event(&mut loser).await.1, 7, "neither 5 nor 6");
    control.award(award(0)).await.unwrap();
    let (_, seq, kind) = next_event(&mut loser).await;
    assert_eq!((seq, kind.as_str()), (8, "ProposalClosed"));
    assert_eq!(next_event(&mut loser).await.2, "OrderFinalised");
    assert_eq!(loser.ask("2", acknowledge("a", 9)).await.reason, "", "also after the end");
}

/// They show none until they are opened.
#[tokio::test]
async fn sealed_orders_show_sellers_no_price() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let spec = v1::OrderSpec { sealed: true, expires_in_ms: 60_000, ..v1::OrderSpec::default() };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker("a") };
    wire.follow(request).await.unwrap().through(2).await;
    let mut session = Session::open(&wire, "seller1", &[]).await;
    let mut other = Session::open(&rig.wire().await, "seller2", &[("a", 2)]).await;
    assert_eq!(session.ask("1", Up::Proposal(submission("a", "p"))).await.seq, 3);
    assert_eq!(next_event(&mut session).await, opened("a"));
    let own = session.event().await;
    assert_eq!((own.seq, own.proposal_id.as_str()), (3, "p"));
    let text = format!("{own:?}");
    assert!(!text.contains("10.5") && !text.contains("seller1"), "{text}");
    let award = v1::AwardRequest {
        order: Some(order("a")),
        proposal_id: "p".to_owned(),
        ..v1::AwardRequest::default()
    };
    let early = wire.control.clone().award(award).await.unwrap_err();
    assert_eq!(reason(&early), "ORDER_SEALED");
    let state = format!("{:?}", wire.state("a").await.unwrap().proposals);
    assert!(!state.contains("10.5") && !state.contains("seller1"), "{state}");
    rig.clock.set(START.plus_ms(60_000));
    assert_eq!(next_event(&mut session).await.2, "ProposalsOpened");
    let (_, seq, kind) = next_event(&mut other).await;
    assert_eq!((seq, kind.as_str()), (4, "ProposalsOpened"), "and nothing of the other's");
    let mut anew = Session::open(&wire, "seller1", &[("a", 2)]).await;
    assert!(format!("{:?}", anew.event().await).contains("10.5"), "now all is told");
}

#[tokio::test]
async fn busy_orders_delay_no_others() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "busy", &["seller1"]).await;
    wire.propose_many("busy", 2_000).await;
    open(&wire, "quiet", &["seller1"]).await;
    let mut session = Session::open(&wire, "seller1", &[]).await;
    let mut busy = 0;
    while next_event(&mut session).await.0 == "busy" {
        busy += 1;
    }
    assert!(busy < 1_000, "told {busy} events of the one before the first of the other");
}

#[tokio::test]
async fn sessions_per_seller_are_limited() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut sessions = Vec::new();
    for _ in 0..16 {
        sessions.push(Session::open(&wire, "seller1", &[]).await);
    }
    let hello = || Up::Hello(v1::Hello { seller: "seller1".to_owned(), ..v1::Hello::default() });
    let status = Session::send_first(&wire, hello()).await.err().unwrap();
    assert_eq!(reason(&status), "LIMIT_REACHED");
    drop(Session::open(&wire, "seller2", &[]).await);
    sessions.pop();
    let freed = async { while Session::send_first(&wire, hello()).await.is_err() {} };
    within("the place of the one that ended", freed).await;
}

/// The limit is reported once.
#[tokio::test]
async fn full_session_continues_as_orders_end() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut opening = JoinSet::new();
    for n in 0..1_001 {
        let wire = wire.clone();
        opening.spawn(async move { drop(wire.track(&format!("o{n}")).await) });
    }
    while let Some(opened) = opening.join_next().await {
        opened.unwrap();
    }
    let mut session = Session::open(&wire, "seller1", &[]).await;
    let (mut first, mut full) = (Vec::new(), 0);
    while first.len() < 1_000 || full == 0 {
        match session.next().await.unwrap() {
            Down::Event(event) => {
                assert_eq!(event.seq, 1);
                first.push(event.order_req_id);
            }
            Down::Result(result) => {
                assert_eq!(
                    (result.reason.as_str(), result.request_id.as_str()),
                    ("LIMIT_REACHED", "")
                );
                full += 1;
            }
            other @ (Down::Welcome(_) | Down::Draining(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!((first.len(), full), (1_000, 1));
    let cancel =
        v1::CancelRequest { order: Some(order(&first[500])), ..v1::CancelRequest::default() };
    wire.control.clone().cancel(cancel).await.unwrap();
    assert_eq!(next_event(&mut session).await.2, "OrderCancelled");
    let (last, seq, _) = next_event(&mut session).await;
    assert_eq!(seq, 1);
    assert!(!first.contains(&last), "{last} was told already");
}

#[tokio::test]
async fn drain_comes_after_every_event() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, "a", &["seller1"]).await;
    open(&wire, "b", &["seller1"]).await;
    wire.propose_many("a", 300).await;
    let mut session = Session::open(&wire, "seller1", &[]).await;
    let mut seqs = vec![session.event().await.seq];
    rig.drain();
    let draining = loop {
        match session.next().await.expect("the last word is missing") {
            Down::Event(event) => seqs.push(event.seq),
            Down::Draining(draining) => break draining,
            other @ (Down::Welcome(_) | Down::Result(_)) => panic!("{other:?}"),
        }
    };
    assert_eq!(draining.last_seq, 0);
    assert!(session.next().await.is_none());
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 301, "of the first order all, of the second the first");
}
