//! Orders as JSON: pure functions from the owner's state to the wire.

mod comparison;
mod conversation;
mod proposal;

use orderstream_core::command::Award;
use orderstream_core::date::rfc3339;
use orderstream_core::order::{Invitation, PendingAward};
use orderstream_core::spec::{Item, SellerChoice, Verdict};
use orderstream_core::{Order, Phase};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use self::comparison::ComparisonView;
pub(super) use self::conversation::{ConversationPage, conversation_message};
pub(super) use self::proposal::{
    ProposalView, ProposalsPage, VersionsPage, proposal, proposals, version,
};
use crate::orders::{FormerEntry, OrderRuntimeState};

/// One order.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct OrderView {
    /// The order's tenant.
    tenant: String,
    /// The order's id, given by the buyer.
    order_req_id: String,
    /// The incarnation of the order id.
    incarnation: String,
    /// The title, one line for people.
    title: Option<String>,
    /// The wanted items.
    items: Vec<ItemView>,
    /// The phase: `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    #[schema(example = "Open")]
    phase: &'static str,
    /// The sequence number of its last event; also the ETag.
    last_seq: u64,
    /// The time of its opening.
    #[schema(format = DateTime)]
    opened_at: String,
    /// The time at which it expires.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The time of its end; absent before.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// True while prices and the proposing sellers are hidden.
    sealed: bool,
    /// The time until which a sealed order that was opened waits for a decision.
    #[schema(format = DateTime)]
    decide_until: Option<String>,
    /// The highest epoch that was granted.
    epoch: u64,
    /// True while its tracker follows it.
    stream_active: bool,
    /// Every considered seller, with the verdict on it.
    sellers: Vec<ChoiceView>,
    /// The chosen sellers, with the state of each invitation.
    invitations: Vec<InvitationView>,
    /// The number of proposals in each state.
    proposals: ProposalCountsView,
    /// The number of the buyer's follow-ups.
    follow_ups: usize,
    /// The number of the sellers' questions.
    questions: usize,
    /// The award; absent without one.
    award: Option<AwardView>,
    /// The award that can still be undone; absent without one.
    pending_award: Option<PendingAwardView>,
    /// Incarnations of the order id that a newer one replaced, the last one first; at most 100.
    /// Each can be read with `?incarnation=` for as long as it is kept after its end.
    former_incarnations: Vec<FormerView>,
}

/// An incarnation of an order id that a newer one replaced.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FormerView {
    /// The incarnation's name.
    incarnation: String,
    /// Its phase; absent where its records are damaged.
    #[schema(example = "Finalised")]
    phase: Option<&'static str>,
    /// The sequence number of its last event.
    last_seq: u64,
    /// The time of its opening; absent where its records are damaged.
    #[schema(format = DateTime)]
    opened_at: Option<String>,
    /// The time of its end; absent without one.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}

impl From<&FormerEntry> for FormerView {
    fn from(former: &FormerEntry) -> Self {
        Self {
            incarnation: former.incarnation.to_string(),
            phase: former.phase.map(Phase::as_str),
            last_seq: former.last_seq().0,
            opened_at: former.opened_at.map(rfc3339),
            ended_at: former.ended_at.map(rfc3339),
        }
    }
}

/// One wanted item.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemView {
    /// The buyer's article number.
    sku: String,
    /// The description for people.
    description: Option<String>,
    /// The quantity, a decimal.
    #[schema(example = "12")]
    quantity: String,
    /// The unit of the quantity.
    unit: Option<String>,
}

/// The verdict on one seller that was considered for the order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChoiceView {
    /// The seller's name.
    seller: String,
    /// True if the seller was invited.
    chosen: bool,
    /// The verdict: `Chosen`, `TooFar`, `PlaceUnknown`, `WrongCategory`, `NotNamed`, `Excluded`,
    /// `Suspended`, `Full` or `BeyondCount`.
    #[schema(example = "Chosen")]
    reason: &'static str,
    /// The distance from the seller to the place of delivery, in metres, where both are known.
    distance_m: Option<u32>,
}

/// One invited seller.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvitationView {
    /// The seller's name.
    seller: String,
    /// `Invited`, `Bounced`, `Notified`, `Seen`, `Declined` or `Proposed`. While the order is
    /// sealed, nothing beyond `Notified` is shown.
    #[schema(example = "Notified")]
    state: &'static str,
    /// The time at which it reached this state.
    #[schema(format = DateTime)]
    at: String,
    /// The reason that the seller could not be notified, or that it gave for declining.
    reason: Option<String>,
}

