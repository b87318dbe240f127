//! Orders as JSON: pure functions from what the owner holds to what goes out.

mod comparison;
mod proposal;
mod talk;

use orderstream_core::command::Award;
use orderstream_core::date::rfc3339;
use orderstream_core::order::{Invitation, PendingAward};
use orderstream_core::spec::{Item, SellerChoice, Verdict};
use orderstream_core::{Order, Phase};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use self::comparison::ComparisonView;
pub(super) use self::proposal::{
    ProposalView, ProposalsPage, VersionsPage, proposal, proposals, version,
};
pub(super) use self::talk::{ConversationPage, said};
use crate::orders::{Facts, Former};

/// One order.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct OrderView {
    /// Whose.
    tenant: String,
    /// The buyer's number.
    order_req_id: String,
    /// Which incarnation of the name.
    incarnation: String,
    /// One line for people.
    title: Option<String>,
    /// What is wanted.
    items: Vec<ItemView>,
    /// `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    #[schema(example = "Open")]
    phase: &'static str,
    /// The number of its last event; also the ETag.
    last_seq: u64,
    /// When it was opened.
    #[schema(format = DateTime)]
    opened_at: String,
    /// When its time runs out.
    #[schema(format = DateTime)]
    expires_at: String,
    /// When it reached its end.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Whether prices and who proposed are hidden still.
    sealed: bool,
    /// Until when a sealed order that was opened waits for a decision.
    #[schema(format = DateTime)]
    decide_until: Option<String>,
    /// The highest fencing number that was granted.
    epoch: u64,
    /// Whether its tracker follows it.
    stream_active: bool,
    /// Every seller that was considered, and why it was chosen or not.
    sellers: Vec<ChoiceView>,
    /// The chosen ones, and how far each is.
    invitations: Vec<InvitationView>,
    /// How many proposals there are.
    proposals: ProposalCountsView,
    /// How many follow-ups the buyer wrote.
    follow_ups: usize,
    /// How many questions sellers asked.
    questions: usize,
    /// Who won.
    award: Option<AwardView>,
    /// Who is to win, while that can be undone.
    pending_award: Option<PendingAwardView>,
    /// Incarnations of the name that a newer one took the place of, the last one first; at most 100.
    /// Each can be read as `?incarnation=`, until it has been kept for long enough after its end.
    former_incarnations: Vec<FormerView>,
}

/// An incarnation of a name that a newer one took the place of.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FormerView {
    /// Its own name.
    incarnation: String,
    /// Its phase; absent where its records are damaged.
    #[schema(example = "Finalised")]
    phase: Option<&'static str>,
    /// The number of its last event.
    last_seq: u64,
    /// When it was opened.
    #[schema(format = DateTime)]
    opened_at: Option<String>,
    /// When it reached its end.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}

impl From<&Former> for FormerView {
    fn from(former: &Former) -> Self {
        Self {
            incarnation: former.incarnation.to_string(),
            phase: former.phase.map(Phase::as_str),
            last_seq: former.last_seq().0,
            opened_at: former.opened_at.map(rfc3339),
            ended_at: former.ended_at.map(rfc3339),
        }
    }
}

/// One wanted thing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemView {
    /// The buyer's number of the thing.
    sku: String,
    /// For people.
    description: Option<String>,
    /// A decimal.
    #[schema(example = "12")]
    quantity: String,
    /// Of what.
    unit: Option<String>,
}

/// What became of one seller when the order's sellers were selected.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChoiceView {
    /// The name.
    seller: String,
    /// Whether it was invited.
    chosen: bool,
    /// `Chosen`, `TooFar`, `PlaceUnknown`, `WrongCategory`, `NotNamed`, `Excluded`, `Suspended`,
    /// `Full` or `BeyondCount`.
    #[schema(example = "Chosen")]
    reason: &'static str,
    /// From the seller to the place of delivery, metres, where both are known.
    distance_m: Option<u32>,
}

/// One invited seller.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvitationView {
    /// The name.
    seller: String,
    /// `Invited`, `Bounced`, `Notified`, `Seen`, `Declined` or `Proposed`. While the order is sealed
    /// nothing beyond `Notified` is told.
    #[schema(example = "Notified")]
    state: &'static str,
    /// Since when.
    #[schema(format = DateTime)]
    at: String,
    /// Why it could not be told, or why it declined.
    reason: Option<String>,
}

/// How many proposals an order has.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposalCountsView {
    /// Ever made.
    received: u32,
    /// Can be awarded.
    open: u32,
    /// Taken back.
    withdrawn: u32,
    /// Out.
    closed: u32,
}

/// Who wins.
#[derive(Debug, Serialize, ToSchema)]
pub(super) enum AwardView {
    /// One proposal takes all.
    Whole(String),
    /// Lines go to different proposals: pairs of article and proposal.
    Lines(Vec<(String, String)>),
}

/// An award that can still be undone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PendingAwardView {
    /// Who wins; nobody when absent.
    award: Option<AwardView>,
    /// Why.
    reason: Option<String>,
    /// From when on it counts.
    #[schema(format = DateTime)]
    effective_at: String,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrdersPage {
    /// The orders, by tenant and number.
    pub(super) orders: Vec<OrderView>,
    /// Give it as `after` for the next page; absent at the end.
    pub(super) next: Option<String>,
}

/// An order in one object.
pub(super) fn order(order: &Order, facts: &Facts) -> OrderView {
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
        epoch: facts.epoch.0,
        stream_active: facts.has_tracker,
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
        former_incarnations: facts.formers.iter().map(FormerView::from).collect(),
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
