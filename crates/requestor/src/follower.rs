//! One task per order: holds the order's stream, and opens it again after every break.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::port::Assignment;
use orderstream_core::tracker::{TrackerInput, TrackerOutput};
use orderstream_core::{Epoch, EventKind, OrderKey, Reason, Refusal, Seq, Timestamp};
use orderstream_rpc::convert::{DRAINING, event_from_wire, spec_to_wire};
use orderstream_rpc::event_stream::TrackerStream;
use orderstream_rpc::v1;
use orderstream_support::{Backoff, jitter};

use crate::backoff::{CAP, backoff};
use crate::channels::StreamSlot;
use crate::circuit_breaker::{BreakerPermit, PROBE_TIMEOUT};
use crate::command_sender;
use crate::registry::FollowerHandle;
use crate::state::RequestorState;
use crate::store::{OrderRecord, StoreError};

/// The time limit from asking for a stream to its first headers.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait before a client of a draining processor reconnects: enough to spread thousands.
const DRAIN_JITTER: Duration = Duration::from_millis(500);

/// The way in which one stream ended.
enum StreamEnd {
    /// The order reached its end.
    OrderEnded,
    /// The order was opened and is read again from its start: the stream is opened again at once.
    ReadAgain,
    /// A tracker with a higher epoch follows the order: the stream is never opened again.
    Fenced(String, Option<Epoch>),
    /// Broken; the stream is opened again after this time.
    Retry(String, Duration),
    /// The processor cannot be reached; the stream is opened again once another order has reached
    /// it.
    Unreachable(String),
}

/// A stream that is up, and its stream slot. On the heap: otherwise the task that reads it would
/// hold it once for each function that it passes through.
struct LiveStream {
    stream: Box<TrackerStream>,
    _slot: StreamSlot,
}

/// One order that is followed. However its task ends (done, stopped or panicked), nothing of it
/// stays active.
pub(crate) struct FollowerTask {
    pub(crate) shared: Arc<RequestorState>,
    pub(crate) key: OrderKey,
    pub(crate) follower: FollowerHandle,
}

impl FollowerTask {
    fn step(&self, input: TrackerInput) -> TrackerOutput {
        self.shared.step(&self.key, &self.follower, input)
    }

    fn id(&self) -> &str {
        self.key.order_req_id.as_str()
    }
}

impl Drop for FollowerTask {
    fn drop(&mut self) {
        self.shared.registry.task_ended(self.shared.now(), &self.key, self.follower.generation);
        if std::thread::panicking() {
            // The watcher is not called: a second panic in here would end the process.
            tracing::error!(order_req_id = self.id(), "the order's task panicked");
        } else {
            self.shared.notify_watcher(&self.key);
        }
    }
}

/// Follows one order until its end, or until its task is stopped. Ten thousand of these wait at
/// once: the memory that is needed only while something happens is on the heap, and freed.
#[allow(clippy::manual_async_fn, reason = "one of these holds the order twice: given, and used")]
pub(crate) fn follow(order: FollowerTask) -> impl Future<Output = ()> + Send {
    async move {
        hold_stream(&order).await;
    }
}

async fn hold_stream(order: &FollowerTask) {
    let mut backoff = backoff();
    let mut end = None;
    while let Some(mut live) = Box::pin(next_stream(order, end.take(), &mut backoff)).await {
        end = Some(Box::new(read_until_end(order, &mut live, &mut backoff).await));
    }
}

/// Handles the end of the last stream, and opens the next one; `None` when there is none.
async fn next_stream(
    order: &FollowerTask,
    mut end: Option<Box<StreamEnd>>,
    backoff: &mut Backoff,
) -> Option<LiveStream> {
    loop {
        let permit = match end.take() {
            Some(end) => match Box::pin(handle_end(order, *end)).await {
                ReopenDecision::Open(permit) => permit,
                ReopenDecision::Done => return None,
            },
            None => None,
        };
        match Box::pin(open_throttled(order, permit)).await? {
            Ok(live) => return Some(live),
            Err(refusal) => end = Some(Box::new(end_after_refusal(&refusal, backoff))),
        }
    }
}

/// The step after the end of a stream.
enum ReopenDecision {
    /// Another stream is opened.
    Open(Option<BreakerPermit>),
    /// No stream is opened any more.
    Done,
}

/// Handles the end of a stream, including the back-off after it.
async fn handle_end(order: &FollowerTask, end: StreamEnd) -> ReopenDecision {
    let order_req_id = order.id();
    match end {
        StreamEnd::OrderEnded => {
            finish_order(&order.shared, &order.key).await;
            ReopenDecision::Done
        }
        StreamEnd::ReadAgain => {
            tracing::info!(order_req_id, "the order's proposals are opened and read again");
            ReopenDecision::Open(None)
        }
        StreamEnd::Fenced(reason, floor) => {
            tracing::warn!(order_req_id, reason, "the order's stream is not opened again");
            if let Some(floor) = floor {
                order.step(TrackerInput::Fenced(floor));
            }
            order.step(TrackerInput::Disconnected { reason });
            ReopenDecision::Done
        }
        StreamEnd::Retry(reason, wait) => {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(order_req_id, reason, wait_ms, "the order's stream is down");
            order.step(TrackerInput::Disconnected { reason });
            tokio::time::sleep(wait).await;
            ReopenDecision::Open(None)
        }
        StreamEnd::Unreachable(reason) => {
            tracing::info!(order_req_id, reason, "the order's processor is unreachable");
            order.step(TrackerInput::Disconnected { reason });
            ReopenDecision::Open(wait_for_permit(order).await)
        }
    }
}

