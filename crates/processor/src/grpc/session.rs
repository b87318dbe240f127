//! A seller's live connection: acts go up and each is answered; events of the orders that the
//! seller follows come down. Orders are named with cursors in `Hello`, and each order that the
//! seller acts in is followed from then on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, SelectAll};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use orderstream_core::limits::{LEASE_MS_DEFAULT, NAMES_MAX};
use orderstream_core::{
    Act, Answer, FollowUpId, IdempotencyKey, OrderKey, ProposalId, Reason, Refusal, SellerId, Seq,
};
use orderstream_rpc::convert::order_ref;
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use super::{Grpc, Target, bounded, optional, status};
use crate::orders::{EventStream, Followed};

/// Acts of one session that wait for the disk at one time.
const ACTS_IN_FLIGHT: usize = 64;
/// Orders that one session follows.
const ORDERS_MAX: usize = NAMES_MAX;

/// An act on its way: its result, and the order's events where the session does not follow it yet.
type Acting = Pin<Box<dyn Future<Output = (v1::SellerResult, Option<Joined>)> + Send>>;
type Joined = (OrderKey, EventStream);

/// A running session.
pub(super) struct Session {
    grpc: Grpc,
    seller: SellerId,
    up: Option<Streaming<v1::SellerMessage>>,
    acting: FuturesUnordered<Acting>,
    events: SelectAll<Pin<Box<dyn Stream<Item = v1::SellerEvent> + Send>>>,
    acknowledged: BTreeMap<OrderKey, Seq>,
    welcome: Option<v1::Welcome>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Waits for the seller's `Hello`, and starts the session.
pub(super) async fn start(
    grpc: Grpc,
    mut up: Streaming<v1::SellerMessage>,
) -> Result<Session, Status> {
    let first = up.message().await?.and_then(|message| message.kind);
    let Some(Up::Hello(hello)) = first else {
        return Err(status(Refusal::field("hello", "is missing; say who you are first")));
    };
    let seller = SellerId::new(hello.seller).map_err(|e| status(e.under("hello")))?;
    if hello.cursors.len() > ORDERS_MAX {
        let refusal = format!("has more than {ORDERS_MAX} entries; open another session");
        return Err(status(Refusal::field("hello.cursors", refusal)));
    }
    let mut events = SelectAll::new();
    let mut acknowledged = BTreeMap::new();
    let mut orders = Vec::new();
    for cursor in hello.cursors {
        let target = Target::of(cursor.order, String::new(), 0).map_err(status)?;
        let after = Seq(cursor.after_seq);
        let stream = grpc.orders.follow(&target.key, after, None).await.map_err(status)?;
        orders.push(order_ref(&target.key, None));
        events.push(down(&grpc, (target.key.clone(), seller.clone()), stream));
        acknowledged.insert(target.key, after);
    }
    let welcome = v1::Welcome { seller: seller.to_string(), orders, processor: grpc.name.clone() };
    let stopping = Box::pin(grpc.orders.stopping());
    Ok(Session {
        grpc,
        seller,
        up: Some(up),
        acting: FuturesUnordered::new(),
        events,
        acknowledged,
        welcome: Some(welcome),
        stopping,
    })
}

/// The events of one order that this seller may see: its own proposals and what the buyer says.
fn down(
    grpc: &Grpc,
    (key, seller): (OrderKey, SellerId),
    stream: EventStream,
) -> Pin<Box<dyn Stream<Item = v1::SellerEvent> + Send>> {
    let orders = grpc.orders.clone();
    Box::pin(stream.filter_map(move |item| {
        let is_own = |id: &ProposalId| orders.seller_of(&key, id).as_ref() == Some(&seller);
        let kind = match item {
            Ok(Followed::Event(event)) if concerns(&seller, &event.kind, is_own) => {
                Some(Down::Event(orderstream_rpc::convert::event_to_wire(&key, &event)))
            }
            Ok(Followed::Draining(last)) => Some(Down::Draining(v1::Draining { last_seq: last.0 })),
            Ok(Followed::Event(_)) => None,
            Err(refusal) => Some(Down::Result(failed(String::new(), &refusal))),
        };
        std::future::ready(kind.map(|kind| v1::SellerEvent { kind: Some(kind) }))
    }))
}

/// Whether a seller gets to see an event: other sellers' proposals are none of its business, but
/// what becomes of its own is.
fn concerns(
    seller: &SellerId,
    kind: &orderstream_core::EventKind,
    is_own: impl Fn(&ProposalId) -> bool,
) -> bool {
    use orderstream_core::EventKind as K;
    use orderstream_core::event::ProposalUpdate as U;
    match kind {
        K::NewProposal(proposal) | K::ProposalUpdate(U::Amended { proposal, .. }) => {
            proposal.seller == *seller
        }
        K::ProposalUpdate(
            U::Declined { seller: by, .. }
            | U::Answered { seller: by, .. }
            | U::Asked { seller: by, .. },
        )
        | K::SellerNotified { seller: by, .. } => by == seller,
        K::FollowUpAdded(follow_up) => {
            follow_up.audience.is_empty() || follow_up.audience.contains(seller)
        }
        K::EditLock { proposal_id, .. }
        | K::ProposalUpdate(U::Withdrawn { proposal_id, .. })
        | K::ProposalClosed { proposal_id, .. } => is_own(proposal_id),
        // Nobody is told of an award that may be undone.
        K::SellersSelected(_) | K::AwardPending { .. } | K::AwardUndone { .. } => false,
        K::OrderOpened(_)
        | K::OrderPaused { .. }
        | K::OrderResumed
        | K::OrderExtended { .. }
        | K::ProposalsOpened { .. }
        | K::OrderFinalised { .. }
        | K::OrderClosed { .. }
        | K::OrderCancelled { .. } => true,
    }
}

impl Session {
    /// Takes one message of the seller; gives the answer where it needs no disk.
    fn receive(&mut self, message: v1::SellerMessage) -> Option<v1::SellerResult> {
        let request_id = message.request_id;
        match message.kind {
            Some(Up::Acknowledge(acknowledged)) => {
                self.acknowledge(request_id, acknowledged).err().map(|(id, e)| failed(id, &e))
            }
            Some(kind) => match self.act(&request_id, kind) {
                Ok(acting) => {
                    self.acting.push(acting);
                    None
                }
                Err(refusal) => Some(failed(request_id, &refusal)),
            },
            None => Some(failed(request_id, &Refusal::field("kind", "is missing"))),
        }
    }

