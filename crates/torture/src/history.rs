//! What a run saw, as JSON lines: acts, what readers were told, views, faults, final lists.
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
    /// A client asked for something.
    Act(Act),
    /// A reader was told of an event.
    Told(Told),
    /// A stream came to its end, or was refused.
    Stream(Stream),
    /// Somebody looked at an order.
    View(View),
    /// Somebody looked at all orders.
    Roll(Roll),
    /// Something was broken for a while.
    Fault(Fault),
    /// An order's whole list, read when all was over.
    List(List),
    /// What an order's pages showed when all was over.
    Pages(Pages),
    /// A process's figures when all was over.
    Figures(Figures),
    /// A process ended by itself.
    Gone(Gone),
}

/// One attempt of one act. Attempts of the same act have the same token and key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// When it was sent.
    pub t_call: Micros,
    /// When it was answered, or given up.
    pub t_ret: Micros,
    /// The client.
    pub client: String,
    /// The seller that acts, or `buyer`.
    pub actor: String,
    /// By what way.
    pub over: Over,
    /// The order.
    pub order: String,
    /// What was asked for.
    pub op: Op,
    /// The idempotency key.
    pub key: String,
    /// Words in the body that nobody else used: they name the act in the order's list.
    pub token: String,
    /// The owner's epoch that it was sent with; 0 for none.
    pub epoch: u64,
    /// What came of it.
    pub result: Outcome,
}

/// What sort of reader heard something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// `ProcessOrderStream`, watching only.
    Observer,
    /// `ProcessOrderStream` as the order's owner.
    Tracker,
    /// Server-sent events.
    Sse,
    /// A seller's session, which has gaps.
    Session,
}

/// One event as one reader got it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// When it arrived.
    pub t: Micros,
    /// What sort of reader.
    pub reader: Reader,
    /// The reader's name.
    pub name: String,
    /// Which of its connections, from 1.
    pub connection: u32,
    /// After which number this connection asked.
    pub after: u64,
    /// The order.
    pub order: String,
    /// The event.
    pub event: Event,
}

/// One stream of a tracker, from its call to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// When it was asked for.
    pub t_call: Micros,
    /// When its first message came, if one did.
    pub t_first: Option<Micros>,
    /// When it ended.
    pub t_end: Micros,
    /// The reader's name.
    pub name: String,
    /// The order.
    pub order: String,
    /// The owner's epoch.
    pub epoch: u64,
    /// Why it ended; empty when the order ended.
    pub reason: String,
}

/// An order as one page showed it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The order's phase.
    pub phase: String,
    /// Its last event.
    pub last_seq: u64,
    /// The owner's epoch.
    pub epoch: u64,
    /// Proposals: received, open, withdrawn, closed.
    pub proposals: [u64; 4],
    /// Follow-ups.
    pub follow_ups: u64,
    /// Which life of the order.
    pub incarnation: String,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The order.
    Order(Seen),
    /// That there is no such order.
    Nothing,
}

/// One look at one order. Looks that were not answered are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// When it was asked for.
    pub t_call: Micros,
    /// When it was answered.
    pub t_ret: Micros,
    /// Which page: `tracking` or `order`.
    pub page: String,
    /// The order.
    pub order: String,
    /// What was there.
    pub found: Found,
    /// Whether it is the last look, when everything had time to settle.
    pub is_last: bool,
}

/// One look at `tracking/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roll {
    /// When it was asked for.
    pub t_call: Micros,
    /// When it was answered.
    pub t_ret: Micros,
    /// The orders in it.
    pub orders: Vec<String>,
    /// How many it says there are.
    pub total: u64,
}

/// Something that was broken for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// From when.
    pub t_start: Micros,
    /// Till when.
    pub t_end: Micros,
    /// What.
    pub what: String,
    /// To whom.
    pub whom: String,
}

/// An order's whole list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// The order.
    pub order: String,
    /// By what way it was read: `grpc` or `sse`, and at which processor.
    pub by: String,
    /// The events, or the reason why there are none.
    pub events: Result<Vec<Event>, String>,
}

/// What an order's pages showed when all was over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pages {
    /// The order.
    pub order: String,
    /// Each proposal's id, status and version.
    pub proposals: Vec<(String, String, u64)>,
    /// Ids of all that was asked, told and answered, by number of event.
    pub said: Vec<(u64, String)>,
}

/// A process's figures when all was over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The process.
    pub process: String,
    /// Each series with its value; histograms left out.
    pub series: BTreeMap<String, f64>,
    /// Resident memory, kilobytes.
    pub rss_kb: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// How many orders its own list has; `None` where it has no list.
    pub orders: Option<u64>,
}

/// A process that ended by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gone {
    /// When it was noticed.
    pub t: Micros,
    /// The process.
    pub process: String,
    /// How it ended.
    pub status: String,
}

/// Where all tasks of a run write what they saw.
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
    /// Microseconds since the run began.
    pub fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Writes one line.
    pub fn write(&self, line: Line) {
        self.lines.lock().push(line);
    }

    /// All lines so far.
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
/// When the file cannot be read, or a line is none of a history.
pub fn load(path: &Path) -> std::io::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)?;
    text.lines().map(|line| serde_json::from_str(line).map_err(Into::into)).collect()
}
