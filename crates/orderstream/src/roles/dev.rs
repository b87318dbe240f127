//! `orderstream dev`: processor, requestor and applied order requests in one process, on real
//! sockets and real journals, with demo sellers that propose.

mod banner;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use orderstream_api::manifest::{self, Manifest, ManifestDocument};
use orderstream_api::order_request::OrderRequest;
use orderstream_cli::exit::CliError;
use orderstream_cli::lint::read_with_notes;
use orderstream_cli::{dev_addresses, output};
use orderstream_core::port::{ProcessorAddresses, SellerDirectory as _};
use orderstream_core::spec::Seller;
use orderstream_core::{Reason, StoreUrl, Tenant, TenantScope};
use orderstream_journal::Embedded;
use orderstream_local::{FileDirectory, LocalApplyOutcome, LocalOrderRequests, LocalSellers};
use orderstream_notifier::guard::AddressPolicy;
use orderstream_processor::{Parts, PeersConfig, Processor};
use orderstream_requestor::{Handle, JournalLists, Projection, Requestor, Service};
use orderstream_rpc::server::http::{self, HttpLimits};
use orderstream_rpc::server::http_metrics::{HttpMetrics, with_metrics};
use orderstream_rpc::server::{self, ServerLimits, ServerStack};
use orderstream_support::SystemClock;
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::banner::Banner;
use super::demo::DemoSellers;
use super::processor::keep_ended;
use super::{
    Tasks, blocking, buyer_router, channels, close_journal, demo, open_journal, open_local,
    projection, register_journal_metrics, requestor, serve,
};
use crate::admin::Admin;
use crate::cli::CommonArgs;
use crate::listen::{ListenAddresses, OccupiedPortPolicy, reachable};
use crate::metrics::CommonMetrics;
use crate::shutdown::on_signal;

/// The number of demo sellers, which are those of the examples.
const DEMO_SELLERS: usize = 10;
/// The most orders that `dev` follows.
const ORDERS_MAX: usize = 10_000;
/// The most tries to apply an order request that is being deleted. Its deletion takes 30 s at most.
const APPLY_TRIES: u32 = 40;

/// The settings of `dev`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder of all stored data
    #[arg(long, env = "ORDERSTREAM_DATA_DIR", default_value = ".orderstream")]
    data_dir: PathBuf,
    /// The number of demo sellers that propose by themselves, and that orders may invite while no
    /// seller is applied, at most 10; with 0 nobody proposes by itself
    #[arg(
        long,
        env = "ORDERSTREAM_DEMO_SELLERS",
        default_value_t = DEMO_SELLERS,
        value_name = "COUNT",
        value_parser = demo_count
    )]
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
    /// Manifests to apply at the start: files, folders, or `-` for standard input; sellers of yours
    /// replace the demo sellers
    #[arg(long, num_args = 1.., value_name = "FILE")]
    apply: Vec<PathBuf>,
    /// The address of the buyers' REST; each port at 127.0.0.1 is at `[::1]` too
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
            sellers: DEMO_SELLERS,
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

fn demo_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "is not a count; sellers of yours are given with --apply".to_owned())
}

/// The sellers and order requests of the manifests that are applied at the start.
struct InitialManifests {
    sellers: Vec<ManifestDocument>,
    requests: Vec<ManifestDocument>,
}

/// The bound ports, each on the loopback of both families unless another address is given.
struct DevListeners {
    grpc: Vec<TcpListener>,
    rest: Vec<TcpListener>,
    requestor: Vec<TcpListener>,
    metrics: Vec<TcpListener>,
}

