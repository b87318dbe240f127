//! The owner's shell: a book for each order, a disk, and at most one tracker stream for each order.
//!
//! Events are queued, then synced; replies and events leave only after that. Grants are stored
//! before their stream starts.

use std::sync::Arc;

use orderstream_core::book::{Book, Context};
use orderstream_core::command::CommandKind;
use orderstream_core::seal;
use orderstream_core::{
    Command, Epoch, Event, EventKind, ProposalId, Refusal, Reply, Seq, Timestamp, Withheld,
};

use super::history::Entry;
use super::sim::{Sim, SimEvent, StreamMessage, StreamRequest};
use super::world::order_key;

/// The wall clock at the world's beginning.
pub(crate) const WALL_0: i64 = 1_790_000_000_000;

#[derive(Debug)]
struct PendingReply {
    order: usize,
    operation: usize,
    /// The last sequence number before the request, and the owner's clock then.
    decided_at: (Seq, i64),
    reply: Withheld<Result<Reply, Refusal>>,
}

#[derive(Debug)]
struct ServedStream {
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
    incarnation: u64,
    fresh: u64,
    lists: Vec<Vec<Arc<Event>>>,
    pending_replies: Vec<PendingReply>,
    starting: Vec<StreamRequest>,
    streams: Vec<Option<ServedStream>>,
    sync_due: bool,
}

impl Processor {
    pub(crate) fn new(orders: usize) -> Self {
        Self {
            up: true,
            disk: super::disk::Disk::new(orders),
            books: (0..orders).map(|order| Book::new(order_key(order))).collect(),
            clock_offset: 0,
            incarnation: 1,
            fresh: 0,
            lists: vec![Vec::new(); orders],
            pending_replies: Vec::new(),
            starting: Vec::new(),
            streams: (0..orders).map(|_| None).collect(),
            sync_due: false,
        }
    }

    pub(crate) fn clock(&self, sim: &Sim) -> Timestamp {
        Timestamp(WALL_0 + i64::try_from(sim.now_ms).unwrap() + self.clock_offset)
    }

    pub(crate) fn list(&self, order: usize) -> &[Arc<Event>] {
        &self.lists[order]
    }

    fn step(
        &mut self,
        sim: &mut Sim,
        order: usize,
        command: &Command,
    ) -> Withheld<Result<Reply, Refusal>> {
        self.fresh += 1;
        let fresh_id = ProposalId::new(format!("p{}-{}", self.incarnation, self.fresh)).ok();
        let context = Context { now: self.clock(sim), fresh_id };
        let output = self.books[order].step(&context, command);
        let events: Vec<Arc<Event>> = output.events.into_iter().map(Arc::new).collect();
        for event in &events {
            // An event that the clock causes comes from no command.
            let is_due = event.cause.is_none()
                && matches!(
                    event.kind,
                    EventKind::OrderPaused { expired: true, .. }
                        | EventKind::ProposalsOpened { .. }
                        | EventKind::ProposalClosed { .. }
                        | EventKind::OrderFinalised { .. }
                );
            let epoch = command.epoch.filter(|_| !is_due);
            sim.record(Entry::Append { order, seq: event.seq, epoch, clock: context.now.0 });
        }
        if !events.is_empty() {
            self.lists[order].extend(events.iter().cloned());
            self.disk.write(super::disk::Record::Events { order, events });
        }
        output.reply
    }

