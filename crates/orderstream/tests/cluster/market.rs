//! Buyers and sellers on a cluster by commands alone: buyers' commands edit the order request, and
//! the processor is reached through the API server.

use std::net::{IpAddr, UdpSocket};
use std::process::Output;

use serde_json::json;

use super::bed::Bed;
use crate::http::get;
use crate::process::{Role, run};

/// Returns an address of this machine that an API server may proxy to: not a loopback one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Connecting a datagram socket sends nothing; it only chooses the address.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Starts a processor, and makes a Service for it with the chart's labels.
fn processor_behind_service(bed: &Bed, address: IpAddr, dir: &std::path::Path) -> Role {
    let data = dir.join("data").display().to_string();
    let rest = format!("{address}:0");
    let mut args = vec!["processor", "--data-dir", &data, "--sellers", "examples/sellers.yaml"];
    args.extend(["--grpc-addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0"]);
    args.extend(["--rest-addr", &rest]);
    let processor = Role::start(&args, dir);
    let port = processor.address("rest").port();
    let labels = json!({
        "app.kubernetes.io/part-of": "orderstream",
        "app.kubernetes.io/component": "processor",
    });
    let metadata = json!({"name": "orderstream-processor", "labels": labels});
    bed.apply(
        &json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"ports": [{"name": "rest", "port": 8005, "targetPort": port}]},
        })
        .to_string(),
    );
    let ports = json!([{"name": "rest", "port": port, "protocol": "TCP"}]);
    // An API server proxies to pods only.
    let containers = json!([{"name": "processor", "image": "orderstream"}]);
    bed.apply(
        &json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "processor-0"},
            "spec": {"containers": containers},
        })
        .to_string(),
    );
    let ips = json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}}).to_string();
    bed.kubectl(&["patch", "pod", "processor-0", "--subresource=status", "-p", &ips]);
    let pod = json!({"kind": "Pod", "name": "processor-0", "namespace": bed.namespace});
    let subsets = json!([{"addresses": [{"ip": address, "targetRef": pod}], "ports": ports}]);
    let name = json!({"name": "orderstream-processor"});
    bed.apply(
        &json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": name, "subsets": subsets})
            .to_string(),
    );
    processor
}

fn verb(bed: &Bed, args: &[&str]) -> Output {
    let kubeconfig = bed.server.kubeconfig().display().to_string();
    run(&[args, &["--kubeconfig", &kubeconfig, "--namespace", &bed.namespace]].concat())
}

fn ok(bed: &Bed, line: &str) -> String {
    let args: Vec<&str> = line.split_whitespace().collect();
    let output = verb(bed, &args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Buyers edit the order request, and sellers reach the processor.
#[test]
fn commands_work_through_the_api_server() {
    let Some(bed) = Bed::make() else { return };
    let Some(address) = own_address() else { return };
    let dir = tempfile::tempdir().unwrap();
    let processor = processor_behind_service(&bed, address, dir.path());
    let grpc = format!("http://{}", processor.address("grpc"));
    let kubeconfig = bed.server.kubeconfig();
    let flags = ["--processor", &grpc, "--namespace", &bed.namespace];
    let _controller = bed.controller_of(&kubeconfig, &flags);

    ok(&bed, "submit -f examples/office-chairs.yaml");
    ok(&bed, "wait office-chairs --for condition=Ready");
    let why = ok(&bed, "why office-chairs");
    assert!(why.contains("3 of 10 invited") && why.contains("\nstream up: "), "{why}");
    ok(
        &bed,
        "propose OR-2041 --proposal-id p-1 --seller chairs-rosenheim --price 9.50 --currency EUR",
    );
    ok(&bed, "lock OR-2041 p-1 --seller chairs-rosenheim");
    ok(&bed, "unlock OR-2041 p-1 --seller chairs-rosenheim");
    let amended = ok(&bed, "amend OR-2041 p-1 --seller chairs-rosenheim --price 8.50");
    assert!(amended.contains("price: 9.50 EUR -> 8.50 EUR"), "{amended}");

    ok(&bed, "ask office-chairs Hello --key f-1");
    let resource = bed.get("office-chairs").unwrap();
    assert_eq!(resource["spec"]["followUps"][0]["id"], "f-1", "the act is an edit: {resource}");
    assert!(ok(&bed, "pause office-chairs --reason stocktaking").contains("-chairs paused"));
    assert_eq!(bed.get("office-chairs").unwrap()["spec"]["suspendReason"], "stocktaking");
    assert!(ok(&bed, "resume office-chairs").contains("takes proposals until "));
    ok(&bed, "award office-chairs p-1 --undo-within 10m");
    ok(&bed, "undo-award office-chairs --reason typo");
    let output = ok(&bed, "award office-chairs p-1");
    assert!(
        output.starts_with("awarded p-1 of chairs-rosenheim for 8.50 EUR; 0 other"),
        "{output}"
    );
    let status = ok(&bed, "status OR-2041");
    assert!(status.contains("Finalised since ") && status.contains("AwardUndone"), "{status}");
    let path = format!("/api/v1/orders/OR-2041/events?tenant={}", bed.namespace);
    let events = get(processor.address("rest"), &path).unwrap().text;
    assert!(events.contains("stocktaking") && events.contains("typo"), "{events}");
    let late = verb(&bed, &["award", "office-chairs", "--none"]);
    let text = String::from_utf8_lossy(&late.stderr);
    assert!(late.status.code() == Some(4) && text.contains("[ALREADY_AWARDED]"), "{text}");
    drop(processor);
}
