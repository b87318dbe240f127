//! The users of a cluster: creates resources at a steady rate, and observes in a watch of its own
//! when each exists and when its status has the phase `Streaming`.

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
use orderstream_controller::order_request::{OrderRequest, OrderRequestSpec};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::{LOOK, PATIENCE, Settings};

/// The most concurrent creates, when resources are created at full speed.
const CREATES_AT_ONCE: usize = 32;

/// The times at which the steps of one resource were observed.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    made: Option<Instant>,
    watched: Option<Instant>,
    streaming: Option<Instant>,
}

type Sightings = Arc<Mutex<HashMap<String, Seen>>>;

/// Two latencies, each as p50 and p99 in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latencies {
    /// From the create call to the resource in the watch.
    pub(crate) watch: [f64; 2],
    /// From the create call to its streaming status in the watch.
    pub(crate) status: [f64; 2],
}

/// The users of one namespace.
#[derive(Debug)]
pub(crate) struct Driver {
    api: Api<OrderRequest>,
    seen: Sightings,
    tasks: JoinSet<()>,
}

/// Makes a client without rate limits of its own.
pub(crate) async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let options = KubeConfigOptions::default();
    Ok(Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?)?)
}

impl Driver {
    /// Starts the watch, and waits until it shows a first resource.
    pub(crate) async fn start(kubeconfig: &Path, namespace: &str) -> anyhow::Result<Self> {
        let api: Api<OrderRequest> = Api::namespaced(client(kubeconfig).await?, namespace);
        let seen = Sightings::default();
        let mut tasks = JoinSet::new();
        let (watched, sightings) = (api.clone(), Arc::clone(&seen));
        tasks.spawn(async move {
            let resources = watcher(watched, Config::default()).default_backoff();
            let mut resources = std::pin::pin!(resources.applied_objects());
            while let Some(resource) = resources.next().await {
                match resource {
                    Ok(resource) => note(&sightings, resource),
                    Err(error) => eprintln!("the driver's watch failed: {error}"),
                }
            }
        });
        let driver = Self { api, seen, tasks };
        // A server that has just learnt of the resource lets the first watch wait for seconds.
        create(driver.api.clone(), Arc::clone(&driver.seen), "warm".to_owned()).await?;
        while driver.seen.lock().get("warm").is_none_or(|seen| seen.watched.is_none()) {
            tokio::time::sleep(LOOK).await;
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
        settings: Settings,
    ) -> anyhow::Result<Latencies> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / settings.per_second);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut creates = JoinSet::new();
        for number in 0..settings.measured {
            ticks.tick().await;
            creates.spawn(create(self.api.clone(), Arc::clone(&self.seen), name(prefix, number)));
        }
        while let Some(created) = creates.join_next().await {
            created??;
        }
        self.until_all_streaming(PATIENCE).await?;
        let (mut watch, mut status) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
        for (_, seen) in self.seen.lock().iter().filter(|(name, _)| name.starts_with(prefix)) {
            let Seen { made: Some(made), watched: Some(watched), streaming: Some(streaming) } =
                *seen
            else {
                anyhow::bail!("a resource was not seen: {seen:?}");
            };
            watch.record(micros(watched - made))?;
            status.record(micros(streaming - made))?;
        }
        Ok(Latencies { watch: percentiles(&watch), status: percentiles(&status) })
    }

    /// Creates resources as fast as the API server takes them.
    pub(crate) async fn make(&mut self, prefix: &str, count: usize) -> anyhow::Result<()> {
        let mut creates = JoinSet::new();
        for number in 0..count {
            if creates.len() >= CREATES_AT_ONCE
                && let Some(created) = creates.join_next().await
            {
                created??;
            }
            creates.spawn(create(self.api.clone(), Arc::clone(&self.seen), name(prefix, number)));
        }
        while let Some(created) = creates.join_next().await {
            created??;
        }
        Ok(())
    }

    /// Waits until every created resource streams.
    pub(crate) async fn until_all_streaming(&self, patience: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let left = self.seen.lock().values().filter(|seen| seen.streaming.is_none()).count();
            if left == 0 {
                return Ok(());
            }
            anyhow::ensure!(began.elapsed() < patience, "{left} resources do not stream");
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn name(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number}")
}

fn note(sightings: &Sightings, resource: OrderRequest) {
    let now = Instant::now();
    let is_streaming = resource
        .status
        .is_some_and(|status| status.phase.is_some_and(|phase| phase == "Streaming"));
    let mut sightings = sightings.lock();
    let seen = sightings.entry(resource.metadata.name.unwrap_or_default()).or_default();
    seen.watched.get_or_insert(now);
    if is_streaming {
        seen.streaming.get_or_insert(now);
    }
}

async fn create(api: Api<OrderRequest>, seen: Sightings, name: String) -> anyhow::Result<()> {
    let spec = OrderRequestSpec { expires_in: "6h".to_owned(), ..OrderRequestSpec::default() };
    let resource = OrderRequest::new(&name, spec);
    seen.lock().entry(name).or_default().made = Some(Instant::now());
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
