//! A disk that fails: nothing is acknowledged that is not stored, and nothing acknowledged is lost.

use orderstream_rpc::v1;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::faulty::{Disk, DiskSpace, Fault};
use crate::http::{get, post};
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, observer, order, reason, submission, tracker};

/// Waits until a write reaches the disk.
async fn wait_for_write(disk: &Disk) {
    let disk = disk.clone();
    let waits = tokio::task::spawn_blocking(move || disk.wait_for_commit());
    within("a write", waits).await.unwrap();
}

/// Proposes until it is stored; returns the number of refusals before.
async fn propose_until_stored(wire: &Wire, id: &str, proposal_id: &str) -> usize {
    let stored = async {
        let mut refused = 0;
        loop {
            let summary = wire.submit(vec![submission(id, proposal_id)]).await.unwrap();
            if summary.accepted == 1 {
                return refused;
            }
            assert_eq!(summary.results[0].reason, "STORAGE_UNAVAILABLE");
            refused += 1;
        }
    };
    within("the disk works again", stored).await
}

fn assert_unavailable(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(status), "STORAGE_UNAVAILABLE");
    let refusal = crate::wire::refusal(status);
    assert_eq!(refusal.retry_after_ms, Some(1_000), "it says when to come again");
}

/// The refused record is on the disk, as the store shows that is opened again. Before, the order was
/// read from the failed store, and of two commands in flight the second took its place as given.
#[tokio::test]
async fn records_of_failed_syncs_are_not_doubled() {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    wire.track("a").await.through(2).await;
    wire.track("b").await.through(2).await;
    disk.fail_after(0, Fault::SyncFails);
    let refused = wire.submit(vec![submission("a", "p")]).await.unwrap();
    disk.set_space(DiskSpace::None);
    assert_eq!(refused.results[0].reason, "STORAGE_UNAVAILABLE");
    let read = async { while wire.state("a").await.is_err() {} };
    within("the order is read again", read).await;
    disk.set_space(DiskSpace::Enough);
    propose_until_stored(&wire, "b", "other").await;
    // Both are in the queue when the journal takes the first of them.
    disk.hold();
    let submit = |id: &'static str, proposal_id: &'static str| {
        let wire = wire.clone();
        async move { wire.submit(vec![submission(id, proposal_id)]).await }
    };
    let mut submissions = JoinSet::new();
    submissions.spawn(submit("b", "held"));
    wait_for_write(&disk).await;
    submissions.spawn(submit("a", "q"));
    submissions.spawn(submit("a", "p"));
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    disk.release();
    while let Some(submitted) = submissions.join_next().await {
        submitted.unwrap().unwrap();
    }
    propose_until_stored(&wire, "a", "q").await;
    propose_until_stored(&wire, "a", "p").await;
    let events = wire.observe("a").await.through(4).await;
    assert_eq!(events, ["OrderOpened", "SellersSelected", "NewProposal", "NewProposal"]);
    assert_eq!(wire.state("a").await.unwrap().last_seq, 4, "each is there once");
}

/// Stored events are still read.
#[tokio::test]
async fn full_disk_refuses_commands_until_freed() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    follow.through(2).await;
    wire.propose("a", "before").await;
    disk.set_space(DiskSpace::None);
    let pause = v1::PauseRequest { order: Some(order("a")), ..v1::PauseRequest::default() };
    assert_unavailable(&wire.control.clone().pause(pause).await.err().unwrap());
    assert_unavailable(&wire.follow(tracker("new")).await.err().unwrap());
    let granted = v1::OrderStreamRequest { epoch: 5, ..tracker("a") };
    assert_unavailable(&wire.follow(granted).await.err().unwrap());
    let body = json!({ "order_req_id": "a", "seller": "seller1", "price": "7", "currency": "EUR" });
    let response = post(rig.rest(), "/api/v1/proposals", &body).await;
    assert_eq!((response.status, response.reason().as_str()), (503, "STORAGE_UNAVAILABLE"));
    assert!(response.head.contains("retry-after: 1\r\n"), "{response:?}");
    assert_eq!(follow.through(3).await, ["NewProposal"], "what is stored is still read");
    assert_eq!(wire.observe("a").await.through(3).await.len(), 3);
    disk.set_space(DiskSpace::Enough);
    propose_until_stored(&wire, "a", "after").await;
    assert_eq!(follow.event().await.proposal_id, "after", "no gap, and nothing of the refused");
    rig.crash().await;
    rig.begin().await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    assert_eq!(follow.through(4).await.len(), 4);
    let unknown = wire.follow(observer("new")).await.err().unwrap();
    assert_eq!(reason(&unknown), "ORDER_NOT_FOUND", "what was refused is not there");
}

