//! Many streams at once: a stream that is read gets everything, one that is not costs limited
//! memory, and a cut of all connections loses nothing.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orderstream_rpc::v1;
use tokio::task::JoinSet;

use crate::rig::{Rig, within};
use crate::wire::{Follow, Wire, proposal, submission, tracker};

/// The environment variable for the number of streams open at once; without it there are
/// [`STREAMS`].
const STREAMS_VARIABLE: &str = "ORDERSTREAM_PROCESSOR_STREAMS";
const STREAMS: usize = 10_000;
const CONNECTIONS: usize = 100;
/// One stream in this many is never read.
const STALLED_EVERY: usize = 100;
/// Proposals on each order, after the two events of its opening.
const PROPOSALS: u64 = 3;
const LAST: u64 = 2 + PROPOSALS;
/// The process's growth for each stream, with its order and the client's side.
const STREAM_BYTES_MAX: usize = 64 * 1024;

/// The environment variable that marks a process for one test.
const ALONE_VARIABLE: &str = "ORDERSTREAM_PROCESSOR_TEST_ALONE";

fn streams() -> usize {
    std::env::var(STREAMS_VARIABLE).map_or(STREAMS, |count| count.parse().unwrap())
}

fn name(n: usize) -> String {
    format!("order-{n}")
}

/// Returns the memory of the process.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kibibytes: usize = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kibibytes * 1024
}

/// Reports whether this process runs one test. If not, a process for it has passed when this
/// returns: the memory of a process measures a test only where no other one runs beside it.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE_VARIABLE).is_some() {
        return true;
    }
    let name = format!("scale::{test}");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([&name, "--exact", "--nocapture"]).env(ALONE_VARIABLE, "1");
    let output = child.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{errors}");
    false
}

/// The streams of one connection, each with the number of its order.
type Bundle = Vec<(usize, Follow)>;

/// Opens one connection's streams again, each after its last number.
async fn open(wire: Wire, orders: Vec<(usize, u64)>) -> Bundle {
    let mut bundle = Vec::with_capacity(orders.len());
    for (n, after_seq) in orders {
        let request = v1::OrderStreamRequest { after_seq, ..tracker(&name(n)) };
        bundle.push((n, wire.follow(request).await.unwrap()));
    }
    bundle
}

/// Opens all streams on new connections.
async fn open_all(rig: &Rig, cursors: &[u64]) -> Vec<Bundle> {
    let mut opening = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let mine = (connection..cursors.len()).step_by(CONNECTIONS);
        opening.spawn(open(rig.wire().await, mine.map(|n| (n, cursors[n])).collect()));
    }
    opening.join_all().await
}

/// Reads streams up to a number; the stalled ones only for [`Stalled::Read`].
async fn read_all(bundles: Vec<Bundle>, last: u64, stalled: Stalled) -> Vec<Bundle> {
    let mut reading = JoinSet::new();
    for mut bundle in bundles {
        reading.spawn(async move {
            for (n, follow) in &mut bundle {
                if stalled == Stalled::Read || !n.is_multiple_of(STALLED_EVERY) {
                    follow.through(last).await;
                }
            }
            bundle
        });
    }
    reading.join_all().await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stalled {
    Read,
    Unread,
}

/// Proposes on every order, in rounds, over a few calls.
async fn propose_on_all(rig: &Rig, count: usize, rounds: &[&str]) {
    let mut calls = JoinSet::new();
    for part in 0..4 {
        let wire = rig.wire().await;
        let orders = (part..count).step_by(4);
        let many: Vec<_> = rounds
            .iter()
            .flat_map(|round| orders.clone().map(|n| submission(&name(n), round)))
            .collect();
        calls.spawn(async move {
            let expected = many.len() as u64;
            let summary = wire.submit(many).await.unwrap();
            assert_eq!(summary.accepted, expected, "{:?}", summary.results.last());
        });
    }
    calls.join_all().await;
}

/// Each stream receives every event once, in limited memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_survive_a_cut() {
    if !is_alone("ten_thousand_streams_survive_a_cut") {
        return;
    }
    let (count, rig) = (streams(), Rig::start().await);
    let before = resident_bytes();
    let bundles = open_all(&rig, &vec![0; count]).await;
    propose_on_all(&rig, count, &["p1", "p2", "p3"]).await;
    let bundles = read_all(bundles, LAST, Stalled::Unread).await;
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < count * STREAM_BYTES_MAX, "{growth} bytes for {count} streams");
    let mut cursors = vec![0; count];
    for (n, follow) in bundles.iter().flatten() {
        cursors[*n] = follow.last_seq;
    }
    let stalled = count.div_ceil(STALLED_EVERY);
    assert_eq!(cursors.iter().filter(|seen| **seen == LAST).count(), count - stalled);
    drop(bundles);
    // More events arrive while all streams reconnect.
    let (bundles, ()) =
        tokio::join!(open_all(&rig, &cursors), propose_on_all(&rig, count, &["p4"]));
    let bundles = read_all(bundles, LAST + 1, Stalled::Read).await;
    assert_eq!(bundles.iter().flatten().count(), count, "each has seen 1 to the last once");
    drop(bundles);
}

