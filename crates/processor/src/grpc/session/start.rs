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

use super::branch::{Place, Places, Speaker};
use super::elsewhere::Elsewhere;
use super::followed::Followed;
use super::{Session, Source, Stop, about};
use crate::grpc::{Grpc, Target, not_this_life, optional, status};
use crate::limits::ORDERS_PER_SESSION_MAX;
use crate::orders::EventStream;

/// Orders of one `Hello` that are located at once.
const FINDING_MAX: usize = 16;

/// The caller that opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) enum Reached {
    /// A seller, which takes part in the orders of all processors.
    BySeller,
    /// Another processor, to which the seller is connected: only the orders here count.
    ByProcessor,
}

/// Waits for the seller's `Hello`, and starts the session.
pub(in crate::grpc) async fn start(
    grpc: Grpc,
    mut up: Streaming<v1::SellerMessage>,
    reached: Reached,
) -> Result<Session, Status> {
    let first = up.message().await?.and_then(|message| message.kind);
    let Some(Up::Hello(hello)) = first else {
        return Err(status(Refusal::field("hello", "is missing; say who you are first")));
    };
    let (mut session, mut welcome, mut cursors) =
        greet(grpc, hello).map_err(|refusal| status(refusal.under("hello")))?;
    if reached == Reached::BySeller && !session.grpc.peers.is_alone() {
        let speaker = Speaker {
            peers: session.grpc.peers.clone(),
            tenant: session.tenant.clone(),
            seller: session.seller.clone(),
        };
        let grpc = session.grpc.clone();
        let (there, silent) = part(&grpc, &mut cursors).await;
        session.first.extend(silent.iter().map(|(key, refusal)| about(key, refusal)));
        let (elsewhere, orders) = Elsewhere::open(speaker, there).await;
        session.elsewhere = Some(Box::new(elsewhere));
        welcome.orders.extend(orders);
        welcome.orders.truncate(ORDERS_PER_SESSION_MAX);
    }
    session.first.push_front(Down::Welcome(welcome));
    for cursor in cursors {
        match go_on(&session.grpc, &cursor).await {
            Ok(events) => session.follow((cursor.0.key, events)),
            // An order that is no longer here must not block the others. If the seller is invited
            // to the incarnation that is here now, its events are sent from the first one.
            Err(refusal) => session.first.push_back(about(&cursor.0.key, &refusal)),
        }
    }
    session.up = Some(up);
    Ok(session)
}

type Cursor = (Target, Seq);

/// Orders at other processors, by the URL of the processor.
type There = BTreeMap<String, Places>;

/// Takes out the cursors of orders that other processors have; returns these, and the refusals for
/// orders whose processor was not found. Such an order is sent from its first event when its
/// processor is back.
async fn part(grpc: &Grpc, cursors: &mut Vec<Cursor>) -> (There, Vec<(OrderKey, Refusal)>) {
    let is_here = |(target, _): &Cursor| grpc.orders.incarnation(&target.key).is_some();
    let (here, others): (Vec<_>, Vec<_>) = std::mem::take(cursors).into_iter().partition(is_here);
    *cursors = here;
    let found = stream::iter(others)
        .map(|cursor| async move { (grpc.peers.find(&cursor.0.key).await, cursor) })
        .buffered(FINDING_MAX);
    let found: Vec<_> = found.collect().await;
    let (mut there, mut silent) = (There::new(), Vec::new());
    for (place, (target, seq)) in found {
        match place {
            Ok(Some(url)) => {
                let place = Place { life: target.incarnation, seq };
                there.entry(url).or_default().insert(target.key, place);
            }
            // No processor has it; the refusal is sent when this session follows its cursors.
            Ok(None) => cursors.push((target, seq)),
            Err(refusal) => silent.push((target.key, refusal)),
        }
    }
    (there, silent)
}

/// Makes a session that follows nothing yet; returns it with its welcome and the cursors to follow.
fn greet(grpc: Grpc, hello: v1::Hello) -> Result<(Session, v1::Welcome, Vec<Cursor>), Refusal> {
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
    let session = Session {
        grpc,
        tenant,
        seller,
        up: None,
        first: VecDeque::new(),
        acting: FuturesUnordered::new(),
        invitations,
        waiting: None,
        is_told_full: false,
        joining: FuturesUnordered::new(),
        events: SelectAll::new(),
        followed: Followed::default(),
        elsewhere: None,
        turn: Source::Acts,
        stopping,
        stop: Stop::Not,
    };
    Ok((session, welcome, cursors))
}

fn cursors(tenant: &Tenant, given: Vec<v1::OrderCursor>) -> Result<Vec<Cursor>, Refusal> {
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
        let target = Target::of(Some(order), String::new(), 0).map_err(|e| e.under("cursors"))?;
        if target.key.tenant != *tenant {
            let text = format!("names {} of another tenant; open another session", target.key);
            return Err(Refusal::field("cursors", text));
        }
        if !named.insert(target.key.clone()) {
            return Err(Refusal::field("cursors", format!("names order {} twice", target.key)));
        }
        cursors.push((target, Seq(cursor.after_seq)));
    }
    Ok(cursors)
}

/// Follows an order after a cursor of the seller.
async fn go_on(grpc: &Grpc, (target, after): &Cursor) -> Result<EventStream, Refusal> {
    let events = grpc.orders.follow(&target.key, *after, None).await?;
    if target.incarnation.as_ref().is_some_and(|meant| meant != events.life()) {
        return Err(not_this_life(&target.key));
    }
    Ok(events)
}
