//! Former incarnations of an order, whose id was opened again: all of each remains, whatever the
//! disk does.

use std::net::SocketAddr;
use std::time::Duration;

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_client::OrderControlServiceClient;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use serde_json::Value;
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::http::{get, post};
use crate::peers::ProcessorGroup;
use crate::process::{Pair, Role, dev, root, run, until};

/// A buyer's program, which opens orders and awards them over gRPC.
struct Buyer {
    runtime: Runtime,
    channel: Channel,
}

impl Buyer {
    fn of(processor: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("http://{processor}");
        let channel = {
            let _inside = runtime.enter();
            tonic::transport::Endpoint::from_shared(url).unwrap().connect_lazy()
        };
        Self { runtime, channel }
    }

    fn within<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let in_time = async { tokio::time::timeout(Duration::from_secs(30), call).await };
        self.runtime.block_on(in_time).unwrap()
    }

    fn open(&self, id: &str, incarnation: &str) -> Result<(), Status> {
        let request = v1::OrderStreamRequest {
            order_req_id: id.to_owned(),
            incarnation: incarnation.to_owned(),
            ..v1::OrderStreamRequest::default()
        };
        let mut client = OrderStreamingServiceClient::new(self.channel.clone());
        self.within(client.process_order_stream(request)).map(drop)
    }

    fn award(&self, id: &str, proposal_id: &str) {
        let order = v1::OrderRef { order_req_id: id.to_owned(), ..v1::OrderRef::default() };
        let request = v1::AwardRequest {
            order: Some(order),
            proposal_id: proposal_id.to_owned(),
            ..v1::AwardRequest::default()
        };
        let mut client = OrderControlServiceClient::new(self.channel.clone());
        self.within(client.award(request)).unwrap();
    }
}

fn propose(rest: SocketAddr, id: &str, proposal_id: &str) {
    let body = format!(
        r#"{{"order_req_id":"{id}","proposal_id":"{proposal_id}","seller":"acme","price":"7",
            "currency":"EUR","alternative":"{proposal_id}"}}"#
    );
    let response = post(rest, "/api/v1/proposals", &body).unwrap();
    assert_eq!(response.status, 201, "{response:?}");
}

/// Returns the proposal that won an order, or an incarnation of it, and the number of its events.
fn winner(rest: SocketAddr, id: &str, query: &str) -> (String, u64) {
    let response = get(rest, &format!("/api/v1/orders/{id}{query}")).unwrap();
    assert_eq!(response.status, 200, "{id}{query}: {response:?}");
    let order = response.json();
    let whole = order["award"]["Whole"].as_str().unwrap_or_default();
    (whole.to_owned(), order["last_seq"].as_u64().unwrap())
}

#[test]
fn awards_outlive_full_disks_and_reopened_ids() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("processor");
    let mut args = vec!["processor", "--data-dir", data.to_str().unwrap()];
    for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    let mut processor = Role::start_limited(&args, dir.path());
    let (grpc, rest) = (processor.address("grpc"), processor.address("rest"));
    let buyer = Buyer::of(grpc);
    buyer.open("T1", "uid-1").unwrap();
    propose(rest, "T1", "p1");
    buyer.award("T1", "p1");
    processor.fill_disk();
    for _ in 0..3 {
        let refused = buyer.open("T1", "uid-2").unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        assert_eq!(winner(rest, "T1", ""), ("p1".to_owned(), 4), "while there is no room");
    }
    processor.free_disk();
    until("records are taken again", || buyer.open("T2", "uid-3").ok());
    assert_eq!(winner(rest, "T1", ""), ("p1".to_owned(), 4), "with room again");
    processor.kill();
    processor.restart();
    assert_eq!(winner(rest, "T1", ""), ("p1".to_owned(), 4), "after a restart");
    // The client first detects that its connection to the killed process is broken.
    until("the name is opened anew", || buyer.open("T1", "uid-2").ok());
    for _ in 0..2 {
        assert_eq!(winner(rest, "T1", ""), (String::new(), 2), "the new one is a new order");
        assert_eq!(winner(rest, "T1", "?incarnation=uid-1"), ("p1".to_owned(), 4));
        let events = get(rest, "/api/v1/orders/T1/events?incarnation=uid-1").unwrap().text;
        assert!(events.contains("OrderFinalised"), "{events}");
        processor.kill();
        processor.restart();
    }
}

