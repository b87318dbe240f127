//! The API server is down, busy, slow, forgetful or silent: streams and proposals go on, and
//! afterwards the status catches up.

use std::time::{Duration, Instant};

use orderstream_testbed::{Fault, Gone, Proxy};

use super::bed::Bed;
use crate::http::get;
use crate::process::{Role, pause, until};

/// Between two proposals while there is a fault.
const GAP: Duration = Duration::from_millis(250);
/// How soon after the last fault a status is true: the promise, and time for a busy machine.
const TRUE_WITHIN: Duration = Duration::from_secs(5 + 5);

/// An order that streams, and its controller behind a proxy.
struct Chaos {
    bed: Bed,
    proxy: Proxy,
    controller: Role,
    proposed: u32,
}

impl Chaos {
    fn start() -> Option<Self> {
        let bed = Bed::make()?;
        let (proxy, kubeconfig) = bed.server.proxy();
        let controller = bed.controller_with(&kubeconfig, &[]);
        bed.order("held");
        bed.until_phase("held", "Streaming");
        Some(Self { bed, proxy, controller, proposed: 0 })
    }

    fn propose(&mut self) {
        let id = format!("p-{}", self.proposed);
        let answer = self.bed.propose("held", &id, "10").unwrap();
        assert_eq!(answer.status, 201, "proposals need no API server: {answer:?}");
        self.proposed += 1;
    }

    /// Proposes throughout the fault.
    fn endure(&mut self, fault: Fault, time: Duration) {
        self.proxy.set(fault);
        let began = Instant::now();
        while began.elapsed() < time {
            self.propose();
            pause(GAP);
        }
        assert!(self.figure("orderstream_requestor_streams_active") > 0, "the stream goes on");
        let events = 2 + self.proposed;
        until("and brings every event", || {
            (self.figure("orderstream_requestor_events_received_total") >= events).then_some(())
        });
    }

    /// The fault is over: the status is true soon, and new resources are taken up.
    fn recover(&mut self, what: &str) {
        self.proxy.set(Fault::None);
        self.catch_up(what);
    }

    fn catch_up(&mut self, what: &str) {
        let began = Instant::now();
        let proposed = self.proposed;
        self.bed.until_status("held", &format!("all are counted after {what}"), |status| {
            status["proposals"]["received"] == proposed && status["phase"] == "Streaming"
        });
        assert!(began.elapsed() < TRUE_WITHIN, "{what}: {:?}", began.elapsed());
        self.bed.order("new");
        self.bed.until_phase("new", "Streaming");
        assert!(began.elapsed() < 2 * TRUE_WITHIN, "{what}: {:?}", began.elapsed());
        let held = self.bed.order_at_processor("held").unwrap();
        assert_eq!(held["proposals"]["received"], proposed, "{held}");
    }

    fn figure(&self, name: &str) -> u32 {
        figure(&self.controller, name)
    }
}

fn figure(controller: &Role, name: &str) -> u32 {
    let page = get(controller.address("metrics"), "/metrics").unwrap().text;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} is no figure")).parse().unwrap()
}

fn ride_out(fault: Fault, seconds: u64) {
    let Some(mut chaos) = Chaos::start() else { return };
    chaos.endure(fault, Duration::from_secs(seconds));
    chaos.recover(&format!("{fault:?}"));
}

#[test]
fn an_api_server_that_is_down_for_half_a_minute_stops_no_proposal() {
    ride_out(Fault::Down, 30);
}

#[test]
fn an_api_server_that_asks_to_be_left_alone_stops_no_proposal() {
    ride_out(Fault::Busy(1), 8);
}

#[test]
fn a_slow_api_server_stops_no_proposal_and_no_status() {
    let Some(mut chaos) = Chaos::start() else { return };
    chaos.endure(Fault::Slow(2_000), Duration::from_secs(12));
    let shown = chaos.bed.until_status("held", "a status gets through", |status| {
        status["proposals"]["received"].as_u64() > Some(0)
    });
    assert_eq!(shown["status"]["phase"], "Streaming");
    chaos.recover("slowness");
}

#[test]
fn watches_that_are_cut_again_and_again_lose_nothing() {
    let Some(mut chaos) = Chaos::start() else { return };
    for round in 0..10 {
        chaos.proxy.cut_watches();
        chaos.endure(Fault::None, GAP);
        chaos.bed.order(&format!("round-{round}"));
    }
    for round in 0..10 {
        chaos.bed.until_phase(&format!("round-{round}"), "Streaming");
    }
    chaos.recover("cut watches");
}

/// How often a controller asked to list or watch order requests.
fn asked(controller: &Role, verb: &str) -> u32 {
    let right = format!("group=\"orderstream.dev\",resource=\"orderrequests\",verb=\"{verb}\"");
    figure(controller, &format!("orderstream_api_requests_total{{{right}}}"))
}

#[test]
fn what_is_there_at_the_start_is_streamed_or_else_listed() {
    for (fault, listed) in [(Fault::None, 0), (Fault::ListsInPages, 1)] {
        let Some(bed) = Bed::make() else { return };
        let (proxy, kubeconfig) = bed.server.proxy();
        proxy.set(fault);
        bed.order("before");
        let controller = bed.controller_with(&kubeconfig, &[]);
        bed.until_phase("before", "Streaming");
        bed.order("after");
        bed.until_phase("after", "Streaming");
        assert_eq!(asked(&controller, "list"), listed, "{fault:?}");
        assert!(asked(&controller, "watch") > 0);
    }
}

/// The server goes on refusing the old versions: only a new list helps.
fn ride_out_a_compaction(how: Gone) {
    let Some(mut chaos) = Chaos::start() else { return };
    chaos.proxy.set(Fault::Forgetful(how));
    chaos.propose();
    chaos.catch_up(&format!("410 as {how:?}"));
}

#[test]
fn a_watch_that_is_told_in_an_event_that_its_version_is_forgotten_lists_again() {
    ride_out_a_compaction(Gone::Event);
}

#[test]
fn a_watch_that_is_refused_because_its_version_is_forgotten_lists_again() {
    ride_out_a_compaction(Gone::Status);
}

#[test]
fn a_watch_that_is_open_and_silent_is_found_and_renewed() {
    let Some(mut chaos) = Chaos::start() else { return };
    chaos.proxy.set(Fault::Silent);
    chaos.bed.order("unseen");
    // The watch swallows this one, and stays open and silent for good.
    chaos.endure(Fault::Silent, Duration::from_secs(1));
    chaos.proxy.set(Fault::None);
    chaos.bed.until_phase("unseen", "Streaming");
    chaos.recover("silence");
}
