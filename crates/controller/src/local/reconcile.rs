//! Reconciles one order: observes it, calls `plan`, and takes its steps.

use orderstream_core::date::parse_rfc3339;
use orderstream_core::plan::{Desired, Seen, Step, plan, refusal};
use orderstream_core::port::Assignment;
use orderstream_core::{Incarnation, OrderKey, Refusal, Timestamp};

use super::Inner;
use super::wakes::Due;
use crate::convert;
use crate::order_request::{OrderRequest, OrderRequestStatus, StreamStatus};
use crate::status::{ended, status};

/// The longest wait of a deleted resource for its order's end, milliseconds.
const DELETE_WAIT_MS: u64 = 30_000;
/// The shortest time until an order is reconciled again, milliseconds, so that waiting for a late
/// end is not a busy loop.
const LOOK_AGAIN_MS: u64 = 1_000;

/// The result of reconciling.
enum Outcome {
    /// Reconcile again at this time, if nothing wakes the order before.
    Keep(Option<Timestamp>),
    /// The resource was removed.
    Gone,
}

impl Inner {
    /// Reconciles all orders that are due.
    pub(super) fn pass(&self, due: Due) {
        let keys: Vec<OrderKey> = match due {
            Due::Some(keys) => keys.into_iter().collect(),
            Due::All => self.held.lock().keys().cloned().collect(),
        };
        for key in keys {
            if self.shutdown.is_cancelled() {
                return;
            }
            self.look(&key);
        }
    }

    /// Reconciles one order. A refusal is shown in the status, and the order is retried later.
    pub(super) fn look(&self, key: &OrderKey) {
        let _writing = self.writer.lock();
        let Some(mut resource) = self.held.lock().get(key).cloned() else {
            self.wakes.set_timer(key, None);
            return;
        };
        let now = self.clock.now();
        let next = match self.reconcile(key, &mut resource, now) {
            Ok(Outcome::Gone) => None,
            Ok(Outcome::Keep(next)) => next.map(|at| at.max(now.plus_ms(LOOK_AGAIN_MS))),
            Err(refusal) => {
                tracing::warn!(order = %key, %refusal, "an order request waits");
                let shown = self.publish(key, &mut resource, Some(&refusal));
                if let Err(refusal) = shown {
                    tracing::warn!(order = %key, %refusal, "a status cannot be stored");
                }
                Some(now.plus_ms(refusal.retry_after_ms.unwrap_or(LOOK_AGAIN_MS)))
            }
        };
        self.wakes.set_timer(key, next);
    }

    fn reconcile(
        &self,
        key: &OrderKey,
        resource: &mut OrderRequest,
        now: Timestamp,
    ) -> Result<Outcome, Refusal> {
        let mut desired = convert::desired(resource, convert::incarnation(resource)?)?;
        let deleted_at = resource.metadata.deletion_timestamp.as_ref();
        let deleted_at = deleted_at.map(|at| Timestamp(at.0.as_millisecond()));
        let known = resource.status.clone().unwrap_or_default();
        if let Some(deleted_at) = deleted_at {
            desired.cancel = true;
            desired.award = None;
            desired.ttl_after_finished_ms = 0;
            let give_up_at = deleted_at.plus_ms(DELETE_WAIT_MS);
            if now >= give_up_at || known.processor().is_none() {
                return self.remove(key, resource);
            }
        }
        let snapshot = self.streams.snapshot(key).filter(|s| s.incarnation == desired.incarnation);
        let published_terminal = known.is_terminal();
        if published_terminal && !snapshot.as_ref().is_some_and(|s| s.is_terminal()) {
            return self.over(key, resource, &desired, now);
        }
        let seen = Seen {
            snapshot,
            placement: known.processor().map(ToOwned::to_owned),
            ready: self.processors.clone(),
            // The folder is the only place where a placement is written.
            located: true,
            published_terminal,
        };
        let mut next = deleted_at.map(|at| at.plus_ms(DELETE_WAIT_MS));
        for step in plan(&desired, &seen, now) {
            match step {
                Step::RequeueAt(at) => next = Some(next.map_or(at, |held| held.min(at))),
                Step::Remove => return self.remove(key, resource),
                step @ (Step::Locate
                | Step::Place(_)
                | Step::Start(_)
                | Step::Act(_)
                | Step::Stop
                | Step::Publish) => self.take(step, key, resource, &desired)?,
            }
        }
        Ok(Outcome::Keep(next))
    }

