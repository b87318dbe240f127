//! Removals from the disk: orders that were kept for as long as configured, and the remains of a
//! failed opening. Nothing else is removed, and no removal is forgotten.

use std::time::Duration;

use orderstream_journal::append;
use orderstream_rpc::v1;

use crate::faulty::{Disk, Fault};
use crate::incarnations::{
    holds, observe, observe_newest, of_incarnation, state_of, tender, wait_until_removed,
};
use crate::rig::{Rig, START, within};
use crate::wire::reason;

/// They are kept for as long as configured; then the order id can be opened again.
#[tokio::test]
async fn ended_orders_are_kept_then_removed() {
    const RETENTION: Duration = Duration::from_hours(1);
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    rig.keep_ended(RETENTION);
    rig.restart().await;
    tender(&rig, "a", "uid-1").await;
    tender(&rig, "a", "uid-2").await;
    let spec = v1::OrderSpec { expires_in_ms: 24 * 3_600_000, ..v1::OrderSpec::default() };
    let lasting = v1::OrderStreamRequest { order: Some(spec), ..of_incarnation("open", "uid-3") };
    drop(rig.wire().await.follow(lasting).await.unwrap());
    let retention_ms = u64::try_from(RETENTION.as_millis()).unwrap();
    rig.clock.set(START.plus_ms(retention_ms - 1));
    rig.clock.wait_for_expiry_round().await;
    let before = observe(&rig, "a", "uid-1").await;
    observe_newest(&rig, "a", "uid-2").await;
    rig.clock.set(START.plus_ms(retention_ms));
    wait_until_removed(&rig, &disk, &["won-uid-1"]).await;
    let wire = rig.wire().await;
    assert_eq!(reason(&state_of(&wire, "a", "uid-1").await.err().unwrap()), "ORDER_NOT_FOUND");
    assert_eq!(observe_newest(&rig, "a", "uid-2").await.award_seq, 4, "it ended later");
    assert_eq!(before.events.len(), 4);
    rig.clock.set(START.plus_ms(2 * retention_ms));
    wait_until_removed(&rig, &disk, &["won-uid-2", "uid-2"]).await;
    assert_eq!(reason(&wire.state("a").await.err().unwrap()), "ORDER_NOT_FOUND");
    assert_eq!(rig.orders().count(), 1, "one that is open is kept");
    assert!(holds(&disk, "uid-3"));
    tender(&rig, "a", "uid-1").await;
    rig.restart().await;
    observe_newest(&rig, "a", "uid-1").await;
    assert_eq!(rig.orders().count(), 2);
}

#[tokio::test]
async fn failed_removals_are_done_later() {
    const RETENTION: Duration = Duration::from_hours(1);
    let names = ["a", "b", "c"];
    let texts: Vec<String> = names.iter().map(|name| format!("won-uid-{name}")).collect();
    let texts: Vec<&str> =
        texts.iter().map(String::as_str).chain(["uid-a", "uid-b", "uid-c"]).collect();
    for fault in [Fault::WriteFails, Fault::SyncFails] {
        for fine in 0..6 {
            let disk = Disk::default();
            let mut rig = Rig::start_on(&disk).await;
            rig.keep_ended(RETENTION);
            rig.restart().await;
            for name in names {
                tender(&rig, name, &format!("uid-{name}")).await;
            }
            disk.fail_after(fine, fault);
            rig.clock.set(START.plus_ms(u64::try_from(RETENTION.as_millis()).unwrap()));
            if fine % 2 == 0 {
                rig.clock.wait_for_expiry_round().await;
                rig.crash().await;
                rig.begin().await;
            }
            wait_until_removed(&rig, &disk, &texts).await;
            assert_eq!(rig.orders().count(), 0, "{fault:?} {fine}");
            rig.restart().await;
            assert_eq!(rig.orders().count(), 0, "{fault:?} {fine}, after a restart");
        }
    }
}

/// The remains of a crashed opening are removed, and the events of a later one stay.
#[tokio::test]
async fn removal_spares_later_opening() {
    let (disk, dir) = (Disk::default(), tempfile::tempdir().unwrap());
    let remains = {
        let journal = disk.open(dir.path());
        let list = bytes::Bytes::from_static(b"g\ndefault\na\nuid-1");
        let grant = bytes::Bytes::copy_from_slice(&7_u64.to_be_bytes());
        append(&journal, list, 0, vec![grant]).await.unwrap();
        "g\ndefault\na\nuid-1"
    };
    assert!(holds(&disk, remains));
    disk.fail_after(0, Fault::WriteFails);
    let mut rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    let opened = async {
        loop {
            match wire.follow(of_incarnation("a", "uid-1")).await {
                Ok(follow) => return follow,
                Err(status) => assert_eq!(reason(&status), "STORAGE_UNAVAILABLE"),
            }
        }
    };
    drop(within("the name can be opened", Box::pin(opened)).await);
    wire.propose("a", "p").await;
    for _ in 0..3 {
        rig.clock.wait_for_expiry_round().await;
        assert_eq!(rig.wire().await.last_seq("a").await, 3, "what was acknowledged stays");
    }
    rig.restart().await;
    assert_eq!(rig.wire().await.last_seq("a").await, 3);
}

/// Former incarnations can still be read.
#[tokio::test]
async fn read_only_journal_removes_nothing() {
    let mut rig = Rig::start().await;
    tender(&rig, "a", "uid-1").await;
    tender(&rig, "a", "uid-2").await;
    for id in ["damaged", "last"] {
        drop(rig.wire().await.follow(of_incarnation(id, "uid-3")).await.unwrap());
    }
    rig.keep_ended(Duration::from_mins(1));
    rig.clock.set(START.plus_ms(3_600_000));
    let damaged = b"damaged";
    let damage = |log: &mut Vec<u8>| {
        let found = log.windows(damaged.len()).rposition(|bytes| bytes == damaged);
        log[found.unwrap()] ^= 1;
    };
    rig.restart_on(damage).await;
    rig.clock.wait_for_expiry_round().await;
    assert_eq!(observe(&rig, "a", "uid-1").await.award_seq, 4);
    assert_eq!(observe(&rig, "a", "uid-2").await.award_seq, 4);
    let refused = rig.wire().await.follow(of_incarnation("a", "uid-4")).await.err().unwrap();
    assert_eq!(reason(&refused), "STORAGE_UNAVAILABLE");
}
