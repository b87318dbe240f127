//! A seller's live connection: the seller sends commands and receives a reply to each, invitations,
//! and the events of the orders that it takes part in. The session follows the orders that the
//! seller is invited to, those that it names with cursors in `Hello`, and those that it acts in;
//! messages from other processors come through [`elsewhere`].
//!
//! A session is one state, polled by its connection: it has no task and no queue of its own. It
//! takes the next message from the commands, the seller's messages, the orders and the peer
//! sessions in turn, and from the members of each in turn, so that a busy one does not delay the
//! others.

mod acts;
mod branch;
mod elsewhere;
mod followed;
mod start;
mod view;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{FuturesUnordered, SelectAll};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use orderstream_core::command::Actor;
use orderstream_core::{Answer, OrderKey, Reason, Refusal, SellerId, Seq, Tenant};
use orderstream_rpc::convert::order_ref;
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use self::elsewhere::{Elsewhere, Heard};
use self::followed::Followed;
use self::view::{Telling, Told};
use super::{Grpc, Target};
use crate::limits::ORDERS_PER_SESSION_MAX;
use crate::orders::{EventStream, Invitations};

pub(super) use self::start::{Reached, start};

/// Commands of one session that wait for the disk at one time.
const ACTS_IN_FLIGHT: usize = 64;
/// Orders that one session begins to follow at one time.
const JOINS_IN_FLIGHT: usize = 16;

/// A command or a join under way.
type Doing = Pin<Box<dyn Future<Output = Done> + Send>>;

/// The outcome of a command or a join.
#[derive(Debug, Default)]
struct Done {
    result: Option<v1::SellerResult>,
    /// An order to follow from now on.
    joined: Option<(OrderKey, EventStream)>,
    /// An order whose invitation was not marked as seen after all.
    unseen: Option<OrderKey>,
}

/// The sources of the session's messages, polled in turn.
#[derive(Clone, Copy)]
enum Source {
    Acts,
    Messages,
    Orders,
    Elsewhere,
}

impl Source {
    const fn next(self) -> Self {
        match self {
            Self::Acts => Self::Messages,
            Self::Messages => Self::Orders,
            Self::Orders => Self::Elsewhere,
            Self::Elsewhere => Self::Acts,
        }
    }
}

/// A running session.
pub(super) struct Session {
    grpc: Grpc,
    tenant: Tenant,
    seller: SellerId,
    up: Option<Streaming<v1::SellerMessage>>,
    /// The messages that are sent first; their number is limited by the cursors in `Hello`.
    first: VecDeque<Down>,
    acting: FuturesUnordered<Doing>,
    invitations: Invitations,
    /// The invitation that waits until the session may follow one more order; absent where none
    /// waits.
    waiting: Option<OrderKey>,
    is_told_full: bool,
    joining: FuturesUnordered<Doing>,
    events: SelectAll<Telling>,
    followed: Followed,
    /// The peer sessions, where there are other processors.
    elsewhere: Option<Box<Elsewhere>>,
    turn: Source,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    stop: Stop,
}

/// The progress of the server's drain, for this session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The server is running.
    Not,
    /// No new messages are taken, and the work under way is finished.
    Begun,
    /// The drain message was sent to the seller.
    Told,
}

impl Session {
    /// Takes one message of the seller; one about an order of another processor is routed there.
    fn receive(&mut self, message: v1::SellerMessage) -> Option<v1::SellerResult> {
        let named = message.kind.as_ref().and_then(|kind| acts::named(&self.tenant, kind));
        let key = named.filter(|key| !self.grpc.orders.is_here(key, None));
        if let Some((elsewhere, key)) = self.elsewhere.as_mut().zip(key) {
            elsewhere.route(key, message);
            return None;
        }
        self.take(message)
    }

    /// Executes a message here; returns the reply where it needs no disk.
    fn take(&mut self, message: v1::SellerMessage) -> Option<v1::SellerResult> {
        let request_id = message.request_id;
        let taken = match message.kind {
            Some(Up::Proposal(submission)) => self.submit(&request_id, submission),
            Some(kind) => self.act(&request_id, kind),
            None => Err(Refusal::field("kind", "is missing")),
        };
        match taken {
            Ok(None) => None,
            Ok(Some(doing)) => {
                self.acting.push(doing);
                None
            }
            Err(refusal) => Some(failed(request_id, &refusal)),
        }
    }

