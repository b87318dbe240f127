//! `orderstream processor`.

use std::path::Path;
use std::sync::Arc;

use orderstream_controller::manifest::FileDirectory;
use orderstream_core::notification::Notifier;
use orderstream_notifier::{Channels, ConfigError};
use orderstream_processor::{Config, Parts, PeersConfig, Processor};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Tasks, blocking, close_journal, open_journal, watch_journal};
use crate::admin::Admin;
use crate::cli::Common;
use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::figures;
use crate::listen::{Addresses, WhenOccupied};
use crate::shutdown::on_signal;

/// Runs a processor until it is told to stop.
pub(crate) async fn run(config: Config, common: &Common) -> Result<(), Failure> {
    let directory = directory(config.sellers.as_deref())?;
    let notifier = notifier(&config)?;
    let journal = open_journal(&config.data_dir, "--data-dir").await?;
    let mut addresses = Addresses::new(WhenOccupied::Fail);
    let grpc = addresses.bind("grpc", "--grpc-addr", config.grpc_addr)?;
    let rest = addresses.bind("rest", "--rest-addr", config.rest_addr)?;
    let metrics = addresses.bind("metrics", "--metrics-addr", config.metrics_addr)?;
    let (registry, http) = figures::registry()?;
    watch_journal(&registry, &journal, &config.data_dir)?;
    let shutdown = CancellationToken::new();
    let peers = peers(&config, &grpc, &rest)?;
    let parts = Parts {
        journal: Arc::new(journal.clone()),
        directory: Arc::new(directory),
        clock: Arc::new(SystemClock),
        metrics: registry.clone(),
        http_metrics: http,
        peers,
        shutdown: shutdown.clone(),
    };
    // Alive while it reads its journal, and ready after that.
    let admin = Admin::new(registry);
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.start(on_signal(shutdown.clone()));
    tasks.start(admin.clone().serve(metrics, shutdown.clone()));
    let processor = blocking(move || start(parts, notifier)).await?;
    let greeted = processor.greeted();
    tasks.start(async move {
        let result = processor.run(grpc, rest).await.map_err(unexpected);
        shutdown.cancel();
        result
    });
    addresses.write(common.addr_file.as_deref())?;
    tasks.start(async move {
        greeted.await;
        admin.set_ready();
        Ok(())
    });
    tasks.join().await?;
    close_journal(journal).await
}

/// Reads the journal, and begins to tell people where channels are set up.
fn start(parts: Parts, notifier: Option<Arc<dyn Notifier>>) -> Result<Processor, Failure> {
    let processor = Processor::start(parts).map_err(unexpected)?;
    let told = match notifier {
        Some(notifier) => processor.telling(notifier),
        None => processor.silent(),
    };
    told.map_err(unexpected)
}

/// The channels over which people are told.
fn notifier(config: &Config) -> Result<Option<Arc<dyn Notifier>>, Failure> {
    let Some(file) = &config.notify_config else {
        tracing::info!("nobody is told of anything: --notify-config is not given");
        return Ok(None);
    };
    let wrong = |error: ConfigError| Failure::input(format!("--notify-config: {error}"));
    let mut settings = orderstream_notifier::Config::load(file).map_err(wrong)?;
    settings.webhook.allow_local |= config.webhook_allow_local;
    let channels = Channels::new(settings, Arc::new(SystemClock)).map_err(wrong)?;
    tracing::info!(channels = channels.summary(), "people are told");
    Ok(Some(Arc::new(channels)))
}

/// How this processor is known, and where the others are listed.
fn peers(config: &Config, grpc: &TcpListener, rest: &TcpListener) -> Result<PeersConfig, Failure> {
    let at = |listener: &TcpListener| {
        listener.local_addr().map_err(|error| Failure::unexpected(error.to_string()))
    };
    let is_reachable = config.name.is_some() || !config.grpc_addr.ip().is_unspecified();
    if config.peers.is_some() && !is_reachable {
        let text = "--peers needs --name, the URL by which the other processors reach this one";
        return Err(Failure::input(text.to_owned()));
    }
    let name = match &config.name {
        Some(name) => name.clone(),
        None => format!("http://{}", at(grpc)?),
    };
    let rest_url = match &config.rest_url {
        Some(url) => url.clone(),
        None => {
            let host = name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host);
            format!("{host}:{}", at(rest)?.port())
        }
    };
    let grpc_url = config.grpc_url.clone().unwrap_or_default();
    Ok(PeersConfig { file: config.peers.clone(), name, rest_url, grpc_url })
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
