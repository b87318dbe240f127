//! The requestor as its callers see it: the buyer's commands, and the port that the controller
//! drives.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::buyer::{
    Buyer, BuyerCommand, BuyerCommandReply, BuyerError, BuyerFuture as Asked, BuyerOrderView,
    CommandStatus, FollowUpDraft, InitiateOutcome, TrackerTotals, ViewFuture,
};
use orderstream_core::placement::choose;
use orderstream_core::port::{Assignment, OrderStreams, ReplyFuture};
use orderstream_core::{
    Command, Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, OrderSpec, Reason, Refusal,
    RequestPhase, TrackerSnapshot,
};
use uuid::Uuid;

use crate::command_queue::Origin;
use crate::state::RequestorState;
use crate::store::{OrderRecord, OrderSubmission};

/// The time that `initiate` waits for the stream before it replies all the same.
const FIRST_CONNECTION_WAIT: Duration = Duration::from_millis(500);

/// A handle of the requestor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<RequestorState>,
}

impl Handle {
    /// Returns the epoch of this start.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// Returns the processors that new orders are placed on.
    pub fn processors(&self) -> &[String] {
        &self.shared.processors
    }

    /// Returns the numbers of orders and of streams that are up.
    pub fn counts(&self) -> TrackerTotals {
        self.shared.registry.counts()
    }

    /// Reports whether the order is tracked.
    pub fn has_order(&self, key: &OrderKey) -> bool {
        self.shared.registry.has_order(key)
    }

    /// Returns the order's specification, if the order is tracked. That of an order which ended
    /// before this process began is read from the store, which blocks on the disk.
    pub fn spec(&self, key: &OrderKey) -> Option<OrderSpec> {
        let partial = self.shared.registry.spec(key)?;
        if !self.shared.registry.has_partial_spec(key) {
            return Some(partial);
        }
        let stored = self.shared.store.load(key).ok().and_then(|stored| stored.submission);
        Some(stored.map_or(partial, |submission| submission.spec))
    }

    /// Reports whether the order's stream is up.
    pub fn is_stream_active(&self, key: &OrderKey) -> bool {
        self.shared.registry.is_stream_active(key)
    }

    /// Stores an order and follows it. A second call changes nothing, also at the same instant.
    ///
    /// # Errors
    /// When it is refused, or not known to be stored; then it is disowned as soon as the store
    /// accepts writes.
    pub async fn initiate(
        &self,
        key: OrderKey,
        spec: OrderSpec,
    ) -> Result<InitiateOutcome, BuyerError> {
        // In a task of its own, so that a caller that disconnects cannot leave the store and the
        // tracker in disagreement.
        let work = initiate(Arc::clone(&self.shared), key.clone(), spec);
        let initiated = self.shared.tasks.spawn(work).await.map_err(task_failed)??;
        if initiated == InitiateOutcome::Started {
            self.wait_for_stream(&key).await;
        }
        Ok(initiated)
    }

