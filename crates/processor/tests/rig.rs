//! A processor in this process, on ports of its own, that can be stopped and started again on the
//! same data.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use orderstream_core::notification::Notifier;
use orderstream_core::port::{Clock, SellerDirectory, SellerWatcher};
use orderstream_core::spec::{Channel, Contact, NotificationType, Seller};
use orderstream_core::{SellerId, Tenant, Timestamp};
use orderstream_journal::{Embedded, OpenError, Options};
use orderstream_processor::limits::KEEP_ENDED;
use orderstream_processor::{Error, OwnedOrders, Parts, PeersConfig, Processor};
use orderstream_rpc::server::http_metrics::HttpMetrics;
use parking_lot::RwLock;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::faulty::Disk;
use crate::wire::Wire;

/// Longer than anything in these tests takes; a test that reaches it is stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(30);

/// The name under which the processor is known.
pub(crate) const NAME: &str = "processor-under-test";

/// The time at which each test's clock begins: 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_767_225_600_000);

/// Waits for a future, at most for [`STUCK`].
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(STUCK, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {STUCK:?}"),
    }
}

/// A clock that shows the time that the test sets, and counts its reads.
#[derive(Debug)]
pub(crate) struct ManualClock {
    now_ms: AtomicI64,
    reads: watch::Sender<u64>,
}

impl ManualClock {
    fn new() -> Self {
        Self { now_ms: AtomicI64::new(START.0), reads: watch::Sender::new(0) }
    }

    pub(crate) fn set(&self, at: Timestamp) {
        self.now_ms.store(at.0, Ordering::SeqCst);
    }

    /// Waits until a whole round of the expiry has read the current time: the first read may have
    /// begun before, the second is the round's, and with the third the round is over.
    pub(crate) async fn wait_for_expiry_round(&self) {
        let mut reads = self.reads.subscribe();
        let begun = *reads.borrow_and_update();
        let read = reads.wait_for(|count| *count >= begun + 3);
        within("three looks at the clock", read).await.unwrap();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp(self.now_ms.load(Ordering::SeqCst));
        self.reads.send_modify(|count| *count += 1);
        now
    }
}

#[derive(Clone, Debug)]
struct Sellers {
    all: Arc<RwLock<Arc<[Seller]>>>,
    is_known: Arc<AtomicBool>,
    watchers: Arc<RwLock<Vec<Arc<dyn SellerWatcher>>>>,
}

impl SellerDirectory for Sellers {
    fn sellers(&self, _: &Tenant) -> Arc<[Seller]> {
        if self.is_known() { Arc::clone(&self.all.read()) } else { Arc::default() }
    }

    fn is_known(&self) -> bool {
        self.is_known.load(Ordering::SeqCst)
    }

    fn watch(&self, watcher: Arc<dyn SellerWatcher>) {
        self.watchers.write().push(watcher);
    }
}

impl Sellers {
    /// Makes sellers without a location, each with a webhook.
    fn named(names: impl IntoIterator<Item = String>) -> Self {
        let all = names.into_iter().map(|name| Self::seller(&name)).collect();
        Self {
            all: Arc::new(RwLock::new(all)),
            is_known: Arc::new(AtomicBool::new(true)),
            watchers: Arc::default(),
        }
    }

    fn seller(name: &str) -> Seller {
        Seller {
            id: SellerId::new(name).unwrap(),
            place: None,
            categories: Vec::new(),
            contact: Contact {
                channels: vec![Channel {
                    kind: NotificationType::Webhook,
                    address: format!("https://{name}/"),
                }],
                language: None,
            },
            currency: None,
            capacity: None,
            suspended: false,
            display_name: None,
        }
    }

    /// Adds sellers, or changes them, and notifies the watchers of each.
    fn apply(&self, sellers: &[Seller]) {
        let mut all = self.all.read().to_vec();
        all.retain(|held| sellers.iter().all(|seller| seller.id != held.id));
        all.extend(sellers.iter().cloned());
        all.sort_by(|a, b| a.id.cmp(&b.id));
        *self.all.write() = all.into();
        for watcher in self.watchers.read().iter() {
            let changed = |seller: &Seller| watcher.seller_changed(&Tenant::default(), &seller.id);
            sellers.iter().for_each(changed);
        }
    }
}

