//! `kill -9` of the controller, of the processor, and of both, while proposals flow: after the
//! last restart every acknowledged proposal is counted exactly once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bed::{Bed, propose};
use crate::http::get;
use crate::process::{pause, until};

/// What was acknowledged: proposals by id, each sent again until it was answered.
fn submit(sellers: SocketAddr, tenant: &str, stop: &AtomicBool) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    for serial in 0.. {
        let id = format!("p-{serial}");
        while !propose(sellers, tenant, ("SB1", &id, "10")).is_ok_and(|a| a.status == 201) {
            if stop.load(Ordering::Relaxed) {
                return acknowledged;
            }
            pause(Duration::from_millis(5));
        }
        acknowledged.insert(id);
        pause(Duration::from_millis(2));
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    acknowledged
}

/// The proposals that the processor holds.
fn received(bed: &Bed) -> BTreeSet<String> {
    let path = format!("/api/v1/orders/SB1/proposals?tenant={}&limit=500", bed.namespace);
    let mut after = String::new();
    let mut ids = BTreeSet::new();
    loop {
        let page = get(bed.sellers(), &format!("{path}&after={after}")).unwrap().json();
        let proposals = page["proposals"].as_array().unwrap();
        ids.extend(proposals.iter().map(|p| p["proposal_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return ids,
        }
    }
}

fn survive(rounds: u64, victims: &[&str]) {
    let Some(mut bed) = Bed::make() else { return };
    let mut controller = bed.controller();
    bed.order("sb1");
    bed.kubectl(&["delete", "oreq", "sb1"]);
    bed.apply(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: sb1}\n\
         spec: {orderReqId: SB1, expiresIn: 1h}\n",
    );
    bed.until_phase("sb1", "Streaming");
    let stop = Arc::new(AtomicBool::new(false));
    let (sellers, tenant) = (bed.sellers(), bed.namespace.clone());
    let stopped = Arc::clone(&stop);
    let submitter = std::thread::spawn(move || submit(sellers, &tenant, &stopped));
    for round in 0..rounds {
        pause(Duration::from_millis(300 + (round * 7_919) % 500));
        for victim in victims {
            if *victim == "processor" { bed.processor.kill() } else { controller.kill() }
        }
        for victim in victims {
            if *victim == "processor" { bed.processor.restart() } else { controller.restart() }
        }
    }
    pause(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    let acknowledged = submitter.join().unwrap();
    let quiet_since = Instant::now();
    assert!(acknowledged.len() > 30, "the load did not flow: {}", acknowledged.len());
    let held = received(&bed);
    let lost: Vec<_> = acknowledged.difference(&held).collect();
    assert!(lost.is_empty(), "acknowledged, but lost: {lost:?}");
    let shown = bed.until_status("sb1", "every proposal is counted once", |status| {
        status["proposals"]["received"] == held.len()
    });
    // Counters of one order are written at most every 5 seconds.
    let took = quiet_since.elapsed();
    assert!(took < Duration::from_secs(5 + 1), "the status became true after {took:?}");
    assert_eq!(shown["status"]["phase"], "Streaming");
    let order = bed.order_at_processor("SB1").unwrap();
    assert_eq!(order["last_seq"], shown["status"]["tracker"]["lastSeq"]);
    // Whoever followed the order did so under an epoch of its own, and the last one leads.
    until("one stream, of the leader", || {
        let order = bed.order_at_processor("SB1")?;
        (order["epoch"] == bed.get("sb1")?["status"]["stream"]["epoch"]).then_some(())
    });
}

#[test]
fn every_acknowledged_proposal_is_counted_once_when_the_controller_is_killed() {
    survive(4, &["controller"]);
}

#[test]
fn every_acknowledged_proposal_is_counted_once_when_the_processor_is_killed() {
    survive(6, &["processor"]);
}

#[test]
fn every_acknowledged_proposal_is_counted_once_when_both_are_killed() {
    survive(3, &["controller", "processor"]);
}
