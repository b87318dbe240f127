//! A session's peer sessions at the other processors: a seller that connects to one of them takes
//! part in the orders of all. Messages go to the processor that has their order, in the order in
//! which they were sent; events and replies come back as they arrive.
//!
//! Only the processor that the seller reached opens peer sessions; the peer sessions themselves
//! open none.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use orderstream_core::{OrderKey, Refusal};
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::failed;
use super::peer_session::{PeerCursors, PeerSession, SessionIdentity};

/// The interval between checks for new and lost processors, and for overdue replies.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(2);

/// The route of a message.
enum MessageRoute {
    /// To another processor.
    Peer(String),
    /// No other processor has its order.
    Local,
    /// Its order may be at a processor that does not reply.
    Refused(Refusal),
}

type RouteLookup =
    Pin<Box<dyn Future<Output = (MessageRoute, OrderKey, v1::SellerMessage)> + Send>>;

/// A message from the peer sessions.
pub(super) enum PeerOutput {
    /// A message for the seller.
    ToSeller(Box<Down>),
    /// A message of the seller whose order no other processor has.
    Local(Box<v1::SellerMessage>),
}

/// All peer sessions of one session.
pub(super) struct PeerSessions {
    identity: SessionIdentity,
    sessions: Vec<PeerSession>,
    /// Messages whose processor is being located, in the order in which they were sent.
    route_lookups: FuturesOrdered<RouteLookup>,
    reconcile_timer: Interval,
    /// The index of the peer session that was polled last.
    last_polled: usize,
    /// Set once this processor stops; only replies are sent then.
    is_leaving: bool,
}

impl PeerSessions {
    /// Opens a peer session at every other processor, with the cursors for it; returns the orders
    /// that they list. A processor that does not reply soon is tried again later.
    pub(super) async fn open(
        identity: SessionIdentity,
        mut cursors: BTreeMap<String, PeerCursors>,
    ) -> (Self, Vec<v1::OrderRef>) {
        let mut sessions: Vec<_> = identity
            .peers
            .urls()
            .into_iter()
            .map(|url| {
                let peer_cursors = cursors.remove(&url).unwrap_or_default();
                PeerSession::new(&identity, url, peer_cursors)
            })
            .collect();
        let welcomed = sessions.iter_mut().map(PeerSession::wait_for_welcome);
        let orders = futures_util::future::join_all(welcomed).await;
        let mut reconcile_timer = interval(RECONCILE_INTERVAL);
        reconcile_timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let route_lookups = FuturesOrdered::new();
        let this = Self {
            identity,
            sessions,
            route_lookups,
            reconcile_timer,
            last_polled: 0,
            is_leaving: false,
        };
        (this, orders.into_iter().flatten().collect())
    }

    /// Returns the number of messages without a reply.
    pub(super) fn under_way(&self) -> usize {
        let pending: usize = self.sessions.iter().map(PeerSession::under_way).sum();
        pending.saturating_add(self.route_lookups.len())
    }

    /// Reports whether every message has its reply, and every reply was sent.
    pub(super) fn is_settled(&self) -> bool {
        self.route_lookups.is_empty() && self.sessions.iter().all(PeerSession::is_settled)
    }

    /// Routes a message about an order that is not here.
    pub(super) fn route(&mut self, key: OrderKey, message: v1::SellerMessage) {
        let peers = self.identity.peers.clone();
        self.route_lookups.push_back(Box::pin(async move {
            let route = match peers.find(&key).await {
                Ok(Some(url)) => MessageRoute::Peer(url),
                Ok(None) => MessageRoute::Local,
                Err(refusal) => MessageRoute::Refused(refusal),
            };
            (route, key, message)
        }));
    }

    /// Stops sending events, when this processor stops: the seller receives those of other
    /// processors where it reconnects, and replies to its messages still here.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Returns the next message.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<PeerOutput> {
        while self.reconcile_timer.poll_tick(context).is_ready() {
            self.reconcile_peers();
        }
        while let Poll::Ready(Some((route, key, message))) =
            self.route_lookups.poll_next_unpin(context)
        {
            match route {
                MessageRoute::Peer(url) => self.session(url).send(key, message),
                MessageRoute::Local => return Poll::Ready(PeerOutput::Local(Box::new(message))),
                MessageRoute::Refused(refusal) => {
                    let reply = Down::Result(failed(message.request_id, &refusal));
                    return Poll::Ready(PeerOutput::ToSeller(Box::new(reply)));
                }
            }
        }
        if self.is_leaving {
            self.sessions.retain(|session| !session.is_settled());
        }
        let under_way = self.under_way();
        for _ in 0..self.sessions.len() {
            self.last_polled =
                self.last_polled.checked_add(1).filter(|t| *t < self.sessions.len()).unwrap_or(0);
            let Some(session) = self.sessions.get_mut(self.last_polled) else { break };
            while let Poll::Ready(message) = session.poll(&self.identity, context) {
                if !(self.is_leaving && matches!(message, Down::Event(_))) {
                    return Poll::Ready(PeerOutput::ToSeller(Box::new(message)));
                }
            }
        }
        if self.under_way() < under_way {
            // There is capacity for a message again, and the messages may have been polled already.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn reconcile_peers(&mut self) {
        self.sessions.iter_mut().for_each(PeerSession::check_timeouts);
        if self.is_leaving {
            return;
        }
        let urls = self.identity.peers.urls();
        let is_known = |session: &PeerSession| urls.iter().any(|url| url == session.url());
        self.sessions.retain(|it| is_known(it) || it.has_cursors() || !it.is_settled());
        for url in urls {
            self.session(url);
        }
    }

    /// Returns the peer session at this processor; opens one when there is none yet.
    fn session(&mut self, url: String) -> &mut PeerSession {
        let index = self.sessions.iter().position(|session| session.url() == url);
        let index = index.unwrap_or_else(|| {
            self.sessions.push(PeerSession::new(&self.identity, url, PeerCursors::new()));
            self.sessions.len() - 1
        });
        &mut self.sessions[index]
    }
}
