//! The buyers' interface to the service that tracks orders, with or without Kubernetes: one
//! interface, so that the same REST serves both.

use std::fmt::Debug;
use std::pin::Pin;

use crate::command::{Award, CommandKind};
use crate::id::{
    Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, ProposalId, SellerId, Seq, Timestamp,
};
use crate::price::Price;
use crate::refusal::Refusal;
use crate::request_phase::RequestPhase;
use crate::spec::{Message, NotificationType, OrderSpec};
use crate::stream_phase::StreamPhase;
use crate::summary::{OrderSummary, SellerCounts};
use crate::tracker::{PublishedView, TrackerSnapshot};

/// The reason that a buyer's command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuyerError {
    /// The command is refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The command is not known to be stored. The same request, under the same key, may be repeated
    /// and has one effect.
    #[error("{0}")]
    NotStored(String),
    /// The order's records are damaged; nothing was done.
    #[error("{0}")]
    Damaged(String),
}

/// The reply to a buyer's command that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuyerCommandReply {
    /// The command is in the order's list, and has its effect.
    Done,
    /// The command is stored and proceeds by itself. Its outcome can be read under this key.
    Pending(IdempotencyKey),
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// The command is not decided yet, and proceeds by itself.
    Pending,
    /// The command is in the order's list.
    Done,
    /// The command is not in the order's list, and never will be.
    Refused(Refusal),
}

/// A stored command and its outcome, which never changes once it is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandStatus {
    /// The command's name, as [`crate::port::command_name`] returns it.
    pub name: String,
    /// The command's outcome so far.
    pub outcome: CommandOutcome,
}

/// The result of opening an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitiateOutcome {
    /// The order is newly stored and followed.
    Started,
    /// The order was followed before.
    AlreadyProcessed,
}

/// A buyer's follow-up before it has its id.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowUpDraft {
    /// The caller's id: the same id twice has one effect. Absent where the caller gave none.
    pub id: Option<FollowUpId>,
    /// The recipients; empty means all sellers.
    pub audience: Vec<SellerId>,
    /// The text.
    pub message: Message,
    /// The seller's question that it answers; absent where it answers none.
    pub answers: Option<FollowUpId>,
}

/// A buyer's command on an order that exists.
#[derive(Clone, Debug, PartialEq)]
pub enum BuyerCommand {
    /// End the order, with or without a winner.
    Finalise {
        /// The award; nobody wins where it is absent.
        award: Option<Award>,
        /// The reason, for all who took part.
        reason: Option<String>,
        /// The time in which the award can be undone, milliseconds; absent or 0: it takes effect at
        /// once.
        undo_within_ms: Option<u64>,
    },
    /// Undo an award that has not taken effect, with the reason.
    UndoAward(Option<String>),
    /// Stop taking proposals for a while, with the reason.
    Pause(Option<String>),
    /// Take proposals again.
    Resume,
    /// Extend the order: its new lifetime from its opening, milliseconds.
    Extend(u64),
    /// End the order without an award, with the reason.
    Close(Option<String>),
    /// End the order as if it had not been requested, with the reason.
    Cancel(Option<String>),
}

impl From<BuyerCommand> for CommandKind {
    fn from(command: BuyerCommand) -> Self {
        match command {
            BuyerCommand::Finalise { award, reason, undo_within_ms } => {
                Self::Finalise { award, reason, undo_within_ms }
            }
            BuyerCommand::UndoAward(reason) => Self::UndoAward { reason },
            BuyerCommand::Pause(reason) => Self::Pause { reason },
            BuyerCommand::Resume => Self::Resume,
            BuyerCommand::Extend(expires_in_ms) => Self::Extend { expires_in_ms },
            BuyerCommand::Close(reason) => Self::Close { reason },
            BuyerCommand::Cancel(reason) => Self::Cancel { reason },
        }
    }
}

/// The tracked orders: their counts and their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackerTotals {
    /// The number of orders that are tracked.
    pub total_orders: usize,
    /// The number of orders with a stream that is up.
    pub active_streams: usize,
    /// The keys of the tracked orders, sorted.
    pub tracked: Vec<OrderKey>,
}

