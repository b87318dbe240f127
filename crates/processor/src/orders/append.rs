//! From a step to the disk and back: the append, and what happens when the journal answers.

use std::sync::Arc;

use orderstream_core::book::Output;
use orderstream_core::{Answer, Epoch, Event, Incarnation, OrderKey, Refusal, Seq, Withheld};
use orderstream_journal::{Append, AppendError, Appended};
use tokio::sync::oneshot;

use super::entry::{Entry, answer};
use super::outbox;
use super::record::{self, ListKind, OnDisk};
use super::{Deadlines, Orders, Shard, Slot, storage_unavailable};

/// What the journal's answer is needed for.
struct Waiting {
    key: OrderKey,
    incarnation: Incarnation,
    events: Vec<Arc<Event>>,
    answer: Withheld<Result<Answer, Refusal>>,
    sender: oneshot::Sender<Result<Answer, Refusal>>,
    slot: Slot,
}

impl Orders {
    /// Hands the events of a step to the journal, with the grant to the tracker that opens the order by
    /// it. The caller holds the shard's lock, so that the journal sees an order's appends in the order
    /// of their steps.
    pub(super) fn append(
        &self,
        shard: &mut Shard,
        key: &OrderKey,
        (output, opener): (Output, Option<Epoch>),
        (slot, sender): (Slot, oneshot::Sender<Result<Answer, Refusal>>),
    ) {
        let Some(entry) = shard.orders.get_mut(key) else { return };
        index_deadline(&mut shard.deadlines, entry);
        let records: Result<Vec<_>, _> = output.events.iter().map(record::encode).collect();
        let expected = output.events.first().map_or(0, |event| event.seq.0.saturating_sub(1));
        let waiting = Waiting {
            key: key.clone(),
            incarnation: entry.incarnation.clone(),
            events: output.events.into_iter().map(Arc::new).collect(),
            answer: output.answer,
            sender,
            slot,
        };
        let list = record::list_name(ListKind::Events, key, &entry.incarnation);
        let this = self.clone();
        let done = Box::new(move |outcome| this.appended(waiting, outcome));
        let grant = opener.and_then(|epoch| {
            entry.feed.expect_opener();
            self.opening_grant(entry, epoch)
        });
        let grants = u64::from(grant.is_some());
        let submitted = match records {
            Ok(records) => {
                let append = Append { list, expected, records, done };
                let appends = grant.into_iter().chain([append]).collect();
                self.inner.parts.journal.submit_all(appends).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match submitted {
            Ok(()) => {
                entry.in_flight = entry.in_flight.saturating_add(1);
                entry.grants = entry.grants.saturating_add(grants);
            }
            Err(error) => {
                // The callback was dropped, and with it the sender: the caller hears that the
                // storage is unavailable.
                tracing::warn!(order = %key, %error, "the journal takes no records");
                suspect(shard, key);
            }
        }
    }

    /// On the journal's thread, after the sync or its failure.
    fn appended(&self, waiting: Waiting, outcome: Result<Appended, AppendError>) {
        let Waiting { key, incarnation, events, answer: withheld, sender, slot } = waiting;
        let mut shard = self.shard(&key).lock();
        let entry = shard.orders.get_mut(&key).filter(|entry| entry.incarnation == incarnation);
        let Some(entry) = entry else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let released = match outcome {
            Ok(appended) => {
                let told = tracing::enabled!(tracing::Level::DEBUG).then(|| events.clone());
                if let Some(order) = entry.book.order() {
                    let metrics = &self.inner.parts.metrics;
                    entry.proposals = metrics.stored(order, &events, entry.proposals);
                    let ended = order.phase.is_terminal();
                    if ended && events.last().is_some_and(|last| last.seq == order.last_seq) {
                        self.inner.capacity.end(order);
                    }
                }
                let mut wakers = publish(entry, OnDisk::from(&appended), events);
                wakers.extend(self.index_invited(entry));
                let released = withheld.release(&appended).ok();
                outbox::wake(self, entry);
                drop(shard);
                wakers.into_iter().for_each(std::task::Waker::wake);
                tell(&key, &incarnation, &told.unwrap_or_default());
                released
            }
            Err(error) => {
                tracing::warn!(order = %key, %error, "records did not reach the disk");
                suspect(&mut shard, &key);
                None
            }
        };
        drop(slot);
        answer(sender, released.unwrap_or_else(|| Err(storage_unavailable())));
    }
}

impl Orders {
    /// Brings the index of invitations in step with what is on disk: once when the order opens, once
    /// when it ends. Gives the wakers of the sellers' sessions, to be woken without the lock.
    pub(super) fn index_invited(&self, entry: &mut Entry) -> Vec<std::task::Waker> {
        let on_disk = entry.on_disk.seq();
        let Some(order) = entry.book.order().filter(|_| on_disk > Seq(0)) else {
            return Vec::new();
        };
        let is_over = order.phase.is_terminal() && order.last_seq <= on_disk;
        match (entry.place, is_over) {
            (None, false) => {
                let (place, wakers) = self.inner.invited.open(order);
                entry.place = Some(place);
                wakers
            }
            (Some(place), true) => {
                self.inner.invited.end(order, place);
                entry.place = None;
                Vec::new()
            }
            (None, true) | (Some(_), false) => Vec::new(),
        }
    }
}

/// Tells of events that are stored, under their order's trace.
fn tell(key: &OrderKey, life: &Incarnation, events: &[Arc<Event>]) {
    for event in events {
        let (seq, word, trace_id) = (event.seq.0, event.kind.as_str(), life.trace_id());
        tracing::debug!(order = %key, seq, event = word, trace_id, "an event is stored");
    }
}

/// Brings the shard's index of deadlines in step with the order's book.
pub(super) fn index_deadline(deadlines: &mut Deadlines, entry: &mut Entry) {
    let deadline = entry.book.deadline();
    if deadline == entry.deadline {
        return;
    }
    let key = entry.book.key();
    if let Some(former) = entry.deadline {
        deadlines.remove(&(former, key.clone()));
    }
    if let Some(deadline) = deadline {
        deadlines.insert((deadline, key.clone()));
    }
    entry.deadline = deadline;
}

/// Makes visible what is on disk, to followers and to those who wait. Gives the wakers, to be
/// woken without the lock.
pub(super) fn publish(
    entry: &mut Entry,
    on_disk: OnDisk,
    events: Vec<Arc<Event>>,
) -> Vec<std::task::Waker> {
    entry.on_disk = entry.on_disk.max(on_disk);
    let ended_at = entry
        .book
        .order()
        .filter(|order| order.phase.is_terminal() && order.last_seq <= entry.on_disk.seq())
        .map(|order| order.last_seq);
    let wakers = entry.feed.publish(entry.on_disk.seq(), ended_at, events);
    entry.wake_waiters();
    wakers
}

fn suspect(shard: &mut Shard, key: &OrderKey) {
    if let Some(entry) = shard.orders.get_mut(key) {
        entry.suspect = true;
        entry.fail_waiters();
        shard.suspects.insert(key.clone());
    }
}