#[test]
fn recreated_resources_have_two_readable_orders() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev(dir.path(), &["--apply", root().join("examples/sellers.yaml").to_str().unwrap()]);
    let (server, rest) = (format!("http://{}", dev.address("requestor")), dev.address("rest"));
    let verb = |args: &[&str]| {
        let output = run(&[args, &["--server", &server]].concat());
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let mut incarnations = Vec::new();
    for proposal_id in ["p1", "p2"] {
        verb(&["apply", "-f", "examples/steel-coils.yaml"]);
        verb(&["wait", "steel-coils", "--for", "phase=Open"]);
        let body = format!(
            r#"{{"order_req_id":"steel-coils","proposal_id":"{proposal_id}",
                "seller":"saar-coils","price":"1","currency":"EUR"}}"#
        );
        let response = post(rest, "/api/v1/proposals", &body).unwrap();
        assert_eq!(response.status, 201, "{response:?}");
        let question = r#"{"seller":"saar-coils","question_id":"q-1","message":"How wide?"}"#;
        let response = post(rest, "/api/v1/orders/steel-coils/questions", question).unwrap();
        assert_eq!(response.status, 201, "{response:?}");
        let order = get(rest, "/api/v1/orders/steel-coils").unwrap().json();
        incarnations.push(order["incarnation"].as_str().unwrap().to_owned());
        verb(&["delete", "steel-coils"]);
        verb(&["wait", "steel-coils", "--for", "delete"]);
        until("the order is cancelled", || {
            let order = get(rest, "/api/v1/orders/steel-coils").ok()?.json();
            (order["phase"] == "Cancelled").then_some(())
        });
    }
    assert_ne!(incarnations[0], incarnations[1]);
    let newest = get(rest, "/api/v1/orders/steel-coils").unwrap().json();
    assert_eq!(newest["incarnation"], *incarnations[1]);
    assert_eq!(newest["former_incarnations"][0]["incarnation"], *incarnations[0], "{newest}");
    for (incarnation, proposal_id) in incarnations.iter().zip(["p1", "p2"]) {
        let path = format!("/api/v1/orders/steel-coils/proposals?incarnation={incarnation}");
        let page = get(rest, &path).unwrap().json();
        let proposals = page["proposals"].as_array().unwrap();
        let ids: Vec<&Value> = proposals.iter().map(|proposal| &proposal["proposal_id"]).collect();
        assert_eq!(ids, [proposal_id], "{page}");
        let status = status_of(&server, rest, &["--incarnation", incarnation]);
        assert_eq!(status["incarnation"], **incarnation);
        assert_eq!(status["proposals"][0]["proposal_id"], proposal_id, "{status}");
        assert!(!status["timeline"].as_array().unwrap().is_empty(), "{status}");
    }
    only_reads_a_former_one(&server, rest, &incarnations[0]);
    let status = status_of(&server, rest, &[]);
    assert_eq!(status["former_incarnations"][0]["incarnation"], *incarnations[0], "{status}");
}