/// Each costs a window, and not the events that it missed.
#[tokio::test]
async fn stalled_readers_cost_limited_memory() {
    const OBSERVERS: usize = 60;
    const AMENDMENTS: u64 = 2_000;
    /// The amendments of one proposal, whose versions are limited.
    const AMENDMENTS_EACH: u64 = 500;
    const NOTE_BYTES: usize = 4_000;
    /// A third of the bytes that queues per reader would hold.
    const GROWTH_BYTES_MAX: usize = 160 * 1024 * 1024;
    if !is_alone("stalled_readers_cost_limited_memory") {
        return;
    }
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut reader = wire.track("a").await;
    let proposals = AMENDMENTS / AMENDMENTS_EACH;
    for n in 0..proposals {
        wire.propose("a", &format!("p{n}")).await;
    }
    let before_amendments = 2 + proposals;
    let mut stalled = Vec::new();
    for _ in 0..OBSERVERS {
        stalled.push(rig.wire().await.observe("a").await);
    }
    let before = resident_bytes();
    let note = "n".repeat(NOTE_BYTES);
    let amendments = (0..AMENDMENTS).map(|n| {
        let (id, version) = (format!("p{}", n / AMENDMENTS_EACH), n % AMENDMENTS_EACH + 1);
        let version = u32::try_from(version).unwrap();
        let amended = v1::Proposal { version, note: format!("{n}{note}"), ..proposal(&id) };
        v1::ProposalSubmission { proposal: Some(amended), ..submission("a", "") }
    });
    let (summary, kinds) = tokio::join!(
        wire.submit(amendments.collect()),
        reader.through(before_amendments + AMENDMENTS)
    );
    assert_eq!(summary.unwrap().accepted, AMENDMENTS);
    assert_eq!(kinds.len() as u64, before_amendments + AMENDMENTS);
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes");
    let last = before_amendments + AMENDMENTS;
    within("one reads again", stalled[0].through(last)).await;
}

/// Fifty thousand proposals go through one call.
#[tokio::test]
async fn large_calls_are_not_buffered() {
    const COUNT: usize = 50_000;
    const NOTE_BYTES: usize = 4_000;
    /// One proposal in this many is good, and stored.
    const GOOD_EVERY: usize = 50;
    /// A fifth of the bytes sent, for both ends of the connection and the stored proposals.
    const GROWTH_BYTES_MAX: usize = 40 * 1024 * 1024;
    if !is_alone("large_calls_are_not_buffered") {
        return;
    }
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let before = resident_bytes();
    let peak = Arc::new(AtomicUsize::new(0));
    let (sampled_peak, note) = (Arc::clone(&peak), "n".repeat(NOTE_BYTES));
    let submissions = (0..COUNT).map(move |n| {
        if n.is_multiple_of(1_000) {
            sampled_peak.fetch_max(resident_bytes(), Ordering::Relaxed);
        }
        let price = if n.is_multiple_of(GOOD_EVERY) { "10" } else { "-10" }.to_owned();
        let proposed = v1::Proposal { price, note: note.clone(), ..proposal(&format!("p{n}")) };
        v1::ProposalSubmission { proposal: Some(proposed), ..submission("a", "") }
    });
    let mut client = wire.unary.clone();
    let summary = client.submit_proposals(tokio_stream::iter(submissions)).await.unwrap();
    let summary = summary.into_inner();
    let good = COUNT / GOOD_EVERY;
    assert_eq!((summary.accepted, summary.refused), (good as u64, (COUNT - good) as u64));
    let growth = peak.load(Ordering::Relaxed).saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes");
}
