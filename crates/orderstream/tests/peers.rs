//! Several processors: a seller may call any of them, and gets the owner's replies from it.

use std::net::SocketAddr;

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use serde_json::{Value, json};

use crate::http::{HttpResponse, get, post, send};
use crate::ports::has_ipv6;
use crate::process::{Role, until};

/// Three processors that can be made known to each other, and a requestor that places its orders on
/// the first.
pub(crate) struct ProcessorGroup {
    pub(crate) processors: Vec<Role>,
    pub(crate) requestor: Role,
    dir: tempfile::TempDir,
}

impl ProcessorGroup {
    pub(crate) fn build() -> Self {
        Self::build_on("127.0.0.1:0")
    }

    /// Starts all of them on ports at this address.
    fn build_on(address: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sellers = dir.path().join("sellers.yaml");
        let acme = json!({"apiVersion": "orderstream.dev/v1alpha1", "kind": "Seller",
            "metadata": {"name": "acme"}, "spec": {}});
        std::fs::write(&sellers, acme.to_string()).unwrap();
        let processors: Vec<_> = (0..3)
            .map(|number| {
                let own = dir.path().join(number.to_string());
                std::fs::create_dir(&own).unwrap();
                let (data, peers) = (own.join("data"), dir.path().join("peers"));
                std::fs::write(&peers, "").unwrap();
                let mut args = vec!["processor", "--data-dir", data.to_str().unwrap()];
                args.extend(["--peers", peers.to_str().unwrap()]);
                args.extend(["--sellers", sellers.to_str().unwrap()]);
                for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
                    args.extend([flag, address]);
                }
                Role::start(&args, &own)
            })
            .collect();
        let url = format!("http://{}", processors[0].address("grpc"));
        let store = format!("embedded:{}", dir.path().join("requestor").display());
        let args = ["requestor", "--rest-addr", address, "--metrics-addr", address];
        let more = ["--processor", &url, "--store", &store];
        let requestor = Role::start(&[&args[..], &more[..]].concat(), dir.path());
        let initiate =
            json!({"order_req_id": "SB1", "session_id": "s", "notification_type": "email"});
        let path = "/api/v1/orders/initiate";
        let response = post(requestor.address("requestor"), path, &initiate.to_string()).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        let group = Self { processors, requestor, dir };
        until("the order is at its processor", || {
            (get(group.rest(0), "/api/v1/orders/SB1").unwrap().status == 200).then_some(())
        });
        group
    }

    /// Makes all processors known to each other.
    pub(crate) fn introduce(&self) {
        let lines = self
            .processors
            .iter()
            .map(|processor| format!("http://{}\n", processor.address("grpc")));
        std::fs::write(self.dir.path().join("peers"), lines.collect::<String>()).unwrap();
        for number in 0..self.processors.len() {
            until("the owner is found", || {
                let order = get(self.rest(number), "/api/v1/orders/SB1").unwrap();
                (order.status == 200).then_some(())
            });
        }
    }

    /// Removes the data of a processor that is not running.
    pub(crate) fn lose_disk(&self, number: usize) {
        std::fs::remove_dir_all(self.dir.path().join(number.to_string()).join("data")).unwrap();
    }

    pub(crate) fn rest(&self, number: usize) -> SocketAddr {
        self.processors[number].address("rest")
    }

    fn propose(&self, number: usize, order: &str, id: &str) -> HttpResponse {
        let body = json!({"order_req_id": order, "proposal_id": id, "seller": "acme",
                          "price": "10", "currency": "EUR", "alternative": id});
        post(self.rest(number), "/api/v1/proposals", &body.to_string()).unwrap()
    }

    fn proposals(&self, number: usize) -> Value {
        get(self.rest(number), "/api/v1/orders/SB1/proposals").unwrap().json()["proposals"].clone()
    }
}