/// Checks that the CLI labels a former incarnation, and suggests no command for it: that would run
/// on the newest.
fn only_reads_a_former_one(server: &str, rest: SocketAddr, incarnation: &str) {
    let rest = format!("http://{rest}");
    let run_verb = |verb: &str, more: &[&str]| {
        let args = [verb, "steel-coils", "--server", server, "--processor-rest", &rest];
        let output = run(&[&args, more].concat());
        assert!(output.status.success(), "{verb} {more:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let label = "\n  a former incarnation, which can only be read\n";
    let named = ["--incarnation", incarnation];
    let (newest, former) = (run_verb("status", &[]), run_verb("status", &named));
    assert!(newest.contains(incarnation) && !newest.contains(label), "{newest}");
    assert!(former.contains(label), "{former}");
    assert!(!former.contains("--incarnation") && !former.contains("next:"), "{former}");
    let (newest, former) = (run_verb("conversation", &[]), run_verb("conversation", &named));
    let hint = "hint: orderstream ask steel-coils --answers q-1 ANSWER";
    assert!(newest.contains(hint), "{newest}");
    assert!(former.contains("How wide?") && !former.contains("hint:"), "{former}");
}

/// Returns the output of `orderstream status steel-coils`.
fn status_of(server: &str, rest: SocketAddr, args: &[&str]) -> Value {
    let rest = format!("http://{rest}");
    let verb =
        ["status", "steel-coils", "-o", "json", "--server", server, "--processor-rest", &rest];
    let output = run(&[&verb, args].concat());
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// This holds also where the newest incarnation has another owner.
#[test]
fn every_processor_reads_former_incarnations() {
    let group = ProcessorGroup::build();
    group.introduce();
    propose(group.rest(0), "SB1", "p1");
    let buyer = |number: usize| Buyer::of(group.processors[number].address("grpc"));
    buyer(0).award("SB1", "p1");
    let first = get(group.rest(0), "/api/v1/orders/SB1").unwrap().json();
    let query = format!("?incarnation={}", first["incarnation"].as_str().unwrap());
    buyer(1).open("SB1", "uid-2").unwrap();
    assert_eq!(winner(group.rest(1), "SB1", ""), (String::new(), 2), "it has the newer one");
    for number in 0..3 {
        assert_eq!(winner(group.rest(number), "SB1", &query), ("p1".to_owned(), 4), "{number}");
        assert_eq!(winner(group.rest(number), "SB1", "?incarnation=uid-2").1, 2, "{number}");
        let unknown = get(group.rest(number), "/api/v1/orders/SB1?incarnation=uid-3").unwrap();
        assert_eq!((unknown.status, &unknown.json()["reason"]), (404, &"ORDER_NOT_FOUND".into()));
    }
}

/// The former owner lost its disk.
#[test]
fn proposals_follow_orders_to_new_owners() {
    let mut group = ProcessorGroup::build();
    group.introduce();
    let open = |group: &ProcessorGroup, number: usize, incarnation: &str| {
        Buyer::of(group.processors[number].address("grpc")).open("T2", incarnation).unwrap();
    };
    open(&group, 0, "uid-1");
    propose(group.rest(2), "T2", "p1");
    group.processors[0].kill();
    group.lose_disk(0);
    group.processors[0].restart();
    open(&group, 1, "uid-2");
    propose(group.rest(2), "T2", "p2");
    assert_eq!(winner(group.rest(1), "T2", "").1, 3, "it is the third event there");
}

/// A requestor and `dev` refuse it, also after restarts.
#[test]
fn ended_orders_cannot_be_initiated_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut pair, mut dev) = (Pair::start(), dev(dir.path(), &[]));
    for is_restarted in [false, true] {
        if is_restarted {
            for role in [&mut pair.processor, &mut pair.requestor, &mut dev] {
                role.kill();
                role.restart();
            }
        }
        let endpoints = [
            (pair.requestor.address("requestor"), pair.processor.address("rest")),
            (dev.address("requestor"), dev.address("rest")),
        ];
        for (requestor, rest) in endpoints {
            let initiate = r#"{"order_req_id":"T1","session_id":"s","notification_type":"email"}"#;
            if !is_restarted {
                let response = post(requestor, "/api/v1/orders/initiate", initiate).unwrap();
                assert_eq!(response.status, 200, "{response:?}");
                until("the order is open", || {
                    get(rest, "/api/v1/orders/T1").ok().filter(|response| response.status == 200)
                });
                propose(rest, "T1", "p1");
                until("it is awarded", || {
                    let body = r#"{"proposal_id":"p1"}"#;
                    let response = post(requestor, "/api/v1/orders/award/T1", body).ok()?;
                    (response.status == 200).then_some(())
                });
                until("the end is known", || {
                    let order = get(rest, "/api/v1/orders/T1").ok()?.json();
                    (order["phase"] == "Finalised").then_some(())
                });
            }
            until("the name is refused", || {
                let response = post(requestor, "/api/v1/orders/initiate", initiate).ok()?;
                (response.status == 409)
                    .then(|| assert_eq!(response.json()["reason"], "ORDER_ENDED"))
            });
            assert_eq!(winner(rest, "T1", "").0, "p1");
        }
    }
}
