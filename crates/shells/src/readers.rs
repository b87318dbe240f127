//! Readers on a host of their own: each follows an order over the network to its end, and
//! reconnects after every disconnect, sometimes from the first event. Some are slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orderstream_rpc::client::{Connections, Dialer, connect_over};
use orderstream_rpc::event_stream::TrackerStream;
use orderstream_rpc::observe::{RpcMetrics, RpcSide};
use orderstream_rpc::v1;
use orderstream_torture::event::ComparableEvent;
use orderstream_torture::history::{EventReceipt, HistoryLine, ReaderKind};
use parking_lot::Mutex;
use prometheus::Registry;

use crate::network::Network;

/// The back-off of a reader before it reconnects.
const BACKOFF: Duration = Duration::from_millis(150);
/// The timeout for opening a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of connections after which a reader starts from the first event again.
const RESTART_EVERY: u32 = 4;

/// Records the history of the run, with its times.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulationRecorder {
    now_us: Arc<AtomicU64>,
    lines: Arc<Mutex<Vec<HistoryLine>>>,
    lists: Arc<Mutex<BTreeMap<String, Vec<ComparableEvent>>>>,
}

impl SimulationRecorder {
    pub(crate) fn set(&self, now_ms: u64) {
        self.now_us.store(now_ms * 1_000, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.now_us.load(Ordering::Relaxed)
    }

    pub(crate) fn write(&self, line: HistoryLine) {
        self.lines.lock().push(line);
    }

    pub(crate) fn lines(&self) -> Vec<HistoryLine> {
        self.lines.lock().clone()
    }

    /// Returns a complete list, once it has been read from its first event to its end.
    pub(crate) fn list(&self, order: &str) -> Option<Vec<ComparableEvent>> {
        self.lists.lock().get(order).cloned()
    }
}

/// The speed of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Keen,
    /// Pauses after every event.
    Slow,
}

/// Returns the readers' connections to a processor.
pub(crate) fn connections(network: &Network, url: &str) -> Connections {
    let metrics = RpcMetrics::new(&Registry::new(), RpcSide::Client).expect("figures");
    let dialer: Arc<dyn Dialer> = Arc::new(network.clone());
    connect_over(url, 2, &metrics, &dialer).expect("a URL")
}

/// Observes an order to its end.
pub(crate) async fn observe(
    connections: Connections,
    recorder: SimulationRecorder,
    name: String,
    order: String,
    pace: Pace,
) {
    let mut last = 0;
    for connection in 1.. {
        let after_seq = if connection % RESTART_EVERY == 0 { 0 } else { last };
        let request = request(&order, after_seq);
        let opening = TrackerStream::open(connections.channel(), &request, None);
        let Ok(Ok(mut stream)) = tokio::time::timeout(OPEN_TIMEOUT, opening).await else {
            tokio::time::sleep(BACKOFF).await;
            continue;
        };
        while let Ok(Some(response)) = stream.message().await {
            let Some(event) = ComparableEvent::from_wire(&response) else { break };
            last = event.seq;
            let is_last = event.is_last();
            recorder.write(HistoryLine::Receipt(EventReceipt {
                received_at: recorder.now(),
                reader: ReaderKind::Observer,
                name: name.clone(),
                connection,
                after: after_seq,
                order: order.clone(),
                event,
            }));
            if is_last {
                return;
            }
            if pace == Pace::Slow {
                tokio::time::sleep(BACKOFF).await;
            }
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

/// Reads an order's complete list, and again after every disconnect.
pub(crate) async fn read_list(
    connections: Connections,
    recorder: SimulationRecorder,
    order: String,
) {
    loop {
        let request = request(&order, 0);
        let opening = TrackerStream::open(connections.channel(), &request, None);
        if let Ok(Ok(mut stream)) = tokio::time::timeout(OPEN_TIMEOUT, opening).await {
            let mut events = Vec::new();
            while let Ok(Some(response)) = stream.message().await {
                events.extend(ComparableEvent::from_wire(&response));
            }
            if events.last().is_some_and(ComparableEvent::is_last) {
                recorder.lists.lock().insert(order, events);
                return;
            }
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

fn request(order: &str, after_seq: u64) -> v1::OrderStreamRequest {
    v1::OrderStreamRequest {
        order_req_id: order.to_owned(),
        after_seq,
        observer: true,
        ..v1::OrderStreamRequest::default()
    }
}
