//! What a buyer asks of whoever tracks orders, with or without Kubernetes: one interface, so that the
//! same REST serves both.

use std::fmt::Debug;
use std::pin::Pin;

use crate::command::{Act, Award};
use crate::id::{
    Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp,
};
use crate::price::Price;
use crate::refusal::Refusal;
use crate::spec::{Message, NotificationType, OrderSpec};
use crate::summary::SellerCounts;
use crate::tracker::{Shown, Snapshot, phase_in_words};

/// Why a buyer's act was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuyerError {
    /// It is refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It is not known to be stored. The same request, under the same key, may be sent again and has one
    /// effect.
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
    /// Who won; not told of orders that have a resource.
    pub award: Option<Award>,
}

impl Tracked {
    /// What may be shown of an order: of the order itself only what survives whoever shows it, of its
    /// stream what is now.
    pub fn of(snapshot: &Snapshot, spec: &OrderSpec) -> Self {
        let shown = snapshot.shown.as_deref();
        let order = shown.and_then(|shown| shown.order.as_ref());
        let phase = shown.and_then(|shown| shown.ended).or_else(|| Some(order?.phase));
        let counts = order.map(|order| &order.proposals);
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        // Under seal nobody is told who said no.
        let declined = |counts: &SellerCounts| if counts.is_sealed { 0 } else { counts.declined };
        let sellers = order.map(|order| (order.sellers.selected, declined(&order.sellers)));
        let (selected, declined) = sellers.unwrap_or_default();
        Self {
            key: snapshot.key.clone(),
            incarnation: Some(snapshot.incarnation.clone()),
            session: spec.session.as_deref().map(ToOwned::to_owned),
            notification_type: spec.notification_type,
            notes: shown.map_or_else(|| number(snapshot.notes), |shown| shown.notes),
            stream_active: snapshot.stream.active,
            phase: phase_in_words(phase, &snapshot.stream).to_owned(),
            last_seq: shown.map_or(Seq(0), Shown::last_seq),
            last_event: order.map(|order| order.last_event.1.clone().into_owned()),
            proposals: counts.map_or([0; 4], |c| [c.received, c.open, c.withdrawn, c.closed]),
            best: counts.and_then(|counts| counts.best.as_ref()).map(BestProposal::from),
            sellers: (u64::from(selected), u64::from(declined)),
            processor: shown.and_then(|shown| shown.processor.as_deref()).map(ToOwned::to_owned),
            epoch: shown.map_or(Epoch(0), |shown| shown.epoch),
            reconnects: shown.map_or(0, |shown| shown.reconnects),
            attempts: snapshot.stream.attempts,
            reason: snapshot.stream.reason.as_deref().map(ToOwned::to_owned),
            opened_at: order.map(|order| order.opened_at),
            expires_at: order.map(|order| order.expires_at),
            ended_at: order.and_then(|order| order.ended_at),
            award: order.and_then(|order| order.award.clone()),
        }
    }

    /// The same as the order's resource tells it, which is asked once the order is let go: times in
    /// whole seconds, and not who won.
    pub fn told_by_its_resource(self) -> Self {
        let seconds = |at: Timestamp| Timestamp(at.0.div_euclid(1_000).saturating_mul(1_000));
        Self {
            opened_at: self.opened_at.map(seconds),
            expires_at: self.expires_at.map(seconds),
            ended_at: self.ended_at.map(seconds),
            award: None,
            ..self
        }
    }
}

impl From<&(ProposalId, Price)> for BestProposal {
    fn from((id, price): &(ProposalId, Price)) -> Self {
        Self {
            proposal_id: id.to_string(),
            amount: price.amount().to_string(),
            currency: price.currency().as_str().to_owned(),
        }
    }
}

/// An answer that comes when what was asked is stored.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, BuyerError>> + Send + 'a>>;

/// An answer that comes when what it tells survives whoever tells it.
pub type Read<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

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

    /// Refuses an order whose records cannot be read, so that nobody takes it for one that is not known.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn check_records(&self, _: &OrderKey) -> Result<(), BuyerError> {
        Ok(())
    }

    /// These orders, as they may be shown, without those that are not tracked. What it gives survives
    /// whoever gives it.
    fn tracked<'a>(&'a self, keys: &'a [OrderKey]) -> Read<'a, Vec<Tracked>>;

    /// An order's phase as users see it, to choose by and not to be shown.
    fn phase(&self, key: &OrderKey) -> Option<String>;

    /// How many there are.
    fn totals(&self) -> Totals;
}
