//! `orderstream requestor`: the buyer's side without Kubernetes.

use std::sync::Arc;

use orderstream_cli::exit::CliError;
use orderstream_core::TenantScope;
use orderstream_core::port::DnsAddresses;
use orderstream_requestor::{Config, JournalLists, Parts, Requestor};
use orderstream_rpc::server::http_metrics::with_metrics;
use orderstream_support::SystemClock;
use tokio_util::sync::CancellationToken;

use super::{
    Tasks, buyer_router, close_journal, open_journal, open_local, projection,
    register_journal_metrics, serve,
};
use crate::admin::Admin;
use crate::cli::CommonArgs;
use crate::listen::{ListenAddresses, OccupiedPortPolicy};
use crate::metrics::CommonMetrics;
use crate::shutdown::on_signal;

/// Runs a requestor until it is stopped.
pub(crate) async fn run(config: Config, common: &CommonArgs) -> Result<(), CliError> {
    config.validate()?;
    let dir = config.store_dir()?;
    let (store, scope) = (Some(&config.store), TenantScope::All);
    let projection = projection::open(store, scope, &common.authorities()?).await?;
    let flag = if config.store.is_mongodb() { "--data-dir" } else { "--store" };
    let journal = open_journal(&dir, flag).await?;
    let mut addresses = ListenAddresses::new(OccupiedPortPolicy::Fail);
    let rest = addresses.bind("requestor", "--rest-addr", config.rest_addr)?;
    let metrics = addresses.bind("metrics", "--metrics-addr", config.metrics_addr)?;
    let CommonMetrics { registry, http, ready } = CommonMetrics::register()?;
    register_journal_metrics(&registry, &journal, &dir)?;
    let shutdown = CancellationToken::new();
    let parts = Parts {
        processors: config.processors,
        addresses: Arc::new(DnsAddresses),
        connections: config.connections,
        max_orders: config.max_orders,
        lists: Arc::new(JournalLists::new(Arc::new(journal.clone()))),
        projection,
        clock: Arc::new(SystemClock),
        metrics: registry.clone(),
        shutdown: shutdown.clone(),
    };
    let (handle, service) = Requestor::start(parts).await.map_err(unexpected)?;
    let local = open_local(&dir.join("orderrequests"), &handle, shutdown.clone()).await?;
    let admin = Admin::new(registry, ready).with_journals(vec![journal.clone()]);
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.start(on_signal(shutdown.clone()));
    tasks.start(admin.clone().serve(metrics, shutdown.clone()));
    let router = with_metrics(buyer_router(&handle, &local, None), http);
    tasks.start(serve(rest, router, shutdown.clone()));
    tasks.start(async move { service.run().await.map_err(unexpected) });
    tasks.start(async move {
        local.run().await;
        Ok(())
    });
    admin.set_ready();
    addresses.write(common.addr_file.as_deref())?;
    drop(handle);
    tasks.join().await?;
    close_journal(journal).await
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn unexpected(error: orderstream_requestor::Error) -> CliError {
    CliError::unexpected(error.to_string())
}
