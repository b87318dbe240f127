//! Compares the operator with a bare kube-rs loop that patches each resource's status once, on the
//! same API server in the same run: the time until a resource streams, the number of status writes,
//! the memory of ten thousand resources, and the cost of a restart and an outage.

pub(crate) mod bare;
mod driver;
mod process;
mod scrape;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orderstream_testbed::ApiServer;

use self::bare::BareStatus;
use self::driver::{Driver, Latencies};
use self::process::Process;
use self::scrape::ScrapedMetrics;

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterBenchSettings {
    /// The number of resources that exist before the second half of the run.
    pub(crate) present: usize,
    /// The number of resources that are created at the rate and measured.
    pub(crate) measured: usize,
    /// The rate at which resources are created, per second.
    pub(crate) per_second: u32,
}

/// The timeout for each awaited state.
const STATE_TIMEOUT: Duration = Duration::from_secs(300);
/// The interval at which an awaited state is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Runs all measurements and prints the tables.
pub(crate) async fn run(settings: ClusterBenchSettings) -> anyhow::Result<()> {
    let server = ApiServer::start().context("no API server: set KUBEBUILDER_ASSETS")?;
    server.install_crds();
    println!("{} resources at {}/s\n", settings.measured, settings.per_second);
    println!(
        "| what | present | create → watch p50 / p99 ms | create → status p50 / p99 ms | of bare watch |"
    );
    println!("|---|---|---|---|---|");
    let bare = bare(&server, settings).await?;
    let product = product(&server, settings).await?;
    println!("\n| | bare loop | operator |\n|---|---|---|");
    for ((what, bare), (_, product)) in bare.into_iter().zip(product) {
        println!("| {what} | {bare} | {product} |");
    }
    Ok(())
}

