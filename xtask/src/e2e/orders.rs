//! The use by buyers and sellers: manifests, the sellers' REST API at any pod, and the original
//! system's REST API.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use super::cluster::{Cluster, NAMESPACE, RELEASE, wait_until};

const STATE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.upgrade(&["processor.replicas=3", "flowSchema.enabled=true"])?;
    apply_examples(cluster)?;
    wrong_settings_stop_the_rollout(cluster)?;
    propose_at_every_pod(cluster)?;
    let ready = ["wait", "oreq", "--all", "--for=condition=Ready", "--timeout=30s"];
    println!("{}", cluster.kubectl(&ready)?.trim());
    let table = cluster.kubectl(&["get", "oreq", "-o", "wide"])?;
    println!("{table}");
    let columns = "PHASE PROPOSALS BEST STREAM EXPIRES PROCESSOR SELLERS CATEGORY TITLE";
    for column in columns.split(' ') {
        ensure!(table.contains(column), "no column {column}: {table}");
    }
    ensure!(!table.contains("<invalid>"), "{table}");
    let events = ["get", "events.events.k8s.io", "-o", "json"];
    let events: Value = serde_json::from_str(&cluster.kubectl(&events)?)?;
    let reasons: BTreeSet<_> = events["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| event["regarding"]["kind"] == "OrderRequest")
        .filter_map(|event| event["reason"].as_str())
        .collect();
    println!("events of order requests: {reasons:?}");
    ensure!(!reasons.is_empty(), "no event was published");
    award(cluster)?;
    award_after_deadline(cluster)?;
    original_conversation(cluster)
}

/// Checks that a processor that cannot start reports the cause in one line, and that the others
/// continue.
fn wrong_settings_stop_the_rollout(cluster: &Cluster) -> anyhow::Result<()> {
    let set = format!("statefulset/{RELEASE}-processor");
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"processor",
        "env":[{"name":"ORDERSTREAM_GRPC_ADDR","value":"nonsense"}]}]}}}}"#;
    cluster.kubectl(&["patch", &set, "-p", patch])?;
    let message = wait_until("the new pod says why", STATE_TIMEOUT, || {
        cluster.termination_message("processor")
    })?;
    println!("a wrong setting: {}", message.trim());
    ensure!(message.contains("'nonsense'") && message.contains("--grpc-addr"), "{message}");
    ensure!(message.trim().lines().count() == 1, "more than one line: {message}");
    let ready = cluster.kubectl(&["get", &set, "-o", "jsonpath={.status.readyReplicas}"])?;
    ensure!(ready == "2", "{ready} of the other processors are ready");
    cluster.kubectl(&["rollout", "undo", &set])?;
    cluster.kubectl(&["rollout", "status", &set, "--timeout=90s"])?;
    let streaming = "--for=jsonpath={.status.tracker.stream}=Active";
    cluster.kubectl(&["wait", "oreq", "--all", streaming, "--timeout=30s"])?;
    Ok(())
}

fn apply_examples(cluster: &Cluster) -> anyhow::Result<()> {
    for example in ["office-chairs", "it-services", "steel-coils"] {
        let path = cluster.root.join(format!("examples/{example}.yaml")).display().to_string();
        cluster.kubectl(&["apply", "-f", &path])?;
    }
    let streaming = "--for=jsonpath={.status.tracker.stream}=Active";
    cluster.kubectl(&["wait", "oreq", "--all", streaming, "--timeout=30s"])?;
    let orders = cluster.orders()?;
    ensure!(orders.len() >= 3, "{} orders", orders.len());
    Ok(())
}

/// Checks that every processor accepts a proposal for every order, whichever processor owns it.
fn propose_at_every_pod(cluster: &Cluster) -> anyhow::Result<()> {
    let pods = cluster.pods("processor")?;
    let orders = cluster.orders()?;
    for pod in &pods {
        let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
        let base = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8005/proxy");
        for order in &orders {
            let id = order_id(order);
            let seller = invited_seller(cluster, &id)?;
            let body = json!({
                "tenant": NAMESPACE, "order_req_id": id, "proposal_id": format!("{pod}-{id}"),
                "seller": seller, "price": "900.00", "currency": "EUR",
                "alternative": pod,
            });
            let path = format!("{base}/api/v1/proposals");
            let response = wait_until("the proposal is taken", STATE_TIMEOUT, || {
                let response = cluster.request("POST", &path, &body.to_string())?;
                Ok((response.status != 503).then_some(response))
            })?;
            ensure!(response.status == 201, "{pod} for {id}: {response:?}");
        }
    }
    let count = pods.len();
    wait_until("every proposal is in the status", STATE_TIMEOUT, || {
        let received = |order: &Value| order["status"]["proposals"]["received"].as_u64();
        let all = |order: &Value| received(order) == u64::try_from(count).ok();
        Ok(cluster.orders()?.iter().all(all).then_some(()))
    })?;
    println!("{} orders took a proposal through each of {count} processors", orders.len());
    Ok(())
}

/// Returns a seller that an order invites, or anybody where it invites none.
fn invited_seller(cluster: &Cluster, id: &str) -> anyhow::Result<String> {
    let base = Cluster::service("processor");
    let path = format!("{base}/api/v1/orders/{id}?tenant={NAMESPACE}");
    let order = wait_until("the order is read", STATE_TIMEOUT, || {
        let response = cluster.request("GET", &path, "")?;
        Ok((response.status == 200).then_some(response))
    })?;
    let order = order.json()?;
    Ok(order["invitations"][0]["seller"].as_str().unwrap_or("anybody").to_owned())
}

