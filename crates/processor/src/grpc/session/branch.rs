//! The peer session at one other processor, for the same seller. It is opened again whenever it
//! ends, after the last event of each order that it has sent.
//!
//! ```text
//!              welcome                       ended, drained, silent
//!   Opening ───────────▶ Open ─────────────────────────────────────▶ Waiting
//!    ▲   └── refused, not reached ──────────────────────────────────▶  │
//!    └──────────────────── after a pause that grows ──────────────────┘
//! ```
//!
//! Messages of the seller without a reply when a peer session ends get a refusal here: they may
//! have been executed or not, and the same message sent again has one effect.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use orderstream_core::{Incarnation, OrderKey, Reason, Refusal, SellerId, Seq, Tenant};
use orderstream_rpc::convert::{ends_order, order_ref};
use orderstream_rpc::status::refusal_from_status;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_stream_response::Detail;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use orderstream_support::Backoff;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::followed::Over;
use super::{ACTS_IN_FLIGHT, failed};
use crate::limits::ORDERS_PER_SESSION_MAX;
use crate::peers::{ACT_TIMEOUT, FORWARDED, Peers};

/// The time that a peer session has to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// The first back-off before a peer session is opened again; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest back-off.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The request id that acknowledgements without one get on their way.
const UNNAMED: &str = "~acknowledge";

/// The seller, as all peer sessions of a session present it.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    pub(super) peers: Peers,
    pub(super) tenant: Tenant,
    pub(super) seller: SellerId,
}

/// A peer session that is open.
struct Opened {
    up: mpsc::Sender<v1::SellerMessage>,
    down: Streaming<v1::SellerEvent>,
    welcome: v1::Welcome,
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, Refusal>> + Send>>;

enum State {
    Opening(Opening),
    Open(mpsc::Sender<v1::SellerMessage>, Box<Streaming<v1::SellerEvent>>),
    Waiting(Pin<Box<Sleep>>),
}

/// A message without a reply.
struct Pending {
    key: OrderKey,
    request_id: String,
    /// Set where the seller gave it no id: then only a refusal is sent to the seller.
    is_unnamed: bool,
    since: Instant,
}

/// The last event of an order that was sent to the seller, and its incarnation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) life: Option<Incarnation>,
    pub(super) seq: Seq,
}

/// The cursors of orders whose last event was not sent yet.
pub(super) type Places = BTreeMap<OrderKey, Place>;

/// The peer session at one processor.
pub(super) struct Branch {
    url: String,
    state: State,
    told: Places,
    /// The orders whose events were sent to the end, even before the peer session was opened again.
    over: Over,
    /// The messages that are sent once the peer session is open.
    unsaid: VecDeque<v1::SellerMessage>,
    pending: VecDeque<Pending>,
    /// The messages that the seller is sent next.
    words: VecDeque<Down>,
    backoff: Backoff,
    /// The seller was sent the refusal of this peer session.
    is_refusal_told: bool,
}

impl Branch {
    /// Begins to open a peer session, with the cursors of the orders there.
    pub(super) fn new(speaker: &Speaker, url: String, told: Places) -> Self {
        let state = State::Opening(opening(speaker, &url, &told));
        Self {
            url,
            state,
            told,
            over: Over::default(),
            unsaid: VecDeque::new(),
            pending: VecDeque::new(),
            words: VecDeque::new(),
            backoff: Backoff::new(PAUSE_MIN, PAUSE_MAX),
            is_refusal_told: false,
        }
    }

    /// Returns the URL of its processor.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the number of messages without a reply.
    pub(super) fn under_way(&self) -> usize {
        self.pending.len()
    }

