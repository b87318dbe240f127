//! One tracker per order: which one may take over, which is refused, and that this outlives the
//! processor.

use orderstream_rpc::v1;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::faulty::{Disk, DiskSpace, Fault};
use crate::rig::{Rig, within};
use crate::wire::{Wire, observer, order, reason, refusal, submission, tracker};

fn of_epoch(id: &str, epoch: u64) -> v1::OrderStreamRequest {
    v1::OrderStreamRequest { epoch, ..tracker(id) }
}

fn of_incarnation(id: &str, incarnation: &str) -> v1::OrderStreamRequest {
    v1::OrderStreamRequest { incarnation: incarnation.to_owned(), ..tracker(id) }
}

fn assert_superseded(status: &Status, by: u64) {
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(reason(status), "SUPERSEDED");
    let newer = ("epoch".to_owned(), by.to_string());
    assert!(refusal(status).metadata.contains(&newer), "{status:?}");
}

async fn assert_stale(wire: &Wire, id: &str, epoch: u64, floor: u64) {
    let status = wire.follow(of_epoch(id, epoch)).await.err().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason(&status), "STALE_EPOCH");
    let floor = ("epoch_floor".to_owned(), floor.to_string());
    assert!(refusal(&status).metadata.contains(&floor), "{status:?}");
}

async fn cancel(wire: &Wire, id: &str) {
    let mut control = wire.control.clone();
    let request = v1::CancelRequest { order: Some(order(id)), ..v1::CancelRequest::default() };
    within("a cancel", control.cancel(request)).await.unwrap();
}

#[tokio::test]
async fn same_or_higher_epoch_takes_over() {
    let rig = Rig::start().await;
    let (wire, other_wire) = (rig.wire().await, rig.wire().await);
    let mut current = wire.follow(of_epoch("a", 3)).await.unwrap();
    current.through(2).await;
    for epoch in [3, 4, 4, 9] {
        let mut newer = other_wire.follow(of_epoch("a", epoch)).await.unwrap();
        assert_superseded(&current.error().await, epoch);
        newer.through(2).await;
        current = newer;
    }
    let mut watching = wire.observe("a").await;
    wire.propose("a", "p").await;
    assert_eq!(current.event().await.proposal_id, "p", "observers take nothing over");
    watching.through(3).await;
    assert_eq!(rig.metric("orderstream_processor_streams", &["tracker"]), 1.0);
}

/// The refusal holds the floor, which outlives restarts and crashes.
#[tokio::test]
async fn lower_epochs_are_refused() {
    let mut rig = Rig::start().await;
    let mut tracked = rig.wire().await.follow(of_epoch("a", 7)).await.unwrap();
    tracked.through(2).await;
    let wire = rig.wire().await;
    assert_stale(&wire, "a", 6, 7).await;
    assert_stale(&wire, "a", 0, 7).await;
    wire.propose("a", "p").await;
    assert_eq!(tracked.event().await.proposal_id, "p", "who was refused has cut nobody off");
    rig.restart().await;
    assert_stale(&rig.wire().await, "a", 6, 7).await;
    rig.wire().await.follow(of_epoch("a", 8)).await.unwrap().through(3).await;
    rig.crash().await;
    rig.begin().await;
    let wire = rig.wire().await;
    assert_stale(&wire, "a", 7, 8).await;
    wire.follow(of_epoch("a", 8)).await.unwrap().through(3).await;
}

#[tokio::test]
async fn stale_epoch_commands_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.follow(of_epoch("a", 5)).await.unwrap());
    let mut control = wire.control.clone();
    let pause =
        |epoch| v1::PauseRequest { order: Some(order("a")), epoch, ..v1::PauseRequest::default() };
    let status = control.pause(pause(4)).await.err().unwrap();
    assert_eq!(reason(&status), "STALE_EPOCH");
    assert_eq!(wire.last_seq("a").await, 2);
    assert_eq!(control.pause(pause(5)).await.unwrap().into_inner().seq, 3);
}

