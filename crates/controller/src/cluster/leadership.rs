//! Whether this process leads, under which epoch, and until when it may believe so.

use std::sync::Arc;

use orderstream_core::Epoch;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Shared by the election, which sets it, and everybody who acts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    term: RwLock<Option<Term>>,
    changed: watch::Sender<Option<Epoch>>,
    /// The highest epoch that a processor was seen to know.
    floor: RwLock<Epoch>,
    raised: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    epoch: Epoch,
    until: Instant,
}

impl Default for Leadership {
    fn default() -> Self {
        Self(Arc::new(Inner {
            term: RwLock::new(None),
            changed: watch::Sender::new(None),
            floor: RwLock::default(),
            raised: Notify::new(),
        }))
    }
}

impl Leadership {
    /// The epoch under which this process may act now. A process that was stopped for a while
    /// finds here, before it does anything, that its time is over.
    pub fn epoch(&self) -> Option<Epoch> {
        let term = (*self.0.term.read())?;
        (Instant::now() < term.until).then_some(term.epoch)
    }

    /// Told when the epoch changes.
    pub fn changes(&self) -> watch::Receiver<Option<Epoch>> {
        self.0.changed.subscribe()
    }

    /// The lease is held until then.
    pub(super) fn set(&self, term: Option<(Epoch, Instant)>) {
        *self.0.term.write() = term.map(|(epoch, until)| Term { epoch, until });
        let epoch = term.map(|(epoch, _)| epoch);
        self.0.changed.send_if_modified(|held| {
            let is_new = *held != epoch;
            *held = epoch;
            is_new
        });
    }

    /// A processor knows this epoch; the own one has to be above it.
    pub fn raise_above(&self, floor: Epoch) {
        let mut held = self.0.floor.write();
        if floor > *held {
            *held = floor;
            drop(held);
            self.0.raised.notify_one();
        }
    }

    pub(super) fn floor(&self) -> Epoch {
        *self.0.floor.read()
    }

    pub(super) async fn raised(&self) {
        self.0.raised.notified().await;
    }
}
