//! An in-memory processor with a few orders, one for each fuzzing thread.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use orderstream_core::port::{Clock, SellerDirectory};
use orderstream_core::spec::Seller;
use orderstream_core::{OrderKey, OrderSpec, Tenant, Timestamp};
use orderstream_processor::orders::Join;
use orderstream_processor::service::{Parts, Processor};
use orderstream_processor::{OwnedOrders, PeersConfig};
use orderstream_rpc::observe::{AllowAll, RpcMetrics, RpcSide};
use orderstream_rpc::server::http_metrics::HttpMetrics;
use orderstream_rpc::server::{self, ServerStack};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::memory;

/// The largest number of inputs for one processor, so that earlier inputs neither fill it nor slow
/// it down.
const INPUTS_MAX: u32 = 2_000;

/// A processor, and the runtime in which its calls run.
pub(crate) struct FuzzProcessor {
    runtime: Runtime,
    orders: OwnedOrders,
    grpc: ServerStack,
    inputs: u32,
    _dir: tempfile::TempDir,
}

#[derive(Debug)]
struct FuzzClock;

impl Clock for FuzzClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000)
    }
}

#[derive(Debug)]
struct EmptyDirectory;

impl SellerDirectory for EmptyDirectory {
    fn sellers(&self, _: &Tenant) -> Arc<[Seller]> {
        Arc::default()
    }
}

impl FuzzProcessor {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        let dir = tempfile::tempdir().expect("a directory is made");
        let registry = prometheus::Registry::new();
        let processor = Processor::start(Parts {
            journal: Arc::new(memory::journal(dir.path())),
            directory: Arc::new(EmptyDirectory),
            clock: Arc::new(FuzzClock),
            metrics: registry.clone(),
            http_metrics: HttpMetrics::register(&registry).expect("metrics are registered"),
            peers: PeersConfig::alone("fuzz".to_owned()),
            keep_ended: orderstream_processor::limits::KEEP_ENDED,
            shutdown: CancellationToken::new(),
        });
        let processor = processor.expect("a processor starts");
        let rpc_metrics = RpcMetrics::new(&prometheus::Registry::new(), RpcSide::Server);
        let rpc_metrics = rpc_metrics.expect("metrics are registered");
        let grpc = server::stack(processor.routes(), &rpc_metrics, Arc::new(AllowAll::default()));
        let orders = processor.orders();
        for (id, sealed) in [("SB1", false), ("SB2", true)] {
            let key = OrderKey::new("", id).expect("a key");
            let spec = OrderSpec { sealed, ..OrderSpec::default() };
            let join = Join { key, incarnation: None, spec, tracker: None };
            runtime.block_on(orders.open(join)).expect("an order opens");
        }
        Self { runtime, orders, grpc, inputs: 0, _dir: dir }
    }
}

thread_local! {
    static PROCESSOR: RefCell<Option<FuzzProcessor>> = const { RefCell::new(None) };
}

/// Calls this thread's processor, and waits for the reply.
pub(crate) fn call<T, F: Future<Output = T>>(
    request: impl FnOnce(&OwnedOrders, &ServerStack) -> F,
) -> T {
    PROCESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_some_and(|owner| owner.inputs >= INPUTS_MAX) {
            *slot = None;
        }
        let processor = slot.get_or_insert_with(FuzzProcessor::new);
        processor.inputs = processor.inputs.saturating_add(1);
        let reply = request(&processor.orders, &processor.grpc);
        processor.runtime.block_on(reply)
    })
}