    fn acknowledge(
        &mut self,
        request_id: String,
        acknowledged: v1::Acknowledge,
    ) -> Result<(), (String, Refusal)> {
        let target = Target::of(acknowledged.order, String::new(), 0)
            .map_err(|refusal| (request_id.clone(), refusal))?;
        match self.acknowledged.get_mut(&target.key) {
            Some(held) => {
                *held = (*held).max(Seq(acknowledged.seq));
                Ok(())
            }
            None => {
                let text = "is not followed in this session; name it in hello";
                Err((request_id, Refusal::field("order", text)))
            }
        }
    }

    /// The act that a message asks for, on its way.
    fn act(&self, request_id: &str, kind: Up) -> Result<Acting, Refusal> {
        let grpc = self.grpc.clone();
        let id = request_id.to_owned();
        if let Up::Proposal(mut submission) = kind {
            if submission.idempotency_key.is_empty() {
                submission.idempotency_key =
                    self.key(request_id)?.map_or_else(String::new, String::from);
            }
            if let Some(proposal) = &mut submission.proposal {
                if proposal.seller.is_empty() {
                    proposal.seller = self.seller.to_string();
                }
                if proposal.seller != self.seller.as_str() {
                    let text = "is not the seller of this session";
                    return Err(Refusal::field("proposal.seller", text));
                }
            }
            let key = OrderKey::new(&submission.tenant, &submission.order_req_id)?;
            let joins = self.joins(key);
            return Ok(
                async move { finished(&grpc, (id, joins), grpc.submit(submission).await).await }
                    .boxed(),
            );
        }
        let (order, act) = self.small_act(request_id, kind)?;
        let mut target = Target::of(order, String::new(), 0)?;
        target.idempotency_key = self.key(request_id)?;
        let joins = self.joins(target.key.clone());
        Ok(async move { finished(&grpc, (id, joins), grpc.act(target, act).await).await }.boxed())
    }

    /// The order, if an act in it is to make the session follow it.
    fn joins(&self, key: OrderKey) -> Option<OrderKey> {
        let is_new = !self.acknowledged.contains_key(&key);
        (is_new && self.acknowledged.len() < ORDERS_MAX).then_some(key)
    }

    /// Follows an order that the seller has acted in, from its first event.
    fn join(&mut self, joined: Option<Joined>) {
        let Some((key, stream)) = joined else { return };
        if let Entry::Vacant(vacant) = self.acknowledged.entry(key.clone()) {
            vacant.insert(Seq(0));
            self.events.push(down(&self.grpc, (key, self.seller.clone()), stream));
        }
    }

    /// The key of a request: unique per seller and request id.
    fn key(&self, request_id: &str) -> Result<Option<IdempotencyKey>, Refusal> {
        if request_id.is_empty() {
            return Ok(None);
        }
        IdempotencyKey::new(format!("{}:{request_id}", self.seller))
            .map(Some)
            .map_err(|refusal| Refusal { field: Some("request_id".to_owned()), ..refusal })
    }