    /// Reports whether nothing but events is left to send to the seller.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.words.is_empty()
    }

    /// Reports whether it has sent events of an order that has not ended, from where the peer
    /// session resumes if its processor comes back.
    pub(super) fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// Waits for the welcome; returns the orders that it lists. [`OPEN_TIMEOUT`] limits the wait.
    pub(super) async fn welcomed(&mut self) -> Vec<v1::OrderRef> {
        let State::Opening(opening) = &mut self.state else { return Vec::new() };
        let opened = opening.await;
        self.opened(opened)
    }

    /// Forwards a message now, or once the peer session is open; refuses it while the back-off
    /// runs.
    pub(super) fn say(&mut self, key: OrderKey, mut message: v1::SellerMessage) {
        let is_unnamed =
            message.request_id.is_empty() && matches!(message.kind, Some(Up::Acknowledge(_)));
        if is_unnamed {
            // The processor then replies to it, so that what is under way can be counted.
            UNNAMED.clone_into(&mut message.request_id);
        }
        let (request_id, since) = (message.request_id.clone(), Instant::now());
        self.pending.push_back(Pending { key, request_id, is_unnamed, since });
        match &self.state {
            // The channel has capacity for everything that may be under way.
            State::Open(up, _) => {
                if up.try_send(message).is_err() {
                    tracing::debug!(to = self.url, "a part of a session takes nothing more");
                }
            }
            State::Opening(_) => self.unsaid.push_back(message),
            State::Waiting(_) => self.give_up(),
        }
    }

    /// Returns the next message of this peer session.
    pub(super) fn poll(&mut self, speaker: &Speaker, context: &mut Context<'_>) -> Poll<Down> {
        loop {
            if let Some(word) = self.words.pop_front() {
                return Poll::Ready(word);
            }
            match &mut self.state {
                State::Opening(opening) => {
                    let opened = ready!(opening.poll_unpin(context));
                    self.opened(opened);
                }
                State::Open(_, down) => match ready!(down.poll_next_unpin(context)) {
                    Some(Ok(event)) => self.heard(speaker, event),
                    Some(Err(_)) | None => self.ended(),
                },
                State::Waiting(sleep) => {
                    ready!(sleep.poll_unpin(context));
                    self.state = State::Opening(opening(speaker, &self.url, &self.told));
                }
            }
        }
    }

    /// Ends the peer session if a reply is overdue.
    pub(super) fn look_at_the_clock(&mut self) {
        if self.pending.front().is_some_and(|first| first.since.elapsed() >= ACT_TIMEOUT) {
            self.ended();
        }
    }

    fn opened(&mut self, opened: Result<Opened, Refusal>) -> Vec<v1::OrderRef> {
        let Opened { up, down, welcome } = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                self.refused(&refusal);
                self.ended();
                return Vec::new();
            }
        };
        self.backoff.reset();
        self.is_refusal_told = false;
        for message in self.unsaid.drain(..) {
            // Fewer messages wait than the channel takes.
            drop(up.try_send(message));
        }
        self.state = State::Open(up, Box::new(down));
        welcome.orders
    }

    /// Sends the seller a refusal once, unless it is one that may pass by itself.
    fn refused(&mut self, refusal: &Refusal) {
        if refusal.reason != Reason::Unreachable
            && !std::mem::replace(&mut self.is_refusal_told, true)
        {
            let text = format!("the orders at {} are not followed: {refusal}", self.url);
            let refusal = Refusal::new(refusal.reason, text);
            self.words.push_back(Down::Result(failed(String::new(), &refusal)));
        }
    }

    fn heard(&mut self, speaker: &Speaker, event: v1::SellerEvent) {
        match event.kind {
            Some(Down::Event(event)) => {
                if let Ok(key) = OrderKey::new(speaker.tenant.as_str(), &event.order_req_id) {
                    if is_told(&self.told, &self.over, (&key, &event)) {
                        return;
                    }
                    note((&mut self.told, &mut self.over), key, &event);
                }
                self.words.push_back(Down::Event(event));
            }
            Some(Down::Result(result)) => self.answered(speaker, result),
            // The processor returns, or its orders reappear at another one.
            Some(Down::Draining(_)) => self.ended(),
            Some(Down::Welcome(_)) | None => {}
        }
    }

    fn answered(&mut self, speaker: &Speaker, mut result: v1::SellerResult) {
        if let Some(order) = &result.order {
            // Its cursor is useless now; whatever that processor has of the order is sent from its
            // first event.
            if let Ok(key) = OrderKey::new(&order.tenant, &order.order_req_id) {
                self.told.remove(&key);
            }
            return self.words.push_back(Down::Result(result));
        }
        let is_answer = |pending: &Pending| pending.request_id == result.request_id;
        let place = self.pending.iter().position(is_answer);
        if let Some(pending) = place.and_then(|place| self.pending.remove(place)) {
            let refused = Some(result.reason.as_str()).filter(|reason| !reason.is_empty());
            if refused == Some(Reason::OrderNotFound.as_str()) {
                speaker.peers.forget(&pending.key);
            }
            speaker.peers.handed_on(refused.map_or("ok", |_| "refused"));
            if pending.is_unnamed {
                if refused.is_none() {
                    return;
                }
                result.request_id.clear();
            }
        }
        self.words.push_back(Down::Result(result));
    }

    /// Ends the peer session; it is opened again later.
    fn ended(&mut self) {
        self.give_up();
        let pause = self.backoff.next_long_wait();
        self.state = State::Waiting(Box::pin(tokio::time::sleep(pause)));
    }

    /// Refuses all messages without a reply.
    fn give_up(&mut self) {
        self.unsaid.clear();
        for Pending { key, request_id, is_unnamed, .. } in self.pending.drain(..) {
            let request_id = if is_unnamed { String::new() } else { request_id };
            let refusal = crate::peers::is_silent(&key, &self.url);
            self.words.push_back(Down::Result(failed(request_id, &refusal)));
        }
    }
}