/// The open proposal with the lowest price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BestProposal {
    /// The proposal's id.
    pub proposal_id: String,
    /// The amount of its price, a decimal.
    pub amount: String,
    /// The ISO 4217 code of its currency.
    pub currency: String,
}

/// An order as a buyer sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct BuyerOrderView {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation; absent where its resource has no usable uid.
    pub incarnation: Option<Incarnation>,
    /// The buyer's session.
    pub session: Option<String>,
    /// The preferred kind of channel to sellers.
    pub notification_type: NotificationType,
    /// The number of known follow-ups: those forwarded, and those still to be forwarded.
    pub follow_up_count: u64,
    /// The order's stream is up.
    pub stream_active: bool,
    /// The phase of the order's stream.
    pub stream: StreamPhase,
    /// The order's phase as users see it.
    pub phase: RequestPhase,
    /// The last event that was handled.
    pub last_seq: Seq,
    /// The last event's name.
    pub last_event: Option<String>,
    /// The numbers of proposals ever made, open, withdrawn and closed.
    pub proposals: [u32; 4],
    /// The best open proposal; absent where none competes, between currencies, and under seal.
    pub best: Option<BestProposal>,
    /// The numbers of sellers that were invited and that declined; the latter is 0 under seal.
    pub sellers: (u64, u64),
    /// The processor that holds it.
    pub processor: Option<String>,
    /// The epoch of its stream; 0 before the first one.
    pub epoch: Epoch,
    /// The number of times that its stream came up again.
    pub reconnects: u32,
    /// The number of failed attempts since its stream was last up.
    pub attempts: u32,
    /// The reason that its stream is down, for people.
    pub reason: Option<String>,
    /// The time of the order's opening.
    pub opened_at: Option<Timestamp>,
    /// The deadline for proposals.
    pub expires_at: Option<Timestamp>,
    /// The time until which the buyer decides; absent before the deadline.
    pub decide_until: Option<Timestamp>,
    /// The time of the order's end; absent before it.
    pub ended_at: Option<Timestamp>,
    /// The award; always absent for orders that have a resource.
    pub award: Option<Award>,
}

impl BuyerOrderView {
    /// Returns the view of an order that users may be given: of the order itself only what survives
    /// a restart, of its stream the current state.
    pub fn of(snapshot: &TrackerSnapshot, spec: &OrderSpec) -> Self {
        let published = snapshot.published.as_deref();
        let order = published.and_then(|shown| shown.order.as_ref());
        let phase = published.and_then(|shown| shown.ended).or_else(|| Some(order?.phase));
        let counts = order.map(|order| &order.proposals);
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        // Under seal the number of declines is hidden.
        let declined = |counts: &SellerCounts| if counts.is_sealed { 0 } else { counts.declined };
        let sellers = order.map(|order| (order.sellers.selected, declined(&order.sellers)));
        let (selected, declined) = sellers.unwrap_or_default();
        Self {
            key: snapshot.key.clone(),
            incarnation: Some(snapshot.incarnation.clone()),
            session: spec.session.as_deref().map(ToOwned::to_owned),
            notification_type: spec.notification_type,
            follow_up_count: published
                .map_or_else(|| number(snapshot.follow_up_count), |shown| shown.follow_up_count),
            stream_active: snapshot.stream.active,
            stream: snapshot.stream.phase(phase),
            phase: RequestPhase::of(phase),
            last_seq: published.map_or(Seq(0), PublishedView::last_seq),
            last_event: order.map(|order| order.last_event.1.clone().into_owned()),
            proposals: counts.map_or([0; 4], |c| [c.received, c.open, c.withdrawn, c.closed]),
            best: counts
                .and_then(|counts| counts.best.as_ref())
                .map(|(id, price)| BestProposal::new(id, price)),
            sellers: (u64::from(selected), u64::from(declined)),
            processor: published
                .and_then(|shown| shown.processor.as_deref())
                .map(ToOwned::to_owned),
            epoch: published.map_or(Epoch(0), |shown| shown.epoch),
            reconnects: published.map_or(0, |shown| shown.reconnects),
            attempts: snapshot.stream.attempts,
            reason: snapshot.stream.reason.as_deref().map(ToOwned::to_owned),
            opened_at: order.map(|order| order.opened_at),
            expires_at: order.map(|order| order.expires_at),
            decide_until: order.and_then(OrderSummary::decide_by),
            ended_at: order.and_then(|order| order.ended_at),
            award: order.and_then(|order| order.award.clone()),
        }
    }