    fn small_act(
        &self,
        request_id: &str,
        kind: Up,
    ) -> Result<(Option<v1::OrderRef>, Act), Refusal> {
        let seller = self.seller.clone();
        Ok(match kind {
            Up::Withdraw(withdraw) => {
                let proposal_id = ProposalId::new(withdraw.proposal_id)?;
                let reason = bounded("reason", withdraw.reason)?;
                (withdraw.order, Act::Withdraw { proposal_id, reason })
            }
            Up::Decline(decline) => {
                let reason = bounded("reason", decline.reason)?;
                (decline.order, Act::Decline { seller, reason })
            }
            Up::Answer(answer) => {
                let follow_up_id = FollowUpId::new(answer.follow_up_id)?;
                let text = answer.message.unwrap_or_default().message;
                let message = bounded("message", text)?.unwrap_or_default();
                (answer.order, Act::Answer { seller, follow_up_id, message })
            }
            Up::Question(question) => {
                let id = optional(question.question_id).unwrap_or_else(|| request_id.to_owned());
                let question_id = FollowUpId::new(id)
                    .map_err(|e| Refusal { field: Some("question_id".to_owned()), ..e })?;
                let text = question.message.unwrap_or_default().message;
                let message = bounded("message", text)?.unwrap_or_default();
                (question.order, Act::Ask { seller, question_id, message })
            }
            Up::Lock(lock) => {
                let proposal_id = ProposalId::new(lock.proposal_id)?;
                let lease_ms = if lock.lease_ms == 0 { LEASE_MS_DEFAULT } else { lock.lease_ms };
                (lock.order, Act::Lock { proposal_id, holder: seller, lease_ms })
            }
            Up::Unlock(unlock) => {
                let proposal_id = ProposalId::new(unlock.proposal_id)?;
                (unlock.order, Act::Unlock { proposal_id, holder: seller })
            }
            Up::Hello(_) => {
                return Err(Refusal::new(Reason::InvalidRequest, "hello was said already"));
            }
            Up::Proposal(_) | Up::Acknowledge(_) => {
                return Err(Refusal::new(Reason::Internal, "taken elsewhere"));
            }
        })
    }
}

async fn finished(
    grpc: &Grpc,
    (request_id, joins): (String, Option<OrderKey>),
    result: Result<Answer, Refusal>,
) -> (v1::SellerResult, Option<Joined>) {
    let answer = match result {
        Ok(answer) => answer,
        Err(refusal) => return (failed(request_id, &refusal), None),
    };
    let result = v1::SellerResult {
        request_id,
        seq: answer.seq.0,
        proposal_id: answer.proposal_id.map(String::from).unwrap_or_default(),
        ..v1::SellerResult::default()
    };
    let Some(key) = joins else { return (result, None) };
    // What was done is done, also where the order has too many followers.
    let stream = grpc.orders.follow(&key, Seq(0), None).await.ok();
    (result, stream.map(|stream| (key, stream)))
}

fn failed(request_id: String, refusal: &Refusal) -> v1::SellerResult {
    v1::SellerResult {
        request_id,
        reason: refusal.reason.as_str().to_owned(),
        message: refusal.to_string(),
        ..v1::SellerResult::default()
    }
}

impl Stream for Session {
    type Item = Result<v1::SellerEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = |kind: Down| Poll::Ready(Some(Ok(v1::SellerEvent { kind: Some(kind) })));
        if let Some(welcome) = self.welcome.take() {
            return event(Down::Welcome(welcome));
        }
        if let Poll::Ready(Some((result, joined))) = self.acting.poll_next_unpin(context) {
            self.join(joined);
            return event(Down::Result(result));
        }
        // While too many acts wait for the disk, nothing more is read: the seller waits too.
        while self.acting.len() < ACTS_IN_FLIGHT
            && let Some(up) = &mut self.up
        {
            match up.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(message))) => {
                    if let Some(result) = self.receive(message) {
                        return event(Down::Result(result));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => self.up = None,
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Some((result, joined))) = self.acting.poll_next_unpin(context) {
            self.join(joined);
            return event(Down::Result(result));
        }
        match self.events.poll_next_unpin(context) {
            Poll::Ready(Some(down)) => {
                if matches!(down.kind, Some(Down::Draining(_))) {
                    // The server stops: what is under way is answered, nothing more is read.
                    self.up = None;
                }
                Poll::Ready(Some(Ok(down)))
            }
            // No order is followed whose stream would tell that the server stops.
            Poll::Ready(None)
                if self.up.is_some() && self.stopping.poll_unpin(context).is_ready() =>
            {
                self.up = None;
                event(Down::Draining(v1::Draining { last_seq: 0 }))
            }
            // The seller has said all, and every act is answered.
            _ if self.up.is_none() && self.acting.is_empty() => Poll::Ready(None),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
