//! The yardstick: a kube-rs watch that patches the status of each resource once, and does nothing
//! else.

use futures_util::StreamExt as _;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, watcher};
use orderstream_controller::order_request::OrderRequest;
use serde_json::json;
use tokio::task::JoinSet;

use super::driver;

/// Patches at once, as many as the operator's writer has.
const IN_FLIGHT_MAX: usize = 32;

/// Watches a namespace until it is killed.
pub(crate) async fn run(kubeconfig: &std::path::Path, namespace: &str) -> anyhow::Result<()> {
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
                "status": { "phase": "Streaming", "observedGeneration": 1 },
            });
            let params = PatchParams::apply("bare").force();
            api.patch_status(&name, &params, &Patch::Apply(status)).await
        });
    }
    Ok(())
}
