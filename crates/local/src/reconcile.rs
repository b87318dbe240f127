//! Reconciles one order: observes it, calls `plan`, and takes its steps.

use orderstream_api::convert;
use orderstream_api::order_request::{OrderRequest, OrderRequestStatus, StreamStatus};
use orderstream_api::status::{corrected, ended, status};
use orderstream_core::date::parse_rfc3339;
use orderstream_core::plan::{DesiredOrder, OrderObservation, ReconcileStep, plan, refusal};
use orderstream_core::port::Assignment;
use orderstream_core::{Incarnation, OrderKey, Refusal, Timestamp};

use super::LocalReconciler;
use super::wake_queue::DueOrders;

/// The longest wait of a deleted resource for its order's end, milliseconds.
const DELETE_WAIT_MS: u64 = 30_000;
/// The shortest time until an order is reconciled again, milliseconds, so that waiting for a late
/// end is not a busy loop.
const REQUEUE_MS_MIN: u64 = 1_000;

/// The result of reconciling.
enum ReconcileOutcome {
    /// Reconcile again at this time, if nothing wakes the order before.
    Requeue(Option<Timestamp>),
    /// The resource was removed.
    Removed,
}

impl LocalReconciler {
    /// Reconciles all orders that are due.
    pub(super) fn reconcile_due(&self, due: DueOrders) {
        let keys: Vec<OrderKey> = match due {
            DueOrders::Some(keys) => keys.into_iter().collect(),
            DueOrders::All => self.resources.lock().keys().cloned().collect(),
        };
        for key in keys {
            if self.shutdown.is_cancelled() {
                return;
            }
            self.reconcile(&key);
        }
    }

    /// Reconciles one order. A refusal is shown in the status, and the order is retried later.
    pub(super) fn reconcile(&self, key: &OrderKey) {
        let _writing = self.writer.lock();
        let Some(mut resource) = self.resources.lock().get(key).cloned() else {
            self.wakes.set_timer(key, None);
            return;
        };
        let now = self.clock.now();
        let next = match self.try_reconcile(key, &mut resource, now) {
            Ok(ReconcileOutcome::Removed) => None,
            Ok(ReconcileOutcome::Requeue(next)) => {
                next.map(|at| at.max(now.plus_ms(REQUEUE_MS_MIN)))
            }
            Err(refusal) => {
                tracing::warn!(order = %key, %refusal, "an order request is not reconciled");
                let published = self.publish(key, &mut resource, Some(&refusal));
                if let Err(refusal) = published {
                    tracing::warn!(order = %key, %refusal, "a status cannot be stored");
                }
                Some(now.plus_ms(refusal.retry_after_ms.unwrap_or(REQUEUE_MS_MIN)))
            }
        };
        self.wakes.set_timer(key, next);
    }

