//! One pass over one order: reads its list after the cursor, as an observer, up to the last known
//! event, and projects it. Whatever interrupts the pass, nothing is lost: the cursor moves only
//! together with the projected events.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::port::{ProjectionCursor, ProjectionError};
use orderstream_core::{Event, EventKind, OrderIncarnation, Reason, Refusal, Seq};
use orderstream_rpc::client;
use orderstream_rpc::convert::{DRAINING, event_from_wire};
use orderstream_rpc::v1;
use tonic::Streaming;

use super::Projector;
use super::metrics::PassOutcome;
use super::queue::{ListLocation, PassEnd, ProjectionTask};
use crate::command_sender::refusal_of;
use crate::state::RequestorState;

/// The time limit of opening a stream, and of waiting for an event that is in the list.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The most events that are projected in one step, so that memory does not grow with an order's
/// list.
const BATCH_EVENTS_MAX: usize = 64;

/// The result of a pass, and its consequence for the order.
#[derive(Debug)]
pub(super) struct PassResult {
    pub(super) task: ProjectionTask,
    pub(super) outcome: PassOutcome,
    pub(super) end: PassEnd,
    /// The cause of a failure, for people; absent after a pass without one.
    pub(super) reason: Option<String>,
}

/// The error that interrupted a pass.
#[derive(Debug)]
enum PassError {
    Projection(ProjectionError),
    Processor(Refusal),
}

impl From<ProjectionError> for PassError {
    fn from(error: ProjectionError) -> Self {
        Self::Projection(error)
    }
}

impl From<Refusal> for PassError {
    fn from(refusal: Refusal) -> Self {
        Self::Processor(refusal)
    }
}

/// An order's list from a sequence number on.
type ObserverStream = Streaming<v1::OrderStreamResponse>;

/// The events of a list that are not projected yet.
struct UnprojectedEvents {
    stream: ObserverStream,
    /// The last event that is projected.
    after: Seq,
    /// The last event that is to be projected.
    last: Seq,
}

/// Runs one pass over one order.
pub(super) async fn pass(
    shared: &RequestorState,
    projector: &Projector,
    task: ProjectionTask,
) -> PassResult {
    let Some(location) = locate_list(shared, &task) else {
        let (outcome, end) = (PassOutcome::NotFound, PassEnd::Done(None));
        return PassResult { task, outcome, end, reason: None };
    };
    if !task.is_probe && projector.is_unreachable(&location.processor) {
        let (outcome, end) = (PassOutcome::Unreachable, PassEnd::Unreachable(location.processor));
        return PassResult { task, outcome, end, reason: None };
    }
    let order =
        OrderIncarnation { key: task.key.clone(), incarnation: location.incarnation.clone() };
    let result = catch_up(shared, projector, &order, &location).await;
    let (outcome, end, reason) = classify(result, location.processor);
    PassResult { task, outcome, end, reason }
}

/// Returns the location of the order's list now: where it is followed, else where a sweep found it.
fn locate_list(shared: &RequestorState, task: &ProjectionTask) -> Option<ListLocation> {
    let followed = shared.registry.list_location(&task.key);
    match (followed, task.location.clone()) {
        (Some(followed), Some(found)) if followed.incarnation == found.incarnation => {
            Some(ListLocation { last_seq: followed.last_seq.max(found.last_seq), ..followed })
        }
        (Some(followed), _) => Some(followed),
        (None, found) => found,
    }
}

fn classify(
    result: Result<PassOutcome, PassError>,
    processor: Arc<str>,
) -> (PassOutcome, PassEnd, Option<String>) {
    match result {
        Ok(outcome @ PassOutcome::Current) => (outcome, PassEnd::Done(None), None),
        Ok(outcome @ PassOutcome::Moved) => (outcome, PassEnd::Requeue, None),
        Ok(outcome) => (outcome, PassEnd::Done(Some(processor)), None),
        Err(PassError::Projection(ProjectionError::Moved)) => {
            (PassOutcome::Moved, PassEnd::Requeue, None)
        }
        Err(PassError::Projection(error @ ProjectionError::Unavailable(_))) => {
            (PassOutcome::Unavailable, PassEnd::Requeue, Some(error.to_string()))
        }
        Err(PassError::Projection(error @ ProjectionError::Refused(_))) => {
            (PassOutcome::Refused, PassEnd::Done(Some(processor)), Some(error.to_string()))
        }
        Err(PassError::Processor(refusal)) if refusal.reason == Reason::OrderNotFound => {
            (PassOutcome::NotFound, PassEnd::Done(Some(processor)), None)
        }
        Err(PassError::Processor(refusal))
            if matches!(refusal.reason, Reason::Unreachable | Reason::Draining) =>
        {
            (PassOutcome::Unreachable, PassEnd::Unreachable(processor), Some(refusal.to_string()))
        }
        Err(PassError::Processor(refusal)) => {
            (PassOutcome::Failed, PassEnd::Failed, Some(refusal.to_string()))
        }
    }
}

