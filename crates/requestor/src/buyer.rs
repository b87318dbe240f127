//! The buyers' commands on existing orders: each is stored and sent, and its outcome awaited for a
//! moment. The reply is success only when the command is in the order's list; a command that is not
//! decided by then proceeds by itself, and its outcome can be read under its key.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::buyer::{
    BuyerCommand, BuyerCommandReply, BuyerError, CommandOutcome, CommandStatus, FollowUpDraft,
};
use orderstream_core::command::CommandKind;
use orderstream_core::event::Cause;
use orderstream_core::spec::FollowUp;
use orderstream_core::{
    Command, FollowUpId, IdempotencyKey, Incarnation, OrderKey, Reason, Refusal,
};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::command_queue::{EnqueueRequest, FinalOutcome, Origin, OutcomeReceiver, SendHistory};
use crate::handle::{Handle, order_ended, order_not_found, task_failed};
use crate::state::RequestorState;
use crate::store::{OrderRecord, StoredOrder, follow_up_command, follow_up_key};

/// The time that a command waits for its processor's reply before the caller's reply is "pending".
const REPLY_WAIT: Duration = Duration::from_secs(2);

/// A command that is stored, or that was settled before.
#[derive(Debug)]
enum CommandProgress {
    /// The outcome is known.
    Settled(FinalOutcome),
    /// The command waits for its processor.
    Pending(OutcomeReceiver),
}

impl Handle {
    /// Stores a follow-up, sends it, and waits a moment for its outcome; returns its id.
    ///
    /// # Errors
    /// When it is refused, here or by the processor; or when it is not known to be stored: then it
    /// is disowned as soon as the store accepts writes.
    pub async fn follow_up(
        &self,
        key: OrderKey,
        follow_up: FollowUpDraft,
    ) -> Result<(FollowUpId, BuyerCommandReply), BuyerError> {
        // In a task of its own, so that a caller that disconnects cannot leave the store and the
        // queue in disagreement.
        let work = store_follow_up(Arc::clone(&self.shared), key, follow_up);
        let (id, progress) = self.shared.tasks.spawn(work).await.map_err(task_failed)??;
        // Ids are checked; there is a key for each.
        let command_key = follow_up_key(&id).ok_or_else(|| internal("the follow-up has no key"))?;
        let reply = self.await_reply(progress, command_key).await?;
        Ok((id, reply))
    }

    /// Stores a command, sends it, and waits a moment for its outcome. The same `repeat` has one
    /// effect and one outcome.
    ///
    /// # Errors
    /// When it is refused, here or by the processor; or when it is not known to be stored: then it
    /// is disowned as soon as the store accepts writes.
    pub async fn buyer_command(
        &self,
        key: OrderKey,
        command: BuyerCommand,
        repeat: Option<IdempotencyKey>,
    ) -> Result<BuyerCommandReply, BuyerError> {
        let work = store_command(Arc::clone(&self.shared), key, command, repeat.clone());
        let (id, progress) = self.shared.tasks.spawn(work).await.map_err(task_failed)??;
        self.await_reply(progress, repeat.unwrap_or(id)).await
    }

    async fn await_reply(
        &self,
        progress: CommandProgress,
        command_key: IdempotencyKey,
    ) -> Result<BuyerCommandReply, BuyerError> {
        let receiver = match progress {
            CommandProgress::Settled(outcome) => {
                return Ok(outcome.map(|()| BuyerCommandReply::Done)?);
            }
            CommandProgress::Pending(receiver) => receiver,
        };
        let outcome = tokio::select! {
            settled = receiver.wait() => settled,
            () = tokio::time::sleep(REPLY_WAIT) => None,
            () = self.shared.cancel.cancelled() => None,
        };
        match outcome {
            Some(outcome) => Ok(outcome.map(|()| BuyerCommandReply::Done)?),
            None => Ok(BuyerCommandReply::Pending(command_key)),
        }
    }

