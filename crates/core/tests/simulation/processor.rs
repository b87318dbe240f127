//! The owner's shell: a book for each order, a disk, and at most one tracker stream for each order.
//!
//! Events are queued, then synced; replies and events leave only after that. Grants are stored
//! before their stream starts.

use std::sync::Arc;

use orderstream_core::book::{Book, Context};
use orderstream_core::command::Act;
use orderstream_core::seal;
use orderstream_core::{
    Answer, Command, Epoch, Event, EventKind, ProposalId, Refusal, Seq, Timestamp, Withheld,
};

use super::history::Entry;
use super::sim::{Happening, Heard, Sim, StreamRequest};
use super::world::order_key;

/// The wall clock at the world's beginning.
pub(crate) const WALL_0: i64 = 1_790_000_000_000;

#[derive(Debug)]
struct Waiting {
    order: usize,
    op: usize,
    /// The last sequence number before the request, and the owner's clock then.
    seen: (Seq, i64),
    answer: Withheld<Result<Answer, Refusal>>,
}

#[derive(Debug)]
struct Stream {
    id: u64,
    to: (usize, u64),
    cursor: Seq,
    /// The time at which the last message sent will have arrived: a connection keeps the order.
    busy_until: u64,
}

#[derive(Debug)]
pub(crate) struct Processor {
    pub(crate) up: bool,
    pub(crate) disk: super::disk::Disk,
    pub(crate) books: Vec<Book>,
    pub(crate) clock_offset: i64,
    life: u64,
    fresh: u64,
    lists: Vec<Vec<Arc<Event>>>,
    waiting: Vec<Waiting>,
    starting: Vec<StreamRequest>,
    streams: Vec<Option<Stream>>,
    sync_due: bool,
}

impl Processor {
    pub(crate) fn new(orders: usize) -> Self {
        Self {
            up: true,
            disk: super::disk::Disk::new(orders),
            books: (0..orders).map(|order| Book::new(order_key(order))).collect(),
            clock_offset: 0,
            life: 1,
            fresh: 0,
            lists: vec![Vec::new(); orders],
            waiting: Vec::new(),
            starting: Vec::new(),
            streams: (0..orders).map(|_| None).collect(),
            sync_due: false,
        }
    }

    pub(crate) fn clock(&self, sim: &Sim) -> Timestamp {
        Timestamp(WALL_0 + i64::try_from(sim.t).unwrap() + self.clock_offset)
    }

    pub(crate) fn list(&self, order: usize) -> &[Arc<Event>] {
        &self.lists[order]
    }

    fn step(
        &mut self,
        sim: &mut Sim,
        order: usize,
        command: &Command,
    ) -> Withheld<Result<Answer, Refusal>> {
        self.fresh += 1;
        let fresh_id = ProposalId::new(format!("p{}-{}", self.life, self.fresh)).ok();
        let context = Context { now: self.clock(sim), fresh_id };
        let output = self.books[order].step(&context, command);
        let events: Vec<Arc<Event>> = output.events.into_iter().map(Arc::new).collect();
        for event in &events {
            // What the clock demands comes from no command.
            let is_due = event.cause.is_none()
                && matches!(
                    event.kind,
                    EventKind::OrderPaused { expired: true, .. }
                        | EventKind::ProposalsOpened { .. }
                        | EventKind::ProposalClosed { .. }
                        | EventKind::OrderFinalised { .. }
                );
            let epoch = command.epoch.filter(|_| !is_due);
            sim.note(Entry::Append { order, seq: event.seq, epoch, clock: context.now.0 });
        }
        if !events.is_empty() {
            self.lists[order].extend(events.iter().cloned());
            self.disk.write(super::disk::Record::Events { order, events });
        }
        output.answer
    }

