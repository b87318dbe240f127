//! A controller's metrics, scraped from its page.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::process::Process;

/// The metrics of one scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScrapedMetrics {
    /// The controller is the leader.
    pub(crate) leads: bool,
    /// The number of open streams.
    pub(crate) streams: usize,
    /// The number of status writes since the controller's start, with any result.
    pub(crate) status_writes: u64,
    /// The fraction of reconciles that took at most a millisecond, 0 to 1.
    pub(crate) reconciles_under_1_ms: f64,
}

impl ScrapedMetrics {
    /// Scrapes the metrics of a controller.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are counts")]
    pub(crate) async fn of(controller: &Process) -> anyhow::Result<Self> {
        let text = page(&controller.address("metrics")?).await?;
        let sum = |name: &str| sum(&text, name);
        let reconciles = sum("controller_runtime_reconcile_time_seconds_count").max(1.0);
        let quick = text
            .lines()
            .find(|line| {
                line.starts_with("controller_runtime_reconcile_time_seconds_bucket")
                    && line.contains("le=\"0.001\"")
            })
            .and_then(value)
            .unwrap_or(0.0);
        Ok(Self {
            leads: sum("leader_election_master_status") > 0.0,
            streams: sum("orderstream_requestor_streams_active") as usize,
            status_writes: sum("orderstream_status_writes_total") as u64,
            reconciles_under_1_ms: quick / reconciles,
        })
    }
}

/// Returns the sum of all series with a name.
fn sum(text: &str, name: &str) -> f64 {
    let of_name =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    text.lines().filter(of_name).filter_map(value).sum()
}

fn value(line: &str) -> Option<f64> {
    line.rsplit(' ').next()?.parse().ok()
}

async fn page(address: &str) -> anyhow::Result<String> {
    let stream = TcpStream::connect(address).await.context("the metrics port")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request =
        http::Request::get("/metrics").header("host", address).body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec())?)
}