    /// Returns the command that was stored under this key, with its outcome; `None` when there was
    /// none. The key is the caller's own, or the one from a "pending" reply. Where the order is
    /// followed here, only commands on its present incarnation count.
    ///
    /// # Errors
    /// When the order's records cannot be read.
    pub fn stored_command(
        &self,
        key: &OrderKey,
        command_key: &IdempotencyKey,
    ) -> Result<Option<CommandStatus>, BuyerError> {
        let stored = self.shared.store.load(key)?;
        let of_follow_up =
            FollowUpId::new(command_key.as_str()).ok().and_then(|id| follow_up_key(&id));
        let incarnation = self.shared.registry.incarnation(key);
        let mut known =
            [Some(buyers_key(command_key)), Some(command_key.clone()), of_follow_up].into_iter();
        let found = known.find_map(|id| stored.command(&id?, incarnation.as_ref()));
        Ok(found.map(|found| CommandStatus {
            name: found.name.to_owned(),
            outcome: found.outcome.clone(),
        }))
    }
}

fn internal(text: &str) -> Refusal {
    Refusal::new(Reason::Internal, text)
}

/// Returns the stored key of a command whose caller gave one.
fn buyers_key(repeat: &IdempotencyKey) -> IdempotencyKey {
    // The longest key has no space for the prefix; then it is used alone.
    IdempotencyKey::new(format!("buyer:{repeat}")).unwrap_or_else(|_| repeat.clone())
}

/// Stores and queues a follow-up.
async fn store_follow_up(
    shared: Arc<RequestorState>,
    key: OrderKey,
    follow_up: FollowUpDraft,
) -> Result<(FollowUpId, CommandProgress), BuyerError> {
    shared.check_open()?;
    let mut guard = shared.store.write_guard(&key).await;
    let FollowUpDraft { id, audience, message, answers } = follow_up;
    let (id, is_given) = match id {
        Some(id) => (id, true),
        None => (FollowUpId::new(Uuid::now_v7().to_string())?, false),
    };
    let command = follow_up_command(FollowUp { id: id.clone(), audience, message, answers });
    let stored = guard.load()?;
    if is_given && let Some(progress) = find_repeated(&shared, &key, &stored, &command)? {
        return Ok((id, progress));
    }
    if stored.ended.is_some() {
        return Err(order_ended(&key).into());
    }
    let permit = admit(&shared, &key)?;
    let incarnation = shared.registry.incarnation(&key);
    guard.check_capacity(&command.kind, incarnation.as_ref()).await?;
    let record = record_of(&command, incarnation.clone())
        .ok_or_else(|| internal("a follow-up without a key"))?;
    guard.append(&record).await?;
    match &permit {
        None => {
            shared.registry.add_follow_up(shared.now(), &key, id.clone());
            shared.notify_watcher(&key);
        }
        Some(_) => {
            tracing::warn!(order_req_id = %key.order_req_id, "follow-up of an unknown order");
        }
    }
    let command = Command { incarnation, ..command };
    let (history, fallback_processor) =
        (SendHistory::NeverSent, shared.registry.processor_of(&key));
    let request =
        EnqueueRequest { command, origin: Origin::Store, history, fallback_processor, permit };
    let receiver = shared.enqueue(&key, request);
    // Released only now: a repeated request must find it in the queue.
    drop(guard);
    Ok((id, CommandProgress::Pending(receiver)))
}

/// Refuses a command that cannot be accepted now. One on an order that is not followed here needs a
/// permit.
fn admit(shared: &RequestorState, key: &OrderKey) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
    shared.registry.check_command(key)?;
    shared.commands.check_capacity(key)?;
    if shared.registry.has_order(key) {
        return Ok(None);
    }
    let full = |_| Refusal::new(Reason::Overloaded, "too many follow-ups wait; try again later");
    Arc::clone(&shared.untracked_follow_ups).try_acquire_owned().map(Some).map_err(full)
}

