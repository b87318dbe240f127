//! The client crate against real processors: each message that it sends has one effect, and the
//! events that it receives have no gap, also when the processor is killed in between.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use orderstream_client::{
    Award, BuyerCommand, Client, Cursors, Epoch, Event, EventKind, FollowRole, FollowUp,
    FollowUpId, InMemory, Message, OrderFollower, OrderKey, OrderSpec, ProposalContent, ProposalId,
    ProposalInput, ProposalUpdate, SellerCursor, SellerId, SellerSession, Seq, SessionItem,
    SpecInput, SubmittedProposal,
};
use orderstream_core::input::MessageInput;
use parking_lot::Mutex;

use crate::process::{Role, WAIT_TIMEOUT, pause};

/// The number of times the processor is killed.
const KILLS: usize = 5;

/// A processor that knows one seller.
pub(crate) fn processor(dir: &Path, seller: &str) -> Role {
    let (data, sellers) = (dir.join("data"), dir.join("sellers.yaml"));
    let text = format!(
        "apiVersion: orderstream.dev/v1alpha1\nkind: Seller\nmetadata:\n  name: {seller}\nspec:\n  \
         channels: [{{ type: Email, address: sales@example.org }}]\n"
    );
    std::fs::write(&sellers, text).unwrap();
    let mut args = vec!["processor", "--data-dir", data.to_str().unwrap()];
    args.extend(["--sellers", sellers.to_str().unwrap()]);
    for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    Role::start(&args, dir)
}

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(WAIT_TIMEOUT * 2, test).await.expect("in time") })
}

pub(crate) fn order() -> OrderKey {
    OrderKey::new("default", "SB1029436").unwrap()
}

/// Opens the order as its tracker, and returns a follower of its events.
pub(crate) fn track(client: &Client) -> OrderFollower {
    let spec = Box::new(OrderSpec::try_from(SpecInput::default()).unwrap());
    client.follow(order(), FollowRole::Tracker { spec, incarnation: None, epoch: Epoch(1) })
}

pub(crate) fn follow_up(id: &str, text: &str, answers: Option<&FollowUpId>) -> FollowUp {
    let input = MessageInput { message: text.to_owned(), ..MessageInput::default() };
    let (id, audience) = (FollowUpId::new(id).unwrap(), Vec::new());
    FollowUp { id, audience, message: Message::try_from(input).unwrap(), answers: answers.cloned() }
}

/// Makes an alternative with the id as its label: one seller makes many.
fn proposed(id: &str, price: &str) -> ProposalContent {
    ProposalContent::try_from(ProposalInput {
        proposal_id: Some(id.to_owned()),
        seller: "works".to_owned(),
        price: price.to_owned(),
        currency: "EUR".to_owned(),
        alternative: Some(id.to_owned()),
        ..ProposalInput::default()
    })
    .unwrap()
}

async fn event(session: &mut SellerSession) -> Event {
    loop {
        match session.next().await.unwrap() {
            SessionItem::Event(received) => return received.event,
            SessionItem::Connected(_) => {}
            SessionItem::Refused(refused) => panic!("{refused}"),
        }
    }
}

async fn events_to_the_end(mut follower: OrderFollower) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = follower.next().await.unwrap() {
        events.push(event);
        assert_eq!(events.len() as u64, events.last().unwrap().seq.0, "no gap and no repeat");
    }
    events
}

/// Sends follow-ups, receives, acknowledges and answers them, and proposes, until the processor was
/// killed [`KILLS`] times. Returns the sequence numbers that the session received, and the number
/// of rounds.
async fn exchange_messages(
    client: &Client,
    session: &mut SellerSession,
    kills: &AtomicUsize,
) -> (Vec<u64>, usize) {
    let (mut received, mut round) = (Vec::new(), 0);
    while kills.load(Ordering::Relaxed) < KILLS && round < 900 {
        round += 1;
        let question = follow_up(&format!("q-{round}"), "when?", None);
        client.follow_up(&order(), question.clone(), None).await.unwrap();
        loop {
            let event = event(session).await;
            received.push(event.seq.0);
            if matches!(&event.kind, EventKind::FollowUpAdded(added) if added.id == question.id) {
                session.acknowledge(&order(), event.seq).await.unwrap();
                break;
            }
        }
        session.answer(&order(), &question.id, "tomorrow").await.unwrap();
        session.propose(&order(), proposed(&format!("p-{round}"), "10.50")).await.unwrap();
    }
    (received, round)
}

