//! What a buyer asks of whoever tracks orders, with or without Kubernetes: one interface, so that the
//! same REST serves both.

use std::fmt::Debug;
use std::pin::Pin;

use crate::command::{Act, Award};
use crate::id::{
    Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, SellerId, Seq, Timestamp,
};
use crate::refusal::Refusal;
use crate::spec::{Message, NotificationType, OrderSpec};
use crate::tracker::Snapshot;

/// Why a buyer's act was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuyerError {
    /// It is refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It could not be stored; nothing was done. The same request may succeed later.
    #[error("{0}")]
    NotStored(String),
    /// What is stored of the order is damaged; nothing was done.
    #[error("{0}")]
    Damaged(String),
}

/// What the caller of an act hears, beside a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It is in the order's list, and counts.
    Done,
    /// It is stored and goes on by itself. What comes of it is told under this key.
    Pending(IdempotencyKey),
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not decided yet; it goes on by itself.
    Pending,
    /// It is in the order's list.
    Done,
    /// It is not in the order's list, and never will be.
    Refused(Refusal),
}

/// An act that was asked for, and what came of it. What is decided stays so for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedAct {
    /// The act's word, as [`crate::port::act_name`] has it.
    pub act: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an initiate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiated {
    /// The order is stored and followed now.
    Started,
    /// It was followed before.
    AlreadyProcessed,
}

/// A buyer's follow-up before it has its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Given by the caller: the same id twice has one effect.
    pub id: Option<FollowUpId>,
    /// To these sellers; empty means to all.
    pub audience: Vec<SellerId>,
    /// The text.
    pub message: Message,
    /// The seller's question that it answers.
    pub answers: Option<FollowUpId>,
}

/// A buyer's act on an order that exists.
#[derive(Clone, Debug, PartialEq)]
pub enum BuyerAct {
    /// End it, with or without a winner.
    Finalise {
        /// Who wins; nobody when absent.
        award: Option<Award>,
        /// Why, for all who took part.
        reason: Option<String>,
        /// How long it can be undone, milliseconds.
        undo_within_ms: Option<u64>,
    },
    /// Undo an award that does not count yet.
    UndoAward(Option<String>),
    /// Take no proposals for now.
    Pause(Option<String>),
    /// Take proposals again.
    Resume,
    /// Let it live longer: its whole life from its opening, milliseconds.
    Extend(u64),
    /// End it without an award.
    Close(Option<String>),
    /// End it as if it had not been asked.
    Cancel(Option<String>),
}

impl From<BuyerAct> for Act {
    fn from(act: BuyerAct) -> Self {
        match act {
            BuyerAct::Finalise { award, reason, undo_within_ms } => {
                Self::Finalise { award, reason, undo_within_ms }
            }
            BuyerAct::UndoAward(reason) => Self::UndoAward { reason },
            BuyerAct::Pause(reason) => Self::Pause { reason },
            BuyerAct::Resume => Self::Resume,
            BuyerAct::Extend(expires_in_ms) => Self::Extend { expires_in_ms },
            BuyerAct::Close(reason) => Self::Close { reason },
            BuyerAct::Cancel(reason) => Self::Cancel { reason },
        }
    }
}

/// How many orders there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All that are tracked.
    pub total_orders: usize,
    /// With a stream that is up.
    pub active_streams: usize,
    /// Their keys, sorted.
    pub tracked: Vec<OrderKey>,
}

/// The lowest price among the open proposals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BestProposal {
    /// Which.
    pub proposal_id: String,
    /// The amount, a decimal.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
}