/// Runs everything until it is stopped.
pub(crate) async fn run(config: Config, common: &CommonArgs) -> Result<(), CliError> {
    let manifests = initial_manifests(&config.apply)?;
    let keep_ended = keep_ended(&config.keep_ended)?;
    let authorities = common.authorities()?;
    let projection =
        projection::open_beside(config.store.as_ref(), TenantScope::All, &authorities).await?;
    let webhooks =
        if config.webhook_allow_local { AddressPolicy::Open } else { AddressPolicy::Strict };
    let notifier = channels::open(config.notify_config.as_deref(), webhooks, authorities)?;
    let processor_journal = open_journal(&config.data_dir.join("processor"), "--data-dir").await?;
    let requestor_journal = open_journal(&config.data_dir.join("requestor"), "--data-dir").await?;
    let sellers = open_sellers(&config, manifests.sellers).await?;
    let mut addresses = ListenAddresses::new(OccupiedPortPolicy::TakeNext);
    let ports = bind(&config, &mut addresses)?;
    let own = reachable(addresses.address("grpc")?);
    let url = format!("http://{own}");
    let CommonMetrics { registry, http, ready } = CommonMetrics::register()?;
    let shutdown = CancellationToken::new();
    register_journal_metrics(&registry, &processor_journal, &config.data_dir)?;
    let processor = {
        let parts = Parts {
            journal: Arc::new(processor_journal.clone()),
            directory: Arc::new(sellers.clone()),
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
    tasks.start(run_processor(processor, ports.grpc, ports.rest, shutdown.clone()));
    let (handle, service) =
        start_requestor(own, projection, &requestor_journal, &registry, &shutdown).await?;
    let dir = config.data_dir.join("orderrequests");
    let local = open_local(&dir, &handle, shutdown.clone()).await?;
    let demo = DemoSellers::new(orders, &url, config.sellers)?;
    let demo_sellers = demo.count();
    Banner { bound: addresses.all(), config: &config, demo_sellers }.print()?;
    let services = DevServices { http, handle, service, local: local.clone(), sellers, demo };
    let admin = Admin::new(registry, ready)
        .with_journals(vec![processor_journal.clone(), requestor_journal.clone()]);
    start_rest(&mut tasks, services, ports.requestor, ports.metrics, &admin);
    // Commands that are run beside it find its ports there; it runs without it too.
    let address_file = config.data_dir.join(dev_addresses::FILE);
    if let Err(error) = addresses.write_to("--data-dir", &address_file) {
        tracing::warn!(%error, "commands do not find the ports");
    }
    addresses.write(common.addr_file.as_deref())?;
    apply(&local, manifests.requests, &shutdown).await?;
    let result = tasks.join().await;
    // Where it stays, a command names it with the address that is not reached.
    drop(std::fs::remove_file(&address_file));
    result?;
    close_journal(processor_journal).await?;
    close_journal(requestor_journal).await
}

/// Runs the processor on all its ports; its end stops everything.
async fn run_processor(
    processor: Processor,
    grpc: Vec<TcpListener>,
    rest: Vec<TcpListener>,
    shutdown: CancellationToken,
) -> Result<(), CliError> {
    let (of_grpc, of_rest) = (shutdown.clone(), shutdown.clone());
    let serve_grpc = |stack: ServerStack| async move {
        let serve = |listener| {
            server::serve(listener, stack.clone(), ServerLimits::default(), of_grpc.clone())
        };
        join_all(grpc.into_iter().map(serve)).await;
    };
    let serve_rest = |router: Router| async move {
        let serve = |listener| {
            http::serve(listener, router.clone(), HttpLimits::default(), of_rest.clone())
        };
        join_all(rest.into_iter().map(serve)).await;
    };
    let result = processor.run_on(serve_grpc, serve_rest).await;
    shutdown.cancel();
    result.map_err(channels::unexpected)
}

/// The parts that run beside the processor.
struct DevServices {
    http: Arc<HttpMetrics>,
    handle: Handle,
    service: Service,
    local: LocalOrderRequests,
    sellers: LocalSellers,
    demo: DemoSellers,
}

fn start_rest(
    tasks: &mut Tasks,
    services: DevServices,
    requestor: Vec<TcpListener>,
    metrics: Vec<TcpListener>,
    admin: &Admin,
) {
    let shutdown = tasks.shutdown.clone();
    admin.set_ready();
    for listener in metrics {
        tasks.start(admin.clone().serve(listener, shutdown.clone()));
    }
    let router = buyer_router(&services.handle, &services.local, Some(services.sellers));
    let router = with_metrics(router, services.http);
    for listener in requestor {
        tasks.start(serve(listener, router.clone(), shutdown.clone()));
    }
    let (service, local) = (services.service, services.local);
    tasks.start(async move { service.run().await.map_err(requestor::unexpected) });
    tasks.start(async move {
        local.run().await;
        Ok(())
    });
    tasks.start(services.demo.run(shutdown));
}

fn initial_manifests(files: &[PathBuf]) -> Result<InitialManifests, CliError> {
    let documents = read_with_notes(files)?;
    let is_seller = |one: &ManifestDocument| matches!(one.manifest, Manifest::Seller(_));
    let (sellers, requests) = documents.into_iter().partition(is_seller);
    Ok(InitialManifests { sellers, requests })
}

/// Opens the applied sellers, and applies those that were given at the start.
async fn open_sellers(
    config: &Config,
    given: Vec<ManifestDocument>,
) -> Result<LocalSellers, CliError> {
    let (dir, demo) = (config.data_dir.join("sellers"), demo::sellers(config.sellers)?);
    blocking(move || {
        let sellers = LocalSellers::open(&dir, demo, Arc::new(SystemClock))?;
        for ManifestDocument { manifest, document } in given {
            if let Manifest::Seller(seller) = manifest {
                sellers.apply(*seller, &document)?;
            }
        }
        Ok(sellers)
    })
    .await
}

fn bind(config: &Config, addresses: &mut ListenAddresses) -> Result<DevListeners, CliError> {
    Ok(DevListeners {
        grpc: addresses.bind_loopbacks("grpc", "--grpc-addr", config.grpc_addr)?,
        rest: addresses.bind_loopbacks("rest", "--rest-addr", config.rest_addr)?,
        requestor: addresses.bind_loopbacks(
            "requestor",
            "--requestor-addr",
            config.requestor_addr,
        )?,
        metrics: addresses.bind_loopbacks("metrics", "--metrics-addr", config.metrics_addr)?,
    })
}

/// The one processor of this process, under whichever URL an order was placed: that of an earlier
/// start may have had another port.
#[derive(Debug)]
struct OwnProcessor(SocketAddr);

impl ProcessorAddresses for OwnProcessor {
    fn address(&self, _processor: &str) -> Option<SocketAddr> {
        Some(self.0)
    }
}

async fn start_requestor(
    own: SocketAddr,
    projection: Option<Projection>,
    journal: &Embedded,
    registry: &Registry,
    shutdown: &CancellationToken,
) -> Result<(Handle, Service), CliError> {
    let parts = orderstream_requestor::Parts {
        processors: vec![format!("http://{own}")],
        addresses: Arc::new(OwnProcessor(own)),
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

/// Applies the order requests that were given at the start. One that was applied before keeps what
/// was done to it since.
async fn apply(
    local: &LocalOrderRequests,
    requests: Vec<ManifestDocument>,
    shutdown: &CancellationToken,
) -> Result<(), CliError> {
    for ManifestDocument { manifest, document } in requests {
        let Manifest::OrderRequest(request) = manifest else { continue };
        let name = request.metadata.name.clone().unwrap_or_default();
        let document = Arc::new(document);
        if let Some(outcome) = apply_one(local, &request, &document, shutdown).await? {
            let how = format!("{outcome:?}").to_lowercase();
            output::line(&format!("orderrequest/{name} {how}"));
        }
    }
    Ok(())
}

/// Applies one order request. If it was deleted shortly before the start, it is applied as soon as
/// it is gone; `None` at a shutdown before that.
async fn apply_one(
    local: &LocalOrderRequests,
    request: &OrderRequest,
    document: &Arc<Value>,
    shutdown: &CancellationToken,
) -> Result<Option<LocalApplyOutcome>, CliError> {
    let mut tries = 0;
    loop {
        let (local, request, document) = (local.clone(), request.clone(), Arc::clone(document));
        let refusal = match blocking(move || Ok(local.apply(request, &document))).await? {
            Ok((outcome, _)) => return Ok(Some(outcome)),
            Err(refusal) => refusal,
        };
        tries += 1;
        let wait_ms = refusal.retry_after_ms.filter(|_| refusal.reason == Reason::OrderExists);
        let Some(wait_ms) = wait_ms.filter(|_| tries < APPLY_TRIES) else {
            return Err(refusal.into());
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
        }
    }
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
