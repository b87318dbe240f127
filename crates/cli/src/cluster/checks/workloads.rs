//! The checks of workloads: whether they are installed and ready, and otherwise the cause, from their
//! events and pods.

use super::CheckStatus::{Failed, Warning};
use super::{Advice, ApiServerResult, Group, InstallationFacts, InstallationFinding, Workload};

/// Checks whether a workload is installed and ready; its events or its pods give the cause where it
/// is not.
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
    let Workload { name, desired: wanted, ready, updated, .. } = workload;
    if ready >= wanted && updated >= wanted {
        return InstallationFinding::good(group, id, format!("{name}: {ready}/{wanted} ready"));
    }
    let Advice { cause, fix } = advice(workload, facts, component);
    let status = if *ready == 0 { Failed } else { Warning };
    let text = format!("{name}: {ready}/{wanted} ready, {updated} of the newest kind");
    InstallationFinding::bad((group, id, status), text, cause, fix)
}

/// Returns the cause for which a workload is not ready: pods that cannot be created come before those
/// that do not start.
fn advice(workload: &Workload, facts: &InstallationFacts, component: &str) -> Advice {
    let namespace = &facts.namespace;
    let failure = &workload.creation_failure;
    if !failure.is_empty() {
        let fix = creation_fix(failure, namespace, component);
        return Advice { cause: failure.clone(), fix };
    }
    let unready = facts.pods().iter().find(|pod| pod.component == component && !pod.is_ready);
    let Some(pod) = unready else {
        let cause = "its pods are being made or replaced".to_owned();
        return Advice { cause, fix: format!("kubectl -n {namespace} get pods -w") };
    };
    let (name, reason) = (&pod.name, &pod.reason);
    let is_about_storage =
        reason.contains("PersistentVolumeClaim") || reason.contains("storageclass");
    let first = if is_about_storage { "see storage-volumes; " } else { "" };
    Advice {
        cause: format!("{name}: {reason}"),
        fix: format!(
            "{first}kubectl -n {namespace} describe pod {name}; kubectl -n {namespace} logs {name}"
        ),
    }
}

/// Returns the fix for pods, or their claims, that the API server refuses with a message.
fn creation_fix(message: &str, namespace: &str, component: &str) -> String {
    let quota = format!("kubectl -n {namespace} describe quota");
    if message.contains("must specify") {
        return format!(
            "a quota wants these values of every container: set them in {component}.resources, and \
             in upgradeCheck.resources and tests.resources for the chart's hooks; {quota}"
        );
    }
    if message.contains("exceeded quota") {
        let is_claim = message.contains("persistentvolumeclaims");
        let value = if is_claim { "storage.size" } else { "resources" };
        return format!("raise the quota, or lower {component}.{value} or replicas; {quota}");
    }
    if message.contains("violates PodSecurity") {
        return format!(
            "set {component}.podSecurityContext and {component}.containerSecurityContext as the \
             message names them, or label the namespace for another level"
        );
    }
    if message.contains("serviceaccount") && message.contains("not found") {
        return format!(
            "helm upgrade puts it back, unless {component}.serviceAccount.create is false: then \
             create it"
        );
    }
    format!("kubectl -n {namespace} get events --field-selector type=Warning")
}

#[cfg(test)]
mod tests {
    use super::super::{MetricsPage, Pod};
    use super::*;

    fn check(workload: Workload, pods: Vec<Pod>) -> InstallationFinding {
        let facts = InstallationFacts {
            namespace: "shop".to_owned(),
            pods: Some(Ok(pods)),
            ..InstallationFacts::default()
        };
        let id = (Group::Processors, "processor-ready");
        deployed(id, &Ok(vec![workload]), &facts, "processor")
    }

    fn advice_of(finding: InstallationFinding) -> Advice {
        finding.advice.unwrap()
    }

    fn workload(ready: u64, creation_failure: &str) -> Workload {
        Workload {
            name: "p".to_owned(),
            desired: 2,
            ready,
            updated: ready,
            created: ready,
            creation_failure: creation_failure.to_owned(),
            ..Workload::default()
        }
    }

    fn waiting(reason: &str) -> Pod {
        Pod {
            name: "p-1".to_owned(),
            component: "processor".to_owned(),
            is_ready: false,
            address: String::new(),
            reason: reason.to_owned(),
            restarts: 0,
            metrics: Ok(MetricsPage::default()),
        }
    }

    /// The event of a `StatefulSet` puts words of its own before the API server's message.
    #[test]
    fn refused_pods_name_the_value_to_set() {
        for (message, part) in [
            (
                "pods \"p-0\" is forbidden: failed quota: q: must specify limits.cpu for: processor",
                "processor.resources, and in upgradeCheck.resources",
            ),
            (
                "create Pod p-0 in StatefulSet p failed error: pods \"p-0\" is forbidden: exceeded \
                 quota: q, requested: pods=1, used: pods=2, limited: pods=2",
                "lower processor.resources or replicas; kubectl -n shop describe quota",
            ),
            (
                "create Claim data-p-0 for Pod p-0 in StatefulSet p failed error: \
                 persistentvolumeclaims \"data-p-0\" is forbidden: exceeded quota: q, requested: \
                 requests.storage=10Gi, used: requests.storage=0, limited: requests.storage=1Gi",
                "lower processor.storage.size or replicas",
            ),
            (
                "pods \"p-0\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot",
                "processor.podSecurityContext",
            ),
            (
                "pods \"p-0\" is forbidden: error looking up service account shop/p: serviceaccount \
                 \"p\" not found",
                "processor.serviceAccount.create",
            ),
            ("admission webhook \"w\" denied the request", "get events"),
        ] {
            let Advice { cause, fix } = advice_of(check(workload(0, message), Vec::new()));
            assert_eq!(cause, message);
            assert!(fix.contains(part), "{message}: {fix}");
        }
    }

    #[test]
    fn refused_pods_come_before_unready_ones() {
        let pods = || vec![waiting("ImagePullBackOff")];
        let finding = check(workload(1, "exceeded quota: q"), pods());
        assert_eq!(finding.status, Warning, "one of two is ready");
        assert_eq!(advice_of(finding).cause, "exceeded quota: q");
        let finding = check(workload(0, ""), pods());
        assert_eq!(finding.status, Failed);
        assert_eq!(advice_of(finding).cause, "p-1: ImagePullBackOff");
        let Advice { cause, fix } = advice_of(check(workload(0, ""), Vec::new()));
        assert_eq!(cause, "its pods are being made or replaced");
        assert_eq!(fix, "kubectl -n shop get pods -w");
    }

    #[test]
    fn pods_without_volumes_lead_to_the_claims() {
        let reason = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
        let Advice { fix, .. } = advice_of(check(workload(0, ""), vec![waiting(reason)]));
        assert!(fix.starts_with("see storage-volumes; kubectl -n shop describe pod p-1"), "{fix}");
    }
}