/// An order as a buyer sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracked {
    /// Whose, and which number.
    pub key: OrderKey,
    /// Which life of the name.
    pub incarnation: Option<Incarnation>,
    /// The buyer's session.
    pub session: Option<String>,
    /// How the sellers are told.
    pub notification_type: NotificationType,
    /// Follow-ups known.
    pub notes: u64,
    /// Whether a stream is up.
    pub stream_active: bool,
    /// As users see it.
    pub phase: String,
    /// The last event handled.
    pub last_seq: Seq,
    /// Its word.
    pub last_event: Option<String>,
    /// Proposals ever made, open, withdrawn and closed.
    pub proposals: [u32; 4],
    /// The best of the open ones.
    pub best: Option<BestProposal>,
    /// Sellers invited, and those who said no.
    pub sellers: (u64, u64),
    /// The processor that holds it.
    pub processor: Option<String>,
    /// The fencing number of its stream.
    pub epoch: Epoch,
    /// How often its stream came up again.
    pub reconnects: u32,
    /// Failed attempts since it was last up.
    pub attempts: u32,
    /// Why it is not up.
    pub reason: Option<String>,
    /// When it was opened.
    pub opened_at: Option<Timestamp>,
    /// When its time runs out.
    pub expires_at: Option<Timestamp>,
    /// When it reached its end.
    pub ended_at: Option<Timestamp>,
}

impl Tracked {
    /// What a tracker knows of an order.
    pub fn of(snapshot: &Snapshot, spec: &OrderSpec) -> Self {
        let order = snapshot.order.as_deref();
        let counts = order.map(|order| order.proposal_counts()).unwrap_or_default();
        let best = counts.best.as_ref().map(|(id, price)| BestProposal {
            proposal_id: id.to_string(),
            amount: price.amount().to_string(),
            currency: price.currency().as_str().to_owned(),
        });
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self {
            key: snapshot.key.clone(),
            incarnation: Some(snapshot.incarnation.clone()),
            session: spec.session.as_deref().map(ToOwned::to_owned),
            notification_type: spec.notification_type,
            notes: number(snapshot.notes),
            stream_active: snapshot.stream.active,
            phase: snapshot.phase().to_owned(),
            last_seq: snapshot.last_seq(),
            last_event: order.map(|order| order.last_event.1.to_owned()),
            proposals: [counts.received, counts.open, counts.withdrawn, counts.closed],
            best,
            sellers: order
                .map_or((0, 0), |order| (number(order.selected()), number(order.declined.len()))),
            processor: snapshot.stream.processor.as_deref().map(ToOwned::to_owned),
            epoch: snapshot.stream.epoch,
            reconnects: snapshot.stream.reconnects,
            attempts: snapshot.stream.attempts,
            reason: snapshot.stream.reason.as_deref().map(ToOwned::to_owned),
            opened_at: order.map(|order| order.opened_at),
            expires_at: order.map(|order| order.expires_at),
            ended_at: order.and_then(|order| order.ended_at),
        }
    }
}

/// An answer that comes when what was asked is stored.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, BuyerError>> + Send + 'a>>;

/// Whoever serves buyers.
pub trait Buyer: Send + Sync + Debug + 'static {
    /// Stores an order and follows it. A second call changes nothing, also at the same instant.
    fn initiate(&self, key: OrderKey, spec: OrderSpec) -> Stored<'_, Initiated>;

    /// Stores a follow-up, forwards it, and waits a moment for what comes of it; answers its id.
    fn follow_up(&self, key: OrderKey, note: Note) -> Stored<'_, (FollowUpId, Acted)>;

    /// Stores an act, forwards it, and waits a moment for what comes of it. The same `repeat` has one
    /// effect and one outcome.
    fn buyer_act(
        &self,
        key: OrderKey,
        act: BuyerAct,
        repeat: Option<IdempotencyKey>,
    ) -> Stored<'_, Acted>;

    /// What came of the act that was asked for under this key; `None` when there was none.
    fn asked_act(&self, key: OrderKey, act: IdempotencyKey) -> Stored<'_, Option<AskedAct>>;

    /// One order.
    fn tracked(&self, key: &OrderKey) -> Option<Tracked>;

    /// All orders, sorted by key.
    fn all(&self) -> Vec<Tracked>;

    /// How many there are.
    fn totals(&self) -> Totals;
}
