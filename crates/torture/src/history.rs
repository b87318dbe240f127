//! The observations of a run, as JSON lines: commands, received events, pages, faults and final
//! lists.
//!
//! Times are microseconds since the start of the run, by one monotonic clock.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::command::{ClientCommand, ClientInterface, ClientOutcome};
use crate::event::ComparableEvent;

/// Microseconds since the start of the run.
pub type Micros = u64;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum HistoryLine {
    /// A client sent a command.
    Attempt(ClientAttempt),
    /// A reader received an event.
    Receipt(EventReceipt),
    /// A stream ended or was refused.
    Stream(StreamSpan),
    /// An order was read on a page.
    Page(PageReading),
    /// The list of all orders was read.
    OrderList(OrderListReading),
    /// A fault was injected for some time.
    Fault(FaultSpan),
    /// An order's complete list, read at the end of the run.
    List(EventListReading),
    /// The content of an order's pages at the end of the run.
    Pages(OrderPagesReading),
    /// A process's metrics at the end of the run.
    Measurements(ProcessMeasurements),
    /// A process ended by itself.
    Exit(UnexpectedExit),
}

/// One attempt of one command. Attempts of the same command have the same token and key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientAttempt {
    /// The time at which it was sent.
    pub called_at: Micros,
    /// The time of its reply, or at which it was given up.
    pub returned_at: Micros,
    /// The client's name.
    pub client: String,
    /// The seller who sends the command, or `buyer`.
    pub actor: String,
    /// The interface.
    pub interface: ClientInterface,
    /// The order's name.
    pub order: String,
    /// The command.
    pub command: ClientCommand,
    /// The idempotency key.
    pub key: String,
    /// A unique text in the body, which identifies the command in the order's list.
    pub token: String,
    /// The tracker's epoch with which it was sent; 0 for none.
    pub epoch: u64,
    /// The attempt's outcome.
    pub result: ClientOutcome,
}

/// A kind of reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaderKind {
    /// `ProcessOrderStream` as an observer.
    Observer,
    /// `ProcessOrderStream` as the order's tracker.
    Tracker,
    /// Server-sent events.
    Sse,
    /// A seller's session, whose events have gaps in their sequence numbers.
    Session,
}

/// One event received by one reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventReceipt {
    /// The time of its arrival.
    pub received_at: Micros,
    /// The kind of reader.
    pub reader: ReaderKind,
    /// The reader's name.
    pub name: String,
    /// The number of its connection, from 1.
    pub connection: u32,
    /// The cursor that this connection resumed after.
    pub after: u64,
    /// The order's name.
    pub order: String,
    /// The event.
    pub event: ComparableEvent,
}

/// One stream of a tracker, from its call to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamSpan {
    /// The time of its call.
    pub called_at: Micros,
    /// The time of its first message; absent if there was none.
    pub first_message_at: Option<Micros>,
    /// The time of its end.
    pub ended_at: Micros,
    /// The reader's name.
    pub name: String,
    /// The order's name.
    pub order: String,
    /// The tracker's epoch.
    pub epoch: u64,
    /// The reason for its end; empty if the order ended.
    pub reason: String,
}

/// An order's state on a page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PageSnapshot {
    /// The order's phase.
    pub phase: String,
    /// The sequence number of its last event.
    pub last_seq: u64,
    /// The tracker's epoch.
    pub epoch: u64,
    /// The numbers of proposals: received, open, withdrawn, closed.
    pub proposals: [u64; 4],
    /// The number of follow-ups.
    pub follow_ups: u64,
    /// The order's incarnation.
    pub incarnation: String,
}

/// The result of reading an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageLookup {
    /// The order's state.
    Order(PageSnapshot),
    /// The order does not exist.
    NotFound,
}

/// One read of one order. Reads without a response are not recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageReading {
    /// The time of the request.
    pub called_at: Micros,
    /// The time of the response.
    pub returned_at: Micros,
    /// The page: `tracking` or `order`.
    pub page: String,
    /// The order's name.
    pub order: String,
    /// The result.
    pub result: PageLookup,
    /// Set on the last read, after everything had time to settle.
    pub is_last: bool,
}

/// One read of `tracking/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderListReading {
    /// The time of the request.
    pub called_at: Micros,
    /// The time of the response.
    pub returned_at: Micros,
    /// The orders in it.
    pub orders: Vec<String>,
    /// The number of orders that it reports.
    pub total: u64,
}

/// A fault with its start and end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSpan {
    /// The time of its start.
    pub started_at: Micros,
    /// The time of its end.
    pub ended_at: Micros,
    /// The fault's kind.
    pub kind: String,
    /// The affected process, link or disk.
    pub target: String,
}

/// An order's complete list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventListReading {
    /// The order's name.
    pub order: String,
    /// The interface over which it was read: `grpc` or `sse`, and the processor.
    pub by: String,
    /// The events, or the error in reading them.
    pub events: Result<Vec<ComparableEvent>, String>,
}

/// The content of an order's pages at the end of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderPagesReading {
    /// The order's name.
    pub order: String,
    /// Each proposal's id, status and version.
    pub proposals: Vec<(String, String, u64)>,
    /// The ids of all follow-ups, questions and answers, with the sequence number of their event.
    pub conversation: Vec<(u64, String)>,
}

/// A process's metrics at the end of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessMeasurements {
    /// The process's name.
    pub process: String,
    /// Each series with its value, without histograms.
    pub series: BTreeMap<String, f64>,
    /// Resident memory, kilobytes.
    pub rss_kb: u64,
    /// The number of open descriptors.
    pub descriptors: u64,
    /// The number of orders in the process's own list; `None` if it has no list.
    pub orders: Option<u64>,
}

/// A process that ended by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnexpectedExit {
    /// The time at which the exit was detected.
    pub detected_at: Micros,
    /// The process's name.
    pub process: String,
    /// The process's exit status.
    pub status: String,
}

/// The history that all tasks of a run write to.
#[derive(Clone, Debug)]
pub struct HistoryRecorder {
    began: Instant,
    lines: Arc<Mutex<Vec<HistoryLine>>>,
}

impl Default for HistoryRecorder {
    fn default() -> Self {
        Self { began: Instant::now(), lines: Arc::default() }
    }
}

impl HistoryRecorder {
    /// Returns the microseconds since the start of the run.
    pub fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Writes one line.
    pub fn write(&self, line: HistoryLine) {
        self.lines.lock().push(line);
    }

    /// Returns all lines so far.
    pub fn lines(&self) -> Vec<HistoryLine> {
        self.lines.lock().clone()
    }
}

/// Writes a history to a file, one JSON object per line.
///
/// # Errors
/// When the file cannot be written.
pub fn save(lines: &[HistoryLine], path: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// Reads a history from a file.
///
/// # Errors
/// When the file cannot be read, or a line cannot be parsed.
pub fn load(path: &Path) -> std::io::Result<Vec<HistoryLine>> {
    let text = std::fs::read_to_string(path)?;
    text.lines().map(|line| serde_json::from_str(line).map_err(Into::into)).collect()
}
