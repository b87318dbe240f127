//! One task per order: holds the order's stream, opens it again after every break, and sends the
//! order's acts.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::port::Assignment;
use orderstream_core::tracker::{Input, Output};
use orderstream_core::{Epoch, OrderKey, Reason, Refusal, Seq, Timestamp};
use orderstream_rpc::client;
use orderstream_rpc::convert::{DRAINING, event_from_wire, spec_to_wire};
use orderstream_rpc::v1;
use tonic::{Request, Streaming};

use crate::acts;
use crate::backoff::{Backoff, CAP, jitter};
use crate::channels::Seat;
use crate::door::{TURN_MAX, Turn};
use crate::registry::Following;
use crate::shared::Shared;
use crate::store::Record;

/// From asking for a stream to its first headers.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that a told client waits before it connects again: enough to spread thousands.
const DRAIN_JITTER: Duration = Duration::from_millis(500);

/// How one stream ended.
enum End {
    /// The order reached its end.
    Over,
    /// Somebody with a higher epoch owns the order: never again.
    Stop(String, Option<Epoch>),
    /// Broken; open it again after this time.
    Again(String, Duration),
    /// The processor is not reached; open it again when somebody got through.
    Lost(String),
}

/// A stream that is up, and its place on a connection. On the heap: the task that reads it would
/// hold its half kilobyte once for each of the hands that it passes through.
struct Live {
    stream: Box<Streaming<v1::OrderStreamResponse>>,
    _seat: Seat,
}

/// Leaves nothing active, however the task ends: done, stopped, cancelled or panicked.
struct Guard {
    shared: Arc<Shared>,
    key: OrderKey,
    life: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.registry.task_ended(self.shared.now(), &self.key, self.life);
        if std::thread::panicking() {
            // The watcher is not called: a second panic in here would end the process.
            let order_req_id = self.key.order_req_id.as_str();
            tracing::error!(order_req_id, "the order's task panicked");
        } else {
            self.shared.tell(&self.key);
        }
    }
}

/// Follows one order until its end, or until it is told to stop.
pub(crate) async fn follow(shared: Arc<Shared>, key: OrderKey, following: Following) {
    let guard = Guard { shared: Arc::clone(&shared), key: key.clone(), life: following.life };
    tokio::select! {
        () = following.cancel.cancelled() => {}
        () = hold_stream(&shared, &key, &following) => {}
        () = acts::send_all(&shared, &key, &following) => {}
    }
    drop(guard);
}

async fn hold_stream(shared: &Shared, key: &OrderKey, following: &Following) {
    let order_req_id = key.order_req_id.as_str();
    let mut backoff = Backoff::default();
    let mut turn = None;
    // Most tasks sit in the reading, by the ten thousand: what is needed only until then is on the
    // heap and given back.
    while let Some(opened) = Box::pin(open_next(shared, (key, following), turn.take())).await {
        let end = match opened {
            Ok(live) => read(shared, following, (key, live), &mut backoff).await,
            Err(refusal) => refused(&refusal, &mut backoff),
        };
        match end {
            End::Over => return Box::pin(ended(shared, key)).await,
            End::Stop(reason, floor) => {
                tracing::warn!(order_req_id, reason, "the order's stream is not opened again");
                if let Some(floor) = floor {
                    shared.step(key, following, Input::Fenced(floor));
                }
                shared.step(key, following, Input::Disconnected { reason });
                return;
            }
            End::Again(reason, wait) => {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(order_req_id, reason, wait_ms, "the order's stream is down");
                shared.step(key, following, Input::Disconnected { reason });
                tokio::time::sleep(wait).await;
            }
            End::Lost(reason) => {
                tracing::info!(order_req_id, reason, "the order's processor is not reached");
                shared.step(key, following, Input::Disconnected { reason });
                turn = Box::pin(wait_at_door(shared, key, following)).await;
            }
        }
    }
}

async fn ended(shared: &Shared, key: &OrderKey) {
    let order_req_id = key.order_req_id.as_str();
    let snapshot = shared.registry.get_order(key);
    let phase = snapshot.and_then(|snapshot| snapshot.order.as_ref().map(|order| order.phase));
    tracing::info!(order_req_id, phase = ?phase, "the order has ended");
    let Some(phase) = phase.filter(|_| shared.registry.is_stored(key)) else { return };
    let mut turn = shared.store.turn(key).await;
    if let Err(error) = turn.append(&Record::OrderEnded { phase }).await {
        // The next start takes the order up, hears of its end again, and writes it then.
        tracing::warn!(order_req_id, %error, "the order's end is not stored");
    }
}

async fn wait_at_door(shared: &Shared, key: &OrderKey, following: &Following) -> Option<Turn> {
    let (assignment, _) = shared.registry.assignment(key, following.life)?;
    let turn = shared.doors.of(&assignment.processor).wait().await;
    let (order_req_id, is_for_all) = (key.order_req_id.as_str(), turn.is_for_all());
    tracing::debug!(order_req_id, is_for_all, "the order's processor is tried again");
    Some(turn)
}

