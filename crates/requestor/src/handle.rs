//! The requestor as its callers see it: the buyer's acts, and the port that the controller drives.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::buyer::{
    Buyer, BuyerAct, BuyerError, Initiated, Note, Stored as Answered, Totals, Tracked,
};
use orderstream_core::command::Act;
use orderstream_core::event::Cause;
use orderstream_core::port::{Assignment, OrderStreams, act_name};
use orderstream_core::spec::FollowUp;
use orderstream_core::{
    Command, Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, OrderSpec, Reason, Refusal,
    Snapshot,
};
use uuid::Uuid;

use crate::acts;
use crate::placement::choose;
use crate::registry::Origin;
use crate::shared::Shared;
use crate::store::{Record, Stored, Submission, follow_up_command};

/// How long `initiate` waits for the stream before it answers all the same.
const FIRST_CONNECTION_WAIT: Duration = Duration::from_millis(500);
/// How long an act waits for its processor's answer before it is answered all the same: it is stored.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// The requestor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// This start's fencing number.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// The processors that new orders are placed on.
    pub fn processors(&self) -> &[String] {
        &self.shared.processors
    }

    /// How many orders and streams there are.
    pub fn counts(&self) -> Totals {
        self.shared.registry.counts()
    }

    /// Whether the order is in the tracker.
    pub fn has_order(&self, key: &OrderKey) -> bool {
        self.shared.registry.has_order(key)
    }

    /// What was asked for, if the order is in the tracker.
    pub fn spec(&self, key: &OrderKey) -> Option<OrderSpec> {
        self.shared.registry.spec(key)
    }

    /// Whether a stream is up for the order.
    pub fn is_stream_active(&self, key: &OrderKey) -> bool {
        self.shared.registry.is_stream_active(key)
    }

    /// Stores an order and follows it. A second call changes nothing, also at the same instant.
    ///
    /// # Errors
    /// When it is refused, or not stored; then nothing of it stays.
    pub async fn initiate(&self, key: OrderKey, spec: OrderSpec) -> Result<Initiated, BuyerError> {
        // In a task of its own, so that a caller who hangs up cannot part the store and the tracker.
        let work = initiate(Arc::clone(&self.shared), key.clone(), spec);
        let initiated = self.shared.tasks.spawn(work).await.map_err(lost)??;
        if initiated == Initiated::Started {
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

    /// Stores a follow-up and queues it for the order's processor; answers its id.
    ///
    /// # Errors
    /// When it is refused, or not stored; then nothing of it stays.
    pub async fn follow_up(&self, key: OrderKey, note: Note) -> Result<FollowUpId, BuyerError> {
        let work = follow_up(Arc::clone(&self.shared), key, note);
        self.shared.tasks.spawn(work).await.map_err(lost)?
    }

    /// Stores an act, queues it for the order's processor, and waits a moment for the answer. Where
    /// none comes in time the act goes on by itself. The same `repeat` has one effect and one answer.
    ///
    /// # Errors
    /// When it is refused, here or by the processor; or when it is not stored: then nothing of it
    /// stays.
    pub async fn buyer_act(
        &self,
        key: OrderKey,
        act: BuyerAct,
        repeat: Option<IdempotencyKey>,
    ) -> Result<(), BuyerError> {
        let asked = Act::from(act.clone());
        let work = buyer_act(Arc::clone(&self.shared), key.clone(), act, repeat);
        let id = self.shared.tasks.spawn(work).await.map_err(lost)??;
        self.wait_for_answer(&key, &id).await;
        let registry = &self.shared.registry;
        if let Some(refusal) = registry.refusal_of(&key, &id) {
            return Err(refusal.into());
        }
        // The order's end can overtake the answer, which nobody waits for any more then.
        match registry.after_the_end(&key, &asked).filter(|_| registry.waits(&key, &id)) {
            Some(answer) => Ok(answer?),
            None => Ok(()),
        }
    }

    async fn wait_for_answer(&self, key: &OrderKey, id: &IdempotencyKey) {
        let answered = async {
            while let Some(changed) = self.shared.registry.changed(key) {
                let changed = changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let registry = &self.shared.registry;
                if !registry.waits(key, id) || registry.has_ended(key) {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            () = answered => {}
            () = tokio::time::sleep(ANSWER_WAIT) => {}
            () = self.shared.cancel.cancelled() => {}
        }
    }
}

fn lost(error: tokio::task::JoinError) -> BuyerError {
    tracing::error!(%error, "a buyer's request was lost");
    drop(error);
    BuyerError::Refused(Refusal::new(Reason::Internal, "the request failed; the log has the cause"))
}

fn ended(key: &OrderKey) -> Refusal {
    let id = &key.order_req_id;
    Refusal::new(Reason::OrderEnded, format!("order {id} has ended; use a new order_req_id"))
}

async fn initiate(
    shared: Arc<Shared>,
    key: OrderKey,
    spec: OrderSpec,
) -> Result<Initiated, BuyerError> {
    shared.check_open()?;
    let mut turn = shared.store.turn(&key).await;
    if shared.registry.has_ended(&key) {
        return Err(ended(&key).into());
    }
    if shared.registry.has_order(&key) {
        return Ok(Initiated::AlreadyProcessed);
    }
    let stored = turn.load()?;
    if stored.ended.is_some() {
        return Err(ended(&key).into());
    }
    shared.registry.check_room()?;
    let submission = match stored.submission {
        Some(submission) => submission,
        None => {
            let submission = Box::new(submit(&shared, &key, spec)?);
            turn.append(&Record::RequestSubmission(submission.clone())).await?;
            submission
        }
    };
    shared.ensure(assignment(*submission, shared.epoch), Origin::Store)?;
    drop(turn);
    tracing::info!(order_req_id = %key.order_req_id, "the order is initiated");
    Ok(Initiated::Started)
}

fn submit(shared: &Shared, key: &OrderKey, spec: OrderSpec) -> Result<Submission, Refusal> {
    let none = || Refusal::new(Reason::Unreachable, "no processor is configured");
    Ok(Submission {
        key: key.clone(),
        session_id: spec.session.as_deref().map(ToOwned::to_owned),
        notification_type: spec.notification_type,
        incarnation: Incarnation::new(Uuid::now_v7().to_string())?,
        processor: choose(key, &shared.processors).ok_or_else(none)?.to_owned(),
        spec,
    })
}

/// What is to be followed for a stored order.
pub(crate) fn assignment(submission: Submission, epoch: Epoch) -> Assignment {
    let Submission { key, incarnation, spec, processor, .. } = submission;
    Assignment { key, incarnation, spec, epoch, processor }
}

async fn follow_up(
    shared: Arc<Shared>,
    key: OrderKey,
    note: Note,
) -> Result<FollowUpId, BuyerError> {
    shared.check_open()?;
    let mut turn = shared.store.turn(&key).await;
    shared.registry.check_act(&key)?;
    let id = match &note.id {
        Some(id) if turn.load()?.follow_ups.contains(id) => return Ok(id.clone()),
        Some(id) => id.clone(),
        None => FollowUpId::new(Uuid::now_v7().to_string())?,
    };
    let known = shared.registry.has_order(&key);
    let permit = match known {
        true => None,
        false => Some(Arc::clone(&shared.strays).try_acquire_owned().map_err(|_| {
            Refusal::new(Reason::Overloaded, "too many follow-ups wait; try again later")
        })?),
    };
    let Note { audience, message, answers, .. } = note;
    let record = Record::RequestFollowUp {
        id: id.clone(),
        audience: audience.clone(),
        message: message.clone(),
        answers: answers.clone(),
    };
    turn.append(&record).await?;
    drop(turn);
    let command = follow_up_command(FollowUp { id: id.clone(), audience, message, answers });
    match permit {
        None => {
            shared.registry.add_follow_up_note(shared.now(), &key, id.clone());
            shared.tell(&key);
            queue(&shared, &key, command);
        }
        Some(permit) => {
            tracing::warn!(order_req_id = %key.order_req_id, "follow-up of an unknown order");
            let work = acts::send_stray(Arc::clone(&shared), key, command);
            shared.tasks.spawn(async move {
                work.await;
                drop(permit);
            });
        }
    }
    Ok(id)
}

/// Stores and queues an act, and gives the key under which its answer comes.
async fn buyer_act(
    shared: Arc<Shared>,
    key: OrderKey,
    act: BuyerAct,
    repeat: Option<IdempotencyKey>,
) -> Result<IdempotencyKey, BuyerError> {
    shared.check_open()?;
    let mut turn = shared.store.turn(&key).await;
    let act = Act::from(act);
    let id = match repeat {
        None => IdempotencyKey::new(format!("{}:{}", act_name(&act), Uuid::now_v7()))?,
        Some(repeat) => {
            // One of the greatest length leaves no room for the word; then it stands alone.
            let id = IdempotencyKey::new(format!("buyer:{repeat}")).unwrap_or(repeat);
            // Before all else: an order may have ended by this very act.
            if is_repeated(&turn.load()?, &id, &act)? {
                return Ok(id);
            }
            id
        }
    };
    if !shared.registry.has_order(&key) {
        return Err(not_found(&key).into());
    }
    if let Some(answer) = shared.registry.after_the_end(&key, &act) {
        return Ok(answer.map(|()| id)?);
    }
    shared.registry.check_act(&key)?;
    let record = record_of(id.clone(), act.clone());
    turn.append(&record).await?;
    drop(turn);
    queue(&shared, &key, Command { key: Some(id.clone()), ..Command::bare(act) });
    Ok(id)
}

/// Whether this act was asked before under this key, and not refused.
fn is_repeated(stored: &Stored, id: &IdempotencyKey, act: &Act) -> Result<bool, Refusal> {
    let Some(held) = stored.acts.iter().find(|held| held.cause.key == *id) else {
        return Ok(false);
    };
    if held.cause != Cause::new(id.clone(), act) {
        let text = "the key was used for something else; use a new one for each act";
        return Err(Refusal::new(Reason::IdempotencyConflict, text));
    }
    let Some(refused) = &held.refused else { return Ok(true) };
    let (reason, text) = refused.split_once(": ").unwrap_or(("", refused));
    Err(Refusal::new(Reason::parse(reason).unwrap_or(Reason::Internal), text))
}

fn record_of(id: IdempotencyKey, act: Act) -> Record {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the original's two records; any other act")]
    match act {
        Act::Finalise { award, reason, undo_within_ms } => {
            Record::OrderFinalised { id, award, reason, undo_within_ms }
        }
        Act::Pause { reason } => Record::OrderPaused { id, reason },
        act => Record::BuyerActed { id, act: Box::new(act) },
    }
}

/// An order that nobody knows here.
pub(crate) fn not_found(key: &OrderKey) -> Refusal {
    let id = &key.order_req_id;
    Refusal::new(Reason::OrderNotFound, format!("order {id} is not tracked here"))
}

/// Queues a stored act. An order that ended since then needs it no more.
pub(crate) fn queue(shared: &Shared, key: &OrderKey, command: Command) {
    if let Err(refusal) = shared.registry.push_act(key, command, Origin::Store) {
        tracing::warn!(order_req_id = %key.order_req_id, %refusal, "act is dropped");
    }
}

impl Buyer for Handle {
    fn initiate(&self, key: OrderKey, spec: OrderSpec) -> Answered<'_, Initiated> {
        Box::pin(Self::initiate(self, key, spec))
    }

    fn follow_up(&self, key: OrderKey, note: Note) -> Answered<'_, FollowUpId> {
        Box::pin(Self::follow_up(self, key, note))
    }

    fn buyer_act(
        &self,
        key: OrderKey,
        act: BuyerAct,
        repeat: Option<IdempotencyKey>,
    ) -> Answered<'_, ()> {
        Box::pin(Self::buyer_act(self, key, act, repeat))
    }

    fn tracked(&self, key: &OrderKey) -> Option<Tracked> {
        let snapshot = self.snapshot(key)?;
        Some(Tracked::of(&snapshot, &self.spec(key).unwrap_or_default()))
    }

    fn all(&self) -> Vec<Tracked> {
        self.keys().iter().filter_map(|key| self.tracked(key)).collect()
    }

    fn totals(&self) -> Totals {
        self.counts()
    }
}

impl OrderStreams for Handle {
    fn ensure(&self, assignment: Assignment) -> Result<(), Refusal> {
        self.shared.ensure(assignment, Origin::Caller)
    }

    fn act(&self, key: &OrderKey, command: Command) -> Result<(), Refusal> {
        self.shared.check_open()?;
        self.shared.registry.push_act(key, command, Origin::Caller)
    }

    fn stop(&self, key: &OrderKey, life: &Incarnation) {
        self.shared.stop_following(key, life);
    }

    fn snapshot(&self, key: &OrderKey) -> Option<Arc<Snapshot>> {
        self.shared.registry.get_order(key)
    }

    fn keys(&self) -> Vec<OrderKey> {
        self.shared.registry.counts().tracked
    }

    fn watch(&self, wake: Arc<dyn Fn(&OrderKey) + Send + Sync>) {
        self.shared.watch(wake);
    }
}
