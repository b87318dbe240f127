//! The peer session at one other processor, for the same seller. It is opened again whenever it
//! ends, after the last event of each order that it has sent.
//!
//! ```text
//!              welcome                       ended, drained, silent
//!   Opening ───────────▶ Open ─────────────────────────────────────▶ BackingOff
//!    ▲   └── refused, not reached ──────────────────────────────────▶  │
//!    └──────────────────── after a growing back-off ──────────────────┘
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

use super::session_orders::FinishedOrders;
use super::{COMMANDS_IN_FLIGHT_MAX, failed};
use crate::limits::ORDERS_PER_SESSION_MAX;
use crate::peers::{FORWARD_TIMEOUT, FORWARDED, Peers};

/// The time that a peer session has to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// The first back-off before a peer session is opened again; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The longest back-off.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The request id under which acknowledgements without one are forwarded.
const UNNAMED_REQUEST_ID: &str = "~acknowledge";

/// The seller, as all peer sessions of a session present it.
#[derive(Clone, Debug)]
pub(super) struct SessionIdentity {
    pub(super) peers: Peers,
    pub(super) tenant: Tenant,
    pub(super) seller: SellerId,
}

/// A peer session that is open.
struct OpenPeerSession {
    up: mpsc::Sender<v1::SellerMessage>,
    down: Streaming<v1::SellerEvent>,
    welcome: v1::Welcome,
}

type PeerOpenFuture = Pin<Box<dyn Future<Output = Result<OpenPeerSession, Refusal>> + Send>>;

enum PeerSessionState {
    Opening(PeerOpenFuture),
    Open(mpsc::Sender<v1::SellerMessage>, Box<Streaming<v1::SellerEvent>>),
    BackingOff(Pin<Box<Sleep>>),
}

/// A message without a reply.
struct PendingSellerMessage {
    key: OrderKey,
    request_id: String,
    /// Set where the seller gave it no id: then only a refusal is sent to the seller.
    is_unnamed: bool,
    since: Instant,
}

/// The last event of an order that was sent to the seller, and its incarnation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerCursor {
    pub(super) incarnation: Option<Incarnation>,
    pub(super) seq: Seq,
}

/// The cursors of orders whose last event was not sent yet.
pub(super) type PeerCursors = BTreeMap<OrderKey, PeerCursor>;

/// The peer session at one processor.
pub(super) struct PeerSession {
    url: String,
    state: PeerSessionState,
    cursors: PeerCursors,
    /// The orders whose events were sent to the end, even before the peer session was opened again.
    finished: FinishedOrders,
    /// The messages that are sent once the peer session is open.
    unsent: VecDeque<v1::SellerMessage>,
    pending: VecDeque<PendingSellerMessage>,
    /// The messages that the seller is sent next.
    outgoing: VecDeque<Down>,
    backoff: Backoff,
    /// The seller was sent the refusal of this peer session.
    is_refusal_sent: bool,
}

