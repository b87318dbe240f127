//! `orderstream controller`: the operator on a cluster, with the requestor's streams inside.

use std::sync::Arc;
use std::time::Duration;

use orderstream_cli::exit::CliError;
use orderstream_controller::{
    self as controller, ClusterBuyer, Config, Processors, Requests, connect,
};
use orderstream_core::port::{OrderOwners, OrderStreams};
use orderstream_requestor::{MemoryLists, Parts, Requestor};
use orderstream_rpc::server::http_metrics::with_metrics;
use orderstream_support::SystemClock;
use tokio_util::sync::CancellationToken;

use super::requestor::unexpected;
use super::{Tasks, projection, serve};
use crate::admin::Admin;
use crate::cli::CommonArgs;
use crate::listen::{ListenAddresses, OccupiedPortPolicy};
use crate::metrics::CommonMetrics;
use crate::shutdown::on_signal;

/// The interval at which the role checks whether the first list is complete.
const READY_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the operator until it is stopped.
pub(crate) async fn run(config: Config, common: &CommonArgs) -> Result<(), CliError> {
    config.validate().map_err(wrong)?;
    let scope = config.scope().map_err(wrong)?;
    let (store, authorities) = (config.store.as_ref(), common.authorities()?);
    let projection = projection::open_beside(store, scope.clone(), &authorities).await?;
    let CommonMetrics { registry, http, ready } = CommonMetrics::register()?;
    let requests =
        Requests::register(&registry).map_err(|error| CliError::unexpected(error.to_string()))?;
    let (client, own) = connect(config.kubeconfig.as_deref(), &requests).await.map_err(wrong)?;
    let mut addresses = ListenAddresses::new(OccupiedPortPolicy::Fail);
    let rest = addresses.bind("requestor", "--rest-addr", config.rest_addr)?;
    let metrics = addresses.bind("metrics", "--metrics-addr", config.metrics_addr)?;
    let shutdown = CancellationToken::new();
    // Cancelled last: the operator ends its streams before their tasks are ended.
    let streams_end = CancellationToken::new();
    let processors = Processors::default();
    let parts = Parts {
        processors: Vec::new(),
        addresses: Arc::new(processors.clone()),
        connections: config.connections,
        max_orders: config.max_orders,
        lists: Arc::new(MemoryLists::default()),
        projection,
        clock: Arc::new(SystemClock),
        metrics: registry.clone(),
        shutdown: streams_end.clone(),
    };
    let (requestor, requestor_service) = Requestor::start(parts).await.map_err(unexpected)?;
    let streams: Arc<dyn OrderStreams> = Arc::new(requestor.clone());
    let owners: Arc<dyn OrderOwners> = Arc::new(requestor);
    let buyers = client.clone();
    let parts = controller::Parts {
        client,
        requests,
        scope: scope.clone(),
        controller_name: config.controller_name.clone(),
        seller_statuses: config.seller_statuses,
        source: config.source(&own),
        processors,
        election: config.election(&own, &host()),
        streams,
        owners,
        clock: Arc::new(SystemClock),
        metrics: registry.clone(),
        shutdown: shutdown.clone(),
    };
    let (handle, service) =
        controller::start(parts).map_err(|error| CliError::unexpected(error.to_string()))?;
    let (cache, name) = (Arc::clone(handle.cache()), &config.controller_name);
    let buyer = ClusterBuyer::new(buyers, cache, name, scope);
    let router = orderstream_requestor::rest::router(Arc::new(buyer));
    let admin = Admin::new(registry, ready);
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.start(on_signal(shutdown.clone()));
    tasks.start(admin.clone().serve(metrics, shutdown.clone()));
    tasks.start(serve(rest, with_metrics(router, http), shutdown.clone()));
    tasks.start(async move {
        service.run().await;
        streams_end.cancel();
        requestor_service.run().await.map_err(unexpected)
    });
    tasks.start(set_ready_when_synced(handle, admin, shutdown));
    addresses.write(common.addr_file.as_deref())?;
    tasks.join().await
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn wrong(error: controller::Error) -> CliError {
    CliError::input(error.to_string())
}

async fn set_ready_when_synced(
    handle: controller::Handle,
    admin: Admin,
    shutdown: CancellationToken,
) -> Result<(), CliError> {
    while !handle.is_ready() {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(READY_POLL_INTERVAL) => {}
        }
    }
    admin.set_ready();
    Ok(())
}

/// Returns the machine's name, which is shown in the Lease.
fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "orderstream".to_owned(),
        host => host.to_owned(),
    }
}
