//! A seller's inbox over several processors, and by commands.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use serde_json::{Value, json};

use crate::http::{get, post};
use crate::market::{Market, row};
use crate::peers::ProcessorGroup;
use crate::process::{BINARY, root, until};

const INBOX: &str = "/api/v1/sellers/acme/invitations";

/// Opens an order at one of the processors, as a requestor does.
fn open(group: &ProcessorGroup, number: usize, id: &str) {
    let url = format!("http://{}", group.processors[number].address("grpc"));
    let request =
        v1::OrderStreamRequest { order_req_id: id.to_owned(), ..v1::OrderStreamRequest::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect_lazy();
        let mut client = OrderStreamingServiceClient::new(channel);
        let mut events = client.process_order_stream(request).await.unwrap().into_inner();
        assert_eq!(events.message().await.unwrap().unwrap().seq, 1);
    });
}

fn inbox(group: &ProcessorGroup, number: usize, query: &str) -> Value {
    let response = get(group.rest(number), &format!("{INBOX}{query}")).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn ids(page: &Value) -> Vec<&str> {
    let entries = page["invitations"].as_array().unwrap().iter();
    entries.map(|entry| entry["order_req_id"].as_str().unwrap()).collect()
}

#[test]
fn any_processor_has_the_whole_inbox() {
    let mut group = ProcessorGroup::build();
    group.introduce();
    open(&group, 1, "SB0");
    open(&group, 2, "SB2");
    open(&group, 1, "SB3");
    let all = ["SB0", "SB1", "SB2", "SB3"];
    for number in 0..3 {
        let whole = inbox(&group, number, "");
        assert_eq!((ids(&whole), &whole["unreached"]), (all.to_vec(), &json!([])), "{number}");
        let first = inbox(&group, number, "?limit=3");
        assert_eq!((ids(&first), &first["next"]), (all[..3].to_vec(), &json!("SB2")));
        let rest = inbox(&group, number, "?limit=3&after=SB2");
        assert_eq!((ids(&rest), &rest["next"]), (vec!["SB3"], &Value::Null));
    }
    let silent = format!("http://{}", group.processors[1].address("grpc"));
    group.processors[1].kill();
    let partial = inbox(&group, 0, "");
    assert_eq!((ids(&partial), &partial["unreached"]), (vec!["SB1", "SB2"], &json!([silent])));
    group.processors[1].restart();
    until("the inbox is whole again", || (ids(&inbox(&group, 0, "")) == all).then_some(()));
}

#[test]
fn watched_inboxes_have_orders_of_all_processors() {
    let group = ProcessorGroup::build();
    group.introduce();
    open(&group, 1, "SB2");
    let mut command = Command::new(BINARY);
    command.args(["inbox", "--seller", "acme", "--watch", "-o", "json"]).current_dir(root());
    command.env("ORDERSTREAM_PROCESSOR_REST", format!("http://{}", group.rest(0)));
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut until_line = |id: &str, state: &str| loop {
        let line = lines.next().unwrap_or_else(|| panic!("no {id} {state}")).unwrap();
        let entry: Value = serde_json::from_str(&line).unwrap();
        if entry["order_req_id"] == id && (state.is_empty() || entry["state"] == state) {
            return entry;
        }
    };
    until_line("SB2", "");
    let body = json!({"order_req_id": "SB2", "proposal_id": "p-1", "seller": "acme",
                      "price": "10.50", "currency": "EUR"});
    let response = post(group.rest(2), "/api/v1/proposals", &body.to_string()).unwrap();
    assert_eq!(response.status, 201, "{response:?}");
    let entry = until_line("SB2", "Proposed");
    assert_eq!(entry["proposals"][0]["price"], "10.50", "{entry}");
    open(&group, 2, "SB3");
    until_line("SB3", "");
    let id = watch.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(watch.wait().unwrap().code(), Some(130));
}

#[test]
fn inbox_shows_what_waits_for_a_seller() {
    let market = Market::start();
    market.ok("submit -f examples/office-chairs.yaml");
    market.ok("wait office-chairs --for condition=Streaming");
    let before = market.ok("inbox --seller chairs-rosenheim");
    let cells = row(&before, "OR-2041");
    assert_eq!((cells[1], &cells[4..6]), ("Open", &["-", "-"][..]), "{before}");
    assert!(cells[3].contains("Z (in "), "{before}");
    assert!(before.ends_with("\nnext: orderstream status OR-2041\n"), "{before}");
    market.ok("status OR-2041");
    market.ok(
        "propose OR-2041 --proposal-id p-1 --seller chairs-rosenheim --price 700.50 --currency EUR",
    );
    let after = market.ok("inbox --seller chairs-rosenheim");
    assert_eq!(row(&after, "OR-2041")[4..6], ["p-1 v1", "700.50 EUR"], "{after}");
    assert!(!after.contains("next:"), "{after}");
    let other = market.ok("inbox --seller moebel-augsburg -o json");
    let other: Value = serde_json::from_str(&other).unwrap();
    assert_eq!((ids(&other), &other["seller"]), (vec!["OR-2041"], &json!("moebel-augsburg")));
    assert!(!other.to_string().contains("700.50"), "{other}");
    assert_eq!(market.ok("inbox --seller nobody"), "no open order invites nobody\n");
    let (code, error) = market.refused("inbox --seller nobody --watch --ended");
    assert!(code == 2 && error.contains("--ended"), "{code}: {error}");
}
