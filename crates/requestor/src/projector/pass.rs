//! One pass over one order: reads its list after the cursor, as an observer, up to the last known
//! event, and projects it. Whatever breaks the pass off, nothing is lost: the cursor moves only
//! together with the projected events.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::port::{Cursor, OrderLife, ProjectionError};
use orderstream_core::{Event, EventKind, Reason, Refusal, Seq};
use orderstream_rpc::client;
use orderstream_rpc::convert::{DRAINING, event_from_wire};
use orderstream_rpc::v1;
use tonic::Streaming;

use super::Projector;
use super::agenda::{End, Place, Task};
use super::figures::Outcome;
use crate::acts::refusal_of;
use crate::shared::Shared;

/// The time limit of opening a stream, and of waiting for an event that is in the list.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The most events that are projected in one step, so that memory does not grow with an order's
/// list.
const BATCH_EVENTS_MAX: usize = 64;

/// The result of a pass, and its consequence for the order.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) task: Task,
    pub(super) outcome: Outcome,
    pub(super) end: End,
    /// The cause of a failure, for people; absent after a pass without one.
    pub(super) reason: Option<String>,
}

/// The cause that broke a pass off.
#[derive(Debug)]
enum Fault {
    Projection(ProjectionError),
    Processor(Refusal),
}

