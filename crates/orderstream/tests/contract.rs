//! The REST interfaces against their own OpenAPI documents: schemathesis, which knows only these,
//! sends requests that they allow and many that they do not. A fault of the server fails the test,
//! as does a response with a status, header or body other than described.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::http::{get, post};
use crate::process::{Pair, until};

/// The variable with the path of schemathesis; set by `cargo xtask test`.
const VARIABLE: &str = "ORDERSTREAM_TEST_SCHEMATHESIS";
/// The limit of cases for each operation; they take about half a minute for one service.
const EXAMPLES_MAX: &str = "40";
/// The limit of time for one service, seconds.
const TIME_S_MAX: &str = "40";
/// The checks that hold for every request. A body may have nulls and second names of fields, so that
/// not everything outside a schema is refused; and a schema cannot express everything that is
/// refused.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,\
                      unsupported_method,allow_header_conformance";

/// Checks one service against its document.
fn check_against_document(service: &str, address: SocketAddr) {
    let Some(program) = std::env::var_os(VARIABLE) else {
        println!("SKIPPED: {VARIABLE} is not set; `cargo xtask test` sets it");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .current_dir(dir.path())
        .args(["run", &format!("http://{address}/api/v1/openapi.json")])
        .args(["--checks", CHECKS, "--max-examples", EXAMPLES_MAX, "--max-time", TIME_S_MAX])
        // A stream of events has no end while its order is open; it has tests of its own.
        .args(["--exclude-path-regex", "/events$"])
        .args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure"])
        .args(["--seed", "20261125", "--request-timeout", "10", "--no-color"])
        .args(["--warnings", "off", "--generation-database", "none"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{service}: {stdout}\n{stderr}");
    println!("{service}: {stdout}");
    let cases = stdout.lines().find(|line| line.contains("generated"));
    assert!(cases.is_some(), "it says how many cases it made: {stdout}");
}

fn post_ok(address: SocketAddr, path: &str, body: &Value) {
    let response = post(address, path, &body.to_string()).unwrap();
    assert!(response.status < 300, "{path}: {response:?}");
}

/// Opens orders with proposals, questions and follow-ups, under the ids of the documents' examples.
fn populate(pair: &Pair) {
    let (buyers, sellers) = (pair.requestor.address("requestor"), pair.processor.address("rest"));
    for (id, sealed) in [("SB1029436", false), ("SB2", false), ("sealed", true)] {
        let order = json!({ "order_req_id": id, "sealed": sealed,
                            "items": [{ "sku": "A4-80", "quantity": "100" }] });
        post_ok(buyers, "/api/v1/orders/initiate", &order);
        until("the order is at its processor", || {
            let response = get(sellers, &format!("/api/v1/orders/{id}")).unwrap();
            (response.status == 200).then_some(())
        });
        for (number, seller, price) in [("P-1", "seller1", "10"), ("P-2", "seller2", "12.5")] {
            let proposal = json!({ "order_req_id": id, "proposal_id": number, "seller": seller,
                                   "price": price, "currency": "EUR",
                                   "attachments": ["https://seller1.example/offer.pdf"] });
            post_ok(sellers, "/api/v1/proposals", &proposal);
        }
        let question = json!({ "seller": "seller1", "question_id": "q-1", "message": "which?" });
        post_ok(sellers, &format!("/api/v1/orders/{id}/questions"), &question);
        let follow_up = json!({ "order_req_id": id, "follow_up_id": "f-1", "answers": "q-1",
                                "message": "any" });
        post_ok(buyers, "/api/v1/orders/followup", &follow_up);
    }
}

#[test]
fn processor_keeps_to_its_openapi_document() {
    let pair = Pair::start();
    populate(&pair);
    check_against_document("processor", pair.processor.address("rest"));
}

#[test]
fn requestor_keeps_to_its_openapi_document() {
    let pair = Pair::start();
    populate(&pair);
    check_against_document("requestor", pair.requestor.address("requestor"));
}

#[test]
fn served_openapi_documents_are_checked_in() {
    let pair = Pair::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi");
    for (name, address) in [
        ("processor", pair.processor.address("rest")),
        ("requestor", pair.requestor.address("requestor")),
    ] {
        let served = get(address, "/api/v1/openapi.json").unwrap().text;
        let stored = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        assert!(served == stored, "{name}.json is stale; run `cargo xtask codegen`");
    }
}
