//! Following an order from any cursor, at any pace.

use std::time::{Duration, Instant};

use orderstream_processor::limits::{CLOCK_CHECK_MS, FOLLOWERS_MAX};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_stream_response::Detail;
use tonic::Code;

use crate::rig::Rig;
use crate::wire::{observer, reason, refusal, submission, tracker};

#[tokio::test]
async fn trackers_open_and_follow_orders() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("SB1029436").await;
    assert_eq!(follow.event().await.streaming_response_status, "OrderOpened");
    assert_eq!(follow.event().await.streaming_response_status, "SellersSelected");
    for n in 3..=5 {
        // The stream is idle, and this one event is all that comes.
        assert_eq!(wire.propose("SB1029436", &format!("p{n}")).await, n);
        let event = follow.event().await;
        assert_eq!(event.seq, n);
        assert_eq!(event.streaming_response_status, "NewProposal");
        assert_eq!(event.proposal_id, format!("p{n}"));
        assert_eq!(event.order_req_id, "SB1029436");
    }
}

#[tokio::test]
async fn idle_streams_deliver_at_once() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    follow.through(2).await;
    let mut waits = Vec::new();
    for n in 0..21 {
        let begun = Instant::now();
        wire.propose("a", &format!("p{n}")).await;
        follow.event().await;
        waits.push(begun.elapsed());
    }
    waits.sort();
    // Half of the processor's own interval of checking the clock, and far more than one sync.
    assert!(waits[10] < Duration::from_millis(CLOCK_CHECK_MS / 2), "{waits:?}");
}

#[tokio::test]
async fn a_stream_resumes_after_any_number() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose_many("a", 8).await;
    for after_seq in 0..=10 {
        for request in [tracker("a"), observer("a")] {
            let mut request = request;
            request.after_seq = after_seq;
            let mut follow = wire.follow(request).await.unwrap();
            assert_eq!(follow.through(10).await.len() as u64, 10 - after_seq);
        }
    }
    let mut at_the_end = tracker("a");
    at_the_end.after_seq = 10;
    let mut follow = wire.follow(at_the_end).await.unwrap();
    wire.propose("a", "next").await;
    assert_eq!(follow.event().await.proposal_id, "next");
}

#[tokio::test]
async fn trackers_resume_only_their_own_list() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    wire.propose_many("a", 3).await;
    let mut events = Vec::new();
    for _ in 0..5 {
        events.push(follow.event().await);
    }
    drop(follow);
    for event in &events {
        let at = event.at.unwrap();
        let at_ms = at.seconds * 1_000 + i64::from(at.nanos) / 1_000_000;
        let resume = |after_at_ms| {
            let after_seq = event.seq;
            wire.follow(v1::OrderStreamRequest { after_seq, after_at_ms, ..tracker("a") })
        };
        assert!(resume(at_ms).await.is_ok(), "event {} is the one that was seen", event.seq);
        assert!(resume(0).await.is_ok(), "an old client does not say");
        let Err(status) = resume(at_ms + 1).await else {
            panic!("event {} is another one", event.seq);
        };
        assert_eq!((status.code(), reason(&status)), (Code::OutOfRange, "AHEAD_OF_LIST"));
    }
}

/// They resume only in the list that they have read, too.
#[tokio::test]
async fn observers_read_only_named_incarnation() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let of_incarnation = |incarnation: &str, request: v1::OrderStreamRequest| {
        v1::OrderStreamRequest { incarnation: incarnation.to_owned(), ..request }
    };
    wire.follow(of_incarnation("uid-1", tracker("a"))).await.unwrap().through(2).await;
    let mut follow = wire.follow(of_incarnation("uid-1", observer("a"))).await.unwrap();
    let first = follow.event().await;
    let status = wire.follow(of_incarnation("uid-2", observer("a"))).await.err().unwrap();
    assert_eq!((status.code(), reason(&status)), (Code::NotFound, "ORDER_NOT_FOUND"));

    let at = first.at.unwrap();
    let at_ms = at.seconds * 1_000 + i64::from(at.nanos) / 1_000_000;
    let resume = |after_at_ms| {
        let (after_seq, request) = (first.seq, of_incarnation("uid-1", observer("a")));
        wire.follow(v1::OrderStreamRequest { after_seq, after_at_ms, ..request })
    };
    assert_eq!(resume(at_ms).await.unwrap().event().await.seq, 2);
    let status = resume(at_ms + 1).await.err().unwrap();
    assert_eq!(reason(&status), "AHEAD_OF_LIST", "the list was set back and went on differently");
}

#[tokio::test]
async fn disk_readers_receive_each_event_once() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut first = wire.track("a").await;
    // Far more than the tail in memory and than one page from the disk.
    wire.propose_many("a", 1_000).await;
    let mut behind = wire.observe("a").await;
    assert_eq!(behind.event().await.seq, 1);
    // More events arrive while it reads from the disk; after that it continues from memory.
    let more = (0..300).map(|n| submission("a", &format!("more-{n}"))).collect();
    assert_eq!(wire.submit(more).await.unwrap().accepted, 300);
    behind.through(1_302).await;
    first.through(1_302).await;
    wire.propose("a", "live").await;
    assert_eq!(behind.event().await.proposal_id, "live");
    assert_eq!(first.event().await.proposal_id, "live");
}