/// The session has no gap and no repeat, and each command has one effect.
#[test]
fn sessions_resume_exactly_after_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut processor = processor(dir.path(), "works");
    let url = format!("http://{}", processor.address("grpc"));
    let (is_done, kills) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stop, count) = (Arc::clone(&is_done), Arc::clone(&kills));
    let killer = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            pause(Duration::from_millis(300));
            processor.kill();
            processor.restart();
            count.fetch_add(1, Ordering::Relaxed);
        }
        processor
    });
    let (received, rounds, events) = block_on(async {
        let client = Client::new(&url).unwrap();
        let mut tracker = track(&client);
        assert_eq!(tracker.next().await.unwrap().unwrap().seq.0, 1);
        let mut session = client.seller(SellerId::new("works").unwrap());
        let (mut received, rounds) = exchange_messages(&client, &mut session, &kills).await;
        is_done.store(true, Ordering::Relaxed);
        let award = BuyerCommand::Finalise {
            award: Some(Award::Whole(ProposalId::new("p-1").unwrap())),
            reason: None,
            undo_within_ms: None,
        };
        client.send_command(&order(), award, None).await.unwrap();
        loop {
            let event = event(&mut session).await;
            received.push(event.seq.0);
            if matches!(event.kind, EventKind::OrderFinalised { .. }) {
                break;
            }
        }
        (received, rounds, events_to_the_end(client.follow(order(), FollowRole::Observer)).await)
    });
    drop(killer.join().unwrap());
    assert!(kills.load(Ordering::Relaxed) >= KILLS, "the processor was not killed often enough");
    let count =
        |fits: fn(&EventKind) -> bool| events.iter().filter(|event| fits(&event.kind)).count();
    assert_eq!(count(|kind| matches!(kind, EventKind::NewProposal(_))), rounds);
    assert_eq!(count(|kind| matches!(kind, EventKind::FollowUpAdded(_))), rounds);
    let is_answered = |kind: &EventKind| {
        matches!(kind, EventKind::ProposalUpdate(ProposalUpdate::Answered { .. }))
    };
    assert_eq!(count(is_answered), rounds, "each act once");
    assert_eq!(count(|kind| matches!(kind, EventKind::SellerNotified { .. })), 1, "seen once");
    // All events that concern the only seller: everything but the list of sellers.
    let all: Vec<u64> = events.iter().map(|event| event.seq.0).filter(|seq| *seq != 2).collect();
    assert_eq!(received, all);
}

/// Each refusal has its index and its reason; the rest of the call is accepted.
#[test]
fn bulk_calls_report_each_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let processor = processor(dir.path(), "works");
    let url = format!("http://{}", processor.address("grpc"));
    block_on(async {
        let client = Client::new(&url).unwrap();
        let mut tracker = track(&client);
        tracker.next().await.unwrap().unwrap();
        let many =
            (0..3_000).map(|n| SubmittedProposal::new(order(), proposed(&format!("p-{n}"), "9")));
        let stale = SubmittedProposal {
            amends: Some(7),
            ..SubmittedProposal::new(order(), proposed("p-1", "8"))
        };
        let other_order = OrderKey::new("default", "nobody").unwrap();
        let unknown = SubmittedProposal::new(other_order, proposed("p", "9"));
        let all: Vec<_> = many.chain([stale, unknown]).collect();
        let summary = client.submit(futures_util::stream::iter(all)).await.unwrap();
        assert_eq!((summary.accepted, summary.refused), (3_000, 2));
        let reasons: Vec<_> = summary
            .results
            .iter()
            .filter_map(|(index, result)| Some((*index, result.as_ref().err()?.reason.as_str())))
            .collect();
        assert_eq!(reasons, [(3_000, "CHANGED"), (3_001, "ORDER_NOT_FOUND")]);
        client.send_command(&order(), BuyerCommand::Close(None), None).await.unwrap();
        let events = events_to_the_end(client.follow(order(), FollowRole::Observer)).await;
        assert_eq!(events.len(), 3_003);
        let late = client.send_command(&order(), BuyerCommand::Resume, None).await.unwrap_err();
        assert!(late.to_string().starts_with("ORDER_ENDED"), "{late}");
    });
}

