//! `orderstream dev`: processor, requestor and applied order requests in one process, on real
//! sockets and real journals, with demo sellers that propose.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orderstream_controller::local::LocalOrderRequests;
use orderstream_controller::manifest::{self, Manifest};
use orderstream_controller::order_request::OrderRequest;
use orderstream_controller::seller_file::FileDirectory;
use orderstream_core::port::{ByName, SellerDirectory as _};
use orderstream_core::spec::Seller;
use orderstream_core::{StoreUrl, Tenant};
use orderstream_journal::Embedded;
use orderstream_notifier::guard::Guard;
use orderstream_processor::{Orders, Parts, PeersConfig};
use orderstream_requestor::{Handle, JournalLists, Projection, Requestor, Service};
use orderstream_rpc::server::http_metrics::{HttpMetrics, measured};
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::processor::keep_ended;
use super::{
    Tasks, blocking, buyer_router, channels, close_journal, demo, open_journal, open_local,
    projection, requestor, serve, watch_journal,
};
use crate::admin::Admin;
use crate::cli::Common;
use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::figures;
use crate::listen::{Addresses, WhenOccupied, reachable};
use crate::output;
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
struct Wanted {
    sellers: Vec<Seller>,
    requests: Vec<OrderRequest>,
}

/// The bound ports.
struct Ports {
    grpc: TcpListener,
    rest: TcpListener,
    requestor: TcpListener,
    metrics: TcpListener,
}

/// Runs everything until it is stopped.
pub(crate) async fn run(config: Config, common: &Common) -> Result<(), Failure> {
    let wanted = wanted(&config)?;
    let keep_ended = keep_ended(&config.keep_ended)?;
    let projection = projection::open_beside(config.store.as_ref(), None).await?;
    let webhooks = if config.webhook_allow_local { Guard::Open } else { Guard::Strict };
    let notifier = channels::open(config.notify_config.as_deref(), webhooks)?;
    let owned = open_journal(&config.data_dir.join("processor"), "--data-dir").await?;
    let followed = open_journal(&config.data_dir.join("requestor"), "--data-dir").await?;
    let mut addresses = Addresses::new(WhenOccupied::TakeNext);
    let ports = bind(&config, &mut addresses)?;
    let grpc = ports.grpc.local_addr().map_err(|e| Failure::unexpected(e.to_string()))?;
    let url = format!("http://{}", reachable(grpc));
    let ((registry, http), shutdown) = (figures::registry()?, CancellationToken::new());
    watch_journal(&registry, &owned, &config.data_dir)?;
    let processor = {
        let directory = FileDirectory::from(wanted.sellers);
        let parts = Parts {
            journal: Arc::new(owned.clone()),
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
        start_requestor((&url, projection), &followed, &registry, &shutdown).await?;
    let dir = config.data_dir.join("orderrequests");
    let local = open_local(&dir, &handle, shutdown.clone()).await?;
    let side = Side { http, handle, service, local: local.clone(), orders, url };
    let admin = Admin::new(registry).of(vec![owned.clone(), followed.clone()]);
    start_rest(&mut tasks, side, (ports.requestor, ports.metrics), admin);
    addresses.write(common.addr_file.as_deref())?;
    apply(local, wanted.requests).await?;
    tasks.join().await?;
    close_journal(owned).await?;
    close_journal(followed).await
}

/// The parts that run beside the processor.
struct Side {
    http: Arc<HttpMetrics>,
    handle: Handle,
    service: Service,
    local: LocalOrderRequests,
    orders: Orders,
    url: String,
}

fn start_rest(
    tasks: &mut Tasks,
    side: Side,
    (requestor, metrics): (TcpListener, TcpListener),
    admin: Admin,
) {
    let shutdown = tasks.shutdown.clone();
    admin.set_ready();
    tasks.start(admin.serve(metrics, shutdown.clone()));
    let router = measured(buyer_router(&side.handle, &side.local), side.http);
    tasks.start(serve(requestor, router, shutdown.clone()));
    let (service, local) = (side.service, side.local);
    tasks.start(async move { service.run().await.map_err(requestor::unexpected) });
    tasks.start(async move {
        local.run().await;
        Ok(())
    });
    tasks.start(demo::run(side.orders, side.url, shutdown));
}

fn wanted(config: &Config) -> Result<Wanted, Failure> {
    let mut wanted = Wanted { sellers: Vec::new(), requests: Vec::new() };
    for file in &config.apply {
        for manifest in manifest::read_file(file)? {
            match manifest {
                Manifest::OrderRequest(request) => wanted.requests.push(*request),
                Manifest::Seller(seller) => {
                    wanted.sellers.push(orderstream_controller::convert::seller(&seller)?);
                }
            }
        }
    }
    if wanted.sellers.is_empty() {
        wanted.sellers = demo::sellers(config.sellers)?;
    }
    Ok(wanted)
}

fn bind(config: &Config, addresses: &mut Addresses) -> Result<Ports, Failure> {
    Ok(Ports {
        grpc: addresses.bind("grpc", "--grpc-addr", config.grpc_addr)?,
        rest: addresses.bind("rest", "--rest-addr", config.rest_addr)?,
        requestor: addresses.bind("requestor", "--requestor-addr", config.requestor_addr)?,
        metrics: addresses.bind("metrics", "--metrics-addr", config.metrics_addr)?,
    })
}

async fn start_requestor(
    (url, projection): (&str, Option<Projection>),
    journal: &Embedded,
    registry: &Registry,
    shutdown: &CancellationToken,
) -> Result<(Handle, Service), Failure> {
    let parts = orderstream_requestor::Parts {
        processors: vec![url.to_owned()],
        addresses: Arc::new(ByName),
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
async fn apply(local: LocalOrderRequests, requests: Vec<OrderRequest>) -> Result<(), Failure> {
    for request in requests {
        let name = request.metadata.name.clone().unwrap_or_default();
        let local = local.clone();
        let applied = blocking(move || local.apply(request).map_err(Failure::from))
            .await
            .map(|(how, _)| how)?;
        let how = format!("{applied:?}").to_lowercase();
        output::line(&format!("orderrequest/{name} {how}"));
    }
    Ok(())
}

/// Parses seller manifests that are embedded in the binary.
pub(super) fn seller_manifests(text: &str) -> Result<Vec<Seller>, Failure> {
    let sellers = manifest::read(&Path::new("demo sellers").display().to_string(), text)?
        .into_iter()
        .filter_map(|manifest| match manifest {
            Manifest::Seller(seller) => Some(orderstream_controller::convert::seller(&seller)),
            Manifest::OrderRequest(_) => None,
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(FileDirectory::from(sellers).sellers(&Tenant::default()).to_vec())
}