/// The rows of the second table: a measure and its value.
type Rows = Vec<(&'static str, String)>;

fn print(label: &str, present: usize, latencies: &Latencies) {
    let Latencies { watch, status } = latencies;
    let of = |index: usize| status[index] / watch[index];
    println!(
        "| {label} | {present} | {:.1} / {:.1} | {:.1} / {:.1} | {:.2} / {:.2} |",
        watch[0],
        watch[1],
        status[0],
        status[1],
        of(0),
        of(1)
    );
}

async fn bare(server: &ApiServer, settings: ClusterBenchSettings) -> anyhow::Result<Rows> {
    let namespace = "bare";
    server.kubectl(&["create", "namespace", namespace]);
    let kubeconfig = server.kubeconfig();
    let mut driver = Driver::start(&kubeconfig, namespace).await?;
    let mut process = bare_process(&kubeconfig, namespace, BareStatus::TwoFields)?;
    let idle = process.memory()?;
    print("bare loop", 0, &driver.measure("few", settings).await?);
    process.kill()?;
    let mut process = bare_process(&kubeconfig, namespace, BareStatus::Whole)?;
    print("bare loop, our status", 0, &driver.measure("whole", settings).await?);
    process.kill()?;
    driver.create_all("many", settings.present).await?;
    let began = Instant::now();
    let mut process_of_many = bare_process(&kubeconfig, namespace, BareStatus::TwoFields)?;
    driver.until_all_streaming(STATE_TIMEOUT).await?;
    let catch_up = began.elapsed();
    let memory = process_of_many.memory()?.growth_since(idle);
    print("bare loop", settings.present, &driver.measure("more", settings).await?);
    process_of_many.kill()?;
    driver.end().await;
    let none = || "–".to_owned();
    Ok(vec![
        ("found at start, all streams up, s", none()),
        ("found at start, all shown, s", format!("{:.1}", catch_up.as_secs_f64())),
        ("memory over idle, MB", memory),
        ("status writes of these", settings.present.to_string()),
        ("restart after kill -9, all streams again, s", none()),
        ("CPU seconds of the controller for that", none()),
        ("memory over idle after that, MB", none()),
        ("status writes of that", none()),
        ("status writes of a processor's 3 s outage", none()),
        ("status writes in 60 quiet seconds", none()),
        ("memory over idle after these, MB", none()),
        ("reconciliations that took less than 1 ms, %", none()),
    ])
}

fn bare_process(kubeconfig: &Path, namespace: &str, status: BareStatus) -> anyhow::Result<Process> {
    let own = std::env::current_exe()?;
    let kubeconfig = kubeconfig.display().to_string();
    Process::start(&own, &["bare", &kubeconfig, namespace, status.as_str()], None)
}

/// The product's processor, with the settings of its controllers.
struct Product {
    binary: PathBuf,
    kubeconfig: String,
    dir: tempfile::TempDir,
    processor: Process,
    grpc: String,
}

impl Product {
    fn start(kubeconfig: &Path) -> anyhow::Result<Self> {
        let binary = std::env::current_exe()?.with_file_name("orderstream");
        anyhow::ensure!(binary.exists(), "build orderstream first: cargo xtask bench does");
        let dir = tempfile::tempdir()?;
        let processor = processor(&binary, dir.path(), "127.0.0.1:0")?;
        let grpc = processor.address("grpc")?;
        let kubeconfig = kubeconfig.display().to_string();
        Ok(Self { binary, kubeconfig, dir, processor, grpc })
    }

    fn controller(&self, namespace: &str) -> anyhow::Result<Process> {
        let processor = format!("http://{}", self.grpc);
        let file = self.dir.path().join("controller.addresses");
        let args = [
            "controller",
            "--kubeconfig",
            &self.kubeconfig,
            "--namespace",
            namespace,
            "--lease-namespace",
            namespace,
            "--pod-name",
            "bench",
            "--processor",
            &processor,
            "--metrics-addr",
            "127.0.0.1:0",
            "--rest-addr",
            "127.0.0.1:0",
        ];
        Process::start(&self.binary, &args, Some(&file))
    }
}

fn processor(binary: &Path, dir: &Path, grpc: &str) -> anyhow::Result<Process> {
    let data = dir.join("data").display().to_string();
    let args = [
        "processor",
        "--data-dir",
        &data,
        "--sellers",
        "examples/sellers.yaml",
        "--grpc-addr",
        grpc,
        "--rest-addr",
        "127.0.0.1:0",
        "--metrics-addr",
        "127.0.0.1:0",
    ];
    Process::start(binary, &args, Some(&dir.join("processor.addresses")))
}

async fn product(server: &ApiServer, settings: ClusterBenchSettings) -> anyhow::Result<Rows> {
    let namespace = "product";
    server.kubectl(&["create", "namespace", namespace]);
    let kubeconfig = server.kubeconfig();
    let mut driver = Driver::start(&kubeconfig, namespace).await?;
    let mut product = Product::start(&kubeconfig)?;
    let mut controller = product.controller(namespace)?;
    until_leading(&controller).await?;
    let idle = controller.memory()?;
    print("operator", 0, &driver.measure("few", settings).await?);
    controller.kill()?;

    driver.create_all("many", settings.present).await?;
    let all = 1 + settings.present + settings.measured;
    let began = Instant::now();
    let mut controller = product.controller(namespace)?;
    until_streams(&controller, all).await?;
    let streaming = began.elapsed();
    driver.until_all_streaming(STATE_TIMEOUT).await?;
    let catch_up = began.elapsed();
    let catch_up_writes = ScrapedMetrics::of(&controller).await?.status_writes;
    let memory = controller.memory()?.growth_since(idle);
    print("operator", settings.present, &driver.measure("more", settings).await?);
    let all = all + settings.measured;

    controller.kill()?;
    let began = Instant::now();
    let mut controller = product.controller(namespace)?;
    until_streams(&controller, all).await?;
    let restarted = began.elapsed();
    let restart_cpu = controller.cpu_seconds()?;
    let restart_memory = controller.memory()?.growth_since(idle);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let restart_writes = ScrapedMetrics::of(&controller).await?.status_writes;

    product.processor.kill()?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    product.processor = processor(&product.binary, product.dir.path(), &product.grpc)?;
    until_streams(&controller, all).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let outage_writes = ScrapedMetrics::of(&controller).await?.status_writes - restart_writes;

    let quiet = ScrapedMetrics::of(&controller).await?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let metrics = ScrapedMetrics::of(&controller).await?;
    let quiet_memory = controller.memory()?.growth_since(idle);
    controller.kill()?;
    driver.end().await;
    Ok(vec![
        ("", format!("{:.1}", streaming.as_secs_f64())),
        ("", format!("{:.1}", catch_up.as_secs_f64())),
        ("", memory),
        ("", catch_up_writes.to_string()),
        ("", format!("{:.1}", restarted.as_secs_f64())),
        ("", format!("{restart_cpu:.1}")),
        ("", restart_memory),
        ("", restart_writes.to_string()),
        ("", outage_writes.to_string()),
        ("", (metrics.status_writes - quiet.status_writes).to_string()),
        ("", quiet_memory),
        ("", format!("{:.2}", metrics.reconciles_under_1_ms * 100.0)),
    ])
}

async fn until_leading(controller: &Process) -> anyhow::Result<()> {
    wait_until("it leads", || async { Ok(ScrapedMetrics::of(controller).await?.leads) }).await
}

async fn until_streams(controller: &Process, streams: usize) -> anyhow::Result<()> {
    wait_until("all streams are up", || async {
        Ok(ScrapedMetrics::of(controller).await?.streams == streams)
    })
    .await
}

async fn wait_until<F>(what: &str, mut check: impl FnMut() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let began = Instant::now();
    while !check().await? {
        anyhow::ensure!(began.elapsed() < STATE_TIMEOUT, "did not come true: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
