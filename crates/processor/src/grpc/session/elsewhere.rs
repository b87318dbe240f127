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

use super::branch::{Branch, Places, Speaker};
use super::failed;

/// The interval between checks for new and lost processors, and for overdue replies.
const LOOK: Duration = Duration::from_secs(2);

/// The route of a message.
enum Way {
    /// To another processor.
    To(String),
    /// No other processor has its order.
    Here,
    /// Its order may be at a processor that does not reply.
    Refused(Refusal),
}

type Routing = Pin<Box<dyn Future<Output = (Way, OrderKey, v1::SellerMessage)> + Send>>;

/// A message from the peer sessions.
pub(super) enum Heard {
    /// A message for the seller.
    Word(Box<Down>),
    /// A message of the seller whose order no other processor has.
    Here(Box<v1::SellerMessage>),
}

/// All peer sessions of one session.
pub(super) struct Elsewhere {
    speaker: Speaker,
    branches: Vec<Branch>,
    /// Messages whose processor is being located, in the order in which they were sent.
    routing: FuturesOrdered<Routing>,
    look: Interval,
    /// The index of the peer session that was polled last.
    turn: usize,
    /// Set once this processor stops; only replies are sent then.
    is_leaving: bool,
}

impl Elsewhere {
    /// Opens a peer session at every other processor, with the cursors for it; returns the orders
    /// that they list. A processor that does not reply soon is tried again later.
    pub(super) async fn open(
        speaker: Speaker,
        mut cursors: BTreeMap<String, Places>,
    ) -> (Self, Vec<v1::OrderRef>) {
        let mut branches: Vec<_> = speaker
            .peers
            .urls()
            .into_iter()
            .map(|url| {
                let told = cursors.remove(&url).unwrap_or_default();
                Branch::new(&speaker, url, told)
            })
            .collect();
        let welcomed = branches.iter_mut().map(Branch::welcomed);
        let orders = futures_util::future::join_all(welcomed).await;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let routing = FuturesOrdered::new();
        let this = Self { speaker, branches, routing, look, turn: 0, is_leaving: false };
        (this, orders.into_iter().flatten().collect())
    }

    /// Returns the number of messages without a reply.
    pub(super) fn under_way(&self) -> usize {
        let pending: usize = self.branches.iter().map(Branch::under_way).sum();
        pending.saturating_add(self.routing.len())
    }

    /// Reports whether every message has its reply, and every reply was sent.
    pub(super) fn is_settled(&self) -> bool {
        self.routing.is_empty() && self.branches.iter().all(Branch::is_settled)
    }

    /// Routes a message about an order that is not here.
    pub(super) fn route(&mut self, key: OrderKey, message: v1::SellerMessage) {
        let peers = self.speaker.peers.clone();
        self.routing.push_back(Box::pin(async move {
            let way = match peers.find(&key).await {
                Ok(Some(url)) => Way::To(url),
                Ok(None) => Way::Here,
                Err(refusal) => Way::Refused(refusal),
            };
            (way, key, message)
        }));
    }

    /// Stops sending events, when this processor stops: the seller receives those of other
    /// processors where it reconnects, and replies to its messages still here.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Returns the next message.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        while self.look.poll_tick(context).is_ready() {
            self.look_around();
        }
        while let Poll::Ready(Some((way, key, message))) = self.routing.poll_next_unpin(context) {
            match way {
                Way::To(url) => self.branch(url).say(key, message),
                Way::Here => return Poll::Ready(Heard::Here(Box::new(message))),
                Way::Refused(refusal) => {
                    let word = Down::Result(failed(message.request_id, &refusal));
                    return Poll::Ready(Heard::Word(Box::new(word)));
                }
            }
        }
        if self.is_leaving {
            self.branches.retain(|branch| !branch.is_settled());
        }
        let under_way = self.under_way();
        for _ in 0..self.branches.len() {
            self.turn = self.turn.checked_add(1).filter(|t| *t < self.branches.len()).unwrap_or(0);
            let Some(branch) = self.branches.get_mut(self.turn) else { break };
            while let Poll::Ready(word) = branch.poll(&self.speaker, context) {
                if !(self.is_leaving && matches!(word, Down::Event(_))) {
                    return Poll::Ready(Heard::Word(Box::new(word)));
                }
            }
        }
        if self.under_way() < under_way {
            // There is capacity for a message again, and the messages may have been polled already.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn look_around(&mut self) {
        self.branches.iter_mut().for_each(Branch::look_at_the_clock);
        if self.is_leaving {
            return;
        }
        let urls = self.speaker.peers.urls();
        let is_known = |branch: &Branch| urls.iter().any(|url| url == branch.url());
        self.branches.retain(|it| is_known(it) || it.has_told() || !it.is_settled());
        for url in urls {
            self.branch(url);
        }
    }

    /// Returns the peer session at this processor; opens one when there is none yet.
    fn branch(&mut self, url: String) -> &mut Branch {
        let place = self.branches.iter().position(|branch| branch.url() == url);
        let place = place.unwrap_or_else(|| {
            self.branches.push(Branch::new(&self.speaker, url, Places::new()));
            self.branches.len() - 1
        });
        &mut self.branches[place]
    }
}