/// A processor and the parts that outlive it.
pub(crate) struct Rig {
    pub(crate) clock: Arc<ManualClock>,
    dir: TempDir,
    disk: Option<Disk>,
    sellers: Sellers,
    notifier: Option<Arc<dyn Notifier>>,
    keep_ended: Duration,
    running: Option<Running>,
}

struct Running {
    grpc: SocketAddr,
    rest: SocketAddr,
    orders: OwnedOrders,
    registry: Registry,
    shutdown: CancellationToken,
    tasks: JoinSet<Result<(), Error>>,
}

impl Rig {
    /// Starts a processor on a directory of its own.
    pub(crate) async fn start() -> Self {
        Self::start_with(None, Self::three_sellers()).await
    }

    /// Starts a processor among sellers with these names.
    pub(crate) async fn start_among(sellers: impl IntoIterator<Item = String>) -> Self {
        Self::start_with(None, Sellers::named(sellers)).await
    }

    /// Starts a processor on a store that can be made to fail.
    pub(crate) async fn start_on(disk: &Disk) -> Self {
        Self::start_with(Some(disk.clone()), Self::three_sellers()).await
    }

    fn three_sellers() -> Sellers {
        Sellers::named((1..=3).map(|n| format!("seller{n}")))
    }

    async fn start_with(disk: Option<Disk>, sellers: Sellers) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new()));
        let mut rig = Self::new(clock, dir, disk, sellers);
        rig.begin().await;
        rig
    }

    fn new(clock: Arc<ManualClock>, dir: TempDir, disk: Option<Disk>, sellers: Sellers) -> Self {
        Self { clock, dir, disk, sellers, notifier: None, keep_ended: KEEP_ENDED, running: None }
    }

    /// Starts a processor on a directory of its own, with notifications through this notifier.
    pub(crate) async fn start_with_notifier<T: Notifier>(notifier: &Arc<T>) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new()));
        let mut rig = Self::new(clock, dir, None, Self::three_sellers());
        rig.set_notifier(notifier);
        rig.begin().await;
        rig
    }

    /// Starts a processor on a store that can be made to fail, with notifications through this
    /// notifier.
    pub(crate) async fn start_on_with_notifier<T: Notifier>(
        disk: &Disk,
        notifier: &Arc<T>,
    ) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new()));
        let mut rig = Self::new(clock, dir, Some(disk.clone()), Self::three_sellers());
        rig.set_notifier(notifier);
        rig.begin().await;
        rig
    }

    /// Sends notifications through this notifier from the next start on.
    pub(crate) fn set_notifier<T: Notifier>(&mut self, notifier: &Arc<T>) {
        let notifier: Arc<dyn Notifier> = Arc::<T>::clone(notifier);
        self.notifier = Some(notifier);
    }

    /// Hides the list of sellers, as at a start while the API server is unreachable.
    pub(crate) fn hide_sellers(&self) {
        self.sellers.is_known.store(false, Ordering::SeqCst);
    }

    /// Adds sellers with these names.
    pub(crate) fn add_sellers(&self, names: &[&str]) {
        self.sellers.apply(&names.iter().map(|name| Sellers::seller(name)).collect::<Vec<_>>());
    }

    /// Adds a seller that takes part in at most this number of open orders.
    pub(crate) fn add_seller_with_capacity(&self, name: &str, capacity: u32) {
        self.sellers.apply(&[Seller { capacity: Some(capacity), ..Sellers::seller(name) }]);
    }

    /// Suspends a seller.
    pub(crate) fn suspend_seller(&self, name: &str) {
        self.sellers.apply(&[Seller { suspended: true, ..Sellers::seller(name) }]);
    }

    /// Makes the list of sellers known.
    pub(crate) fn list_sellers(&self) {
        self.sellers.is_known.store(true, Ordering::SeqCst);
    }

    /// Sets the time for which ended orders are kept from the next start on.
    pub(crate) const fn keep_ended(&mut self, keep_ended: Duration) {
        self.keep_ended = keep_ended;
    }

    /// Starts the processor on the data on the disk.
    pub(crate) async fn begin(&mut self) {
        let (dir, disk) = (self.dir.path().to_owned(), self.disk.clone());
        let (shutdown, registry) = (CancellationToken::new(), Registry::new());
        let (clock, directory) = (Arc::clone(&self.clock), Arc::new(self.sellers.clone()));
        let (stop, metrics) = (shutdown.clone(), registry.clone());
        let (notifier, keep_ended) = (self.notifier.clone(), self.keep_ended);
        let processor = tokio::task::spawn_blocking(move || {
            let journal = Arc::new(open(&dir, disk.as_ref()));
            let peers = PeersConfig::alone(NAME.to_owned());
            let http_metrics = HttpMetrics::register(&metrics).unwrap();
            let processor = Processor::start(Parts {
                journal,
                directory,
                clock,
                metrics,
                http_metrics,
                peers,
                keep_ended,
                shutdown: stop,
            })?;
            match notifier {
                Some(notifier) => processor.with_notifications(notifier),
                None => processor.without_notifications(),
            }
        });
        let processor = processor.await.unwrap().unwrap();
        let (grpc, rest) = (listen().await, listen().await);
        let (grpc_address, rest_address) = (grpc.local_addr().unwrap(), rest.local_addr().unwrap());
        let orders = processor.orders();
        let mut tasks = JoinSet::new();
        tasks.spawn(processor.run(grpc, rest));
        let (grpc, rest) = (grpc_address, rest_address);
        self.running = Some(Running { grpc, rest, orders, registry, shutdown, tasks });
    }

    /// Starts the processor's drain.
    pub(crate) fn drain(&self) {
        self.running().shutdown.cancel();
    }

    /// Stops the processor, as a rollout does.
    pub(crate) async fn stop(&mut self) {
        let mut running = self.running.take().unwrap();
        running.shutdown.cancel();
        let ended = within("the processor stops", running.tasks.join_next()).await;
        ended.unwrap().unwrap().unwrap();
    }

    /// Cuts the processor off in the middle of its work.
    pub(crate) async fn crash(&mut self) {
        let mut running = self.running.take().unwrap();
        running.tasks.shutdown().await;
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    /// Stops the processor, changes the bytes of its log, and starts it again.
    pub(crate) async fn restart_on(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.stop().await;
        // The journal can be opened again once its last holder has closed the store.
        drop(open(self.dir.path(), None));
        let log = self.dir.path().join("store/0.jnl");
        let mut bytes = std::fs::read(&log).unwrap();
        change(&mut bytes);
        std::fs::write(&log, bytes).unwrap();
        self.begin().await;
    }

    /// Connects a gRPC client on a connection of its own.
    pub(crate) async fn wire(&self) -> Wire {
        Wire::connect(self.running().grpc).await
    }

    pub(crate) fn rest(&self) -> SocketAddr {
        self.running().rest
    }

    pub(crate) fn orders(&self) -> &OwnedOrders {
        &self.running().orders
    }

    /// Returns the value of a gauge or counter whose labels have these values.
    pub(crate) fn metric(&self, family: &str, values: &[&str]) -> f64 {
        let families = self.running().registry.gather();
        let family = families.iter().find(|found| found.name() == family).unwrap();
        let fits = |metric: &&prometheus::proto::Metric| {
            let mut labels = values.iter();
            labels.all(|value| metric.get_label().iter().any(|label| label.value() == *value))
        };
        let metrics = family.get_metric().iter().filter(fits);
        metrics.map(|m| m.get_counter().get_value() + m.get_gauge().get_value()).sum()
    }

    /// Returns all metrics, as a scrape would show them.
    pub(crate) fn metrics(&self) -> String {
        format!("{:?}", self.running().registry.gather())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Opens the journal as soon as its former owner has released it.
fn open(dir: &Path, disk: Option<&Disk>) -> Embedded {
    let started = Instant::now();
    loop {
        let opened = match disk {
            Some(disk) => Embedded::open_at(dir, Options::default(), Box::new(disk.clone())),
            None => Embedded::open(dir, Options::default()),
        };
        match opened {
            Ok(journal) => return journal,
            Err(OpenError::Locked { .. }) if started.elapsed() < STUCK => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}
