//! `orderstream dev`: processor, requestor and applied order requests in one process, on real
//! sockets and real journals, with demo sellers that propose.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orderstream_api::manifest::{self, Manifest};
use orderstream_api::order_request::OrderRequest;
use orderstream_cli::exit::CliError;
use orderstream_cli::output;
use orderstream_core::port::{DnsAddresses, SellerDirectory as _};
use orderstream_core::spec::Seller;
use orderstream_core::{StoreUrl, Tenant};
use orderstream_journal::Embedded;
use orderstream_local::{FileDirectory, LocalOrderRequests};
use orderstream_notifier::guard::AddressPolicy;
use orderstream_processor::{OwnedOrders, Parts, PeersConfig};
use orderstream_requestor::{Handle, JournalLists, Projection, Requestor, Service};
use orderstream_rpc::server::http_metrics::{HttpMetrics, with_metrics};
use orderstream_support::SystemClock;
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::processor::keep_ended;
use super::{
    Tasks, blocking, buyer_router, channels, close_journal, demo, open_journal, open_local,
    projection, register_journal_metrics, requestor, serve,
};
use crate::admin::Admin;
use crate::cli::CommonArgs;
use crate::listen::{ListenAddresses, OccupiedPortPolicy, reachable};
use crate::metrics;
use crate::shutdown::on_signal;

/// The most orders that `dev` follows.
const ORDERS_MAX: usize = 10_000;

/// The settings of `dev`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder of all stored data
    #[arg(long, env = "ORDERSTREAM_DATA_DIR", default_value = ".orderstream")]
    data_dir: PathBuf,
    /// The number of demo sellers; 0 for none
    #[arg(long, env = "ORDERSTREAM_DEMO_SELLERS", default_value_t = 20)]
    sellers: usize,
    /// The database that order status and follow-ups are projected to: `mongodb://host/database`
    #[arg(long, env = "ORDERSTREAM_STORE", hide_env_values = true, value_name = "URL")]
    store: Option<StoreUrl>,
    /// File of the notification channels, as for a processor; without it no notification is sent
    #[arg(long, env = "ORDERSTREAM_NOTIFY_CONFIG", value_name = "FILE")]
    notify_config: Option<PathBuf>,
    /// Allow webhooks to loopback and link-local addresses, such as a program on this laptop
    #[arg(long, env = "ORDERSTREAM_WEBHOOK_ALLOW_LOCAL")]
    webhook_allow_local: bool,
    /// Time for which an order is kept after its end, from 1m to 999d
    #[arg(long, env = "ORDERSTREAM_KEEP_ENDED", default_value = "31d", value_name = "DURATION")]
    keep_ended: String,
    /// Manifests to apply at the start; Seller manifests replace the demo sellers
    #[arg(long, num_args = 1.., value_name = "FILE")]
    apply: Vec<PathBuf>,
    /// The address of the buyers' REST
    #[arg(long, env = "ORDERSTREAM_REQUESTOR_ADDR", default_value = "127.0.0.1:8004")]
    requestor_addr: SocketAddr,
    /// The address of the sellers' REST
    #[arg(long, env = "ORDERSTREAM_REST_ADDR", default_value = "127.0.0.1:8005")]
    rest_addr: SocketAddr,
    /// The address of gRPC
    #[arg(long, env = "ORDERSTREAM_GRPC_ADDR", default_value = "127.0.0.1:50051")]
    grpc_addr: SocketAddr,
    /// The address of metrics and health
    #[arg(long, env = "ORDERSTREAM_METRICS_ADDR", default_value = "127.0.0.1:9090")]
    metrics_addr: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            data_dir: PathBuf::from(".orderstream"),
            sellers: 20,
            store: None,
            notify_config: None,
            webhook_allow_local: false,
            keep_ended: "31d".to_owned(),
            apply: Vec::new(),
            requestor_addr: local(8004),
            rest_addr: local(8005),
            grpc_addr: local(50051),
            metrics_addr: local(9090),
        }
    }
}

/// The sellers and order requests of the manifests that are applied at the start.
struct InitialManifests {
    sellers: Vec<Seller>,
    requests: Vec<OrderRequest>,
}

/// The bound ports.
struct DevListeners {
    grpc: TcpListener,
    rest: TcpListener,
    requestor: TcpListener,
    metrics: TcpListener,
}