async fn finish_order(shared: &RequestorState, key: &OrderKey) {
    let order_req_id = key.order_req_id.as_str();
    let phase = shared.registry.get_order(key).and_then(|snapshot| snapshot.order_phase());
    tracing::info!(order_req_id, phase = ?phase, "the order has ended");
    let mut backoff = backoff();
    // An order whose task is stopped before that is resumed at the next start, which receives the
    // end again.
    while let Err(error) = store_end(shared, key).await {
        if matches!(error, StoreError::Damaged(_)) {
            tracing::error!(order_req_id, %error, "the order's end is not stored");
            return;
        }
        tracing::warn!(order_req_id, %error, "the order's end is not stored yet");
        tokio::time::sleep(backoff.next_wait()).await;
    }
    shared.remove_evicted().await;
}

/// Stores the end of an order that the store holds, with the order as it is displayed from then on.
async fn store_end(shared: &RequestorState, key: &OrderKey) -> Result<(), StoreError> {
    // Under the order's write guard, so that no follow-up is counted in between.
    let mut guard = shared.store.write_guard(key).await;
    let last = shared.registry.get_order(key).and_then(|snapshot| snapshot.next_published());
    let phase = last.as_ref().and_then(|last| last.ended);
    let Some((phase, last)) = phase.zip(last).filter(|_| shared.registry.is_stored(key)) else {
        return Ok(());
    };
    let record = OrderRecord::OrderEnded { phase, last: Some(Box::new(last.clone())) };
    guard.append(&record).await?;
    shared.registry.mark_end_stored(key, &Arc::new(last));
    Ok(())
}

async fn wait_for_permit(order: &FollowerTask) -> Option<BreakerPermit> {
    let processor = order.shared.registry.processor(&order.key, order.follower.generation)?;
    let permit = order.shared.circuit_breakers.of(&processor).wait().await;
    let (order_req_id, is_for_all) = (order.id(), permit.is_probe());
    tracing::debug!(order_req_id, is_for_all, "the order's processor is tried again");
    Some(permit)
}

/// Opens the order's stream when few others are opening at its processor; `None` when the order is
/// no longer followed. An opening holds ten times the memory of a stream.
async fn open_throttled(
    order: &FollowerTask,
    permit: Option<BreakerPermit>,
) -> Option<Result<LiveStream, Refusal>> {
    let processor = order.shared.registry.processor(&order.key, order.follower.generation)?;
    let breaker = order.shared.circuit_breakers.of(&processor);
    let opening = breaker.acquire_opening();
    tokio::pin!(opening);
    // The permit is not held while earlier openings hang.
    let (place, permit) = match tokio::time::timeout(PROBE_TIMEOUT, &mut opening).await {
        Ok(opening) => (opening, permit),
        Err(_) => {
            drop(permit);
            (opening.await, None)
        }
    };
    let opened = Box::pin(open_from_cursor(order, permit)).await;
    drop(place);
    opened
}

/// Opens the order's stream where it left off; `None` when the order is no longer followed.
async fn open_from_cursor(
    order: &FollowerTask,
    mut permit: Option<BreakerPermit>,
) -> Option<Result<LiveStream, Refusal>> {
    let FollowerTask { shared, key, follower } = order;
    let (assignment, (after, at)) = shared.registry.assignment(key, follower.generation)?;
    let opening = open_stream(shared, &assignment, after, at);
    tokio::pin!(opening);
    let opened = match tokio::time::timeout(PROBE_TIMEOUT, &mut opening).await {
        Ok(opened) => opened,
        Err(_) => {
            permit = None;
            opening.await
        }
    };
    // A refusal also proves that the processor is reachable.
    if !opened.as_ref().is_err_and(|refusal| refusal.reason == Reason::Unreachable) {
        shared.circuit_breakers.of(&assignment.processor).close();
    }
    if let Err(refusal) = &opened
        && is_permanent(refusal.reason)
    {
        shared.registry.set_opening_refusal(key, follower.generation, refusal);
    }
    if opened.is_ok() {
        let processor = shared.registry.intern_url(&assignment.processor);
        order.step(TrackerInput::Connected { processor, epoch: assignment.epoch });
        match after {
            Seq(0) => shared.metrics.granted_from_start.inc(),
            Seq(_) => shared.metrics.granted_from_cursor.inc(),
        }
        let (order_req_id, after) = (order.id(), after.0);
        let trace_id = assignment.incarnation.trace_id();
        tracing::debug!(order_req_id, after, trace_id, "the order's stream is up");
    }
    drop(permit);
    Some(opened)
}

