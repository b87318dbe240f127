//! Runs the processor for the benchmarks: all features on, with a journal on disk.

use std::path::Path;
use std::sync::Arc;

use orderstream_core::port::{Clock, SellerDirectory};
use orderstream_core::spec::Seller;
use orderstream_core::{Tenant, Timestamp};
use orderstream_journal::{Embedded, Options};
use orderstream_processor::{Parts, PeersConfig, Processor};
use orderstream_rpc::server::http_metrics::HttpMetrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
struct BenchClock;

impl Clock for BenchClock {
    fn now(&self) -> Timestamp {
        #[allow(clippy::disallowed_methods, reason = "the bench is its own shell")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = now.map_or(0, |since| since.as_millis());
        Timestamp(i64::try_from(ms).unwrap_or(i64::MAX))
    }
}

#[derive(Debug)]
struct NoSellers;

impl SellerDirectory for NoSellers {
    fn sellers(&self, _: &Tenant) -> Arc<[Seller]> {
        Arc::from([])
    }
}

/// Serves until the process is killed.
pub(crate) async fn serve(dir: &Path) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    let journal = Embedded::open(dir, Options::default())?;
    let metrics = prometheus::Registry::new();
    let parts = Parts {
        journal: Arc::new(journal),
        directory: Arc::new(NoSellers),
        clock: Arc::new(BenchClock),
        http_metrics: HttpMetrics::register(&metrics)?,
        metrics,
        peers: PeersConfig::alone("bench".to_owned()),
        keep_ended: orderstream_processor::limits::KEEP_ENDED,
        shutdown: CancellationToken::new(),
    };
    let processor = Processor::start(parts)?;
    eprintln!("replayed in {} ms", began.elapsed().as_millis());
    let (grpc, rest) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    println!("{} {}", grpc.local_addr()?, rest.local_addr()?);
    processor.run(grpc, rest).await?;
    Ok(())
}
