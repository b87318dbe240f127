//! A seller's live connection: the seller sends commands and receives a reply to each, invitations,
//! and the events of the orders that it takes part in. The session follows the orders that the
//! seller is invited to, those that it names with cursors in `Hello`, and those that it acts in;
//! messages from other processors come through [`peer_sessions`].
//!
//! A session is one state, polled by its connection: it has no task and no queue of its own. It
//! takes the next message from the commands, the seller's messages, the orders and the peer
//! sessions in turn, and from the members of each in turn, so that a busy one does not delay the
//! others.

mod commands;
mod peer_session;
mod peer_sessions;
mod results;
mod session_orders;
mod start;
mod view;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{FuturesUnordered, SelectAll};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use orderstream_core::command::Actor;
use orderstream_core::{OrderKey, Refusal, SellerId, Tenant};
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use self::peer_sessions::{PeerOutput, PeerSessions};
use self::results::{
    about, acknowledge_output, command_output, failed, join, limit_result, requested_result,
};
use self::session_orders::SessionOrders;
use self::view::{SellerViewItem, SellerViewStream};
use super::{Grpc, OrderTarget};
use crate::limits::ORDERS_PER_SESSION_MAX;
use crate::orders::{FollowStream, Invitations};

pub(super) use self::start::{SessionCaller, start};

/// Commands of one session that wait for the disk at one time.
const COMMANDS_IN_FLIGHT_MAX: usize = 64;
/// Orders that one session begins to follow at one time.
const JOINS_IN_FLIGHT_MAX: usize = 16;

/// A command or a join under way.
type SessionTask = Pin<Box<dyn Future<Output = SessionTaskOutput> + Send>>;

/// The outcome of a command or a join.
#[derive(Debug, Default)]
struct SessionTaskOutput {
    result: Option<v1::SellerResult>,
    /// An order to follow from now on.
    joined: Option<(OrderKey, FollowStream)>,
    /// An order whose invitation was not marked as seen after all.
    unseen: Option<OrderKey>,
}

/// The sources of the session's messages, polled in turn.
#[derive(Clone, Copy)]
enum SessionSource {
    Commands,
    Messages,
    Orders,
    PeerSessions,
}

impl SessionSource {
    const fn next(self) -> Self {
        match self {
            Self::Commands => Self::Messages,
            Self::Messages => Self::Orders,
            Self::Orders => Self::PeerSessions,
            Self::PeerSessions => Self::Commands,
        }
    }
}

/// A running session.
pub(super) struct ServedSession {
    grpc: Grpc,
    tenant: Tenant,
    seller: SellerId,
    up: Option<Streaming<v1::SellerMessage>>,
    /// The messages that are sent first; their number is limited by the cursors in `Hello`.
    first: VecDeque<Down>,
    commands: FuturesUnordered<SessionTask>,
    invitations: Invitations,
    /// The invitation that waits until the session may follow one more order; absent where none
    /// waits.
    deferred_invitation: Option<OrderKey>,
    is_limit_reported: bool,
    joining: FuturesUnordered<SessionTask>,
    events: SelectAll<SellerViewStream>,
    followed_orders: SessionOrders,
    /// The peer sessions, where there are other processors.
    peer_sessions: Option<Box<PeerSessions>>,
    next_source: SessionSource,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    drain: DrainProgress,
}

/// The progress of the server's drain, for this session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DrainProgress {
    /// The server is running.
    Running,
    /// No new messages are accepted, and the work under way is finished.
    Draining,
    /// The drain message was sent to the seller.
    MessageSent,
}

impl ServedSession {
    /// Handles one message of the seller; one about an order of another processor is routed there.
    fn receive(&mut self, message: v1::SellerMessage) -> Option<v1::SellerResult> {
        let named = message.kind.as_ref().and_then(|kind| commands::order_of(&self.tenant, kind));
        let key = named.filter(|key| !self.grpc.orders.is_here(key, None));
        if let Some((peer_sessions, key)) = self.peer_sessions.as_mut().zip(key) {
            peer_sessions.route(key, message);
            return None;
        }
        self.execute_here(message)
    }

