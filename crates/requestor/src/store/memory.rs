//! An order store's lists in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Lists, StoreError};

/// Lists in memory, for tests and trials: nothing survives the process.
#[derive(Debug, Default)]
pub struct MemoryLists {
    lists: parking_lot::Mutex<BTreeMap<String, Vec<Bytes>>>,
    is_failing: AtomicBool,
}

impl MemoryLists {
    /// Makes every append fail from now on.
    pub fn fail_writes(&self) {
        self.is_failing.store(true, Ordering::Release);
    }

    /// Makes appends work again.
    pub fn recover(&self) {
        self.is_failing.store(false, Ordering::Release);
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_failing.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("no space left on device".to_owned()));
        }
        Ok(())
    }
}

impl Lists for MemoryLists {
    fn append(
        &self,
        list: String,
        expected: u64,
        records: Vec<Bytes>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.check()?;
            let mut lists = self.lists.lock();
            let stored = lists.entry(list).or_default();
            if u64::try_from(stored.len()).ok() != Some(expected) {
                return Err(StoreError::Unavailable("another length was expected".to_owned()));
            }
            stored.extend(records);
            Ok(())
        })
    }

    fn read(&self, list: &str) -> Result<Vec<Bytes>, StoreError> {
        Ok(self.lists.lock().get(list).cloned().unwrap_or_default())
    }

    fn remove(&self, list: String) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.lists.lock().remove(&list);
            Ok(())
        })
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.lists.lock().keys().cloned().collect())
    }
}
