//! The rights that the chart grants, compared with those that the controllers used in this run:
//! none is missing and none is unused.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use super::cluster::{Cluster, NAMESPACE, RELEASE, until};

/// The right that is needed only where the API server does not stream lists.
const UNLESS_STREAMED: &str = "list orderstream.dev orderrequests";
/// The time limit of the comparison; some rights are used only now and then.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let orders = format!("clusterrole/{NAMESPACE}-{RELEASE}-controller");
    judge(cluster, &[&orders, &format!("role/{RELEASE}-controller")])
}

/// Exercises every right, and compares the rights used with those that these roles grant.
pub(super) fn judge(cluster: &Cluster, roles: &[&str]) -> anyhow::Result<()> {
    live(cluster)?;
    let mut granted = BTreeSet::new();
    for role in roles {
        let role: Value = serde_json::from_str(&cluster.kubectl(&["get", role, "-o", "json"])?)?;
        granted.extend(rights(&role));
    }
    ensure!(!granted.is_empty(), "the roles grant nothing: {roles:?}");
    let compared = until("what is granted is what is asked for", PATIENCE, || {
        Ok((asked(cluster)? == granted).then_some(()))
    });
    let asked = asked(cluster)?;
    let unused: Vec<_> = granted.difference(&asked).collect();
    let missing: Vec<_> = asked.difference(&granted).collect();
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

fn asked(cluster: &Cluster) -> anyhow::Result<BTreeSet<String>> {
    let mut asked = cluster.asked()?;
    asked.insert(UNLESS_STREAMED.to_owned());
    Ok(asked)
}

/// Returns a role's rights as `verb group resource`, like the API server's audit log.
fn rights(role: &Value) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let words = |field: &str| {
            let words = rule[field].as_array().into_iter().flatten();
            words.filter_map(Value::as_str).collect::<Vec<_>>()
        };
        for group in words("apiGroups") {
            for resource in words("resources") {
                rights
                    .extend(words("verbs").iter().map(|verb| format!("{verb} {group} {resource}")));
            }
        }
    }
    rights
}

fn live(cluster: &Cluster) -> anyhow::Result<()> {
    let order = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
                 metadata: {name: rights}\nspec: {ttlAfterFinished: 1s, expiresIn: 1h}\n";
    cluster.kubectl_with(&["apply", "-f", "-"], order)?;
    let patch =
        |spec: &str| cluster.kubectl(&["patch", "oreq", "rights", "--type=merge", "-p", spec]);
    let phase = |name: &str, phase: &str| {
        let wanted = format!("--for=jsonpath={{.status.phase}}={phase}");
        cluster.kubectl(&["wait", name, &wanted, "--timeout=30s"])
    };
    phase("oreq/rights", "Streaming")?;
    // An Event that comes again is the same one, with a count.
    for (suspend, wanted) in [(true, "Paused"), (false, "Streaming"), (true, "Paused")] {
        patch(&json!({"spec": {"suspend": suspend}}).to_string())?;
        phase("oreq/rights", wanted)?;
    }
    patch(r#"{"spec":{"cancel":true}}"#)?;
    cluster.kubectl(&["wait", "oreq/rights", "--for=delete", "--timeout=30s"])?;
    let base = format!("{}/api/v1/orders", Cluster::service("requestor"));
    let asked = json!({"tenant": NAMESPACE, "order_req_id": "asked"});
    let mut follow_up = asked.clone();
    follow_up["message"] = json!({"message": "Can you deliver by Friday?"});
    for (path, body) in [("initiate", asked), ("followup", follow_up)] {
        let done = until("the buyer's request is taken", PATIENCE, || {
            let answer = cluster.ask("POST", &format!("{base}/{path}"), &body.to_string())?;
            Ok((answer.status != 404 && answer.status != 503).then_some(answer))
        })?;
        ensure!(done.status == 200, "{path}: {done:?}");
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
        let wanted = ["get a b", "get a b/status", "patch a b", "patch a b/status"];
        assert_eq!(rights(&role), wanted.map(str::to_owned).into());
    }
}
