//! A seller's session, which reconnects after every interruption.

mod commands;
pub(crate) mod cursors;

use std::collections::{BTreeMap, VecDeque};

use orderstream_core::{
    Event, EventKind, Incarnation, OrderKey, ProposalId, Reason, SellerId, Seq, Tenant,
};
use orderstream_rpc::convert::{event_from_wire, order_ref};
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use self::cursors::{Cursors, InMemory, SellerCursor};
use crate::backoff::RetryTimer;
use crate::error::{RequestRefusal, classify_status};
use crate::{Client, Error, fresh_key};

/// The limit on messages that wait to be sent: the hello, and one command at a time.
const OUTBOUND_MAX: usize = 4;
/// The limit on events that are queued during the wait for a reply.
const UNREAD_MAX: usize = 4_096;
/// The limit on cursors that one session may send.
const CURSORS_MAX: usize = 1_000;

/// An item received by a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionItem {
    /// The session is connected, for the first time or again.
    Connected(ConnectedSession),
    /// An event of an order.
    Event(Box<OrderEvent>),
    /// An order cannot be followed, and the reason: it no longer exists, it has too many followers,
    /// or the session has too many orders.
    Refused(RequestRefusal),
}

/// A connected session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedSession {
    /// The processor's name.
    pub processor: String,
    /// The open orders that the seller is invited to; the events of each follow.
    pub orders: Vec<OrderKey>,
}

/// One event of one order.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderEvent {
    /// The order's tenant and id.
    pub order: OrderKey,
    /// The event. Sequence numbers have gaps: events that do not concern the seller are omitted.
    pub event: Event,
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The sequence number of the event that it caused; 0 if it caused none.
    pub seq: Seq,
    /// The id of the proposal that the command created or changed.
    pub proposal_id: Option<ProposalId>,
}

pub(crate) fn receipt(seq: Seq, proposal_id: String) -> Result<Receipt, Error> {
    let id = Some(proposal_id).filter(|id| !id.is_empty()).map(ProposalId::new).transpose();
    Ok(Receipt { seq, proposal_id: id.map_err(Error::Unreadable)? })
}

/// The progress of one order in this session.
#[derive(Clone, Debug)]
struct OrderProgress {
    incarnation: Option<Incarnation>,
    received: Seq,
    acknowledged: Seq,
}

#[derive(Debug)]
struct SessionStream {
    outbound: mpsc::Sender<v1::SellerMessage>,
    inbound: Streaming<v1::SellerEvent>,
}

/// A seller's session. It may connect to any processor, and receives the orders of all of them. See
/// the crate documentation for its use.
///
/// Each event is received once per session, however often the connection is interrupted. After a
/// restart of the program, a session resumes after the last acknowledged event if its [`Cursors`]
/// are stored.
#[derive(Debug)]
pub struct SellerSession {
    client: Client,
    tenant: Tenant,
    seller: SellerId,
    cursors: Box<dyn Cursors>,
    progress: BTreeMap<OrderKey, OrderProgress>,
    unread: VecDeque<SessionItem>,
    stream: Option<SessionStream>,
    backoff: RetryTimer,
}

impl SellerSession {
    pub(crate) fn new(client: Client, seller: SellerId) -> Self {
        Self {
            client,
            tenant: Tenant::default(),
            seller,
            cursors: Box::new(InMemory::default()),
            progress: BTreeMap::new(),
            unread: VecDeque::new(),
            stream: None,
            backoff: RetryTimer::default(),
        }
    }

    /// Sets the session's tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// Resumes after these cursors, and stores the new ones there.
    #[must_use]
    pub fn with_cursors(mut self, cursors: impl Cursors + 'static) -> Self {
        for SellerCursor { order, incarnation, seq } in cursors.load().into_iter().take(CURSORS_MAX)
        {
            let progress = OrderProgress { incarnation, received: seq, acknowledged: seq };
            self.progress.insert(order, progress);
        }
        self.cursors = Box::new(cursors);
        self
    }

