//! One trace from `kubectl apply` to a proposal, through the logs of all processes.

use super::bed::{Bed, propose};
use crate::process::{Role, until};

/// The trace begins with the applied resource and ends with a proposal.
#[test]
fn one_trace_leads_through_all_logs() {
    let Some(bed) = Bed::make() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (owner_log, operator_log) = (dir.path().join("owner.log"), dir.path().join("operator.log"));
    let any = "127.0.0.1:0";
    let data = path("data");
    let processor = ["processor", "--data-dir", &data, "--sellers", "examples/sellers.yaml"];
    let ports = ["--grpc-addr", any, "--rest-addr", any, "--metrics-addr", any];
    let owner = Role::start_logging(&[&processor[..], &ports].concat(), dir.path(), &owner_log);
    let grpc = format!("http://{}", owner.address("grpc"));
    let kubeconfig = bed.server.kubeconfig().display().to_string();
    let controller = ["controller", "--kubeconfig", &kubeconfig, "--processor", &grpc];
    let namespaces = ["--namespace", &bed.namespace, "--lease-namespace", &bed.namespace];
    let ports = ["--rest-addr", any, "--metrics-addr", any];
    let args = [&controller[..], &namespaces, &ports].concat();
    let _operator = Role::start_logging(&args, dir.path(), &operator_log);

    bed.order("traced");
    let resource = bed.until_phase("traced", "Open");
    let uid = resource["metadata"]["uid"].as_str().unwrap();
    let trace = uid.replace('-', "");
    let sellers = owner.address("rest");
    let proposed = propose(sellers, &bed.namespace, "traced", "p1", "10").unwrap();
    assert_eq!(proposed.status, 201);
    let has_line = |log: &std::path::Path, text: &str| {
        let log = std::fs::read_to_string(log).unwrap();
        log.lines().any(|line| line.contains(&trace) && line.contains(text)).then_some(())
    };
    until("the operator took it up", || has_line(&operator_log, "an order request is taken up"));
    until("its stream is up", || has_line(&operator_log, "the order's stream is up"));
    until("the owner opened it", || has_line(&owner_log, "OrderOpened"));
    until("the owner stored the proposal", || has_line(&owner_log, "NewProposal"));
}