    /// Executes a message here; returns the reply where it needs no disk.
    fn execute_here(&mut self, message: v1::SellerMessage) -> Option<v1::SellerResult> {
        let request_id = message.request_id;
        let task = match message.kind {
            Some(Up::Proposal(submission)) => self.submit(&request_id, submission),
            Some(kind) => self.execute(&request_id, kind),
            None => Err(Refusal::field("kind", "is missing")),
        };
        match task {
            Ok(None) => None,
            Ok(Some(task)) => {
                self.commands.push(task);
                None
            }
            Err(refusal) => Some(failed(request_id, &refusal)),
        }
    }

    fn submit(
        &self,
        request_id: &str,
        mut submission: v1::ProposalSubmission,
    ) -> Result<Option<SessionTask>, Refusal> {
        self.own_tenant(&mut submission.tenant)?;
        let submission = commands::submission(&self.seller, request_id, submission)?;
        let joins = self.joins(OrderKey::new(&submission.tenant, &submission.order_req_id)?);
        let (grpc, id) = (self.grpc.clone(), request_id.to_owned());
        Ok(Some(
            async move { command_output(&grpc, id, joins, grpc.submit(submission).await).await }
                .boxed(),
        ))
    }

    fn execute(&mut self, request_id: &str, kind: Up) -> Result<Option<SessionTask>, Refusal> {
        let is_acknowledgement = matches!(kind, Up::Acknowledge(_));
        let expected = commands::expected(&kind);
        let (order, body) = commands::to_command(&self.seller, request_id, kind)?;
        let mut order = order.unwrap_or_default();
        self.own_tenant(&mut order.tenant)?;
        let mut target = OrderTarget::of(Some(order), String::new(), 0)?;
        let (grpc, id) = (self.grpc.clone(), request_id.to_owned());
        if !is_acknowledgement {
            target.idempotency_key = commands::key(request_id)?;
            target.actor = Some(Actor::Seller(self.seller.clone()));
            target.expected = expected;
            let joins = self.joins(target.key.clone());
            return Ok(
                Some(
                    async move {
                        command_output(&grpc, id, joins, grpc.execute(target, body).await).await
                    }
                    .boxed(),
                ),
            );
        }
        if self.is_seen_already(&target.key)? {
            let result = v1::SellerResult { request_id: id, ..v1::SellerResult::default() };
            let output = SessionTaskOutput {
                result: requested_result(result),
                ..SessionTaskOutput::default()
            };
            return Ok(output.result.is_some().then(|| std::future::ready(output).boxed()));
        }
        let key = target.key.clone();
        Ok(Some(
            async move { acknowledge_output(id, key, grpc.execute(target, body).await) }.boxed(),
        ))
    }

    /// Reports whether an acknowledgement of this order has no effect any more, and marks a
    /// followed order as seen.
    fn is_seen_already(&mut self, key: &OrderKey) -> Result<bool, Refusal> {
        if let Some(was_seen) = self.followed_orders.mark_seen(key) {
            return Ok(was_seen);
        }
        // The last events of an order are acknowledged after its stream has ended.
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
        let is_new = !self.followed_orders.has(&key);
        (is_new && self.has_capacity()).then_some(key)
    }

    /// Returns the number of messages without a reply.
    fn under_way(&self) -> usize {
        let at_peers = self.peer_sessions.as_ref().map_or(0, |peers| peers.under_way());
        self.commands.len().saturating_add(at_peers)
    }

    fn has_capacity(&self) -> bool {
        self.events.len().saturating_add(self.joining.len()) < ORDERS_PER_SESSION_MAX
    }

    /// Follows an order from now on, unless the session follows it already, or followed it to its
    /// end.
    fn follow(&mut self, key: OrderKey, events: FollowStream) {
        if self.events.len() >= ORDERS_PER_SESSION_MAX {
            return;
        }
        let Some(number) = self.followed_orders.begin(&key, events.incarnation().clone()) else {
            return;
        };
        let (orders, seller) = (&self.grpc.orders, self.seller.clone());
        self.events.push(view::seller_view(orders, key, seller, number, events));
    }

    fn settle(&mut self, output: SessionTaskOutput) -> Option<Down> {
        if let Some((key, events)) = output.joined {
            self.follow(key, events);
        }
        if let Some(key) = output.unseen {
            self.followed_orders.unmark_seen(&key);
        }
        output.result.map(Down::Result)
    }

