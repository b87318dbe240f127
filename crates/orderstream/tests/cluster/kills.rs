//! `kill -9` of the controller, of the processor, and of both, while proposals are sent: after the
//! last restart every acknowledged proposal is counted exactly once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bed::{Bed, propose};
use crate::http::get;
use crate::process::{pause, until};

/// Proposes until stopped, and repeats each proposal until it has a reply; returns the acknowledged
/// ids.
fn submit(sellers: SocketAddr, tenant: &str, stop: &AtomicBool) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    for serial in 0.. {
        let id = format!("p-{serial}");
        while !propose(sellers, tenant, "SB1", &id, "10")
            .is_ok_and(|response| response.status == 201)
        {
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

/// Returns the ids of the proposals that the processor holds.
fn received(bed: &Bed) -> BTreeSet<String> {
    let path = format!("/api/v1/orders/SB1/proposals?tenant={}&limit=500", bed.namespace);
    let mut after = String::new();
    let mut ids = BTreeSet::new();
    loop {
        let page = get(bed.sellers(), &format!("{path}&after={after}")).unwrap().json();
        let proposals = page["proposals"].as_array().unwrap();
        ids.extend(
            proposals.iter().map(|proposal| proposal["proposal_id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return ids,
        }
    }
}

/// A line of the processor's log: a tracker's stream was granted, or given back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    is_granted: bool,
    stream: u64,
    epoch: u64,
    /// The sequence number of the last event that the stream had or delivered.
    after: u64,
    /// The length of the order's list at the grant; absent when given back.
    last_seq: Option<u64>,
}

fn grants(log: &str, order: &str) -> Vec<Grant> {
    let order = format!("key={order} ");
    let field = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    log.lines()
        .filter(|line| line.contains(&order))
        .filter_map(|line| {
            let is_granted = line.contains(" granted ");
            (is_granted || line.contains(" given back ")).then(|| Grant {
                is_granted,
                stream: field(line, "stream").unwrap(),
                epoch: field(line, "epoch").unwrap(),
                after: field(line, "after").unwrap(),
                last_seq: field(line, "last_seq"),
            })
        })
        .collect()
}

/// Checks that no stream is granted to an older epoch than the one before, and that a replaced
/// stream delivers nothing from after its successor's grant.
fn one_at_a_time(record: &[Grant]) {
    let mut open: Option<&Grant> = None;
    for (index, line) in record.iter().enumerate() {
        if !line.is_granted {
            open = open.filter(|granted| granted.stream != line.stream);
            continue;
        }
        if let Some(former) = open {
            assert!(former.epoch <= line.epoch, "granted to a former owner: {former:?} {line:?}");
            let rest = record.get(index..).unwrap_or_default();
            let restarted = |later: &&Grant| later.is_granted && later.stream <= former.stream;
            let mut until_restart = rest.iter().take_while(|later| !restarted(later));
            let returned =
                until_restart.find(|entry| !entry.is_granted && entry.stream == former.stream);
            let beyond = returned.filter(|back| Some(back.after) > line.last_seq);
            assert_eq!(beyond, None, "{former:?} went on beside {line:?}");
        }
        open = Some(line);
    }
}

#[test]
fn grant_records_show_second_streams() {
    let log = "t DEBUG granted key=n/A epoch=1 stream=0 after=0 last_seq=2\n\
               t DEBUG granted key=n/A epoch=2 stream=1 after=0 last_seq=2\n\
               t DEBUG granted key=n/B epoch=9 stream=0 after=0 last_seq=2\n\
               t DEBUG given back key=n/A epoch=1 stream=0 after=2\n";
    let record = grants(log, "n/A");
    assert_eq!(record.len(), 3);
    one_at_a_time(&record);
    let overlapping = grants(&log.replace("stream=0 after=2\n", "stream=0 after=3\n"), "n/A");
    assert!(std::panic::catch_unwind(|| one_at_a_time(&overlapping)).is_err());
    let reversed = grants(&log.replace("epoch=2", "epoch=0"), "n/A");
    assert!(std::panic::catch_unwind(|| one_at_a_time(&reversed)).is_err());
}

fn survive(rounds: u64, victims: &[&str]) {
    let Some(mut bed) = Bed::make_logging() else { return };
    let mut controller = bed.controller();
    bed.order("sb1");
    bed.kubectl(&["delete", "oreq", "sb1"]);
    bed.apply(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: sb1}\n\
         spec: {orderReqId: SB1, expiresIn: 1h}\n",
    );
    bed.until_phase("sb1", "Open");
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
    let stored = received(&bed);
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "acknowledged, but lost: {lost:?}");
    let resource = bed.until_status("sb1", "every proposal is counted once", |status| {
        status["proposals"]["received"] == stored.len()
    });
    // Counters of one order are written at most every 5 seconds.
    let took = quiet_since.elapsed();
    assert!(took < Duration::from_secs(5 + 1), "the status became true after {took:?}");
    assert_eq!(resource["status"]["phase"], "Open");
    let order = bed.order_at_processor("SB1").unwrap();
    assert_eq!(order["last_seq"], resource["status"]["tracker"]["lastSeq"]);
    let grants = grants(&bed.processor_log(), &format!("{}/SB1", bed.namespace));
    assert!(grants.len() > usize::try_from(rounds).unwrap(), "{grants:?}");
    one_at_a_time(&grants);
    // Whoever followed the order did so under an epoch of its own, and the last one leads.
    until("one stream, of the leader", || {
        let order = bed.order_at_processor("SB1")?;
        (order["epoch"] == bed.get("sb1")?["status"]["stream"]["epoch"]).then_some(())
    });
}

#[test]
fn killed_controller_counts_each_proposal_once() {
    survive(4, &["controller"]);
}

#[test]
fn killed_processor_counts_each_proposal_once() {
    survive(6, &["processor"]);
}

#[test]
fn killed_pair_counts_each_proposal_once() {
    survive(3, &["controller", "processor"]);
}