    fn submit(
        &self,
        request_id: &str,
        mut submission: v1::ProposalSubmission,
    ) -> Result<Option<Doing>, Refusal> {
        self.own_tenant(&mut submission.tenant)?;
        let submission = acts::submission(&self.seller, request_id, submission)?;
        let joins = self.joins(OrderKey::new(&submission.tenant, &submission.order_req_id)?);
        let (grpc, id) = (self.grpc.clone(), request_id.to_owned());
        Ok(Some(
            async move { finished(&grpc, (id, joins), grpc.submit(submission).await).await }
                .boxed(),
        ))
    }

    fn act(&mut self, request_id: &str, kind: Up) -> Result<Option<Doing>, Refusal> {
        let is_acknowledgement = matches!(kind, Up::Acknowledge(_));
        let expected = acts::expected(&kind);
        let (order, act) = acts::act(&self.seller, request_id, kind)?;
        let mut order = order.unwrap_or_default();
        self.own_tenant(&mut order.tenant)?;
        let mut target = Target::of(Some(order), String::new(), 0)?;
        let (grpc, id) = (self.grpc.clone(), request_id.to_owned());
        if !is_acknowledgement {
            target.idempotency_key = acts::key(request_id)?;
            target.actor = Some(Actor::Seller(self.seller.clone()));
            target.expected = expected;
            let joins = self.joins(target.key.clone());
            return Ok(Some(
                async move { finished(&grpc, (id, joins), grpc.act(target, act).await).await }
                    .boxed(),
            ));
        }
        if self.is_seen_already(&target.key)? {
            let said = v1::SellerResult { request_id: id, ..v1::SellerResult::default() };
            let done = Done { result: asked_for(said), ..Done::default() };
            return Ok(done.result.is_some().then(|| std::future::ready(done).boxed()));
        }
        let key = target.key.clone();
        Ok(Some(async move { seen((id, key), grpc.act(target, act).await) }.boxed()))
    }

    /// Reports whether an acknowledgement of this order has no effect any more, and marks a
    /// followed order as seen.
    fn is_seen_already(&mut self, key: &OrderKey) -> Result<bool, Refusal> {
        if let Some(was_seen) = self.followed.see(key) {
            return Ok(was_seen);
        }
        // The last events of an order are acknowledged after its stream.
        if self.grpc.orders.is_invited(key, &self.seller) {
            return Ok(false);
        }
        Err(Refusal::field("order", "is not followed in this session; name it in hello"))
    }

    /// Sets a message's tenant to the session's own where it is empty; refuses any other.
    fn own_tenant(&self, tenant: &mut String) -> Result<(), Refusal> {
        if tenant.is_empty() {
            self.tenant.as_str().clone_into(tenant);
        }
        if tenant == self.tenant.as_str() {
            return Ok(());
        }
        Err(Refusal::field("tenant", "is not the tenant of this session; open another one for it"))
    }

    /// Returns the order if a command in it makes the session follow it.
    fn joins(&self, key: OrderKey) -> Option<OrderKey> {
        let is_new = !self.followed.has(&key);
        (is_new && self.has_room()).then_some(key)
    }

    /// Returns the number of messages without a reply.
    fn under_way(&self) -> usize {
        let elsewhere = self.elsewhere.as_ref().map_or(0, |elsewhere| elsewhere.under_way());
        self.acting.len().saturating_add(elsewhere)
    }

    fn has_room(&self) -> bool {
        self.events.len().saturating_add(self.joining.len()) < ORDERS_PER_SESSION_MAX
    }

    /// Follows an order from now on, unless the session follows it already, or followed it to its
    /// end.
    fn follow(&mut self, (key, events): (OrderKey, EventStream)) {
        if self.events.len() >= ORDERS_PER_SESSION_MAX {
            return;
        }
        let Some(number) = self.followed.begin(&key, events.life().clone()) else { return };
        let whose = (key, self.seller.clone());
        self.events.push(view::tell(&self.grpc.orders, whose, (number, events)));
    }

    fn settle(&mut self, done: Done) -> Option<Down> {
        if let Some(joined) = done.joined {
            self.follow(joined);
        }
        if let Some(key) = done.unseen {
            self.followed.unsee(&key);
        }
        done.result.map(Down::Result)
    }

