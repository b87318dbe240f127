//! A real Prometheus scrapes the running installation through the API server's proxy: every rule
//! loads, and every panel of every dashboard has data.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::cluster::{Cluster, NAMESPACE, RELEASE, sleep, wait_until};
use super::load::Load;
use crate::dashboards;

/// The duration of the load before the panels are queried: their longest range is a minute.
const LOAD_TIME: Duration = Duration::from_secs(20);
/// The time within which every target is scraped at least twice.
const SCRAPE_TIME: Duration = Duration::from_secs(5);
/// The largest number of series of one process, whatever users do.
const SERIES_MAX: usize = 2_000;

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    series_are_bounded(cluster)?;
    requests_have_their_own_queue(cluster)?;
    let prometheus = Prometheus::start(cluster)?;
    let orders = fresh_orders(cluster)?;
    // A counter that was not scraped at its first value has no increase.
    sleep(SCRAPE_TIME);
    thread::scope(|scope| {
        let load = Load::start(scope, cluster, &orders);
        sleep(LOAD_TIME);
        drop(load.stop());
    });
    // One order is ended, so that the panels about ends have data.
    let cancel = r#"{"spec":{"cancel":true}}"#;
    cluster.kubectl(&["patch", "oreq", &orders[0], "--type=merge", "-p", cancel])?;
    prometheus.check_everything(cluster)
}

/// Creates orders without proposals.
fn fresh_orders(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let names: Vec<_> = (0..6).map(|number| format!("shown-{number}")).collect();
    let manifests = names.iter().map(|name| {
        format!(
            "---\napiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
             metadata: {{name: {name}}}\nspec: {{title: Shown, expiresIn: 1h, sellers: {{openToAll: true}}}}\n"
        )
    });
    cluster.kubectl_with(&["create", "-f", "-"], &manifests.collect::<String>())?;
    for name in &names {
        let streaming = "--for=jsonpath={.status.tracker.stream}=Active";
        cluster.kubectl(&["wait", &format!("oreq/{name}"), streaming, "--timeout=30s"])?;
    }
    Ok(names)
}

/// Checks that thousands of unknown ids and paths add no series.
fn series_are_bounded(cluster: &Cluster) -> anyhow::Result<()> {
    for number in 0..1_000 {
        for path in [
            format!("{}/api/v1/orders/random-{number}", Cluster::service("processor")),
            format!("{}/random/{number}", Cluster::service("requestor")),
        ] {
            let response = cluster.request("GET", &path, "")?;
            ensure!(matches!(response.status, 404 | 503), "{path}: {response:?}");
        }
    }
    for component in ["processor", "controller"] {
        for pod in cluster.pods(component)? {
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
            let page = cluster.metrics(pod)?;
            let series = page.lines().filter(|line| !line.starts_with('#')).count();
            println!("{pod}: {series} series");
            ensure!(series <= SERIES_MAX, "{pod} has {series} series");
        }
    }
    Ok(())
}

/// Checks that the `FlowSchema` matches the controller's requests, and that none is rejected.
fn requests_have_their_own_queue(cluster: &Cluster) -> anyhow::Result<()> {
    let page = cluster.kubectl(&["get", "--raw", "/metrics"])?;
    let schema = format!("flow_schema=\"{NAMESPACE}-{RELEASE}-controller\"");
    // An empty sum is -0.0.
    let total = |name: &str| -> f64 {
        let of = page.lines().filter(|line| line.starts_with(name) && line.contains(&schema));
        of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() + 0.0
    };
    let dispatched = total("apiserver_flowcontrol_dispatched_requests_total{");
    let rejected = total("apiserver_flowcontrol_rejected_requests_total{");
    println!("{dispatched} requests went through the FlowSchema, {rejected} were rejected");
    ensure!(dispatched > 0.0 && rejected < 1.0, "{dispatched} dispatched, {rejected} rejected");
    Ok(())
}

/// A Prometheus with a folder of its own; both are removed when dropped.
struct Prometheus {
    process: Child,
    dir: PathBuf,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The process may already have ended.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.dir));
    }
}

