//! A processor that stops: what clients receive, and that nothing is cut off midway.

use orderstream_core::Reason;
use orderstream_rpc::status::refusal_from_status;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_stream_response::Detail;
use orderstream_rpc::v1::seller_event::Kind as Down;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::faulty::Disk;
use crate::http::SseStream;
use crate::rig::{Rig, within};
use crate::sessions::Session;
use crate::wire::{Follow, observer, order, submission, tracker};

/// Reads to the drain message, which must be the last one; returns the number in it.
async fn read_to_drain(follow: &mut Follow) -> u64 {
    loop {
        let message = follow.next().await.expect("it is told in band").unwrap();
        let Some(Detail::Draining(draining)) = message.detail else {
            assert_eq!(message.seq, follow.last_seq + 1);
            follow.last_seq = message.seq;
            continue;
        };
        assert_eq!(message.streaming_response_status, "Draining");
        assert_eq!(message.seq, 0, "it is no event");
        assert!(follow.next().await.is_none(), "it is the last word");
        return draining.last_seq;
    }
}

/// Asserts that a call found no server: the connection ended, or none could be made.
fn assert_not_served(status: &Status) {
    assert!([Code::Unavailable, Code::Cancelled].contains(&status.code()), "{status:?}");
}

/// The drain is in band, after all durable events, and has the number of the last one.
#[tokio::test]
async fn drain_reaches_every_open_stream() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follows = Vec::new();
    for id in ["a", "b", "c"] {
        follows.push((3, wire.track(id).await));
        wire.propose(id, "p").await;
    }
    wire.propose_many("c", 500).await;
    follows[2].0 = 503;
    follows.push((503, wire.follow(observer("c")).await.unwrap()));
    let mut events = SseStream::open(rig.rest(), "/orders/a/events", &[]).await;
    let cursors = [("a", 2), ("b", 3), ("c", 503)];
    let mut session = Session::open(&wire, "seller1", &cursors).await;
    let mut idle = Session::open(&rig.wire().await, "nobody", &[]).await;
    rig.drain();
    for (last, follow) in &mut follows {
        assert_eq!(read_to_drain(follow).await, *last, "after all that is on disk");
    }
    for id in ["1", "2", "3"] {
        assert_eq!(events.next().await.unwrap().id, id);
    }
    let last = events.next().await.unwrap();
    assert_eq!((last.event.as_str(), &last.data["last_seq"]), ("Draining", &3.into()));
    assert!(events.next().await.is_none());
    assert_eq!(session.event().await.seq, 3, "after all that is on disk");
    let message = session.next().await;
    assert!(matches!(message, Some(Down::Draining(v1::Draining { last_seq: 0 }))), "{message:?}");
    let message = idle.next().await;
    assert!(
        matches!(message, Some(Down::Draining(_))),
        "a session without an order too: {message:?}"
    );
    assert!(session.next().await.is_none());
    assert!(idle.next().await.is_none());
    rig.stop().await;
}

/// An observer still receives the durable events.
#[tokio::test]
async fn draining_server_refuses_trackers() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    follow.through(2).await;
    rig.orders().drain();
    assert_eq!(read_to_drain(&mut follow).await, 2);
    let mut again = tracker("a");
    again.after_seq = 2;
    let status = wire.follow(again).await.err().expect("it is refused");
    assert_eq!(refusal_from_status(&status).unwrap().reason, Reason::Draining);
    // An observer supersedes nobody, and receives the durable events.
    assert_eq!(read_to_drain(&mut wire.follow(observer("a")).await.unwrap()).await, 2);
    rig.stop().await;
}

/// New work is refused.
#[tokio::test]
async fn drain_finishes_work_under_way() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    follow.through(2).await;
    // A command that waits for the disk keeps the processor from ending at once.
    disk.hold();
    let (up, submissions) = mpsc::channel(2);
    let (mut slow, mut calls) = (wire.unary.clone(), JoinSet::new());
    calls.spawn(async move { slow.submit_proposals(ReceiverStream::new(submissions)).await });
    up.send(submission("a", "under-way")).await.unwrap();
    let waits = disk.clone();
    within("a write", tokio::task::spawn_blocking(move || waits.wait_for_commit())).await.unwrap();
    rig.drain();
    assert_eq!(read_to_drain(&mut follow).await, 2);
    up.send(submission("a", "late")).await.unwrap();
    drop(up);
    let pause = v1::PauseRequest { order: Some(order("a")), ..v1::PauseRequest::default() };
    assert_not_served(&wire.control.clone().pause(pause).await.err().unwrap());
    assert_not_served(&wire.follow(tracker("a")).await.err().unwrap());
    assert_not_served(&wire.follow(tracker("new")).await.err().unwrap());
    disk.release();
    let summary = within("an answer", calls.join_next()).await.unwrap().unwrap();
    let results = summary.unwrap().into_inner().results;
    assert_eq!(results[0].seq, 3, "what was under way is finished");
    assert_eq!(results[1].reason, "DRAINING", "what came later goes elsewhere");
    rig.stop().await;
    rig.begin().await;
    assert_eq!(rig.wire().await.last_seq("a").await, 3);
}

/// They resume after the number that the drain gave them.
#[tokio::test]
async fn clients_resume_after_drain() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    wire.propose_many("a", 20).await;
    for _ in 0..3 {
        rig.drain();
        let last = read_to_drain(&mut follow).await;
        assert_eq!(last, follow.last_seq);
        rig.stop().await;
        rig.begin().await;
        let wire = rig.wire().await;
        let mut request = tracker("a");
        request.after_seq = last;
        follow = wire.follow(request).await.unwrap();
        wire.propose("a", &format!("after-{last}")).await;
        follow.through(last + 1).await;
    }
}
