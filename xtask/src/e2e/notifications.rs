//! The notification of a seller: the chart with a signing Secret, a seller whose webhook is this
//! process, one order, and exactly one invitation with a valid signature.

mod listener;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use self::listener::{Listener, VerifiedWebhook};
use super::cluster::{Cluster, NAMESPACE, wait_until};

/// The timeout for the invitation: one attempt, and another after a failure.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);
/// The signing secret of this test: the example of Standard Webhooks.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ORDER: &str = "told";
const SELLER: &str = "listening";

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let mut listener = Listener::open(&reachable_from(cluster)?, SECRET)?;
    let address = listener.address();
    println!("a seller listens at http://{address}");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rfq-secrets"},
        "stringData": {"webhook-secret": SECRET},
    });
    // The processors list the sellers when they restart, so this one is created before.
    let seller = json!({
        "apiVersion": "orderstream.dev/v1alpha1", "kind": "Seller", "metadata": {"name": SELLER},
        "spec": {"channels": [{"type": "Webhook", "address": format!("http://{address}/{SELLER}")}]},
    });
    for object in [secret, seller] {
        cluster.kubectl_with(&["apply", "-f", "-"], &object.to_string())?;
    }
    let ports = format!("networkPolicy.webhookPorts={{{}}}", address.port());
    cluster.upgrade(&[
        "notifications.enabled=true",
        "notifications.existingSecret=rfq-secrets",
        "notifications.webhook.secretKeys={webhook-secret}",
        &ports,
    ])?;
    check_no_secret_exposed(cluster)?;
    let order = json!({
        "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest", "metadata": {"name": ORDER},
        "spec": {"title": "Told", "expiresIn": "1h", "sellers": {"names": [SELLER]}},
    });
    cluster.kubectl_with(&["apply", "-f", "-"], &order.to_string())?;
    wait_until("the invitation is heard", STATE_TIMEOUT, || {
        let received = listener.receive()?;
        Ok(received.iter().any(is_invitation).then_some(()))
    })?;
    wait_until("nothing is left to tell", STATE_TIMEOUT, || {
        listener.receive()?;
        is_all_notified(cluster)
    })?;
    judge(listener.receive()?)?;
    ensure!(listener.rejected().is_empty(), "{:?}", listener.rejected());
    cluster.kubectl(&["delete", &format!("oreq/{ORDER}"), "--timeout=30s"])?;
    cluster.kubectl(&["delete", &format!("seller/{SELLER}")])?;
    Ok(())
}

/// Returns an address of a node, which pods and this process can reach.
fn reachable_from(cluster: &Cluster) -> anyhow::Result<String> {
    let path = "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
    let addresses = cluster.kubectl(&["get", "nodes", "-o", path])?;
    addresses.split_whitespace().next().map(str::to_owned).context("no node has an address")
}

/// Checks that the Secret is referenced, and that its content does not appear in other objects.
fn check_no_secret_exposed(cluster: &Cluster) -> anyhow::Result<()> {
    let kinds = "configmaps,statefulsets,pods,controllerrevisions";
    let manifests = cluster.kubectl(&["get", kinds, "-o", "yaml"])?;
    ensure!(manifests.contains("rfq-secrets"), "nothing names the Secret");
    ensure!(!manifests.contains(SECRET), "a secret stands in one of {kinds}");
    Ok(())
}

fn is_invitation(webhook: &VerifiedWebhook) -> bool {
    webhook.event["template"] == "invitation" && webhook.event["subject"] == ORDER
}

/// Checks whether the seller's invitation is recorded as notified, and no notification of the order
/// is pending.
fn is_all_notified(cluster: &Cluster) -> anyhow::Result<Option<()>> {
    let base = format!("{}/api/v1/orders/{ORDER}", Cluster::service("processor"));
    let of = |path: &str| -> anyhow::Result<Value> {
        cluster.request("GET", &format!("{base}{path}?tenant={NAMESPACE}"), "")?.json()
    };
    let (order, outbox) = (of("")?, of("/notifications")?);
    ensure!(outbox["dead"] == 0, "given up: {outbox}");
    let is_notified = order["invitations"][0]["state"] == "Notified" && outbox["waiting"] == 0;
    Ok(is_notified.then_some(()))
}

/// Checks that there is one invitation, apart from repetitions, with the correct content.
fn judge(received: &[VerifiedWebhook]) -> anyhow::Result<()> {
    let invitations: Vec<_> = received.iter().filter(|request| is_invitation(request)).collect();
    let ids: BTreeSet<_> = invitations.iter().map(|request| request.event["id"].as_str()).collect();
    ensure!(ids.len() == 1, "not one invitation but {ids:?}");
    for webhook in &invitations {
        let (path, event) = (&webhook.path, &webhook.event);
        ensure!(*path == format!("/{SELLER}"), "it went to {path}");
        ensure!(event["type"] == "dev.orderstream.SELLER_NOTIFY", "{event}");
        ensure!(event["source"] == format!("/orderstream/{NAMESPACE}/{ORDER}"), "{event}");
        ensure!(event["data"]["order"]["title"] == "Told", "{event}");
    }
    println!(
        "one signed invitation, heard {} times, of {} messages",
        invitations.len(),
        received.len()
    );
    Ok(())
}