/// Cursors that outlive the session, as in a file.
#[derive(Clone, Debug, Default)]
struct SharedCursors(Arc<Mutex<InMemory>>);

impl Cursors for SharedCursors {
    fn load(&self) -> Vec<SellerCursor> {
        self.0.lock().load()
    }

    fn store(&mut self, cursor: &SellerCursor) {
        self.0.lock().store(cursor);
    }

    fn forget(&mut self, order: &OrderKey) {
        self.0.lock().forget(order);
    }
}

#[test]
fn restarted_programs_resume_after_acknowledged_events() {
    let dir = tempfile::tempdir().unwrap();
    let processor = processor(dir.path(), "works");
    let url = format!("http://{}", processor.address("grpc"));
    let cursors = SharedCursors::default();
    let start = |client: &Client| {
        client.seller(SellerId::new("works").unwrap()).with_cursors(cursors.clone())
    };
    block_on(async {
        let client = Client::new(&url).unwrap();
        track(&client).next().await.unwrap().unwrap();
        client.follow_up(&order(), follow_up("q-1", "when?", None), None).await.unwrap();
        let mut first = start(&client);
        assert_eq!(event(&mut first).await.seq.0, 1);
        first.acknowledge(&order(), Seq(1)).await.unwrap();
        assert_eq!(event(&mut first).await.seq.0, 3, "heard, and not acknowledged");
        drop(first);
        let mut again = start(&client);
        for seq in [3, 4] {
            assert_eq!(event(&mut again).await.seq.0, seq, "4 is that it was seen");
        }
        again.acknowledge(&order(), Seq(4)).await.unwrap();
        assert_eq!(cursors.load()[0].seq, Seq(4));
        client.send_command(&order(), BuyerCommand::Cancel(None), None).await.unwrap();
        let last = event(&mut again).await;
        again.acknowledge(&order(), last.seq).await.unwrap();
        assert_eq!(cursors.load(), [], "nothing comes after the end");
    });
}

/// A refused session or command is not retried.
#[test]
fn refusals_carry_reasons_and_are_final() {
    let dir = tempfile::tempdir().unwrap();
    let processor = processor(dir.path(), "works");
    let url = format!("http://{}", processor.address("grpc"));
    block_on(async {
        let client = Client::new(&url).unwrap();
        let mut session = client.seller(SellerId::new("works").unwrap());
        let unknown = session.ask(&order(), "when?").await.unwrap_err();
        assert!(unknown.to_string().starts_with("ORDER_NOT_FOUND"), "{unknown}");
        let mut sessions = Vec::new();
        for _ in 0..15 {
            let mut one = client.seller(SellerId::new("works").unwrap());
            assert!(matches!(one.next().await, Ok(SessionItem::Connected(_))));
            sessions.push(one);
        }
        let mut one_more = client.seller(SellerId::new("works").unwrap());
        let refused = one_more.next().await.unwrap_err();
        assert!(refused.to_string().starts_with("LIMIT_REACHED"), "{refused}");
        let missing = client.follow(order(), FollowRole::Observer).next().await.unwrap_err();
        assert!(missing.to_string().starts_with("ORDER_NOT_FOUND"), "{missing}");
    });
}
