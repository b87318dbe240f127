//! The steps of a plan: streams, commands, the status that is offered to the writer, the removal of
//! a resource.

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_api::status::{contested, down, ended, status, uncontested};
use orderstream_core::plan::{DesiredOrder, ReconcileStep, refusal};
use orderstream_core::port::Assignment;
use orderstream_core::{Command, OrderKey, Refusal, Timestamp};

use super::edits::EditProgress;
use super::facts::ReconcileFacts;
use super::in_flight_command::InFlightCommand;
use super::placement::Placement;
use super::publication::{PROGRESS_MS_MIN, Readiness, band, readiness, reported_generation};
use super::reconciler::Reconciler;
use crate::metrics::Band;
use crate::object::version_of;
use crate::status::PendingStatus;

/// The time limit of a removal.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);

impl Reconciler {
    /// Takes the steps of a plan, one after the other. Returns the time of the next reconcile, if there
    /// is one.
    ///
    /// # Errors
    /// When a stream cannot be opened, or a command cannot be sent.
    pub(super) fn take_steps(
        self: &Arc<Self>,
        facts: &ReconcileFacts,
        desired: &DesiredOrder,
        steps: Vec<ReconcileStep>,
    ) -> Result<Option<Timestamp>, Refusal> {
        let is_command = |step: &ReconcileStep| matches!(step, ReconcileStep::SendCommand(_));
        let edits = if steps.iter().any(is_command) {
            EditProgress::InFlight
        } else {
            EditProgress::Settled
        };
        let mut next: Option<Timestamp> = None;
        let mut sooner = |at: Timestamp| next = Some(next.map_or(at, |held| held.min(at)));
        for step in steps {
            match step {
                ReconcileStep::Locate => self.locate(facts, (&desired.key, &desired.incarnation)),
                ReconcileStep::Place(processor) => {
                    self.with_state(facts, |note| note.placement = Placement::At(processor));
                }
                ReconcileStep::Start(processor) => self.start(facts, desired, processor)?,
                ReconcileStep::SendCommand(command) => {
                    self.send_command(facts, &desired.key, *command)?
                }
                ReconcileStep::Stop => {
                    self.streams.stop(&desired.key, &desired.incarnation);
                    let ended_status = ended(facts.generation(), &facts.known);
                    self.enqueue_status(facts, ended_status).into_iter().for_each(&mut sooner);
                }
                ReconcileStep::Publish => {
                    let refused = facts.snapshot.as_deref().and_then(|s| refusal(desired, s));
                    self.publish(facts, refused.as_ref(), edits).into_iter().for_each(&mut sooner);
                }
                ReconcileStep::RequeueAt(at) => sooner(at.max(facts.now.plus_ms(1_000))),
                ReconcileStep::Remove => self.remove(facts),
            }
        }
        Ok(next)
    }

    fn start(
        &self,
        facts: &ReconcileFacts,
        desired: &DesiredOrder,
        processor: String,
    ) -> Result<(), Refusal> {
        if facts.known.phase.is_none() && facts.snapshot.is_none() {
            let (object, trace_id) = (&facts.object, desired.incarnation.trace_id());
            tracing::info!(%object, trace_id, processor, "an order request is taken up");
        }
        self.streams.ensure(Assignment {
            key: desired.key.clone(),
            incarnation: desired.incarnation.clone(),
            spec: desired.spec.clone(),
            epoch: facts.epoch,
            processor,
        })
    }

    fn send_command(
        &self,
        facts: &ReconcileFacts,
        key: &OrderKey,
        command: Command,
    ) -> Result<(), Refusal> {
        let order = facts.snapshot.as_deref().and_then(|snapshot| snapshot.order.as_deref());
        let in_flight = order.and_then(|order| InFlightCommand::of(&command, order));
        self.streams.send_command(key, command)?;
        if in_flight.is_some() {
            self.with_state(facts, |note| note.in_flight = in_flight);
        }
        Ok(())
    }

