//! `orderstream processor`: owns orders and serves sellers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orderstream_api::duration::parse_friendly_ms;
use orderstream_cli::exit::CliError;
use orderstream_controller::{
    Client, ClusterSellers, NamespaceFlag, Requests, connect, namespace_scope,
};
use orderstream_core::TenantScope;
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
use crate::metrics::CommonMetrics;
use crate::shutdown::on_signal;

/// The shortest time for which an ended order is kept: long enough that its award can be read.
const KEEP_ENDED_MIN: Duration = Duration::from_mins(1);
/// The longest time for which an ended order is kept; durations have three digits of days.
const KEEP_ENDED_MAX: Duration = Duration::from_hours(24 * 999);

/// Runs a processor until it is stopped.
pub(crate) async fn run(config: Config, common: &CommonArgs) -> Result<(), CliError> {
    config.validate()?;
    config.peers.as_deref().map_or(Ok(()), check_peers)?;
    let CommonMetrics { registry, http, ready } = CommonMetrics::register()?;
    let sellers = SellerSource::of(&config, &registry).await?;
    let webhooks =
        if config.webhook_allow_local { AddressPolicy::Open } else { AddressPolicy::Strict };
    let notifier =
        channels::open(config.notify_config.as_deref(), webhooks, common.authorities()?)?;
    let journal = open_journal(&config.data_dir, "--data-dir").await?;
    let mut addresses = ListenAddresses::new(OccupiedPortPolicy::Fail);
    let grpc = addresses.bind("grpc", "--grpc-addr", config.grpc_addr)?;
    let rest = addresses.bind("rest", "--rest-addr", config.rest_addr)?;
    let metrics = addresses.bind("metrics", "--metrics-addr", config.metrics_addr)?;
    register_journal_metrics(&registry, &journal, &config.data_dir)?;
    let shutdown = CancellationToken::new();
    let peers = peers(&config, local_address(&grpc)?, local_address(&rest)?)?;
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
    let admin = Admin::new(registry, ready).with_journals(vec![journal.clone()]);
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
    let duration = parse_friendly_ms(text).map(Duration::from_millis);
    duration.filter(|wanted| (KEEP_ENDED_MIN..=KEEP_ENDED_MAX).contains(wanted)).ok_or_else(|| {
        let text = format!(
            "--keep-ended '{text}' is not a duration from 1m to 999d; give one such as 12h or 30d"
        );
        CliError::input(text)
    })
}

/// Checks the list of the peers, if it is there already.
fn check_peers(file: &Path) -> Result<(), CliError> {
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(()) };
    PeersConfig::check_list(&text)
        .map_err(|fault| CliError::input(format!("--peers {}: {fault}", file.display())))
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, CliError> {
    listener.local_addr().map_err(|error| CliError::unexpected(error.to_string()))
}

/// Returns the URLs by which this processor is known, and the file that lists its peers; `grpc` and
/// `rest` are the addresses of its ports.
fn peers(config: &Config, grpc: SocketAddr, rest: SocketAddr) -> Result<PeersConfig, CliError> {
    // A socket address has the brackets of IPv6.
    let advertised = |port: SocketAddr| {
        config.advertise_address.map(|ip| format!("http://{}", SocketAddr::new(ip, port.port())))
    };
    let is_reachable = config.name.is_some()
        || config.advertise_address.is_some()
        || !config.grpc_addr.ip().is_unspecified();
    if config.peers.is_some() && !is_reachable {
        let text = "--peers needs --name, the URL by which the other processors reach this one, or \
                    --advertise-address";
        return Err(CliError::input(text.to_owned()));
    }
    let name = config.name.clone().or_else(|| advertised(grpc));
    let name = name.unwrap_or_else(|| format!("http://{grpc}"));
    let rest_url = config.rest_url.clone().or_else(|| advertised(rest)).unwrap_or_else(|| {
        let host = name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host);
        format!("{host}:{}", rest.port())
    });
    let grpc_url = config.grpc_url.clone().or_else(|| advertised(grpc)).unwrap_or_default();
    Ok(PeersConfig { file: config.peers.clone(), name, rest_url, grpc_url })
}