    /// Returns this view as the order's resource holds it, which users read once the order is
    /// dropped: times in whole seconds, and no award.
    pub fn into_resource_view(self) -> Self {
        let seconds = |at: Timestamp| Timestamp(at.0.div_euclid(1_000).saturating_mul(1_000));
        Self {
            opened_at: self.opened_at.map(seconds),
            expires_at: self.expires_at.map(seconds),
            decide_until: self.decide_until.map(seconds),
            ended_at: self.ended_at.map(seconds),
            award: None,
            ..self
        }
    }
}

impl BestProposal {
    fn new(id: &ProposalId, price: &Price) -> Self {
        Self {
            proposal_id: id.to_string(),
            amount: price.amount().to_string(),
            currency: price.currency().as_str().to_owned(),
        }
    }
}

/// The future of a reply that comes once the request is stored.
pub type BuyerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BuyerError>> + Send + 'a>>;

/// The future of a reply that comes once its content survives a restart.
pub type ViewFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A service for buyers.
pub trait Buyer: Send + Sync + Debug + 'static {
    /// Stores an order and follows it. A second call changes nothing, even a concurrent one.
    fn initiate(&self, key: OrderKey, spec: OrderSpec) -> BuyerFuture<'_, InitiateOutcome>;

    /// Stores a follow-up, forwards it, and waits a moment for its outcome; returns its id as well.
    fn follow_up(
        &self,
        key: OrderKey,
        draft: FollowUpDraft,
    ) -> BuyerFuture<'_, (FollowUpId, BuyerCommandReply)>;

    /// Stores a command, forwards it, and waits a moment for its outcome. The same
    /// `idempotency_key` has one effect and one outcome.
    fn submit_command(
        &self,
        key: OrderKey,
        command: BuyerCommand,
        idempotency_key: Option<IdempotencyKey>,
    ) -> BuyerFuture<'_, BuyerCommandReply>;

    /// Returns the command stored under this key, and its outcome; `None` where there was none.
    fn command_status(
        &self,
        key: OrderKey,
        idempotency_key: IdempotencyKey,
    ) -> BuyerFuture<'_, Option<CommandStatus>>;

    /// Refuses an order whose records cannot be read, so that nobody takes it for an unknown one.
    ///
    /// # Errors
    /// The reason that they cannot be read.
    fn check_records(&self, _: &OrderKey) -> Result<(), BuyerError> {
        Ok(())
    }

    /// Returns the views of these orders, without those that are not tracked. Their content
    /// survives a restart.
    fn tracked<'a>(&'a self, keys: &'a [OrderKey]) -> ViewFuture<'a, Vec<BuyerOrderView>>;

    /// Returns an order's phase as users see it; for filtering, not for display.
    fn phase(&self, key: &OrderKey) -> Option<RequestPhase>;

    /// Returns the numbers of orders and of streams.
    fn totals(&self) -> TrackerTotals;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::Tracker;

    /// They have no award either.
    #[test]
    fn resource_views_have_whole_seconds() {
        let key = OrderKey::new("team", "SB1").unwrap();
        let tracker = Tracker::new(key, Incarnation::new("uid-1").unwrap());
        let tracked = BuyerOrderView {
            opened_at: Some(Timestamp(1_001)),
            expires_at: Some(Timestamp(2_999)),
            decide_until: Some(Timestamp(3_001)),
            ended_at: Some(Timestamp(-1)),
            award: Some(Award::Whole(ProposalId::new("p1").unwrap())),
            ..BuyerOrderView::of(&tracker.snapshot(), &OrderSpec::default())
        };
        let view = tracked.clone().into_resource_view();
        let second = |at| Some(Timestamp(at));
        let expected = (second(1_000), second(2_000), second(-1_000), None);
        assert_eq!((view.opened_at, view.expires_at, view.ended_at, view.award), expected);
        assert_eq!(view.decide_until, second(3_000));
        assert_eq!(view.last_seq, tracked.last_seq);
    }
}