#[test]
fn sellers_may_call_any_processor() {
    let group = ProcessorGroup::build();
    assert_eq!(group.propose(1, "SB1", "p-early").status, 404, "nobody else is known yet");
    group.introduce();
    let first = group.propose(1, "SB1", "p-1");
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.json()["proposal_id"], "p-1");
    assert_eq!(group.propose(2, "SB1", "p-1").json(), first.json(), "one effect, one answer");
    assert_eq!(group.proposals(2), group.proposals(0));
    assert_eq!(group.proposals(0).as_array().unwrap().len(), 1);

    let lock = json!({"order_req_id": "SB1", "holder": "acme"}).to_string();
    let locked = post(group.rest(2), "/api/v1/proposals/p-1/edit-lock", &lock).unwrap();
    assert_eq!(locked.status, 200, "{locked:?}");
    let path = "PUT /api/v1/proposals/p-1";
    let wrong = json!({"order_req_id": "SB1", "seller": "acme", "price": "-1", "currency": "EUR"});
    let refused = send(group.rest(2), path, &[], &wrong.to_string()).unwrap();
    assert_eq!((refused.status, &refused.json()["field"]), (422, &json!("price")));

    let unknown = group.propose(1, "nowhere", "p-1");
    assert_eq!((unknown.status, &unknown.json()["reason"]), (404, &json!("ORDER_NOT_FOUND")));
    let page = get(group.processors[1].address("metrics"), "/metrics").unwrap().text;
    let forwarded = page.lines().find(|line| line.contains("forwards_total{result=\"ok\"}"));
    assert_ne!(forwarded.and_then(|line| line.rsplit(' ').next()), Some("0"), "{page}");
}

#[test]
fn peers_reach_each_other_over_ipv6() {
    if !has_ipv6("peers over IPv6") {
        return;
    }
    let group = ProcessorGroup::build_on("[::1]:0");
    group.introduce();
    for (through, id) in [(0, "p-0"), (1, "p-1"), (2, "p-2")] {
        assert_eq!(group.propose(through, "SB1", id).status, 201, "{through}");
    }
    assert_eq!(group.proposals(2), group.proposals(0));
}

/// They are not reported as unknown: a processor that does not reply may own them.
#[test]
fn silent_peers_make_orders_unreachable() {
    let mut group = ProcessorGroup::build();
    group.introduce();
    assert_eq!(group.propose(1, "SB1", "p-1").status, 201);
    group.processors[0].kill();
    for (through, order) in [(1, "SB1"), (2, "SB1"), (2, "nowhere")] {
        let response = group.propose(through, order, "p-2");
        assert_eq!((response.status, &response.json()["reason"]), (503, &json!("UNREACHABLE")));
    }
    group.processors[0].restart();
    until("the owner is back", || (group.propose(2, "SB1", "p-2").status == 201).then_some(()));
    assert_eq!(group.propose(2, "nowhere", "p-2").status, 404);
    assert_eq!(group.proposals(1).as_array().unwrap().len(), 2);
}

/// An order of a peer is never reported as unknown, from the first moment after a restart.
#[test]
fn restarted_processors_deny_no_peers_order() {
    let mut group = ProcessorGroup::build();
    group.introduce();
    let rest = group.rest(2);
    for round in 0..4 {
        group.processors[2].kill();
        // Asked from the first moment at which it listens.
        let reader = std::thread::spawn(move || {
            until("the order is found again", || {
                let response = get(rest, "/api/v1/orders/SB1").ok()?;
                assert_ne!(response.status, 404, "round {round}: {response:?}");
                (response.status == 200).then_some(())
            });
        });
        group.processors[2].restart();
        reader.join().unwrap();
    }
}