/// They duplicate none either.
#[tokio::test]
async fn disk_faults_lose_no_acknowledged_proposal() {
    for fault in [Fault::DiskFull, Fault::WriteFails, Fault::SyncFails, Fault::Panics] {
        let disk = Disk::default();
        let mut rig = Rig::start_on(&disk).await;
        let wire = rig.wire().await;
        let mut follows = Vec::new();
        for id in ["a", "b"] {
            follows.push((id, wire.track(id).await));
        }
        let mut refused = 0;
        for round in 0..3 {
            disk.fail_after(round, fault);
            for n in 0..4 {
                for id in ["a", "b"] {
                    refused += propose_until_stored(&wire, id, &format!("p{round}-{n}")).await;
                }
            }
        }
        assert!(refused > 0, "{fault:?} was noticed");
        for (id, follow) in &mut follows {
            let kinds = follow.through(14).await;
            let proposals = kinds.iter().filter(|kind| *kind == "NewProposal").count();
            assert_eq!((wire.last_seq(id).await, proposals), (14, 12), "{fault:?}");
        }
        assert_eq!(rig.metric("orderstream_processor_orders_open", &[]), 2.0, "{fault:?}");
        rig.crash().await;
        rig.begin().await;
        let wire = rig.wire().await;
        for id in ["a", "b"] {
            assert_eq!(wire.state(id).await.unwrap().counts.unwrap().proposals, 12, "{fault:?}");
            assert_eq!(wire.track(id).await.through(14).await.len(), 14);
        }
    }
}

/// Each is acknowledged only once it is stored.
#[tokio::test]
async fn concurrent_commands_report_failed_writes() {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    let mut follow = wire.track("a").await;
    disk.hold();
    let mut commands = JoinSet::new();
    for n in 0..50 {
        let wire = wire.clone();
        commands.spawn(async move { propose_until_stored(&wire, "a", &format!("p{n}")).await });
    }
    wait_for_write(&disk).await;
    disk.fail_after(0, Fault::WriteFails);
    disk.release();
    let mut refused = 0;
    while let Some(command) = within("an answer", commands.join_next()).await {
        refused += command.unwrap();
    }
    assert!(refused > 0, "what waited for the failed write was not acknowledged");
    assert_eq!(follow.through(52).await.len(), 52);
    assert_eq!(wire.last_seq("a").await, 52);
}

/// The order exists afterwards only if it did before.
#[tokio::test]
async fn restart_changes_no_failed_opening() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    disk.fail_after(0, Fault::SyncFails);
    assert_unavailable(&wire.follow(tracker("new")).await.err().unwrap());
    // The store that failed is still the one that is read.
    disk.set_space(DiskSpace::None);
    // The outcome may take a moment to be known, and never changes after that.
    let is_there = async |rig: &Rig| loop {
        match rig.wire().await.follow(observer("new")).await {
            Ok(_) => return true,
            Err(status) if reason(&status) == "ORDER_NOT_FOUND" => return false,
            Err(status) => assert_unavailable(&status),
        }
    };
    let before = within("what became of it", Box::pin(is_there(&rig))).await;
    disk.set_space(DiskSpace::Enough);
    propose_until_stored(&wire, "a", "p").await;
    rig.clock.wait_for_expiry_round().await;
    rig.restart().await;
    assert_eq!(is_there(&rig).await, before);
}

