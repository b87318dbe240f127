//! The buyer's verbs, from applying a manifest to its end.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::http::post;
use crate::process::{BINARY, Role, dev, root, run};

struct DevServer {
    dev: Role,
    server: String,
    _dir: tempfile::TempDir,
}

impl DevServer {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sellers = root().join("examples/sellers.yaml");
        let dev = dev(dir.path(), &["--apply", sellers.to_str().unwrap()]);
        let server = format!("http://{}", dev.address("requestor"));
        Self { dev, server, _dir: dir }
    }

    fn verb(&self, args: &[&str]) -> Output {
        run(&[args, &["--server", &self.server]].concat())
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.verb(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn crd_prints_the_checked_in_definitions() {
    let printed = String::from_utf8(run(&["crd"]).stdout).unwrap();
    for name in ["orderrequests", "sellers"] {
        let file = root().join(format!("deploy/crds/{name}.orderstream.dev.yaml"));
        let text = std::fs::read_to_string(file).unwrap();
        assert!(printed.contains(text.trim().trim_start_matches("---").trim()), "{name} differs");
    }
}

#[test]
fn verbs_lead_from_apply_to_award() {
    let dev_server = DevServer::start();
    assert_eq!(dev_server.ok(&["list"]), "no order requests\n");
    let manifest = "examples/office-chairs.yaml";
    assert_eq!(dev_server.ok(&["apply", "-f", manifest]), "orderrequest/office-chairs created\n");
    dev_server.ok(&["wait", "office-chairs", "--for", "phase=Open"]);
    let resource: Value =
        serde_json::from_str(&dev_server.ok(&["get", "office-chairs", "-o", "json"])).unwrap();
    assert_eq!(resource["status"]["sellers"]["selected"], 3, "{resource}");

    let proposal = r#"{"order_req_id":"OR-2041","proposal_id":"p1","seller":"chairs-rosenheim",
                       "price":"7418.40","currency":"EUR"}"#;
    let response = post(dev_server.dev.address("rest"), "/api/v1/proposals", proposal).unwrap();
    assert_eq!(response.status, 201, "{response:?}");
    dev_server.ok(&["wait", "office-chairs", "--for", "proposals=1"]);
    let table = dev_server.ok(&["list"]);
    assert!(table.contains("office-chairs") && table.contains("7418.40 EUR"), "{table}");
    assert!(table.trim_end().ends_with("Office chairs for the new floor"), "{table}");
    assert_eq!(dev_server.ok(&["list", "-o", "name"]), "orderrequest/office-chairs\n");
    assert!(dev_server.ok(&["list", "-o", "wide"]).contains("  PROCESSOR  "));
    let paused = dev_server.ok(&["list", "--phase", "paused,expired"]);
    assert_eq!(paused, "no order requests in these phases\n");
    assert_eq!(dev_server.verb(&["list", "--phase", "Bogus"]).status.code(), Some(2));

    let text = std::fs::read_to_string(root().join(manifest)).unwrap();
    let awarded = text.replace("spec:\n", "spec:\n  award: {proposalId: p1}\n");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("awarded.yaml");
    std::fs::write(&file, awarded).unwrap();
    let applied = dev_server.ok(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(applied, "orderrequest/office-chairs configured\n");
    dev_server.ok(&["wait", "office-chairs", "--for", "phase=Finalised"]);
    let rest = format!("http://{}", dev_server.dev.address("rest"));
    let watched = dev_server.ok(&["watch", "office-chairs", "--processor-rest", &rest]);
    assert!(watched.contains("  OrderFinalised  "), "{watched}");

    let late = dev_server.verb(&["wait", "office-chairs", "--for", "proposals=9"]);
    assert_eq!(late.status.code(), Some(4), "an ended order takes no more proposals");
}

#[test]
fn deleted_orders_are_cancelled() {
    let dev_server = DevServer::start();
    dev_server.ok(&["apply", "-f", "examples/steel-coils.yaml"]);
    dev_server.ok(&["wait", "steel-coils", "--for", "phase=Open"]);
    dev_server.ok(&["delete", "steel-coils"]);
    dev_server.ok(&["wait", "steel-coils", "--for", "delete"]);
    assert_eq!(dev_server.verb(&["get", "steel-coils"]).status.code(), Some(4));
    let proposal = r#"{"order_req_id":"steel-coils","seller":"saar-coils","price":"1",
                       "currency":"EUR"}"#;
    let response = post(dev_server.dev.address("rest"), "/api/v1/proposals", proposal).unwrap();
    assert_eq!((response.status, &response.json()["reason"]), (409, &"ORDER_ENDED".into()));
}

#[test]
fn waiting_ends_in_time() {
    let dev_server = DevServer::start();
    dev_server.ok(&["apply", "-f", "examples/it-services.yaml"]);
    let late = dev_server.verb(&["wait", "it-services", "--for", "proposals=9", "--timeout", "1s"]);
    assert_eq!(late.status.code(), Some(3));
    for state in ["luck", "phase=Bogus", "condition=Luck"] {
        let unknown = dev_server.verb(&["wait", "it-services", "--for", state]);
        assert_eq!(unknown.status.code(), Some(2), "{state}");
    }
}

#[test]
fn waiting_begins_before_the_order_is_there() {
    let dev_server = DevServer::start();
    let early = dev_server.verb(&["wait", "steel-coils", "--for", "create", "--timeout", "1s"]);
    let error = String::from_utf8(early.stderr).unwrap();
    assert_eq!(early.status.code(), Some(3), "{error}");
    assert!(error.contains("there is no OrderRequest steel-coils"), "{error}");
    let mut command = Command::new(BINARY);
    command.args(["wait", "steel-coils", "--for", "phase=Open", "-o", "json"]);
    command.args(["--server", &dev_server.server]).stdout(Stdio::piped()).current_dir(root());
    let waiting = command.spawn().unwrap();
    dev_server.ok(&["apply", "-f", "examples/steel-coils.yaml"]);
    let output = waiting.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!((&report["name"], &report["phase"]), (&"steel-coils".into(), &"Open".into()));
}
