//! The buyers' commands on existing orders: each is stored, sent, and waited for a moment. The
//! reply is success only when the command is in the order's list; a command that is not decided by
//! then goes on by itself, and its outcome can be read under its key.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::buyer::{Acted, AskedAct, BuyerAct, BuyerError, Note, Outcome};
use orderstream_core::command::Act;
use orderstream_core::event::Cause;
use orderstream_core::port::act_name;
use orderstream_core::spec::FollowUp;
use orderstream_core::{
    Command, FollowUpId, IdempotencyKey, Incarnation, OrderKey, Reason, Refusal,
};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::act_queue::{Entrusted, Hearing, Origin, Past, Settled};
use crate::handle::{Handle, ended, lost, not_found};
use crate::shared::Shared;
use crate::store::{Record, Stored, follow_up_command, follow_up_key};

/// The time that a command waits for its processor's reply before the caller's reply is "pending".
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// A command that is stored, or that was settled before.
#[derive(Debug)]
enum Asked {
    /// The outcome is known.
    Settled(Settled),
    /// The command waits for its processor.
    Waits(Hearing),
}

impl Handle {
    /// Stores a follow-up, sends it, and waits a moment for its outcome; returns its id.
    ///
    /// # Errors
    /// When it is refused, here or by the processor; or when it is not known to be stored: then it
    /// is disowned as soon as the store takes writes.
    pub async fn follow_up(
        &self,
        key: OrderKey,
        note: Note,
    ) -> Result<(FollowUpId, Acted), BuyerError> {
        // In a task of its own, so that a caller that disconnects cannot leave the store and the
        // queue in disagreement.
        let work = follow_up(Arc::clone(&self.shared), key, note);
        let (id, asked) = self.shared.tasks.spawn(work).await.map_err(lost)??;
        // Ids are checked; there is a key for each.
        let under = follow_up_key(&id).ok_or_else(|| internal("the follow-up has no key"))?;
        let acted = self.answer(asked, under).await?;
        Ok((id, acted))
    }

    /// Stores a command, sends it, and waits a moment for its outcome. The same `repeat` has one
    /// effect and one outcome.
    ///
    /// # Errors
    /// When it is refused, here or by the processor; or when it is not known to be stored: then it
    /// is disowned as soon as the store takes writes.
    pub async fn buyer_act(
        &self,
        key: OrderKey,
        act: BuyerAct,
        repeat: Option<IdempotencyKey>,
    ) -> Result<Acted, BuyerError> {
        let work = buyer_act(Arc::clone(&self.shared), key, act, repeat.clone());
        let (id, asked) = self.shared.tasks.spawn(work).await.map_err(lost)??;
        self.answer(asked, repeat.unwrap_or(id)).await
    }

    async fn answer(&self, asked: Asked, under: IdempotencyKey) -> Result<Acted, BuyerError> {
        let hearing = match asked {
            Asked::Settled(settled) => return Ok(settled.map(|()| Acted::Done)?),
            Asked::Waits(hearing) => hearing,
        };
        let settled = tokio::select! {
            settled = hearing.settled() => settled,
            () = tokio::time::sleep(ANSWER_WAIT) => None,
            () = self.shared.cancel.cancelled() => None,
        };
        match settled {
            Some(settled) => Ok(settled.map(|()| Acted::Done)?),
            None => Ok(Acted::Pending(under)),
        }
    }

