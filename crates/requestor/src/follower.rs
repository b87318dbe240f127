//! One task per order: holds the order's stream, and opens it again after every break.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::port::Assignment;
use orderstream_core::tracker::{Input, Output};
use orderstream_core::{Epoch, EventKind, OrderKey, Reason, Refusal, Seq, Timestamp};
use orderstream_rpc::convert::{DRAINING, event_from_wire, spec_to_wire};
use orderstream_rpc::event_stream::EventStream;
use orderstream_rpc::v1;
use orderstream_support::{Backoff, jitter};

use crate::acts;
use crate::backoff::{CAP, backoff};
use crate::channels::Seat;
use crate::door::{TURN_MAX, Turn};
use crate::registry::Following;
use crate::shared::Shared;
use crate::store::{Record, StoreError};

/// The time limit from asking for a stream to its first headers.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait before a client of a draining processor reconnects: enough to spread thousands.
const DRAIN_JITTER: Duration = Duration::from_millis(500);

/// The way in which one stream ended.
enum End {
    /// The order reached its end.
    Over,
    /// A tracker with a higher epoch follows the order: the stream is never opened again.
    Stop(String, Option<Epoch>),
    /// Broken; the stream is opened again after this time.
    Again(String, Duration),
    /// The processor cannot be reached; the stream is opened again once an order got through.
    Lost(String),
}

/// A stream that is up, and its stream slot. On the heap: otherwise the task that reads it would
/// hold it once for each function that it passes through.
struct Live {
    stream: Box<EventStream>,
    _seat: Seat,
}

/// One order that is followed. However its task ends (done, stopped or panicked), nothing of it
/// stays active.
pub(crate) struct Followed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: OrderKey,
    pub(crate) following: Following,
}

impl Followed {
    fn step(&self, input: Input) -> Output {
        self.shared.step(&self.key, &self.following, input)
    }

    fn id(&self) -> &str {
        self.key.order_req_id.as_str()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.shared.registry.task_ended(self.shared.now(), &self.key, self.following.life);
        if std::thread::panicking() {
            // The watcher is not called: a second panic in here would end the process.
            tracing::error!(order_req_id = self.id(), "the order's task panicked");
        } else {
            self.shared.tell(&self.key);
        }
    }
}

/// Follows one order until its end, or until its task is stopped. Ten thousand of these wait at
/// once: what is needed only while something happens is on the heap, and given back.
#[allow(clippy::manual_async_fn, reason = "one of these holds the order twice: given, and used")]
pub(crate) fn follow(order: Followed) -> impl Future<Output = ()> + Send {
    async move {
        hold_stream(&order).await;
    }
}

async fn hold_stream(order: &Followed) {
    let mut backoff = backoff();
    let mut end = None;
    while let Some(mut live) = Box::pin(next_stream(order, end.take(), &mut backoff)).await {
        end = Some(Box::new(read(order, &mut live, &mut backoff).await));
    }
}

/// Handles the end of the last stream, and opens the next one; `None` when there is none.
async fn next_stream(
    order: &Followed,
    mut end: Option<Box<End>>,
    backoff: &mut Backoff,
) -> Option<Live> {
    loop {
        let turn = match end.take() {
            Some(end) => match Box::pin(after(order, *end)).await {
                Next::Open(turn) => turn,
                Next::Done => return None,
            },
            None => None,
        };
        match Box::pin(open_in_turn(order, turn)).await? {
            Ok(live) => return Some(live),
            Err(refusal) => end = Some(Box::new(refused(&refusal, backoff))),
        }
    }
}

/// The step after the end of a stream.
enum Next {
    /// Another stream is opened.
    Open(Option<Turn>),
    /// No stream is opened any more.
    Done,
}

/// Handles the end of a stream, including the back-off after it.
async fn after(order: &Followed, end: End) -> Next {
    let order_req_id = order.id();
    match end {
        End::Over => {
            ended(&order.shared, &order.key).await;
            Next::Done
        }
        End::Stop(reason, floor) => {
            tracing::warn!(order_req_id, reason, "the order's stream is not opened again");
            if let Some(floor) = floor {
                order.step(Input::Fenced(floor));
            }
            order.step(Input::Disconnected { reason });
            Next::Done
        }
        End::Again(reason, wait) => {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(order_req_id, reason, wait_ms, "the order's stream is down");
            order.step(Input::Disconnected { reason });
            tokio::time::sleep(wait).await;
            Next::Open(None)
        }
        End::Lost(reason) => {
            tracing::info!(order_req_id, reason, "the order's processor is not reached");
            order.step(Input::Disconnected { reason });
            Next::Open(wait_at_door(order).await)
        }
    }
}

async fn ended(shared: &Shared, key: &OrderKey) {
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
    shared.forget_ended().await;
}

/// Stores the end of an order that the store holds, with the order as it is shown then.
async fn store_end(shared: &Shared, key: &OrderKey) -> Result<(), StoreError> {
    // In the order's turn, so that no follow-up is counted in between.
    let mut turn = shared.store.turn(key).await;
    let last = shared.registry.get_order(key).and_then(|snapshot| snapshot.to_show());
    let phase = last.as_ref().and_then(|last| last.ended);
    let Some((phase, last)) = phase.zip(last).filter(|_| shared.registry.is_stored(key)) else {
        return Ok(());
    };
    let record = Record::OrderEnded { phase, last: Some(Box::new(last.clone())) };
    turn.append(&record).await?;
    shared.registry.end_is_stored(key, &Arc::new(last));
    Ok(())
}

