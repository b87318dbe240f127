//! Sends commands to the processors, and retries each until its outcome is known. A command's key
//! makes it happen once, and the processor gives a key the same reply for the order's whole
//! incarnation.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::placement::choose;
use orderstream_core::tracker::Input;
use orderstream_core::{Command, Epoch, OrderKey, Reason, Refusal};
use orderstream_rpc::client::{self, ClientStack};
use orderstream_rpc::convert::{ActRequest, request_for};
use orderstream_rpc::status::refusal_from_status;
use tonic::{Code, Request, Status};

use crate::act_queue::{Origin, Past, Queued, Settled};
use crate::backoff::backoff;
use crate::registry::Address;
use crate::shared::Shared;
use crate::store::answered;

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
struct AtWork {
    shared: Arc<Shared>,
    key: OrderKey,
    /// The queue was notified already.
    is_done: bool,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.acts.courier_ended(&self.key);
        }
    }
}

/// Sends the order's commands one after another, until none waits. It does not end with the order's
/// stream: a command that the order's end overtook is still retried until its outcome is known.
pub(crate) async fn send_all(shared: Arc<Shared>, key: OrderKey) {
    let mut at_work = AtWork { shared, key, is_done: false };
    let AtWork { shared, key, .. } = &at_work;
    let sending = async {
        while let Some(act) = shared.acts.front(key) {
            let settled = settle(shared, key, &act).await;
            shared.acts.settle(key, &act, settled);
        }
    };
    let is_done = tokio::select! {
        // A command that is not settled by then is in the store, and resumed at the next start.
        () = shared.cancel.cancelled() => false,
        () = sending => true,
    };
    at_work.is_done = is_done;
}

/// Delivers a command and returns its outcome. A command of the order store has its outcome stored
/// first: the outcome that a caller receives is the one that is found after a restart.
async fn settle(shared: &Shared, key: &OrderKey, act: &Arc<Queued>) -> Settled {
    let settled = deliver(shared, key, act).await;
    if act.origin == Origin::Store {
        remember(shared, key, &act.command, settled.as_ref().err()).await;
    }
    if let (Err(refusal), Some(id)) = (&settled, &act.command.key)
        && let Some(following) = shared.registry.following(key, act.command.incarnation.as_ref())
    {
        let input = Input::ActRefused { key: id.clone(), refusal: refusal.clone() };
        shared.step(key, &following, input);
    }
    settled
}

