//! A seller's session, which connects again after every break.

mod acts;
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

use self::cursors::{Cursor, Cursors, InMemory};
use crate::backoff::RetryTimer;
use crate::error::{Refused, judged};
use crate::{Client, Error, fresh_key};

/// The limit on messages that wait to be sent: one command at a time, and the greeting.
const UP_MAX: usize = 4;
/// The limit on events that are held during the wait for a reply.
const UNREAD_MAX: usize = 4_096;
/// The limit on cursors that one session may name.
const CURSORS_MAX: usize = 1_000;

/// An item that a session receives.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The session is up, for the first time or again.
    Connected(Connected),
    /// Something happened to an order.
    Event(Box<OrderEvent>),
    /// An order that cannot be followed, and the cause: it is gone, it has too many followers, or
    /// the session has too many orders.
    Refused(Refused),
}

/// A session that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
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
    /// The event. Sequence numbers have gaps: events that do not concern the seller are left out.
    pub event: Event,
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The sequence number of the event that it caused; 0 where it caused none.
    pub seq: Seq,
    /// The id of the proposal that it made or changed.
    pub proposal_id: Option<ProposalId>,
}

pub(crate) fn receipt(seq: Seq, proposal_id: String) -> Result<Receipt, Error> {
    let id = Some(proposal_id).filter(|id| !id.is_empty()).map(ProposalId::new).transpose();
    Ok(Receipt { seq, proposal_id: id.map_err(Error::Unreadable)? })
}

/// The progress of one order in this session.
#[derive(Clone, Debug)]
struct Place {
    incarnation: Option<Incarnation>,
    heard: Seq,
    acknowledged: Seq,
}

#[derive(Debug)]
struct Wire {
    up: mpsc::Sender<v1::SellerMessage>,
    down: Streaming<v1::SellerEvent>,
}

/// A seller's live connection. It may be to any processor, and receives the orders of all of them.
/// See the crate's page for its use.
///
/// Each event comes once per session, however often the connection breaks. After a restart of the
/// program, a session goes on after the last event that was acknowledged, where the [`Cursors`] are
/// kept.
#[derive(Debug)]
pub struct SellerSession {
    client: Client,
    tenant: Tenant,
    seller: SellerId,
    cursors: Box<dyn Cursors>,
    places: BTreeMap<OrderKey, Place>,
    unread: VecDeque<Heard>,
    wire: Option<Wire>,
    backoff: RetryTimer,
}

impl SellerSession {
    pub(crate) fn new(client: Client, seller: SellerId) -> Self {
        Self {
            client,
            tenant: Tenant::default(),
            seller,
            cursors: Box::new(InMemory::default()),
            places: BTreeMap::new(),
            unread: VecDeque::new(),
            wire: None,
            backoff: RetryTimer::default(),
        }
    }

    /// Works in this tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// Goes on after these cursors, and stores the new ones there.
    #[must_use]
    pub fn with_cursors(mut self, cursors: impl Cursors + 'static) -> Self {
        for Cursor { order, incarnation, seq } in cursors.load().into_iter().take(CURSORS_MAX) {
            let place = Place { incarnation, heard: seq, acknowledged: seq };
            self.places.insert(order, place);
        }
        self.cursors = Box::new(cursors);
        self
    }

    /// Returns the seller's id.
    pub const fn seller(&self) -> &SellerId {
        &self.seller
    }

