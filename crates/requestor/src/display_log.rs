//! Stores each order's state before it is displayed to buyers, so that a requestor that is killed
//! takes nothing back. One list for all orders: the last record of an order is current. Nothing is
//! written for an event that nobody reads, and all states that are read meanwhile go into one
//! append.
//!
//! ```text
//!   read ──▶ requested ──▶ append, sync ──▶ the tracker's `published` ──▶ reply
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orderstream_core::OrderKey;
use orderstream_core::tracker::PublishedView;
use serde::{Deserialize, Serialize};

use crate::registry::Registry;
use crate::store::{Lists, StoreError};

/// The prefix of the lists' names; a number follows, and the list with the highest one is written
/// to.
const LISTS: &str = "requestor/shown/";
/// The number of records in one append: a page of a list is stored at once.
const RECORDS_PER_APPEND: usize = 1_000;
/// The least number of records in a list before the next one is begun: some ten megabytes.
const RECORDS_MAX: u64 = 20_000;
/// The most records of a list for each order that is in it.
const RECORDS_PER_ORDER: u64 = 2;
/// The longest wait of a reader for the disk. Then the stored states are displayed.
const KEEP_TIMEOUT: Duration = Duration::from_secs(2);

/// An order's displayed state.
#[derive(Serialize, Deserialize)]
struct DisplayRecord<K, S> {
    #[serde(flatten)]
    key: K,
    #[serde(rename = "shown")]
    displayed: S,
}

/// The states of orders that were displayed before.
pub(crate) type DisplayFloors = BTreeMap<OrderKey, Arc<PublishedView>>;

/// The list that is written to.
#[derive(Debug, Default)]
struct ActiveDisplayList {
    number: u64,
    /// The number of its records; absent after a failure, until it is read again.
    len: Option<u64>,
    /// The earlier lists. They are read first, and hold the states that this list does not have
    /// yet.
    older: Vec<String>,
    /// The orders still to be copied into it from those; absent where this process did not begin
    /// it, or it is complete.
    uncopied: Option<Vec<OrderKey>>,
}

impl ActiveDisplayList {
    fn name(&self) -> String {
        name(self.number)
    }

    /// Begins the next list. From now on every record is written there, even if the copy of the old
    /// lists is interrupted: in the sequence in which lists are read, the last record is the
    /// newest.
    fn begin_next(&mut self, uncopied: Vec<OrderKey>) {
        let (number, mut older) = (self.number.saturating_add(1), std::mem::take(&mut self.older));
        older.push(self.name());
        *self = Self { number, len: None, older, uncopied: Some(uncopied) };
    }
}

fn name(number: u64) -> String {
    format!("{LISTS}{number}")
}

/// The log of the displayed states of all orders.
#[derive(Debug)]
pub(crate) struct DisplayLog {
    lists: Arc<dyn Lists>,
    /// The orders that readers wait for.
    requested: parking_lot::Mutex<BTreeSet<OrderKey>>,
    list: tokio::sync::Mutex<ActiveDisplayList>,
}

impl DisplayLog {
    /// Reads the states that were displayed before. A damaged list is left out and stays as it is,
    /// with a line in the log: the orders are read from the processors again.
    ///
    /// # Errors
    /// When the store cannot be read at all.
    pub(crate) fn open(lists: Arc<dyn Lists>) -> Result<(Self, DisplayFloors), StoreError> {
        let number_of = |name: &String| name.strip_prefix(LISTS)?.parse::<u64>().ok();
        let mut numbers: Vec<u64> = lists.names()?.iter().filter_map(number_of).collect();
        numbers.sort_unstable();
        let (mut floors, mut is_damaged) = (DisplayFloors::new(), false);
        for number in &numbers {
            if let Err(error) = read(&*lists, &name(*number), &mut floors) {
                tracing::error!(number, %error, "a damaged list of displayed orders is left out");
                is_damaged = true;
            }
        }
        // Nothing is appended to a damaged list.
        let last = if is_damaged { None } else { numbers.pop() };
        let next = numbers.last().map_or(1, |last| last.saturating_add(1));
        let older = numbers.into_iter().map(name).collect();
        let list = ActiveDisplayList {
            number: last.unwrap_or(next),
            older,
            ..ActiveDisplayList::default()
        };
        let (requested, list) = (parking_lot::Mutex::default(), tokio::sync::Mutex::new(list));
        Ok((Self { lists, requested, list }, floors))
    }

