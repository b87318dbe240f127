//! The baseline: a kube-rs watch that patches the status of each resource once, and does nothing
//! else.

use futures_util::StreamExt as _;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, watcher};
use orderstream_api::order_request::OrderRequest;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::driver;

/// The largest number of concurrent patches, the same as that of the operator's writer.
const IN_FLIGHT_MAX: usize = 32;

/// The status that the loop writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BareStatus {
    /// A phase and a generation.
    TwoFields,
    /// As many fields as the operator's first status of an order.
    Whole,
}

impl BareStatus {
    /// Returns the status's name on a command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TwoFields => "two-fields",
            Self::Whole => "whole",
        }
    }

    fn status(self) -> Value {
        match self {
            Self::TwoFields => json!({ "phase": "Open", "observedGeneration": 1 }),
            Self::Whole => whole(),
        }
    }
}

fn whole() -> Value {
    const TIME: &str = "2026-01-01T00:00:00Z";
    const SETTLED: &str = "the controller has nothing to do for the order now";
    const NOTIFYING: &str = "the invited sellers are being notified; wait";
    const STREAM_UP: &str =
        "the order's events are received from the processor http://127.0.0.1:50051";
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": TIME,
        })
    };
    json!({
        "phase": "Open",
        "observedGeneration": 1,
        "conditions": [
            condition("Ready", "True", "Open", "the order takes proposals"),
            condition("Reconciling", "False", "Settled", SETTLED),
            condition("Stalled", "False", "NothingWrong", "nothing is wrong with the order request"),
            condition("SellersNotified", "False", "Notifying", NOTIFYING),
            condition("Streaming", "True", "StreamUp", STREAM_UP),
            condition("ProposalsReceived", "False", "Waiting", "no proposal was received so far"),
        ],
        "tracker": {
            "streamActive": true, "stream": "Active", "notes": 0, "lastSeq": 2, "reconnects": 0,
            "lastEvent": { "type": "SellersSelected", "time": TIME },
        },
        "proposals": { "received": 0, "open": 0, "withdrawn": 0, "closed": 0 },
        "sellers": {
            "selected": 4, "notified": 0, "failed": 0, "seen": 0, "declined": 0, "proposed": 0,
        },
        "followUps": { "sent": 0 },
        "stream": {
            "processor": "http://127.0.0.1:50051", "epoch": 1, "attempts": 0,
            "connectedSince": TIME,
        },
        "startTime": TIME,
        "expiresAt": TIME,
    })
}

/// Watches a namespace until the process is killed.
pub(crate) async fn run(
    kubeconfig: &std::path::Path,
    namespace: &str,
    bare_status: BareStatus,
) -> anyhow::Result<()> {
    let api: Api<OrderRequest> = Api::namespaced(driver::client(kubeconfig).await?, namespace);
    let mut resources =
        std::pin::pin!(watcher(api.clone(), Config::default()).default_backoff().applied_objects());
    let mut patches: JoinSet<kube::Result<OrderRequest>> = JoinSet::new();
    while let Some(resource) = resources.next().await {
        let resource = resource?;
        if resource.status.is_some_and(|status| status.phase.is_some()) {
            continue;
        }
        if patches.len() >= IN_FLIGHT_MAX
            && let Some(patched) = patches.join_next().await
        {
            patched??;
        }
        let (api, name) = (api.clone(), resource.metadata.name.unwrap_or_default());
        patches.spawn(async move {
            let status = json!({
                "apiVersion": "orderstream.dev/v1alpha1",
                "kind": "OrderRequest",
                "status": bare_status.status(),
            });
            let params = PatchParams::apply("bare").force();
            api.patch_status(&name, &params, &Patch::Apply(status)).await
        });
    }
    Ok(())
}