    /// Returns the next item; waits as long as there is none. Dropping the future loses nothing.
    ///
    /// # Errors
    /// A refusal of the session itself, such as too many sessions of one seller, or a server whose
    /// messages cannot be read. It can be called again.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            if let Some(heard) = self.unread.pop_front() {
                return Ok(heard);
            }
            if let Some(result) = self.hear().await? {
                self.note_refusal(result);
            }
        }
    }

    /// Sends a message until its reply comes, and holds everything else that comes for
    /// [`Self::next`].
    async fn say(&mut self, kind: Up) -> Result<Receipt, Error> {
        let message = v1::SellerMessage { request_id: fresh_key(), kind: Some(kind) };
        let mut is_sent = false;
        loop {
            if self.unread.len() >= UNREAD_MAX {
                return Err(Error::Unread(self.unread.len()));
            }
            if self.wire.is_none() {
                is_sent = false;
                self.connect().await?;
            }
            if let Some(wire) = self.wire.as_ref().filter(|_| !is_sent) {
                is_sent = wire.up.send(message.clone()).await.is_ok();
                if !is_sent {
                    self.broke();
                    continue;
                }
            }
            match self.hear().await? {
                Some(result) if result.request_id == message.request_id => {
                    match answered(result)? {
                        Some(receipt) => return Ok(receipt),
                        // The server stops or is busy: the same message is sent again later.
                        None => self.broke(),
                    }
                }
                Some(result) => self.note_refusal(result),
                None => {}
            }
        }
    }

    /// Receives one message of the server. Returns replies; everything else is held or handled.
    async fn hear(&mut self) -> Result<Option<v1::SellerResult>, Error> {
        if self.wire.is_none() {
            self.connect().await?;
        }
        let Some(wire) = &mut self.wire else { return Ok(None) };
        let message = match wire.down.message().await {
            Ok(Some(message)) => message.kind,
            Ok(None) => {
                self.broke();
                return Ok(None);
            }
            Err(status) => return self.fell(&status).map(|()| None),
        };
        match message {
            Some(Down::Welcome(welcome)) => self.welcomed(welcome)?,
            Some(Down::Event(event)) => self.happened(event)?,
            Some(Down::Draining(_)) => {
                self.wire = None;
                self.backoff.told_to_leave();
            }
            Some(Down::Result(result)) => return Ok(Some(result)),
            // Something of a newer server.
            None => {}
        }
        Ok(None)
    }

    async fn connect(&mut self) -> Result<(), Error> {
        while self.wire.is_none() {
            self.backoff.wait().await;
            if let Err(status) = self.open().await {
                self.fell(&status)?;
            }
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Status> {
        let (up, messages) = mpsc::channel(UP_MAX);
        let hello = v1::SellerMessage { request_id: String::new(), kind: Some(self.hello()) };
        if up.try_send(hello).is_err() {
            return Err(Status::internal("a new queue is full"));
        }
        let call = self.client.streaming().seller_session(ReceiverStream::new(messages)).await?;
        self.wire = Some(Wire { up, down: call.into_inner() });
        Ok(())
    }

    fn hello(&self) -> Up {
        let cursor = |(order, place): (&OrderKey, &Place)| v1::OrderCursor {
            order: Some(order_ref(order, place.incarnation.as_ref().map(Incarnation::as_str))),
            after_seq: place.heard.0,
        };
        Up::Hello(v1::Hello {
            seller: self.seller.to_string(),
            tenant: self.tenant.to_string(),
            cursors: self.places.iter().take(CURSORS_MAX).map(cursor).collect(),
        })
    }

    fn broke(&mut self) {
        self.wire = None;
        self.backoff.failed();
    }

    fn fell(&mut self, status: &Status) -> Result<(), Error> {
        self.broke();
        judged(status).map_or(Ok(()), |refused| Err(refused.into()))
    }

    fn welcomed(&mut self, welcome: v1::Welcome) -> Result<(), Error> {
        self.backoff.succeeded();
        let key = |order: v1::OrderRef| OrderKey::new(&order.tenant, &order.order_req_id);
        let orders = welcome.orders.into_iter().map(key).collect::<Result<_, _>>();
        let orders = orders.map_err(Error::Unreadable)?;
        let processor = welcome.processor;
        self.unread.push_back(Heard::Connected(Connected { processor, orders }));
        Ok(())
    }

    fn happened(&mut self, response: v1::OrderStreamResponse) -> Result<(), Error> {
        let order = OrderKey::new(self.tenant.as_str(), &response.order_req_id);
        let order = order.map_err(Error::Unreadable)?;
        let event = event_from_wire(response).map_err(Error::Unreadable)?;
        let opened = if let EventKind::OrderOpened(opened) = &event.kind {
            Some(opened.incarnation.clone())
        } else {
            None
        };
        let held = self.places.get(&order);
        // A name that is used again has a list of its own.
        let is_new_life = opened.is_some() && held.is_none_or(|held| held.incarnation != opened);
        if !is_new_life && held.is_some_and(|held| event.seq <= held.heard) {
            return Ok(());
        }
        let incarnation = opened.or_else(|| held.and_then(|held| held.incarnation.clone()));
        let acknowledged = held.filter(|_| !is_new_life).map_or(Seq(0), |held| held.acknowledged);
        if event.kind.ends().is_some() {
            // It is not sent again by itself; its cursor stays until this event is acknowledged.
            self.places.remove(&order);
        } else {
            let place = Place { incarnation, heard: event.seq, acknowledged };
            self.places.insert(order.clone(), place);
        }
        self.unread.push_back(Heard::Event(Box::new(OrderEvent { order, event })));
        Ok(())
    }

    /// Notes a result that is not the reply to a message: it refuses to follow an order.
    fn note_refusal(&mut self, result: v1::SellerResult) {
        if result.reason.is_empty() || !result.request_id.is_empty() {
            // The reply to a command that was not waited for.
            return;
        }
        let order = result
            .order
            .as_ref()
            .and_then(|order| OrderKey::new(&order.tenant, &order.order_req_id).ok());
        let refused = Refused { reason: result.reason, message: result.message, order };
        let is_gone = matches!(refused.known(), Some(Reason::OrderNotFound | Reason::AheadOfList));
        if let Some(order) = refused.order.as_ref().filter(|_| is_gone) {
            self.places.remove(order);
            self.cursors.forget(order);
        }
        self.unread.push_back(Heard::Refused(refused));
    }

    /// Stores the cursor of an order; reports whether it is the order's first.
    fn stored(&mut self, order: &OrderKey, seq: Seq) -> bool {
        let Some(place) = self.places.get_mut(order) else {
            self.cursors.forget(order);
            return true;
        };
        let is_first = place.acknowledged == Seq(0);
        if seq <= place.acknowledged {
            return false;
        }
        place.acknowledged = seq;
        let incarnation = place.incarnation.clone();
        self.cursors.store(&Cursor { order: order.clone(), incarnation, seq });
        is_first
    }
}

/// Reads a reply; `None` where the same message may succeed later.
fn answered(result: v1::SellerResult) -> Result<Option<Receipt>, Error> {
    if result.reason.is_empty() {
        return receipt(Seq(result.seq), result.proposal_id).map(Some);
    }
    let refused = Refused { reason: result.reason, message: result.message, order: None };
    if refused.is_retriable() { Ok(None) } else { Err(refused.into()) }
}
