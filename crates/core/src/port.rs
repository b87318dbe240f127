//! What the parts need of one another. The services meet only in these traits; the binary puts
//! them together.

mod order_projection;

pub use order_projection::{Cursor, OrderLife, OrderProjection, Projected, ProjectionError};

use std::fmt::Debug;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::command::{Act, Command};
use crate::id::{Epoch, Incarnation, OrderKey, SellerId, Tenant, Timestamp};
use crate::refusal::Refusal;
use crate::spec::{OrderSpec, Seller};
use crate::tracker::Snapshot;

/// Reads the wall clock.
pub trait Clock: Send + Sync + Debug + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The sellers that an order may invite.
pub trait SellerDirectory: Send + Sync + Debug + 'static {
    /// All of a tenant's sellers, in the order of their names.
    fn sellers(&self, tenant: &Tenant) -> Arc<[Seller]>;

    /// Whether the sellers are known by now. An order that is opened before invites nobody, for
    /// ever.
    fn is_known(&self) -> bool {
        true
    }

    /// In how many open orders a seller takes part at all processors, as somebody counted last: some
    /// seconds old. 0 where nobody counts.
    fn open_orders(&self, _tenant: &Tenant, _id: &SellerId) -> u32 {
        0
    }

    /// One seller of a tenant.
    fn seller(&self, tenant: &Tenant, id: &SellerId) -> Option<Seller> {
        let sellers = self.sellers(tenant);
        let index = sellers.binary_search_by(|seller| seller.id.cmp(id)).ok()?;
        sellers.get(index).cloned()
    }
}

/// The order that a tracker is to follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// Whose, and which number.
    pub key: OrderKey,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// What is wanted.
    pub spec: OrderSpec,
    /// The fencing number of whoever assigns.
    pub epoch: Epoch,
    /// The processor that holds the order, or is to hold it: a URL.
    pub processor: String,
}

/// The requestor's streams, as the controller drives them. No call waits for the network.
pub trait OrderStreams: Send + Sync + Debug + 'static {
    /// Makes sure that one stream follows this order. Saying it again changes nothing.
    ///
    /// # Errors
    /// Refuses when draining or when a bound is reached.
    fn ensure(&self, assignment: Assignment) -> Result<(), Refusal>;

    /// Queues an act for the order's processor. It is sent, and sent again, until the processor
    /// answers; its key makes it happen once.
    ///
    /// # Errors
    /// Refuses an order that is not followed, or when a bound is reached.
    fn act(&self, key: &OrderKey, command: Command) -> Result<(), Refusal>;

    /// Ends the stream of this life of the order and forgets its tracker. The order itself lives
    /// on, and so does the stream of another life.
    fn stop(&self, key: &OrderKey, life: &Incarnation);

    /// The order as its tracker sees it now.
    fn snapshot(&self, key: &OrderKey) -> Option<Arc<Snapshot>>;

    /// Every followed order.
    fn keys(&self) -> Vec<OrderKey>;

    /// Calls `wake` after every change of a snapshot, with the order's key. One watcher.
    fn watch(&self, wake: Arc<dyn Fn(&OrderKey) + Send + Sync>);

    /// What was asked for. May block on the disk.
    fn spec(&self, key: &OrderKey) -> Option<OrderSpec> {
        Some(self.snapshot(key)?.order.as_ref()?.spec.clone())
    }

    /// Makes what the snapshots of these orders say survive this process, for whoever shows it to
    /// somebody who may ask the next one. Done at once where somebody else keeps what is shown.
    ///
    /// # Errors
    /// When it does not survive; then it is not to be shown.
    fn keep<'a>(&'a self, _keys: &'a [OrderKey]) -> Answered<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// An order as its processor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose, and which number.
    pub key: OrderKey,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// The highest epoch that was granted.
    pub epoch: Epoch,
    /// Whether it reached its end.
    pub is_over: bool,
}

/// An answer that comes over the network, within a deadline.
pub type Answered<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// Where processors are reached now, by who knows it better than the names in their URLs: a name
/// that is new or has moved may be unknown to a resolver for a while.
pub trait Addresses: Send + Sync + Debug + 'static {
    /// Where a processor is; `None` when only its name is known.
    fn address(&self, processor: &str) -> Option<SocketAddr>;

    /// The URLs of all processors that are known of, whether they take orders or not.
    fn known(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Knows of no address: every name is looked up.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByName;

impl Addresses for ByName {
    fn address(&self, _processor: &str) -> Option<SocketAddr> {
        None
    }
}

/// What is asked of a processor besides streams: who holds which order, and the end of those that
/// nobody wants any more. Each call is tried once.
pub trait OrderOwners: Send + Sync + Debug + 'static {
    /// Whether this processor holds the order, in whichever life.
    fn locate<'a>(&'a self, processor: &'a str, key: &'a OrderKey) -> Answered<'a, Option<Held>>;

    /// The orders at this processor that have not ended, of one tenant or of all.
    fn held<'a>(&'a self, processor: &'a str, tenant: Option<&'a str>) -> Answered<'a, Vec<Held>>;

    /// Cancels one life of an order. An order that is not there, or is over, is cancelled enough.
    fn cancel<'a>(
        &'a self,
        processor: &'a str,
        key: &'a OrderKey,
        life: &'a Incarnation,
        epoch: Epoch,
    ) -> Answered<'a, ()>;
}

/// The name under which an act of a buyer is known for the order's whole life.
pub fn act_name(act: &Act) -> &'static str {
    match act {
        Act::Open(_) => "open",
        Act::Propose(_) => "propose",
        Act::Amend(_) => "amend",
        Act::Withdraw { .. } => "withdraw",
        Act::Decline { .. } => "decline",
        Act::Answer { .. } => "answer",
        Act::Ask { .. } => "ask",
        Act::See { .. } => "see",
        Act::Notified { .. } => "notified",
        Act::UndoAward { .. } => "undo-award",
        Act::FollowUp(_) => "follow-up",
        Act::Lock { .. } => "lock",
        Act::Unlock { .. } => "unlock",
        Act::Pause { .. } => "pause",
        Act::Resume => "resume",
        Act::Extend { .. } => "extend",
        Act::Close { .. } => "close",
        Act::Finalise { .. } => "finalise",
        Act::Cancel { .. } => "cancel",
        Act::Tick => "tick",
    }
}