/// Opens the order's stream where it left off; `None` when the order is followed no longer.
async fn open_next(
    shared: &Shared,
    (key, following): (&OrderKey, &Following),
    mut turn: Option<Turn>,
) -> Option<Result<Live, Refusal>> {
    let (assignment, (after, at)) = shared.registry.assignment(key, following.life)?;
    let opening = open(shared, &assignment, (after, at));
    tokio::pin!(opening);
    let opened = match tokio::time::timeout(TURN_MAX, &mut opening).await {
        Ok(opened) => opened,
        Err(_) => {
            turn = None;
            opening.await
        }
    };
    // A refusal is an answer too: the processor is there.
    if !opened.as_ref().is_err_and(|refusal| refusal.reason == Reason::Unreachable) {
        shared.doors.of(&assignment.processor).open();
    }
    if opened.is_ok() {
        let (processor, epoch) = (assignment.processor.clone(), assignment.epoch);
        shared.step(key, following, Input::Connected { processor, epoch });
        match after {
            Seq(0) => shared.metrics.granted_from_start.inc(),
            Seq(_) => shared.metrics.granted_from_cursor.inc(),
        }
        let (order_req_id, after) = (key.order_req_id.as_str(), after.0);
        let trace_id = assignment.incarnation.trace_id();
        tracing::debug!(order_req_id, after, trace_id, "the order's stream is up");
    }
    drop(turn);
    Some(opened)
}

async fn open(
    shared: &Shared,
    assignment: &Assignment,
    (after, at): (Seq, Option<Timestamp>),
) -> Result<Live, Refusal> {
    let (channel, seat) = shared.channels.for_stream(&assignment.processor)?;
    let mut client = client::streaming(channel);
    let spec = &assignment.spec;
    let request = v1::OrderStreamRequest {
        order_req_id: assignment.key.order_req_id.to_string(),
        notification_type: spec.notification_type.as_str().to_owned(),
        session: spec.session.clone().unwrap_or_default(),
        after_seq: after.0,
        epoch: assignment.epoch.0,
        tenant: assignment.key.tenant.to_string(),
        incarnation: assignment.incarnation.to_string(),
        order: Some(spec_to_wire(spec)),
        observer: false,
        after_at_ms: at.map_or(0, |at| at.0),
    };
    let mut request = Request::new(request);
    let parent = format!("00-{}-{:016x}-01", assignment.incarnation.trace_id(), fastrand::u64(1..));
    // Digits and dashes are a header's value.
    if let Ok(parent) = parent.parse() {
        request.metadata_mut().insert("traceparent", parent);
    }
    match tokio::time::timeout(OPEN_TIMEOUT, client.process_order_stream(request)).await {
        Ok(Ok(response)) => Ok(Live { stream: Box::new(response.into_inner()), _seat: seat }),
        Ok(Err(status)) => Err(acts::refusal_of(&status)),
        Err(_) => Err(Refusal::new(
            Reason::Unreachable,
            format!("the processor did not answer within {} s", OPEN_TIMEOUT.as_secs()),
        )),
    }
}

async fn read(
    shared: &Shared,
    following: &Following,
    (key, mut live): (&OrderKey, Live),
    backoff: &mut Backoff,
) -> End {
    loop {
        let response = match live.stream.message().await {
            Ok(Some(response)) => response,
            Ok(None) => return again("the processor ended the stream", backoff),
            Err(status) => return refused(&acts::refusal_of(&status), backoff),
        };
        if response.streaming_response_status == DRAINING {
            let reason = "the processor is stopping".to_owned();
            return End::Again(reason, jitter(DRAIN_JITTER));
        }
        shared.metrics.events_received.inc();
        let event = match event_from_wire(response) {
            Ok(event) => event,
            Err(refusal) => {
                tracing::error!(order_req_id = %key.order_req_id, %refusal, "unreadable event");
                return again(&refusal.to_string(), backoff);
            }
        };
        shared.heard(event.at);
        match shared.step(key, following, Input::Received(Arc::new(event))) {
            Output::Ignored => {}
            Output::Changed => backoff.reset(),
            Output::Ended => return End::Over,
            Output::ResumeAfter(seq) => {
                return again(&format!("an event is missing after {seq}"), backoff);
            }
        }
    }
}

fn again(reason: &str, backoff: &mut Backoff) -> End {
    End::Again(reason.to_owned(), backoff.next_wait())
}

fn refused(refusal: &Refusal, backoff: &mut Backoff) -> End {
    let reason = refusal.to_string();
    if refusal.reason == Reason::StaleEpoch {
        let floor = refusal.metadata.iter().find(|(name, _)| name == "epoch_floor");
        return End::Stop(reason, floor.and_then(|(_, floor)| floor.parse().ok()).map(Epoch));
    }
    if refusal.reason == Reason::Superseded {
        // Whoever took over has at least our epoch. With a higher one the next try ends for good;
        // with the same one it was ourselves, and nobody else is in a hurry.
        return End::Again(reason, CAP / 2 + jitter(CAP / 2));
    }
    if refusal.reason == Reason::Unreachable {
        return End::Lost(reason);
    }
    End::Again(reason, backoff.next_wait())
}