    /// Returns the seller's id.
    pub const fn seller(&self) -> &SellerId {
        &self.seller
    }

    /// Returns the next item, waiting until there is one. Dropping the future loses no item.
    ///
    /// # Errors
    /// When the session itself is refused, for example because the seller has too many sessions, or
    /// when the server's messages cannot be decoded. The call can be repeated.
    pub async fn next(&mut self) -> Result<SessionItem, Error> {
        loop {
            if let Some(item) = self.unread.pop_front() {
                return Ok(item);
            }
            if let Some(result) = self.receive().await? {
                self.queue_refusal(result);
            }
        }
    }

    /// Sends a message until its reply arrives, and queues everything else that arrives for
    /// [`Self::next`].
    async fn send(&mut self, kind: Up) -> Result<Receipt, Error> {
        let message = v1::SellerMessage { request_id: fresh_key(), kind: Some(kind) };
        let mut is_sent = false;
        loop {
            if self.unread.len() >= UNREAD_MAX {
                return Err(Error::Unread(self.unread.len()));
            }
            if self.stream.is_none() {
                is_sent = false;
                self.connect().await?;
            }
            if let Some(stream) = self.stream.as_ref().filter(|_| !is_sent) {
                is_sent = stream.outbound.send(message.clone()).await.is_ok();
                if !is_sent {
                    self.disconnect();
                    continue;
                }
            }
            match self.receive().await? {
                Some(result) if result.request_id == message.request_id => {
                    match parse_reply(result)? {
                        Some(receipt) => return Ok(receipt),
                        // The server drains or is busy: the same message is sent again later.
                        None => self.disconnect(),
                    }
                }
                Some(result) => self.queue_refusal(result),
                None => {}
            }
        }
    }

    /// Receives one message from the server. Returns replies; everything else is queued or handled.
    async fn receive(&mut self) -> Result<Option<v1::SellerResult>, Error> {
        if self.stream.is_none() {
            self.connect().await?;
        }
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let message = match stream.inbound.message().await {
            Ok(Some(message)) => message.kind,
            Ok(None) => {
                self.disconnect();
                return Ok(None);
            }
            Err(status) => return self.handle_failure(&status).map(|()| None),
        };
        match message {
            Some(Down::Welcome(welcome)) => self.handle_welcome(welcome)?,
            Some(Down::Event(event)) => self.handle_event(event)?,
            Some(Down::Draining(_)) => {
                self.stream = None;
                self.backoff.server_draining();
            }
            Some(Down::Result(result)) => return Ok(Some(result)),
            // A kind of message from a newer server.
            None => {}
        }
        Ok(None)
    }

