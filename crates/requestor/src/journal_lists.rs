//! The order store's lists in a journal.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use orderstream_journal::{AppendError, Journal, ReadError, RemoveError, append};

use crate::store::{Lists, StoreError};

/// The order store's lists in a journal.
#[derive(Clone, Debug)]
pub struct JournalLists {
    journal: Arc<dyn Journal>,
}

impl JournalLists {
    /// Stores the lists in this journal, under names that begin with `requestor/`.
    pub const fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal }
    }
}

fn store_read_error(error: &ReadError) -> StoreError {
    match error {
        ReadError::Damaged { .. } => StoreError::Damaged(error.to_string()),
        ReadError::Io(_) => StoreError::Unavailable(error.to_string()),
    }
}

fn store_remove_error(error: &RemoveError) -> StoreError {
    match error {
        RemoveError::Damaged { .. } => StoreError::Damaged(error.to_string()),
        RemoveError::NotDurable(_) => StoreError::Unavailable(error.to_string()),
    }
}

fn store_append_error(error: &AppendError) -> StoreError {
    let text = error.to_string();
    match error {
        AppendError::Full(_) | AppendError::Failed(_) | AppendError::Stopped => {
            StoreError::InDoubt(text)
        }
        AppendError::Damaged(_) => StoreError::Damaged(text),
        AppendError::Conflict { .. } | AppendError::NotQueued(_) => StoreError::Unavailable(text),
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
            let appended = append(&*self.journal, Bytes::from(list), expected, records).await;
            appended.map(drop).map_err(|error| store_append_error(&error))
        })
    }

    fn read(&self, list: &str) -> Result<Vec<Bytes>, StoreError> {
        let read = self.journal.read(list.as_bytes(), 0, usize::MAX);
        let records = read.map_err(|error| store_read_error(&error))?;
        Ok(records.into_iter().map(|record| record.payload).collect())
    }

    fn remove(&self, list: String) -> BoxFuture<'_, Result<(), StoreError>> {
        let journal = Arc::clone(&self.journal);
        Box::pin(async move {
            let removed = tokio::task::spawn_blocking(move || journal.remove(list.as_bytes()));
            let removed =
                removed.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            removed.map_err(|error| store_remove_error(&error))
        })
    }

    fn len(&self, list: &str) -> Result<u64, StoreError> {
        let lists = self.journal.lists().map_err(|error| store_read_error(&error))?;
        let found = lists.into_iter().find(|(name, _)| name == list.as_bytes());
        Ok(found.map_or(0, |(_, last)| last))
    }

    fn is_read_only(&self) -> bool {
        self.journal.read_only().is_some()
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let lists = self.journal.lists().map_err(|error| store_read_error(&error))?;
        Ok(lists.into_iter().filter_map(|(name, _)| String::from_utf8(name).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{OrderRecord, OrderStore, follow_up_command};
    use orderstream_core::spec::{FollowUp, Message};
    use orderstream_core::{Epoch, FollowUpId, OrderKey};
    use orderstream_journal::{Embedded, Options};

    fn store(dir: &std::path::Path) -> OrderStore {
        let journal = Embedded::open(dir, Options::default()).unwrap();
        OrderStore::new(Arc::new(JournalLists::new(Arc::new(journal))))
    }

    #[tokio::test]
    async fn stored_orders_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let key = OrderKey::new("default", "SB1029436").unwrap();
        let id = FollowUpId::new("f-1").unwrap();
        let message = Message::default();
        {
            let store = store(dir.path());
            assert_eq!(store.start("first").await, Ok(Epoch(1)));
            let (id, audience, message) = (id.clone(), Vec::new(), message.clone());
            let record = OrderRecord::RequestFollowUp {
                id,
                audience,
                message,
                answers: None,
                incarnation: None,
            };
            store.write_guard(&key).await.append(&record).await.unwrap();
        }
        let store = store(dir.path());
        assert_eq!(store.start("second").await, Ok(Epoch(2)));
        let open = store.load_all().unwrap().open;
        assert_eq!(open.len(), 1);
        let expected =
            follow_up_command(FollowUp { id, audience: Vec::new(), message, answers: None });
        assert_eq!(open[0].1.open_commands, [expected]);
    }
}
