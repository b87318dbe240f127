//! `orderstream processor`.

use std::path::Path;
use std::sync::Arc;

use orderstream_controller::manifest::FileDirectory;
use orderstream_processor::{Config, Parts, Processor};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::{Tasks, blocking, close_journal, open_journal};
use crate::admin::Admin;
use crate::cli::Common;
use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::listen::{Addresses, WhenOccupied};
use crate::shutdown::on_signal;

/// Runs a processor until it is told to stop.
pub(crate) async fn run(config: Config, common: &Common) -> Result<(), Failure> {
    let directory = directory(config.sellers.as_deref())?;
    let journal = open_journal(&config.data_dir, "--data-dir").await?;
    let mut addresses = Addresses::new(WhenOccupied::Fail);
    let grpc = addresses.bind("grpc", "--grpc-addr", config.grpc_addr)?;
    let rest = addresses.bind("rest", "--rest-addr", config.rest_addr)?;
    let metrics = addresses.bind("metrics", "--metrics-addr", config.metrics_addr)?;
    let registry = Registry::new();
    let shutdown = CancellationToken::new();
    let name = match config.name {
        Some(name) => name,
        None => grpc.local_addr().map(|address| format!("http://{address}")).unwrap_or_default(),
    };
    let parts = Parts {
        journal: Arc::new(journal.clone()),
        directory: Arc::new(directory),
        clock: Arc::new(SystemClock),
        metrics: registry.clone(),
        name,
        shutdown: shutdown.clone(),
    };
    let processor = blocking(move || Processor::start(parts).map_err(unexpected)).await?;
    let admin = Admin::new(registry);
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.start(on_signal(shutdown.clone()));
    tasks.start(admin.clone().serve(metrics, shutdown.clone()));
    tasks.start(async move {
        let result = processor.run(grpc, rest).await.map_err(unexpected);
        shutdown.cancel();
        result
    });
    admin.set_ready();
    addresses.write(common.addr_file.as_deref())?;
    tasks.join().await?;
    close_journal(journal).await
}

fn directory(file: Option<&Path>) -> Result<FileDirectory, Failure> {
    match file {
        Some(file) => Ok(FileDirectory::load(file)?),
        None => Ok(FileDirectory::from(Vec::new())),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn unexpected(error: orderstream_processor::Error) -> Failure {
    Failure::unexpected(error.to_string())
}
