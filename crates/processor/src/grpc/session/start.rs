//! The start of a session: the seller's `Hello`, and the orders that resume at its cursors.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered, SelectAll};
use orderstream_core::{OrderKey, Refusal, SellerId, Seq, Tenant};
use orderstream_rpc::convert::order_ref;
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use tonic::{Status, Streaming};

use super::peer_session::{PeerCursor, PeerCursors, SessionIdentity};
use super::peer_sessions::PeerSessions;
use super::session_orders::SessionOrders;
use super::{DrainProgress, ServedSession, SessionSource, about};
use crate::grpc::{Grpc, OrderTarget, optional, status, wrong_incarnation};
use crate::limits::ORDERS_PER_SESSION_MAX;
use crate::orders::FollowStream;

/// Orders of one `Hello` that are located at once.
const LOOKUPS_IN_FLIGHT_MAX: usize = 16;

/// The caller that opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) enum SessionCaller {
    /// A seller, which takes part in the orders of all processors.
    Seller,
    /// Another processor, to which the seller is connected: only the orders of this processor
    /// count.
    Processor,
}

/// Waits for the seller's `Hello`, and starts the session.
pub(in crate::grpc) async fn start(
    grpc: Grpc,
    mut up: Streaming<v1::SellerMessage>,
    caller: SessionCaller,
) -> Result<ServedSession, Status> {
    let first = up.message().await?.and_then(|message| message.kind);
    let Some(Up::Hello(hello)) = first else {
        return Err(status(Refusal::field("hello", "is missing; say who you are first")));
    };
    let (mut session, mut welcome, mut cursors) =
        greet(grpc, hello).map_err(|refusal| status(refusal.under("hello")))?;
    if caller == SessionCaller::Seller && !session.grpc.peers.is_alone() {
        let identity = SessionIdentity {
            peers: session.grpc.peers.clone(),
            tenant: session.tenant.clone(),
            seller: session.seller.clone(),
        };
        let grpc = session.grpc.clone();
        let (peer_cursors, silent) = partition_cursors(&grpc, &mut cursors).await;
        session.first.extend(silent.iter().map(|(key, refusal)| about(key, refusal)));
        let (peer_sessions, orders) = PeerSessions::open(identity, peer_cursors).await;
        session.peer_sessions = Some(Box::new(peer_sessions));
        welcome.orders.extend(orders);
        welcome.orders.truncate(ORDERS_PER_SESSION_MAX);
    }
    session.first.push_front(Down::Welcome(welcome));
    for cursor in cursors {
        match resume(&session.grpc, &cursor).await {
            Ok(events) => session.follow(cursor.target.key, events),
            // An order that is no longer here must not block the others. If the seller is invited
            // to the incarnation that is here now, its events are sent from the first one.
            Err(refusal) => session.first.push_back(about(&cursor.target.key, &refusal)),
        }
    }
    session.up = Some(up);
    Ok(session)
}

/// A cursor of the seller's `Hello`: an order, and the last event that the seller has of it.
struct HelloCursor {
    target: OrderTarget,
    after: Seq,
}

/// Orders at other processors, by the URL of the processor.
type CursorsByPeer = BTreeMap<String, PeerCursors>;

/// Separates the cursors of orders that other processors have; returns these, and the refusals for
/// orders whose processor was not found. Such an order is sent from its first event when its
/// processor is back.
async fn partition_cursors(
    grpc: &Grpc,
    cursors: &mut Vec<HelloCursor>,
) -> (CursorsByPeer, Vec<(OrderKey, Refusal)>) {
    let is_here = |cursor: &HelloCursor| grpc.orders.incarnation(&cursor.target.key).is_some();
    let (here, others): (Vec<_>, Vec<_>) = std::mem::take(cursors).into_iter().partition(is_here);
    *cursors = here;
    let found = stream::iter(others)
        .map(|cursor| async move { (grpc.peers.find(&cursor.target.key).await, cursor) })
        .buffered(LOOKUPS_IN_FLIGHT_MAX);
    let found: Vec<_> = found.collect().await;
    let (mut by_peer, mut silent) = (CursorsByPeer::new(), Vec::new());
    for (owner, HelloCursor { target, after }) in found {
        match owner {
            Ok(Some(url)) => {
                let cursor = PeerCursor { incarnation: target.incarnation, seq: after };
                by_peer.entry(url).or_default().insert(target.key, cursor);
            }
            // No processor has it; the refusal is sent when this session follows its cursors.
            Ok(None) => cursors.push(HelloCursor { target, after }),
            Err(refusal) => silent.push((target.key, refusal)),
        }
    }
    (by_peer, silent)
}

/// Makes a session that follows nothing yet; returns it with its welcome and the cursors to follow.
fn greet(
    grpc: Grpc,
    hello: v1::Hello,
) -> Result<(ServedSession, v1::Welcome, Vec<HelloCursor>), Refusal> {
    let seller = SellerId::new(hello.seller)?;
    let tenant = optional(hello.tenant).map_or_else(|| Ok(Tenant::default()), Tenant::new)?;
    let cursors = cursors(&tenant, hello.cursors)?;
    let invitations = grpc.orders.invitations(tenant.clone(), seller.clone())?;
    let open = invitations.first(ORDERS_PER_SESSION_MAX);
    let welcome = v1::Welcome {
        seller: seller.to_string(),
        orders: open.iter().map(|key| order_ref(key, None)).collect(),
        processor: grpc.name.clone(),
    };
    let stopping = Box::pin(grpc.orders.stopping());
    let session = ServedSession {
        grpc,
        tenant,
        seller,
        up: None,
        first: VecDeque::new(),
        commands: FuturesUnordered::new(),
        invitations,
        deferred_invitation: None,
        is_limit_reported: false,
        joining: FuturesUnordered::new(),
        events: SelectAll::new(),
        followed_orders: SessionOrders::default(),
        peer_sessions: None,
        next_source: SessionSource::Commands,
        stopping,
        drain: DrainProgress::Running,
    };
    Ok((session, welcome, cursors))
}

fn cursors(tenant: &Tenant, given: Vec<v1::OrderCursor>) -> Result<Vec<HelloCursor>, Refusal> {
    if given.len() > ORDERS_PER_SESSION_MAX {
        let text = format!("has more than {ORDERS_PER_SESSION_MAX} entries; open another session");
        return Err(Refusal::field("cursors", text));
    }
    let mut named = BTreeSet::<OrderKey>::new();
    let mut cursors = Vec::with_capacity(given.len());
    for cursor in given {
        let mut order = cursor.order.unwrap_or_default();
        if order.tenant.is_empty() {
            tenant.as_str().clone_into(&mut order.tenant);
        }
        let target =
            OrderTarget::of(Some(order), String::new(), 0).map_err(|e| e.under("cursors"))?;
        if target.key.tenant != *tenant {
            let text = format!("names {} of another tenant; open another session", target.key);
            return Err(Refusal::field("cursors", text));
        }
        if !named.insert(target.key.clone()) {
            return Err(Refusal::field("cursors", format!("names order {} twice", target.key)));
        }
        cursors.push(HelloCursor { target, after: Seq(cursor.after_seq) });
    }
    Ok(cursors)
}

/// Follows an order after a cursor of the seller.
async fn resume(grpc: &Grpc, cursor: &HelloCursor) -> Result<FollowStream, Refusal> {
    let HelloCursor { target, after } = cursor;
    let events = grpc.orders.follow(&target.key, *after, None).await?;
    if target.incarnation.as_ref().is_some_and(|meant| meant != events.incarnation()) {
        return Err(wrong_incarnation(&target.key));
    }
    Ok(events)
}
