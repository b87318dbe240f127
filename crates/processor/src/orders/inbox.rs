//! The orders that one seller is invited to, a page at a time: the open ones from the index of
//! invitations, with those that have ended from the map of orders, of which a page looks at a
//! limited number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use orderstream_core::{Order, OrderKey, Reason, Refusal, SellerId, Tenant};
use tokio::sync::oneshot;

use super::entry::{BookTrust, IncarnationEntry};
use super::{OwnedOrders, damaged, not_found, storage_unavailable, with_timeout};
use crate::limits::{INBOX_SCANNED_MAX, SHARDS};

/// The least id of an order.
const FIRST_NAME: &str = "-";
/// Orders that one page looks at in one shard.
const SCANNED_MAX: usize = INBOX_SCANNED_MAX / SHARDS;

/// The bounds of a page of a seller's inbox.
#[derive(Clone, Debug)]
pub(crate) struct InboxBounds {
    /// The tenant of the orders.
    pub tenant: Tenant,
    /// The invited seller.
    pub seller: SellerId,
    /// The order after which the page begins.
    pub after: Option<OrderKey>,
    /// The most orders on the page.
    pub limit: usize,
    /// True for the orders that have ended too.
    pub ended: bool,
}

/// The orders of one page of an inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InvitedPage {
    /// The orders, by id; there may be none on a page that goes on.
    pub keys: Vec<OrderKey>,
    /// The order after which the next page begins; absent at the end.
    pub next: Option<OrderKey>,
}

impl InvitedPage {
    /// Makes a page of orders, of which all up to this one are known; all of them where it is
    /// absent.
    fn new(mut keys: BTreeSet<OrderKey>, known_to: Option<OrderKey>, limit: usize) -> Self {
        if let Some(known_to) = &known_to {
            keys.retain(|key| key <= known_to);
        }
        let is_full = keys.len() >= limit;
        let keys: Vec<OrderKey> = keys.into_iter().take(limit).collect();
        let next = if is_full { keys.last().cloned() } else { known_to };
        Self { keys, next }
    }
}

impl InboxBounds {
    fn begins_before(&self, key: &OrderKey) -> bool {
        self.after.as_ref().is_none_or(|after| key > after)
    }

    fn invites(&self, entry: &IncarnationEntry) -> bool {
        entry.book.order().is_some_and(|order| order.invitation(&self.seller).is_some())
    }

    /// Returns the orders of the tenant within these bounds, in order.
    fn range_of<'a, T>(
        &'a self,
        orders: &'a BTreeMap<OrderKey, T>,
    ) -> impl Iterator<Item = (&'a OrderKey, &'a T)> {
        // No name is less than the first character that names may have.
        let first = OrderKey::new(self.tenant.as_str(), FIRST_NAME).ok();
        let from = match (&self.after, &first) {
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let later = orders.range::<OrderKey, _>((from, Bound::Unbounded));
        let tenant = &self.tenant;
        later.take_while(move |(key, _)| key.tenant == *tenant)
    }

    /// Adds the orders within these bounds that `invites` accepts, of the next `budget` ones;
    /// returns the last one that was looked at, where others follow.
    fn add_next<T>(
        &self,
        keys: &mut BTreeSet<OrderKey>,
        orders: &BTreeMap<OrderKey, T>,
        budget: usize,
        invites: impl Fn(&T) -> bool,
    ) -> Option<OrderKey> {
        let mut last: Option<&OrderKey> = None;
        for (scanned, (key, entry)) in self.range_of(orders).enumerate() {
            if scanned >= budget {
                return last.cloned();
            }
            if invites(entry) {
                keys.insert(key.clone());
            }
            last = Some(key);
        }
        None
    }
}

impl OwnedOrders {
    /// Returns a page of the orders within these bounds.
    pub(crate) fn invited_page(&self, bounds: &InboxBounds) -> InvitedPage {
        if bounds.ended {
            return self.invited_page_of_all(bounds);
        }
        let open = self.inner.invitations.open_orders(&bounds.tenant, &bounds.seller);
        let keys: BTreeSet<&OrderKey> =
            open.iter().map(|key| &**key).filter(|key| bounds.begins_before(key)).collect();
        let keys = keys.into_iter().take(bounds.limit).cloned().collect();
        InvitedPage::new(keys, None, bounds.limit)
    }

    fn invited_page_of_all(&self, bounds: &InboxBounds) -> InvitedPage {
        let (mut keys, mut known_to) = (BTreeSet::new(), None);
        for shard in &self.inner.shards {
            let shard = shard.lock();
            let invites = |entry: &IncarnationEntry| bounds.invites(entry);
            let last = bounds.add_next(&mut keys, &shard.orders, SCANNED_MAX, invites);
            known_to = known_to.into_iter().chain(last).min();
        }
        InvitedPage::new(keys, known_to, bounds.limit)
    }