/// Makes an order whose last command failed, on a disk that cannot read its opening; the order is
/// read again and again.
async fn unreadable_after_failed_command() -> (Disk, Rig, Wire) {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let opening = b"OrderOpened";
    let mut key = None;
    disk.tamper(|map| {
        let mut records = map.iter().filter(|(key, _)| key.starts_with(b"r"));
        let found = records.find(|(_, value)| value.windows(opening.len()).any(|w| w == opening));
        key = found.map(|(key, _)| key.clone());
    });
    disk.set_unreadable(key);
    // The store that failed is read until there is space.
    disk.set_space(DiskSpace::None);
    let refused = wire.submit(vec![submission("a", "lost")]).await.unwrap();
    assert_eq!(refused.results[0].reason, "STORAGE_UNAVAILABLE");
    rig.clock.wait_for_expiry_round().await;
    (disk, rig, wire)
}

#[tokio::test]
async fn brief_read_failure_damages_no_order() {
    let (disk, _rig, wire) = unreadable_after_failed_command().await;
    disk.set_unreadable(None);
    disk.set_space(DiskSpace::Enough);
    propose_until_stored(&wire, "a", "p").await;
}

#[tokio::test]
async fn lasting_read_failure_reports_damage() {
    let (_disk, rig, wire) = unreadable_after_failed_command().await;
    rig.clock.set(START.plus_ms(2_000));
    let lasting_reason = async {
        loop {
            let refused = wire.submit(vec![submission("a", "p")]).await.unwrap();
            match refused.results[0].reason.as_str() {
                "STORAGE_UNAVAILABLE" => {}
                reason => return reason.to_owned(),
            }
        }
    };
    assert_eq!(within("what is wrong", lasting_reason).await, "RECORDS_DAMAGED");
}

/// An inbox without the order would say that the seller is not invited to it.
#[tokio::test]
async fn inboxes_refuse_what_cannot_be_read() {
    let (_disk, rig, _wire) = unreadable_after_failed_command().await;
    for query in ["", "?ended=true"] {
        let path = format!("/api/v1/sellers/seller1/invitations{query}");
        let refused = get(rig.rest(), &path).await;
        assert_eq!((refused.status, refused.reason().as_str()), (503, "STORAGE_UNAVAILABLE"));
    }
}

/// Their owner refuses them as damaged.
#[tokio::test]
async fn damaged_orders_are_still_located() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    drop(rig.wire().await.track("a").await);
    rig.stop().await;
    disk.tamper(|map| {
        let events = map.iter_mut().filter(|(key, _)| key.starts_with(b"r"));
        events.for_each(|(_, value)| value[0] ^= 1);
    });
    rig.begin().await;
    let wire = rig.wire().await;
    let damaged = wire.follow(observer("a")).await.err().unwrap();
    assert_eq!(reason(&damaged), "RECORDS_DAMAGED");
    let locate = v1::LocateOrderRequest { order: Some(order("a")) };
    let located = wire.control.clone().locate_order(locate).await.unwrap().into_inner();
    assert!(located.found, "{located:?}");
}

#[tokio::test]
async fn failed_opening_refuses_its_followers() {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    let (wire, other_wire) = (rig.wire().await, rig.wire().await);
    disk.hold();
    let mut joined = JoinSet::new();
    let opener = wire.clone();
    joined.spawn(async move { opener.follow(tracker("a")).await.map(drop) });
    wait_for_write(&disk).await;
    for request in [tracker("a"), observer("a")] {
        let wire = other_wire.clone();
        joined.spawn(async move {
            match wire.follow(request).await {
                Ok(mut follow) => Err(follow.error().await),
                Err(status) => Err(status),
            }
        });
    }
    rig.clock.wait_for_expiry_round().await;
    disk.fail_after(0, Fault::WriteFails);
    disk.release();
    while let Some(outcome) = within("each is told", joined.join_next()).await {
        let status = outcome.unwrap().err().unwrap();
        let reason = reason(&status);
        assert!(["STORAGE_UNAVAILABLE", "ORDER_NOT_FOUND"].contains(&reason), "{status:?}");
    }
}
