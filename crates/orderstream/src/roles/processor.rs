//! `orderstream processor`: owns orders and serves sellers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use orderstream_api::duration::parse_ms;
use orderstream_cli::exit::CliError;
use orderstream_controller::{Client, ClusterSellers, Requests, connect};
use orderstream_core::port::SellerDirectory;
use orderstream_local::FileDirectory;
use orderstream_notifier::guard::AddressPolicy;
use orderstream_processor::{Config, Parts, PeersConfig};
use orderstream_support::SystemClock;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Tasks, blocking, channels, close_journal, open_journal, register_journal_metrics};
use crate::admin::Admin;
use crate::cli::CommonArgs;
use crate::listen::{ListenAddresses, OccupiedPortPolicy};
use crate::metrics;
use crate::shutdown::on_signal;

/// The shortest time for which an ended order is kept: long enough that its award can be read.
const KEEP_ENDED_MIN: Duration = Duration::from_mins(1);
/// The longest time for which an ended order is kept; durations have three digits of days.
const KEEP_ENDED_MAX: Duration = Duration::from_hours(24 * 999);

/// Runs a processor until it is stopped.
pub(crate) async fn run(config: Config, common: &CommonArgs) -> Result<(), CliError> {
    let (registry, http) = metrics::registry()?;
    let sellers = SellerSource::of(&config, &registry).await?;
    let webhooks =
        if config.webhook_allow_local { AddressPolicy::Open } else { AddressPolicy::Strict };
    let notifier = channels::open(config.notify_config.as_deref(), webhooks)?;
    let journal = open_journal(&config.data_dir, "--data-dir").await?;
    let mut addresses = ListenAddresses::new(OccupiedPortPolicy::Fail);
    let grpc = addresses.bind("grpc", "--grpc-addr", config.grpc_addr)?;
    let rest = addresses.bind("rest", "--rest-addr", config.rest_addr)?;
    let metrics = addresses.bind("metrics", "--metrics-addr", config.metrics_addr)?;
    register_journal_metrics(&registry, &journal, &config.data_dir)?;
    let shutdown = CancellationToken::new();
    let peers = peers(&config, &grpc, &rest)?;
    let parts = Parts {
        journal: Arc::new(journal.clone()),
        directory: sellers.directory(),
        clock: Arc::new(SystemClock),
        metrics: registry.clone(),
        http_metrics: http,
        peers,
        keep_ended: keep_ended(&config.keep_ended)?,
        shutdown: shutdown.clone(),
    };
    // Alive while it reads its journal, and ready after that.
    let admin = Admin::new(registry).with_journals(vec![journal.clone()]);
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.start(on_signal(shutdown.clone()));
    tasks.start(admin.clone().serve(metrics, shutdown.clone()));
    let processor = blocking(move || channels::start(parts, notifier)).await?;
    let greeted = processor.greeted();
    let cluster = sellers.cluster_sellers();
    tasks.start(sellers.follow(shutdown.clone()));
    let stop = shutdown.clone();
    tasks.start(async move {
        let result = processor.run(grpc, rest).await.map_err(channels::unexpected);
        shutdown.cancel();
        result
    });
    addresses.write(common.addr_file.as_deref())?;
    tasks.start(async move {
        greeted.await;
        if let Some(cluster) = cluster {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = cluster.listed() => {}
            }
        }
        admin.set_ready();
        Ok(())
    });
    tasks.join().await?;
    close_journal(journal).await
}

/// Parses the time for which an order is kept after its end.
pub(super) fn keep_ended(text: &str) -> Result<Duration, CliError> {
    let duration = parse_ms(text).map(Duration::from_millis);
    duration.filter(|wanted| (KEEP_ENDED_MIN..=KEEP_ENDED_MAX).contains(wanted)).ok_or_else(|| {
        let text = format!(
            "--keep-ended '{text}' is not a duration from 1m to 999d; give one such as 12h or 30d"
        );
        CliError::input(text)
    })
}

/// Returns the URLs by which this processor is known, and the file that lists its peers.
fn peers(config: &Config, grpc: &TcpListener, rest: &TcpListener) -> Result<PeersConfig, CliError> {
    let at = |listener: &TcpListener| {
        listener.local_addr().map_err(|error| CliError::unexpected(error.to_string()))
    };
    let is_reachable = config.name.is_some() || !config.grpc_addr.ip().is_unspecified();
    if config.peers.is_some() && !is_reachable {
        let text = "--peers needs --name, the URL by which the other processors reach this one";
        return Err(CliError::input(text.to_owned()));
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

/// The source of the sellers.
enum SellerSource {
    /// A file, which is followed; no sellers without one.
    File(FileDirectory, Option<PathBuf>),
    /// The cluster, all of it or one namespace.
    Cluster(ClusterSellers, Client, Option<String>),
}

impl SellerSource {
    async fn of(config: &Config, registry: &Registry) -> Result<Self, CliError> {
        if config.sellers_from_cluster && config.sellers.is_some() {
            let text = "--sellers and --sellers-from-cluster exclude each other; give one of them";
            return Err(CliError::input(text.to_owned()));
        }
        if config.sellers_from_cluster {
            let requests = Requests::register_of_processor(registry)
                .map_err(|error| CliError::unexpected(error.to_string()))?;
            let (client, _) = connect(config.kubeconfig.as_deref(), &requests)
                .await
                .map_err(|error| CliError::input(error.to_string()))?;
            let namespace = config.sellers_namespace.clone();
            return Ok(Self::Cluster(ClusterSellers::default(), client, namespace));
        }
        if config.sellers.is_some() && config.sellers_namespace.is_some() {
            let text = "--sellers-namespace needs --sellers-from-cluster; a file has no namespaces";
            return Err(CliError::input(text.to_owned()));
        }
        let directory = match &config.sellers {
            Some(file) => FileDirectory::load(file)?,
            None => FileDirectory::from(Vec::new()),
        };
        Ok(Self::File(directory, config.sellers.clone()))
    }

    fn directory(&self) -> Arc<dyn SellerDirectory> {
        match self {
            Self::File(directory, _) => Arc::new(directory.clone()),
            Self::Cluster(sellers, ..) => Arc::new(sellers.clone()),
        }
    }

    fn cluster_sellers(&self) -> Option<ClusterSellers> {
        match self {
            Self::File(..) => None,
            Self::Cluster(sellers, ..) => Some(sellers.clone()),
        }
    }

    /// Keeps the sellers up to date until shutdown.
    async fn follow(self, shutdown: CancellationToken) -> Result<(), CliError> {
        match self {
            Self::File(_, None) => {}
            Self::File(directory, Some(file)) => directory.follow(file, shutdown).await,
            Self::Cluster(sellers, client, namespace) => {
                sellers.follow(client, namespace, shutdown).await;
            }
        }
        Ok(())
    }
}