/// This outlives a crash.
#[tokio::test]
async fn higher_epoch_command_fences_lower_epoch() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.follow(of_epoch("a", 5)).await.unwrap());
    let pause = v1::PauseRequest { order: Some(order("a")), epoch: 6, ..Default::default() };
    wire.control.clone().pause(pause).await.unwrap();
    assert_stale(&wire, "a", 5, 6).await;
    rig.crash().await;
    rig.begin().await;
    assert_stale(&rig.wire().await, "a", 5, 6).await;
}

/// An epoch that the journal did not store fences nobody, and is written with the next command.
#[tokio::test]
async fn epochs_are_fenced_once_disk_has_room() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    drop(wire.follow(of_epoch("a", 5)).await.unwrap());
    let pause = v1::PauseRequest { order: Some(order("a")), epoch: 6, ..Default::default() };
    disk.set_space(DiskSpace::None);
    for _ in 0..3 {
        let status = wire.control.clone().pause(pause.clone()).await.err().unwrap();
        assert_eq!(reason(&status), "STORAGE_UNAVAILABLE");
    }
    disk.set_space(DiskSpace::Enough);
    let stored = async {
        while let Err(status) = wire.control.clone().pause(pause.clone()).await {
            assert_eq!(reason(&status), "STORAGE_UNAVAILABLE");
        }
    };
    within("the disk works again", stored).await;
    rig.crash().await;
    rig.begin().await;
    assert_stale(&rig.wire().await, "a", 5, 6).await;
}

/// Both track without an epoch; the other one is superseded.
#[tokio::test]
async fn one_of_two_old_clients_wins() {
    let rig = Rig::start().await;
    let (one, two) = (rig.wire().await, rig.wire().await);
    for n in 0..20 {
        let id = format!("old-{n}");
        let (first, second) = tokio::join!(one.follow(tracker(&id)), two.follow(tracker(&id)));
        let (mut first, mut second) = (first.unwrap(), second.unwrap());
        one.propose(&id, "p").await;
        // The network decides which of the two came last.
        let (superseded, mut other) = tokio::select! {
            status = first.error() => (status, second),
            status = second.error() => (status, first),
        };
        assert_superseded(&superseded, 0);
        other.through(3).await;
        one.propose(&id, "q").await;
        assert_eq!(other.event().await.proposal_id, "q", "it goes on");
    }
}

/// They stay superseded even when the newer one ends.
#[tokio::test]
async fn superseded_trackers_stay_superseded() {
    let rig = Rig::start().await;
    let (wire, other_wire) = (rig.wire().await, rig.wire().await);
    let mut stalled = wire.follow(of_epoch("a", 1)).await.unwrap();
    // More than its window, so that it stalls at its number while it is not read.
    let note = "n".repeat(4_000);
    let many = (0..200).map(|n| {
        let mut submission = submission("a", &format!("p{n}"));
        submission.proposal.as_mut().unwrap().note.clone_from(&note);
        submission
    });
    wire.submit(many.collect()).await.unwrap();
    let mut newer = other_wire.follow(of_epoch("a", 2)).await.unwrap();
    newer.through(202).await;
    drop(newer);
    let mut control = wire.control.clone();
    let closed = async {
        let request =
            v1::GetOrderRequest { order: Some(order("a")), ..v1::GetOrderRequest::default() };
        while control.get_order(request.clone()).await.unwrap().into_inner().counts.unwrap().streams
            > 1
        {}
    };
    within("the newer stream is gone", closed).await;
    assert_superseded(&stalled.error().await, 2);
}

#[tokio::test]
async fn opening_and_grant_share_one_write() {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    // A store's first write contains records of its own.
    drop(wire.track("first").await);
    let mut follow = wire.follow(of_epoch("a", 5)).await.unwrap();
    follow.through(2).await;
    let last = disk.commits().pop();
    assert_eq!(last, Some(5), "two lists, an opening, a choice of sellers and a grant");
}