impl PeerSession {
    /// Begins to open a peer session, with the cursors of the orders there.
    pub(super) fn new(identity: &SessionIdentity, url: String, cursors: PeerCursors) -> Self {
        let state = PeerSessionState::Opening(opening(identity, &url, &cursors));
        Self {
            url,
            state,
            cursors,
            finished: FinishedOrders::default(),
            unsent: VecDeque::new(),
            pending: VecDeque::new(),
            outgoing: VecDeque::new(),
            backoff: Backoff::new(BACKOFF_MIN, BACKOFF_MAX),
            is_refusal_sent: false,
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
        self.pending.is_empty() && self.outgoing.is_empty()
    }

    /// Reports whether it has sent events of an order that has not ended, from where the peer
    /// session resumes if its processor comes back.
    pub(super) fn has_cursors(&self) -> bool {
        !self.cursors.is_empty()
    }

    /// Waits for the welcome; returns the orders that it lists. [`OPEN_TIMEOUT`] limits the wait.
    pub(super) async fn wait_for_welcome(&mut self) -> Vec<v1::OrderRef> {
        let PeerSessionState::Opening(opening) = &mut self.state else { return Vec::new() };
        let opened = opening.await;
        self.on_opened(opened)
    }

    /// Forwards a message now, or once the peer session is open; refuses it while the back-off
    /// runs.
    pub(super) fn send(&mut self, key: OrderKey, mut message: v1::SellerMessage) {
        let is_unnamed =
            message.request_id.is_empty() && matches!(message.kind, Some(Up::Acknowledge(_)));
        if is_unnamed {
            // The processor then replies to it, so that the messages under way can be counted.
            UNNAMED_REQUEST_ID.clone_into(&mut message.request_id);
        }
        let (request_id, since) = (message.request_id.clone(), Instant::now());
        self.pending.push_back(PendingSellerMessage { key, request_id, is_unnamed, since });
        match &self.state {
            // The channel has capacity for everything that may be under way.
            PeerSessionState::Open(up, _) => {
                if up.try_send(message).is_err() {
                    tracing::debug!(to = self.url, "a peer session accepts no more messages");
                }
            }
            PeerSessionState::Opening(_) => self.unsent.push_back(message),
            PeerSessionState::BackingOff(_) => self.refuse_pending(),
        }
    }

    /// Returns the next message of this peer session.
    pub(super) fn poll(
        &mut self,
        identity: &SessionIdentity,
        context: &mut Context<'_>,
    ) -> Poll<Down> {
        loop {
            if let Some(message) = self.outgoing.pop_front() {
                return Poll::Ready(message);
            }
            match &mut self.state {
                PeerSessionState::Opening(opening) => {
                    let opened = ready!(opening.poll_unpin(context));
                    self.on_opened(opened);
                }
                PeerSessionState::Open(_, down) => match ready!(down.poll_next_unpin(context)) {
                    Some(Ok(event)) => self.receive(identity, event),
                    Some(Err(_)) | None => self.close(),
                },
                PeerSessionState::BackingOff(sleep) => {
                    ready!(sleep.poll_unpin(context));
                    self.state =
                        PeerSessionState::Opening(opening(identity, &self.url, &self.cursors));
                }
            }
        }
    }

    /// Ends the peer session if a reply is overdue.
    pub(super) fn check_timeouts(&mut self) {
        if self.pending.front().is_some_and(|first| first.since.elapsed() >= FORWARD_TIMEOUT) {
            self.close();
        }
    }

    fn on_opened(&mut self, opened: Result<OpenPeerSession, Refusal>) -> Vec<v1::OrderRef> {
        let OpenPeerSession { up, down, welcome } = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                self.report_refusal(&refusal);
                self.close();
                return Vec::new();
            }
        };
        self.backoff.reset();
        self.is_refusal_sent = false;
        for message in self.unsent.drain(..) {
            // Fewer messages wait than the channel holds.
            drop(up.try_send(message));
        }
        self.state = PeerSessionState::Open(up, Box::new(down));
        welcome.orders
    }

    /// Sends the seller a refusal once, unless it may be temporary.
    fn report_refusal(&mut self, refusal: &Refusal) {
        if refusal.reason != Reason::Unreachable
            && !std::mem::replace(&mut self.is_refusal_sent, true)
        {
            let text = format!("the orders at {} are not followed: {refusal}", self.url);
            let refusal = Refusal::new(refusal.reason, text);
            self.outgoing.push_back(Down::Result(failed(String::new(), &refusal)));
        }
    }

    fn receive(&mut self, identity: &SessionIdentity, event: v1::SellerEvent) {
        match event.kind {
            Some(Down::Event(event)) => {
                if let Ok(key) = OrderKey::new(identity.tenant.as_str(), &event.order_req_id) {
                    if is_already_sent(&self.cursors, &self.finished, &key, &event) {
                        return;
                    }
                    record_sent(&mut self.cursors, &mut self.finished, key, &event);
                }
                self.outgoing.push_back(Down::Event(event));
            }
            Some(Down::Result(result)) => self.receive_result(identity, result),
            // The processor comes back, or its orders reappear at another one.
            Some(Down::Draining(_)) => self.close(),
            Some(Down::Welcome(_)) | None => {}
        }
    }

    fn receive_result(&mut self, identity: &SessionIdentity, mut result: v1::SellerResult) {
        if let Some(order) = &result.order {
            // Its cursor is useless now; whatever that processor has of the order is sent from its
            // first event.
            if let Ok(key) = OrderKey::new(&order.tenant, &order.order_req_id) {
                self.cursors.remove(&key);
            }
            return self.outgoing.push_back(Down::Result(result));
        }
        let is_reply = |pending: &PendingSellerMessage| pending.request_id == result.request_id;
        let index = self.pending.iter().position(is_reply);
        if let Some(pending) = index.and_then(|place| self.pending.remove(place)) {
            let refused = Some(result.reason.as_str()).filter(|reason| !reason.is_empty());
            if refused == Some(Reason::OrderNotFound.as_str()) {
                identity.peers.forget(&pending.key);
            }
            identity.peers.count_forward(refused.map_or("ok", |_| "refused"));
            if pending.is_unnamed {
                if refused.is_none() {
                    return;
                }
                result.request_id.clear();
            }
        }
        self.outgoing.push_back(Down::Result(result));
    }

    /// Ends the peer session; it is opened again later.
    fn close(&mut self) {
        self.refuse_pending();
        let backoff = self.backoff.next_long_wait();
        self.state = PeerSessionState::BackingOff(Box::pin(tokio::time::sleep(backoff)));
    }

    /// Refuses all messages without a reply.
    fn refuse_pending(&mut self) {
        self.unsent.clear();
        for PendingSellerMessage { key, request_id, is_unnamed, .. } in self.pending.drain(..) {
            let request_id = if is_unnamed { String::new() } else { request_id };
            let refusal = crate::peers::peer_unreachable(&key, &self.url);
            self.outgoing.push_back(Down::Result(failed(request_id, &refusal)));
        }
    }
}

