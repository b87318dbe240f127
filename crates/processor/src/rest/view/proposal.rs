//! Proposals and their versions as JSON.

use orderstream_core::command::{ProposalLine, Proposed};
use orderstream_core::comparison::{Change, changes};
use orderstream_core::date::rfc3339;
use orderstream_core::order::{Proposal, ProposalPhase};
use orderstream_core::{Event, Order, ProposalId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::page;

/// What a proposal says.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ContentView {
    /// Whose; `sealed` while the order is.
    seller: String,
    /// For how much in all, a decimal.
    #[schema(example = "1249.50")]
    price: String,
    /// ISO 4217; no currency, three times X, while the order is sealed.
    #[schema(example = "EUR")]
    currency: String,
    /// Per line, where the seller says.
    lines: Vec<LineView>,
    /// For the buyer.
    note: Option<String>,
    /// When it would be delivered, as the seller wrote it.
    delivery_date: Option<String>,
    /// Until when it stands, as the seller wrote it.
    valid_until: Option<String>,
    /// Addresses of documents that belong to it.
    attachments: Vec<String>,
}

/// One line of a proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct LineView {
    /// The buyer's number of the thing.
    sku: String,
    /// A decimal.
    quantity: String,
    /// Of what.
    unit: Option<String>,
    /// For how much in all, a decimal in the proposal's currency.
    price: String,
}

/// One proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ProposalView {
    /// Which.
    proposal_id: String,
    /// `Open`, `Withdrawn` or `Closed`.
    #[schema(example = "Open")]
    status: &'static str,
    /// Its version, 1 is the first; also the ETag.
    version: u32,
    /// Who edits it now.
    locked_by: Option<String>,
    /// Until when, if nobody gives the lock back before.
    #[schema(format = DateTime)]
    locked_until: Option<String>,
    /// When it came.
    #[schema(format = DateTime)]
    at: String,
    /// What it says now.
    #[serde(flatten)]
    content: ContentView,
}

/// A page of an order's proposals.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ProposalsPage {
    /// The proposals, by id.
    proposals: Vec<ProposalView>,
    /// Give it as `after` for the next page; absent at the end.
    next: Option<String>,
}

/// One version of a proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct VersionView {
    /// Its number, 1 is the first.
    version: u32,
    /// The event that made it.
    seq: u64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// What differs from the version before; none in the first one.
    changes: Vec<ChangeView>,
    /// What it says.
    #[serde(flatten)]
    content: ContentView,
}

/// One field that differs from the version before.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ChangeView {
    /// Which: `price`, `note`, `lines.SKU`, …
    field: String,
    /// Its former value; absent when there was none.
    from: Option<String>,
    /// Its new value; absent when there is none.
    to: Option<String>,
}

/// A page of a proposal's versions.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct VersionsPage {
    /// The versions, the first one first.
    pub(in crate::rest) versions: Vec<VersionView>,
    /// Give it as `after` for the next page; absent at the end.
    pub(in crate::rest) next: Option<u32>,
}

impl From<&Proposed> for ContentView {
    fn from(content: &Proposed) -> Self {
        Self {
            seller: content.seller.to_string(),
            price: content.price.amount().to_string(),
            currency: content.price.currency().as_str().to_owned(),
            lines: content.lines.iter().map(LineView::from).collect(),
            note: content.note.clone(),
            delivery_date: content.delivery_date.clone(),
            valid_until: content.valid_until.clone(),
            attachments: content.attachments.clone(),
        }
    }
}

impl From<&ProposalLine> for LineView {
    fn from(line: &ProposalLine) -> Self {
        Self {
            sku: line.sku.clone(),
            quantity: line.quantity.value().to_string(),
            unit: line.unit.clone(),
            price: line.price.amount().to_string(),
        }
    }
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        let Change { field, from, to } = change;
        Self { field, from, to }
    }
}

/// One proposal, if the order has it, and its version.
pub(in crate::rest) fn proposal(
    order: &Order,
    id: &ProposalId,
    now: Timestamp,
) -> Option<(u32, ProposalView)> {
    order.proposals.get(id).map(|held| (held.version, one(id, held, now)))
}

fn one(id: &ProposalId, held: &Proposal, now: Timestamp) -> ProposalView {
    let status = match held.phase {
        ProposalPhase::Open => "Open",
        ProposalPhase::Withdrawn => "Withdrawn",
        ProposalPhase::Closed => "Closed",
    };
    let lock = held.lock.as_ref().filter(|(_, until)| *until > now);
    ProposalView {
        proposal_id: id.to_string(),
        status,
        version: held.version,
        locked_by: lock.map(|(holder, _)| holder.to_string()),
        locked_until: lock.map(|(_, until)| rfc3339(*until)),
        at: rfc3339(held.at),
        content: ContentView::from(&held.content),
    }
}

/// A page of an order's proposals, and where the next one begins.
pub(in crate::rest) fn proposals(
    order: &Order,
    after: Option<&ProposalId>,
    limit: usize,
    now: Timestamp,
) -> ProposalsPage {
    let page = page::of(order, after, limit);
    let proposals = page.proposals.iter().map(|(id, held)| one(id, held, now)).collect();
    ProposalsPage { proposals, next: page.next.map(ToString::to_string) }
}

/// One version, beside the one before it.
pub(in crate::rest) fn version(
    number: u32,
    event: &Event,
    content: &Proposed,
    before: Option<&Proposed>,
) -> VersionView {
    let changes = before.map(|before| changes(before, content)).unwrap_or_default();
    VersionView {
        version: number,
        seq: event.seq.0,
        at: rfc3339(event.at),
        changes: changes.into_iter().map(ChangeView::from).collect(),
        content: ContentView::from(content),
    }
}
