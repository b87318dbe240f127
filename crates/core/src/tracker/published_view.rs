//! The view of an order that was published to users. It must survive the process that published it,
//! so that nothing in it is ever taken back.

use serde::{Deserialize, Serialize};

use super::TrackerSnapshot;
use crate::id::{Epoch, Incarnation, Seq};
use crate::order::Phase;
use crate::summary::OrderSummary;

/// The view of an order that was published to users. Stored: fields are only ever added, each with
/// a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedView {
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The URL of the processor that held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<Box<str>>,
    /// The epoch of its stream.
    pub epoch: Epoch,
    /// The number of times that its stream came up again.
    pub reconnects: u32,
    /// The number of known follow-ups.
    #[serde(rename = "notes")]
    pub follow_up_count: u64,
    /// The order's summary; absent where only its end is known, from a store of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderSummary>,
    /// The phase in which the order ended; absent before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Phase>,
}

impl PublishedView {
    /// Makes the view of an order of which only its end is known.
    pub const fn only_ended(incarnation: Incarnation, ended: Phase) -> Self {
        let (epoch, ended) = (Epoch(0), Some(ended));
        Self {
            incarnation,
            processor: None,
            epoch,
            reconnects: 0,
            follow_up_count: 0,
            order: None,
            ended,
        }
    }

    /// Returns the last event that was published.
    pub fn last_seq(&self) -> Seq {
        self.order.as_ref().map_or(Seq(0), |order| order.last_seq)
    }

    /// Returns the view to publish after the snapshot's earlier one: the newer of the two in each
    /// part. `None` before the order's first event.
    pub(super) fn next(snapshot: &TrackerSnapshot) -> Option<Self> {
        let before = snapshot.published.as_deref();
        let order = snapshot.summary()?;
        let follow_up_count = u64::try_from(snapshot.follow_up_count).unwrap_or(u64::MAX);
        let stream = &snapshot.stream;
        let processor = stream.processor.as_deref().or_else(|| before?.processor.as_deref());
        let ended = Some(order.phase).filter(|phase| phase.is_terminal());
        Some(Self {
            incarnation: snapshot.incarnation.clone(),
            processor: processor.map(Into::into),
            epoch: before.map_or(stream.epoch, |before| stream.epoch.max(before.epoch)),
            reconnects: before.map_or(0, |before| before.reconnects).max(stream.reconnects),
            follow_up_count: before.map_or(0, |before| before.follow_up_count).max(follow_up_count),
            order: Some(order),
            ended: ended.or_else(|| before?.ended),
        })
    }
}
