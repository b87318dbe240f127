//! The order store: the buyers' requests over REST, one list of records per order, from which a
//! requestor that was killed resumes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use orderstream_core::buyer::{BuyerError, CommandOutcome};
use orderstream_core::command::CommandKind;
use orderstream_core::event::Cause;
use orderstream_core::limits::FOLLOW_UPS_MAX;
use orderstream_core::placement::order_hash;
use orderstream_core::spec::FollowUp;
use orderstream_core::tracker::PublishedView;
use orderstream_core::{
    Command, Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, Phase, Refusal,
};
use tokio::sync::Mutex;

mod commands;
#[cfg(test)]
mod golden;
mod in_doubt;
mod memory;
mod record;
mod stored_orders;
mod write_guard;

pub use self::commands::{StoredCommand, StoredRefusal};
pub(crate) use self::commands::{
    follow_up_command, follow_up_key, matches_command, outcome_record,
};
use self::commands::{keyed_command, matches_incarnation, parse_refusal};
use self::in_doubt::InDoubtRecords;
pub(crate) use self::in_doubt::disown_all;
pub use self::memory::MemoryLists;
pub use self::record::{OrderRecord, OrderSubmission};
pub use self::stored_orders::{EndedOrder, StoredOrders};
pub use self::write_guard::OrderWriteGuard;

/// The list whose length is the epoch.
const STARTS: &str = "requestor/starts";
/// The most lists of starts; all but the last may be damaged.
const STARTS_LISTS_MAX: usize = 16;
/// The prefix of the names of all orders' lists.
const ORDERS: &str = "requestor/orders/";
/// The most commands that are stored of one order: twice as many as follow-ups that its processor
/// accepts. Commands that end the order are accepted up to twice this number.
pub(crate) const STORED_COMMANDS_MAX: u64 = 2 * FOLLOW_UPS_MAX as u64;
/// The most orders that may be written at once.
const LANES: usize = 256;

/// An error of the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written, or it could not be read.
    #[error("cannot be used now: {0}")]
    Unavailable(String),
    /// The write failed in progress: the records may be on disk or not.
    #[error("cannot be written: {0}")]
    InDoubt(String),
    /// The bytes that were read are not what was written.
    #[error("is damaged: {0}")]
    Damaged(String),
}

impl From<StoreError> for BuyerError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Unavailable(_) | StoreError::InDoubt(_) => Self::NotStored(text),
            StoreError::Damaged(_) => Self::Damaged(text),
        }
    }
}

/// The store's view of a journal: numbered lists of records, durable when an append is done.
pub trait Lists: Send + Sync + fmt::Debug + 'static {
    /// Appends to a list that has `expected` records: all or none. Done when they are on disk;
    /// records that failed with [`StoreError::InDoubt`] may be found there later.
    fn append(
        &self,
        list: String,
        expected: u64,
        records: Vec<Bytes>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns all records of a list; none when there is no such list.
    ///
    /// # Errors
    /// When the list is damaged or cannot be read.
    fn read(&self, list: &str) -> Result<Vec<Bytes>, StoreError>;

    /// Removes a list; done when it is gone for good. A list that does not exist is removed
    /// already.
    fn remove(&self, list: String) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns the names of all lists.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn names(&self) -> Result<Vec<String>, StoreError>;

    /// Returns the number of a list's records, as far as it is known, also where the list is
    /// damaged.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn len(&self, list: &str) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.read(list)?.len()).unwrap_or(u64::MAX))
    }

    /// Reports whether the store is so damaged that it accepts no write until an operator has
    /// acted.
    fn is_read_only(&self) -> bool {
        false
    }
}

/// An order, folded from its list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredOrder {
    /// The buyer's submission; absent when only follow-ups came.
    pub submission: Option<Box<OrderSubmission>>,
    /// The commands without an outcome, oldest first.
    pub open_commands: Vec<Command>,
    /// Every command with a key, oldest first.
    pub commands: Vec<StoredCommand>,
    /// Every follow-up, oldest first.
    pub follow_ups: Vec<FollowUpId>,
    /// The phase in which the order ended; absent before its end.
    pub ended: Option<Phase>,
    /// The order as it is displayed since its end; absent where a former version wrote the end.
    pub last: Option<Box<PublishedView>>,
    /// The number of the list's records.
    pub len: u64,
    /// The indices into `commands` of each key's commands: one for each incarnation of the order.
    by_key: BTreeMap<IdempotencyKey, Vec<usize>>,
}

