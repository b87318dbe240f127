//! The cursors after which a seller resumes when its program has restarted.

use std::collections::BTreeMap;
use std::fmt::Debug;

use orderstream_core::{Incarnation, OrderKey, Seq};

/// The last event of one order that a seller has processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SellerCursor {
    /// The order's tenant and id.
    pub order: OrderKey,
    /// The order's incarnation; absent if it is not known.
    pub incarnation: Option<Incarnation>,
    /// The sequence number of the last event that the seller acknowledged.
    pub seq: Seq,
}

/// A store of a seller's cursors: in memory ([`InMemory`]), or together with the program's other
/// data. An order without a cursor is received again from its first event.
///
/// ```
/// use orderstream_client::{Cursors, OrderKey, SellerCursor};
///
/// /// Stores them in a file of one line for each step.
/// #[derive(Debug)]
/// struct InFile(std::path::PathBuf);
///
/// impl Cursors for InFile {
///     fn load(&self) -> Vec<SellerCursor> {
///         Vec::new() // read the file, the last line of each order counts
///     }
///     fn store(&mut self, cursor: &SellerCursor) {
///         // append one line
///     }
///     fn forget(&mut self, order: &OrderKey) {
///         // append one line
///     }
/// }
/// ```
pub trait Cursors: Debug + Send + Sync {
    /// Returns all cursors when the session starts; at most 1 000 are used.
    fn load(&self) -> Vec<SellerCursor>;

    /// Stores the cursor of an acknowledged event. A slow call delays the session.
    fn store(&mut self, cursor: &SellerCursor);

    /// Removes the cursor of an order that has ended or no longer exists.
    fn forget(&mut self, order: &OrderKey);
}

/// Cursors that last as long as the session does.
#[derive(Clone, Debug, Default)]
pub struct InMemory(BTreeMap<OrderKey, SellerCursor>);

impl Cursors for InMemory {
    fn load(&self) -> Vec<SellerCursor> {
        self.0.values().cloned().collect()
    }

    fn store(&mut self, cursor: &SellerCursor) {
        self.0.insert(cursor.order.clone(), cursor.clone());
    }

    fn forget(&mut self, order: &OrderKey) {
        self.0.remove(order);
    }
}
