//! The history of one run, as the checker reads it.

use orderstream_core::plan::DesiredOrder;
use orderstream_core::{Command, Epoch, Event, Reason, Reply, Seq};

/// One line of a history. Orders are numbers; times are true milliseconds, whatever clocks say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A client, or a controller, began an operation; retries are the same operation.
    Call { time_ms: u64, operation: usize, order: usize, command: Command },
    /// A reply reached the one who began the operation. One operation can get several.
    Return { time_ms: u64, operation: usize, result: Result<Reply, Reason> },
    /// The owner released its decision on a request, which it made by its own clock when its list
    /// was this long.
    Decided {
        operation: usize,
        order: usize,
        before: Seq,
        clock: i64,
        result: Result<Reply, Reason>,
    },
    /// The owner decided an event, by its own clock, in the name of this epoch if it was a
    /// tracker's command.
    Append { order: usize, seq: Seq, epoch: Option<Epoch>, clock: i64 },
    /// The list is on disk up to this sequence number.
    Durable { order: usize, through: Seq },
    /// The owner's process ended, and everything that was not on disk was lost.
    Crash { time_ms: u64, order: usize, durable_through: Seq },
    /// The owner began to serve a tracker's stream.
    StreamOpen { order: usize, stream: u64, owner: (usize, u64), epoch: Epoch, after: Seq },
    /// The owner sent an event on a stream.
    Sent { stream: u64, seq: Seq },
    /// The owner stopped serving a stream.
    StreamClose { time_ms: u64, order: usize, stream: u64 },
    /// A tracker requested a stream that continues after this sequence number.
    Resume { tracker: u64, order: usize, after: Seq },
    /// A tracker received an event (after it dropped repeated ones).
    Deliver { time_ms: u64, tracker: u64, order: usize, event: Event },
    /// A version of the order's status was written.
    Status { time_ms: u64, order: usize, status: Status },
    /// A fault was injected.
    Fault { time_ms: u64, fault: &'static str },
}

/// An order's status, as users see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Status {
    pub(crate) epoch: Epoch,
    pub(crate) observed: i64,
    pub(crate) last_seq: Seq,
    pub(crate) phase: &'static str,
}

/// The state of one order once all faults were over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FinalState {
    /// The owner's list, as on disk.
    pub(crate) list: Vec<Event>,
    /// The desired state in its resource.
    pub(crate) desired: DesiredOrder,
    /// The status of its resource.
    pub(crate) status: Status,
    /// The resource was removed.
    pub(crate) removed: bool,
}

/// The history of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    pub(crate) entries: Vec<Entry>,
    pub(crate) finals: Vec<FinalState>,
    /// The time since the last fault at the end, milliseconds.
    pub(crate) calm_ms: u64,
    /// The owner's clock at the end, milliseconds.
    pub(crate) owner_clock: i64,
}