#[test]
fn any_processor_passes_events_and_bulk_calls() {
    let group = ProcessorGroup::build();
    group.introduce();
    assert_eq!(group.propose(1, "SB1", "p-0").status, 201);
    let url = format!("http://{}", group.processors[2].address("grpc"));
    let submission = |order: &str, id: &str| v1::ProposalSubmission {
        order_req_id: order.to_owned(),
        proposal: Some(v1::Proposal {
            proposal_id: id.to_owned(),
            seller: "acme".to_owned(),
            price: "9".to_owned(),
            currency: "EUR".to_owned(),
            alternative: id.to_owned(),
            ..v1::Proposal::default()
        }),
        ..v1::ProposalSubmission::default()
    };
    let mut submissions: Vec<_> = (1..=199).map(|n| submission("SB1", &format!("p-{n}"))).collect();
    // A later submission of a call finds the effect of an earlier one, also where it is forwarded.
    for (version, price) in (1..).zip(["8", "7", "6"]) {
        let mut amended = submission("SB1", "p-199");
        let proposal = amended.proposal.as_mut().unwrap();
        (proposal.version, proposal.price) = (version, price.to_owned());
        submissions.push(amended);
    }
    submissions.push(submission("nowhere", "p-1"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let summary = runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect_lazy();
        let mut client = OrderNonStreamingServiceClient::new(channel);
        client.submit_proposals(futures_util::stream::iter(submissions)).await.unwrap().into_inner()
    });
    assert_eq!((summary.accepted, summary.refused), (202, 1), "{:?}", summary.results);
    assert_eq!(summary.results.last().unwrap().reason, "ORDER_NOT_FOUND");
    assert_eq!(group.proposals(1).as_array().unwrap().len(), 200);
    let end = json!({"proposal_id": "p-7"}).to_string();
    let path = "/api/v1/orders/finalize/SB1";
    assert_eq!(post(group.requestor.address("requestor"), path, &end).unwrap().status, 200);
    let events =
        |number| get(group.rest(number), "/api/v1/orders/SB1/events?after=1").unwrap().text;
    assert_eq!(events(2), events(0));
    assert_eq!(events(2).matches("event: NewProposal").count(), 200);
}

/// Returns a reply without the time at which proposals were ranked.
fn timeless(text: &str) -> String {
    let (before, rest) = text.split_once(r#""as_of":""#).unwrap_or((text, ""));
    let after = rest.split_once('"').map_or("", |(_, after)| after);
    format!("{before}{after}")
}

/// Conversation, versions and comparisons are the same at every processor.
#[test]
fn any_processor_gives_the_owners_views() {
    let group = ProcessorGroup::build();
    group.introduce();
    // An id that is also a part of other paths.
    assert_eq!(group.propose(1, "SB1", "orders").status, 201);
    let question = json!({"seller": "acme", "question_id": "q1", "message": "which?"}).to_string();
    let response = post(group.rest(2), "/api/v1/orders/SB1/questions", &question).unwrap();
    assert_eq!(response.status, 201, "{response:?}");
    let seen_body = json!({"seller": "acme"}).to_string();
    assert_eq!(post(group.rest(1), "/api/v1/orders/SB1/seen", &seen_body).unwrap().status, 200);
    let amended = json!({"order_req_id": "SB1", "seller": "acme", "price": "9", "currency": "EUR"});
    let put = "PUT /api/v1/proposals/orders";
    let amend = |etag: &str| send(group.rest(2), put, &[etag], &amended.to_string()).unwrap();
    assert_eq!(amend("if-match: \"1\"").status, 200);
    let late = amend("if-match: \"1\"");
    assert_eq!((late.status, &late.json()["reason"]), (412, &json!("CHANGED")));
    for path in [
        "/api/v1/orders/SB1",
        "/api/v1/orders/SB1/conversation",
        "/api/v1/orders/SB1/comparison",
        "/api/v1/orders/SB1/comparison?format=csv",
        "/api/v1/proposals/orders?order_req_id=SB1",
        "/api/v1/proposals/orders/versions?order_req_id=SB1",
    ] {
        let owner = get(group.rest(0), path).unwrap();
        assert_eq!(owner.status, 200, "{path}: {owner:?}");
        for other in [1, 2] {
            let answer = get(group.rest(other), path).unwrap();
            assert_eq!(timeless(&answer.text), timeless(&owner.text), "{path}");
        }
    }
}