    /// Stores the states to display of these orders. They may be displayed once this returns.
    ///
    /// # Errors
    /// When they could not be stored, or not in time.
    pub(crate) async fn persist(
        &self,
        registry: &Registry,
        keys: &[OrderKey],
    ) -> Result<(), StoreError> {
        let fresh: Vec<OrderKey> =
            registry.to_persist(keys.iter()).into_iter().map(|(key, _)| key).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        self.requested.lock().extend(fresh.iter().cloned());
        let work = async {
            let mut list = self.list.lock().await;
            // An earlier caller may have stored these too, unless it gave up.
            let mut requested = std::mem::take(&mut *self.requested.lock());
            requested.extend(fresh);
            self.append(&mut list, registry, registry.to_persist(requested.iter())).await
        };
        let late = || StoreError::Unavailable("the disk does not answer in time".to_owned());
        tokio::time::timeout(KEEP_TIMEOUT, work).await.unwrap_or_else(|_| Err(late()))
    }

    async fn append(
        &self,
        list: &mut ActiveDisplayList,
        registry: &Registry,
        displayed: Vec<(OrderKey, Arc<PublishedView>)>,
    ) -> Result<(), StoreError> {
        for part in displayed.chunks(RECORDS_PER_APPEND) {
            self.append_part(list, part).await?;
            part.iter().for_each(|(key, displayed)| registry.mark_persisted(key, displayed));
        }
        self.compact(list, registry).await;
        Ok(())
    }

    /// Begins the next list where this one has grown too long.
    async fn compact(&self, list: &mut ActiveDisplayList, registry: &Registry) {
        if list.uncopied.is_none() {
            let Some(len) = list.len.filter(|len| *len > RECORDS_MAX) else { return };
            let keys = registry.displayed_keys();
            if len <= count(keys.len()).saturating_mul(RECORDS_PER_ORDER) {
                return;
            }
            list.begin_next(keys);
        }
        if let Err(error) = self.finish_copy(list, registry).await {
            tracing::warn!(%error, "the displayed states of orders are not compacted yet");
        }
    }

    async fn append_part(
        &self,
        list: &mut ActiveDisplayList,
        part: &[(OrderKey, Arc<PublishedView>)],
    ) -> Result<(), StoreError> {
        let records = part.iter().map(|(key, displayed)| {
            serde_json::to_vec(&DisplayRecord { key, displayed: &**displayed }).map(Bytes::from)
        });
        let records: Vec<Bytes> = records
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let before = match list.len.take() {
            Some(len) => len,
            None => count(self.lists.read(&list.name())?.len()),
        };
        let added = count(records.len());
        self.lists.append(list.name(), before, records).await?;
        list.len = Some(before.saturating_add(added));
        Ok(())
    }

