//! Sends commands to the processors, and retries each until its outcome is known. A command's key
//! makes it happen once, and the processor gives a key the same reply for the order's whole
//! incarnation.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::placement::choose;
use orderstream_core::tracker::TrackerInput;
use orderstream_core::{Command, Epoch, OrderKey, Reason, Refusal};
use orderstream_rpc::client::{self, ClientStack};
use orderstream_rpc::convert::{CommandRequest, request_for};
use orderstream_rpc::status::refusal_from_status;
use tonic::{Code, Request, Status};

use crate::backoff::backoff;
use crate::command_queue::{FinalOutcome, Origin, QueuedCommand, SendHistory};
use crate::registry::CommandRoute;
use crate::state::RequestorState;
use crate::store::outcome_record;

/// The time limit of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The tries of a command that the processor fails each time with a fault of its own.
const FAULTS_MAX: u32 = 10;

/// Returns the refusal in a status. A status without our details comes from the connection, a proxy
/// or an old server; the effect of such a call is unknown, and a retry is safe.
pub(crate) fn refusal_of(status: &Status) -> Refusal {
    if let Some(refusal) = refusal_from_status(status) {
        return refusal;
    }
    let reason = match status.code() {
        Code::InvalidArgument | Code::OutOfRange => Reason::InvalidRequest,
        Code::NotFound => Reason::OrderNotFound,
        Code::PermissionDenied | Code::Unauthenticated => Reason::NotAllowed,
        Code::FailedPrecondition | Code::AlreadyExists => Reason::OrderEnded,
        Code::Unimplemented | Code::DataLoss => Reason::Internal,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => Reason::Unreachable,
    };
    Refusal::new(reason, status.message())
}

/// Notifies the queue that the order's sending task ended, also where it panicked.
struct SenderGuard {
    shared: Arc<RequestorState>,
    key: OrderKey,
    /// The queue was notified already.
    is_done: bool,
}

impl Drop for SenderGuard {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.commands.sender_ended(&self.key);
        }
    }
}

/// Sends the order's commands one after another, until none waits. It does not end with the order's
/// stream: a command that the order's end overtook is still retried until its outcome is known.
pub(crate) async fn send_all(shared: Arc<RequestorState>, key: OrderKey) {
    let mut guard = SenderGuard { shared, key, is_done: false };
    let SenderGuard { shared, key, .. } = &guard;
    let sending = async {
        while let Some(queued) = shared.commands.front(key) {
            let outcome = settle(shared, key, &queued).await;
            shared.commands.settle(key, &queued, outcome);
        }
    };
    let is_done = tokio::select! {
        // A command that is not settled by then is in the store, and resumed at the next start.
        () = shared.cancel.cancelled() => false,
        () = sending => true,
    };
    guard.is_done = is_done;
}

/// Delivers a command and returns its outcome. A command of the order store has its outcome stored
/// first: the outcome that a caller receives is the one that is found after a restart.
async fn settle(
    shared: &RequestorState,
    key: &OrderKey,
    queued: &Arc<QueuedCommand>,
) -> FinalOutcome {
    let outcome = deliver(shared, key, queued).await;
    if queued.origin == Origin::Store {
        store_outcome(shared, key, &queued.command, outcome.as_ref().err()).await;
    }
    if let (Err(refusal), Some(id)) = (&outcome, &queued.command.key)
        && let Some(follower) = shared.registry.follower(key, queued.command.incarnation.as_ref())
    {
        let input = TrackerInput::CommandRefused { key: id.clone(), refusal: refusal.clone() };
        shared.step(key, &follower, input);
    }
    outcome
}