/// Stores a command's outcome, retrying until it is stored.
async fn remember(shared: &Shared, key: &OrderKey, command: &Command, refusal: Option<&Refusal>) {
    let Some(record) = answered(command, refusal) else { return };
    let mut backoff = backoff();
    loop {
        // The turn ends before the back-off, so that others can write meanwhile.
        let stored = shared.store.turn(key).await.append(&record).await;
        let Err(error) = stored else { return };
        let order_req_id = key.order_req_id.as_str();
        tracing::warn!(order_req_id, %error, "the reply to a command is not stored yet");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// The destination of a command, and its epoch.
struct Place {
    processor: String,
    epoch: Option<Epoch>,
}

/// Finds a command's destination. If the order is followed here, waits until its processor has
/// opened it or refused to. After a refusal, a command that was never sent is refused for the same
/// reason, and any other is sent, so that the processor reports its outcome.
async fn place(
    shared: &Shared,
    key: &OrderKey,
    (act, past): (&Queued, Past),
) -> Result<Place, Refusal> {
    let address = || shared.registry.address(key, (act.command.incarnation.as_ref(), act.origin));
    loop {
        let changed = match address() {
            Address::Refused { refusal, .. } if past == Past::New => return Err(refusal),
            Address::At { processor, epoch } | Address::Refused { processor, epoch, .. } => {
                return Ok(Place { processor, epoch: act.command.epoch.max(Some(epoch)) });
            }
            Address::Unknown => {
                let none = || Refusal::new(Reason::Unreachable, "no processor is configured");
                let chosen = || choose(key, &shared.processors).map(str::to_owned);
                let processor = act.home.clone().or_else(chosen).ok_or_else(none)?;
                return Ok(Place { processor, epoch: act.command.epoch });
            }
            Address::NotYet(changed) => changed,
        };
        let changed = changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        // The order may have been opened, or dropped, since the first check.
        if matches!(address(), Address::NotYet(_)) {
            changed.await;
        }
    }
}

/// Sends one command until its outcome is known.
async fn deliver(shared: &Shared, key: &OrderKey, act: &Arc<Queued>) -> Settled {
    let order_req_id = key.order_req_id.as_str();
    let name = orderstream_core::port::act_name(&act.command.act);
    let (mut backoff, mut tries) = (backoff(), Tries::new(act.past));
    loop {
        let place = place(shared, key, (act, tries.past)).await?;
        let command = Command { epoch: place.epoch, ..act.command.clone() };
        let refusal = match send(shared, &place.processor, key, &command).await {
            Ok(()) => {
                tracing::debug!(order_req_id, act = name, "a command is done");
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        if tries.tells(&refusal) {
            tracing::warn!(order_req_id, act = name, %refusal, "a command is refused for good");
            return Err(refusal);
        }
        // The processor may never reply again, where the order's end settles the command.
        if let Some(settled) = shared.registry.settled_by_the_end(key, &act.command) {
            tracing::info!(order_req_id, act = name, %refusal, "a command is settled by the order's end");
            return settled;
        }
        if refusal.reason == Reason::OrderNotFound {
            return Err(forgotten(&refusal));
        }
        if !shared.acts.holds(key, act) {
            return Err(Refusal::new(Reason::OrderNotFound, "nobody asks for it any more"));
        }
        tracing::debug!(order_req_id, act = name, %refusal, "a command is sent again");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// The history of a command's tries.
#[derive(Clone, Copy, Debug)]
struct Tries {
    past: Past,
    /// The number of tries while the processor failed each with a fault of its own; absent once any
    /// of them may have been taken without a reply.
    faults: Option<u32>,
}

impl Tries {
    fn new(past: Past) -> Self {
        Self { past, faults: (past == Past::New).then_some(0) }
    }

    /// Reports whether the refusal of the next try proves that the command is not in the order's
    /// list and never will be. The order's owner checks the key before all else, so what it refuses
    /// did not happen; but where its records cannot be read, the order is gone or the caller is not
    /// allowed, a command that was sent before may have happened. A fault that recurs on every try
    /// is the command's own.
    fn tells(&mut self, refusal: &Refusal) -> bool {
        let is_fault = refusal.reason == Reason::Internal;
        self.faults = self.faults.filter(|_| is_fault).map(|faults| faults.saturating_add(1));
        match (refusal.reason, std::mem::replace(&mut self.past, Past::MayBeSent)) {
            (Reason::Internal, _) => self.faults.is_some_and(|faults| faults >= FAULTS_MAX),
            (
                Reason::OrderNotFound | Reason::RecordsDamaged | Reason::NotAllowed,
                Past::MayBeSent,
            ) => false,
            (reason, _) => !reason.is_retriable(),
        }
    }
}

/// Returns the outcome of a command that may have been taken by an order that its processor no
/// longer has.
fn forgotten(refusal: &Refusal) -> Refusal {
    let text = "the processor no longer has the order; whether the command was accepted before cannot be known";
    Refusal::new(Reason::OrderNotFound, format!("{text}: {}", refusal.message))
}

/// Sends one command once.
pub(crate) async fn send(
    shared: &Shared,
    processor: &str,
    key: &OrderKey,
    command: &Command,
) -> Result<(), Refusal> {
    let channel = shared.channels.for_acts(processor)?;
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

async fn call(channel: ClientStack, request: ActRequest) -> Result<(), Status> {
    let mut control = client::control(channel.clone());
    match request {
        ActRequest::FollowUp(request) => {
            let mut client = client::non_streaming(channel);
            let answer = client.process_follow_up(timed(request)).await?.into_inner();
            if !answer.success {
                return Err(Status::failed_precondition(answer.message));
            }
        }
        ActRequest::Pause(request) => drop(control.pause(timed(request)).await?),
        ActRequest::Resume(request) => drop(control.resume(timed(request)).await?),
        ActRequest::Extend(request) => drop(control.extend(timed(request)).await?),
        ActRequest::Award(request) => drop(control.award(timed(request)).await?),
        ActRequest::UndoAward(request) => drop(control.undo_award(timed(request)).await?),
        ActRequest::Close(request) => drop(control.close(timed(request)).await?),
        ActRequest::Cancel(request) => drop(control.cancel(timed(request)).await?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports whether the last refusal settles the command; panics if an earlier one does.
    fn tells(past: Past, refused: &[(Reason, u32)]) -> bool {
        let mut tries = Tries::new(past);
        let mut last = false;
        for (reason, count) in refused {
            for _ in 0..*count {
                assert!(!last, "{reason:?}: it was told before");
                last = tries.tells(&Refusal::new(*reason, ""));
            }
        }
        last
    }

    /// A command that may have been taken is retried instead of refused.
    #[test]
    fn processor_faults_settle_no_sent_command() {
        use Reason::{Internal, OrderEnded, Unreachable};
        assert!(!tells(Past::New, &[(Unreachable, 10), (Internal, 1)]));
        assert!(!tells(Past::New, &[(Unreachable, 1), (Internal, 100)]));
        assert!(!tells(Past::New, &[(Internal, 9), (Unreachable, 1), (Internal, 100)]));
        assert!(!tells(Past::MayBeSent, &[(Internal, 100)]));
        assert!(tells(Past::MayBeSent, &[(Internal, 100), (OrderEnded, 1)]));
    }

    #[test]
    fn constant_faults_refuse_the_command() {
        assert!(!tells(Past::New, &[(Reason::Internal, FAULTS_MAX - 1)]));
        assert!(tells(Past::New, &[(Reason::Internal, FAULTS_MAX)]));
    }

    /// A command that was never sent is refused.
    #[test]
    fn missing_orders_settle_no_sent_command() {
        use Reason::{OrderNotFound, Unreachable};
        assert!(tells(Past::New, &[(OrderNotFound, 1)]));
        assert!(!tells(Past::New, &[(Unreachable, 1), (OrderNotFound, 1)]));
        assert!(!tells(Past::MayBeSent, &[(OrderNotFound, 1)]));
    }
}