    /// Offers the status that is known, if it is worth a write now. Returns the time to reconcile
    /// again, if there is one.
    pub(super) fn publish(
        &self,
        facts: &ReconcileFacts,
        refusal: Option<&Refusal>,
        edits: EditProgress,
    ) -> Option<Timestamp> {
        let (known, now) = (&*facts.known, facts.now);
        let leading_since = *self.leading_since.lock();
        let since = leading_since.max(self.created_at(facts));
        let snapshot = facts.snapshot.as_deref();
        let readiness = readiness(known, snapshot, since, now);
        let observed = known.observed_generation;
        let generation = match self.is_command_in_flight(facts) {
            true => observed.unwrap_or_default(),
            // The resource is refused in this generation.
            false if refusal.is_some() => facts.generation(),
            false => reported_generation(observed, facts.generation(), readiness),
        };
        let next = match (refusal, readiness) {
            (None, Readiness::NotYet) => return None,
            (None, Readiness::NotBefore(at)) => return Some(at),
            (None, Readiness::DownOnly) => down(generation, known, snapshot, now),
            (_, Readiness::Ready) | (Some(_), _) => {
                status(generation, known, snapshot, refusal, now)
            }
        };
        if edits == EditProgress::InFlight
            && let Some(at) = self.edit_is_fresh(facts)
        {
            return Some(at);
        }
        self.enqueue_status(facts, next)
    }

    fn created_at(&self, facts: &ReconcileFacts) -> Timestamp {
        let created = facts.resource.metadata.creation_timestamp.as_ref();
        created.map_or(Timestamp(0), |at| Timestamp(at.0.as_millisecond()))
    }

    /// Offers a status to the writer, if it has changed or if another client overwrote it. Returns
    /// the time to reconcile again, if there is one.
    pub(super) fn enqueue_status(
        &self,
        facts: &ReconcileFacts,
        next: OrderRequestStatus,
    ) -> Option<Timestamp> {
        let is_foreign = facts.applied.is_foreign;
        let (wait, war_until) = self.with_state(facts, |state| {
            let observed_version = version_of(&facts.resource.metadata);
            let wait = is_foreign
                .then(|| state.contention.record_foreign(observed_version, facts.now))
                .flatten();
            (wait, state.contention.contested_until(facts.now))
        });
        if wait.is_some() {
            self.writer.withdraw(&facts.object);
            return wait;
        }
        let next = match war_until {
            Some(_) => contested(next, facts.generation(), &facts.known, facts.now),
            None => uncontested(next, facts.generation(), facts.now),
        };
        let next = next.with_refused_award(&facts.resource.spec);
        let band = match band(&facts.known, &next) {
            // The resource has neither this status nor the last known one.
            Some(Band::Progress) | None if is_foreign => Band::Edge,
            Some(band) => band,
            None => {
                self.writer.withdraw(&facts.object);
                return war_until;
            }
        };
        if band == Band::Progress
            && let Some(applied_at) = facts.applied.applied_at
        {
            let passed = u64::try_from(applied_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            if passed < PROGRESS_MS_MIN {
                return Some(facts.now.plus_ms(PROGRESS_MS_MIN - passed));
            }
        }
        let (uid, epoch, known) = (Arc::clone(&facts.uid), facts.epoch, Arc::clone(&facts.known));
        let status = Arc::new(next);
        self.writer
            .enqueue(&facts.object, PendingStatus { uid, status, band, epoch, previous: known });
        war_until
    }

    /// Removes the resource, and no other incarnation of its name.
    pub(super) fn remove(self: &Arc<Self>, facts: &ReconcileFacts) {
        let was_removing =
            self.with_state(facts, |note| std::mem::replace(&mut note.is_removing, true));
        if was_removing {
            return;
        }
        let (object, uid) = (facts.object.clone(), Arc::clone(&facts.uid));
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let api: Api<OrderRequest> = Api::namespaced(this.client.clone(), &object.namespace);
            let only = Preconditions { uid: Some(uid.to_string()), resource_version: None };
            let params = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
            let request = api.delete(&object.name, &params);
            let failed = match tokio::time::timeout(REMOVE_TIMEOUT, request).await {
                Ok(Ok(_)) => None,
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            if let Some(error) = failed {
                tracing::warn!(%object, error, "an ended order request could not be removed yet");
                let mut states = this.reconcile_states.lock();
                if let Some(state) = states.get_mut(&object).filter(|note| note.uid == uid) {
                    state.is_removing = false;
                }
            }
        });
    }
}