/// The number of an order's proposals in each state.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposalCountsView {
    /// The number of all proposals ever made.
    received: u32,
    /// The number of proposals that can be awarded, or have won.
    open: u32,
    /// The number of proposals that were withdrawn.
    withdrawn: u32,
    /// The number of proposals that did not win.
    closed: u32,
}

/// The proposals that win.
#[derive(Debug, Serialize, ToSchema)]
pub(super) enum AwardView {
    /// One proposal wins the whole order.
    Whole(String),
    /// The lines go to different proposals, as pairs of article number and proposal id.
    Lines(Vec<(String, String)>),
}

/// An award that can still be undone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PendingAwardView {
    /// The award; absent where no proposal wins.
    award: Option<AwardView>,
    /// The buyer's reason.
    reason: Option<String>,
    /// The time at which it takes effect.
    #[schema(format = DateTime)]
    effective_at: String,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrdersPage {
    /// The orders, by tenant and id.
    pub(super) orders: Vec<OrderView>,
    /// The `after` of the next page; absent at the end.
    pub(super) next: Option<String>,
}

/// Converts an order.
pub(super) fn order(order: &Order, runtime: &OrderRuntimeState) -> OrderView {
    let counts = order.proposal_counts();
    OrderView {
        tenant: order.key.tenant.to_string(),
        order_req_id: order.key.order_req_id.to_string(),
        incarnation: order.incarnation.to_string(),
        title: order.spec.title.as_deref().map(ToOwned::to_owned),
        items: order.spec.items.iter().map(ItemView::from).collect(),
        phase: order.phase.as_str(),
        last_seq: order.last_seq.0,
        opened_at: rfc3339(order.opened_at),
        expires_at: rfc3339(order.expires_at),
        ended_at: order.ended_at.map(rfc3339),
        sealed: order.is_sealed(),
        decide_until: order.decide_until.map(rfc3339),
        epoch: runtime.epoch.0,
        stream_active: runtime.has_tracker,
        sellers: order.choices.iter().map(ChoiceView::from).collect(),
        invitations: order.invitations.iter().map(InvitationView::from).collect(),
        proposals: ProposalCountsView {
            received: counts.received,
            open: counts.open,
            withdrawn: counts.withdrawn,
            closed: counts.closed,
        },
        follow_ups: order.follow_ups.len(),
        questions: order.questions.len(),
        award: order.award.as_ref().map(AwardView::from),
        pending_award: order.pending_award.as_deref().map(PendingAwardView::from),
        former_incarnations: runtime.formers.iter().map(FormerView::from).collect(),
    }
}

impl From<&Item> for ItemView {
    fn from(item: &Item) -> Self {
        Self {
            sku: item.sku.clone(),
            description: item.description.clone(),
            quantity: item.quantity.value().to_string(),
            unit: item.unit.clone(),
        }
    }
}

impl From<&SellerChoice> for ChoiceView {
    fn from(choice: &SellerChoice) -> Self {
        Self {
            seller: choice.seller.to_string(),
            chosen: choice.verdict == Verdict::Chosen,
            reason: choice.verdict.as_str(),
            distance_m: choice.distance_m,
        }
    }
}

impl From<&Invitation> for InvitationView {
    fn from(invitation: &Invitation) -> Self {
        Self {
            seller: invitation.seller.to_string(),
            state: invitation.state.as_str(),
            at: rfc3339(invitation.at),
            reason: invitation.reason.clone(),
        }
    }
}

impl From<&Award> for AwardView {
    fn from(award: &Award) -> Self {
        match award {
            Award::Whole(id) => Self::Whole(id.to_string()),
            Award::Lines(lines) => {
                Self::Lines(lines.iter().map(|(sku, id)| (sku.clone(), id.to_string())).collect())
            }
        }
    }
}

impl From<&PendingAward> for PendingAwardView {
    fn from(pending: &PendingAward) -> Self {
        Self {
            award: pending.award.as_ref().map(AwardView::from),
            reason: pending.reason.clone(),
            effective_at: rfc3339(pending.effective_at),
        }
    }
}