/// Reports whether an event is of a list that was sent to its end: the list begins again where a
/// command in the order is repeated.
fn is_told(
    told: &Places,
    over: &Over,
    (key, event): (&OrderKey, &v1::OrderStreamResponse),
) -> bool {
    match &event.detail {
        Some(Detail::Opened(opened)) => {
            Incarnation::new(&*opened.incarnation).is_ok_and(|life| over.has(key, &life))
        }
        Some(_) | None => over.knows(key) && !told.contains_key(key),
    }
}

/// Records the event after which the peer session resumes, should it end now.
fn note((told, over): (&mut Places, &mut Over), key: OrderKey, event: &v1::OrderStreamResponse) {
    let seq = Seq(event.seq);
    match &event.detail {
        Some(detail) if ends_order(detail) => {
            if let Some(life) = told.remove(&key).and_then(|place| place.life) {
                over.add(key, life);
            }
        }
        // An order id that is used again has a list of its own.
        Some(Detail::Opened(opened)) => {
            told.insert(key, Place { life: Incarnation::new(&*opened.incarnation).ok(), seq });
        }
        Some(_) | None => told.entry(key).or_default().seq = seq,
    }
}

fn cursors(told: &Places) -> Vec<v1::OrderCursor> {
    let cursor = |(key, place): (&OrderKey, &Place)| v1::OrderCursor {
        order: Some(order_ref(key, place.life.as_ref().map(Incarnation::as_str))),
        after_seq: place.seq.0,
    };
    told.iter().take(ORDERS_PER_SESSION_MAX).map(cursor).collect()
}

fn opening(speaker: &Speaker, url: &str, told: &Places) -> Opening {
    let hello = v1::Hello {
        seller: speaker.seller.to_string(),
        tenant: speaker.tenant.to_string(),
        cursors: cursors(told),
    };
    let (peers, url) = (speaker.peers.clone(), url.to_owned());
    Box::pin(async move {
        let silent = || Refusal::new(Reason::Unreachable, format!("{url} does not answer"));
        match timeout(OPEN_TIMEOUT, open(&peers, &url, hello)).await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(status)) => Err(status
                .map_or_else(silent, |status| refusal_from_status(&status).unwrap_or_else(silent))),
            Err(_) => Err(silent()),
        }
    })
}

