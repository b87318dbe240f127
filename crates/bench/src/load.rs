//! Generates the load: open streams that count events, and submitters that post proposals one after
//! another over REST.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::process::PinnedServer;

/// The smallest number of HTTP/2 connections for the streams.
const CONNECTIONS_MIN: usize = 4;
/// The largest number of streams on one connection.
const STREAMS_MAX: usize = 1_250;

/// Open streams on one server.
#[derive(Debug)]
pub(crate) struct Streams {
    /// The number of proposals that arrived on their stream.
    pub(crate) delivered: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

/// Creates the channels to a server for this number of streams, one connection each.
pub(crate) fn channels(server: &PinnedServer, streams: usize) -> anyhow::Result<Vec<Channel>> {
    (0..streams.div_ceil(STREAMS_MAX).max(CONNECTIONS_MIN))
        .map(|_| {
            let endpoint = Endpoint::from_shared(server.grpc.clone())?.tcp_nodelay(true);
            Ok(endpoint
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(16 << 20)
                .connect_lazy())
        })
        .collect()
}

/// Returns the id of a stream's order.
pub(crate) fn order_id(index: usize) -> String {
    format!("SB{index:07}")
}

impl Streams {
    /// Opens a stream for each order of a range, and waits until all are open. The arrival time of
    /// each proposal is sent to `arrivals`, if given.
    pub(crate) async fn open(
        server: &PinnedServer,
        orders: std::ops::Range<usize>,
        arrivals: Option<mpsc::Sender<Instant>>,
    ) -> anyhow::Result<Self> {
        let channels = channels(server, orders.len())?;
        let delivered = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        let (opened, mut all_opened) = mpsc::channel(256);
        let count = orders.len();
        for index in orders {
            let channel = channels[index % channels.len()].clone();
            let (delivered, opened) = (Arc::clone(&delivered), opened.clone());
            let arrivals = arrivals.clone();
            tasks.spawn(async move {
                if let Err(error) = follow(channel, index, delivered, opened, arrivals).await {
                    eprintln!("stream {index}: {error:#}");
                }
            });
            // Opened in waves, like a well-behaved client.
            if tasks.len() % 256 == 0 {
                for _ in 0..256 {
                    all_opened.recv().await.context("a stream opens")?;
                }
            }
        }
        for _ in 0..count % 256 {
            all_opened.recv().await.context("a stream opens")?;
        }
        Ok(Self { delivered, tasks })
    }

    /// Closes all streams.
    pub(crate) async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn follow(
    channel: Channel,
    index: usize,
    delivered: Arc<AtomicU64>,
    opened: mpsc::Sender<()>,
    arrivals: Option<mpsc::Sender<Instant>>,
) -> anyhow::Result<()> {
    let mut client = OrderStreamingServiceClient::new(channel);
    let order = v1::OrderSpec { expires_in_ms: 3_600_000, ..v1::OrderSpec::default() };
    let request = v1::OrderStreamRequest {
        order_req_id: order_id(index),
        order: Some(order),
        epoch: 1,
        ..v1::OrderStreamRequest::default()
    };
    let mut stream = client.process_order_stream(request).await?.into_inner();
    opened.send(()).await?;
    while let Some(event) = stream.message().await? {
        if event.streaming_response_status == "NewProposal" {
            delivered.fetch_add(1, Ordering::Relaxed);
            if let Some(arrivals) = &arrivals {
                arrivals.send(Instant::now()).await?;
            }
        }
    }
    Ok(())
}

/// One keep-alive connection to a server's REST port.
pub(crate) struct Submitter {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    serial: u64,
    name: usize,
    _connection: JoinSet<()>,
}

impl Submitter {
    pub(crate) async fn connect(server: &PinnedServer, name: usize) -> anyhow::Result<Self> {
        let stream = tokio::net::TcpStream::connect(&server.rest).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("connection: {error}");
            }
        });
        Ok(Self { sender, host: server.rest.clone(), serial: 0, name, _connection: tasks })
    }

    /// Posts one proposal for an order, and waits for the response.
    pub(crate) async fn submit(&mut self, order: usize) -> anyhow::Result<()> {
        self.serial += 1;
        let (id, name, serial) = (order_id(order), self.name, self.serial);
        // Each proposal is of another seller: one seller has one proposal for an order.
        let body = format!(
            "{{\"order_req_id\":\"{id}\",\"proposal_id\":\"p{name}-{serial}\",\
             \"seller\":\"s{name}-{serial}\",\"price\":\"1249.50\",\"currency\":\"EUR\"}}"
        );
        let request = http::Request::post("/api/v1/proposals")
            .header("host", &self.host)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(())
    }
}

/// The result of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throughput {
    /// Events that arrived on their stream, per second.
    pub(crate) per_second: f64,
    /// Server CPU per such event, microseconds.
    pub(crate) cpu_us: f64,
}

/// Measures the load of concurrent submitters, each of which posts to all orders in turn.
pub(crate) async fn throughput(
    server: &PinnedServer,
    streams: &Streams,
    orders: usize,
    submitters: usize,
    time: Duration,
) -> anyhow::Result<Throughput> {
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let stop = tokio_util::sync::CancellationToken::new();
    for name in 0..submitters {
        let mut submitter = Submitter::connect(server, name).await?;
        let stop = stop.clone();
        tasks.spawn(async move {
            let mut order = name * 7;
            while !stop.is_cancelled() {
                submitter.submit(order % orders).await?;
                order += 1;
            }
            Ok(())
        });
    }
    wait(Duration::from_millis(500)).await;
    let (cpu, count) = (server.cpu_us()?, streams.delivered.load(Ordering::Relaxed));
    let began = Instant::now();
    wait(time).await;
    let (cpu, count) = (server.cpu_us()? - cpu, streams.delivered.load(Ordering::Relaxed) - count);
    let seconds = began.elapsed().as_secs_f64();
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    anyhow::ensure!(count > 0, "nothing was delivered");
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (count, cpu) = (count as f64, cpu as f64);
    Ok(Throughput { per_second: count / seconds, cpu_us: cpu / count })
}

/// Waits for the duration of a measurement.
async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Measures the time from posting to arrival, one event at a time: p50 and p99, microseconds.
pub(crate) async fn latency(server: &PinnedServer, orders: usize) -> anyhow::Result<(u64, u64)> {
    let (sender, mut arrivals) = mpsc::channel(16);
    let first = 5_000_000;
    let streams = Streams::open(server, first..first + orders, Some(sender)).await?;
    let mut submitter = Submitter::connect(server, 9_999).await?;
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3)?;
    for round in 0..2_000 {
        let began = Instant::now();
        let arrives = async { arrivals.recv().await.context("the event arrives") };
        let ((), at) = tokio::try_join!(submitter.submit(first + round % orders), arrives)?;
        if round >= 200 {
            let us = at.duration_since(began).as_micros();
            histogram.record(u64::try_from(us)?)?;
        }
    }
    streams.close().await;
    Ok((histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.99)))
}
