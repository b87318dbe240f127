//! Sends acts to the processors, again and again until it is known what came of them. Their keys make
//! each happen once, and the processor answers a key alike for the order's whole life.

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

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an act is tried that the processor answers each time with a fault of its own.
const FAULTS_MAX: u32 = 10;

/// What a status says. A status without our details comes from the connection, a proxy or an old
/// server; what such a call did is not known, and asking again is safe.
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

/// Tells the queue that the order's courier is gone, also where it panicked.
struct AtWork {
    shared: Arc<Shared>,
    key: OrderKey,
    /// Whether the queue knows it already.
    is_done: bool,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.acts.courier_ended(&self.key);
        }
    }
}

/// Sends the order's acts one after another, until none waits. It does not end with the order's
/// stream: an act that the order's end overtook is asked about still.
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
        // What is not settled by then is in the store, and taken up at the next start.
        () = shared.cancel.cancelled() => false,
        () = sending => true,
    };
    at_work.is_done = is_done;
}

/// What comes of an act. What the store holds is told to it first: an outcome that somebody has
/// heard is the one that is found after a restart.
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

/// Stores what came of an act, again until it is stored.
async fn remember(shared: &Shared, key: &OrderKey, command: &Command, refusal: Option<&Refusal>) {
    let Some(record) = answered(command, refusal) else { return };
    let mut backoff = backoff();
    loop {
        // The turn ends before the wait: others write meanwhile.
        let stored = shared.store.turn(key).await.append(&record).await;
        let Err(error) = stored else { return };
        let order_req_id = key.order_req_id.as_str();
        tracing::warn!(order_req_id, %error, "the answer to an act is not stored yet");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// Where an act goes, and under which fencing number.
struct Place {
    processor: String,
    epoch: Option<Epoch>,
}

/// Where the act goes. An order that is followed here is waited for until its processor has it, or says
/// that it will not: then an act that was never sent is refused for the same reason, and of any other one
/// the processor says what came of it.
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
        // It may have been opened, or be followed no longer, since it was asked.
        if matches!(address(), Address::NotYet(_)) {
            changed.await;
        }
    }
}

/// Sends one act until it is known what came of it.
async fn deliver(shared: &Shared, key: &OrderKey, act: &Arc<Queued>) -> Settled {
    let order_req_id = key.order_req_id.as_str();
    let name = orderstream_core::port::act_name(&act.command.act);
    let (mut backoff, mut tries) = (backoff(), Tries::new(act.past));
    loop {
        let place = place(shared, key, (act, tries.past)).await?;
        let command = Command { epoch: place.epoch, ..act.command.clone() };
        let refusal = match send(shared, &place.processor, key, &command).await {
            Ok(()) => {
                tracing::debug!(order_req_id, act = name, "act is done");
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        if tries.tells(&refusal) {
            tracing::warn!(order_req_id, act = name, %refusal, "act is refused for good");
            return Err(refusal);
        }
        // The processor may never answer again, where the order's end says enough.
        if let Some(settled) = shared.registry.settled_by_the_end(key, &act.command) {
            tracing::info!(order_req_id, act = name, %refusal, "act is judged by the order's end");
            return settled;
        }
        if refusal.reason == Reason::OrderNotFound {
            return Err(forgotten(&refusal));
        }
        if !shared.acts.holds(key, act) {
            return Err(Refusal::new(Reason::OrderNotFound, "nobody asks for it any more"));
        }
        tracing::debug!(order_req_id, act = name, %refusal, "act is sent again");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// What is known of an act's tries so far.
#[derive(Clone, Copy, Debug)]
struct Tries {
    past: Past,
    /// How many there were, for as long as the processor answered each with a fault of its own; none
    /// once any of them may have been taken without an answer.
    faults: Option<u32>,
}

impl Tries {
    fn new(past: Past) -> Self {
        Self { past, faults: (past == Past::New).then_some(0) }
    }

    /// Whether the refusal of the next try says that the act is not in the order's list and never will
    /// be. The order's owner looks at the key before all else, so what it refuses did not happen; where
    /// its records cannot be read, or the order is gone from it, an act that was sent before may have
    /// happened all the same. A fault that comes back each time the key is sent is one of the act.
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

/// The outcome of an act that may have been taken by an order that its processor no longer has.
fn forgotten(refusal: &Refusal) -> Refusal {
    let text =
        "the processor no longer has the order; whether the act was taken before cannot be known";
    Refusal::new(Reason::OrderNotFound, format!("{text}: {}", refusal.message))
}

/// Sends one act once.
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

    /// Whether the last of so many refusals tells what came of an act, and none before it.
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

    #[test]
    fn an_act_that_may_have_been_taken_is_not_told_as_refused_for_a_fault_of_the_processor() {
        use Reason::{Internal, OrderEnded, Unreachable};
        assert!(!tells(Past::New, &[(Unreachable, 10), (Internal, 1)]));
        assert!(!tells(Past::New, &[(Unreachable, 1), (Internal, 100)]));
        assert!(!tells(Past::New, &[(Internal, 9), (Unreachable, 1), (Internal, 100)]));
        assert!(!tells(Past::MayBeSent, &[(Internal, 100)]));
        assert!(tells(Past::MayBeSent, &[(Internal, 100), (OrderEnded, 1)]));
    }

    #[test]
    fn a_fault_that_every_try_met_is_one_of_the_act() {
        assert!(!tells(Past::New, &[(Reason::Internal, FAULTS_MAX - 1)]));
        assert!(tells(Past::New, &[(Reason::Internal, FAULTS_MAX)]));
    }

    #[test]
    fn an_order_that_is_gone_says_nothing_of_what_was_sent_before() {
        use Reason::{OrderNotFound, Unreachable};
        assert!(tells(Past::New, &[(OrderNotFound, 1)]));
        assert!(!tells(Past::New, &[(Unreachable, 1), (OrderNotFound, 1)]));
        assert!(!tells(Past::MayBeSent, &[(OrderNotFound, 1)]));
    }
}
