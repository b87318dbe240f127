//! A disk with a write buffer. Records that were not synced may be lost in a crash, in the order of
//! writing.

use std::sync::Arc;

use orderstream_core::withheld::ListHash;
use orderstream_core::{Durable, Epoch, Event, Seq};

use super::rng::Rng;

/// A record that is written atomically.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Events { order: usize, events: Vec<Arc<Event>> },
    Grant { order: usize, epoch: Epoch },
}

/// A proof that a list is on disk up to some sequence number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof(Seq);

impl Proof {
    pub(crate) const fn seq(self) -> Seq {
        self.0
    }
}

impl Durable for Proof {
    fn proves(&self, _: ListHash, until: Seq) -> bool {
        self.0 >= until
    }
}

#[derive(Debug)]
pub(crate) struct Disk {
    stored: Vec<Record>,
    buffer: Vec<Record>,
    through: Vec<Seq>,
}

impl Disk {
    pub(crate) fn new(orders: usize) -> Self {
        Self { stored: Vec::new(), buffer: Vec::new(), through: vec![Seq(0); orders] }
    }

    pub(crate) fn write(&mut self, record: Record) {
        self.buffer.push(record);
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.buffer.is_empty()
    }

    pub(crate) fn sync(&mut self) {
        let count = self.buffer.len();
        self.flush(count);
    }

    /// Loses the buffer, except for what the system happened to write already.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let written = if rng.chance(600) { 0 } else { rng.index(self.buffer.len() + 1) };
        self.flush(written);
        self.buffer.clear();
    }

    fn flush(&mut self, count: usize) {
        for record in self.buffer.drain(..count) {
            if let Record::Events { order, events } = &record
                && let Some(last) = events.last()
            {
                self.through[*order] = last.seq;
            }
            self.stored.push(record);
        }
    }

    pub(crate) fn proof(&self, order: usize) -> Proof {
        Proof(self.through[order])
    }

    pub(crate) fn stored(&self) -> &[Record] {
        &self.stored
    }
}
