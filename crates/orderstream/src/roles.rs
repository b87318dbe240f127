//! The long-running commands. Each checks its settings and opens its store before any port, logs
//! the bound addresses, and drains on SIGTERM or Ctrl-C.

mod channels;
pub(crate) mod controller;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod processor;
mod projection;
pub(crate) mod requestor;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use orderstream_cli::exit::CliError;
use orderstream_core::port::OrderStreams;
use orderstream_journal::{Embedded, Options};
use orderstream_local::{self as local, LocalBuyer, LocalOrderRequests, LocalSellers};
use orderstream_requestor::Handle;
use orderstream_rpc::problem::{self, PortSide};
use orderstream_rpc::server::http::{self, HttpLimits};
use orderstream_support::SystemClock;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::JournalCollector;

/// The tasks of a role. When one fails, the others are stopped.
#[derive(Debug)]
struct Tasks {
    set: JoinSet<Result<(), CliError>>,
    shutdown: CancellationToken,
}

impl Tasks {
    fn new(shutdown: CancellationToken) -> Self {
        Self { set: JoinSet::new(), shutdown }
    }

    fn start(&mut self, task: impl Future<Output = Result<(), CliError>> + Send + 'static) {
        self.set.spawn(task);
    }

    /// Waits for all tasks and returns the first failure.
    async fn join(mut self) -> Result<(), CliError> {
        let mut first = Ok(());
        while let Some(ended) = self.set.join_next().await {
            let result = ended
                .unwrap_or_else(|error| Err(CliError::unexpected(format!("a task died: {error}"))));
            if result.is_err() {
                self.shutdown.cancel();
                first = first.and(result);
            }
        }
        first
    }
}

/// Opens a journal, on a thread that may block on the disk.
async fn open_journal(dir: &Path, flag: &str) -> Result<Embedded, CliError> {
    let (dir, flag) = (dir.to_path_buf(), flag.to_owned());
    blocking(move || {
        Embedded::open(&dir, Options::default())
            .map_err(|error| CliError::unexpected(format!("{flag}: {error}")))
    })
    .await
}

/// Registers a journal's metrics.
fn register_journal_metrics(
    registry: &Registry,
    journal: &Embedded,
    dir: &Path,
) -> Result<(), CliError> {
    let collector = JournalCollector::of(journal.clone(), dir);
    collector
        .and_then(|collector| registry.register(Box::new(collector)))
        .map_err(|error| CliError::unexpected(error.to_string()))
}

/// Closes a journal, after all that used it has ended.
async fn close_journal(journal: Embedded) -> Result<(), CliError> {
    blocking(move || {
        journal.close();
        Ok(())
    })
    .await
}

/// Runs blocking work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CliError> + Send + 'static,
) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(CliError::unexpected(format!("a task died: {error}"))))
}

/// Opens the order requests that are applied without Kubernetes, beside a requestor.
async fn open_local(
    dir: &Path,
    handle: &Handle,
    shutdown: CancellationToken,
) -> Result<LocalOrderRequests, CliError> {
    let streams: Arc<dyn OrderStreams> = Arc::new(handle.clone());
    let parts = local::Parts {
        dir: dir.to_path_buf(),
        streams,
        processors: handle.processors().to_vec(),
        epoch: handle.epoch(),
        clock: Arc::new(SystemClock),
        shutdown,
    };
    blocking(move || {
        let local = LocalOrderRequests::open(parts)?;
        local.reconcile_all();
        Ok(local)
    })
    .await
}

/// Returns the buyer's REST: the original contract, the applied order requests, and the applied
/// sellers of a server that has its own.
fn buyer_router(
    handle: &Handle,
    local: &LocalOrderRequests,
    sellers: Option<LocalSellers>,
) -> Router {
    let buyer = LocalBuyer::new(Arc::new(handle.clone()), local.clone());
    let buyers = orderstream_requestor::rest::router(Arc::new(buyer));
    let router = buyers.merge(local::rest::router(local.clone(), sellers));
    problem::with_fallbacks(router, PortSide::Buyers)
}

async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> Result<(), CliError> {
    http::serve(listener, router, HttpLimits::default(), shutdown).await;
    Ok(())
}
