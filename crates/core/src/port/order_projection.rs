//! A projection of order status and follow-ups for other programs to read: a copy that is made from
//! the lists of events and can be rebuilt from them. The system never reads it as a source of
//! truth.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::Event;
use crate::id::{OrderIncarnation, Seq, Timestamp};

/// The progress of projecting an incarnation: the last event whose effects are all stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectionCursor {
    /// The event's sequence number; 0 when nothing is stored.
    pub seq: Seq,
    /// The event's time; absent when nothing is stored.
    pub at: Option<Timestamp>,
}

/// A fault of a projection. Nothing is lost by it: the list has the events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// It cannot be reached in time, or accepts nothing now: try again later.
    #[error("{0}")]
    Unavailable(String),
    /// Another process projected the incarnation meanwhile: read the cursor again.
    #[error("somebody else projected the order meanwhile")]
    Moved,
    /// It will not accept this: an operator must act.
    #[error("{0}")]
    Refused(String),
}

/// The future of a projection's result, within a deadline of its own.
pub type ProjectionFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, ProjectionError>> + Send + 'a>>;

/// A store of order status and follow-ups outside this system. The cursor of an incarnation is
/// stored together with the effects up to it, so that no crash can separate them.
pub trait OrderProjection: Send + Sync + Debug + 'static {
    /// Prepares the store. Repeating it changes nothing.
    fn prepare(&self) -> ProjectionFuture<'_, ()>;

    /// Returns the cursor of each of these incarnations, in their order.
    fn cursors<'a>(
        &'a self,
        incarnations: &'a [OrderIncarnation],
    ) -> ProjectionFuture<'a, Vec<ProjectionCursor>>;

    /// Stores the effects of the events that follow number `after`, without a gap, and moves the
    /// cursor to the last of them, if it is at `after`. Repeating it has no second effect.
    fn project<'a>(
        &'a self,
        incarnation: &'a OrderIncarnation,
        after: Seq,
        events: &'a [Arc<Event>],
    ) -> ProjectionFuture<'a, ()>;

    /// Removes all that is stored of an incarnation, so that it is projected from its first event
    /// again.
    fn remove<'a>(&'a self, incarnation: &'a OrderIncarnation) -> ProjectionFuture<'a, ()>;

    /// Closes its connections. No call comes after that.
    fn close(&self) -> ProjectionFuture<'_, ()>;
}
