//! Virtual time, the network, and the table of operations, which all players share.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_core::{Answer, Command, Epoch, Event, Reason, Seq};

use super::history::{Entry, History};
use super::rng::Rng;

/// The player that began an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asker {
    Client,
    /// A controller, by its index and the number of its process's start.
    Operator(usize, u64),
}

#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) asker: Asker,
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
pub(crate) enum Heard {
    Up,
    Event(Arc<Event>),
    End,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a test's queue is short")]
pub(crate) enum Happening {
    Sync(u64),
    PollProcessor,
    PollOperator(usize),
    Request(usize),
    Response(usize, Result<Answer, Reason>),
    Timeout(usize),
    OpenStream(StreamRequest),
    Hear { to: (usize, u64), order: usize, stream: u64, what: Heard },
    Seller(usize),
    Buyer,
    CrashProcessor,
    StartProcessor,
    CrashOperator(usize),
    StartOperator(usize),
    TakeOver,
    LeaseNoticed(usize, u64),
    ClockJump,
    Calm,
}

#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) t: u64,
    pub(crate) rng: Rng,
    pub(crate) calm: bool,
    pub(crate) history: History,
    pub(crate) ops: Vec<Op>,
    queue: BTreeMap<(u64, u64), Happening>,
    drawn: u64,
}

const TRIES_MAX: u32 = 8;
const TIMEOUT_MS: u64 = 400;

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            t: 0,
            rng: Rng::new(seed),
            calm: false,
            history: History::default(),
            ops: Vec::new(),
            queue: BTreeMap::new(),
            drawn: 0,
        }
    }

    /// Returns a number that was not used before in this run.
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    pub(crate) fn note(&mut self, entry: Entry) {
        self.history.entries.push(entry);
    }

    pub(crate) fn fault(&mut self, what: &'static str) {
        let t = self.t;
        self.note(Entry::Fault { t, what });
    }

    /// Returns true with this chance while faults are allowed.
    pub(crate) fn trouble(&mut self, per_mille: u64) -> bool {
        !self.calm && self.rng.chance(per_mille)
    }

    pub(crate) fn at(&mut self, t: u64, what: Happening) {
        let n = self.draw();
        self.queue.insert((t.max(self.t), n), what);
    }

    pub(crate) fn after(&mut self, ms: u64, what: Happening) {
        self.at(self.t + ms, what);
    }

    /// Sends over a network that loses, repeats and delays.
    pub(crate) fn send(&mut self, what: &Happening) {
        if self.trouble(80) {
            return;
        }
        let copies = if self.trouble(60) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.delay();
            self.after(delay, what.clone());
        }
    }

    pub(crate) fn delay(&mut self) -> u64 {
        if self.trouble(40) { self.rng.between(200, 6_000) } else { self.rng.between(1, 30) }
    }

    pub(crate) fn next(&mut self) -> Option<Happening> {
        let ((t, _), what) = self.queue.pop_first()?;
        self.t = t;
        Some(what)
    }

    /// Begins an operation and sends its request for the first time.
    pub(crate) fn call(&mut self, asker: Asker, order: usize, command: Command) -> usize {
        let (t, op) = (self.t, self.ops.len());
        self.note(Entry::Call { t, op, order, command: command.clone() });
        self.ops.push(Op { asker, order, command, done: false, tries: 0 });
        self.request(op);
        op
    }

    fn request(&mut self, op: usize) {
        self.ops[op].tries += 1;
        let tries = u64::from(self.ops[op].tries);
        self.send(&Happening::Request(op));
        self.after(TIMEOUT_MS * tries, Happening::Timeout(op));
    }

    /// Sends the same request again, under the same key, where no reply came in time.
    pub(crate) fn timeout(&mut self, op: usize) {
        if !self.ops[op].done && self.ops[op].tries < TRIES_MAX {
            self.request(op);
        }
    }

    pub(crate) fn returned(&mut self, op: usize, result: &Result<Answer, Reason>) {
        let t = self.t;
        self.ops[op].done = true;
        self.note(Entry::Return { t, op, result: result.clone() });
    }
}
