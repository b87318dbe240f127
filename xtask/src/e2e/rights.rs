//! Compares the rights that the chart grants with those that the controllers used in this run: none
//! is missing and none is unused.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use super::cluster::{Cluster, NAMESPACE, RELEASE, wait_until};

/// The right that is needed only if the API server does not stream lists.
const UNLESS_STREAMED: &str = "list orderstream.dev orderrequests";
/// The timeout of the comparison; some rights are used only occasionally.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let orders = format!("clusterrole/{NAMESPACE}-{RELEASE}-controller");
    compare(cluster, &[&orders, &format!("role/{RELEASE}-controller")])
}

/// Exercises every right, and compares the used rights with those that these roles grant.
pub(super) fn compare(cluster: &Cluster, roles: &[&str]) -> anyhow::Result<()> {
    exercise_rights(cluster)?;
    let mut granted = BTreeSet::new();
    for role in roles {
        let role: Value = serde_json::from_str(&cluster.kubectl(&["get", role, "-o", "json"])?)?;
        granted.extend(rights(&role));
    }
    ensure!(!granted.is_empty(), "the roles grant nothing: {roles:?}");
    let compared = wait_until("what is granted is what is asked for", STATE_TIMEOUT, || {
        Ok((used_rights(cluster)? == granted).then_some(()))
    });
    let used = used_rights(cluster)?;
    let unused: Vec<_> = granted.difference(&used).collect();
    let missing: Vec<_> = used.difference(&granted).collect();
    ensure!(
        compared.is_ok(),
        "granted and not asked: {unused:?}; asked and not granted: {missing:?}"
    );
    for pod in cluster.pods("controller")? {
        let page = cluster.metrics(pod["metadata"]["name"].as_str().unwrap_or_default())?;
        let is_refused = |line: &&str| {
            line.starts_with("rest_client_requests_total") && line.contains("code=\"403\"")
        };
        let refused = page.lines().find(is_refused);
        ensure!(refused.is_none(), "a right is missing: {refused:?}");
    }
    println!("{} rights are granted, none without need", granted.len());
    Ok(())
}

fn used_rights(cluster: &Cluster) -> anyhow::Result<BTreeSet<String>> {
    let mut used = cluster.used_rights()?;
    used.insert(UNLESS_STREAMED.to_owned());
    Ok(used)
}

/// Returns a role's rights as `verb group resource`, like the API server's audit log.
fn rights(role: &Value) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let values = |field: &str| {
            let values = rule[field].as_array().into_iter().flatten();
            values.filter_map(Value::as_str).collect::<Vec<_>>()
        };
        for group in values("apiGroups") {
            for resource in values("resources") {
                rights.extend(
                    values("verbs").iter().map(|verb| format!("{verb} {group} {resource}")),
                );
            }
        }
    }
    rights
}

fn exercise_rights(cluster: &Cluster) -> anyhow::Result<()> {
    let order = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
                 metadata: {name: rights}\nspec: {ttlAfterFinished: 1s, expiresIn: 1h}\n";
    cluster.kubectl_with(&["apply", "-f", "-"], order)?;
    let patch =
        |spec: &str| cluster.kubectl(&["patch", "oreq", "rights", "--type=merge", "-p", spec]);
    let phase = |name: &str, phase: &str| {
        let condition = format!("--for=jsonpath={{.status.phase}}={phase}");
        cluster.kubectl(&["wait", name, &condition, "--timeout=30s"])
    };
    phase("oreq/rights", "Open")?;
    // A repeated Event is the same object with a higher count.
    for (suspend, expected) in [(true, "Paused"), (false, "Open"), (true, "Paused")] {
        patch(&json!({"spec": {"suspend": suspend}}).to_string())?;
        phase("oreq/rights", expected)?;
    }
    patch(r#"{"spec":{"cancel":true}}"#)?;
    cluster.kubectl(&["wait", "oreq/rights", "--for=delete", "--timeout=30s"])?;
    let base = format!("{}/api/v1/orders", Cluster::service("requestor"));
    let initiate_body = json!({"tenant": NAMESPACE, "order_req_id": "asked"});
    let mut follow_up = initiate_body.clone();
    follow_up["message"] = json!({"message": "Can you deliver by Friday?"});
    for (path, body) in [("initiate", initiate_body), ("followup", follow_up)] {
        let response = wait_until("the buyer's request is taken", STATE_TIMEOUT, || {
            let response = cluster.request("POST", &format!("{base}/{path}"), &body.to_string())?;
            Ok((response.status != 404 && response.status != 503).then_some(response))
        })?;
        ensure!(response.status == 200, "{path}: {response:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_verbs_times_resources() {
        let role = json!({"rules": [
            {"apiGroups": ["a"], "resources": ["b", "b/status"], "verbs": ["get", "patch"]},
        ]});
        let expected = ["get a b", "get a b/status", "patch a b", "patch a b/status"];
        assert_eq!(rights(&role), expected.map(str::to_owned).into());
    }
}