/// Stores a command's outcome, retrying until it is stored.
async fn store_outcome(
    shared: &RequestorState,
    key: &OrderKey,
    command: &Command,
    refusal: Option<&Refusal>,
) {
    let Some(record) = outcome_record(command, refusal) else { return };
    let mut backoff = backoff();
    loop {
        // The write guard is released before the back-off, so that others can write meanwhile.
        let stored = shared.store.write_guard(key).await.append(&record).await;
        let Err(error) = stored else { return };
        let order_req_id = key.order_req_id.as_str();
        tracing::warn!(order_req_id, %error, "a command's outcome is not stored yet");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// The destination of a command, and its epoch.
struct CommandTarget {
    processor: String,
    epoch: Option<Epoch>,
}

/// Finds a command's destination. If the order is followed here, waits until its processor has
/// opened it or refused to. After a refusal, a command that was never sent is refused for the same
/// reason, and any other is sent, so that the processor reports its outcome.
async fn find_target(
    shared: &RequestorState,
    key: &OrderKey,
    queued: &QueuedCommand,
    history: SendHistory,
) -> Result<CommandTarget, Refusal> {
    let incarnation = queued.command.incarnation.as_ref();
    let route = || shared.registry.route(key, incarnation, queued.origin);
    loop {
        let changed = match route() {
            CommandRoute::Refused { refusal, .. } if history == SendHistory::NeverSent => {
                return Err(refusal);
            }
            CommandRoute::Ready { processor, epoch }
            | CommandRoute::Refused { processor, epoch, .. } => {
                return Ok(CommandTarget {
                    processor,
                    epoch: queued.command.epoch.max(Some(epoch)),
                });
            }
            CommandRoute::Unknown => {
                let none = || Refusal::new(Reason::Unreachable, "no processor is configured");
                let chosen = || choose(key, &shared.processors).map(str::to_owned);
                let processor =
                    queued.fallback_processor.clone().or_else(chosen).ok_or_else(none)?;
                return Ok(CommandTarget { processor, epoch: queued.command.epoch });
            }
            CommandRoute::Opening(changed) => changed,
        };
        let changed = changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        // The order may have been opened, or dropped, since the first check.
        if matches!(route(), CommandRoute::Opening(_)) {
            changed.await;
        }
    }
}

/// Sends one command until its outcome is known.
async fn deliver(
    shared: &RequestorState,
    key: &OrderKey,
    queued: &Arc<QueuedCommand>,
) -> FinalOutcome {
    let order_req_id = key.order_req_id.as_str();
    let name = queued.command.kind.name();
    let (mut backoff, mut attempts) = (backoff(), SendAttempts::new(queued.history));
    loop {
        let target = find_target(shared, key, queued, attempts.history).await?;
        let command = Command { epoch: target.epoch, ..queued.command.clone() };
        let refusal = match send(shared, &target.processor, key, &command).await {
            Ok(()) => {
                tracing::debug!(order_req_id, act = name, "a command is done");
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        if attempts.settles(&refusal) {
            tracing::warn!(order_req_id, act = name, %refusal, "a command is refused for good");
            return Err(refusal);
        }
        // The processor may never reply again, where the order's end settles the command.
        if let Some(outcome) = shared.registry.outcome_from_end(key, &queued.command) {
            tracing::info!(order_req_id, act = name, %refusal, "a command is settled by the order's end");
            return outcome;
        }
        if refusal.reason == Reason::OrderNotFound {
            return Err(outcome_unknown(&refusal));
        }
        if !shared.commands.contains(key, queued) {
            return Err(Refusal::new(Reason::OrderNotFound, "nobody asks for it any more"));
        }
        tracing::debug!(order_req_id, act = name, %refusal, "a command is sent again");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// The history of a command's tries.
#[derive(Clone, Copy, Debug)]
struct SendAttempts {
    history: SendHistory,
    /// The number of tries while the processor failed each with a fault of its own; absent once any
    /// of them may have been accepted without a reply.
    faults: Option<u32>,
}

impl SendAttempts {
    fn new(history: SendHistory) -> Self {
        Self { history, faults: (history == SendHistory::NeverSent).then_some(0) }
    }

    /// Reports whether the refusal of the next try proves that the command is not in the order's
    /// list and never will be. The order's owner checks the key before all else, so a command that
    /// it refuses had no effect; but where its records cannot be read, the order is gone or the
    /// caller is not allowed, a command that was sent before may have had its effect. A fault that
    /// recurs on every try is the command's own.
    fn settles(&mut self, refusal: &Refusal) -> bool {
        let is_fault = refusal.reason == Reason::Internal;
        self.faults = self.faults.filter(|_| is_fault).map(|faults| faults.saturating_add(1));
        match (refusal.reason, std::mem::replace(&mut self.history, SendHistory::MaybeSent)) {
            (Reason::Internal, _) => self.faults.is_some_and(|faults| faults >= FAULTS_MAX),
            (
                Reason::OrderNotFound | Reason::RecordsDamaged | Reason::NotAllowed,
                SendHistory::MaybeSent,
            ) => false,
            (reason, _) => !reason.is_retriable(),
        }
    }
}

/// Returns the outcome of a command that may have been accepted by an order that its processor no
/// longer has.
fn outcome_unknown(refusal: &Refusal) -> Refusal {
    let text = "the processor no longer has the order; whether the command was accepted before cannot be known";
    Refusal::new(Reason::OrderNotFound, format!("{text}: {}", refusal.message))
}

/// Sends one command once.
pub(crate) async fn send(
    shared: &RequestorState,
    processor: &str,
    key: &OrderKey,
    command: &Command,
) -> Result<(), Refusal> {
    let channel = shared.channels.for_commands(processor)?;
    let request = request_for(key, command)?;
    match tokio::time::timeout(CALL_TIMEOUT, call(channel, request)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(status)) => Err(refusal_of(&status)),
        Err(_) => Err(Refusal::new(
            Reason::Unreachable,
            format!("the processor did not answer within {} s", CALL_TIMEOUT.as_secs()),
        )),
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

async fn call(channel: ClientStack, request: CommandRequest) -> Result<(), Status> {
    let mut control = client::control(channel.clone());
    match request {
        CommandRequest::FollowUp(request) => {
            let mut client = client::non_streaming(channel);
            let response = client.process_follow_up(timed(request)).await?.into_inner();
            if !response.success {
                return Err(Status::failed_precondition(response.message));
            }
        }
        CommandRequest::Pause(request) => drop(control.pause(timed(request)).await?),
        CommandRequest::Resume(request) => drop(control.resume(timed(request)).await?),
        CommandRequest::Extend(request) => drop(control.extend(timed(request)).await?),
        CommandRequest::Award(request) => drop(control.award(timed(request)).await?),
        CommandRequest::UndoAward(request) => drop(control.undo_award(timed(request)).await?),
        CommandRequest::Close(request) => drop(control.close(timed(request)).await?),
        CommandRequest::Cancel(request) => drop(control.cancel(timed(request)).await?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports whether the last refusal settles the command; panics if an earlier one does.
    fn settles(history: SendHistory, refused: &[(Reason, u32)]) -> bool {
        let mut attempts = SendAttempts::new(history);
        let mut last = false;
        for (reason, count) in refused {
            for _ in 0..*count {
                assert!(!last, "{reason:?}: it was told before");
                last = attempts.settles(&Refusal::new(*reason, ""));
            }
        }
        last
    }

    /// A command that may have been accepted is retried instead of refused.
    #[test]
    fn processor_faults_settle_no_sent_command() {
        use Reason::{Internal, OrderEnded, Unreachable};
        assert!(!settles(SendHistory::NeverSent, &[(Unreachable, 10), (Internal, 1)]));
        assert!(!settles(SendHistory::NeverSent, &[(Unreachable, 1), (Internal, 100)]));
        assert!(!settles(
            SendHistory::NeverSent,
            &[(Internal, 9), (Unreachable, 1), (Internal, 100)]
        ));
        assert!(!settles(SendHistory::MaybeSent, &[(Internal, 100)]));
        assert!(settles(SendHistory::MaybeSent, &[(Internal, 100), (OrderEnded, 1)]));
    }

    #[test]
    fn constant_faults_refuse_the_command() {
        assert!(!settles(SendHistory::NeverSent, &[(Reason::Internal, FAULTS_MAX - 1)]));
        assert!(settles(SendHistory::NeverSent, &[(Reason::Internal, FAULTS_MAX)]));
    }

    /// A command that was never sent is refused.
    #[test]
    fn missing_orders_settle_no_sent_command() {
        use Reason::{OrderNotFound, Unreachable};
        assert!(settles(SendHistory::NeverSent, &[(OrderNotFound, 1)]));
        assert!(!settles(SendHistory::NeverSent, &[(Unreachable, 1), (OrderNotFound, 1)]));
        assert!(!settles(SendHistory::MaybeSent, &[(OrderNotFound, 1)]));
    }
}
