//! The record of grants: the epochs under which trackers may follow an order.
//!
//! ```text
//!   a tracker opens an order     grant, events ──▶ one sync ──▶ reply, stream
//!   a tracker comes back         the epoch is on disk already ──▶ stream
//!   a newer lead begins          grant ──▶ sync ──▶ stream
//! ```

use orderstream_core::{Act, Command, Epoch, Incarnation, OrderKey, Refusal};
use orderstream_journal::{Append, Done};
use tokio::sync::oneshot;

use super::entry::{Entry, answer};
use super::incarnations::of_life;
use super::record::{self, ListKind};
use super::{Life, Orders, damaged, storage_unavailable};

impl Orders {
    /// Grants the tracker's stream; a new epoch is on disk before the stream starts, even where
    /// another stream with the same epoch waits for that.
    pub(super) async fn grant(
        &self,
        key: &OrderKey,
        life: &Incarnation,
        epoch: Epoch,
    ) -> Result<(), Refusal> {
        let is_suspect = self.shard(key).lock().newest(key, Some(life))?.suspect;
        if is_suspect {
            self.reload(key).await?;
        }
        let receiver = {
            let mut shard = self.shard(key).lock();
            let entry = shard.newest(key, Some(life))?;
            if let Some(cause) = &entry.damaged {
                return Err(damaged(key, cause));
            }
            if entry.suspect {
                return Err(storage_unavailable());
            }
            entry.book.grant(epoch)?;
            if epoch <= entry.granted {
                return Ok(());
            }
            // A read-only journal takes no commands, so a fenced requestor cannot do harm with one.
            if self.inner.parts.journal.read_only().is_some() {
                entry.granted = epoch;
                return Ok(());
            }
            let (sender, receiver) = oneshot::channel();
            let append = self.grant_append(entry, epoch, Some(sender));
            if self.inner.parts.journal.submit(append).is_err() {
                // The book has the epoch already, and the disk never will.
                shard.suspect(&(key.clone(), life.clone()));
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
    /// [`Orders::grant`] is tried for the stream.
    pub(super) fn opening_grant(&self, entry: &mut Entry, epoch: Epoch) -> Option<Append> {
        if epoch <= entry.granted || entry.book.grant(epoch).is_err() {
            return None;
        }
        Some(self.grant_append(entry, epoch, None))
    }

    /// Makes a grant for the journal. The caller counts it as in flight once the journal has taken
    /// it.
    fn grant_append(
        &self,
        entry: &Entry,
        epoch: Epoch,
        sender: Option<oneshot::Sender<Result<(), Refusal>>>,
    ) -> Append {
        let life = (entry.book.key().clone(), entry.incarnation.clone());
        let list = record::list_name(ListKind::Grants, &life.0, &life.1);
        let this = self.clone();
        let done: Done = Box::new(move |outcome| {
            let outcome = outcome.map(drop).map_err(|_| storage_unavailable());
            this.granted(&life, outcome.is_ok().then_some(epoch));
            if let Some(sender) = sender {
                answer(sender, outcome);
            }
        });
        Append { list, expected: entry.grants, records: vec![record::encode_grant(epoch)], done }
    }

    /// Grants the epoch of a newer lead's command: from then on, commands and streams with a lower
    /// epoch are refused. A command on another incarnation grants nothing on this one.
    pub(super) async fn fence(&self, key: &OrderKey, command: &Command) -> Result<(), Refusal> {
        // An opening brings its grant along.
        let Some(epoch) = command.epoch.filter(|_| !matches!(command.act, Act::Open(_))) else {
            return Ok(());
        };
        let life = {
            let mut shard = self.shard(key).lock();
            let held = shard.newest(key, command.incarnation.as_ref()).ok();
            match held.filter(|held| held.book.order().is_some()) {
                Some(held) if epoch > held.book.floor() => held.incarnation.clone(),
                Some(_) | None => return Ok(()),
            }
        };
        self.grant(key, &life, epoch).await
    }

    /// Runs on the journal's thread, after a grant's sync, or without an epoch after its failure.
    /// After a failure the number of grants is unknown, and the order is read again.
    fn granted(&self, life: &Life, on_disk: Option<Epoch>) {
        let mut guard = self.shard(&life.0).lock();
        let shard = &mut *guard;
        let Some(entry) = of_life(&mut shard.openings, &mut shard.orders, life) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        match on_disk {
            Some(epoch) => entry.granted = entry.granted.max(epoch),
            None => shard.suspect(life),
        }
    }
}
