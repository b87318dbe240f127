//! The checks of the objects in Kubernetes: the API server, the definitions, the operator,
//! monitoring.

use orderstream_api::order_request::OrderRequest;
use orderstream_api::seller::Seller;
use serde_json::Value;

use super::CheckStatus::{Failed, Warning};
use super::{ApiServerResult, Group, InstallationFacts, InstallationFinding, Workload};

/// The oldest minor version of Kubernetes 1 whose fields the chart uses.
const MINOR_MIN: u32 = 30;
/// Milliseconds that a response of the API server may take without a warning.
const LATENCY_MS_MAX: u64 = 1_000;
/// Series that one process may have without a warning.
const SERIES_MAX: usize = 2_000;

pub(super) fn kubernetes(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let group = Group::Kubernetes;
    let mut findings = Vec::new();
    let version = match &facts.version {
        Some(Ok(version)) => version.clone(),
        Some(Err(error)) => {
            return vec![InstallationFinding::bad(
                (group, "k8s-api", Failed),
                "the API server does not answer",
                error,
                "check the kubeconfig and its context: kubectl get --raw /version",
            )];
        }
        None => return findings,
    };
    let latency = facts.latency_ms;
    findings.push(if latency > LATENCY_MS_MAX {
        InstallationFinding::bad(
            (group, "k8s-api", Warning),
            format!("the API server answers after {latency} ms"),
            "it is busy, or far away",
            "check its load; orders go on, but statuses are late",
        )
    } else {
        InstallationFinding::good(
            group,
            "k8s-api",
            format!("the API server answers in {latency} ms"),
        )
    });
    findings.push(if minor(&version).is_some_and(|minor| minor >= MINOR_MIN) {
        InstallationFinding::good(group, "k8s-version", format!("Kubernetes {version}"))
    } else {
        InstallationFinding::bad(
            (group, "k8s-version", Failed),
            format!("Kubernetes {version} is too old"),
            format!("the definitions and the chart need 1.{MINOR_MIN} or newer"),
            "upgrade the cluster first",
        )
    });
    findings.extend(rights(facts));
    findings
}

fn rights(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let id = "k8s-rights";
    let missing: Vec<_> = facts
        .rights
        .iter()
        .filter(|(_, allowed)| *allowed != Ok(true))
        .map(|(what, _)| what.as_str())
        .collect();
    if facts.rights.is_empty() {
        return None;
    }
    if missing.is_empty() {
        let count = facts.rights.len();
        return Some(InstallationFinding::good(
            Group::Kubernetes,
            id,
            format!("all {count} rights are there"),
        ));
    }
    Some(InstallationFinding::bad(
        (Group::Kubernetes, id, Failed),
        format!("{} rights are missing: {}", missing.len(), missing.join(", ")),
        "the kubeconfig's user may not make what the chart makes",
        "ask an administrator, or install with scope=namespace and crds.enabled=false",
    ))
}

