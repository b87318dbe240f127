//! Streams resume once for each disturbance of their processor, and the metric counts nothing else.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::http::{get, post};
use crate::process::{Role, until};

const ORDERS: usize = 40;

/// Two processors, and a requestor that places its orders on both.
struct ProcessorPair {
    processors: [Role; 2],
    requestor: Role,
    _dir: tempfile::TempDir,
}

impl ProcessorPair {
    fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let processors = ["one", "two"].map(|name| {
            let own = dir.path().join(name);
            std::fs::create_dir(&own).unwrap();
            let data = own.join("data");
            let mut args = vec!["processor", "--data-dir", data.to_str().unwrap()];
            for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
                args.extend([flag, "127.0.0.1:0"]);
            }
            Role::start(&args, &own)
        });
        let urls = processors.each_ref().map(url);
        let store = format!("embedded:{}", dir.path().join("requestor").display());
        let mut args = vec!["requestor", "--store", &store];
        args.extend(["--rest-addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0"]);
        urls.iter().for_each(|url| args.extend(["--processor", url]));
        let requestor = Role::start(&args, dir.path());
        for number in 0..ORDERS {
            let order = json!({"order_req_id": id(number), "session_id": "s", "notification_type": "email"});
            let path = "/api/v1/orders/initiate";
            let response = post(requestor.address("requestor"), path, &order.to_string()).unwrap();
            assert_eq!(response.status, 200, "{response:?}");
        }
        Self { processors, requestor, _dir: dir }
    }

    fn tracked(&self, number: usize) -> Value {
        let path = format!("/api/v1/orders/tracking/{}", id(number));
        get(self.requestor.address("requestor"), &path).unwrap().json()
    }

    /// Waits until every order's stream is up and has carried a new proposal; returns the number of
    /// resumptions by processor.
    fn resumed(&self, round: usize) -> BTreeMap<String, u64> {
        let mut resumed: BTreeMap<String, u64> = BTreeMap::new();
        for number in 0..ORDERS {
            let up = until("the stream is up", || {
                let tracked = self.tracked(number);
                (tracked["stream_active"] == true).then_some(tracked)
            });
            let owner_url = up["processor"].as_str().unwrap().to_owned();
            let owner =
                self.processors.iter().find(|processor| url(processor) == owner_url).unwrap();
            let proposal = json!({"order_req_id": id(number), "proposal_id": format!("p{round}"),
                "seller": format!("acme-{round}"), "price": "1", "currency": "EUR"});
            let response =
                post(owner.address("rest"), "/api/v1/proposals", &proposal.to_string()).unwrap();
            assert_eq!(response.status, 201, "{response:?}");
            let updated = until("the proposal is heard of", || {
                let tracked = self.tracked(number);
                (tracked["proposals_received"] == round + 1).then_some(tracked)
            });
            *resumed.entry(owner_url).or_default() += updated["reconnects"].as_u64().unwrap();
        }
        resumed
    }

    /// Returns the value of the metric.
    fn counted(&self) -> u64 {
        let page = get(self.requestor.address("metrics"), "/metrics").unwrap().text;
        let name = "orderstream_requestor_stream_reconnects_total ";
        page.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
    }

    /// Checks that each stream of the first processor resumed this often, those of the other one
    /// never, and that just this was counted.
    fn assert_resumed(&self, round: usize, times: u64) {
        let resumed = self.resumed(round);
        let at_first = self.orders_of_first();
        let expected = [times * at_first, 0];
        let found = self.processors.each_ref().map(|processor| resumed[&url(processor)]);
        assert_eq!(found, expected, "{at_first} streams after {times} disturbances");
        assert_eq!(self.counted(), times * at_first);
    }

    fn orders_of_first(&self) -> u64 {
        let first = url(&self.processors[0]);
        let is_first = |number: &usize| self.tracked(*number)["processor"] == *first;
        let count = (0..ORDERS).filter(is_first).count();
        assert!((1..ORDERS).contains(&count), "{count} orders at the first processor");
        u64::try_from(count).unwrap()
    }
}

fn url(processor: &Role) -> String {
    format!("http://{}", processor.address("grpc"))
}

fn id(number: usize) -> String {
    format!("R{number}")
}

/// Streams from the other processor never resume.
#[test]
fn disturbances_cost_one_resumption_per_stream() {
    let mut pair = ProcessorPair::build();
    pair.assert_resumed(0, 0);
    pair.processors[0].kill();
    pair.processors[0].restart();
    pair.assert_resumed(1, 1);
    for times in [2, 3] {
        pair.processors[0].terminate();
        let status = pair.processors[0].wait();
        assert!(status.success(), "{status}");
        pair.processors[0].restart();
        pair.assert_resumed(times, u64::try_from(times).unwrap());
    }
}