    pub(crate) fn request(&mut self, sim: &mut Sim, op: usize) {
        if !self.up {
            return;
        }
        let (order, command) = (sim.ops[op].order, sim.ops[op].command.clone());
        self.fence(order, command.epoch);
        let seen = (self.books[order].last_seq(), self.clock(sim).0);
        let answer = self.step(sim, order, &command);
        self.waiting.push(Waiting { order, op, seen, answer });
        self.settle(sim);
    }

    /// Also grants the epoch of a newer lead's command.
    fn fence(&mut self, order: usize, epoch: Option<Epoch>) {
        let book = &mut self.books[order];
        if let Some(epoch) = epoch
            && book.order().is_some()
            && book.grant(epoch).is_ok_and(|is_new| is_new)
        {
            self.disk.write(super::disk::Record::Grant { order, epoch });
        }
    }

    /// Checks the clock for every order.
    pub(crate) fn poll(&mut self, sim: &mut Sim) {
        if !self.up {
            return;
        }
        let now = self.clock(sim);
        for order in 0..self.books.len() {
            if self.books[order].deadline().is_some_and(|deadline| deadline <= now) {
                drop(self.step(sim, order, &Command::bare(Act::Tick)));
            }
        }
        self.settle(sim);
    }

    pub(crate) fn open_stream(&mut self, sim: &mut Sim, request: StreamRequest) {
        if !self.up {
            return;
        }
        let granted = self.books[request.order].grant(request.epoch);
        let Ok(is_new) = granted else {
            return self.hang_up(sim, &request);
        };
        if is_new {
            let (order, epoch) = (request.order, request.epoch);
            self.disk.write(super::disk::Record::Grant { order, epoch });
        }
        drop(self.step(sim, request.order, &request.open));
        let ahead = request.after > self.books[request.order].last_seq();
        if ahead || self.books[request.order].order().is_none() {
            self.hang_up(sim, &request);
        } else {
            self.starting.push(request);
        }
        self.settle(sim);
    }

    fn hang_up(&self, sim: &mut Sim, request: &StreamRequest) {
        let (to, order, stream) = (request.from, request.order, request.stream);
        sim.send(&Happening::Hear { to, order, stream, what: Heard::End });
    }

    /// Releases what may leave now, and schedules a sync for the rest.
    fn settle(&mut self, sim: &mut Sim) {
        for waiting in std::mem::take(&mut self.waiting) {
            let Waiting { order, op, seen, answer } = waiting;
            match answer.release(&self.disk.proof(order)) {
                Ok(result) => {
                    let result = result.map_err(|refusal| refusal.reason);
                    let (before, clock) = seen;
                    let decided = result.clone();
                    sim.note(Entry::Decided { op, order, before, clock, result: decided });
                    sim.send(&Happening::Response(op, result));
                }
                Err(answer) => self.waiting.push(Waiting { order, op, seen, answer }),
            }
        }
        if self.disk.is_dirty() {
            if !self.sync_due {
                self.sync_due = true;
                let slow = sim.trouble(100);
                let delay = sim.rng.between(1, if slow { 400 } else { 10 });
                sim.after(delay, Happening::Sync(self.life));
            }
        } else {
            for request in std::mem::take(&mut self.starting) {
                self.start_stream(sim, &request);
            }
        }
        for order in 0..self.streams.len() {
            self.pump(sim, order);
        }
    }

    pub(crate) fn sync(&mut self, sim: &mut Sim, life: u64) {
        if !self.up || life != self.life {
            return;
        }
        self.sync_due = false;
        self.disk.sync();
        for order in 0..self.books.len() {
            let through = self.disk.proof(order).seq();
            sim.note(Entry::Durable { order, through });
        }
        self.settle(sim);
    }

    fn start_stream(&mut self, sim: &mut Sim, request: &StreamRequest) {
        if self.books[request.order].grant(request.epoch).is_err() {
            // A higher epoch was granted while this one waited for the disk.
            return self.hang_up(sim, request);
        }
        let (order, after) = (request.order, request.after);
        self.close_stream(sim, order);
        let (id, to) = (request.stream, request.from);
        let epoch = request.epoch;
        sim.note(Entry::StreamOpen { order, stream: id, owner: to, epoch, after });
        let busy_until = sim.t + sim.delay();
        sim.at(busy_until, Happening::Hear { to, order, stream: id, what: Heard::Up });
        self.streams[order] = Some(Stream { id, to, cursor: after, busy_until });
    }