    fn poll_commands(&mut self, context: &mut Context<'_>) -> Poll<Down> {
        while let Poll::Ready(Some(output)) = self.commands.poll_next_unpin(context) {
            if let Some(down) = self.settle(output) {
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
        while self.under_way() < COMMANDS_IN_FLIGHT_MAX
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
            if let Poll::Ready(Some(output)) = self.joining.poll_next_unpin(context) {
                match self.settle(output) {
                    Some(down) => return Poll::Ready(down),
                    None => continue,
                }
            }
            match ready!(self.events.poll_next_unpin(context)) {
                Some(SellerViewItem::Event(event)) => return Poll::Ready(Down::Event(*event)),
                Some(SellerViewItem::Broken(key, number, refusal)) => {
                    self.followed_orders.broke(&key, number);
                    return Poll::Ready(about(&key, &refusal));
                }
                Some(SellerViewItem::Ended(key, number)) => self.followed_orders.ended(key, number),
                None => return Poll::Pending,
            }
        }
    }

    fn poll_peer_sessions(&mut self, context: &mut Context<'_>) -> Poll<Down> {
        while let Some(peer_sessions) = &mut self.peer_sessions {
            match ready!(peer_sessions.poll(context)) {
                PeerOutput::ToSeller(message) => return Poll::Ready(*message),
                // No other processor has the order: it is refused here, unless it was opened
                // meanwhile.
                PeerOutput::Local(message) => {
                    if let Some(result) = self.execute_here(*message) {
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
        while self.drain == DrainProgress::Running && self.joining.len() < JOINS_IN_FLIGHT_MAX {
            if self.deferred_invitation.is_none() {
                match self.invitations.poll_next_unpin(context) {
                    Poll::Ready(Some(key)) => self.deferred_invitation = Some(key),
                    Poll::Ready(None) | Poll::Pending => return None,
                }
            }
            if !self.has_capacity() {
                let is_news = !std::mem::replace(&mut self.is_limit_reported, true);
                return is_news.then(limit_result);
            }
            self.is_limit_reported = false;
            let key = self.deferred_invitation.take()?;
            let followed = self.followed_orders.incarnation(&key);
            if followed.is_none() || followed != self.grpc.orders.incarnation(&key).as_ref() {
                let grpc = self.grpc.clone();
                self.joining.push(async move { join(&grpc, key).await }.boxed());
            }
        }
        None
    }

    /// Ends the session once the seller has sent all and has every reply; when the server stops,
    /// with the drain message.
    fn poll_end(&mut self) -> Poll<Option<Down>> {
        let is_settled = self.peer_sessions.as_ref().is_none_or(|peers| peers.is_settled());
        if self.up.is_some() || !self.commands.is_empty() || !is_settled {
            return Poll::Pending;
        }
        match self.drain {
            DrainProgress::Draining if self.events.is_empty() && self.joining.is_empty() => {
                self.drain = DrainProgress::MessageSent;
                Poll::Ready(Some(Down::Draining(v1::Draining { last_seq: 0 })))
            }
            DrainProgress::Draining => Poll::Pending,
            // The seller has sent everything, and every command has its reply.
            DrainProgress::Running | DrainProgress::MessageSent => Poll::Ready(None),
        }
    }
}

impl Stream for ServedSession {
    type Item = Result<v1::SellerEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = |kind: Down| Poll::Ready(Some(Ok(v1::SellerEvent { kind: Some(kind) })));
        if let Some(down) = self.first.pop_front() {
            return event(down);
        }
        if self.drain == DrainProgress::Running && self.stopping.poll_unpin(context).is_ready() {
            self.drain = DrainProgress::Draining;
            self.up = None;
            if let Some(peer_sessions) = &mut self.peer_sessions {
                peer_sessions.leave();
            }
        }
        for _ in 0..4 {
            let source = self.next_source;
            self.next_source = source.next();
            let polled = match source {
                SessionSource::Commands => self.poll_commands(context).map(Ok),
                SessionSource::Messages => self.poll_messages(context),
                SessionSource::Orders => self.poll_orders(context).map(Ok),
                SessionSource::PeerSessions => self.poll_peer_sessions(context).map(Ok),
            };
            match polled {
                Poll::Ready(Ok(down)) => return event(down),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {}
            }
        }
        // Messages may have become commands after the commands were polled.
        if let Poll::Ready(down) = self.poll_commands(context) {
            return event(down);
        }
        match ready!(self.poll_end()) {
            Some(down) => event(down),
            None => Poll::Ready(None),
        }
    }
}
