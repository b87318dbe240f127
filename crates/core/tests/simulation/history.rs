//! What happened in one life, as the checker reads it.

use orderstream_core::plan::Desired;
use orderstream_core::{Answer, Command, Epoch, Event, Reason, Seq};

/// One line of a history. Orders are numbers; times are true milliseconds, whatever clocks say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A client, or a controller, asked for something; retries are the same operation.
    Call { t: u64, op: usize, order: usize, command: Command },
    /// An answer reached whoever asked. One operation can get several.
    Return { t: u64, op: usize, result: Result<Answer, Reason> },
    /// The owner let out what it had decided on a request, by its own clock, when its list had come
    /// this far.
    Decided { op: usize, order: usize, before: Seq, clock: i64, result: Result<Answer, Reason> },
    /// The owner decided an event, by its own clock, in the name of this epoch if it was a
    /// tracker's act.
    Append { order: usize, seq: Seq, epoch: Option<Epoch>, clock: i64 },
    /// The list is on disk up to here.
    Durable { order: usize, through: Seq },
    /// The owner's process ended, and what was not on disk with it.
    Crash { t: u64, order: usize, kept: Seq },
    /// The owner began to serve a tracker's stream.
    StreamOpen { order: usize, stream: u64, owner: (usize, u64), epoch: Epoch, after: Seq },
    /// The owner sent an event on a stream.
    Sent { stream: u64, seq: Seq },
    /// The owner stopped serving a stream.
    StreamClose { t: u64, order: usize, stream: u64 },
    /// A tracker asked for a stream that goes on after this number.
    Resume { tracker: u64, order: usize, after: Seq },
    /// A tracker took an event (above its removal of repeated ones).
    Deliver { t: u64, tracker: u64, order: usize, event: Event },
    /// A version of the order's status was written.
    Status { t: u64, order: usize, status: Status },
    /// Something was broken on purpose.
    Fault { t: u64, what: &'static str },
}

/// An order's status, as users see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Status {
    pub(crate) epoch: Epoch,
    pub(crate) observed: i64,
    pub(crate) last_seq: Seq,
    pub(crate) phase: &'static str,
}

/// How one order stood when all was calm again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Final {
    /// The owner's list, as on disk.
    pub(crate) list: Vec<Event>,
    /// What its resource wants.
    pub(crate) desired: Desired,
    /// What its resource says.
    pub(crate) status: Status,
    /// Whether the resource was removed.
    pub(crate) removed: bool,
}

/// One life.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    pub(crate) entries: Vec<Entry>,
    pub(crate) finals: Vec<Final>,
    /// How long all had been calm at the end, milliseconds.
    pub(crate) calm_ms: u64,
    /// The owner's clock at the end, milliseconds.
    pub(crate) owner_clock: i64,
}
