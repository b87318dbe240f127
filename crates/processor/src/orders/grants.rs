//! The record of grants: the epochs under which trackers may follow an order.
//!
//! ```text
//!   a tracker opens an order     grant, events ──▶ one sync ──▶ reply, stream
//!   a tracker comes back         the epoch is on disk already ──▶ stream
//!   a newer lead begins          grant ──▶ sync ──▶ stream
//! ```

use orderstream_core::{
    Command, CommandKind, Epoch, Incarnation, OrderIncarnation, OrderKey, Refusal,
};
use orderstream_journal::{Append, AppendCallback};
use tokio::sync::oneshot;

use super::entry::{IncarnationEntry, reply};
use super::incarnations::entry_of;
use super::record::{self, ListKind};
use super::{OwnedOrders, damaged, storage_unavailable};

impl OwnedOrders {
    /// Grants the tracker's stream; a new epoch is on disk before the stream starts, even where
    /// another stream with the same epoch waits for that.
    pub(super) async fn grant(
        &self,
        key: &OrderKey,
        incarnation: &Incarnation,
        epoch: Epoch,
    ) -> Result<(), Refusal> {
        let needs_reload = self.shard(key).lock().newest(key, Some(incarnation))?.needs_reload();
        if needs_reload {
            self.reload(key).await?;
        }
        let receiver = {
            let mut shard = self.shard(key).lock();
            let entry = shard.newest(key, Some(incarnation))?;
            if let Some(cause) = &entry.damaged {
                return Err(damaged(key, cause));
            }
            if entry.needs_reload() {
                return Err(storage_unavailable());
            }
            entry.book.grant(epoch)?;
            if epoch <= entry.granted {
                return Ok(());
            }
            // A read-only journal accepts no commands, so a fenced requestor cannot do harm with
            // one.
            if self.inner.parts.journal.read_only().is_some() {
                entry.granted = epoch;
                return Ok(());
            }
            let (sender, receiver) = oneshot::channel();
            let append = self.grant_append(entry, epoch, Some(sender));
            if self.inner.parts.journal.submit(append).is_err() {
                // The book has the epoch already, and the disk never will.
                shard.suspect(&OrderIncarnation::new(key, incarnation));
                return Err(storage_unavailable());
            }
            entry.grants = entry.grants.saturating_add(1);
            entry.in_flight = entry.in_flight.saturating_add(1);
            receiver
        };
        receiver.await.unwrap_or_else(|_| Err(storage_unavailable()))
    }

    /// Makes the grant to the tracker that opens the order, if it needs one. The grant goes to the
    /// journal together with the opening and before it: one sync serves both, and the grant is on
    /// disk no later. Where only the grant fails, the order is open all the same, and
    /// [`OwnedOrders::grant`] is tried for the stream.
    pub(super) fn opening_grant(
        &self,
        entry: &mut IncarnationEntry,
        epoch: Epoch,
    ) -> Option<Append> {
        if epoch <= entry.granted || entry.book.grant(epoch).is_err() {
            return None;
        }
        Some(self.grant_append(entry, epoch, None))
    }

    /// Makes a grant for the journal. The caller counts it as in flight once the journal has
    /// accepted it.
    fn grant_append(
        &self,
        entry: &IncarnationEntry,
        epoch: Epoch,
        sender: Option<oneshot::Sender<Result<(), Refusal>>>,
    ) -> Append {
        let order_incarnation = entry.order_incarnation();
        let list = record::list_name(ListKind::Grants, &order_incarnation);
        let this = self.clone();
        let done: AppendCallback = Box::new(move |outcome| {
            let outcome = outcome.map(drop).map_err(|_| storage_unavailable());
            this.on_granted(&order_incarnation, outcome.is_ok().then_some(epoch));
            if let Some(sender) = sender {
                reply(sender, outcome);
            }
        });
        Append { list, expected: entry.grants, records: vec![record::encode_grant(epoch)], done }
    }

    /// Grants the epoch of a newer lead's command: from then on, commands and streams with a lower
    /// epoch are refused. A command on another incarnation grants nothing on this one.
    pub(super) async fn fence(&self, key: &OrderKey, command: &Command) -> Result<(), Refusal> {
        // An opening has its own grant.
        let Some(epoch) = command.epoch.filter(|_| !matches!(command.kind, CommandKind::Open(_)))
        else {
            return Ok(());
        };
        let incarnation = {
            let mut shard = self.shard(key).lock();
            let entry = shard.newest(key, command.incarnation.as_ref()).ok();
            match entry.filter(|held| held.book.order().is_some()) {
                Some(entry) if epoch > entry.book.floor() => entry.incarnation.clone(),
                Some(_) | None => return Ok(()),
            }
        };
        self.grant(key, &incarnation, epoch).await
    }

    /// Runs on the journal's thread, after a grant's sync, or without an epoch after its failure.
    /// After a failure the number of grants is unknown, and the order is read again.
    fn on_granted(&self, order_incarnation: &OrderIncarnation, on_disk: Option<Epoch>) {
        let mut guard = self.shard(&order_incarnation.key).lock();
        let shard = &mut *guard;
        let Some(entry) = entry_of(&mut shard.openings, &mut shard.orders, order_incarnation)
        else {
            return;
        };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        match on_disk {
            Some(epoch) => entry.granted = entry.granted.max(epoch),
            None => shard.suspect(order_incarnation),
        }
    }
}