/// Opens a session at another processor.
async fn open(peers: &Peers, url: &str, hello: v1::Hello) -> Result<Opened, Option<tonic::Status>> {
    let (up, messages) = mpsc::channel(ACTS_IN_FLIGHT.saturating_add(1));
    let hello = v1::SellerMessage { request_id: String::new(), kind: Some(Up::Hello(hello)) };
    up.try_send(hello).map_err(|_| None)?;
    let mut request = Request::new(ReceiverStream::new(messages));
    request.metadata_mut().insert(FORWARDED, url.parse().map_err(|_| None)?);
    let mut client = peers.streaming(url).ok_or(None)?;
    let mut down = client.seller_session(request).await?.into_inner();
    match down.message().await?.and_then(|first| first.kind) {
        Some(Down::Welcome(welcome)) => Ok(Opened { up, down, welcome }),
        Some(Down::Result(_) | Down::Event(_) | Down::Draining(_)) | None => Err(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, detail: Detail) -> v1::OrderStreamResponse {
        v1::OrderStreamResponse { seq, detail: Some(detail), ..v1::OrderStreamResponse::default() }
    }

    fn opened(life: &str) -> Detail {
        Detail::Opened(v1::OrderOpened { incarnation: life.to_owned(), ..Default::default() })
    }

    /// A peer session that was opened again does not know the events that the one before it has
    /// sent.
    #[test]
    fn finished_lists_are_not_sent_again() {
        let key = OrderKey::new("", "a").unwrap();
        let (mut told, mut over) = (Places::new(), Over::default());
        let closed = || Detail::OrderClosed(v1::OrderClosed::default());
        for (number, detail, is_news) in [
            (1, opened("one"), true),
            (2, closed(), true),
            (1, opened("one"), false),
            (2, closed(), false),
            (1, opened("two"), true),
            (2, closed(), true),
            (2, closed(), false),
        ] {
            let event = event(number, detail);
            assert_eq!(!is_told(&told, &over, (&key, &event)), is_news, "{event:?}");
            if is_news {
                note((&mut told, &mut over), key.clone(), &event);
            }
        }
    }

    #[test]
    fn ended_orders_keep_no_cursor() {
        let key = OrderKey::new("", "a").unwrap();
        for end in [
            Detail::OrderFinalised(v1::OrderFinalised::default()),
            Detail::OrderClosed(v1::OrderClosed::default()),
            Detail::OrderCancelled(v1::OrderCancelled::default()),
            Detail::OrderPaused(v1::OrderPaused { expired: true, ..Default::default() }),
        ] {
            let (mut told, mut over) = (Places::new(), Over::default());
            note((&mut told, &mut over), key.clone(), &event(1, opened("one")));
            note((&mut told, &mut over), key.clone(), &event(2, end));
            assert!(told.is_empty() && over.knows(&key));
        }
    }

    /// Otherwise an order id that is used again while the peer session is away would lose its first
    /// events.
    #[test]
    fn peer_sessions_resume_in_their_incarnation() {
        let key = OrderKey::new("", "a").unwrap();
        let (mut told, mut over) = (Places::new(), Over::default());
        let paused = || Detail::OrderPaused(v1::OrderPaused::default());
        let of = |told: &Places| {
            let cursors = cursors(told).into_iter();
            let of = |it: v1::OrderCursor| (it.order.unwrap().incarnation, it.after_seq);
            cursors.map(of).collect::<Vec<_>>()
        };
        for (number, detail, expected) in [
            (1, opened("one"), Some(("one", 1))),
            (4, paused(), Some(("one", 4))),
            (9, Detail::OrderClosed(v1::OrderClosed::default()), None),
            (1, opened("two"), Some(("two", 1))),
            (2, paused(), Some(("two", 2))),
        ] {
            note((&mut told, &mut over), key.clone(), &event(number, detail));
            let expected = expected.map(|(life, seq)| (life.to_owned(), seq));
            assert_eq!(of(&told), Vec::from_iter(expected));
        }
    }
}
