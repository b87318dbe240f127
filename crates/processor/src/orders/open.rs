//! Opening an order, or joining one that is open already.

use orderstream_core::command::OrderOpening;
use orderstream_core::spec::SellerChoice;
use orderstream_core::{
    Command, CommandKind, Epoch, Incarnation, OrderIncarnation, OrderKey, OrderSpec, Reason,
    Refusal, SellerId, Seq, Tenant, Timestamp,
};

use super::capacity::{OpenOrderCounts, Reservation};
use super::follow::ahead;
use super::{OwnedOrders, not_found};
use crate::selection;

/// A tracker's request before its stream starts.
#[derive(Clone, Debug)]
pub struct Join {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The incarnation that is meant; absent from old clients, which mean the existing one.
    pub incarnation: Option<Incarnation>,
    /// The specification of the order, should it not be open yet.
    pub spec: OrderSpec,
    /// The epoch of the tracker that follows it then.
    pub tracker: Option<Epoch>,
}

impl OwnedOrders {
    /// Opens the order if it is not open, and returns its incarnation. An order that has ended is
    /// joined too, and its stream ends: it is opened again only under a new incarnation.
    ///
    /// # Errors
    /// Another incarnation of the order id has not ended, or the order cannot be stored.
    pub async fn open(&self, join: Join) -> Result<Incarnation, Refusal> {
        if let Some(incarnation) = self.find_incarnation(&join.key, join.incarnation.as_ref()) {
            return Ok(incarnation);
        }
        let named = join.incarnation.clone();
        let incarnation = match &join.incarnation {
            Some(incarnation) => incarnation.clone(),
            None => Incarnation::new(uuid::Uuid::now_v7().to_string())?,
        };
        let is_open = self.incarnation(&join.key).as_ref() == Some(&incarnation);
        if !is_open && !self.inner.parts.directory.is_known() {
            let text = "the sellers are not known yet, since the API server was not reached so far";
            return Err(Refusal::new(Reason::Unreachable, text));
        }
        let (choices, reservation) = if is_open {
            (Vec::new(), None)
        } else {
            let (choices, reservation) = self.choose(&join);
            (choices, Some(reservation))
        };
        let opening = OrderOpening { incarnation: incarnation.clone(), spec: join.spec, choices };
        let body = CommandKind::Open(Box::new(opening));
        let command = Command { epoch: join.tracker, ..Command::bare(body) };
        let result = self.execute_with(&join.key, command, reservation).await;
        self.inner.parts.metrics.set_orders(self.count());
        match result {
            Ok(_) => Ok(incarnation),
            // An old client that lost the race to open the order means the one there is now.
            Err(refusal) if refusal.reason == Reason::OrderExists && named.is_none() => {
                self.require_incarnation(&join.key)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn choose(&self, join: &Join) -> (Vec<SellerChoice>, Reservation) {
        let tenant = &join.key.tenant;
        // Read before the sellers: they include the changes up to it.
        let revision = self.inner.late.revision();
        let sellers = self.inner.parts.directory.sellers(tenant);
        let (choices, reservation) = self.inner.capacity.reserve(tenant, |counts| {
            let busy = |id: &SellerId| self.busy(counts, tenant, id);
            selection::select(&join.spec, &sellers, &busy)
        });
        (choices, reservation.through(revision))
    }

    /// Returns the number of open orders in which a seller takes part. It is exact for this processor
    /// and a little late for the others. Capacity that was released counts as used until then. What
    /// other processors reserve at the same time does not count: several may invite a seller that has
    /// just come, each up to its capacity.
    pub(super) fn busy(&self, counts: &OpenOrderCounts, tenant: &Tenant, id: &SellerId) -> u32 {
        counts.of(tenant, id).max(self.inner.parts.directory.open_orders(tenant, id))
    }

    /// Checks that this processor has the list in which a tracker wants to resume. The order is
    /// never opened for that: the tracker would resume in a list other than its own.
    ///
    /// # Errors
    /// The order, or the incarnation of it, is not here.
    pub fn resume(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
        after: Seq,
    ) -> Result<(), Refusal> {
        let mut shard = self.shard(key).lock();
        if shard.former(key, named).is_some() || shard.newest(key, named).is_ok() {
            return Ok(());
        }
        Err(ahead(after, Seq(0)))
    }

    /// Checks that the event of this number is the one that a tracker has. It differs when the list
    /// was reset, as by restoring an old copy of the disk, and continued differently: the tracker
    /// would show events that the list does not hold. The times of a list never run back, so two
    /// events of one number that happened at different moments have different times.
    ///
    /// # Errors
    /// Another event, or a disk that cannot be read. A number beyond the list is left to
    /// [`OwnedOrders::follow`].
    pub async fn compare(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
        seq: Seq,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        let (incarnation, last) = {
            let mut shard = self.shard(key).lock();
            match shard.former(key, named) {
                Some(former) => {
                    let last = former.ended_at.map(|ended_at| (former.last_seq(), ended_at));
                    (former.incarnation.clone(), last)
                }
                None => {
                    let entry = shard.newest(key, named)?;
                    let order = entry.book.order();
                    let last = order.map(|order| (order.last_seq, order.last_event.0));
                    (entry.incarnation.clone(), last)
                }
            }
        };
        let stored_at = match last {
            Some((last, ended_at)) if last == seq => Some(ended_at),
            Some((last, _)) if last > seq => self.time_of(key, &incarnation, seq).await?,
            Some(_) | None => None,
        };
        if stored_at.is_none_or(|held| held == at) {
            return Ok(());
        }
        let text = format!(
            "event {seq} of the list is not the one that was seen: the list was set back, and went \
             on differently"
        );
        Err(Refusal::new(Reason::AheadOfList, text).with("last_seq", seq))
    }

    /// Returns the time of an event, from disk.
    async fn time_of(
        &self,
        key: &OrderKey,
        incarnation: &Incarnation,
        seq: Seq,
    ) -> Result<Option<Timestamp>, Refusal> {
        let order_incarnation = OrderIncarnation::new(key, incarnation);
        let events = self.events_after(&order_incarnation, Seq(seq.0.saturating_sub(1)), 1).await?;
        Ok(events.first().map(|event| event.at))
    }

    /// Returns the newest incarnation of an order that is held here.
    pub fn incarnation(&self, key: &OrderKey) -> Option<Incarnation> {
        self.find_incarnation(key, None)
    }

    /// Returns the incarnation that is named, or the newest where none is, if it is here.
    pub fn find_incarnation(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Option<Incarnation> {
        let mut shard = self.shard(key).lock();
        if let Some(former) = shard.former(key, named) {
            return Some(former.incarnation.clone());
        }
        let entry = shard.newest(key, named).ok()?;
        entry.book.order().map(|_| entry.incarnation.clone())
    }

    /// Reports whether this processor is responsible for an order: it holds the named incarnation,
    /// or any if none is named, even one whose records are damaged.
    pub fn is_here(&self, key: &OrderKey, named: Option<&Incarnation>) -> bool {
        let mut shard = self.shard(key).lock();
        let is_held = |entry: &mut super::entry::IncarnationEntry| {
            entry.book.order().is_some() || entry.damaged.is_some()
        };
        shard.former(key, named).is_some() || shard.newest(key, named).is_ok_and(is_held)
    }

    /// Returns the newest incarnation of an order, as [`OwnedOrders::incarnation`] does.
    ///
    /// # Errors
    /// An order that is not here.
    pub fn require_incarnation(&self, key: &OrderKey) -> Result<Incarnation, Refusal> {
        self.incarnation(key).ok_or_else(|| not_found(key))
    }
}