    async fn wait_for_stream(&self, key: &OrderKey) {
        let up = async {
            while let Some(changed) = self.shared.registry.changed(key) {
                let changed = changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.is_stream_active(key) || self.shared.registry.has_ended(key) {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            () = up => {}
            () = tokio::time::sleep(FIRST_CONNECTION_WAIT) => {}
            () = self.shared.cancel.cancelled() => {}
        }
    }
}

pub(crate) fn task_failed(error: tokio::task::JoinError) -> BuyerError {
    tracing::error!(%error, "a buyer's request was lost");
    drop(error);
    BuyerError::Refused(Refusal::new(Reason::Internal, "the request failed; the log has the cause"))
}

/// Returns the refusal of any request on an order that has ended.
pub(crate) fn order_ended(key: &OrderKey) -> Refusal {
    let id = &key.order_req_id;
    Refusal::new(Reason::OrderEnded, format!("order {id} has ended; use a new order_req_id"))
}

async fn initiate(
    shared: Arc<RequestorState>,
    key: OrderKey,
    spec: OrderSpec,
) -> Result<InitiateOutcome, BuyerError> {
    shared.check_open()?;
    let mut guard = shared.store.write_guard(&key).await;
    if shared.registry.has_ended(&key) {
        return Err(order_ended(&key).into());
    }
    if shared.registry.has_order(&key) {
        return Ok(InitiateOutcome::AlreadyProcessed);
    }
    let stored = guard.load()?;
    if stored.ended.is_some() {
        return Err(order_ended(&key).into());
    }
    let reservation = shared.registry.reserve()?;
    let submission = match stored.submission {
        Some(submission) => submission,
        None => {
            let submission = Box::new(new_submission(&shared, &key, spec)?);
            guard.append(&OrderRecord::RequestSubmission(submission.clone())).await?;
            submission
        }
    };
    if let Err(refusal) = shared.ensure(assignment(*submission, shared.epoch), Origin::Store) {
        // It is stored nevertheless: this requestor stops, and the next start follows the order.
        tracing::info!(order_req_id = %key.order_req_id, %refusal, "the order is not followed yet");
    }
    drop((reservation, guard));
    tracing::info!(order_req_id = %key.order_req_id, "the order is initiated");
    Ok(InitiateOutcome::Started)
}

fn new_submission(
    shared: &RequestorState,
    key: &OrderKey,
    spec: OrderSpec,
) -> Result<OrderSubmission, Refusal> {
    let none = || Refusal::new(Reason::Unreachable, "no processor is configured");
    Ok(OrderSubmission {
        key: key.clone(),
        session_id: spec.session.as_deref().map(ToOwned::to_owned),
        notification_type: spec.notification_type,
        incarnation: Incarnation::new(Uuid::now_v7().to_string())?,
        processor: choose(key, &shared.processors).ok_or_else(none)?.to_owned(),
        spec,
    })
}

/// Returns the assignment by which a stored order is followed.
pub(crate) fn assignment(submission: OrderSubmission, epoch: Epoch) -> Assignment {
    let OrderSubmission { key, incarnation, spec, processor, .. } = submission;
    Assignment { key, incarnation, spec, epoch, processor }
}

/// Returns the refusal of a request on an order that is not tracked here.
pub(crate) fn order_not_found(key: &OrderKey) -> Refusal {
    let id = &key.order_req_id;
    Refusal::new(Reason::OrderNotFound, format!("order {id} is not tracked here"))
}

impl Buyer for Handle {
    fn initiate(&self, key: OrderKey, spec: OrderSpec) -> Asked<'_, InitiateOutcome> {
        Box::pin(Self::initiate(self, key, spec))
    }

    fn follow_up(
        &self,
        key: OrderKey,
        follow_up: FollowUpDraft,
    ) -> Asked<'_, (FollowUpId, BuyerCommandReply)> {
        Box::pin(Self::follow_up(self, key, follow_up))
    }

    fn submit_command(
        &self,
        key: OrderKey,
        command: BuyerCommand,
        repeat: Option<IdempotencyKey>,
    ) -> Asked<'_, BuyerCommandReply> {
        Box::pin(Self::buyer_command(self, key, command, repeat))
    }

    fn command_status(
        &self,
        key: OrderKey,
        command_key: IdempotencyKey,
    ) -> Asked<'_, Option<CommandStatus>> {
        Box::pin(async move { Self::stored_command(self, &key, &command_key) })
    }

    fn check_records(&self, key: &OrderKey) -> Result<(), BuyerError> {
        Ok(self.shared.store.load(key).map(drop)?)
    }

    fn tracked<'a>(&'a self, keys: &'a [OrderKey]) -> ViewFuture<'a, Vec<BuyerOrderView>> {
        Box::pin(async move {
            if let Err(error) = self.shared.persist(keys).await {
                tracing::warn!(%error, "orders are displayed in their last stored state");
            }
            self.shared.registry.tracked(keys)
        })
    }

    fn phase(&self, key: &OrderKey) -> Option<RequestPhase> {
        self.shared.registry.phase(key)
    }

    fn totals(&self) -> TrackerTotals {
        self.counts()
    }
}

impl OrderStreams for Handle {
    fn ensure(&self, assignment: Assignment) -> Result<(), Refusal> {
        self.shared.ensure(assignment, Origin::Caller)
    }

    fn send_command(&self, key: &OrderKey, command: Command) -> Result<(), Refusal> {
        self.shared.check_open()?;
        self.shared.queue_caller_command(key, command)
    }

    fn stop(&self, key: &OrderKey, incarnation: &Incarnation) {
        self.shared.stop_following(key, incarnation);
    }

    fn snapshot(&self, key: &OrderKey) -> Option<Arc<TrackerSnapshot>> {
        self.shared.registry.get_order(key)
    }

    fn keys(&self) -> Vec<OrderKey> {
        self.shared.registry.counts().tracked
    }

    fn watch(&self, watcher: Arc<dyn Fn(&OrderKey) + Send + Sync>) {
        self.shared.watch(watcher);
    }

    fn spec(&self, key: &OrderKey) -> Option<OrderSpec> {
        Self::spec(self, key)
    }

    fn persist<'a>(&'a self, keys: &'a [OrderKey]) -> ReplyFuture<'a, ()> {
        Box::pin(async move {
            self.shared.persist(keys).await.map_err(|error| {
                Refusal::new(Reason::StorageUnavailable, format!("the order store {error}"))
            })
        })
    }
}