/// Reports whether an event is of a list that was sent to its end: the list begins again where a
/// command in the order is repeated.
fn is_already_sent(
    cursors: &PeerCursors,
    finished: &FinishedOrders,
    key: &OrderKey,
    event: &v1::OrderStreamResponse,
) -> bool {
    match &event.detail {
        Some(Detail::Opened(opened)) => Incarnation::new(&*opened.incarnation)
            .is_ok_and(|incarnation| finished.has(key, &incarnation)),
        Some(_) | None => finished.knows(key) && !cursors.contains_key(key),
    }
}

/// Records the event after which the peer session resumes, should it end now.
fn record_sent(
    cursors: &mut PeerCursors,
    finished: &mut FinishedOrders,
    key: OrderKey,
    event: &v1::OrderStreamResponse,
) {
    let seq = Seq(event.seq);
    match &event.detail {
        Some(detail) if ends_order(detail) => {
            if let Some(incarnation) = cursors.remove(&key).and_then(|place| place.incarnation) {
                finished.add(key, incarnation);
            }
        }
        // An order id that is used again has a list of its own.
        Some(Detail::Opened(opened)) => {
            cursors.insert(
                key,
                PeerCursor { incarnation: Incarnation::new(&*opened.incarnation).ok(), seq },
            );
        }
        Some(_) | None => cursors.entry(key).or_default().seq = seq,
    }
}

fn wire_cursors(cursors: &PeerCursors) -> Vec<v1::OrderCursor> {
    let cursor = |(key, position): (&OrderKey, &PeerCursor)| v1::OrderCursor {
        order: Some(order_ref(key, position.incarnation.as_ref().map(Incarnation::as_str))),
        after_seq: position.seq.0,
    };
    cursors.iter().take(ORDERS_PER_SESSION_MAX).map(cursor).collect()
}

fn opening(identity: &SessionIdentity, url: &str, cursors: &PeerCursors) -> PeerOpenFuture {
    let hello = v1::Hello {
        seller: identity.seller.to_string(),
        tenant: identity.tenant.to_string(),
        cursors: wire_cursors(cursors),
    };
    let (peers, url) = (identity.peers.clone(), url.to_owned());
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
async fn open(
    peers: &Peers,
    url: &str,
    hello: v1::Hello,
) -> Result<OpenPeerSession, Option<tonic::Status>> {
    let (up, messages) = mpsc::channel(COMMANDS_IN_FLIGHT_MAX.saturating_add(1));
    let hello = v1::SellerMessage { request_id: String::new(), kind: Some(Up::Hello(hello)) };
    up.try_send(hello).map_err(|_| None)?;
    let mut request = Request::new(ReceiverStream::new(messages));
    request.metadata_mut().insert(FORWARDED, url.parse().map_err(|_| None)?);
    let mut client = peers.streaming(url).ok_or(None)?;
    let mut down = client.seller_session(request).await?.into_inner();
    match down.message().await?.and_then(|first| first.kind) {
        Some(Down::Welcome(welcome)) => Ok(OpenPeerSession { up, down, welcome }),
        Some(Down::Result(_) | Down::Event(_) | Down::Draining(_)) | None => Err(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, detail: Detail) -> v1::OrderStreamResponse {
        v1::OrderStreamResponse { seq, detail: Some(detail), ..v1::OrderStreamResponse::default() }
    }

    fn opened(incarnation: &str) -> Detail {
        Detail::Opened(v1::OrderOpened {
            incarnation: incarnation.to_owned(),
            ..Default::default()
        })
    }

    /// A peer session that was opened again does not know the events that the one before it has
    /// sent.
    #[test]
    fn finished_lists_are_not_sent_again() {
        let key = OrderKey::new("", "a").unwrap();
        let (mut cursors, mut finished) = (PeerCursors::new(), FinishedOrders::default());
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
            assert_eq!(!is_already_sent(&cursors, &finished, &key, &event), is_news, "{event:?}");
            if is_news {
                record_sent(&mut cursors, &mut finished, key.clone(), &event);
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
            let (mut cursors, mut finished) = (PeerCursors::new(), FinishedOrders::default());
            record_sent(&mut cursors, &mut finished, key.clone(), &event(1, opened("one")));
            record_sent(&mut cursors, &mut finished, key.clone(), &event(2, end));
            assert!(cursors.is_empty() && finished.knows(&key));
        }
    }

    /// Otherwise an order id that is used again while the peer session is down would lose its first
    /// events.
    #[test]
    fn peer_sessions_resume_in_their_incarnation() {
        let key = OrderKey::new("", "a").unwrap();
        let (mut cursors, mut finished) = (PeerCursors::new(), FinishedOrders::default());
        let paused = || Detail::OrderPaused(v1::OrderPaused::default());
        let of = |cursors: &PeerCursors| {
            let cursors = wire_cursors(cursors).into_iter();
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
            record_sent(&mut cursors, &mut finished, key.clone(), &event(number, detail));
            let expected = expected.map(|(incarnation, seq)| (incarnation.to_owned(), seq));
            assert_eq!(of(&cursors), Vec::from_iter(expected));
        }
    }
}