/// Returns the namespaces whose sellers are read.
fn sellers_scope(config: &Config) -> Result<TenantScope, CliError> {
    let only = NamespaceFlag { flag: "--sellers-namespace", names: &config.sellers_namespace };
    let except = NamespaceFlag {
        flag: "--sellers-except-namespace",
        names: &config.sellers_except_namespace,
    };
    namespace_scope(only, except).map_err(|error| CliError::input(error.to_string()))
}

/// The source of the sellers.
enum SellerSource {
    /// A file, which is followed; no sellers without one.
    File(FileDirectory, Option<PathBuf>),
    /// The cluster, all of it or some namespaces.
    Cluster(ClusterSellers, Client, TenantScope),
}

impl SellerSource {
    async fn of(config: &Config, registry: &Registry) -> Result<Self, CliError> {
        if config.sellers_from_cluster && config.sellers.is_some() {
            let text = "--sellers and --sellers-from-cluster exclude each other; give one of them";
            return Err(CliError::input(text.to_owned()));
        }
        let scope = sellers_scope(config)?;
        if config.sellers_from_cluster {
            let requests = Requests::register_of_processor(registry)
                .map_err(|error| CliError::unexpected(error.to_string()))?;
            let (client, _) = connect(config.kubeconfig.as_deref(), &requests)
                .await
                .map_err(|error| CliError::input(error.to_string()))?;
            return Ok(Self::Cluster(ClusterSellers::default(), client, scope));
        }
        if config.sellers.is_some() && scope != TenantScope::All {
            let flag = match scope {
                TenantScope::AllBut(_) => "--sellers-except-namespace",
                TenantScope::All | TenantScope::Only(_) => "--sellers-namespace",
            };
            let text = format!("{flag} needs --sellers-from-cluster; a file has no namespaces");
            return Err(CliError::input(text));
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
            Self::Cluster(sellers, client, scope) => sellers.follow(client, scope, shutdown).await,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Tests of the URLs at which other processors reach this one.

    use super::*;

    fn urls(config: &Config) -> [String; 3] {
        let (grpc, rest) = (config.grpc_addr, config.rest_addr);
        let PeersConfig { name, grpc_url, rest_url, .. } = peers(config, grpc, rest).unwrap();
        [name, grpc_url, rest_url]
    }

    #[test]
    fn advertised_addresses_have_brackets() {
        let name = || Some("http://p-0.p.shop.svc:50051".to_owned());
        let advertise_address = Some("fd00::5".parse().unwrap());
        let config = Config { advertise_address, ..Config::default() };
        let (grpc, rest) = ("http://[fd00::5]:50051", "http://[fd00::5]:8005");
        assert_eq!(urls(&config), [grpc, grpc, rest]);
        let config = Config { name: name(), ..config };
        assert_eq!(urls(&config), ["http://p-0.p.shop.svc:50051", grpc, rest]);
        let config = Config { rest_url: Some("http://proxy:80".to_owned()), ..config };
        assert_eq!(urls(&config), ["http://p-0.p.shop.svc:50051", grpc, "http://proxy:80"]);
        let advertise_address = Some("10.0.0.7".parse().unwrap());
        let config = Config { advertise_address, ..Config::default() };
        assert_eq!(urls(&config)[2], "http://10.0.0.7:8005");
    }

    #[test]
    fn processors_are_named_by_their_address() {
        let grpc_addr = "[fd00::5]:50051".parse().unwrap();
        let config = Config { grpc_addr, ..Config::default() };
        assert_eq!(urls(&config), ["http://[fd00::5]:50051", "", "http://[fd00::5]:8005"]);
        let peers_file = Some(PathBuf::from("peers"));
        let config = Config { peers: peers_file, ..Config::default() };
        let error = peers(&config, config.grpc_addr, config.rest_addr).unwrap_err().to_string();
        assert!(error.contains("--peers needs --name"), "{error}");
    }
}
