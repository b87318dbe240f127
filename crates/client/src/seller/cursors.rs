//! Where a seller goes on after its program was started again.

use std::collections::BTreeMap;
use std::fmt::Debug;

use orderstream_core::{Incarnation, OrderKey, Seq};

/// A place in one order's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which order.
    pub order: OrderKey,
    /// Which life of the name, where it is known.
    pub incarnation: Option<Incarnation>,
    /// The last event that is safe with the seller.
    pub seq: Seq,
}

/// Keeps a seller's cursors: in memory ([`InMemory`]), or where the program stores the rest of what
/// it knows. What it forgets is heard again from the first event on.
///
/// ```
/// use orderstream_client::{Cursor, Cursors, OrderKey};
///
/// /// Keeps them in a file of one line for each step.
/// #[derive(Debug)]
/// struct InFile(std::path::PathBuf);
///
/// impl Cursors for InFile {
///     fn load(&self) -> Vec<Cursor> {
///         Vec::new() // read the file, the last line of each order counts
///     }
///     fn store(&mut self, cursor: &Cursor) {
///         // append one line
///     }
///     fn forget(&mut self, order: &OrderKey) {
///         // append one line
///     }
/// }
/// ```
pub trait Cursors: Debug + Send + Sync {
    /// All cursors, when the session starts; at most 1 000 are used.
    fn load(&self) -> Vec<Cursor>;

    /// An event was acknowledged. What is slow here holds up the session.
    fn store(&mut self, cursor: &Cursor);

    /// The order is over, or not there any more.
    fn forget(&mut self, order: &OrderKey);
}

/// Cursors that last as long as the session does.
#[derive(Clone, Debug, Default)]
pub struct InMemory(BTreeMap<OrderKey, Cursor>);

impl Cursors for InMemory {
    fn load(&self) -> Vec<Cursor> {
        self.0.values().cloned().collect()
    }

    fn store(&mut self, cursor: &Cursor) {
        self.0.insert(cursor.order.clone(), cursor.clone());
    }

    fn forget(&mut self, order: &OrderKey) {
        self.0.remove(order);
    }
}
