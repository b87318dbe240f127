//! Virtual time, the network, and the table of operations, which all participants share.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_core::{Command, Epoch, Event, Reason, Reply, Seq};

use super::history::{Entry, History};
use super::rng::Rng;

/// The participant that began an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Initiator {
    Client,
    /// A controller, by its index and the number of its process's start.
    Operator(usize, u64),
}

#[derive(Debug)]
pub(crate) struct SimOperation {
    pub(crate) initiator: Initiator,
    pub(crate) order: usize,
    pub(crate) command: Command,
    pub(crate) done: bool,
    pub(crate) tries: u32,
}

/// A tracker's request for a stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamRequest {
    /// The operator's index, and the number of its process's start.
    pub(crate) from: (usize, u64),
    pub(crate) order: usize,
    pub(crate) stream: u64,
    pub(crate) epoch: Epoch,
    pub(crate) after: Seq,
    pub(crate) open: Command,
}

/// A message of a stream to its tracker.
#[derive(Clone, Debug)]
pub(crate) enum StreamMessage {
    Up,
    Event(Arc<Event>),
    End,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a test's queue is short")]
pub(crate) enum SimEvent {
    Sync(u64),
    PollProcessor,
    PollOperator(usize),
    Request(usize),
    Response(usize, Result<Reply, Reason>),
    Timeout(usize),
    OpenStream(StreamRequest),
    DeliverMessage { to: (usize, u64), order: usize, stream: u64, message: StreamMessage },
    Seller(usize),
    Buyer,
    CrashProcessor,
    StartProcessor,
    CrashOperator(usize),
    StartOperator(usize),
    TakeOver,
    LeaseObserved(usize, u64),
    ClockJump,
    Calm,
}

#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) now_ms: u64,
    pub(crate) rng: Rng,
    pub(crate) calm: bool,
    pub(crate) history: History,
    pub(crate) operations: Vec<SimOperation>,
    queue: BTreeMap<(u64, u64), SimEvent>,
    drawn: u64,
}

const TRIES_MAX: u32 = 8;
const TIMEOUT_MS: u64 = 400;

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now_ms: 0,
            rng: Rng::new(seed),
            calm: false,
            history: History::default(),
            operations: Vec::new(),
            queue: BTreeMap::new(),
            drawn: 0,
        }
    }

    /// Returns a number that was not used before in this run.
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    pub(crate) fn record(&mut self, entry: Entry) {
        self.history.entries.push(entry);
    }

    pub(crate) fn fault(&mut self, fault: &'static str) {
        let time_ms = self.now_ms;
        self.record(Entry::Fault { time_ms, fault });
    }

    /// Returns true with this chance while faults are allowed.
    pub(crate) fn draw_fault(&mut self, per_mille: u64) -> bool {
        !self.calm && self.rng.chance(per_mille)
    }

    pub(crate) fn at(&mut self, time_ms: u64, event: SimEvent) {
        let n = self.draw();
        self.queue.insert((time_ms.max(self.now_ms), n), event);
    }

    pub(crate) fn after(&mut self, ms: u64, event: SimEvent) {
        self.at(self.now_ms + ms, event);
    }

    /// Sends over a network that loses, repeats and delays.
    pub(crate) fn send(&mut self, event: &SimEvent) {
        if self.draw_fault(80) {
            return;
        }
        let copies = if self.draw_fault(60) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.delay();
            self.after(delay, event.clone());
        }
    }

    pub(crate) fn delay(&mut self) -> u64 {
        if self.draw_fault(40) { self.rng.between(200, 6_000) } else { self.rng.between(1, 30) }
    }

    pub(crate) fn next(&mut self) -> Option<SimEvent> {
        let ((time_ms, _), event) = self.queue.pop_first()?;
        self.now_ms = time_ms;
        Some(event)
    }

    /// Begins an operation and sends its request for the first time.
    pub(crate) fn call(&mut self, initiator: Initiator, order: usize, command: Command) -> usize {
        let (time_ms, operation) = (self.now_ms, self.operations.len());
        self.record(Entry::Call { time_ms, operation, order, command: command.clone() });
        self.operations.push(SimOperation { initiator, order, command, done: false, tries: 0 });
        self.request(operation);
        operation
    }

    fn request(&mut self, operation: usize) {
        self.operations[operation].tries += 1;
        let tries = u64::from(self.operations[operation].tries);
        self.send(&SimEvent::Request(operation));
        self.after(TIMEOUT_MS * tries, SimEvent::Timeout(operation));
    }

    /// Sends the same request again, under the same key, where no reply came in time.
    pub(crate) fn timeout(&mut self, operation: usize) {
        if !self.operations[operation].done && self.operations[operation].tries < TRIES_MAX {
            self.request(operation);
        }
    }

    pub(crate) fn returned(&mut self, operation: usize, result: &Result<Reply, Reason>) {
        let time_ms = self.now_ms;
        self.operations[operation].done = true;
        self.record(Entry::Return { time_ms, operation, result: result.clone() });
    }
}
