//! Faults of the API server, which is down, busy, slow, compacted or silent: streams and proposals
//! continue, and afterwards the status catches up.

use std::time::{Duration, Instant};

use orderstream_testbed::{Proxy, ProxyFault, WatchExpiry};

use super::bed::Bed;
use crate::http::get;
use crate::process::{Role, pause, until};

/// The time between two proposals during a fault.
const GAP: Duration = Duration::from_millis(250);
/// The time in which a status becomes true after the last fault: the promise, and a margin for a
/// busy machine.
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
        bed.until_phase("held", "Open");
        Some(Self { bed, proxy, controller, proposed: 0 })
    }

    fn propose(&mut self) {
        let id = format!("p-{}", self.proposed);
        let response = self.bed.propose("held", &id, "10").unwrap();
        assert_eq!(response.status, 201, "proposals need no API server: {response:?}");
        self.proposed += 1;
    }

    /// Proposes throughout the fault.
    fn propose_during(&mut self, fault: ProxyFault, time: Duration) {
        self.proxy.set(fault);
        let began = Instant::now();
        while began.elapsed() < time {
            self.propose();
            pause(GAP);
        }
        assert!(self.metric("orderstream_requestor_streams_active") > 0, "the stream goes on");
        let events = 2 + self.proposed;
        until("and brings every event", || {
            (self.metric("orderstream_requestor_events_received_total") >= events).then_some(())
        });
    }

    /// Ends the fault, and checks that the status is soon true, and a new resource streams.
    fn recover(&mut self, what: &str) {
        self.proxy.set(ProxyFault::None);
        self.catch_up(what);
    }

    fn catch_up(&mut self, what: &str) {
        let began = Instant::now();
        let proposed = self.proposed;
        self.bed.until_status("held", &format!("all are counted after {what}"), |status| {
            status["proposals"]["received"] == proposed && status["phase"] == "Open"
        });
        assert!(began.elapsed() < TRUE_WITHIN, "{what}: {:?}", began.elapsed());
        self.bed.order("new");
        self.bed.until_phase("new", "Open");
        assert!(began.elapsed() < 2 * TRUE_WITHIN, "{what}: {:?}", began.elapsed());
        let order = self.bed.order_at_processor("held").unwrap();
        assert_eq!(order["proposals"]["received"], proposed, "{order}");
    }

    fn metric(&self, name: &str) -> u32 {
        metric(&self.controller, name)
    }
}

fn metric(controller: &Role, name: &str) -> u32 {
    let page = get(controller.address("metrics"), "/metrics").unwrap().text;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} is no figure")).parse().unwrap()
}

fn ride_out(fault: ProxyFault, seconds: u64) {
    let Some(mut chaos) = Chaos::start() else { return };
    chaos.propose_during(fault, Duration::from_secs(seconds));
    chaos.recover(&format!("{fault:?}"));
}

#[test]
fn api_server_outages_stop_no_proposal() {
    ride_out(ProxyFault::Down, 30);
}

#[test]
fn busy_api_servers_stop_no_proposal() {
    ride_out(ProxyFault::Busy(1), 8);
}

/// A status is also written.
#[test]
fn slow_api_servers_stop_no_proposal() {
    let Some(mut chaos) = Chaos::start() else { return };
    chaos.propose_during(ProxyFault::Slow(2_000), Duration::from_secs(12));
    let resource = chaos.bed.until_status("held", "a status gets through", |status| {
        status["proposals"]["received"].as_u64() > Some(0)
    });
    assert_eq!(resource["status"]["phase"], "Open");
    chaos.recover("slowness");
}

#[test]
fn repeatedly_cut_watches_lose_nothing() {
    let Some(mut chaos) = Chaos::start() else { return };
    for round in 0..10 {
        chaos.proxy.cut_watches();
        chaos.propose_during(ProxyFault::None, GAP);
        chaos.bed.order(&format!("round-{round}"));
    }
    for round in 0..10 {
        chaos.bed.until_phase(&format!("round-{round}"), "Open");
    }
    chaos.recover("cut watches");
}

/// Returns the number of a controller's requests with this verb for order requests.
fn request_count(controller: &Role, verb: &str) -> u32 {
    let right = format!("group=\"orderstream.dev\",resource=\"orderrequests\",verb=\"{verb}\"");
    metric(controller, &format!("orderstream_api_requests_total{{{right}}}"))
}

/// They are listed where the server streams no list.
#[test]
fn existing_resources_are_streamed_or_listed() {
    for (fault, listed) in [(ProxyFault::None, 0), (ProxyFault::ListsInPages, 1)] {
        let Some(bed) = Bed::make() else { return };
        let (proxy, kubeconfig) = bed.server.proxy();
        proxy.set(fault);
        bed.order("before");
        let controller = bed.controller_with(&kubeconfig, &[]);
        bed.until_phase("before", "Open");
        bed.order("after");
        bed.until_phase("after", "Open");
        assert_eq!(request_count(&controller, "list"), listed, "{fault:?}");
        assert!(request_count(&controller, "watch") > 0);
    }
}

/// Has the server refuse all old versions from now on: only a new list recovers.
fn ride_out_a_compaction(how: WatchExpiry) {
    let Some(mut chaos) = Chaos::start() else { return };
    chaos.proxy.set(ProxyFault::Compacted(how));
    chaos.propose();
    chaos.catch_up(&format!("410 as {how:?}"));
}

#[test]
fn watches_list_again_after_gone_event() {
    ride_out_a_compaction(WatchExpiry::Event);
}

#[test]
fn watches_list_again_after_gone_status() {
    ride_out_a_compaction(WatchExpiry::Status);
}

#[test]
fn silent_watches_are_found_and_renewed() {
    let Some(mut chaos) = Chaos::start() else { return };
    chaos.proxy.set(ProxyFault::Silent);
    chaos.bed.order("unseen");
    // The watch loses this one, and stays open and silent for good.
    chaos.propose_during(ProxyFault::Silent, Duration::from_secs(1));
    chaos.proxy.set(ProxyFault::None);
    chaos.bed.until_phase("unseen", "Open");
    chaos.recover("silence");
}
