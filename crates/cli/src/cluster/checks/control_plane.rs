//! The checks of the objects in Kubernetes: the API server, the definitions, the operator,
//! monitoring.

use orderstream_api::order_request::OrderRequest;
use orderstream_api::seller::Seller;
use serde_json::Value;

use super::CheckStatus::{Failed, Warning};
use super::workloads::deployed;
use super::{ApiServerResult, Group, InstallationFacts, InstallationFinding, Pod, rights};

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
    facts.crds.iter().flat_map(|(name, crd)| definition(facts, name, crd)).collect()
}

fn definition(
    facts: &InstallationFacts,
    name: &str,
    crd: &ApiServerResult<Option<Value>>,
) -> Vec<InstallationFinding> {
    let group = Group::Crds;
    let installed = match crd {
        Ok(Some(installed)) => installed,
        Ok(None) => {
            return vec![InstallationFinding::bad(
                (group, "crd-installed", Failed),
                format!("{name} is not installed"),
                "the chart was installed with crds.enabled=false, or it was deleted",
                format!(
                    "{}; or without Helm: orderstream crd | kubectl apply --server-side -f -",
                    helm_upgrade(
                        facts.controller().map(|it| it.release.as_str()),
                        &facts.namespace
                    )
                ),
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
    vec![served, version(name, installed)]
}

/// Checks whether a definition is the one of this binary.
fn version(name: &str, installed: &Value) -> InstallationFinding {
    let (group, id) = (Group::Crds, "crd-version");
    let desired = desired_definition(name);
    let (desired, held) = (&desired["spec"]["versions"], &installed["spec"]["versions"]);
    let Some(path) = difference(desired, held, "versions") else {
        return InstallationFinding::good(group, id, format!("{name} is what this binary knows"));
    };
    let metadata = &installed["metadata"];
    let origin = metadata["labels"]["helm.sh/chart"].as_str().unwrap_or("another version");
    let binary = env!("CARGO_PKG_VERSION");
    // What Helm installed has Helm's marks; it takes over nothing else.
    let owner = |field: &str| metadata["annotations"][format!("meta.helm.sh/{field}")].as_str();
    let upgrade = match (owner("release-name"), owner("release-namespace")) {
        (Some(release), Some(namespace)) => helm_upgrade(Some(release), namespace),
        _ => "orderstream crd | kubectl apply --server-side --force-conflicts -f -".to_owned(),
    };
    InstallationFinding::bad(
        (group, id, Failed),
        format!("{name} is not what this binary knows"),
        format!("it comes from {origin}, this binary is {binary}, and they differ at {path}"),
        format!("{upgrade}; or use the binary of its version"),
    )
}

/// Returns the command that installs the definitions with the chart.
fn helm_upgrade(release: Option<&str>, namespace: &str) -> String {
    let release = release.filter(|name| !name.is_empty()).unwrap_or("RELEASE");
    format!(
        "helm upgrade {release} CHART -n {namespace} --reset-then-reuse-values \
         --set crds.enabled=true"
    )
}

fn desired_definition(name: &str) -> Value {
    use kube::CustomResourceExt as _;
    if name.starts_with("sellers") {
        orderstream_api::crd::value(&Seller::crd())
    } else {
        orderstream_api::crd::value(&OrderRequest::crd())
    }
}

/// Returns the path of the first value that `installed` lacks or has differently; the API server
/// adds fields of its own.
fn difference(desired: &Value, installed: &Value, path: &str) -> Option<String> {
    let is_same = match (desired, installed) {
        (Value::Object(desired), Value::Object(installed)) => {
            return desired.iter().filter(|(_, value)| !value.is_null()).find_map(
                |(name, value)| {
                    let path = format!("{path}.{name}");
                    match installed.get(name) {
                        Some(held) => difference(value, held, &path),
                        None => Some(path),
                    }
                },
            );
        }
        (Value::Array(desired), Value::Array(installed)) if desired.len() == installed.len() => {
            let mut pairs = desired.iter().zip(installed).enumerate();
            return pairs.find_map(|(index, (wanted, held))| {
                difference(wanted, held, &format!("{path}[{index}]"))
            });
        }
        (Value::Number(desired), Value::Number(installed)) => {
            desired.as_f64() == installed.as_f64()
        }
        (desired, installed) => desired == installed,
    };
    (!is_same).then(|| path.to_owned())
}

pub(super) fn controller(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let group = Group::Controller;
    let mut findings = Vec::new();
    if let Some(found) = &facts.controllers {
        findings.push(deployed((group, "controller-ready"), found, facts, "controller"));
    }
    findings.extend(facts.lease.as_ref().map(|lease| leader(facts, lease)));
    findings.extend(rights::controller(facts));
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

fn leader(
    facts: &InstallationFacts,
    lease: &ApiServerResult<Option<super::LeaseFacts>>,
) -> InstallationFinding {
    let (group, id) = (Group::Controller, "controller-leader");
    let none = |text: &str, cause: &str| {
        let fix = "look at the controller's log; without a leader no order is begun or ended, and \
                   streams that are up go on";
        InstallationFinding::bad((group, id, Failed), text, cause, fix)
    };
    match lease {
        Err(error) => none("the election's Lease cannot be read", error),
        Ok(None) if facts.controller().is_some_and(|it| it.ready == 0) => {
            none("nobody has ever led", "no controller is ready yet: see controller-ready")
        }
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

pub(super) fn monitoring(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let group = Group::Monitoring;
    let pods = facts.pods();
    let mut findings = Vec::new();
    findings.push(metrics(facts));
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

/// Checks whether every pod gives metrics.
fn metrics(facts: &InstallationFacts) -> InstallationFinding {
    let (group, id) = (Group::Monitoring, "monitoring-metrics");
    if let Some(Err(error)) = &facts.pods {
        let fix = "give the kubeconfig's user the right to list pods";
        return InstallationFinding::bad((group, id, Failed), "the pods: no metrics", error, fix);
    }
    let pods = facts.pods();
    let silent = pods.iter().find_map(|pod| Some((pod, pod.metrics.as_ref().err()?)));
    let Some((pod, error)) = silent else {
        return InstallationFinding::good(group, id, format!("{} pods give metrics", pods.len()));
    };
    let Pod { name, component, address, reason, .. } = pod;
    let namespace = &facts.namespace;
    let (cause, fix) = if address.is_empty() {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        (format!("the pod has no address yet{reason}"), format!("see {component}-ready"))
    } else if error.starts_with("403") {
        let fix = "give the kubeconfig's user the right to get pods/proxy";
        (error.clone(), fix.to_owned())
    } else {
        let fix = format!(
            "kubectl -n {namespace} describe pod {name}; the API server has to reach its port 9090"
        );
        (error.clone(), fix)
    };
    InstallationFinding::bad((group, id, Failed), format!("{name}: no metrics"), cause, fix)
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
