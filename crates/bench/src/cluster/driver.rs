//! Simulates the users of a cluster: creates resources at a steady rate, and observes in its own
//! watch when each exists and when its status has the phase `Open`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, Client};
use orderstream_api::order_request::{OrderRequest, OrderRequestSpec};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::{ClusterBenchSettings, POLL_INTERVAL, STATE_TIMEOUT};

/// The largest number of concurrent creates when resources are created at full speed.
const CREATES_AT_ONCE: usize = 32;

/// The times at which the steps of one resource were observed.
#[derive(Clone, Copy, Debug, Default)]
struct ResourceTimes {
    created_at: Option<Instant>,
    watched_at: Option<Instant>,
    streaming_at: Option<Instant>,
}

type ObservedTimes = Arc<Mutex<HashMap<String, ResourceTimes>>>;

/// Two latencies, each as p50 and p99 in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latencies {
    /// From the create call to the resource's arrival in the watch.
    pub(crate) watch: [f64; 2],
    /// From the create call to the arrival of its streaming status in the watch.
    pub(crate) status: [f64; 2],
}

/// The users of one namespace.
#[derive(Debug)]
pub(crate) struct Driver {
    api: Api<OrderRequest>,
    times: ObservedTimes,
    tasks: JoinSet<()>,
}

/// Creates a client without client-side rate limits.
pub(crate) async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let options = KubeConfigOptions::default();
    Ok(Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?)?)
}

impl Driver {
    /// Starts the watch, and waits until it delivers a first resource.
    pub(crate) async fn start(kubeconfig: &Path, namespace: &str) -> anyhow::Result<Self> {
        let api: Api<OrderRequest> = Api::namespaced(client(kubeconfig).await?, namespace);
        let times = ObservedTimes::default();
        let mut tasks = JoinSet::new();
        let (watched_api, observed) = (api.clone(), Arc::clone(&times));
        tasks.spawn(async move {
            let resources = watcher(watched_api, Config::default()).default_backoff();
            let mut resources = std::pin::pin!(resources.applied_objects());
            while let Some(resource) = resources.next().await {
                match resource {
                    Ok(resource) => record_times(&observed, resource),
                    Err(error) => eprintln!("the driver's watch failed: {error}"),
                }
            }
        });
        let driver = Self { api, times, tasks };
        // A server on which the definition was just installed delays the first watch by seconds.
        create(driver.api.clone(), Arc::clone(&driver.times), "warm".to_owned()).await?;
        while driver.times.lock().get("warm").is_none_or(|seen| seen.watched_at.is_none()) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(driver)
    }

    /// Ends the watch.
    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
    }

    /// Creates resources at the rate, waits until all stream, and returns their latencies.
    pub(crate) async fn measure(
        &mut self,
        prefix: &str,
        settings: ClusterBenchSettings,
    ) -> anyhow::Result<Latencies> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / settings.per_second);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut creates = JoinSet::new();
        for number in 0..settings.measured {
            ticks.tick().await;
            creates.spawn(create(self.api.clone(), Arc::clone(&self.times), name(prefix, number)));
        }
        while let Some(created) = creates.join_next().await {
            created??;
        }
        self.until_all_streaming(STATE_TIMEOUT).await?;
        let (mut watch, mut status) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
        for (_, times) in self.times.lock().iter().filter(|(name, _)| name.starts_with(prefix)) {
            let ResourceTimes {
                created_at: Some(made),
                watched_at: Some(watched),
                streaming_at: Some(streaming),
            } = *times
            else {
                anyhow::bail!("a resource was not seen: {times:?}");
            };
            watch.record(micros(watched - made))?;
            status.record(micros(streaming - made))?;
        }
        Ok(Latencies { watch: percentiles(&watch), status: percentiles(&status) })
    }

    /// Creates resources as fast as the API server accepts them.
    pub(crate) async fn create_all(&mut self, prefix: &str, count: usize) -> anyhow::Result<()> {
        let mut creates = JoinSet::new();
        for number in 0..count {
            if creates.len() >= CREATES_AT_ONCE
                && let Some(created) = creates.join_next().await
            {
                created??;
            }
            creates.spawn(create(self.api.clone(), Arc::clone(&self.times), name(prefix, number)));
        }
        while let Some(created) = creates.join_next().await {
            created??;
        }
        Ok(())
    }

    /// Waits until every created resource streams.
    pub(crate) async fn until_all_streaming(&self, timeout: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let left =
                self.times.lock().values().filter(|seen| seen.streaming_at.is_none()).count();
            if left == 0 {
                return Ok(());
            }
            anyhow::ensure!(began.elapsed() < timeout, "{left} resources do not stream");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

fn name(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number}")
}

fn record_times(times: &ObservedTimes, resource: OrderRequest) {
    let now = Instant::now();
    let is_streaming =
        resource.status.is_some_and(|status| status.phase.is_some_and(|phase| phase == "Open"));
    let mut times = times.lock();
    let entry = times.entry(resource.metadata.name.unwrap_or_default()).or_default();
    entry.watched_at.get_or_insert(now);
    if is_streaming {
        entry.streaming_at.get_or_insert(now);
    }
}

async fn create(api: Api<OrderRequest>, times: ObservedTimes, name: String) -> anyhow::Result<()> {
    let spec = OrderRequestSpec { expires_in: "6h".to_owned(), ..OrderRequestSpec::default() };
    let resource = OrderRequest::new(&name, spec);
    times.lock().entry(name).or_default().created_at = Some(Instant::now());
    api.create(&PostParams::default(), &resource).await?;
    Ok(())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of a second or two")]
fn percentiles(histogram: &Histogram<u64>) -> [f64; 2] {
    [0.5, 0.99].map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0)
}
