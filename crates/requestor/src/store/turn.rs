//! The only way to write an order's list: in turns.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use orderstream_core::buyer::BuyerError;
use orderstream_core::{Act, Incarnation, OrderKey, Reason, Refusal};
use tokio::sync::MutexGuard;

use super::{
    ACTS_STORED_MAX, OrderStore, Record, StoreError, Stored, StoredAct, is_of_life, list_of,
};

/// An order's turn to write: nobody else writes its list meanwhile.
#[derive(Debug)]
pub struct Turn<'a> {
    store: &'a OrderStore,
    key: OrderKey,
    lengths: MutexGuard<'a, BTreeMap<OrderKey, u64>>,
}

impl<'a> Turn<'a> {
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
    pub fn load(&mut self) -> Result<Stored, StoreError> {
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
    pub(crate) async fn check_room(
        &mut self,
        act: &Act,
        life: Option<&Incarnation>,
    ) -> Result<(), BuyerError> {
        let is_end = matches!(act, Act::Finalise { .. } | Act::Close { .. } | Act::Cancel { .. });
        let max = if is_end { ACTS_STORED_MAX.saturating_mul(2) } else { ACTS_STORED_MAX };
        // Each command has two records: the command and its outcome.
        if self.len()? < max.saturating_mul(2) {
            return Ok(());
        }
        let stored = self.load()?;
        let is_over = |act: &StoredAct| !is_of_life(act.incarnation.as_ref(), life);
        let all_are_over = stored.open_acts.is_empty() && stored.acts.iter().all(is_over);
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
    /// When it is not stored. A record that is on disk all the same does not count for this store,
    /// and is disowned by the next append.
    pub async fn append(&mut self, record: &Record) -> Result<(), StoreError> {
        let before = self.len()?;
        let mut doubts = self.store.doubts.of(&self.key);
        // Records that were not written never will be: others take their numbers now.
        doubts.retain(|number| *number <= before);
        let mut records = Vec::new();
        if !doubts.is_empty() {
            records.push(bytes_of(&disowned(doubts))?);
        }
        records.push(bytes_of(record)?);
        let last = self.write(before, records).await?;
        if !matches!(record, Record::OrderEnded { .. }) {
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
        let mut doubts = self.store.doubts.of(&self.key);
        match doubts.first() {
            None => Ok(()),
            // There was no list before, so all of it is removed.
            Some(1) => self.remove().await,
            Some(_) => {
                let before = self.load()?.len;
                // As above. If none is left, the successful write is the proof of it.
                doubts.retain(|number| *number <= before);
                let records = vec![bytes_of(&disowned(doubts))?];
                self.write(before, records).await.map(drop)
            }
        }
    }

    /// Appends records; returns the number of the list's records after them.
    async fn write(&mut self, before: u64, records: Vec<Bytes>) -> Result<u64, StoreError> {
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let last = before.saturating_add(count);
        let OrderStore { lists, doubts, .. } = self.store;
        // After a failure the length is not known until it is read again. Nor is it known, if this
        // is dropped before it is done, whether the records are there.
        self.lengths.remove(&self.key);
        let held = doubts.of(&self.key);
        let under_way = before.saturating_add(1)..=last;
        doubts.set(&self.key, held.iter().copied().chain(under_way).collect());
        let appended = lists.append(list_of(&self.key), before, records).await;
        match &appended {
            Ok(()) => doubts.set(&self.key, BTreeSet::new()),
            Err(StoreError::Doubtful(_)) => doubts.wake(),
            Err(StoreError::Unavailable(_) | StoreError::Damaged(_)) => doubts.set(&self.key, held),
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
        self.store.doubts.set(&self.key, BTreeSet::new());
        Ok(())
    }
}

fn disowned(numbers: BTreeSet<u64>) -> Record {
    Record::Disowned { records: numbers.into_iter().collect() }
}

fn bytes_of(record: &Record) -> Result<Bytes, StoreError> {
    let bytes = serde_json::to_vec(record);
    bytes.map(Bytes::from).map_err(|error| StoreError::Unavailable(error.to_string()))
}
