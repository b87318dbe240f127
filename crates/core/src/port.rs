//! The interfaces between the services, which know each other only by these traits; the binary
//! connects them.

mod order_projection;

pub use order_projection::{OrderProjection, ProjectionCursor, ProjectionError, ProjectionFuture};

use std::fmt::Debug;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::command::Command;
use crate::id::{Epoch, Incarnation, OrderKey, SellerId, Tenant, Timestamp};
use crate::refusal::Refusal;
use crate::spec::{OrderSpec, Seller};
use crate::tracker::TrackerSnapshot;

/// A source of wall-clock time.
pub trait Clock: Send + Sync + Debug + 'static {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// A party that is notified of changes in a directory of sellers. It must return at once.
pub trait SellerWatcher: Send + Sync + Debug + 'static {
    /// A seller is new in the directory, or differs from what it was.
    fn seller_changed(&self, tenant: &Tenant, id: &SellerId);

    /// Any sellers may have changed: the first list is complete, or all were read again.
    fn sellers_changed(&self);
}

/// The sellers that an order may invite.
pub trait SellerDirectory: Send + Sync + Debug + 'static {
    /// Returns all of a tenant's sellers, ordered by name.
    fn sellers(&self, tenant: &Tenant) -> Arc<[Seller]>;

    /// Reports whether the sellers are known by now. An order that is opened before then invites
    /// nobody at first.
    fn is_known(&self) -> bool {
        true
    }

    /// Adds a watcher, which is notified of each change once the directory has it. A directory that
    /// never changes needs none.
    fn watch(&self, _watcher: Arc<dyn SellerWatcher>) {}

    /// Returns the number of open orders in which a seller takes part at all processors, as last
    /// counted some seconds ago; 0 where they are not counted.
    fn open_orders(&self, _tenant: &Tenant, _id: &SellerId) -> u32 {
        0
    }

    /// Returns one seller of a tenant.
    fn seller(&self, tenant: &Tenant, id: &SellerId) -> Option<Seller> {
        let sellers = self.sellers(tenant);
        let index = sellers.binary_search_by(|seller| seller.id.cmp(id)).ok()?;
        sellers.get(index).cloned()
    }
}

/// The order that a tracker is to follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The content of the order.
    pub spec: OrderSpec,
    /// The epoch of the requestor that assigns it.
    pub epoch: Epoch,
    /// The URL of the processor that holds the order, or is to hold it.
    pub processor: String,
}

/// The requestor's streams, as the controller drives them. No call waits for the network.
pub trait OrderStreams: Send + Sync + Debug + 'static {
    /// Makes sure that one stream follows this order. Repeating it changes nothing.
    ///
    /// # Errors
    /// Refuses when draining, and when a limit is reached.
    fn ensure(&self, assignment: Assignment) -> Result<(), Refusal>;

    /// Queues a command for the order's processor. It is sent, and sent again, until the processor
    /// replies; its key gives it one effect.
    ///
    /// # Errors
    /// Refuses an order that is not followed, and when a limit is reached.
    fn send_command(&self, key: &OrderKey, command: Command) -> Result<(), Refusal>;

    /// Ends the stream of this incarnation of the order and drops its tracker. The order itself
    /// goes on, and so does the stream of another incarnation.
    fn stop(&self, key: &OrderKey, incarnation: &Incarnation);

    /// Returns the order as its tracker sees it now.
    fn snapshot(&self, key: &OrderKey) -> Option<Arc<TrackerSnapshot>>;

    /// Returns the keys of all orders that are followed.
    fn keys(&self) -> Vec<OrderKey>;

    /// Sets the one watcher: `wake` is called with the order's key after every change of a
    /// snapshot.
    fn watch(&self, wake: Arc<dyn Fn(&OrderKey) + Send + Sync>);

    /// Returns the content of the order. May block on the disk.
    fn spec(&self, key: &OrderKey) -> Option<OrderSpec>;

    /// Makes the content of these orders' snapshots survive this process, before it is shown to a
    /// user who may ask the next process. Ready at once where something else stores what is
    /// published.
    ///
    /// # Errors
    /// When the content does not survive; then it must not be shown.
    fn persist<'a>(&'a self, _keys: &'a [OrderKey]) -> ReplyFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// An order as its processor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedOrder {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The highest epoch that was granted.
    pub epoch: Epoch,
    /// The order has ended.
    pub is_ended: bool,
}

/// The future of a reply that comes over the network, within a deadline.
pub type ReplyFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// The current addresses of processors, from a source that is ahead of DNS: for a while, a resolver
/// may not know a name that is new or has moved.
pub trait ProcessorAddresses: Send + Sync + Debug + 'static {
    /// Returns a processor's address; `None` when only its name is known.
    fn address(&self, processor: &str) -> Option<SocketAddr>;

    /// Returns the URLs of all known processors, whether they accept orders or not.
    fn known(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A source without any address, so that every name is resolved.
#[derive(Clone, Copy, Debug, Default)]
pub struct DnsAddresses;

impl ProcessorAddresses for DnsAddresses {
    fn address(&self, _processor: &str) -> Option<SocketAddr> {
        None
    }
}

/// Calls to a processor besides streams: they find the owner of an order, and cancel orders that
/// nobody wants any more. Each call is tried once.
pub trait OrderOwners: Send + Sync + Debug + 'static {
    /// Returns the order if this processor holds it, whatever its incarnation.
    fn locate<'a>(
        &'a self,
        processor: &'a str,
        key: &'a OrderKey,
    ) -> ReplyFuture<'a, Option<OwnedOrder>>;

    /// Returns the orders at this processor that have not ended, of one tenant or of all.
    fn owned_orders<'a>(
        &'a self,
        processor: &'a str,
        tenant: Option<&'a str>,
    ) -> ReplyFuture<'a, Vec<OwnedOrder>>;

    /// Cancels one incarnation of an order. An order that does not exist, or has ended, is success.
    fn cancel<'a>(
        &'a self,
        processor: &'a str,
        key: &'a OrderKey,
        incarnation: &'a Incarnation,
        epoch: Epoch,
    ) -> ReplyFuture<'a, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Contact;

    /// A directory with a fixed list.
    #[derive(Debug)]
    struct FixedDirectory(Arc<[Seller]>);

    impl SellerDirectory for FixedDirectory {
        fn sellers(&self, _: &Tenant) -> Arc<[Seller]> {
            Arc::clone(&self.0)
        }
    }

    #[test]
    fn plain_directories_know_their_sellers() {
        let id = |name: &str| SellerId::new(name).unwrap();
        let seller = |name: &str| Seller {
            id: id(name),
            place: None,
            categories: Vec::new(),
            contact: Contact::default(),
            currency: None,
            capacity: None,
            suspended: false,
            display_name: None,
        };
        let directory = FixedDirectory(["a", "b", "c"].map(seller).into());
        let tenant = Tenant::default();
        assert!(directory.is_known());
        assert_eq!(directory.open_orders(&tenant, &id("b")), 0);
        assert_eq!(directory.seller(&tenant, &id("b")), Some(seller("b")));
        assert_eq!(directory.seller(&tenant, &id("bb")), None);
    }

    #[test]
    fn names_without_addresses_are_resolved() {
        assert_eq!(DnsAddresses.address("http://processor-0:50051"), None);
        assert_eq!(DnsAddresses.known(), [""; 0]);
    }
}
