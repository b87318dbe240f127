//! `kill -9` at seeded moments while proposals are sent over REST and gRPC: each acknowledged one
//! is in the list once, in order, and reached the tracker; the list has none that was not sent.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use serde_json::Value;

use crate::http::{get, post};
use crate::process::{Pair, pause, until};

const ORDER: &str = "SB1029436";

/// The proposals of one submitter: all that it sent, and those that were acknowledged.
#[derive(Debug, Default)]
struct SubmittedProposals {
    sent: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
}

/// Posts proposals one after another; each is sent again, under its id, until it has a reply.
fn submitter(
    name: &'static str,
    stop: Arc<AtomicBool>,
    mut post: impl FnMut(&str) -> bool + Send + 'static,
) -> JoinHandle<SubmittedProposals> {
    std::thread::spawn(move || {
        let mut submitted = SubmittedProposals::default();
        for serial in 0.. {
            let id = format!("{name}-{serial}");
            submitted.sent.insert(id.clone());
            while !post(&id) {
                if stop.load(Ordering::Relaxed) {
                    return submitted;
                }
                pause(Duration::from_millis(5));
            }
            submitted.acknowledged.insert(id);
            if stop.load(Ordering::Relaxed) {
                return submitted;
            }
        }
        submitted
    })
}

fn over_rest(processor: SocketAddr) -> impl FnMut(&str) -> bool + Send + 'static {
    move |id| {
        let body = format!(
            r#"{{"order_req_id":"{ORDER}","proposal_id":"{id}","seller":"rest-{id}",
                "price":"10.50","currency":"EUR"}}"#
        );
        post(processor, "/api/v1/proposals", &body).is_ok_and(|response| response.status == 201)
    }
}

fn over_grpc(processor: SocketAddr) -> impl FnMut(&str) -> bool + Send + 'static {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("http://{processor}");
    let channel = {
        let _inside = runtime.enter();
        tonic::transport::Endpoint::from_shared(url).unwrap().connect_lazy()
    };
    let mut client = OrderNonStreamingServiceClient::new(channel);
    move |id| {
        let submission = v1::ProposalSubmission {
            order_req_id: ORDER.to_owned(),
            proposal: Some(v1::Proposal {
                proposal_id: id.to_owned(),
                seller: format!("grpc-{id}"),
                price: "11".to_owned(),
                currency: "EUR".to_owned(),
                ..v1::Proposal::default()
            }),
            ..v1::ProposalSubmission::default()
        };
        let call = client.submit_proposals(futures_util::stream::iter([submission]));
        let in_time = async { tokio::time::timeout(Duration::from_secs(10), call).await };
        let response = runtime.block_on(in_time);
        matches!(response, Ok(Ok(summary)) if summary.get_ref().accepted == 1)
    }
}

/// A small generator of delays; its seed repeats a failing run.
struct Moments(u64);

impl Moments {
    fn next_ms(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        100 + (self.0 >> 33) % 400
    }
}

/// Returns the events of an ended order from the processor's list.
fn events(processor: SocketAddr) -> Vec<Value> {
    let text = get(processor, &format!("/orders/{ORDER}/events")).unwrap().text;
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn survive(rounds: u32, victims: &[&str], seed: u64) {
    let mut pair = Pair::start();
    let requestor = pair.requestor.address("requestor");
    let rest = pair.processor.address("rest");
    let body =
        format!(r#"{{"order_req_id":"{ORDER}","session_id":"s","notification_type":"SMS"}}"#);
    let response = post(requestor, "/api/v1/orders/initiate", &body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    until("the order is open", || {
        get(rest, &format!("/api/v1/orders/{ORDER}")).ok().filter(|response| response.status == 200)
    });

    let stop = Arc::new(AtomicBool::new(false));
    let submitters = [
        submitter("rest-a", Arc::clone(&stop), over_rest(rest)),
        submitter("rest-b", Arc::clone(&stop), over_rest(rest)),
        submitter("grpc-a", Arc::clone(&stop), over_grpc(pair.processor.address("grpc"))),
    ];
    let mut moments = Moments(seed);
    for _ in 0..rounds {
        pause(Duration::from_millis(moments.next_ms()));
        for victim in victims {
            if *victim == "processor" { pair.processor.kill() } else { pair.requestor.kill() }
        }
        for victim in victims {
            if *victim == "processor" { pair.processor.restart() } else { pair.requestor.restart() }
        }
    }
    pause(Duration::from_millis(moments.next_ms()));
    stop.store(true, Ordering::Relaxed);
    let submitted: Vec<SubmittedProposals> =
        submitters.into_iter().map(|one| one.join().unwrap()).collect();
    judge(&pair, &submitted, seed);
}

fn judge(pair: &Pair, submitted: &[SubmittedProposals], seed: u64) {
    let (requestor, rest) = (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let response = post(requestor, &format!("/api/v1/orders/finalize/{ORDER}"), "").unwrap();
    // Right after a restart of the processor it may not be decided yet.
    assert!(matches!(response.status, 200 | 202), "{response:?}");
    let tracked = until("the tracker has seen the end", || {
        let response = get(requestor, &format!("/api/v1/orders/tracking/{ORDER}")).ok()?;
        let tracked = response.json();
        (tracked["phase"] == "Finalised").then_some(tracked)
    });
    let events = events(rest);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], index + 1, "seed {seed}: the list has a gap or a repeat");
    }
    let listed: Vec<String> = events
        .iter()
        .filter(|event| event["status"] == "NewProposal")
        .map(|event| event["proposal_id"].as_str().unwrap().to_owned())
        .collect();
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "seed {seed}: a proposal is in the list twice");
    let acknowledged: BTreeSet<_> =
        submitted.iter().flat_map(|submitter| submitter.acknowledged.clone()).collect();
    let sent: BTreeSet<_> = submitted.iter().flat_map(|submitter| submitter.sent.clone()).collect();
    assert!(acknowledged.len() > 30, "seed {seed}: the load did not flow: {}", acknowledged.len());
    let lost: Vec<_> = acknowledged.difference(&once).collect();
    assert!(lost.is_empty(), "seed {seed}: acknowledged, but lost: {lost:?}");
    let invented: Vec<_> = once.difference(&sent).collect();
    assert!(invented.is_empty(), "seed {seed}: never sent: {invented:?}");
    assert_eq!(tracked["proposals_received"], listed.len(), "seed {seed}: {tracked}");
    assert_eq!(tracked["last_seq"], events.len(), "seed {seed}: {tracked}");
    assert_eq!(tracked["stream_active"], false, "seed {seed}: {tracked}");
}

#[test]
fn killed_processor_loses_nothing_acknowledged() {
    survive(8, &["processor"], 1);
}

#[test]
fn killed_requestor_loses_nothing_acknowledged() {
    survive(8, &["requestor"], 2);
}

#[test]
fn killed_pair_loses_nothing_acknowledged() {
    survive(6, &["processor", "requestor"], 3);
}