#[tokio::test]
async fn observers_open_no_unknown_order() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let status = wire.follow(observer("nobody")).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(reason(&status), "ORDER_NOT_FOUND");
    assert_eq!(rig.orders().count(), 0, "to look opens nothing");
}

/// The refusal has the number of the list's last event.
#[tokio::test]
async fn cursors_beyond_end_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    wire.track("a").await.through(2).await;
    for request in [tracker("a"), observer("a")] {
        let mut request = request;
        request.after_seq = 3;
        let status = wire.follow(request).await.err().unwrap();
        assert_eq!(status.code(), Code::OutOfRange);
        assert_eq!(reason(&status), "AHEAD_OF_LIST");
        let last = ("last_seq".to_owned(), "2".to_owned());
        assert!(refusal(&status).metadata.contains(&last), "{status:?}");
    }
}

#[tokio::test]
async fn resuming_absent_orders_opens_nothing() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let lost = v1::OrderStreamRequest { after_seq: 7, ..tracker("lost") };
    let status = wire.follow(lost).await.err().unwrap();
    assert_eq!(reason(&status), "AHEAD_OF_LIST");
    let last = ("last_seq".to_owned(), "0".to_owned());
    assert!(refusal(&status).metadata.contains(&last), "{status:?}");
    assert_eq!(rig.orders().count(), 0);
    let of_incarnation = |incarnation: &str, after_seq| v1::OrderStreamRequest {
        incarnation: incarnation.to_owned(),
        after_seq,
        ..tracker("a")
    };
    wire.follow(of_incarnation("uid-1", 0)).await.unwrap().through(2).await;
    let status = wire.follow(of_incarnation("uid-2", 2)).await.err().unwrap();
    assert_eq!(reason(&status), "AHEAD_OF_LIST", "another life has another list");
    wire.propose("a", "p").await;
    wire.follow(of_incarnation("uid-1", 2)).await.unwrap().through(3).await;
}

#[tokio::test]
async fn observers_are_limited_trackers_are_not() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut tracked = wire.track("a").await;
    let mut observers = Vec::new();
    let refused = loop {
        match wire.follow(observer("a")).await {
            Ok(follow) => observers.push(follow),
            Err(status) => break status,
        }
        assert!(observers.len() < FOLLOWERS_MAX, "there is a bound");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "LIMIT_REACHED");
    assert!(refused.message().contains(&FOLLOWERS_MAX.to_string()), "{refused:?}");
    let mut newer = wire.track("a").await;
    assert_eq!(reason(&tracked.error().await), "SUPERSEDED");
    assert_eq!(newer.through(2).await.len(), 2);
}

#[tokio::test]
async fn streams_end_with_their_order() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut tracked = wire.track("a").await;
    let mut observed = wire.observe("a").await;
    let mut control = wire.control.clone();
    let close = v1::CloseRequest { order: Some(crate::wire::order("a")), ..Default::default() };
    control.close(close).await.unwrap();
    let whole = ["OrderOpened", "SellersSelected", "OrderClosed"];
    assert_eq!(tracked.rest().await, whole);
    assert_eq!(observed.rest().await, whole);
    assert_eq!(wire.track("a").await.rest().await, whole, "who comes late reads it all");
}

/// They receive everything once they read again.
#[tokio::test]
async fn stalled_readers_delay_nobody() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut reader = wire.track("a").await;
    // On the same connection: it may not use up what the others need.
    let mut stalled = wire.observe("a").await;
    let note = "n".repeat(4_000);
    for part in 0..4 {
        let many = (0..250).map(|n| {
            let mut submission = submission("a", &format!("{part}-{n}"));
            submission.proposal.as_mut().unwrap().note.clone_from(&note);
            submission
        });
        // Four times the stalled stream's window, while nobody reads there.
        assert_eq!(wire.submit(many.collect()).await.unwrap().accepted, 250);
        reader.through(2 + 250 * (part + 1)).await;
    }
    let mut other = wire.track("b").await;
    wire.propose("b", "p").await;
    assert_eq!(other.through(3).await.last().unwrap(), "NewProposal");
    stalled.through(1_002).await;
    wire.propose("a", "live").await;
    assert_eq!(stalled.event().await.proposal_id, "live");
}

#[tokio::test]
async fn orders_among_many_sellers_are_followed() {
    // Their verdicts would fill a message more than twice.
    let long = "s".repeat(120);
    let rig = Rig::start_among((0..16_000).map(|n| format!("{n:05}-{long}"))).await;
    let mut follow = rig.wire().await.track("a").await;
    follow.event().await;
    let Some(Detail::SellersSelected(selected)) = follow.event().await.detail else {
        panic!("sellers are selected")
    };
    let chosen: Vec<&str> = selected
        .sellers
        .iter()
        .filter(|seller| seller.chosen)
        .map(|seller| &seller.seller[..5])
        .collect();
    let first_ten: Vec<String> = (0..10).map(|n| format!("{n:05}")).collect();
    assert_eq!(chosen, first_ten);
    assert!(selected.sellers.len() >= 100, "and some of the others, with the reason");
}