impl StoredOrder {
    /// Returns the command under a key on this incarnation of the order, or the last one where none
    /// is given.
    pub fn command(
        &self,
        key: &IdempotencyKey,
        incarnation: Option<&Incarnation>,
    ) -> Option<&StoredCommand> {
        let of_key = self.by_key.get(key)?.iter().rev();
        let mut of_key = of_key.filter_map(|index| self.commands.get(*index));
        of_key.find(|command| matches_incarnation(command.incarnation.as_ref(), incarnation))
    }

    /// Returns the stored command that waits under a key.
    pub fn open_command(
        &self,
        key: &IdempotencyKey,
        incarnation: Option<&Incarnation>,
    ) -> Option<&Command> {
        self.open_commands.iter().rev().find(|command| matches_command(command, key, incarnation))
    }

    fn add_command(&mut self, command: Command, incarnation: Option<Incarnation>) {
        let of_submission =
            || self.submission.as_ref().map(|submission| submission.incarnation.clone());
        let incarnation = incarnation.or_else(of_submission);
        if let Some(key) = &command.key {
            let cause = Cause::new(key.clone(), &command.kind);
            let (name, incarnation) = (command.kind.name(), incarnation.clone());
            self.by_key.entry(key.clone()).or_default().push(self.commands.len());
            self.commands.push(StoredCommand {
                cause,
                incarnation,
                name,
                outcome: CommandOutcome::Pending,
            });
        }
        self.open_commands.push(Command { incarnation, ..command });
    }

    /// Sets the outcome of a waiting command. An outcome that was set before stays.
    fn settle(
        &mut self,
        key: &IdempotencyKey,
        incarnation: Option<&Incarnation>,
        outcome: CommandOutcome,
    ) {
        for index in self.by_key.get(key).into_iter().flatten().rev() {
            let Some(command) = self.commands.get_mut(*index) else { continue };
            let is_pending = command.outcome == CommandOutcome::Pending;
            if is_pending && matches_incarnation(command.incarnation.as_ref(), incarnation) {
                command.outcome = outcome;
                break;
            }
        }
        self.open_commands.retain(|command| !matches_command(command, key, incarnation));
    }

    /// Folds a whole list, without the disowned records.
    fn fold(records: Vec<OrderRecord>, mut disowned: BTreeSet<u64>) -> Self {
        for (number, record) in (1..).zip(&records) {
            if let OrderRecord::Disowned { records } = record {
                // A record can disown only records before itself.
                disowned.extend(records.iter().filter(|record_number| **record_number < number));
            }
        }
        let mut stored = Self::default();
        for record in records {
            stored.len = stored.len.saturating_add(1);
            if !disowned.contains(&stored.len) {
                stored.apply(record);
            }
        }
        stored
    }

    /// Folds one record.
    fn apply(&mut self, record: OrderRecord) {
        match record {
            OrderRecord::RequestSubmission(submission) => self.submission = Some(submission),
            OrderRecord::RequestFollowUp { id, audience, message, answers, incarnation } => {
                self.follow_ups.push(id.clone());
                let follow_up = FollowUp { id, audience, message, answers };
                self.add_command(follow_up_command(follow_up), incarnation);
            }
            OrderRecord::FollowUpForwarded { id, incarnation } => {
                if let Some(key) = follow_up_key(&id) {
                    self.settle(&key, incarnation.as_ref(), CommandOutcome::Done);
                }
            }
            OrderRecord::CommandRequested { id, body, incarnation } => {
                self.add_command(keyed_command(id, *body), incarnation);
            }
            OrderRecord::OrderFinalised { id, award, reason, undo_within_ms, incarnation } => {
                let body = CommandKind::Finalise { award, reason, undo_within_ms };
                self.add_command(keyed_command(id, body), incarnation);
            }
            OrderRecord::OrderPaused { id, reason, incarnation } => {
                self.add_command(keyed_command(id, CommandKind::Pause { reason }), incarnation);
            }
            OrderRecord::CommandSettled { id, refused, refusal, incarnation } => {
                let refusal = refusal.map(|stored| Refusal::from(*stored));
                let refusal = refusal.or_else(|| refused.as_deref().map(parse_refusal));
                let outcome = refusal.map_or(CommandOutcome::Done, CommandOutcome::Refused);
                self.settle(&id, incarnation.as_ref(), outcome);
            }
            OrderRecord::OrderEnded { phase, last } => {
                (self.ended, self.last) = (Some(phase), last)
            }
            // Disowned records are collected before the fold.
            OrderRecord::Disowned { .. } => {}
        }
    }
}