/// Returns the minor version, such as 34 of `v1.34.4+k3s1`.
fn minor(version: &str) -> Option<u32> {
    let rest = version.trim_start_matches('v').strip_prefix("1.")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub(super) fn crds(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    facts.crds.iter().flat_map(|(name, crd)| definition(name, crd)).collect()
}

fn definition(name: &str, crd: &ApiServerResult<Option<Value>>) -> Vec<InstallationFinding> {
    let group = Group::Crds;
    let upgrade = "run helm upgrade with crds.enabled=true, or: orderstream crd | kubectl apply \
                   --server-side -f -";
    let installed = match crd {
        Ok(Some(installed)) => installed,
        Ok(None) => {
            return vec![InstallationFinding::bad(
                (group, "crd-installed", Failed),
                format!("{name} is not installed"),
                "the chart was installed with crds.enabled=false, or it was deleted",
                upgrade,
            )];
        }
        Err(error) => {
            return vec![InstallationFinding::bad(
                (group, "crd-installed", Failed),
                format!("{name} cannot be read"),
                error,
                "give the kubeconfig's user the right to get customresourcedefinitions",
            )];
        }
    };
    let conditions =
        installed["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_served = conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True");
    if !is_served {
        return vec![InstallationFinding::bad(
            (group, "crd-installed", Failed),
            format!("{name} is not served"),
            "the API server has not accepted it, or it is being deleted",
            format!("kubectl describe crd {name}"),
        )];
    }
    let served = InstallationFinding::good(group, "crd-installed", format!("{name} is served"));
    let desired = desired_definition(name);
    let version = if is_part(&desired["spec"]["versions"], &installed["spec"]["versions"]) {
        InstallationFinding::good(group, "crd-version", format!("{name} is what this binary knows"))
    } else {
        InstallationFinding::bad(
            (group, "crd-version", Failed),
            format!("{name} is not what this binary knows"),
            "the definition comes from another version",
            upgrade,
        )
    };
    vec![served, version]
}

fn desired_definition(name: &str) -> Value {
    use kube::CustomResourceExt as _;
    if name.starts_with("sellers") {
        orderstream_api::crd::value(&Seller::crd())
    } else {
        orderstream_api::crd::value(&OrderRequest::crd())
    }
}

/// Reports whether `installed` contains everything that is desired; the API server adds fields of
/// its own.
fn is_part(desired: &Value, installed: &Value) -> bool {
    match (desired, installed) {
        (Value::Object(desired), Value::Object(installed)) => {
            desired.iter().all(|(name, value)| {
                value.is_null() || installed.get(name).is_some_and(|held| is_part(value, held))
            })
        }
        (Value::Array(desired), Value::Array(installed)) => {
            desired.len() == installed.len()
                && desired.iter().zip(installed).all(|(wanted, held)| is_part(wanted, held))
        }
        (Value::Number(desired), Value::Number(installed)) => {
            desired.as_f64() == installed.as_f64()
        }
        (desired, installed) => desired == installed,
    }
}

pub(super) fn controller(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let group = Group::Controller;
    let mut findings = Vec::new();
    if let Some(found) = &facts.controllers {
        findings.push(deployed((group, "controller-ready"), found, facts, "controller"));
    }
    findings.extend(facts.lease.as_ref().map(leader));
    let leads = |page: &super::MetricsPage| {
        page.sum("leader_election_master_status", &[]).is_some_and(|leads| leads > 0.5)
    };
    let leading = facts.pods().iter().filter(|pod| pod.metrics.as_ref().is_ok_and(leads));
    let leading: Vec<_> = leading.map(|pod| pod.name.as_str()).collect();
    if leading.len() > 1 {
        findings.push(InstallationFinding::bad(
            (group, "controller-one-leader", Warning),
            format!("{} say to lead: {}", leading.len(), leading.join(", ")),
            "a hand-over is under way, or a clock or network has failed; processors accept the \
             newer one only",
            "check again in a minute; then restart the older one",
        ));
    }
    findings
}

fn leader(lease: &ApiServerResult<Option<super::LeaseFacts>>) -> InstallationFinding {
    let (group, id) = (Group::Controller, "controller-leader");
    let none = |text: &str, cause: &str| {
        let fix = "look at the controller's log; without a leader no order is begun or ended, and \
                   streams that are up go on";
        InstallationFinding::bad((group, id, Failed), text, cause, fix)
    };
    match lease {
        Err(error) => none("the election's Lease cannot be read", error),
        Ok(None) => none("nobody has ever led", "no controller has reached the API server"),
        Ok(Some(lease)) if lease.holder.is_empty() => {
            none("nobody leads", "the last leader stopped, and no other controller runs")
        }
        Ok(Some(lease)) if lease.age_ms > lease.duration_s.saturating_mul(1_000) => {
            let (holder, age) = (&lease.holder, lease.age_ms / 1_000);
            none(
                &format!("nobody leads: {holder} renewed {age} s ago"),
                "the leader died or lost the API server, and no other controller took over",
            )
        }
        Ok(Some(lease)) => {
            let (holder, age) = (&lease.holder, lease.age_ms.max(0));
            let text =
                format!("{holder} leads, renewed {}.{} s ago", age / 1_000, age % 1_000 / 100);
            InstallationFinding::good(group, id, text)
        }
    }
}

/// Checks whether a workload is installed and ready; its pods give the cause where it is not.
pub(super) fn deployed(
    (group, id): (Group, &'static str),
    found: &ApiServerResult<Vec<Workload>>,
    facts: &InstallationFacts,
    component: &str,
) -> InstallationFinding {
    let namespace = &facts.namespace;
    let workload = match found {
        Ok(found) if !found.is_empty() => &found[0],
        Ok(_) => {
            return InstallationFinding::bad(
                (group, id, Failed),
                format!("no {component} is installed in namespace {namespace}"),
                "the chart is not installed there",
                "give --namespace, or install the chart: helm install",
            );
        }
        Err(error) => {
            return InstallationFinding::bad(
                (group, id, Failed),
                format!("whether a {component} is installed cannot be found out"),
                error,
                "give the kubeconfig's user the right to read workloads in the namespace",
            );
        }
    };
    let Workload { name, desired: wanted, ready, updated } = workload;
    if ready >= wanted && updated >= wanted {
        return InstallationFinding::good(group, id, format!("{name}: {ready}/{wanted} ready"));
    }
    let unready = facts.pods().iter().find(|pod| pod.component == component && !pod.is_ready);
    let (cause, fix) = match unready {
        Some(pod) => (
            format!("{}: {}", pod.name, pod.reason),
            format!(
                "kubectl -n {namespace} describe pod {0}; kubectl -n {namespace} logs {0}",
                pod.name
            ),
        ),
        None => (
            "its pods are being made or replaced".to_owned(),
            format!("kubectl -n {namespace} get pods -w"),
        ),
    };
    let status = if *ready == 0 { Failed } else { Warning };
    let text = format!("{name}: {ready}/{wanted} ready, {updated} of the newest kind");
    InstallationFinding::bad((group, id, status), text, cause, fix)
}

pub(super) fn monitoring(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let group = Group::Monitoring;
    let pods = facts.pods();
    let mut findings = Vec::new();
    let silent = pods.iter().find_map(|pod| Some((pod.name.as_str(), pod.metrics.as_ref().err()?)));
    let unlisted = facts.pods.as_ref().and_then(|pods| pods.as_ref().err());
    findings.push(match silent.or_else(|| unlisted.map(|why| ("the pods", why))) {
        Some((pod, why)) => InstallationFinding::bad(
            (group, "monitoring-metrics", Failed),
            format!("{pod}: no metrics"),
            why,
            "check the pod; the kubeconfig's user needs the right to get pods/proxy",
        ),
        None => {
            let text = format!("{} pods give metrics", pods.len());
            InstallationFinding::good(group, "monitoring-metrics", text)
        }
    });
    let series = pods.iter().filter_map(|pod| pod.metrics.as_ref().ok()).map(|f| f.series());
    let most = series.max().unwrap_or_default();
    findings.push(if most > SERIES_MAX {
        InstallationFinding::bad(
            (group, "monitoring-series", Warning),
            format!("a pod has {most} series, more than {SERIES_MAX}"),
            "this is a fault of Orderstream: no label may take a user's value",
            "report it, with the page of /metrics",
        )
    } else {
        InstallationFinding::good(
            group,
            "monitoring-series",
            format!("at most {most} series in a pod"),
        )
    });
    findings.extend(facts.monitors.as_ref().map(scraped));
    findings
}

fn scraped(found: &ApiServerResult<Option<usize>>) -> InstallationFinding {
    let (group, id) = (Group::Monitoring, "monitoring-scraped");
    let enable = "helm upgrade --reuse-values --set monitoring.podMonitor.enabled=true,\
                  monitoring.prometheusRule.enabled=true";
    match found {
        Ok(Some(0)) => InstallationFinding::bad(
            (group, id, Warning),
            "nothing reads the metrics",
            "the chart was installed without a monitor",
            enable,
        ),
        Ok(Some(count)) => {
            InstallationFinding::good(group, id, format!("{count} monitors read the metrics"))
        }
        Ok(None) => InstallationFinding::bad(
            (group, id, Warning),
            "the cluster does not have the Prometheus operator's definitions",
            "the operator is not installed",
            "install it, or let your Prometheus read port 9090 of the pods",
        ),
        Err(error) => InstallationFinding::bad(
            (group, id, Warning),
            "whether somebody reads the metrics cannot be found out",
            error,
            "give the kubeconfig's user the right to list podmonitors and servicemonitors",
        ),
    }
}
