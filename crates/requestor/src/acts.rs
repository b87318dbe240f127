//! Sends acts to the processors, again and again until they are answered. Their keys make each
//! happen once.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::tracker::Input;
use orderstream_core::{Command, OrderKey, Reason, Refusal};
use orderstream_rpc::client::{self, ClientStack};
use orderstream_rpc::convert::{ActRequest, request_for};
use orderstream_rpc::status::refusal_from_status;
use tonic::{Code, Request, Status};

use crate::backoff::Backoff;
use crate::follower::Followed;
use crate::placement::choose;
use crate::registry::{Following, Origin, Queued};
use crate::shared::Shared;
use crate::store::answered;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an act is tried that the processor answers with a fault of its own.
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

/// Sends the order's acts one after another, for as long as the order is followed.
pub(crate) async fn send_all(Followed { shared, key, following }: &Followed) {
    loop {
        let changed = following.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        // On the heap while it lasts: every order's task waits here, and few have an act to send.
        let act = shared.registry.next_act(key, following.life);
        let Some(sent) = act.map(|act| Box::pin(send_one(shared, key, following, act))) else {
            changed.await;
            continue;
        };
        sent.await;
        shared.registry.act_done(key, following.life);
    }
}

async fn send_one(
    shared: &Shared,
    key: &OrderKey,
    following: &Following,
    (processor, queued): (String, Queued),
) {
    let outcome = deliver(shared, &processor, key, &queued.command).await;
    if queued.origin == Origin::Store {
        remember(shared, key, &queued.command, outcome.as_ref().err()).await;
    }
    if let (Err(refusal), Some(act)) = (outcome, queued.command.key) {
        shared.step(key, following, Input::ActRefused { key: act, refusal });
    }
}

/// Sends a follow-up of an order that is not followed here. It was stored before.
pub(crate) async fn send_stray(shared: Arc<Shared>, key: OrderKey, command: Command) {
    let Some(processor) = choose(&key, &shared.processors).map(str::to_owned) else { return };
    let delivery = async {
        let outcome = deliver(&shared, &processor, &key, &command).await;
        remember(&shared, &key, &command, outcome.err().as_ref()).await;
    };
    tokio::select! {
        () = shared.cancel.cancelled() => {}
        () = delivery => {}
    }
}

async fn remember(shared: &Shared, key: &OrderKey, command: &Command, refusal: Option<&Refusal>) {
    let Some(record) = answered(command, refusal) else { return };
    if let Err(error) = shared.store.turn(key).await.append(&record).await {
        // The next start sends the act again; its key makes that harmless.
        let order_req_id = key.order_req_id.as_str();
        tracing::warn!(order_req_id, %error, "the answer to an act is not stored");
    }
}

/// Sends one act until it is answered, or refused for good.
async fn deliver(
    shared: &Shared,
    processor: &str,
    key: &OrderKey,
    command: &Command,
) -> Result<(), Refusal> {
    let order_req_id = key.order_req_id.as_str();
    let act = orderstream_core::port::act_name(&command.act);
    let mut backoff = Backoff::default();
    loop {
        let refusal = match send(shared, processor, key, command).await {
            Ok(()) => {
                tracing::debug!(order_req_id, act, "act is done");
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        let fault = refusal.reason == Reason::Internal && backoff.attempts() < FAULTS_MAX;
        if !refusal.reason.is_retriable() && !fault {
            tracing::warn!(order_req_id, act, %refusal, "act is refused for good");
            return Err(refusal);
        }
        tracing::debug!(order_req_id, act, %refusal, "act is sent again");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

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
