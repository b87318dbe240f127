//! Measures the servers and prints the results as tables.

use std::time::{Duration, Instant};

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;

use crate::load::{Streams, Throughput, channels, latency, order_id, throughput};
use crate::process::{PinnedServer, pin_load};
use crate::{ComparedServer, memory};

/// The parameters of a run.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "two independent switches")]
pub(crate) struct ServerBenchSettings {
    /// The duration of each load, seconds.
    pub(crate) seconds: u64,
    /// The number of open streams under load.
    pub(crate) streams: usize,
    /// The numbers of concurrent submitters, one load for each.
    pub(crate) submitters: Vec<usize>,
    /// Set to measure the load only.
    pub(crate) load_only: bool,
    /// Set to measure memory too.
    pub(crate) memory: bool,
}

const SERVERS: [ComparedServer; 4] = [
    ComparedServer::Tonic,
    ComparedServer::TonicLayers,
    ComparedServer::TonicDurable,
    ComparedServer::Processor,
];
/// The number of proposals in one bulk call.
const BULK_PROPOSALS: usize = 50_000;

/// Runs all measurements and prints the tables.
pub(crate) async fn run(settings: &ServerBenchSettings) -> anyhow::Result<()> {
    pin_load()?;
    println!("streams {}, {} s each; server on one core\n", settings.streams, settings.seconds);
    println!("| server | submitters | events/s | CPU µs/event | of TD: events | of TD: CPU |");
    println!("|---|---|---|---|---|---|");
    for submitters in settings.submitters.iter().copied() {
        let mut rows = Vec::new();
        for kind in SERVERS {
            rows.push((kind, measure_load(kind, settings, submitters).await?));
        }
        let td = rows[2].1;
        for (kind, row) in rows {
            println!(
                "| {} | {submitters} | {:.0} | {:.1} | {:.2} | {:.2} |",
                kind.as_str(),
                row.per_second,
                row.cpu_us,
                row.per_second / td.per_second,
                row.cpu_us / td.cpu_us
            );
        }
    }
    if settings.load_only {
        return Ok(());
    }
    println!("\n| server | one event on an idle stream p50 µs | p99 µs |\n|---|---|---|");
    for kind in SERVERS {
        let dir = tempfile::tempdir()?;
        let server = PinnedServer::start(kind, dir.path())?;
        let (p50, p99) = latency(&server, 100).await?;
        println!("| {} | {p50} | {p99} |", kind.as_str());
    }
    measure_bulk().await?;
    if settings.memory {
        memory_table().await?;
    }
    Ok(())
}

async fn measure_load(
    kind: ComparedServer,
    settings: &ServerBenchSettings,
    submitters: usize,
) -> anyhow::Result<Throughput> {
    let dir = tempfile::tempdir()?;
    let server = PinnedServer::start(kind, dir.path())?;
    let streams = Streams::open(&server, 0..settings.streams, None).await?;
    let time = Duration::from_secs(settings.seconds);
    let result = throughput(&server, &streams, settings.streams, submitters, time).await?;
    streams.close().await;
    Ok(result)
}

/// Measures many proposals in one call, then a restart over their events.
async fn measure_bulk() -> anyhow::Result<()> {
    const ORDERS: usize = 100;
    let dir = tempfile::tempdir()?;
    let server = PinnedServer::start(ComparedServer::Processor, dir.path())?;
    let streams = Streams::open(&server, 0..ORDERS, None).await?;
    let channel = channels(&server, 1)?.swap_remove(0);
    let submissions =
        futures_util::stream::iter((0..BULK_PROPOSALS).map(|n| v1::ProposalSubmission {
            order_req_id: order_id(n % ORDERS),
            proposal: Some(v1::Proposal {
                proposal_id: format!("b{n}"),
                seller: format!("seller-{n}"),
                price: "1249.50".to_owned(),
                currency: "EUR".to_owned(),
                ..v1::Proposal::default()
            }),
            ..v1::ProposalSubmission::default()
        }));
    let (cpu, began) = (server.cpu_us()?, Instant::now());
    let mut client = OrderNonStreamingServiceClient::new(channel);
    let summary = client.submit_proposals(submissions).await?.into_inner();
    let (cpu, time) = (server.cpu_us()? - cpu, began.elapsed());
    anyhow::ensure!(summary.accepted == BULK_PROPOSALS as u64, "accepted {}", summary.accepted);
    let per_event = cpu / BULK_PROPOSALS as u64;
    println!(
        "\nbulk: {BULK_PROPOSALS} proposals in one call: {} ms, server CPU {per_event} µs per event",
        time.as_millis()
    );
    streams.close().await;
    drop(server);
    let began = Instant::now();
    let server = PinnedServer::start(ComparedServer::Processor, dir.path())?;
    println!(
        "restart over {BULK_PROPOSALS} events: {} ms, process start included",
        began.elapsed().as_millis()
    );
    drop(server);
    Ok(())
}

async fn memory_table() -> anyhow::Result<()> {
    println!("\n| server | streams | bytes per stream |\n|---|---|---|");
    for kind in [ComparedServer::Tonic, ComparedServer::Processor] {
        for streams in [1_000, 10_000] {
            let dir = tempfile::tempdir()?;
            let server = PinnedServer::start(kind, dir.path())?;
            let bytes = memory::per_stream(&server, streams).await?;
            println!("| {} | {streams} | {bytes} |", kind.as_str());
        }
    }
    let dir = tempfile::tempdir()?;
    let server = PinnedServer::start(ComparedServer::Processor, dir.path())?;
    let bytes = memory::per_parked_order(&server, 100_000).await?;
    println!("\nparked orders: {bytes} bytes per order, of 100 000");
    Ok(())
}