/// Runs everything until it is stopped.
pub(crate) async fn run(config: Config, common: &CommonArgs) -> Result<(), CliError> {
    let manifests = initial_manifests(&config)?;
    let keep_ended = keep_ended(&config.keep_ended)?;
    let projection = projection::open_beside(config.store.as_ref(), None).await?;
    let webhooks =
        if config.webhook_allow_local { AddressPolicy::Open } else { AddressPolicy::Strict };
    let notifier = channels::open(config.notify_config.as_deref(), webhooks)?;
    let processor_journal = open_journal(&config.data_dir.join("processor"), "--data-dir").await?;
    let requestor_journal = open_journal(&config.data_dir.join("requestor"), "--data-dir").await?;
    let mut addresses = ListenAddresses::new(OccupiedPortPolicy::TakeNext);
    let ports = bind(&config, &mut addresses)?;
    let grpc = ports.grpc.local_addr().map_err(|error| CliError::unexpected(error.to_string()))?;
    let url = format!("http://{}", reachable(grpc));
    let ((registry, http), shutdown) = (metrics::registry()?, CancellationToken::new());
    register_journal_metrics(&registry, &processor_journal, &config.data_dir)?;
    let processor = {
        let directory = FileDirectory::from(manifests.sellers);
        let parts = Parts {
            journal: Arc::new(processor_journal.clone()),
            directory: Arc::new(directory),
            clock: Arc::new(SystemClock),
            metrics: registry.clone(),
            http_metrics: Arc::clone(&http),
            peers: PeersConfig::alone(url.clone()),
            keep_ended,
            shutdown: shutdown.clone(),
        };
        blocking(move || channels::start(parts, notifier)).await?
    };
    let orders = processor.orders();
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.start(on_signal(shutdown.clone()));
    let (rest, own_shutdown) = (ports.rest, shutdown.clone());
    tasks.start(async move {
        let result = processor.run(ports.grpc, rest).await;
        own_shutdown.cancel();
        result.map_err(channels::unexpected)
    });
    let (handle, service) =
        start_requestor(&url, projection, &requestor_journal, &registry, &shutdown).await?;
    let dir = config.data_dir.join("orderrequests");
    let local = open_local(&dir, &handle, shutdown.clone()).await?;
    let services = DevServices { http, handle, service, local: local.clone(), orders, url };
    let admin = Admin::new(registry)
        .with_journals(vec![processor_journal.clone(), requestor_journal.clone()]);
    start_rest(&mut tasks, services, ports.requestor, ports.metrics, admin);
    addresses.write(common.addr_file.as_deref())?;
    apply(local, manifests.requests).await?;
    tasks.join().await?;
    close_journal(processor_journal).await?;
    close_journal(requestor_journal).await
}

/// The parts that run beside the processor.
struct DevServices {
    http: Arc<HttpMetrics>,
    handle: Handle,
    service: Service,
    local: LocalOrderRequests,
    orders: OwnedOrders,
    url: String,
}

fn start_rest(
    tasks: &mut Tasks,
    services: DevServices,
    requestor: TcpListener,
    metrics: TcpListener,
    admin: Admin,
) {
    let shutdown = tasks.shutdown.clone();
    admin.set_ready();
    tasks.start(admin.serve(metrics, shutdown.clone()));
    let router = with_metrics(buyer_router(&services.handle, &services.local), services.http);
    tasks.start(serve(requestor, router, shutdown.clone()));
    let (service, local) = (services.service, services.local);
    tasks.start(async move { service.run().await.map_err(requestor::unexpected) });
    tasks.start(async move {
        local.run().await;
        Ok(())
    });
    tasks.start(demo::run(services.orders, services.url, shutdown));
}

fn initial_manifests(config: &Config) -> Result<InitialManifests, CliError> {
    let mut manifests = InitialManifests { sellers: Vec::new(), requests: Vec::new() };
    for file in &config.apply {
        for manifest in manifest::read_file(file)? {
            match manifest {
                Manifest::OrderRequest(request) => manifests.requests.push(*request),
                Manifest::Seller(seller) => {
                    manifests.sellers.push(orderstream_api::convert::seller(&seller)?);
                }
            }
        }
    }
    if manifests.sellers.is_empty() {
        manifests.sellers = demo::sellers(config.sellers)?;
    }
    Ok(manifests)
}

fn bind(config: &Config, addresses: &mut ListenAddresses) -> Result<DevListeners, CliError> {
    Ok(DevListeners {
        grpc: addresses.bind("grpc", "--grpc-addr", config.grpc_addr)?,
        rest: addresses.bind("rest", "--rest-addr", config.rest_addr)?,
        requestor: addresses.bind("requestor", "--requestor-addr", config.requestor_addr)?,
        metrics: addresses.bind("metrics", "--metrics-addr", config.metrics_addr)?,
    })
}

async fn start_requestor(
    url: &str,
    projection: Option<Projection>,
    journal: &Embedded,
    registry: &Registry,
    shutdown: &CancellationToken,
) -> Result<(Handle, Service), CliError> {
    let parts = orderstream_requestor::Parts {
        processors: vec![url.to_owned()],
        addresses: Arc::new(DnsAddresses),
        connections: 2,
        max_orders: ORDERS_MAX,
        lists: Arc::new(JournalLists::new(Arc::new(journal.clone()))),
        projection,
        clock: Arc::new(SystemClock),
        metrics: registry.clone(),
        shutdown: shutdown.clone(),
    };
    Requestor::start(parts).await.map_err(requestor::unexpected)
}

/// Applies the manifests that were given at the start. A manifest that was applied before changes
/// nothing.
async fn apply(local: LocalOrderRequests, requests: Vec<OrderRequest>) -> Result<(), CliError> {
    for request in requests {
        let name = request.metadata.name.clone().unwrap_or_default();
        let local = local.clone();
        let applied = blocking(move || local.apply(request).map_err(CliError::from))
            .await
            .map(|(how, _)| how)?;
        let how = format!("{applied:?}").to_lowercase();
        output::line(&format!("orderrequest/{name} {how}"));
    }
    Ok(())
}

/// Parses seller manifests that are embedded in the binary.
pub(super) fn seller_manifests(text: &str) -> Result<Vec<Seller>, CliError> {
    let sellers = manifest::read(&Path::new("demo sellers").display().to_string(), text)?
        .into_iter()
        .filter_map(|manifest| match manifest {
            Manifest::Seller(seller) => Some(orderstream_api::convert::seller(&seller)),
            Manifest::OrderRequest(_) => None,
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(FileDirectory::from(sellers).sellers(&Tenant::default()).to_vec())
}