#[tokio::test]
async fn epochs_of_started_streams_survive_crash() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    disk.hold();
    let mut granted = JoinSet::new();
    let first = wire.clone();
    granted.spawn(async move { first.follow(of_epoch("a", 5)).await.is_ok() });
    let waits = disk.clone();
    within("the grant is written", tokio::task::spawn_blocking(move || waits.wait_for_commit()))
        .await
        .unwrap();
    let second = wire.clone();
    granted.spawn(async move { second.follow(of_epoch("a", 5)).await.is_ok() });
    rig.clock.wait_for_expiry_round().await;
    disk.fail_after(0, Fault::WriteFails);
    disk.release();
    let mut is_granted = false;
    while let Some(one) = within("an answer", granted.join_next()).await {
        is_granted |= one.unwrap();
    }
    rig.crash().await;
    rig.begin().await;
    let former = rig.wire().await.follow(of_epoch("a", 4)).await;
    assert!(!is_granted || former.is_err(), "a stream with epoch 5 had started");
}

/// Otherwise a crash would take back an epoch that was shown.
#[tokio::test]
async fn only_durable_epochs_are_shown() {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    drop(wire.follow(of_epoch("a", 3)).await.unwrap());
    disk.hold();
    let mut granted = JoinSet::new();
    let newer = wire.clone();
    granted.spawn(async move { newer.follow(of_epoch("a", 5)).await.is_ok() });
    let waits = disk.clone();
    within("the grant is written", tokio::task::spawn_blocking(move || waits.wait_for_commit()))
        .await
        .unwrap();
    let epoch_before = wire.state("a").await.unwrap().epoch;
    disk.release();
    assert!(within("an answer", granted.join_next()).await.unwrap().unwrap());
    assert_eq!((epoch_before, wire.state("a").await.unwrap().epoch), (3, 5));
}

#[tokio::test]
async fn new_incarnation_is_new_order() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut former = wire.follow(of_incarnation("a", "uid-1")).await.unwrap();
    former.through(2).await;
    wire.propose("a", "p").await;
    let status = wire.follow(of_incarnation("a", "uid-2")).await.err().unwrap();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(reason(&status), "ORDER_EXISTS", "the former life is not over");
    cancel(&wire, "a").await;
    assert_eq!(former.rest().await, ["NewProposal", "OrderCancelled"]);
    let mut newer = wire.follow(of_incarnation("a", "uid-2")).await.unwrap();
    let opened = newer.event().await;
    assert_eq!(opened.streaming_response_status, "OrderOpened");
    assert_eq!(newer.through(2).await, ["SellersSelected"]);
    let state = wire.state("a").await.unwrap();
    assert_eq!((state.last_seq, state.proposals.len()), (2, 0), "nothing of the former life");
    assert_eq!(wire.propose("a", "p").await, 3, "not even its proposals' ids");
    let former = wire.follow(of_incarnation("a", "uid-1")).await.unwrap().rest().await;
    assert_eq!(former.len(), 4, "the former incarnation tells its end, and does not come back");
    let of_former = v1::OrderRef { incarnation: "uid-1".to_owned(), ..order("a") };
    let request = v1::PauseRequest { order: Some(of_former), ..v1::PauseRequest::default() };
    let status = wire.control.clone().pause(request).await.err().unwrap();
    assert_eq!(reason(&status), "ORDER_ENDED", "nor does an act on it");
    for _ in 0..2 {
        rig.restart().await;
        let wire = rig.wire().await;
        let state = wire.state("a").await.unwrap();
        assert_eq!(state.order.unwrap().incarnation, "uid-2");
        assert_eq!(wire.follow(observer("a")).await.unwrap().through(3).await.len(), 3);
        assert_eq!(rig.orders().count(), 1);
    }
}