impl From<ProjectionError> for Fault {
    fn from(error: ProjectionError) -> Self {
        Self::Projection(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Processor(refusal)
    }
}

/// An order's list from a sequence number on.
type List = Streaming<v1::OrderStreamResponse>;

/// Runs one pass over one order.
pub(super) async fn pass(shared: &Shared, projector: &Projector, task: Task) -> Passed {
    let Some(place) = whereabouts(shared, &task) else {
        let (outcome, end) = (Outcome::Gone, End::Done(None));
        return Passed { task, outcome, end, reason: None };
    };
    if !task.is_probe && projector.is_unreached(&place.processor) {
        let (outcome, end) = (Outcome::Unreached, End::Unreached(place.processor));
        return Passed { task, outcome, end, reason: None };
    }
    let life = OrderLife { key: task.key.clone(), incarnation: place.incarnation.clone() };
    let result = follow_up_to(shared, projector, &life, &place).await;
    let (outcome, end, reason) = judge(result, place.processor);
    Passed { task, outcome, end, reason }
}

/// Returns the place of the order's list now: as it is followed, else as a sweep found it.
fn whereabouts(shared: &Shared, task: &Task) -> Option<Place> {
    let followed = shared.registry.place(&task.key);
    match (followed, task.place.clone()) {
        (Some(followed), Some(found)) if followed.incarnation == found.incarnation => {
            Some(Place { last_seq: followed.last_seq.max(found.last_seq), ..followed })
        }
        (Some(followed), _) => Some(followed),
        (None, found) => found,
    }
}

fn judge(result: Result<Outcome, Fault>, processor: Arc<str>) -> (Outcome, End, Option<String>) {
    match result {
        Ok(outcome @ Outcome::Current) => (outcome, End::Done(None), None),
        Ok(outcome @ Outcome::Moved) => (outcome, End::Again, None),
        Ok(outcome) => (outcome, End::Done(Some(processor)), None),
        Err(Fault::Projection(ProjectionError::Moved)) => (Outcome::Moved, End::Again, None),
        Err(Fault::Projection(error @ ProjectionError::Unavailable(_))) => {
            (Outcome::Unavailable, End::Again, Some(error.to_string()))
        }
        Err(Fault::Projection(error @ ProjectionError::Refused(_))) => {
            (Outcome::Refused, End::Done(Some(processor)), Some(error.to_string()))
        }
        Err(Fault::Processor(refusal)) if refusal.reason == Reason::OrderNotFound => {
            (Outcome::Gone, End::Done(Some(processor)), None)
        }
        Err(Fault::Processor(refusal))
            if matches!(refusal.reason, Reason::Unreachable | Reason::Draining) =>
        {
            (Outcome::Unreached, End::Unreached(processor), Some(refusal.to_string()))
        }
        Err(Fault::Processor(refusal)) => (Outcome::Failed, End::Failed, Some(refusal.to_string())),
    }
}

async fn follow_up_to(
    shared: &Shared,
    projector: &Projector,
    life: &OrderLife,
    place: &Place,
) -> Result<Outcome, Fault> {
    let cursors = projector.ask(projector.store.cursors(std::slice::from_ref(life))).await?;
    let cursor = cursors.first().copied().unwrap_or_default();
    if cursor.seq == place.last_seq {
        return Ok(Outcome::Current);
    }
    let list = match open(shared, place, life, cursor).await {
        Ok(list) => list,
        Err(refusal) if refusal.reason == Reason::AheadOfList => {
            // The list is authoritative, and it was set back, as by restoring an old copy of a
            // disk.
            let order_req_id = life.key.order_req_id.as_str();
            tracing::warn!(order_req_id, %refusal, "the order is projected from its first event again");
            projector.ask(projector.store.forget(life)).await?;
            return Ok(Outcome::Moved);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    // If fewer events are known here than are projected, only the identity of the list is checked.
    if cursor.seq > place.last_seq {
        return Ok(Outcome::Current);
    }
    project(shared, projector, life, (list, cursor.seq, place.last_seq)).await
}

async fn project(
    shared: &Shared,
    projector: &Projector,
    life: &OrderLife,
    (mut list, mut kept, target): (List, Seq, Seq),
) -> Result<Outcome, Fault> {
    let mut batch: Vec<Arc<Event>> = Vec::new();
    let mut read = kept;
    let mut is_over = false;
    while !is_over {
        match next(&mut list).await? {
            Some(event) => {
                check(life, &event, read)?;
                read = event.seq;
                batch.push(Arc::new(event));
                is_over = read >= target;
            }
            None => is_over = true,
        }
        if !batch.is_empty() && (is_over || batch.len() >= BATCH_EVENTS_MAX) {
            projector.ask(projector.store.project(life, kept, &batch)).await?;
            let now = shared.now();
            batch.drain(..).for_each(|event| projector.figures.projected(event.at, now));
            kept = read;
        }
    }
    if kept < target {
        return Err(Refusal::new(Reason::Draining, "the processor ended the stream").into());
    }
    Ok(Outcome::Projected)
}

/// Refuses an event that is not the next one, or that opens another incarnation of the order.
fn check(life: &OrderLife, event: &Event, read: Seq) -> Result<(), Refusal> {
    if event.seq != read.next() {
        let text = format!("event {} came where {} was due", event.seq, read.next());
        return Err(Refusal::new(Reason::Internal, text));
    }
    if let EventKind::OrderOpened(opened) = &event.kind
        && opened.incarnation != life.incarnation
    {
        return Err(Refusal::new(Reason::OrderNotFound, "the name has another incarnation since"));
    }
    Ok(())
}

/// Returns the list's next event; `None` when the processor ends the stream.
async fn next(list: &mut List) -> Result<Option<Event>, Refusal> {
    let response = match tokio::time::timeout(READ_TIMEOUT, list.message()).await {
        Ok(Ok(Some(response))) => response,
        Ok(Ok(None)) => return Ok(None),
        Ok(Err(status)) => return Err(refusal_of(&status)),
        Err(_) => return Err(silent()),
    };
    if response.streaming_response_status == DRAINING {
        return Ok(None);
    }
    event_from_wire(response).map(Some)
}

async fn open(
    shared: &Shared,
    place: &Place,
    life: &OrderLife,
    cursor: Cursor,
) -> Result<List, Refusal> {
    let channel = shared.channels.for_projection(&place.processor)?;
    let request = v1::OrderStreamRequest {
        order_req_id: life.key.order_req_id.to_string(),
        tenant: life.key.tenant.to_string(),
        incarnation: life.incarnation.to_string(),
        after_seq: cursor.seq.0,
        after_at_ms: cursor.at.map_or(0, |at| at.0),
        observer: true,
        ..v1::OrderStreamRequest::default()
    };
    let mut client = client::streaming(channel);
    match tokio::time::timeout(READ_TIMEOUT, client.process_order_stream(request)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(refusal_of(&status)),
        Err(_) => Err(silent()),
    }
}

fn silent() -> Refusal {
    let text = format!("the processor did not answer within {} s", READ_TIMEOUT.as_secs());
    Refusal::new(Reason::Unreachable, text)
}