/// Returns the id that sellers use for an order.
pub(super) fn order_id(order: &Value) -> String {
    let id = order["spec"]["orderReqId"].as_str();
    id.or_else(|| order["metadata"]["name"].as_str()).unwrap_or_default().to_owned()
}

/// Checks that an open order can be awarded at once, and that a sealed one reports the refusal and
/// stays open.
fn award(cluster: &Cluster) -> anyhow::Result<()> {
    award_first_proposal(cluster, "office-chairs")?;
    let finalised = "--for=jsonpath={.status.phase}=Finalised";
    cluster.kubectl(&["wait", "oreq", "office-chairs", finalised, "--timeout=30s"])?;
    award_first_proposal(cluster, "it-services")?;
    let refused = "--for=jsonpath={.status.conditions[?(@.type==\"Stalled\")].reason}=ORDER_SEALED";
    cluster.kubectl(&["wait", "oreq", "it-services", refused, "--timeout=30s"])?;
    let sealed = ["get", "oreq", "it-services", "-o", "json"];
    let sealed: Value = serde_json::from_str(&cluster.kubectl(&sealed)?)?;
    ensure!(sealed["status"]["phase"] == "Open", "{}", sealed["status"]);
    println!("office-chairs is awarded and finalised; it-services is sealed and stays open");
    Ok(())
}

fn award_first_proposal(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let order: Value =
        serde_json::from_str(&cluster.kubectl(&["get", "oreq", name, "-o", "json"])?)?;
    let proposal = format!("{RELEASE}-processor-0-{}", order_id(&order));
    let patch = json!({"spec": {"award": {"proposalId": proposal}}}).to_string();
    cluster.kubectl(&["patch", "oreq", name, "--type=merge", "-p", &patch])?;
    Ok(())
}

/// Checks that an order waits for a decision after its deadline, takes nothing more from sellers,
/// and can be awarded.
fn award_after_deadline(cluster: &Cluster) -> anyhow::Result<()> {
    let manifest = json!({
        "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
        "metadata": {"name": "short-notice"},
        "spec": {"expiresIn": "15s", "sellers": {"names": ["moebel-augsburg"]}},
    });
    cluster.kubectl_with(&["apply", "-f", "-"], &manifest.to_string())?;
    let until = |field: &str, value: &str| {
        let condition = format!("--for=jsonpath={{.status.{field}}}={value}");
        cluster.kubectl(&["wait", "oreq/short-notice", &condition, "--timeout=60s"])
    };
    until("phase", "Open")?;
    let propose = |id: &str| {
        let body = json!({
            "tenant": NAMESPACE, "order_req_id": "short-notice", "proposal_id": id,
            "seller": "moebel-augsburg", "price": "900.00", "currency": "EUR",
        });
        let path = format!("{}/api/v1/proposals", Cluster::service("processor"));
        wait_until("the proposal is answered", STATE_TIMEOUT, || {
            let response = cluster.request("POST", &path, &body.to_string())?;
            Ok((response.status != 503).then_some(response))
        })
    };
    let in_time = propose("in-time")?;
    ensure!(in_time.status == 201, "{in_time:?}");
    until("phase", "Deciding")?;
    until("tracker.stream", "Active")?;
    let late = propose("late")?;
    ensure!(late.json()?["reason"] == "DEADLINE_PASSED", "{late:?}");
    let patch = json!({"spec": {"award": {"proposalId": "in-time"}}}).to_string();
    cluster.kubectl(&["patch", "oreq", "short-notice", "--type=merge", "-p", &patch])?;
    until("phase", "Finalised")?;
    println!("short-notice was awarded after its deadline");
    Ok(())
}

/// Runs the original system's conversation, through the requestor's Service.
fn original_conversation(cluster: &Cluster) -> anyhow::Result<()> {
    let base = format!("{}/api/v1/orders", Cluster::service("requestor"));
    let initiate = json!({
        "order_req_id": "SB1029436", "session_id": "sess_123", "notification_type": "email",
    });
    let response = cluster.request("POST", &format!("{base}/initiate"), &initiate.to_string())?;
    ensure!(response.status == 200 && response.json()?["success"] == true, "{response:?}");
    let order = wait_until("the order request is there", STATE_TIMEOUT, || {
        // Without a tenant, a buyer's order is in `default`.
        let orders = cluster.orders_of("default")?;
        Ok(orders.into_iter().find(|order| order_id(order) == "SB1029436"))
    })?;
    ensure!(order["spec"]["session"] == "sess_123", "{order}");
    let path = format!("{base}/tracking/SB1029436");
    let tracked = wait_until("it is tracked", STATE_TIMEOUT, || {
        let response = cluster.request("GET", &path, "")?;
        Ok((response.status == 200).then_some(response))
    })?;
    ensure!(tracked.json()?["session_id"] == "sess_123", "{tracked:?}");
    println!("the original's REST conversation made {}", order["metadata"]["name"]);
    let follow_up = json!({
        "order_req_id": "SB1029436", "audience": ["seller1"],
        "message": {"message": "Can you deliver by Friday?", "urls": []},
    });
    let response = cluster.request("POST", &format!("{base}/followup"), &follow_up.to_string())?;
    ensure!(response.status == 200, "{response:?}");
    let response = cluster.request("POST", &format!("{base}/finalize/SB1029436"), "")?;
    ensure!(response.status == 200, "{response:?}");
    Ok(())
}