    pub(crate) fn request(&mut self, sim: &mut Sim, operation: usize) {
        if !self.up {
            return;
        }
        let (order, command) =
            (sim.operations[operation].order, sim.operations[operation].command.clone());
        self.fence(order, command.epoch);
        let decided_at = (self.books[order].last_seq(), self.clock(sim).0);
        let reply = self.step(sim, order, &command);
        self.pending_replies.push(PendingReply { order, operation, decided_at, reply });
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
                drop(self.step(sim, order, &Command::bare(CommandKind::Tick)));
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
            return self.refuse_stream(sim, &request);
        };
        if is_new {
            let (order, epoch) = (request.order, request.epoch);
            self.disk.write(super::disk::Record::Grant { order, epoch });
        }
        drop(self.step(sim, request.order, &request.open));
        let ahead = request.after > self.books[request.order].last_seq();
        if ahead || self.books[request.order].order().is_none() {
            self.refuse_stream(sim, &request);
        } else {
            self.starting.push(request);
        }
        self.settle(sim);
    }

    fn refuse_stream(&self, sim: &mut Sim, request: &StreamRequest) {
        let (to, order, stream) = (request.from, request.order, request.stream);
        sim.send(&SimEvent::DeliverMessage { to, order, stream, message: StreamMessage::End });
    }

    /// Releases what may leave now, and schedules a sync for the rest.
    fn settle(&mut self, sim: &mut Sim) {
        for pending in std::mem::take(&mut self.pending_replies) {
            let PendingReply { order, operation, decided_at, reply } = pending;
            match reply.release(&self.disk.proof(order)) {
                Ok(result) => {
                    let result = result.map_err(|refusal| refusal.reason);
                    let (before, clock) = decided_at;
                    let decided = result.clone();
                    sim.record(Entry::Decided { operation, order, before, clock, result: decided });
                    sim.send(&SimEvent::Response(operation, result));
                }
                Err(reply) => {
                    self.pending_replies.push(PendingReply { order, operation, decided_at, reply })
                }
            }
        }
        if self.disk.is_dirty() {
            if !self.sync_due {
                self.sync_due = true;
                let slow = sim.draw_fault(100);
                let delay = sim.rng.between(1, if slow { 400 } else { 10 });
                sim.after(delay, SimEvent::Sync(self.incarnation));
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

    pub(crate) fn sync(&mut self, sim: &mut Sim, incarnation: u64) {
        if !self.up || incarnation != self.incarnation {
            return;
        }
        self.sync_due = false;
        self.disk.sync();
        for order in 0..self.books.len() {
            let through = self.disk.proof(order).seq();
            sim.record(Entry::Durable { order, through });
        }
        self.settle(sim);
    }

    fn start_stream(&mut self, sim: &mut Sim, request: &StreamRequest) {
        if self.books[request.order].grant(request.epoch).is_err() {
            // A higher epoch was granted while this one waited for the disk.
            return self.refuse_stream(sim, request);
        }
        let (order, after) = (request.order, request.after);
        self.close_stream(sim, order);
        let (id, to) = (request.stream, request.from);
        let epoch = request.epoch;
        sim.record(Entry::StreamOpen { order, stream: id, owner: to, epoch, after });
        let busy_until = sim.now_ms + sim.delay();
        sim.at(
            busy_until,
            SimEvent::DeliverMessage { to, order, stream: id, message: StreamMessage::Up },
        );
        self.streams[order] = Some(ServedStream { id, to, cursor: after, busy_until });
    }

    /// Ends an order's stream; its tracker learns of it later.
    fn close_stream(&mut self, sim: &mut Sim, order: usize) {
        if let Some(old) = self.streams[order].take() {
            let (time_ms, stream) = (sim.now_ms, old.id);
            sim.record(Entry::StreamClose { time_ms, order, stream });
            let late = old.busy_until + sim.delay();
            sim.at(
                late,
                SimEvent::DeliverMessage { to: old.to, order, stream, message: StreamMessage::End },
            );
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
            sim.record(Entry::Sent { stream: id, seq: event.seq });
            let lost = sim.draw_fault(20);
            let message = if lost { StreamMessage::End } else { StreamMessage::Event(event) };
            let mut arrival = (sim.now_ms + sim.rng.between(1, 20)).max(stream.busy_until);
            let delivery = SimEvent::DeliverMessage { to: stream.to, order, stream: id, message };
            if sim.draw_fault(20) {
                let again = arrival + sim.rng.between(1, 50);
                sim.at(again, delivery.clone());
            }
            if lost || sim.draw_fault(10) {
                arrival += sim.rng.between(5, 3_000);
            } else {
                stream.busy_until = arrival;
            }
            sim.at(arrival, delivery);
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
            let durable_through = self.disk.proof(order).seq();
            sim.record(Entry::Crash { time_ms: sim.now_ms, order, durable_through });
        }
        self.pending_replies.clear();
        self.starting.clear();
        let down_ms = sim.rng.between(20, 2_000);
        sim.after(down_ms, SimEvent::StartProcessor);
    }

    /// Rebuilds everything from the disk.
    pub(crate) fn start(&mut self) {
        if self.up {
            return;
        }
        self.up = true;
        self.incarnation += 1;
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
