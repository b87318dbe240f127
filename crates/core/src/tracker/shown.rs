//! An order as users were shown it: what has to survive whoever shows it, so that nothing of it is
//! taken back.

use serde::{Deserialize, Serialize};

use super::Snapshot;
use crate::id::{Epoch, Incarnation, Seq};
use crate::order::Phase;
use crate::summary::Summary;

/// An order as users were shown it. Stored: fields are only ever added, each with a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// The processor that held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<Box<str>>,
    /// The fencing number of its stream.
    pub epoch: Epoch,
    /// How often its stream came up again.
    pub reconnects: u32,
    /// Follow-ups known.
    pub notes: u64,
    /// The order itself; absent where only its end is known, from a store of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Summary>,
    /// The order's end, once it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Phase>,
}

impl Shown {
    /// An order of which only its end is known.
    pub const fn only_ended(incarnation: Incarnation, ended: Phase) -> Self {
        let (epoch, ended) = (Epoch(0), Some(ended));
        Self { incarnation, processor: None, epoch, reconnects: 0, notes: 0, order: None, ended }
    }

    /// The last event that was shown.
    pub fn last_seq(&self) -> Seq {
        self.order.as_ref().map_or(Seq(0), |order| order.last_seq)
    }

    /// What is to be shown after this one was: the snapshot, and of whatever in it is behind what
    /// was shown before, that. `None` before the order's first event.
    pub(super) fn next(snapshot: &Snapshot) -> Option<Self> {
        let before = snapshot.shown.as_deref();
        let order = snapshot.summary()?;
        let notes = u64::try_from(snapshot.notes).unwrap_or(u64::MAX);
        let stream = &snapshot.stream;
        let processor = stream.processor.as_deref().or_else(|| before?.processor.as_deref());
        let ended = Some(order.phase).filter(|phase| phase.is_terminal());
        Some(Self {
            incarnation: snapshot.incarnation.clone(),
            processor: processor.map(Into::into),
            epoch: before.map_or(stream.epoch, |before| stream.epoch.max(before.epoch)),
            reconnects: before.map_or(0, |before| before.reconnects).max(stream.reconnects),
            notes: before.map_or(0, |before| before.notes).max(notes),
            order: Some(order),
            ended: ended.or_else(|| before?.ended),
        })
    }
}