/// Stores and queues a command; returns its key.
async fn store_command(
    shared: Arc<RequestorState>,
    key: OrderKey,
    buyer_command: BuyerCommand,
    repeat: Option<IdempotencyKey>,
) -> Result<(IdempotencyKey, CommandProgress), BuyerError> {
    shared.check_open()?;
    let mut guard = shared.store.write_guard(&key).await;
    let body = CommandKind::from(buyer_command);
    let id = match &repeat {
        None => IdempotencyKey::new(format!("{}:{}", body.name(), Uuid::now_v7()))?,
        Some(repeat) => buyers_key(repeat),
    };
    let command = Command { key: Some(id.clone()), ..Command::bare(body) };
    // This comes first, because the order may have ended by this very command.
    if repeat.is_some()
        && let Some(progress) = find_repeated(&shared, &key, &guard.load()?, &command)?
    {
        return Ok((id, progress));
    }
    if !shared.registry.has_order(&key) {
        // An order whose records are damaged is not followed, but it is not unknown either.
        guard.load()?;
        return Err(order_not_found(&key).into());
    }
    if let Some(outcome) = shared.registry.reply_after_end(&key, &command.kind) {
        return Ok((id, CommandProgress::Settled(outcome)));
    }
    drop(admit(&shared, &key)?);
    let incarnation = shared.registry.incarnation(&key);
    guard.check_capacity(&command.kind, incarnation.as_ref()).await?;
    let record = record_of(&command, incarnation.clone())
        .ok_or_else(|| internal("a command without a key"))?;
    guard.append(&record).await?;
    let command = Command { incarnation, ..command };
    let (history, fallback_processor) =
        (SendHistory::NeverSent, shared.registry.processor_of(&key));
    let request = EnqueueRequest {
        command,
        origin: Origin::Store,
        history,
        fallback_processor,
        permit: None,
    };
    let receiver = shared.enqueue(&key, request);
    drop(guard);
    Ok((id, CommandProgress::Pending(receiver)))
}

/// Returns the state of the same command, stored before under its key; `None` when there was none.
fn find_repeated(
    shared: &Arc<RequestorState>,
    key: &OrderKey,
    stored: &StoredOrder,
    command: &Command,
) -> Result<Option<CommandProgress>, Refusal> {
    let Some(id) = &command.key else { return Ok(None) };
    let incarnation = shared.registry.incarnation(key);
    let Some(stored_command) = stored.command(id, incarnation.as_ref()) else { return Ok(None) };
    if stored_command.cause != Cause::new(id.clone(), &command.kind) {
        let text = "the key was used for something else; use a new one for each command";
        return Err(Refusal::new(Reason::IdempotencyConflict, text));
    }
    Ok(Some(match &stored_command.outcome {
        CommandOutcome::Done => CommandProgress::Settled(Ok(())),
        CommandOutcome::Refused(refusal) => CommandProgress::Settled(Err(refusal.clone())),
        // It is in the queue until its outcome is stored; if it was lost, it is queued again.
        CommandOutcome::Pending => CommandProgress::Pending(
            match shared.commands.subscribe(key, id, incarnation.as_ref()) {
                Some(receiver) => receiver,
                None => {
                    let open_command =
                        stored.open_command(id, incarnation.as_ref()).unwrap_or(command);
                    shared.enqueue(key, requeue_request(shared, stored, open_command))
                }
            },
        ),
    }))
}

/// Returns a command that was stored without an outcome, to be queued again: it may have been sent.
pub(crate) fn requeue_request(
    shared: &RequestorState,
    stored: &StoredOrder,
    command: &Command,
) -> EnqueueRequest {
    let submission = stored.submission.as_ref();
    // A submitted order has a tracker, whose epoch fences; a command on an order that is not
    // followed has none.
    let epoch = submission.map(|_| shared.epoch);
    EnqueueRequest {
        command: Command { epoch, ..command.clone() },
        origin: Origin::Store,
        history: SendHistory::MaybeSent,
        fallback_processor: submission.map(|submission| submission.processor.clone()),
        permit: None,
    }
}

/// Returns the record that stores a command; `None` for a command without a key.
fn record_of(command: &Command, incarnation: Option<Incarnation>) -> Option<OrderRecord> {
    let id = command.key.clone()?;
    #[allow(clippy::wildcard_enum_match_arm, reason = "the original's records; any other act")]
    Some(match command.kind.clone() {
        CommandKind::FollowUp(FollowUp { id, audience, message, answers }) => {
            OrderRecord::RequestFollowUp { id, audience, message, answers, incarnation }
        }
        CommandKind::Finalise { award, reason, undo_within_ms } => {
            OrderRecord::OrderFinalised { id, award, reason, undo_within_ms, incarnation }
        }
        CommandKind::Pause { reason } => OrderRecord::OrderPaused { id, reason, incarnation },
        body => OrderRecord::CommandRequested { id, body: Box::new(body), incarnation },
    })
}
