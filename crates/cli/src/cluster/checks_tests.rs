//! Tests of the checks: a healthy installation passes, and every check that can fail is made to
//! fail once.

use std::collections::BTreeSet;

use orderstream_core::TenantScope;
use serde_json::{Value, json};

use super::*;

#[path = "checks_causes_tests.rs"]
mod causes;

const PROCESSOR: &str = "orderstream_processor_expiry_overdue_seconds 0\n\
    orderstream_journal_disk_bytes{state=\"free\"} 60\n\
    orderstream_journal_disk_bytes{state=\"total\"} 100\n\
    orderstream_journal_damaged_orders 0\norderstream_journal_read_only 0\n\
    orderstream_journal_damaged{kind=\"file\"} 0\norderstream_journal_damaged{kind=\"list\"} 0\n\
    orderstream_journal_damaged{kind=\"record\"} 0\n\
    orderstream_journal_sync_seconds_sum 1\norderstream_journal_sync_seconds_count 1000\n";
const LEADER: &str = "leader_election_master_status{name=\"l\"} 1\n\
    orderstream_requestor_streams_active 41\n\
    orderstream_order_streams{stream=\"Reconnecting\"} 0\norderstream_status_writes_waiting 2\n";

fn pod(name: &str, component: &str, page: &str) -> Pod {
    Pod {
        name: name.to_owned(),
        component: component.to_owned(),
        is_ready: true,
        address: "10.0.0.1".to_owned(),
        reason: String::new(),
        restarts: 0,
        metrics: Ok(MetricsPage::parse(page)),
    }
}

fn workload(name: &str, wanted: u64) -> Workload {
    Workload {
        name: name.to_owned(),
        desired: wanted,
        ready: wanted,
        updated: wanted,
        created: wanted,
        ..Workload::default()
    }
}

/// Returns a controller in a namespace that takes all orders without another controller's name.
fn controller(namespace: &str) -> ControllerFacts {
    ControllerFacts {
        namespace: namespace.to_owned(),
        name: "c".to_owned(),
        release: "r".to_owned(),
        controller_name: "orderstream".to_owned(),
        watched: TenantScope::All,
    }
}

