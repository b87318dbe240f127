//! The observations of a run, as JSON lines: commands, events that readers received, views, faults,
//! final lists.
//!
//! Times are microseconds since the run began, by one monotonic clock.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::op::{Op, Outcome, Over};

/// Microseconds since the run began.
pub type Micros = u64;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// A client sent a command.
    Act(Act),
    /// A reader received an event.
    Told(Told),
    /// A stream ended, or was refused.
    Stream(Stream),
    /// An order was read on a page.
    View(View),
    /// The list of all orders was read.
    Roll(Roll),
    /// A fault lasted for a while.
    Fault(Fault),
    /// An order's whole list, read at the end of the run.
    List(List),
    /// The content of an order's pages at the end of the run.
    Pages(Pages),
    /// A process's metrics at the end of the run.
    Figures(Figures),
    /// A process ended by itself.
    Gone(Gone),
}

/// One attempt of one command. Attempts of the same command have the same token and key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// The time at which it was sent.
    pub t_call: Micros,
    /// The time at which it was answered, or given up.
    pub t_ret: Micros,
    /// The client's name.
    pub client: String,
    /// The seller that acts, or `buyer`.
    pub actor: String,
    /// The interface.
    pub over: Over,
    /// The order's name.
    pub order: String,
    /// The command.
    pub op: Op,
    /// The idempotency key.
    pub key: String,
    /// A text in the body that no other command has: it names the command in the order's list.
    pub token: String,
    /// The tracker's epoch that it was sent with; 0 for none.
    pub epoch: u64,
    /// Its outcome.
    pub result: Outcome,
}

/// A kind of reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// `ProcessOrderStream` as an observer.
    Observer,
    /// `ProcessOrderStream` as the order's tracker.
    Tracker,
    /// Server-sent events.
    Sse,
    /// A seller's session, whose events have gaps in their sequence numbers.
    Session,
}

/// One event as one reader received it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The time of its arrival.
    pub t: Micros,
    /// The kind of reader.
    pub reader: Reader,
    /// The reader's name.
    pub name: String,
    /// The number of its connection, from 1.
    pub connection: u32,
    /// The cursor that this connection resumed after.
    pub after: u64,
    /// The order's name.
    pub order: String,
    /// The event.
    pub event: Event,
}

/// One stream of a tracker, from its call to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The time of its call.
    pub t_call: Micros,
    /// The time of its first message; absent if there was none.
    pub t_first: Option<Micros>,
    /// The time of its end.
    pub t_end: Micros,
    /// The reader's name.
    pub name: String,
    /// The order's name.
    pub order: String,
    /// The tracker's epoch.
    pub epoch: u64,
    /// The reason of its end; empty when the order ended.
    pub reason: String,
}

/// An order as one page showed it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
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
pub enum Found {
    /// The order's state.
    Order(Seen),
    /// There is no such order.
    Nothing,
}

/// One reading of one order. Readings without an answer are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The time of the request.
    pub t_call: Micros,
    /// The time of the response.
    pub t_ret: Micros,
    /// The page: `tracking` or `order`.
    pub page: String,
    /// The order's name.
    pub order: String,
    /// The result.
    pub found: Found,
    /// Set on the last reading, after everything had time to settle.
    pub is_last: bool,
}

/// One reading of `tracking/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roll {
    /// The time of the request.
    pub t_call: Micros,
    /// The time of the response.
    pub t_ret: Micros,
    /// The orders in it.
    pub orders: Vec<String>,
    /// The number of orders that it reports.
    pub total: u64,
}

/// A fault that lasted for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The time of its start.
    pub t_start: Micros,
    /// The time of its end.
    pub t_end: Micros,
    /// Its kind.
    pub what: String,
    /// The process, link or disk that had it.
    pub whom: String,
}

/// An order's whole list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// The order's name.
    pub order: String,
    /// The way by which it was read: `grpc` or `sse`, and the processor.
    pub by: String,
    /// The events, or the error of reading them.
    pub events: Result<Vec<Event>, String>,
}

/// The content of an order's pages at the end of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pages {
    /// The order's name.
    pub order: String,
    /// Each proposal's id, status and version.
    pub proposals: Vec<(String, String, u64)>,
    /// The ids of all follow-ups, questions and answers, with the sequence number of their event.
    pub said: Vec<(u64, String)>,
}

/// A process's metrics at the end of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The process's name.
    pub process: String,
    /// Each series with its value, without histograms.
    pub series: BTreeMap<String, f64>,
    /// Resident memory, kilobytes.
    pub rss_kb: u64,
    /// The number of open descriptors.
    pub descriptors: u64,
    /// The number of orders in its own list; `None` where it has no list.
    pub orders: Option<u64>,
}

/// A process that ended by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gone {
    /// The time at which this was found.
    pub t: Micros,
    /// The process's name.
    pub process: String,
    /// Its exit status.
    pub status: String,
}

/// The history that all tasks of a run write to.
#[derive(Clone, Debug)]
pub struct Recorder {
    began: Instant,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { began: Instant::now(), lines: Arc::default() }
    }
}

impl Recorder {
    /// Returns the microseconds since the run began.
    pub fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Writes one line.
    pub fn write(&self, line: Line) {
        self.lines.lock().push(line);
    }

    /// Returns all lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().clone()
    }
}

/// Writes a history to a file, one JSON object a line.
///
/// # Errors
/// When the file cannot be written.
pub fn save(lines: &[Line], path: &Path) -> std::io::Result<()> {
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
/// When the file cannot be read, or a line is not one of a history.
pub fn load(path: &Path) -> std::io::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)?;
    text.lines().map(|line| serde_json::from_str(line).map_err(Into::into)).collect()
}
