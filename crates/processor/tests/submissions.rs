//! Many proposals in one call.

use std::time::Duration;

use orderstream_rpc::v1;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::faulty::Disk;
use crate::rig::{Rig, START, within};
use crate::wire::{order, proposal, reason, submission};

#[tokio::test]
async fn each_proposal_gets_own_result() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    drop(wire.track("b").await);
    let with = |change: fn(&mut v1::Proposal)| {
        let mut submission = submission("a", "bad");
        change(submission.proposal.as_mut().unwrap());
        submission
    };
    let summary = wire.submit(vec![
        submission("a", "p1"),
        with(|proposal| proposal.price = "-1".to_owned()),
        submission("nobody", "p2"),
        submission("b", "p3"),
        v1::ProposalSubmission { proposal: None, ..submission("a", "") },
        submission("a", "p1"),
        with(|one| (one.proposal_id, one.alternative) = ("p1".to_owned(), "p1".to_owned())),
        with(|one| {
            (one.proposal_id, one.alternative) = ("p1".to_owned(), "p1".to_owned());
            one.price = "11".to_owned();
        }),
        submission("a", ""),
    ]);
    let summary = summary.await.unwrap();
    let results: Vec<(u64, &str, u64)> =
        summary.results.iter().map(|one| (one.index, one.reason.as_str(), one.seq)).collect();
    assert_eq!(
        results,
        [
            (0, "", 3),
            (1, "INVALID_FIELD", 0),
            (2, "ORDER_NOT_FOUND", 0),
            (3, "", 3),
            (4, "INVALID_FIELD", 0),
            (5, "", 3),
            (6, "", 3),
            (7, "PROPOSAL_EXISTS", 0),
            (8, "", 4),
        ]
    );
    assert_eq!((summary.accepted, summary.refused, summary.results_cut), (5, 4, false));
    assert!(summary.results[1].message.contains("proposal.price"), "{summary:?}");
    assert!(!summary.results[8].proposal_id.is_empty(), "the owner gives an id");
    assert_eq!(follow.through(4).await[2..], ["NewProposal", "NewProposal"]);
    assert_eq!(wire.last_seq("b").await, 3);
}

#[tokio::test]
async fn versioned_submissions_amend_proposals() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose("a", "p").await;
    for (version, price) in [(1, "9.00"), (2, "8.00")] {
        let amended = v1::Proposal { version, price: price.to_owned(), ..proposal("p") };
        let amended = v1::ProposalSubmission { proposal: Some(amended), ..submission("a", "") };
        let summary = wire.submit(vec![amended]).await.unwrap();
        assert_eq!(summary.accepted, 1, "{summary:?}");
    }
    let stored = wire.state("a").await.unwrap().proposals.swap_remove(0);
    assert_eq!((stored.version, stored.price.as_str()), (3, "8.00"));
}

#[tokio::test]
async fn stale_amendments_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let amendment = |version, price: &str, key: &str| v1::ProposalSubmission {
        proposal: Some(v1::Proposal { version, price: price.to_owned(), ..proposal("p") }),
        idempotency_key: key.to_owned(),
        ..submission("a", "")
    };
    let summary = wire.submit(vec![
        submission("a", "p"),
        amendment(1, "9.00", "first"),
        amendment(1, "8.00", "late"),
        amendment(1, "9.00", "first"),
        amendment(2, "7.00", ""),
        amendment(9, "6.00", ""),
    ]);
    let summary = summary.await.unwrap();
    let results: Vec<(u64, &str)> =
        summary.results.iter().map(|one| (one.seq, one.reason.as_str())).collect();
    assert_eq!(results, [(3, ""), (4, ""), (0, "CHANGED"), (4, ""), (5, ""), (0, "CHANGED")]);
    let stored = wire.state("a").await.unwrap().proposals.swap_remove(0);
    assert_eq!((stored.version, stored.price.as_str()), (3, "7.00"), "what came in between counts");
}

#[tokio::test]
async fn deadline_splits_one_call() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    let (up, submissions) = tokio::sync::mpsc::channel(8);
    let (mut client, mut calls) = (wire.unary.clone(), tokio::task::JoinSet::new());
    calls.spawn(async move { client.submit_proposals(ReceiverStream::new(submissions)).await });
    up.send(submission("a", "in-time")).await.unwrap();
    follow.through(3).await;
    rig.clock.set(START.plus_ms(30 * 60_000));
    up.send(submission("a", "late")).await.unwrap();
    drop(up);
    let summary = within("a summary", calls.join_next()).await.unwrap().unwrap();
    let results = summary.unwrap().into_inner().results;
    assert_eq!((results[0].seq, results[0].reason.as_str()), (3, ""));
    assert!(
        ["DEADLINE_PASSED", "ORDER_ENDED"].contains(&results[1].reason.as_str()),
        "{results:?}"
    );
    assert_eq!(follow.event().await.streaming_response_status, "OrderPaused");
    assert_eq!(wire.last_seq("a").await, 4, "and nothing after it");
}

#[tokio::test]
async fn timed_out_calls_keep_stored_proposals() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    let (up, submissions) = tokio::sync::mpsc::channel(8);
    up.send(submission("a", "p1")).await.unwrap();
    let mut request = tonic::Request::new(ReceiverStream::new(submissions));
    request.set_timeout(Duration::from_millis(500));
    let call = within("an end", wire.unary.clone().submit_proposals(request)).await;
    let code = call.err().unwrap().code();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&code), "{code:?}");
    assert_eq!(follow.through(3).await[2], "NewProposal");
    let again = wire.submit(vec![submission("a", "p1"), submission("a", "p2")]).await.unwrap();
    let seqs: Vec<u64> = again.results.iter().map(|one| one.seq).collect();
    assert_eq!(seqs, [3, 4], "the same again stores what is missing");
    drop(up);
}