    /// Copies the current states into a list that was begun, from where the copy stopped, and
    /// removes the old lists once the copy is complete.
    async fn finish_copy(
        &self,
        list: &mut ActiveDisplayList,
        registry: &Registry,
    ) -> Result<(), StoreError> {
        while let Some(keys) = list.uncopied.as_ref().filter(|keys| !keys.is_empty()) {
            let (rest, part) = keys.split_at(keys.len().saturating_sub(RECORDS_PER_APPEND));
            let (rest, part) = (rest.len(), registry.displayed(part));
            self.append_part(list, &part).await?;
            list.uncopied.iter_mut().for_each(|keys| keys.truncate(rest));
        }
        list.uncopied = None;
        while let Some(older) = list.older.last() {
            self.lists.remove(older.clone()).await?;
            list.older.pop();
        }
        Ok(())
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn read(lists: &dyn Lists, name: &str, floors: &mut DisplayFloors) -> Result<(), StoreError> {
    for bytes in lists.read(name)? {
        let record: DisplayRecord<OrderKey, PublishedView> = serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::Damaged(format!("{name}: {error}")))?;
        floors.insert(record.key, Arc::new(record.displayed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::BoxFuture;
    use orderstream_core::port::Assignment;
    use orderstream_core::{Incarnation, OrderSpec, Phase};

    use super::*;
    use crate::command_queue::Origin;
    use crate::metrics::Metrics;
    use crate::store::MemoryLists;

    fn record(id: &str, epoch: u64) -> (OrderKey, Bytes) {
        let key = OrderKey::new("", id).unwrap();
        let mut displayed =
            PublishedView::only_ended(Incarnation::new("uid-1").unwrap(), Phase::Closed);
        displayed.epoch = orderstream_core::Epoch(epoch);
        let record =
            Bytes::from(serde_json::to_vec(&DisplayRecord { key: &key, displayed }).unwrap());
        (key, record)
    }

    /// The list's name stays too.
    #[test]
    fn shown_records_keep_their_format() {
        let (key, serialized) = record("SB1", 3);
        let shown =
            r#"{"incarnation":"uid-1","epoch":3,"reconnects":0,"notes":0,"ended":"Closed"}"#;
        let stored = format!(r#"{{"tenant":"default","order_req_id":"SB1","shown":{shown}}}"#);
        assert_eq!(serialized, stored);
        let read: DisplayRecord<OrderKey, PublishedView> = serde_json::from_str(&stored).unwrap();
        assert_eq!((read.key, Arc::new(read.displayed)), (key, part("SB1", 3).1));
        assert_eq!(name(4), "requestor/shown/4");
    }

    /// Lists of which one fails an append, once, after `remaining_appends` appends, and cannot be
    /// removed.
    #[derive(Debug)]
    struct FailingLists {
        lists: MemoryLists,
        list: String,
        remaining_appends: AtomicUsize,
    }

    impl Lists for FailingLists {
        fn append(
            &self,
            list: String,
            expected: u64,
            records: Vec<Bytes>,
        ) -> BoxFuture<'_, Result<(), StoreError>> {
            if list == self.list && self.remaining_appends.fetch_sub(1, Ordering::Relaxed) == 0 {
                let full = StoreError::Unavailable("no space left on device".to_owned());
                return Box::pin(std::future::ready(Err(full)));
            }
            self.lists.append(list, expected, records)
        }

        fn read(&self, list: &str) -> Result<Vec<Bytes>, StoreError> {
            self.lists.read(list)
        }

        fn remove(&self, list: String) -> BoxFuture<'_, Result<(), StoreError>> {
            if list == self.list && self.lists.read(&list).is_ok_and(|records| !records.is_empty())
            {
                let busy = StoreError::Unavailable("the device is busy".to_owned());
                return Box::pin(std::future::ready(Err(busy)));
            }
            self.lists.remove(list)
        }

        fn names(&self) -> Result<Vec<String>, StoreError> {
            self.lists.names()
        }
    }

    fn registry() -> Registry {
        Registry::new(2_000, Metrics::register(&prometheus::Registry::new()).unwrap())
    }

    fn part(id: &str, epoch: u64) -> (OrderKey, Arc<PublishedView>) {
        let mut displayed =
            PublishedView::only_ended(Incarnation::new("uid-1").unwrap(), Phase::Closed);
        displayed.epoch = orderstream_core::Epoch(epoch);
        (OrderKey::new("", id).unwrap(), Arc::new(displayed))
    }

    /// Tracks an order, so that its displayed state is copied.
    fn track(registry: &Registry, id: &str) {
        let assignment = Assignment {
            key: OrderKey::new("", id).unwrap(),
            incarnation: Incarnation::new("uid-1").unwrap(),
            spec: OrderSpec::default(),
            epoch: orderstream_core::Epoch(1),
            processor: "http://127.0.0.1:9".to_owned(),
        };
        registry.add_order(assignment, Origin::Caller).unwrap();
    }

    /// The new list has each order's last state.
    #[tokio::test]
    async fn long_lists_are_compacted() {
        let lists = Arc::new(MemoryLists::default());
        let many = (0..=RECORDS_MAX).map(|epoch| record("a", epoch).1).collect();
        lists.append(name(1), 0, many).await.unwrap();
        let (log, floors) = DisplayLog::open(Arc::clone(&lists) as Arc<dyn Lists>).unwrap();
        assert_eq!(floors.values().next().unwrap().epoch.0, RECORDS_MAX, "the last one counts");
        let registry = registry();
        track(&registry, "b");
        let append = async |epoch| {
            log.append(&mut *log.list.lock().await, &registry, vec![part("b", epoch)]).await
        };
        append(1).await.unwrap();
        assert_eq!(lists.names().unwrap(), [name(2)]);
        append(2).await.unwrap();
        let (_, floors) = DisplayLog::open(lists).unwrap();
        assert_eq!(floors.into_iter().collect::<Vec<_>>(), [part("b", 2)]);
    }

    /// New records go into the next list.
    #[tokio::test]
    async fn damaged_lists_take_no_records() {
        let lists = Arc::new(MemoryLists::default());
        let records = vec![record("a", 1).1, Bytes::from_static(b"{"), record("b", 1).1];
        lists.append(name(4), 0, records).await.unwrap();
        let (log, floors) = DisplayLog::open(Arc::clone(&lists) as Arc<dyn Lists>).unwrap();
        assert_eq!(floors.into_iter().collect::<Vec<_>>(), [part("a", 1)]);
        log.append(&mut *log.list.lock().await, &registry(), vec![part("b", 2)]).await.unwrap();
        assert_eq!(lists.read(&name(4)).unwrap().len(), 3);
        let (_, floors) = DisplayLog::open(lists).unwrap();
        assert_eq!(floors.into_iter().collect::<Vec<_>>(), [part("a", 1), part("b", 2)]);
    }

    /// The record that failed is not stored.
    #[tokio::test]
    async fn appends_work_after_a_failure() {
        let lists = Arc::new(MemoryLists::default());
        let (log, _) = DisplayLog::open(Arc::clone(&lists) as Arc<dyn Lists>).unwrap();
        let append = async |id: &str| {
            log.append(&mut *log.list.lock().await, &registry(), vec![part(id, 1)]).await
        };
        append("a").await.unwrap();
        lists.fail_writes();
        assert!(append("b").await.is_err());
        lists.recover();
        append("c").await.unwrap();
        let (_, floors) = DisplayLog::open(lists).unwrap();
        assert_eq!(floors.into_iter().collect::<Vec<_>>(), [part("a", 1), part("c", 1)]);
    }

    /// The next append completes the copy.
    #[tokio::test]
    async fn half_copied_lists_lose_no_state() {
        let lists = Arc::new(FailingLists {
            lists: MemoryLists::default(),
            list: name(2),
            remaining_appends: AtomicUsize::new(1),
        });
        let many = (0..=RECORDS_MAX).map(|epoch| record("o0000", epoch).1).collect();
        lists.append(name(1), 0, many).await.unwrap();
        let (log, _) = DisplayLog::open(Arc::clone(&lists) as Arc<dyn Lists>).unwrap();
        let registry = registry();
        let id = |number: usize| format!("o{number:04}");
        (0..1_500).for_each(|number| track(&registry, &id(number)));
        let all = |epoch| (0..1_500).map(|number| part(&id(number), epoch)).collect::<Vec<_>>();
        let append = async |parts| {
            log.append(&mut *log.list.lock().await, &registry, parts).await.unwrap();
        };
        let epoch = RECORDS_MAX + 1;
        // The copy is as long as two appends, of which the second one fails.
        append(all(epoch)).await;
        append(vec![part("o0000", epoch + 1)]).await;
        let floors = |lists| DisplayLog::open(lists).unwrap().1.into_iter().collect::<Vec<_>>();
        let mut expected = all(epoch);
        expected[0] = part("o0000", epoch + 1);
        assert!(floors(Arc::clone(&lists) as Arc<dyn Lists>) == expected, "nothing goes back");
        // The next copy succeeds.
        append(vec![part("o0001", epoch + 1)]).await;
        expected[1] = part("o0001", epoch + 1);
        assert!(floors(Arc::clone(&lists) as Arc<dyn Lists>) == expected, "nothing goes back");
        assert_eq!(lists.names().unwrap().len(), 1, "the old one is gone");
    }
}