/// Reports whether a refused opening stays refused, so that commands on the order would wait
/// without end. The opening is retried all the same, since others may change what is in its way.
const fn is_permanent(reason: Reason) -> bool {
    // A fault or a limit may be temporary, and a tracker that took over may stop.
    let is_transient =
        matches!(reason, Reason::Internal | Reason::LimitReached | Reason::Superseded);
    !reason.is_retriable() && !is_transient
}

async fn open_stream(
    shared: &RequestorState,
    assignment: &Assignment,
    after: Seq,
    at: Option<Timestamp>,
) -> Result<LiveStream, Refusal> {
    let (channel, slot) = shared.channels.for_stream(&assignment.processor)?;
    let spec = &assignment.spec;
    let request = v1::OrderStreamRequest {
        order_req_id: assignment.key.order_req_id.to_string(),
        notification_type: spec.notification_type.as_str().to_owned(),
        session: spec.session.as_deref().unwrap_or_default().to_owned(),
        after_seq: after.0,
        epoch: assignment.epoch.0,
        tenant: assignment.key.tenant.to_string(),
        incarnation: assignment.incarnation.to_string(),
        order: Some(spec_to_wire(spec)),
        observer: false,
        after_at_ms: at.map_or(0, |at| at.0),
    };
    let parent = format!("00-{}-{:016x}-01", assignment.incarnation.trace_id(), fastrand::u64(1..));
    // Digits and dashes are always a valid header value.
    let opening = TrackerStream::open(channel, &request, parent.parse().ok());
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok(stream)) => Ok(LiveStream { stream: Box::new(stream), _slot: slot }),
        Ok(Err(status)) => Err(command_sender::refusal_of(&status)),
        Err(_) => Err(Refusal::new(
            Reason::Unreachable,
            format!("the processor did not answer within {} s", OPEN_TIMEOUT.as_secs()),
        )),
    }
}

async fn read_until_end(
    order: &FollowerTask,
    live: &mut LiveStream,
    backoff: &mut Backoff,
) -> StreamEnd {
    loop {
        let response = match live.stream.message().await {
            Ok(Some(response)) => response,
            Ok(None) => return retry("the processor ended the stream", backoff),
            Err(status) => return end_after_refusal(&command_sender::refusal_of(&status), backoff),
        };
        if let Some(end) = handle_message(order, response, backoff) {
            return end;
        }
    }
}

/// Handles one message of the stream; returns the stream's end where the message ends it.
fn handle_message(
    order: &FollowerTask,
    response: v1::OrderStreamResponse,
    backoff: &mut Backoff,
) -> Option<StreamEnd> {
    let shared = &order.shared;
    if response.streaming_response_status == DRAINING {
        let reason = "the processor is stopping".to_owned();
        return Some(StreamEnd::Retry(reason, jitter(DRAIN_JITTER)));
    }
    shared.metrics.events_received.inc();
    let mut event = match event_from_wire(response) {
        Ok(event) => event,
        Err(refusal) => {
            tracing::error!(order_req_id = order.id(), %refusal, "unreadable event");
            return Some(retry(&refusal.to_string(), backoff));
        }
    };
    if let EventKind::SellersSelected(choices) = &mut event.kind {
        shared.registry.intern_sellers(choices);
    }
    shared.observe_lag(event.at);
    match order.step(TrackerInput::Received(Arc::new(event))) {
        TrackerOutput::Ignored => None,
        TrackerOutput::Changed => {
            backoff.reset();
            None
        }
        TrackerOutput::Ended => Some(StreamEnd::OrderEnded),
        TrackerOutput::ReadAgain => {
            backoff.reset();
            Some(StreamEnd::ReadAgain)
        }
        TrackerOutput::ResumeAfter(seq) => {
            Some(retry(&format!("an event is missing after {seq}"), backoff))
        }
    }
}

fn retry(reason: &str, backoff: &mut Backoff) -> StreamEnd {
    StreamEnd::Retry(reason.to_owned(), backoff.next_wait())
}

fn end_after_refusal(refusal: &Refusal, backoff: &mut Backoff) -> StreamEnd {
    let reason = refusal.to_string();
    if refusal.reason == Reason::StaleEpoch {
        let floor = refusal.metadata.iter().find(|(name, _)| name == "epoch_floor");
        return StreamEnd::Fenced(
            reason,
            floor.and_then(|(_, floor)| floor.parse().ok()).map(Epoch),
        );
    }
    if refusal.reason == Reason::Superseded {
        // The new tracker has at least our epoch. If it is higher, the next try ends for good; if
        // it is the same, it is our own, and there is no hurry.
        return StreamEnd::Retry(reason, CAP / 2 + jitter(CAP / 2));
    }
    if refusal.reason == Reason::Unreachable {
        return StreamEnd::Unreachable(reason);
    }
    StreamEnd::Retry(reason, backoff.next_wait())
}
