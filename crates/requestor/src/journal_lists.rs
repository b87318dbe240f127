//! The order store's lists in a journal.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use orderstream_journal::{Journal, ReadError, append};

use crate::store::{Lists, StoreError};

/// The order store's lists in a journal.
#[derive(Clone, Debug)]
pub struct JournalLists {
    journal: Arc<dyn Journal>,
}

impl JournalLists {
    /// Keeps the lists in this journal, under names that begin with `requestor/`.
    pub const fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal }
    }
}

fn failed(error: &ReadError) -> StoreError {
    match error {
        ReadError::Damaged { .. } => StoreError::Damaged(error.to_string()),
        ReadError::Io(_) => StoreError::Unavailable(error.to_string()),
    }
}

impl Lists for JournalLists {
    fn append(
        &self,
        list: String,
        expected: u64,
        records: Vec<Bytes>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match append(&*self.journal, Bytes::from(list), expected, records).await {
                Ok(_) => Ok(()),
                Err(error) => Err(StoreError::Unavailable(error.to_string())),
            }
        })
    }

    fn read(&self, list: &str) -> Result<Vec<Bytes>, StoreError> {
        let read = self.journal.read(list.as_bytes(), 0, usize::MAX);
        let records = read.map_err(|error| failed(&error))?;
        Ok(records.into_iter().map(|record| record.payload).collect())
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let lists = self.journal.lists().map_err(|error| failed(&error))?;
        Ok(lists.into_iter().filter_map(|(name, _)| String::from_utf8(name).ok()).collect())
    }
}