    /// Returns the command that was stored under this key, with its outcome; `None` when there was
    /// none. The key is the caller's own, or the one from a "pending" reply. Where the order is
    /// followed here, only commands on its present incarnation count.
    ///
    /// # Errors
    /// When the order's records cannot be read.
    pub fn asked_act(
        &self,
        key: &OrderKey,
        act: &IdempotencyKey,
    ) -> Result<Option<AskedAct>, BuyerError> {
        let stored = self.shared.store.load(key)?;
        let of_follow_up = FollowUpId::new(act.as_str()).ok().and_then(|id| follow_up_key(&id));
        let life = self.shared.registry.life(key);
        let mut known = [Some(buyers_key(act)), Some(act.clone()), of_follow_up].into_iter();
        let found = known.find_map(|id| stored.act(&id?, life.as_ref()));
        Ok(found
            .map(|found| AskedAct { act: found.name.to_owned(), outcome: found.outcome.clone() }))
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
async fn follow_up(
    shared: Arc<Shared>,
    key: OrderKey,
    note: Note,
) -> Result<(FollowUpId, Asked), BuyerError> {
    shared.check_open()?;
    let mut turn = shared.store.turn(&key).await;
    let Note { id, audience, message, answers } = note;
    let (id, is_given) = match id {
        Some(id) => (id, true),
        None => (FollowUpId::new(Uuid::now_v7().to_string())?, false),
    };
    let command = follow_up_command(FollowUp { id: id.clone(), audience, message, answers });
    let stored = turn.load()?;
    if is_given && let Some(asked) = repeated(&shared, &key, &stored, &command)? {
        return Ok((id, asked));
    }
    if stored.ended.is_some() {
        return Err(ended(&key).into());
    }
    let permit = check(&shared, &key)?;
    let incarnation = shared.registry.life(&key);
    turn.check_room(&command.act, incarnation.as_ref()).await?;
    let record = record_of(&command, incarnation.clone())
        .ok_or_else(|| internal("a follow-up without a key"))?;
    turn.append(&record).await?;
    match &permit {
        None => {
            shared.registry.add_follow_up_note(shared.now(), &key, id.clone());
            shared.tell(&key);
        }
        Some(_) => {
            tracing::warn!(order_req_id = %key.order_req_id, "follow-up of an unknown order");
        }
    }
    let command = Command { incarnation, ..command };
    let (past, home) = (Past::New, shared.registry.home(&key));
    let act = Entrusted { command, origin: Origin::Store, past, home, permit };
    let hearing = shared.send(&key, act);
    // Only now: a repeated request must find it in the queue.
    drop(turn);
    Ok((id, Asked::Waits(hearing)))
}

/// Refuses a command that cannot be taken now. One on an order that is not followed here takes a
/// permit.
fn check(shared: &Shared, key: &OrderKey) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
    shared.registry.check_act(key)?;
    shared.acts.check_room(key)?;
    if shared.registry.has_order(key) {
        return Ok(None);
    }
    let full = |_| Refusal::new(Reason::Overloaded, "too many follow-ups wait; try again later");
    Arc::clone(&shared.strays).try_acquire_owned().map(Some).map_err(full)
}

/// Stores and queues a command; returns its key.
async fn buyer_act(
    shared: Arc<Shared>,
    key: OrderKey,
    act: BuyerAct,
    repeat: Option<IdempotencyKey>,
) -> Result<(IdempotencyKey, Asked), BuyerError> {
    shared.check_open()?;
    let mut turn = shared.store.turn(&key).await;
    let act = Act::from(act);
    let id = match &repeat {
        None => IdempotencyKey::new(format!("{}:{}", act_name(&act), Uuid::now_v7()))?,
        Some(repeat) => buyers_key(repeat),
    };
    let command = Command { key: Some(id.clone()), ..Command::bare(act) };
    // First of all, because the order may have ended by this very command.
    if repeat.is_some()
        && let Some(asked) = repeated(&shared, &key, &turn.load()?, &command)?
    {
        return Ok((id, asked));
    }
    if !shared.registry.has_order(&key) {
        // An order whose records are damaged is not followed, but it is not unknown either.
        turn.load()?;
        return Err(not_found(&key).into());
    }
    if let Some(settled) = shared.registry.after_the_end(&key, &command.act) {
        return Ok((id, Asked::Settled(settled)));
    }
    drop(check(&shared, &key)?);
    let incarnation = shared.registry.life(&key);
    turn.check_room(&command.act, incarnation.as_ref()).await?;
    let record = record_of(&command, incarnation.clone())
        .ok_or_else(|| internal("a command without a key"))?;
    turn.append(&record).await?;
    let command = Command { incarnation, ..command };
    let (past, home) = (Past::New, shared.registry.home(&key));
    let act = Entrusted { command, origin: Origin::Store, past, home, permit: None };
    let hearing = shared.send(&key, act);
    drop(turn);
    Ok((id, Asked::Waits(hearing)))
}

/// Returns the state of the same command, stored before under its key; `None` when there was none.
fn repeated(
    shared: &Arc<Shared>,
    key: &OrderKey,
    stored: &Stored,
    command: &Command,
) -> Result<Option<Asked>, Refusal> {
    let Some(id) = &command.key else { return Ok(None) };
    let life = shared.registry.life(key);
    let Some(held) = stored.act(id, life.as_ref()) else { return Ok(None) };
    if held.cause != Cause::new(id.clone(), &command.act) {
        let text = "the key was used for something else; use a new one for each command";
        return Err(Refusal::new(Reason::IdempotencyConflict, text));
    }
    Ok(Some(match &held.outcome {
        Outcome::Done => Asked::Settled(Ok(())),
        Outcome::Refused(refusal) => Asked::Settled(Err(refusal.clone())),
        // It is in the queue until its outcome is stored; if it was lost, it is queued again.
        Outcome::Pending => Asked::Waits(match shared.acts.hear(key, id, life.as_ref()) {
            Some(hearing) => hearing,
            None => {
                let waits = stored.open_act(id, life.as_ref()).unwrap_or(command);
                shared.send(key, taken_up(shared, stored, waits))
            }
        }),
    }))
}

/// Returns a command that was stored without an outcome, to be queued again: it may have been sent.
pub(crate) fn taken_up(shared: &Shared, stored: &Stored, command: &Command) -> Entrusted {
    let submission = stored.submission.as_ref();
    // A submitted order has a tracker, whose epoch fences; a command on an order that is not
    // followed has none.
    let epoch = submission.map(|_| shared.epoch);
    Entrusted {
        command: Command { epoch, ..command.clone() },
        origin: Origin::Store,
        past: Past::MayBeSent,
        home: submission.map(|submission| submission.processor.clone()),
        permit: None,
    }
}

/// Returns the record that stores a command; `None` for a command without a key.
fn record_of(command: &Command, incarnation: Option<Incarnation>) -> Option<Record> {
    let id = command.key.clone()?;
    #[allow(clippy::wildcard_enum_match_arm, reason = "the original's records; any other act")]
    Some(match command.act.clone() {
        Act::FollowUp(FollowUp { id, audience, message, answers }) => {
            Record::RequestFollowUp { id, audience, message, answers, incarnation }
        }
        Act::Finalise { award, reason, undo_within_ms } => {
            Record::OrderFinalised { id, award, reason, undo_within_ms, incarnation }
        }
        Act::Pause { reason } => Record::OrderPaused { id, reason, incarnation },
        act => Record::BuyerActed { id, act: Box::new(act), incarnation },
    })
}
