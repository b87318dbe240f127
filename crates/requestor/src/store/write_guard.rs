//! The only way to write an order's list: one writer at a time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use orderstream_core::buyer::BuyerError;
use orderstream_core::{CommandKind, Incarnation, OrderKey, Reason, Refusal};
use tokio::sync::MutexGuard;

use super::{
    OrderRecord, OrderStore, STORED_COMMANDS_MAX, StoreError, StoredCommand, StoredOrder, list_of,
    matches_incarnation,
};

/// The exclusive right to write an order's list.
#[derive(Debug)]
pub struct OrderWriteGuard<'a> {
    store: &'a OrderStore,
    key: OrderKey,
    lengths: MutexGuard<'a, BTreeMap<OrderKey, u64>>,
}

impl<'a> OrderWriteGuard<'a> {
    pub(super) const fn new(
        store: &'a OrderStore,
        key: OrderKey,
        lengths: MutexGuard<'a, BTreeMap<OrderKey, u64>>,
    ) -> Self {
        Self { store, key, lengths }
    }

    /// Returns the order, folded from its list.
    ///
    /// # Errors
    /// As [`OrderStore::load`].
    pub fn load(&mut self) -> Result<StoredOrder, StoreError> {
        let stored = self.store.load(&self.key)?;
        // The length of a list that does not exist is not remembered.
        if stored.len > 0 {
            self.lengths.insert(self.key.clone(), stored.len);
        }
        Ok(stored)
    }

    /// Returns the number of the list's records.
    fn len(&mut self) -> Result<u64, StoreError> {
        match self.lengths.get(&self.key) {
            Some(len) => Ok(*len),
            None => Ok(self.load()?.len),
        }
    }

    /// Refuses a command on this incarnation of the order if too many are stored. If all of them
    /// are on other incarnations and have an outcome, and there is no submission, the list is
    /// removed instead.
    ///
    /// # Errors
    /// When it is refused, or the list cannot be read or removed.
    pub(crate) async fn check_capacity(
        &mut self,
        command: &CommandKind,
        incarnation: Option<&Incarnation>,
    ) -> Result<(), BuyerError> {
        let is_end = matches!(
            command,
            CommandKind::Finalise { .. } | CommandKind::Close { .. } | CommandKind::Cancel { .. }
        );
        let max = if is_end { STORED_COMMANDS_MAX.saturating_mul(2) } else { STORED_COMMANDS_MAX };
        // Each command has two records: the command and its outcome.
        if self.len()? < max.saturating_mul(2) {
            return Ok(());
        }
        let stored = self.load()?;
        let is_over = |command: &StoredCommand| {
            !matches_incarnation(command.incarnation.as_ref(), incarnation)
        };
        let all_are_over = stored.open_commands.is_empty() && stored.commands.iter().all(is_over);
        if stored.submission.is_none() && all_are_over {
            return Ok(self.remove().await?);
        }
        let id = &self.key.order_req_id;
        let text = format!("{max} commands were sent to order {id}, the most that are kept");
        Err(Refusal::new(Reason::LimitReached, text).into())
    }

    /// Appends one record. Done when it is on disk.
    ///
    /// # Errors
    /// When it is not stored. A record that is on disk nevertheless does not count for this store,
    /// and is disowned by the next append.
    pub async fn append(&mut self, record: &OrderRecord) -> Result<(), StoreError> {
        let before = self.len()?;
        let mut in_doubt = self.store.in_doubt.of(&self.key);
        // Records that were not written never will be: others reuse their numbers now.
        in_doubt.retain(|number| *number <= before);
        let mut records = Vec::new();
        if !in_doubt.is_empty() {
            records.push(bytes_of(&disowned(in_doubt))?);
        }
        records.push(bytes_of(record)?);
        let last = self.write(before, records).await?;
        if !matches!(record, OrderRecord::OrderEnded { .. }) {
            self.lengths.insert(self.key.clone(), last);
        }
        Ok(())
    }

    /// Disowns the records that were refused and may be on disk, so that they never count, also
    /// after a restart.
    ///
    /// # Errors
    /// When they may still count.
    pub(crate) async fn disown(&mut self) -> Result<(), StoreError> {
        let mut in_doubt = self.store.in_doubt.of(&self.key);
        match in_doubt.first() {
            None => Ok(()),
            // There was no list before, so all of it is removed.
            Some(1) => self.remove().await,
            Some(_) => {
                let before = self.load()?.len;
                // As above. If none is left, the successful write is the proof of it.
                in_doubt.retain(|number| *number <= before);
                let records = vec![bytes_of(&disowned(in_doubt))?];
                self.write(before, records).await.map(drop)
            }
        }
    }

    /// Appends records; returns the number of the list's records after them.
    async fn write(&mut self, before: u64, records: Vec<Bytes>) -> Result<u64, StoreError> {
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let last = before.saturating_add(count);
        let OrderStore { lists, in_doubt, .. } = self.store;
        // After a failure the length is not known until it is read again. Nor is it known, if this
        // is dropped before it is done, whether the records are there.
        self.lengths.remove(&self.key);
        let previous = in_doubt.of(&self.key);
        let in_flight = before.saturating_add(1)..=last;
        in_doubt.set(&self.key, previous.iter().copied().chain(in_flight).collect());
        let appended = lists.append(list_of(&self.key), before, records).await;
        match &appended {
            Ok(()) => in_doubt.set(&self.key, BTreeSet::new()),
            Err(StoreError::InDoubt(_)) => in_doubt.wake(),
            Err(StoreError::Unavailable(_) | StoreError::Damaged(_)) => {
                in_doubt.set(&self.key, previous)
            }
        }
        appended.map(|()| last)
    }

    /// Removes the order's whole list.
    ///
    /// # Errors
    /// When the list may come back.
    pub async fn remove(&mut self) -> Result<(), StoreError> {
        self.lengths.remove(&self.key);
        self.store.lists.remove(list_of(&self.key)).await?;
        self.store.in_doubt.set(&self.key, BTreeSet::new());
        Ok(())
    }
}

fn disowned(numbers: BTreeSet<u64>) -> OrderRecord {
    OrderRecord::Disowned { records: numbers.into_iter().collect() }
}

fn bytes_of(record: &OrderRecord) -> Result<Bytes, StoreError> {
    let bytes = serde_json::to_vec(record);
    bytes.map(Bytes::from).map_err(|error| StoreError::Unavailable(error.to_string()))
}