    fn take(
        &self,
        step: Step,
        key: &OrderKey,
        resource: &mut OrderRequest,
        desired: &Desired,
    ) -> Result<(), Refusal> {
        match step {
            Step::Place(processor) => self.place(key, resource, processor),
            Step::Start(processor) => self.streams.ensure(Assignment {
                key: key.clone(),
                incarnation: desired.incarnation.clone(),
                spec: desired.spec.clone(),
                epoch: self.epoch,
                processor,
            }),
            Step::Act(command) => self.streams.act(key, *command),
            Step::Stop => {
                self.streams.stop(key, &desired.incarnation);
                self.observe_end(key, resource)
            }
            Step::Publish => {
                let snapshot = self.streams.snapshot(key);
                let refused = snapshot.as_deref().and_then(|seen| refusal(desired, seen));
                self.publish(key, resource, refused.as_ref())
            }
            // `Locate` is not needed here; the caller handles the others.
            Step::Locate | Step::RequeueAt(_) | Step::Remove => Ok(()),
        }
    }

    /// Stores the order's processor, before anything is sent there.
    fn place(
        &self,
        key: &OrderKey,
        resource: &mut OrderRequest,
        processor: String,
    ) -> Result<(), Refusal> {
        let mut known = resource.status.clone().unwrap_or_default();
        let stream = known.stream.take().unwrap_or_default();
        known.stream = Some(StreamStatus { processor: Some(processor), ..stream });
        self.keep(key, resource, known)
    }

    /// Publishes the status. An order that ended is reconciled again, so that its stream is
    /// stopped.
    fn publish(
        &self,
        key: &OrderKey,
        resource: &mut OrderRequest,
        refusal: Option<&Refusal>,
    ) -> Result<(), Refusal> {
        let known = resource.status.clone().unwrap_or_default();
        let uid = resource.metadata.uid.as_deref().unwrap_or_default();
        let snapshot = self.streams.snapshot(key).filter(|s| s.incarnation.as_str() == uid);
        let generation = resource.metadata.generation.unwrap_or(1);
        let next = status(generation, &known, snapshot.as_deref(), refusal, self.clock.now());
        if next == known {
            return Ok(());
        }
        let ended = next.is_terminal() && !known.is_terminal();
        self.keep(key, resource, next)?;
        if ended {
            self.wakes.wake(key);
        }
        Ok(())
    }

    /// Stores a status in memory. A placement or an end, which the event list does not give again,
    /// is written to the disk first.
    fn keep(
        &self,
        key: &OrderKey,
        resource: &mut OrderRequest,
        next: OrderRequestStatus,
    ) -> Result<(), Refusal> {
        let known = resource.status.clone().unwrap_or_default();
        let durable =
            next.processor() != known.processor() || next.is_terminal() != known.is_terminal();
        let new = OrderRequest { status: Some(next), ..resource.clone() };
        if durable {
            self.store.write(&new)?;
        }
        self.held.lock().insert(key.clone(), new.clone());
        *resource = new;
        Ok(())
    }

    /// Handles an order whose end was published and whose stream is stopped: the resource waits for
    /// its removal.
    fn over(
        &self,
        key: &OrderKey,
        resource: &mut OrderRequest,
        desired: &Desired,
        now: Timestamp,
    ) -> Result<Outcome, Refusal> {
        self.observe_end(key, resource)?;
        let known = resource.status.as_ref();
        let ended_at = known
            .and_then(|known| known.completion_time.as_deref())
            .and_then(parse_rfc3339)
            .unwrap_or(now);
        let due = ended_at.plus_ms(desired.ttl_after_finished_ms);
        if now >= due { self.remove(key, resource) } else { Ok(Outcome::Keep(Some(due))) }
    }

    /// Publishes that an edit after the end was observed.
    fn observe_end(&self, key: &OrderKey, resource: &mut OrderRequest) -> Result<(), Refusal> {
        let known = resource.status.clone().unwrap_or_default();
        let next = ended(resource.metadata.generation.unwrap_or(1), &known);
        if next == known { Ok(()) } else { self.keep(key, resource, next) }
    }

    fn remove(&self, key: &OrderKey, resource: &OrderRequest) -> Result<Outcome, Refusal> {
        if let Some(life) =
            resource.metadata.uid.as_ref().and_then(|uid| Incarnation::new(uid).ok())
        {
            self.streams.stop(key, &life);
        }
        self.store.remove(resource)?;
        self.held.lock().remove(key);
        Ok(Outcome::Gone)
    }
}