/// The order store of all orders.
#[derive(Debug)]
pub struct OrderStore {
    lists: Arc<dyn Lists>,
    lanes: Vec<Mutex<BTreeMap<OrderKey, u64>>>,
    in_doubt: InDoubtRecords,
}

impl OrderStore {
    /// Makes a store over these lists.
    pub fn new(lists: Arc<dyn Lists>) -> Self {
        let lanes = (0..LANES).map(|_| Mutex::new(BTreeMap::new())).collect();
        Self { lists, lanes, in_doubt: InDoubtRecords::default() }
    }

    /// Stores that a requestor starts, durably, and returns its epoch: one more than the starts
    /// before. Where a list of starts is damaged, the next list continues from its length as far as
    /// it is known. A store that is read-only accepts no command, and counts the start for this
    /// process alone.
    ///
    /// # Errors
    /// When the start cannot be stored.
    pub async fn start(&self, started_at: &str) -> Result<Epoch, StoreError> {
        let mut epoch = 1_u64;
        for part in 1..=STARTS_LISTS_MAX {
            let list = if part == 1 { STARTS.to_owned() } else { format!("{STARTS}/{part}") };
            let count = self.lists.len(&list)?;
            epoch = epoch.saturating_add(count);
            if let Err(StoreError::Damaged(reason)) = self.lists.read(&list) {
                tracing::error!(list, reason, "a list of starts is damaged");
                continue;
            }
            if !self.lists.is_read_only() {
                let record = serde_json::json!({ "started_at": started_at }).to_string();
                self.lists.append(list, count, vec![Bytes::from(record)]).await?;
            }
            return Ok(Epoch(epoch));
        }
        Err(StoreError::Damaged("every list of starts is damaged".to_owned()))
    }

    /// Waits for the exclusive right to write the order's list.
    pub async fn write_guard(&self, key: &OrderKey) -> OrderWriteGuard<'_> {
        let lanes = u64::try_from(LANES).unwrap_or(1);
        let lane = usize::try_from(order_hash(key) % lanes).unwrap_or(0);
        #[allow(clippy::indexing_slicing, reason = "a remainder of the length")]
        let lengths = self.lanes[lane].lock().await;
        OrderWriteGuard::new(self, key.clone(), lengths)
    }

    /// Returns one order, folded from its list.
    ///
    /// # Errors
    /// When the list is damaged or cannot be read.
    pub fn load(&self, key: &OrderKey) -> Result<StoredOrder, StoreError> {
        // Read before the list and after it: no caller has a reply about the records that are in
        // doubt in between.
        let mut in_doubt = self.in_doubt.of(key);
        let read = self.lists.read(&list_of(key))?;
        in_doubt.extend(self.in_doubt.of(key));
        let record = |bytes: Bytes| {
            serde_json::from_slice(&bytes)
                .map_err(|error| StoreError::Damaged(format!("order {key}: {error}")))
        };
        let records = read.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        Ok(StoredOrder::fold(records, in_doubt))
    }

    /// Returns the records that were refused and may be on disk, order by order.
    pub(crate) const fn in_doubt(&self) -> &InDoubtRecords {
        &self.in_doubt
    }
}

fn list_of(key: &OrderKey) -> String {
    format!("{ORDERS}{}/{}", key.tenant, key.order_req_id)
}

fn key_of(name: &str) -> Option<OrderKey> {
    let (tenant, order_req_id) = name.strip_prefix(ORDERS)?.split_once('/')?;
    OrderKey::new(tenant, order_req_id).ok()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