    fn try_reconcile(
        &self,
        key: &OrderKey,
        resource: &mut OrderRequest,
        now: Timestamp,
    ) -> Result<ReconcileOutcome, Refusal> {
        let generation = resource.metadata.generation.unwrap_or(1);
        let fresh = resource.status.as_ref().and_then(|known| corrected(generation, known));
        if fresh.is_some() {
            resource.status = fresh;
        }
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
            return self.reconcile_ended(key, resource, &desired, now);
        }
        let observed = OrderObservation {
            snapshot,
            placement: known.processor().map(ToOwned::to_owned),
            ready: self.processors.clone(),
            // The folder is the only place where a placement is written.
            located: true,
            published_terminal,
        };
        let mut next = deleted_at.map(|at| at.plus_ms(DELETE_WAIT_MS));
        for step in plan(&desired, &observed, now) {
            match step {
                ReconcileStep::RequeueAt(at) => next = Some(next.map_or(at, |held| held.min(at))),
                ReconcileStep::Remove => return self.remove(key, resource),
                step @ (ReconcileStep::Locate
                | ReconcileStep::Place(_)
                | ReconcileStep::Start(_)
                | ReconcileStep::SendCommand(_)
                | ReconcileStep::Stop
                | ReconcileStep::Publish) => self.take_step(step, key, resource, &desired)?,
            }
        }
        Ok(ReconcileOutcome::Requeue(next))
    }

    fn take_step(
        &self,
        step: ReconcileStep,
        key: &OrderKey,
        resource: &mut OrderRequest,
        desired: &DesiredOrder,
    ) -> Result<(), Refusal> {
        match step {
            ReconcileStep::Place(processor) => self.store_placement(key, resource, processor),
            ReconcileStep::Start(processor) => self.streams.ensure(Assignment {
                key: key.clone(),
                incarnation: desired.incarnation.clone(),
                spec: desired.spec.clone(),
                epoch: self.epoch,
                processor,
            }),
            ReconcileStep::SendCommand(command) => self.streams.send_command(key, *command),
            ReconcileStep::Stop => {
                self.streams.stop(key, &desired.incarnation);
                self.observe_end(key, resource)
            }
            ReconcileStep::Publish => {
                let snapshot = self.streams.snapshot(key);
                let refused = snapshot.as_deref().and_then(|seen| refusal(desired, seen));
                self.publish(key, resource, refused.as_ref())
            }
            // `Locate` is not needed here; the caller handles the others.
            ReconcileStep::Locate | ReconcileStep::RequeueAt(_) | ReconcileStep::Remove => Ok(()),
        }
    }

    /// Stores the order's processor, before anything is sent there.
    fn store_placement(
        &self,
        key: &OrderKey,
        resource: &mut OrderRequest,
        processor: String,
    ) -> Result<(), Refusal> {
        let mut known = resource.status.clone().unwrap_or_default();
        let stream = known.stream.take().unwrap_or_default();
        known.stream = Some(StreamStatus { processor: Some(processor), ..stream });
        self.store_status(key, resource, known)
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
        let next = status(generation, &known, snapshot.as_deref(), refusal, self.clock.now())
            .with_refused_award(&resource.spec);
        if next == known {
            return Ok(());
        }
        let ended = next.is_terminal() && !known.is_terminal();
        self.store_status(key, resource, next)?;
        if ended {
            self.wakes.wake(key);
        }
        Ok(())
    }

    /// Stores a status in memory. A placement or an end, which the event list does not repeat, is
    /// written to the disk first.
    fn store_status(
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
            self.store.write(&new.metadata, &new)?;
        }
        self.resources.lock().insert(key.clone(), new.clone());
        *resource = new;
        Ok(())
    }

    /// Handles an order whose end was published and whose stream is stopped: the resource is due
    /// for removal.
    fn reconcile_ended(
        &self,
        key: &OrderKey,
        resource: &mut OrderRequest,
        desired: &DesiredOrder,
        now: Timestamp,
    ) -> Result<ReconcileOutcome, Refusal> {
        self.observe_end(key, resource)?;
        let known = resource.status.as_ref();
        let ended_at = known
            .and_then(|known| known.completion_time.as_deref())
            .and_then(parse_rfc3339)
            .unwrap_or(now);
        let due = ended_at.plus_ms(desired.ttl_after_finished_ms);
        if now >= due {
            self.remove(key, resource)
        } else {
            Ok(ReconcileOutcome::Requeue(Some(due)))
        }
    }

    /// Publishes that an edit after the end was observed.
    fn observe_end(&self, key: &OrderKey, resource: &mut OrderRequest) -> Result<(), Refusal> {
        let known = resource.status.clone().unwrap_or_default();
        let next = ended(resource.metadata.generation.unwrap_or(1), &known);
        if next == known { Ok(()) } else { self.store_status(key, resource, next) }
    }

    fn remove(&self, key: &OrderKey, resource: &OrderRequest) -> Result<ReconcileOutcome, Refusal> {
        if let Some(incarnation) =
            resource.metadata.uid.as_ref().and_then(|uid| Incarnation::new(uid).ok())
        {
            self.streams.stop(key, &incarnation);
        }
        self.store.remove(&resource.metadata)?;
        self.resources.lock().remove(key);
        Ok(ReconcileOutcome::Removed)
    }
}