async fn wait_at_door(order: &Followed) -> Option<Turn> {
    let processor = order.shared.registry.processor(&order.key, order.following.life)?;
    let turn = order.shared.doors.of(&processor).wait().await;
    let (order_req_id, is_for_all) = (order.id(), turn.is_for_all());
    tracing::debug!(order_req_id, is_for_all, "the order's processor is tried again");
    Some(turn)
}

/// Opens the order's stream when few others are opening at its processor; `None` when the order is
/// no longer followed. An opening holds ten times the memory of a stream.
async fn open_in_turn(order: &Followed, turn: Option<Turn>) -> Option<Result<Live, Refusal>> {
    let processor = order.shared.registry.processor(&order.key, order.following.life)?;
    let door = order.shared.doors.of(&processor);
    let place = door.place();
    tokio::pin!(place);
    // A turn is not kept either while earlier openings hang.
    let (place, turn) = match tokio::time::timeout(TURN_MAX, &mut place).await {
        Ok(place) => (place, turn),
        Err(_) => {
            drop(turn);
            (place.await, None)
        }
    };
    let opened = Box::pin(open_next(order, turn)).await;
    drop(place);
    opened
}

/// Opens the order's stream where it left off; `None` when the order is no longer followed.
async fn open_next(order: &Followed, mut turn: Option<Turn>) -> Option<Result<Live, Refusal>> {
    let Followed { shared, key, following } = order;
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
    // A refusal also proves that the processor is reachable.
    if !opened.as_ref().is_err_and(|refusal| refusal.reason == Reason::Unreachable) {
        shared.doors.of(&assignment.processor).open();
    }
    if let Err(refusal) = &opened
        && is_lasting(refusal.reason)
    {
        shared.registry.opening_refused(key, following.life, refusal);
    }
    if opened.is_ok() {
        let processor = shared.registry.share_url(&assignment.processor);
        order.step(Input::Connected { processor, epoch: assignment.epoch });
        match after {
            Seq(0) => shared.metrics.granted_from_start.inc(),
            Seq(_) => shared.metrics.granted_from_cursor.inc(),
        }
        let (order_req_id, after) = (order.id(), after.0);
        let trace_id = assignment.incarnation.trace_id();
        tracing::debug!(order_req_id, after, trace_id, "the order's stream is up");
    }
    drop(turn);
    Some(opened)
}

/// Reports whether a refused opening stays refused, so that commands on the order would wait
/// without end. The opening is retried all the same, since others may change what is in its way.
const fn is_lasting(reason: Reason) -> bool {
    // A fault or a limit may be temporary, and a tracker that took over may stop.
    let is_of_the_moment =
        matches!(reason, Reason::Internal | Reason::LimitReached | Reason::Superseded);
    !reason.is_retriable() && !is_of_the_moment
}

async fn open(
    shared: &Shared,
    assignment: &Assignment,
    (after, at): (Seq, Option<Timestamp>),
) -> Result<Live, Refusal> {
    let (channel, seat) = shared.channels.for_stream(&assignment.processor)?;
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
    let opening = EventStream::open(channel, &request, parent.parse().ok());
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok(stream)) => Ok(Live { stream: Box::new(stream), _seat: seat }),
        Ok(Err(status)) => Err(acts::refusal_of(&status)),
        Err(_) => Err(Refusal::new(
            Reason::Unreachable,
            format!("the processor did not answer within {} s", OPEN_TIMEOUT.as_secs()),
        )),
    }
}

async fn read(order: &Followed, live: &mut Live, backoff: &mut Backoff) -> End {
    loop {
        let response = match live.stream.message().await {
            Ok(Some(response)) => response,
            Ok(None) => return again("the processor ended the stream", backoff),
            Err(status) => return refused(&acts::refusal_of(&status), backoff),
        };
        if let Some(end) = received(order, response, backoff) {
            return end;
        }
    }
}

/// Handles one message of the stream; returns the stream's end where the message ends it.
fn received(
    order: &Followed,
    response: v1::OrderStreamResponse,
    backoff: &mut Backoff,
) -> Option<End> {
    let shared = &order.shared;
    if response.streaming_response_status == DRAINING {
        let reason = "the processor is stopping".to_owned();
        return Some(End::Again(reason, jitter(DRAIN_JITTER)));
    }
    shared.metrics.events_received.inc();
    let mut event = match event_from_wire(response) {
        Ok(event) => event,
        Err(refusal) => {
            tracing::error!(order_req_id = order.id(), %refusal, "unreadable event");
            return Some(again(&refusal.to_string(), backoff));
        }
    };
    if let EventKind::SellersSelected(choices) = &mut event.kind {
        shared.registry.share_names(choices);
    }
    shared.heard(event.at);
    match order.step(Input::Received(Arc::new(event))) {
        Output::Ignored => None,
        Output::Changed => {
            backoff.reset();
            None
        }
        Output::Ended => Some(End::Over),
        Output::ResumeAfter(seq) => {
            Some(again(&format!("an event is missing after {seq}"), backoff))
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
        // The new tracker has at least our epoch. If it is higher, the next try ends for good; if
        // it is the same, it is our own, and there is no hurry.
        return End::Again(reason, CAP / 2 + jitter(CAP / 2));
    }
    if refusal.reason == Reason::Unreachable {
        return End::Lost(reason);
    }
    End::Again(reason, backoff.next_wait())
}