    async fn connect(&mut self) -> Result<(), Error> {
        while self.stream.is_none() {
            self.backoff.wait().await;
            if let Err(status) = self.open().await {
                self.handle_failure(&status)?;
            }
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Status> {
        let (outbound, messages) = mpsc::channel(OUTBOUND_MAX);
        let hello = v1::SellerMessage { request_id: String::new(), kind: Some(self.hello()) };
        if outbound.try_send(hello).is_err() {
            return Err(Status::internal("a new queue is full"));
        }
        let call = self.client.streaming().seller_session(ReceiverStream::new(messages)).await?;
        self.stream = Some(SessionStream { outbound, inbound: call.into_inner() });
        Ok(())
    }

    fn hello(&self) -> Up {
        let cursor = |(order, progress): (&OrderKey, &OrderProgress)| v1::OrderCursor {
            order: Some(order_ref(order, progress.incarnation.as_ref().map(Incarnation::as_str))),
            after_seq: progress.received.0,
        };
        Up::Hello(v1::Hello {
            seller: self.seller.to_string(),
            tenant: self.tenant.to_string(),
            cursors: self.progress.iter().take(CURSORS_MAX).map(cursor).collect(),
        })
    }

    fn disconnect(&mut self) {
        self.stream = None;
        self.backoff.failed();
    }

    fn handle_failure(&mut self, status: &Status) -> Result<(), Error> {
        self.disconnect();
        classify_status(status).map_or(Ok(()), |refused| Err(refused.into()))
    }

    fn handle_welcome(&mut self, welcome: v1::Welcome) -> Result<(), Error> {
        self.backoff.succeeded();
        let key = |order: v1::OrderRef| OrderKey::new(&order.tenant, &order.order_req_id);
        let orders = welcome.orders.into_iter().map(key).collect::<Result<_, _>>();
        let orders = orders.map_err(Error::Unreadable)?;
        let processor = welcome.processor;
        self.unread.push_back(SessionItem::Connected(ConnectedSession { processor, orders }));
        Ok(())
    }

    fn handle_event(&mut self, response: v1::OrderStreamResponse) -> Result<(), Error> {
        let order = OrderKey::new(self.tenant.as_str(), &response.order_req_id);
        let order = order.map_err(Error::Unreadable)?;
        let event = event_from_wire(response).map_err(Error::Unreadable)?;
        let opened = if let EventKind::OrderOpened(opened) = &event.kind {
            Some(opened.incarnation.clone())
        } else {
            None
        };
        let current = self.progress.get(&order);
        // A new incarnation of the id has a list of its own.
        let is_new_incarnation =
            opened.is_some() && current.is_none_or(|held| held.incarnation != opened);
        if !is_new_incarnation && current.is_some_and(|held| event.seq <= held.received) {
            return Ok(());
        }
        let incarnation = opened.or_else(|| current.and_then(|held| held.incarnation.clone()));
        let acknowledged =
            current.filter(|_| !is_new_incarnation).map_or(Seq(0), |held| held.acknowledged);
        if event.kind.ends().is_some() {
            // The server does not send it again; its cursor stays until this event is acknowledged.
            self.progress.remove(&order);
        } else {
            let progress = OrderProgress { incarnation, received: event.seq, acknowledged };
            self.progress.insert(order.clone(), progress);
        }
        self.unread.push_back(SessionItem::Event(Box::new(OrderEvent { order, event })));
        Ok(())
    }

    /// Queues a result that is not the reply to a message: a refusal to follow an order.
    fn queue_refusal(&mut self, result: v1::SellerResult) {
        if result.reason.is_empty() || !result.request_id.is_empty() {
            // The reply to a command that is no longer awaited.
            return;
        }
        let order = result
            .order
            .as_ref()
            .and_then(|order| OrderKey::new(&order.tenant, &order.order_req_id).ok());
        let refused = RequestRefusal { reason: result.reason, message: result.message, order };
        let is_gone =
            matches!(refused.known_reason(), Some(Reason::OrderNotFound | Reason::AheadOfList));
        if let Some(order) = refused.order.as_ref().filter(|_| is_gone) {
            self.progress.remove(order);
            self.cursors.forget(order);
        }
        self.unread.push_back(SessionItem::Refused(refused));
    }

    /// Stores the cursor of an order; reports whether it is the first one for the order.
    fn store_cursor(&mut self, order: &OrderKey, seq: Seq) -> bool {
        let Some(progress) = self.progress.get_mut(order) else {
            self.cursors.forget(order);
            return true;
        };
        let is_first = progress.acknowledged == Seq(0);
        if seq <= progress.acknowledged {
            return false;
        }
        progress.acknowledged = seq;
        let incarnation = progress.incarnation.clone();
        self.cursors.store(&SellerCursor { order: order.clone(), incarnation, seq });
        is_first
    }
}

/// Parses a reply; `None` if the same message may succeed later.
fn parse_reply(result: v1::SellerResult) -> Result<Option<Receipt>, Error> {
    if result.reason.is_empty() {
        return receipt(Seq(result.seq), result.proposal_id).map(Some);
    }
    let refused = RequestRefusal { reason: result.reason, message: result.message, order: None };
    if refused.is_retriable() { Ok(None) } else { Err(refused.into()) }
}