    fn poll_acts(&mut self, context: &mut Context<'_>) -> Poll<Down> {
        while let Poll::Ready(Some(done)) = self.acting.poll_next_unpin(context) {
            if let Some(down) = self.settle(done) {
                return Poll::Ready(down);
            }
            // There is capacity for a message again, and the messages may have been polled already.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Reads the seller's messages. While too many commands wait for the disk nothing is read, and
    /// the seller waits too.
    fn poll_messages(&mut self, context: &mut Context<'_>) -> Poll<Result<Down, Status>> {
        while self.under_way() < ACTS_IN_FLIGHT
            && let Some(up) = &mut self.up
        {
            match ready!(up.poll_next_unpin(context)) {
                Some(Ok(message)) => {
                    if let Some(result) = self.receive(message) {
                        return Poll::Ready(Ok(Down::Result(result)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => self.up = None,
            }
        }
        Poll::Pending
    }

    fn poll_orders(&mut self, context: &mut Context<'_>) -> Poll<Down> {
        loop {
            if let Some(down) = self.take_invitations(context) {
                return Poll::Ready(down);
            }
            if let Poll::Ready(Some(done)) = self.joining.poll_next_unpin(context) {
                match self.settle(done) {
                    Some(down) => return Poll::Ready(down),
                    None => continue,
                }
            }
            match ready!(self.events.poll_next_unpin(context)) {
                Some(Told::Event(event)) => return Poll::Ready(Down::Event(*event)),
                Some(Told::Broken(key, number, refusal)) => {
                    self.followed.broke(&key, number);
                    return Poll::Ready(about(&key, &refusal));
                }
                Some(Told::Over(key, number)) => self.followed.ended(key, number),
                None => return Poll::Pending,
            }
        }
    }

    fn poll_elsewhere(&mut self, context: &mut Context<'_>) -> Poll<Down> {
        while let Some(elsewhere) = &mut self.elsewhere {
            match ready!(elsewhere.poll(context)) {
                Heard::Word(word) => return Poll::Ready(*word),
                // No other processor has the order: it is refused here, unless it was opened
                // meanwhile.
                Heard::Here(message) => {
                    if let Some(result) = self.take(*message) {
                        return Poll::Ready(Down::Result(result));
                    }
                    // The command is new, and the commands may have been polled already.
                    context.waker().wake_by_ref();
                }
            }
        }
        Poll::Pending
    }

    /// Begins to follow the orders that the seller is invited to; returns a message once the
    /// session follows as many as it may.
    fn take_invitations(&mut self, context: &mut Context<'_>) -> Option<Down> {
        while self.stop == Stop::Not && self.joining.len() < JOINS_IN_FLIGHT {
            if self.waiting.is_none() {
                match self.invitations.poll_next_unpin(context) {
                    Poll::Ready(Some(key)) => self.waiting = Some(key),
                    Poll::Ready(None) | Poll::Pending => return None,
                }
            }
            if !self.has_room() {
                let is_news = !std::mem::replace(&mut self.is_told_full, true);
                return is_news.then(full);
            }
            self.is_told_full = false;
            let key = self.waiting.take()?;
            let held = self.followed.life(&key);
            if held.is_none() || held != self.grpc.orders.incarnation(&key).as_ref() {
                let grpc = self.grpc.clone();
                self.joining.push(async move { join(&grpc, key).await }.boxed());
            }
        }
        None
    }

    /// Ends the session once the seller has sent all and has every reply; when the server stops,
    /// with the drain message.
    fn poll_end(&mut self) -> Poll<Option<Down>> {
        let is_settled = self.elsewhere.as_ref().is_none_or(|elsewhere| elsewhere.is_settled());
        if self.up.is_some() || !self.acting.is_empty() || !is_settled {
            return Poll::Pending;
        }
        match self.stop {
            Stop::Begun if self.events.is_empty() && self.joining.is_empty() => {
                self.stop = Stop::Told;
                Poll::Ready(Some(Down::Draining(v1::Draining { last_seq: 0 })))
            }
            Stop::Begun => Poll::Pending,
            // The seller has sent everything, and every command has its reply.
            Stop::Not | Stop::Told => Poll::Ready(None),
        }
    }
}

impl Stream for Session {
    type Item = Result<v1::SellerEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = |kind: Down| Poll::Ready(Some(Ok(v1::SellerEvent { kind: Some(kind) })));
        if let Some(down) = self.first.pop_front() {
            return event(down);
        }
        if self.stop == Stop::Not && self.stopping.poll_unpin(context).is_ready() {
            self.stop = Stop::Begun;
            self.up = None;
            if let Some(elsewhere) = &mut self.elsewhere {
                elsewhere.leave();
            }
        }
        for _ in 0..4 {
            let source = self.turn;
            self.turn = source.next();
            let polled = match source {
                Source::Acts => self.poll_acts(context).map(Ok),
                Source::Messages => self.poll_messages(context),
                Source::Orders => self.poll_orders(context).map(Ok),
                Source::Elsewhere => self.poll_elsewhere(context).map(Ok),
            };
            match polled {
                Poll::Ready(Ok(down)) => return event(down),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {}
            }
        }
        // Messages may have become commands after the commands were polled.
        if let Poll::Ready(down) = self.poll_acts(context) {
            return event(down);
        }
        match ready!(self.poll_end()) {
            Some(down) => event(down),
            None => Poll::Ready(None),
        }
    }
}

/// Follows an order that the seller is invited to, from its first event.
async fn join(grpc: &Grpc, key: OrderKey) -> Done {
    match grpc.orders.follow(&key, Seq(0), None).await {
        Ok(events) => Done { joined: Some((key, events)), ..Done::default() },
        // It was removed meanwhile.
        Err(refusal) if refusal.reason == Reason::OrderNotFound => Done::default(),
        Err(refusal) => Done { result: Some(refused(&key, &refusal)), ..Done::default() },
    }
}

/// Makes the outcome of a command; the order is followed from now on if it was not.
async fn finished(
    grpc: &Grpc,
    (request_id, joins): (String, Option<OrderKey>),
    result: Result<Answer, Refusal>,
) -> Done {
    let answer = match result {
        Ok(answer) => answer,
        Err(refusal) => {
            let result = Some(failed(request_id, &refusal));
            return Done { result, ..Done::default() };
        }
    };
    let result = Some(v1::SellerResult {
        request_id,
        seq: answer.seq.0,
        proposal_id: answer.proposal_id.map(String::from).unwrap_or_default(),
        ..v1::SellerResult::default()
    });
    let Some(key) = joins else { return Done { result, ..Done::default() } };
    // The command stays done, even if the order has too many followers.
    let events = grpc.orders.follow(&key, Seq(0), None).await.ok();
    Done { result, joined: events.map(|events| (key, events)), ..Done::default() }
}

/// Makes the outcome of the first acknowledgement of an order.
fn seen((request_id, key): (String, OrderKey), result: Result<Answer, Refusal>) -> Done {
    match result {
        Ok(_) => {
            let said = v1::SellerResult { request_id, ..v1::SellerResult::default() };
            Done { result: asked_for(said), ..Done::default() }
        }
        Err(refusal) => {
            let result = Some(failed(request_id, &refusal));
            Done { result, unseen: Some(key), ..Done::default() }
        }
    }
}

/// Returns the reply to an acknowledgement; `None` where it succeeded and the seller gave it no id.
fn asked_for(result: v1::SellerResult) -> Option<v1::SellerResult> {
    Some(result).filter(|result| !result.request_id.is_empty())
}

fn full() -> Down {
    let text = format!(
        "this session follows {ORDERS_PER_SESSION_MAX} orders, the most it may; further \
         invitations come as those end"
    );
    Down::Result(failed(String::new(), &Refusal::new(Reason::LimitReached, text)))
}

fn about(key: &OrderKey, refusal: &Refusal) -> Down {
    Down::Result(refused(key, refusal))
}

/// Makes the message that reports why an order is not followed.
fn refused(key: &OrderKey, refusal: &Refusal) -> v1::SellerResult {
    v1::SellerResult { order: Some(order_ref(key, None)), ..failed(String::new(), refusal) }
}

fn failed(request_id: String, refusal: &Refusal) -> v1::SellerResult {
    v1::SellerResult {
        request_id,
        reason: refusal.reason.as_str().to_owned(),
        message: refusal.to_string(),
        ..v1::SellerResult::default()
    }
}
