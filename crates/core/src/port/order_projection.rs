//! Order status and follow-ups where others read them: a copy that is made from the lists of events
//! and can be made again from them. It is never asked for the truth.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::Event;
use crate::id::{Incarnation, OrderKey, Seq, Timestamp};

/// One life of an order: what a list of events is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderLife {
    /// Whose, and which number.
    pub key: OrderKey,
    /// Which life of the name.
    pub incarnation: Incarnation,
}

/// How far a life is projected: the last event whose effects are all kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Its number; 0 when nothing is kept.
    pub seq: Seq,
    /// When it was; absent when nothing is kept.
    pub at: Option<Timestamp>,
}

/// Why a projection did not do what it was asked. Nothing is lost by it: the list has the events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// It is not reached in time, or takes nothing at the moment: ask again later.
    #[error("{0}")]
    Unavailable(String),
    /// Somebody else projected the life meanwhile: read the cursor again.
    #[error("somebody else projected the order meanwhile")]
    Moved,
    /// It will not take this: a person must look.
    #[error("{0}")]
    Refused(String),
}

/// An answer of a projection, within a deadline of its own.
pub type Projected<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProjectionError>> + Send + 'a>>;

/// Keeps order status and follow-ups outside. The cursor of a life is kept together with what it
/// stands for, so that no crash can part them.
pub trait OrderProjection: Send + Sync + Debug + 'static {
    /// Makes the place ready. Saying it again changes nothing.
    fn prepare(&self) -> Projected<'_, ()>;

    /// How far each of these lives is projected, in the order in which they are named.
    fn cursors<'a>(&'a self, lives: &'a [OrderLife]) -> Projected<'a, Vec<Cursor>>;

    /// Keeps the effects of the events that follow number `after`, without a gap, and moves the
    /// cursor to the last of them, if it is at `after`. Repeating it has no second effect.
    fn project<'a>(
        &'a self,
        life: &'a OrderLife,
        after: Seq,
        events: &'a [Arc<Event>],
    ) -> Projected<'a, ()>;

    /// Removes all that is kept of a life, so that it is projected from its first event again.
    fn forget<'a>(&'a self, life: &'a OrderLife) -> Projected<'a, ()>;

    /// Ends its connections. Nothing is asked of it after that.
    fn close(&self) -> Projected<'_, ()>;
}