    /// Reads these orders for one of their sellers, all of them within the time of one read. One
    /// that was removed meanwhile is left out.
    ///
    /// # Errors
    /// The refusal of the first order that cannot be read.
    pub(crate) async fn read_all_for_seller<T: Send + 'static>(
        &self,
        keys: &[OrderKey],
        view: impl Fn(&Order) -> T + Send + Sync,
    ) -> Result<Vec<T>, Refusal> {
        with_timeout(async {
            let mut views = Vec::with_capacity(keys.len());
            for key in keys {
                match self.read_for_seller(key, &view).await {
                    Ok(view) => views.push(view),
                    Err(refusal) if refusal.reason == Reason::OrderNotFound => {}
                    Err(refusal) => return Err(refusal),
                }
            }
            Ok(views)
        })
        .await
    }

    /// Reads from the newest incarnation of an order for one of its sellers, and returns the view
    /// when all events behind it are on disk. The order has no redaction: the view leaves out what
    /// other sellers did, and what is sealed.
    ///
    /// # Errors
    /// An order that is not here, or that cannot be read.
    pub(crate) async fn read_for_seller<T: Send + 'static>(
        &self,
        key: &OrderKey,
        view: impl FnOnce(&Order) -> T + Send,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut shard = self.shard(key).lock();
            let entry = shard.newest(key, None)?;
            if let Some(cause) = &entry.damaged {
                return Err(damaged(key, cause));
            }
            if entry.trust == BookTrust::Suspect {
                return Err(storage_unavailable());
            }
            let order = entry.book.order().ok_or_else(|| not_found(key))?;
            let value = Ok(view(order));
            let withheld = entry.book.withhold(value);
            entry.when_durable(withheld, sender);
        }
        with_timeout(async { receiver.await.unwrap_or_else(|_| Err(storage_unavailable())) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> OrderKey {
        name.parse().unwrap()
    }

    fn bounds(after: Option<&str>) -> InboxBounds {
        InboxBounds {
            tenant: Tenant::new("t").unwrap(),
            seller: SellerId::new("s").unwrap(),
            after: after.map(key),
            limit: 10,
            ended: true,
        }
    }

    /// Returns the orders that a page finds among these, with its end.
    fn found(after: Option<&str>, budget: usize) -> (Vec<String>, Option<String>) {
        let invited = ["s/a", "t/-", "t/b", "t/d", "t/e", "u/a"];
        let names = invited.iter().map(|name| (key(name), true));
        let orders: BTreeMap<OrderKey, bool> =
            names.chain([(key("t/a"), false), (key("t/c"), false)]).collect();
        let mut keys = BTreeSet::new();
        let last = bounds(after).add_next(&mut keys, &orders, budget, |is_invited| *is_invited);
        (keys.iter().map(OrderKey::to_string).collect(), last.map(|key| key.to_string()))
    }

    #[test]
    fn pages_look_at_a_limited_number_of_orders() {
        for (after, budget, names, last) in [
            (None, 9, vec!["t/-", "t/b", "t/d", "t/e"], None),
            (None, 6, vec!["t/-", "t/b", "t/d", "t/e"], None),
            (None, 3, vec!["t/-", "t/b"], Some("t/b")),
            (Some("t/b"), 1, vec![], Some("t/c")),
            (Some("t/c"), 2, vec!["t/d", "t/e"], None),
            (Some("t/e"), 1, vec![], None),
        ] {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let expected = (names, last.map(str::to_owned));
            assert_eq!(found(after, budget), expected, "{after:?} {budget}");
        }
    }

    #[test]
    fn pages_go_on_after_what_is_known() {
        let keys = |names: &[&str]| names.iter().map(|name| key(name)).collect::<Vec<_>>();
        for (names, known_to, limit, listed, next) in [
            (vec!["t/a", "t/b"], None, 3, vec!["t/a", "t/b"], None),
            (vec!["t/a", "t/b"], None, 2, vec!["t/a", "t/b"], Some("t/b")),
            (vec!["t/a", "t/c"], Some("t/b"), 3, vec!["t/a"], Some("t/b")),
            (vec!["t/a", "t/b", "t/c"], Some("t/b"), 1, vec!["t/a"], Some("t/a")),
            (vec!["t/c"], Some("t/b"), 3, vec![], Some("t/b")),
        ] {
            let all = keys(&names).into_iter().collect();
            let page = InvitedPage::new(all, known_to.map(key), limit);
            assert_eq!(page, InvitedPage { keys: keys(&listed), next: next.map(key) });
        }
    }
}