impl Prometheus {
    fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("orderstream-e2e-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let rules = cluster.root.join("deploy/alerts/orderstream.rules.yaml");
        let config = dir.join("prometheus.yaml");
        fs::write(&config, configuration(cluster, &rules.display().to_string())?)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let log = fs::File::create(dir.join("log"))?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start prometheus; Debian's package `prometheus` has it")?;
        let started = Self { process, dir, address };
        wait_until("Prometheus is ready", Duration::from_secs(30), || {
            Ok(started.get("/-/ready").ok().map(drop))
        })?;
        Ok(started)
    }

    fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut response = ureq::get(format!("http://{}{path}", self.address)).call()?;
        Ok(response.body_mut().read_to_string()?)
    }

    /// Checks that every expression of every panel has data, and that every rule is healthy.
    fn check_everything(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let expressions = dashboards::expressions();
        let mut empty = Vec::new();
        for (panel, expression) in &expressions {
            let found = wait_until("the panel has data", Duration::from_secs(20), || {
                let result = self.query(expression)?;
                Ok((result > 0).then_some(result))
            });
            if let Err(error) = found {
                empty.push(format!("{panel}: {expression}: {error:#}"));
            }
        }
        println!("{} panels' expressions, {} without data", expressions.len(), empty.len());
        empty.iter().for_each(|line| println!("   {line}"));
        ensure!(empty.is_empty(), "{} expressions give no data", empty.len());
        let rules: Value = serde_json::from_str(&self.get("/api/v1/rules")?)?;
        let groups = rules["data"]["groups"].as_array().into_iter().flatten();
        let rules: Vec<_> =
            groups.filter_map(|group| group["rules"].as_array()).flatten().collect();
        let unhealthy: Vec<_> = rules.iter().filter(|rule| rule["health"] == "err").collect();
        ensure!(unhealthy.is_empty(), "rules fail: {unhealthy:?}");
        let firing: Vec<_> = rules
            .iter()
            .filter(|rule| rule["state"] == "firing")
            .filter_map(|rule| rule["name"].as_str())
            .collect();
        println!("{} rules are healthy, firing: {firing:?}", rules.len());
        // A volume of a test cluster may be a folder on the machine's own disk, and as full as that
        // disk.
        let critical = rules.iter().find(|rule| {
            rule["state"] == "firing"
                && rule["labels"]["severity"] == "critical"
                && rule["name"] != "OrderstreamDiskFull"
        });
        ensure!(critical.is_none(), "a critical alert fires on a healthy system: {critical:?}");
        cluster.orders().map(drop)
    }

    /// Returns the number of an expression's series whose value is not NaN.
    fn query(&self, expression: &str) -> anyhow::Result<usize> {
        let mut response = ureq::get(format!("http://{}/api/v1/query", self.address))
            .query("query", expression)
            .call()?;
        let response: Value = serde_json::from_str(&response.body_mut().read_to_string()?)?;
        let series = response["data"]["result"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(series.iter().filter(|series| series["value"][1] != "NaN").count())
    }
}

/// Returns a configuration that scrapes each pod through the API server's proxy, with the labels
/// that the Prometheus operator's monitors add.
fn configuration(cluster: &Cluster, rules: &str) -> anyhow::Result<String> {
    let target = cluster.base().trim_start_matches("http://");
    let mut text = format!(
        "global: {{scrape_interval: 2s, evaluation_interval: 2s}}\nrule_files: [{rules}]\nscrape_configs:\n"
    );
    for component in ["processor", "controller"] {
        for pod in cluster.pods(component)? {
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
            writeln!(
                text,
                "- job_name: {pod}\n  metrics_path: /api/v1/namespaces/{NAMESPACE}/pods/{pod}:9090/proxy/metrics\n  \
                 static_configs: [{{targets: ['{target}']}}]\n  relabel_configs:\n  \
                 - {{target_label: job, replacement: {NAMESPACE}/orderstream}}\n  \
                 - {{target_label: namespace, replacement: {NAMESPACE}}}\n  \
                 - {{target_label: pod, replacement: {pod}}}\n  \
                 - {{target_label: container, replacement: {component}}}\n  \
                 - {{target_label: instance, replacement: {pod}}}"
            )?;
        }
    }
    Ok(text)
}
