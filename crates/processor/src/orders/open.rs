//! Opening an order, or joining one that is open already.

use orderstream_core::command::Opening;
use orderstream_core::{Act, Command, Incarnation, OrderKey, OrderSpec, Reason, Refusal, Seq};

use super::follow::ahead;
use super::{Orders, not_found};
use crate::selection;

/// What a tracker asks for before its stream starts.
#[derive(Clone, Debug)]
pub struct Join {
    /// Whose, and which number.
    pub key: OrderKey,
    /// Which life of the name; absent from old clients, who mean the one there is.
    pub incarnation: Option<Incarnation>,
    /// What is wanted, should the order not be open yet.
    pub spec: OrderSpec,
}

impl Orders {
    /// Opens the order if it is not open, and gives its incarnation.
    ///
    /// # Errors
    /// When another life of the name is still there, or the order cannot be stored.
    pub async fn open(&self, join: Join) -> Result<Incarnation, Refusal> {
        match (self.incarnation(&join.key), &join.incarnation) {
            (Some(held), None) => return Ok(held),
            (Some(held), Some(meant)) if held == *meant => return Ok(held),
            (Some(_) | None, _) => {}
        }
        let meant = join.incarnation.clone();
        let incarnation = match join.incarnation {
            Some(incarnation) => incarnation,
            None => Incarnation::new(uuid::Uuid::now_v7().to_string())?,
        };
        let choices = selection::select(&join.spec, &self.inner.parts.directory.sellers());
        let opening = Opening { incarnation: incarnation.clone(), spec: join.spec, choices };
        let result = self.act(&join.key, Command::bare(Act::Open(Box::new(opening)))).await;
        self.inner.parts.metrics.set_orders(self.count());
        match result {
            Ok(_) => Ok(incarnation),
            // An old client that lost the race to open the order means the one there is now.
            Err(refusal) if refusal.reason == Reason::OrderExists && meant.is_none() => {
                self.must_hold(&join.key)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Whether the list is here that a tracker has seen up to a number. It is never opened anew:
    /// the tracker would go on in a list that is not the one it knows.
    ///
    /// # Errors
    /// An order, or a life of it, that is not here.
    pub fn resume(
        &self,
        key: &OrderKey,
        meant: Option<&Incarnation>,
        after: Seq,
    ) -> Result<(), Refusal> {
        let shard = self.shard(key).lock();
        let held = shard.orders.get(key).map(|entry| &entry.incarnation);
        if held.is_some_and(|held| meant.is_none_or(|meant| meant == held)) {
            return Ok(());
        }
        Err(ahead(after, Seq(0)))
    }

    /// The life of an order that is held here.
    pub fn incarnation(&self, key: &OrderKey) -> Option<Incarnation> {
        let shard = self.shard(key).lock();
        shard.orders.get(key).filter(|e| e.book.order().is_some()).map(|e| e.incarnation.clone())
    }

    /// As [`Orders::incarnation`], or the refusal that the order is not known.
    ///
    /// # Errors
    /// An order that is not here.
    pub fn must_hold(&self, key: &OrderKey) -> Result<Incarnation, Refusal> {
        self.incarnation(key).ok_or_else(|| not_found(key))
    }
}