async fn catch_up(
    shared: &RequestorState,
    projector: &Projector,
    order: &OrderIncarnation,
    location: &ListLocation,
) -> Result<PassOutcome, PassError> {
    let cursors = projector.call(projector.store.cursors(std::slice::from_ref(order))).await?;
    let cursor = cursors.first().copied().unwrap_or_default();
    if cursor.seq == location.last_seq {
        return Ok(PassOutcome::Current);
    }
    let stream = match open(shared, location, order, cursor).await {
        Ok(stream) => stream,
        Err(refusal) if refusal.reason == Reason::AheadOfList => {
            // The list is authoritative, and it was reset, as by restoring an old copy of a disk.
            let order_req_id = order.key.order_req_id.as_str();
            tracing::warn!(order_req_id, %refusal, "the order is projected from its first event again");
            projector.call(projector.store.remove(order)).await?;
            return Ok(PassOutcome::Moved);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    // If fewer events are known here than are projected, only the identity of the list is checked.
    if cursor.seq > location.last_seq {
        return Ok(PassOutcome::Current);
    }
    let events = UnprojectedEvents { stream, after: cursor.seq, last: location.last_seq };
    project(shared, projector, order, events).await
}

async fn project(
    shared: &RequestorState,
    projector: &Projector,
    order: &OrderIncarnation,
    events: UnprojectedEvents,
) -> Result<PassOutcome, PassError> {
    let UnprojectedEvents { mut stream, after: mut projected, last } = events;
    let mut batch: Vec<Arc<Event>> = Vec::new();
    let mut read = projected;
    let mut is_over = false;
    while !is_over {
        match next(&mut stream).await? {
            Some(event) => {
                check(order, &event, read)?;
                read = event.seq;
                batch.push(Arc::new(event));
                is_over = read >= last;
            }
            None => is_over = true,
        }
        if !batch.is_empty() && (is_over || batch.len() >= BATCH_EVENTS_MAX) {
            projector.call(projector.store.project(order, projected, &batch)).await?;
            let now = shared.now();
            batch.drain(..).for_each(|event| projector.metrics.observe_event(event.at, now));
            projected = read;
        }
    }
    if projected < last {
        return Err(Refusal::new(Reason::Draining, "the processor ended the stream").into());
    }
    Ok(PassOutcome::Projected)
}

/// Refuses an event that is not the next one, or that opens another incarnation of the order.
fn check(order: &OrderIncarnation, event: &Event, read: Seq) -> Result<(), Refusal> {
    if event.seq != read.next() {
        let text = format!("event {} came where {} was due", event.seq, read.next());
        return Err(Refusal::new(Reason::Internal, text));
    }
    if let EventKind::OrderOpened(opened) = &event.kind
        && opened.incarnation != order.incarnation
    {
        return Err(Refusal::new(Reason::OrderNotFound, "the name has another incarnation since"));
    }
    Ok(())
}

/// Returns the list's next event; `None` when the processor ends the stream.
async fn next(stream: &mut ObserverStream) -> Result<Option<Event>, Refusal> {
    let response = match tokio::time::timeout(READ_TIMEOUT, stream.message()).await {
        Ok(Ok(Some(response))) => response,
        Ok(Ok(None)) => return Ok(None),
        Ok(Err(status)) => return Err(refusal_of(&status)),
        Err(_) => return Err(timed_out()),
    };
    if response.streaming_response_status == DRAINING {
        return Ok(None);
    }
    event_from_wire(response).map(Some)
}

async fn open(
    shared: &RequestorState,
    location: &ListLocation,
    order: &OrderIncarnation,
    cursor: ProjectionCursor,
) -> Result<ObserverStream, Refusal> {
    let channel = shared.channels.for_projection(&location.processor)?;
    let request = v1::OrderStreamRequest {
        order_req_id: order.key.order_req_id.to_string(),
        tenant: order.key.tenant.to_string(),
        incarnation: order.incarnation.to_string(),
        after_seq: cursor.seq.0,
        after_at_ms: cursor.at.map_or(0, |at| at.0),
        observer: true,
        ..v1::OrderStreamRequest::default()
    };
    let mut client = client::streaming(channel);
    match tokio::time::timeout(READ_TIMEOUT, client.process_order_stream(request)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(refusal_of(&status)),
        Err(_) => Err(timed_out()),
    }
}

fn timed_out() -> Refusal {
    let text = format!("the processor did not answer within {} s", READ_TIMEOUT.as_secs());
    Refusal::new(Reason::Unreachable, text)
}
