//! The buyer's verbs on a cluster, through the kubeconfig.

use std::process::Output;

use serde_json::Value;

use super::bed::Bed;
use crate::process::run;

fn verb(bed: &Bed, args: &[&str]) -> Output {
    let kubeconfig = bed.server.kubeconfig().display().to_string();
    run(&[args, &["--kubeconfig", &kubeconfig, "--namespace", &bed.namespace]].concat())
}

fn ok(bed: &Bed, args: &[&str]) -> String {
    let output = verb(bed, args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(bed: &Bed, args: &[&str]) -> (Option<i32>, String) {
    let output = verb(bed, args);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn verbs_lead_from_apply_to_removal() {
    let Some(bed) = Bed::make() else { return };
    let controller = bed.controller();
    assert_eq!(ok(&bed, &["list"]), "no order requests\n");
    let manifest = "examples/office-chairs.yaml";
    assert_eq!(ok(&bed, &["apply", "-f", manifest]), "orderrequest/office-chairs created\n");
    assert_eq!(ok(&bed, &["apply", "-f", manifest]), "orderrequest/office-chairs unchanged\n");
    ok(&bed, &["wait", "office-chairs", "--for", "condition=Ready"]);
    assert_eq!(bed.propose("OR-2041", "p1", "7418.40").unwrap().status, 201);
    ok(&bed, &["wait", "office-chairs", "--for", "proposals=1"]);
    let table = ok(&bed, &["list", "--all-namespaces"]);
    assert!(table.contains("office-chairs") && table.contains("7418.40 EUR"), "{table}");

    let resource: Value =
        serde_json::from_str(&ok(&bed, &["get", "office-chairs", "-o", "json"])).unwrap();
    assert_eq!(resource["kind"], "OrderRequest");
    let mut awarded = resource;
    awarded["spec"]["award"] = serde_json::json!({ "proposalId": "p1" });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("awarded.json");
    std::fs::write(&file, awarded.to_string()).unwrap();
    let applied = ok(&bed, &["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(applied, "orderrequest/office-chairs configured\n", "what was printed is applied");
    ok(&bed, &["wait", "office-chairs", "--for", "phase=Finalised"]);
    let (tenant, url) = (&bed.namespace, format!("http://{}", bed.sellers()));
    let server = format!("http://{}", controller.address("requestor"));
    let servers = ["--server", &server, "--processor-rest", &url, "--namespace", tenant];
    let watched = run(&[&["watch", "OR-2041"][..], &servers].concat());
    let printed = String::from_utf8_lossy(&watched.stdout);
    assert!(watched.status.success() && printed.contains("OrderFinalised"), "{watched:?}");
    ok(&bed, &["delete", "office-chairs"]);
    ok(&bed, &["wait", "office-chairs", "--for", "delete"]);
    let (code, text) = refused(&bed, &["get", "office-chairs"]);
    assert!(code == Some(4) && text.contains("office-chairs"), "{code:?} {text}");
}

#[test]
fn cluster_refusals_name_reason_and_fix() {
    let Some(bed) = Bed::make() else { return };
    bed.order("held");
    let dir = tempfile::tempdir().unwrap();
    let write = |spec: &str| {
        let file = dir.path().join("held.yaml");
        let text = format!(
            "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
             metadata: {{name: held}}\nspec: {spec}\n"
        );
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let file = write("{expiresIn: 2h}");
    let (code, text) = refused(&bed, &["apply", "-f", &file]);
    assert!(code == Some(4) && text.contains("--force-conflicts"), "{code:?} {text}");
    let forced = ok(&bed, &["apply", "-f", &file, "--force-conflicts"]);
    assert_eq!(forced, "orderrequest/held configured\n");
    let file = write("{expiresIn: 1h}");
    let (code, text) = refused(&bed, &["apply", "-f", &file, "--force-conflicts"]);
    assert!(code == Some(2) && text.contains("expiresIn"), "{code:?} {text}");
    let (code, text) = refused(&bed, &["list", "--context", "nowhere"]);
    assert!(code == Some(2) && text.contains("nowhere"), "{code:?} {text}");

    let sellers = ok(&bed, &["apply", "-f", "examples/sellers.yaml"]);
    assert!(sellers.contains("seller/chairs-rosenheim created"), "{sellers}");
}

#[test]
fn unreachable_clusters_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": "http://127.0.0.1:9" } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    std::fs::write(&file, config.to_string()).unwrap();
    let output = run(&["list", "--kubeconfig", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(5) && text.contains("127.0.0.1:9"), "{text}");
    let output = run(&["list", "--kubeconfig", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(2));
}