#[tokio::test]
async fn callers_wait_for_slow_disk() {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    wire.track("a").await.through(2).await;
    let (sent, mut sent_watch) = tokio::sync::watch::channel(0_usize);
    let note = "n".repeat(4_000);
    let submissions = (0..5_000).map(move |n| {
        sent.send_replace(n + 1);
        let proposed = v1::Proposal { note: note.clone(), ..proposal(&format!("p{n}")) };
        v1::ProposalSubmission { proposal: Some(proposed), ..submission("a", "") }
    });
    disk.hold();
    let (mut client, mut calls) = (wire.unary.clone(), tokio::task::JoinSet::new());
    calls.spawn(async move { client.submit_proposals(tokio_stream::iter(submissions)).await });
    within("a few are on their way", sent_watch.wait_for(|taken| *taken >= 256)).await.unwrap();
    let more =
        tokio::time::timeout(Duration::from_secs(1), sent_watch.wait_for(|taken| *taken > 1_000));
    assert!(more.await.is_err(), "{} are held", *sent_watch.borrow());
    disk.release();
    let summary = within("a summary", calls.join_next()).await.unwrap().unwrap();
    assert_eq!(summary.unwrap().into_inner().accepted, 5_000);
}

#[tokio::test]
async fn keyed_proposals_are_stored_once() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let keyed = v1::ProposalSubmission {
        idempotency_key: "key".to_owned(),
        proposal: Some(v1::Proposal { proposal_id: String::new(), ..proposal("") }),
        ..submission("a", "")
    };
    let summary = wire.submit(vec![keyed.clone(), keyed]).await.unwrap();
    assert_eq!(summary.accepted, 2);
    let replies: Vec<_> =
        summary.results.iter().map(|one| (one.seq, one.proposal_id.clone())).collect();
    assert_eq!(replies[0], replies[1], "one effect and one answer");
    assert_eq!(wire.last_seq("a").await, 3);
}

/// After the first thousand results only refused ones are listed.
#[tokio::test]
async fn long_summaries_prefer_refused_results() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let good = |n: usize| submission("a", &format!("p{n}"));
    let bad = |_: usize| submission("nobody", "p");
    let many: Vec<_> =
        (0..1_100).map(good).chain((0..1_100).map(bad)).chain([good(1_100)]).collect();
    let summary = wire.submit(many).await.unwrap();
    assert_eq!((summary.accepted, summary.refused), (1_101, 1_100), "the counts are complete");
    assert!(summary.results_cut);
    let (listed, more) = summary.results.split_at(1_000);
    assert!(listed.iter().all(|one| one.reason.is_empty()));
    assert!(more.iter().all(|one| one.reason == "ORDER_NOT_FOUND"));
    assert_eq!(more.len(), 1_000, "never more than 2 000 in all");
    assert_eq!(wire.last_seq("a").await, 1_103);
}

#[tokio::test]
async fn broken_calls_double_no_proposal() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    let (up, submissions) = tokio::sync::mpsc::channel(8);
    let mut client = wire.unary.clone();
    let mut calls = tokio::task::JoinSet::new();
    let submissions = ReceiverStream::new(submissions);
    calls.spawn(async move { client.submit_proposals(submissions).await.map(drop) });
    for n in 0..20 {
        within("room", up.send(submission("a", &format!("p{n}")))).await.unwrap();
    }
    follow.through(3).await;
    calls.abort_all();
    drop(up);
    let again = (0..20).map(|n| submission("a", &format!("p{n}"))).collect();
    assert_eq!(wire.submit(again).await.unwrap().accepted, 20);
    follow.through(22).await;
    let state = wire.state("a").await.unwrap();
    assert_eq!((state.last_seq, state.proposals.len()), (22, 20));
}

/// The reply holds their id.
#[tokio::test]
async fn follow_ups_are_added_once() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    follow.through(2).await;
    let ask = |id: &str, kind: &str| v1::FollowUpRequest {
        order_req_id: "a".to_owned(),
        follow_up_id: id.to_owned(),
        audience: vec!["seller1".to_owned(), "seller2".to_owned()],
        message: Some(v1::Message {
            r#type: kind.to_owned(),
            message: "when?".to_owned(),
            urls: vec!["https://example.org/plan.pdf".to_owned()],
        }),
        ..v1::FollowUpRequest::default()
    };
    let mut client = wire.unary.clone();
    for _ in 0..2 {
        let added = client.process_follow_up(ask("q1", "HTML")).await.unwrap().into_inner();
        assert_eq!((added.seq, added.follow_up_id.as_str()), (3, "q1"));
    }
    let event = follow.event().await;
    assert_eq!(event.streaming_response_status, "FollowUpAdded");
    assert_eq!(event.follow_up_id, "q1");
    let bad = client.process_follow_up(ask("q2", "telegram")).await.err().unwrap();
    assert_eq!(bad.code(), Code::InvalidArgument);
    assert_eq!(reason(&bad), "INVALID_FIELD");
    assert_eq!(crate::wire::refusal(&bad).field.as_deref(), Some("message.type"));
    assert!(bad.message().contains("text, html or markdown"), "{bad:?}");
    let unknown = v1::FollowUpRequest { order_req_id: "nobody".to_owned(), ..ask("q", "text") };
    let status = client.process_follow_up(unknown).await.err().unwrap();
    assert_eq!(reason(&status), "ORDER_NOT_FOUND");
    let locate = v1::LocateOrderRequest { order: Some(order("a")) };
    let located = wire.control.clone().locate_order(locate).await.unwrap().into_inner();
    assert_eq!(located.last_seq, 3);
}