fn definition(name: &str) -> Value {
    use kube::CustomResourceExt as _;
    let mut installed = match name.starts_with("sellers") {
        true => orderstream_api::crd::value(&orderstream_api::seller::Seller::crd()),
        false => orderstream_api::crd::value(&orderstream_api::order_request::OrderRequest::crd()),
    };
    installed["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
    // The fields that an API server adds.
    installed["spec"]["conversion"] = json!({"strategy": "None"});
    installed
}

/// Returns the facts of an installation where everything is as it should be.
fn healthy() -> InstallationFacts {
    let names = ["orderrequests.orderstream.dev", "sellers.orderstream.dev"];
    let lease = LeaseFacts { holder: "c-a_1".to_owned(), age_ms: 1_234, duration_s: 15 };
    InstallationFacts {
        version: Some(Ok("v1.34.4+k3s1".to_owned())),
        latency_ms: 3,
        rights: vec![("create deployments".to_owned(), Ok(true))],
        crds: names.map(|name| (name.to_owned(), Ok(Some(definition(name))))).into(),
        namespace: "shop".to_owned(),
        controllers: Some(Ok(vec![workload("c", 2)])),
        processors: Some(Ok(vec![workload("p", 1)])),
        all_controllers: Some(Ok(vec![controller("shop")])),
        untaken: Some(Ok(UntakenOrders::default())),
        controller_rights: Some(Ok(ControllerRights { count: 19, ..ControllerRights::default() })),
        refused_statuses: 0.0,
        unanswered: Some(Ok(Vec::new())),
        lease: Some(Ok(Some(lease))),
        pods: Some(Ok(vec![
            pod("c-a", "controller", LEADER),
            pod("c-b", "controller", "leader_election_master_status{name=\"l\"} 0\n"),
            pod("p-0", "processor", PROCESSOR),
        ])),
        claims: Some(Ok(vec![VolumeClaim {
            name: "data-p-0".to_owned(),
            phase: "Bound".to_owned(),
            ..VolumeClaim::default()
        }])),
        storage_classes: None,
        monitors: Some(Ok(Some(1))),
        orders: Some(Ok(vec![OpenOrderFacts {
            name: "shop/a".to_owned(),
            processor: "http://p-0.ps.shop.svc:50051".to_owned(),
        }])),
        desired_processors: Some(("p".to_owned(), 1)),
    }
}

fn all_pods(facts: &mut InstallationFacts) -> &mut Vec<Pod> {
    match &mut facts.pods {
        Some(Ok(pods)) => pods,
        _ => panic!("the pods are known"),
    }
}

/// Gives one pod another page of metrics.
fn set_metrics(facts: &mut InstallationFacts, pod: usize, from: &str, to: &str) {
    let base = if pod == 2 { PROCESSOR } else { LEADER };
    assert!(base.contains(from), "{from}");
    all_pods(facts)[pod].metrics = Ok(MetricsPage::parse(&base.replace(from, to)));
}

#[test]
fn a_healthy_installation_passes_every_check() {
    let findings = judge(&healthy(), &Group::ALL);
    let bad: Vec<_> =
        findings.iter().filter(|finding| finding.status != CheckStatus::Good).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert!(findings.iter().all(|finding| finding.advice.is_none()));
    let groups: BTreeSet<_> = findings.iter().map(|finding| finding.group).collect();
    assert_eq!(groups.into_iter().collect::<Vec<_>>(), Group::ALL);
}

/// A change of the facts, and the finding that it causes: id, status, and part of the text.
type Fault = (fn(&mut InstallationFacts), &'static str, CheckStatus, &'static str);

const FAULTS: [Fault; 50] = [
    (
        |f| f.version = Some(Err("refused".into())),
        "k8s-api",
        CheckStatus::Failed,
        "does not answer",
    ),
    (|f| f.latency_ms = 2_000, "k8s-api", CheckStatus::Warning, "after 2000 ms"),
    (|f| f.version = Some(Ok("v1.29.0".into())), "k8s-version", CheckStatus::Failed, "too old"),
    (|f| f.version = Some(Ok("nonsense".into())), "k8s-version", CheckStatus::Failed, "too old"),
    (|f| f.rights[0].1 = Ok(false), "k8s-rights", CheckStatus::Failed, "create deployments"),
    (
        |f| drop(f.crds.insert(ORDERS.into(), Ok(None))),
        "crd-installed",
        CheckStatus::Failed,
        "not installed",
    ),
    (
        |f| drop(f.crds.insert(ORDERS.into(), Err("403".into()))),
        "crd-installed",
        CheckStatus::Failed,
        "cannot be read",
    ),
    (
        |f| installed_crd(f)["status"] = json!({}),
        "crd-installed",
        CheckStatus::Failed,
        "not served",
    ),
    (
        |f| installed_crd(f)["spec"]["versions"][0]["name"] = json!("v0"),
        "crd-version",
        CheckStatus::Failed,
        "not what this binary knows",
    ),
    (
        |f| f.controllers = Some(Ok(vec![])),
        "controller-ready",
        CheckStatus::Failed,
        "no controller is installed in namespace shop",
    ),
    (
        |f| f.controllers = Some(Err("403".into())),
        "controller-ready",
        CheckStatus::Failed,
        "cannot be found out",
    ),
    (|f| first(&mut f.controllers).ready = 0, "controller-ready", CheckStatus::Failed, "0/2 ready"),
    (
        |f| first(&mut f.controllers).updated = 1,
        "controller-ready",
        CheckStatus::Warning,
        "1 of the newest kind",
    ),
    (|f| f.lease = Some(Ok(None)), "controller-leader", CheckStatus::Failed, "nobody has ever led"),
    (
        |f| f.lease = Some(Err("403".into())),
        "controller-leader",
        CheckStatus::Failed,
        "cannot be read",
    ),
    (
        |f| f.lease = Some(Ok(Some(LeaseFacts::default()))),
        "controller-leader",
        CheckStatus::Failed,
        "nobody leads",
    ),
    (|f| late(f), "controller-leader", CheckStatus::Failed, "c-a_1 renewed 90 s ago"),
    (
        |f| set_metrics(f, 1, "active 41", "active 0"),
        "controller-one-leader",
        CheckStatus::Warning,
        "2 say to lead: c-a, c-b",
    ),
    (
        |f| f.all_controllers = Some(Ok(vec![controller("shop"), controller("team")])),
        "controller-others",
        CheckStatus::Failed,
        "team/c (release r) takes the same orders as shop/c (release r)",
    ),
    (
        |f| f.all_controllers = Some(Err("403".into())),
        "controller-others",
        CheckStatus::Warning,
        "was not checked",
    ),
    (
        |f| lose_order(f),
        "controller-orders",
        CheckStatus::Warning,
        "1 orders are for no controller: shop/a (team-x)",
    ),
    (
        |f| f.untaken = Some(Err("403".into())),
        "controller-orders",
        CheckStatus::Warning,
        "was not checked",
    ),
    (|f| lose_right(f), "controller-rights", CheckStatus::Failed, "lacks 1 of its 19 rights"),
    (|f| unready(f), "processor-ready", CheckStatus::Failed, "0/1 ready"),
    (
        |f| f.processors = Some(Ok(vec![])),
        "processor-ready",
        CheckStatus::Failed,
        "no processor is installed",
    ),
    (
        |f| all_pods(f)[2].restarts = 3,
        "processor-restarts",
        CheckStatus::Warning,
        "started again 3 times",
    ),
    (
        |f| set_metrics(f, 2, "overdue_seconds 0", "overdue_seconds 30"),
        "processor-expiry",
        CheckStatus::Failed,
        "waits 30 s",
    ),
    (
        |f| set_metrics(f, 0, "name=\"l\"} 1", "name=\"l\"} 0"),
        "streams-active",
        CheckStatus::Failed,
        "no leading controller",
    ),
    (
        |f| set_metrics(f, 0, "Reconnecting\"} 0", "Reconnecting\"} 3"),
        "streams-active",
        CheckStatus::Warning,
        "3 orders wait",
    ),
    (
        |f| set_metrics(f, 0, "Reconnecting\"} 0", "Reconnecting\"} 90"),
        "streams-active",
        CheckStatus::Failed,
        "90 orders wait",
    ),
    (
        |f| set_metrics(f, 0, "waiting 2", "waiting 900"),
        "streams-status",
        CheckStatus::Warning,
        "900 statuses",
    ),
    (
        |f| f.refused_statuses = 3.0,
        "streams-status",
        CheckStatus::Failed,
        "3 writes of statuses failed just now, 2 statuses wait",
    ),
    (
        |f| f.unanswered = Some(Ok(vec!["shop/a".into()])),
        "streams-first-status",
        CheckStatus::Failed,
        "1 order requests have had no status for a minute: shop/a",
    ),
    (
        |f| f.unanswered = Some(Err("403".into())),
        "streams-first-status",
        CheckStatus::Warning,
        "cannot be found out",
    ),
    (|f| claim(f, "Pending"), "storage-volumes", CheckStatus::Failed, "data-p-0 is Pending"),
    (
        |f| f.claims = Some(Err("403".into())),
        "storage-volumes",
        CheckStatus::Warning,
        "cannot be listed",
    ),
    (
        |f| set_metrics(f, 2, "free\"} 60", "free\"} 15"),
        "storage-space",
        CheckStatus::Warning,
        "85 % full",
    ),
    (
        |f| set_metrics(f, 2, "free\"} 60", "free\"} 1"),
        "storage-space",
        CheckStatus::Failed,
        "99 % full",
    ),
    (
        |f| set_metrics(f, 2, "read_only 0", "read_only 1"),
        "storage-journal",
        CheckStatus::Failed,
        "p-0: its journal is damaged and read only",
    ),
    (
        |f| set_metrics(f, 2, "\"record\"} 0", "\"record\"} 4"),
        "storage-journal",
        CheckStatus::Failed,
        "4 records that were acknowledged are missing",
    ),
    (
        |f| set_metrics(f, 2, "\"file\"} 0", "\"file\"} 1"),
        "storage-journal",
        CheckStatus::Warning,
        "1 files of its journal were damaged",
    ),
    (
        |f| set_metrics(f, 2, "damaged_orders 0", "damaged_orders 2"),
        "storage-damaged",
        CheckStatus::Failed,
        "2 orders",
    ),
    (
        |f| set_metrics(f, 2, "seconds_sum 1", "seconds_sum 500"),
        "storage-sync",
        CheckStatus::Warning,
        "500 ms",
    ),
    (
        |f| all_pods(f)[2].metrics = Err("503".into()),
        "monitoring-metrics",
        CheckStatus::Failed,
        "p-0: no metrics",
    ),
    (|f| lose_address(f), "monitoring-metrics", CheckStatus::Failed, "p-0: no metrics"),
    (
        |f| f.pods = Some(Err("403".into())),
        "monitoring-metrics",
        CheckStatus::Failed,
        "the pods: no metrics",
    ),
    (|f| crowd(f), "monitoring-series", CheckStatus::Warning, "3000 series"),
    (
        |f| f.monitors = Some(Ok(Some(0))),
        "monitoring-scraped",
        CheckStatus::Warning,
        "nothing reads",
    ),
    (
        |f| f.monitors = Some(Ok(None)),
        "monitoring-scraped",
        CheckStatus::Warning,
        "operator's definitions",
    ),
    (
        |f| f.desired_processors = Some(("p".into(), 0)),
        "stranding",
        CheckStatus::Failed,
        "1 open orders are on processors beyond the first 0: shop/a",
    ),
];

const ORDERS: &str = "orderrequests.orderstream.dev";

fn installed_crd(facts: &mut InstallationFacts) -> &mut Value {
    match facts.crds.get_mut(ORDERS) {
        Some(Ok(Some(installed))) => installed,
        _ => panic!("the definition is there"),
    }
}

fn first(found: &mut Option<ApiServerResult<Vec<Workload>>>) -> &mut Workload {
    match found {
        Some(Ok(found)) => &mut found[0],
        _ => panic!("the workload is there"),
    }
}

fn late(facts: &mut InstallationFacts) {
    if let Some(Ok(Some(lease))) = &mut facts.lease {
        lease.age_ms = 90_000;
    }
}

/// Adds an order for a controller that is not there.
fn lose_order(facts: &mut InstallationFacts) {
    let (namespace, name) = ("shop".to_owned(), "a".to_owned());
    let order = UntakenOrder { namespace, name, controller_name: "team-x".to_owned() };
    facts.untaken = Some(Ok(UntakenOrders { orders: vec![order], is_partial: false }));
}

fn unready(facts: &mut InstallationFacts) {
    first(&mut facts.processors).ready = 0;
    let pod = &mut all_pods(facts)[2];
    (pod.is_ready, pod.reason) = (false, "CrashLoopBackOff".to_owned());
}

fn lose_right(facts: &mut InstallationFacts) {
    if let Some(Ok(rights)) = &mut facts.controller_rights {
        rights.refused.push("patch orderrequests/status".to_owned());
    }
}

fn lose_address(facts: &mut InstallationFacts) {
    let pod = &mut all_pods(facts)[2];
    (pod.address, pod.metrics) = (String::new(), Err("not asked".to_owned()));
}

fn claim(facts: &mut InstallationFacts, phase: &str) {
    if let Some(Ok(claims)) = &mut facts.claims {
        phase.clone_into(&mut claims[0].phase);
    }
}

fn crowd(facts: &mut InstallationFacts) {
    let page: String = (0..3_000).map(|n| format!("x{{n=\"{n}\"}} 1\n")).collect();
    all_pods(facts)[1].metrics = Ok(MetricsPage::parse(&page));
}

#[test]
fn every_fault_has_cause_and_fix() {
    for (fault, id, mark, text) in FAULTS {
        let mut facts = healthy();
        fault(&mut facts);
        let findings = judge(&facts, &Group::ALL);
        let found = findings.iter().find(|finding| finding.id == id && finding.status == mark);
        let found = found.unwrap_or_else(|| panic!("{id} {text}: {findings:?}"));
        assert!(found.text.contains(text), "{id}: {}", found.text);
        let advice = found.advice.as_ref().unwrap();
        assert!(!advice.cause.is_empty() && !advice.fix.is_empty(), "{id}");
    }
}

/// Each id has a heading in docs/checks.md and a fault in `FAULTS`.
#[test]
fn every_check_is_documented_and_tested() {
    let page = include_str!("../../../../docs/checks.md");
    let faulty: BTreeSet<_> = FAULTS.iter().map(|(_, id, _, _)| *id).collect();
    let ids: BTreeSet<_> = judge(&healthy(), &Group::ALL).iter().map(|f| f.id).collect();
    for id in faulty.union(&ids) {
        assert!(page.contains(&format!("\n### {id}\n")), "docs/checks.md has no heading {id}");
        assert!(faulty.contains(id), "{id} is never made to fail");
    }
}