    /// Ends an order's stream; its tracker learns of it later.
    fn close_stream(&mut self, sim: &mut Sim, order: usize) {
        if let Some(old) = self.streams[order].take() {
            let (t, stream) = (sim.t, old.id);
            sim.note(Entry::StreamClose { t, order, stream });
            let late = old.busy_until + sim.delay();
            sim.at(late, Happening::Hear { to: old.to, order, stream, what: Heard::End });
        }
    }

    /// Sends the events that are on disk and were not sent. A lost message is a broken connection,
    /// of which the tracker learns late; messages can also come twice or too late.
    fn pump(&mut self, sim: &mut Sim, order: usize) {
        let through = self.disk.proof(order).seq();
        let sealed = self.is_sealed(order, through);
        let Some(stream) = self.streams[order].as_mut() else { return };
        let id = stream.id;
        while stream.cursor < through {
            let index = usize::try_from(stream.cursor.0).unwrap();
            let event = &self.lists[order][index];
            let event = if sealed { seal::event(event) } else { Arc::clone(event) };
            stream.cursor = stream.cursor.next();
            sim.note(Entry::Sent { stream: id, seq: event.seq });
            let lost = sim.trouble(20);
            let what = if lost { Heard::End } else { Heard::Event(event) };
            let mut arrival = (sim.t + sim.rng.between(1, 20)).max(stream.busy_until);
            let hear = Happening::Hear { to: stream.to, order, stream: id, what };
            if sim.trouble(20) {
                let again = arrival + sim.rng.between(1, 50);
                sim.at(again, hear.clone());
            }
            if lost || sim.trouble(10) {
                arrival += sim.rng.between(5, 3_000);
            } else {
                stream.busy_until = arrival;
            }
            sim.at(arrival, hear);
        }
    }

    /// Reports whether the order is sealed, and its opening is not on disk yet.
    fn is_sealed(&self, order: usize, through: Seq) -> bool {
        let is_opening = |event: &Arc<Event>| {
            event.seq <= through && matches!(event.kind, EventKind::ProposalsOpened { .. })
        };
        self.books[order].order().is_some_and(|held| held.spec.sealed)
            && !self.lists[order].iter().any(is_opening)
    }

    pub(crate) fn crash(&mut self, sim: &mut Sim) {
        if !self.up {
            return;
        }
        sim.fault("processor crash");
        self.up = false;
        self.disk.crash(&mut sim.rng);
        for order in 0..self.books.len() {
            self.close_stream(sim, order);
            let kept = self.disk.proof(order).seq();
            sim.note(Entry::Crash { t: sim.t, order, kept });
        }
        self.waiting.clear();
        self.starting.clear();
        let down_ms = sim.rng.between(20, 2_000);
        sim.after(down_ms, Happening::StartProcessor);
    }

    /// Rebuilds everything from the disk.
    pub(crate) fn start(&mut self) {
        if self.up {
            return;
        }
        self.up = true;
        self.life += 1;
        self.sync_due = false;
        for order in 0..self.books.len() {
            self.books[order] = Book::new(order_key(order));
            self.lists[order].clear();
        }
        for record in self.disk.stored() {
            match record {
                super::disk::Record::Events { order, events } => {
                    for event in events {
                        self.books[*order].replay(event).expect("a stored list has no gap");
                        self.lists[*order].push(Arc::clone(event));
                    }
                }
                super::disk::Record::Grant { order, epoch } => {
                    self.books[*order].replay_grant(*epoch);
                }
            }
        }
    }

    /// Returns the last event of the order's list that is on disk.
    pub(crate) fn through(&self, order: usize) -> Seq {
        self.disk.proof(order).seq()
    }
}
