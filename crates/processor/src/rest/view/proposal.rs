//! Proposals and their versions as JSON.

use orderstream_core::command::{ProposalContent, ProposalLine};
use orderstream_core::comparison::{FieldChange, changes};
use orderstream_core::date::rfc3339;
use orderstream_core::order::{Proposal, ProposalPhase};
use orderstream_core::{Event, Order, ProposalId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::page;

/// The content of a proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ContentView {
    /// The proposing seller; `sealed` while the order is.
    seller: String,
    /// The total price, a decimal.
    #[schema(example = "1249.50")]
    price: String,
    /// The currency, ISO 4217; the code of no currency while the order is sealed.
    #[schema(example = "EUR")]
    currency: String,
    /// The lines; empty where the seller gave none.
    lines: Vec<LineView>,
    /// The note to the buyer.
    note: Option<String>,
    /// The date of delivery, as the seller wrote it.
    delivery_date: Option<String>,
    /// The end of validity, as the seller wrote it.
    valid_until: Option<String>,
    /// The URLs of its documents.
    attachments: Vec<String>,
}

/// One line of a proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct LineView {
    /// The buyer's article number.
    sku: String,
    /// The quantity, a decimal.
    quantity: String,
    /// The unit of the quantity.
    unit: Option<String>,
    /// The price of the whole line, a decimal in the proposal's currency.
    price: String,
}

/// One proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ProposalView {
    /// The proposal's id.
    proposal_id: String,
    /// The status: `Open`, `Withdrawn` or `Closed`.
    #[schema(example = "Open")]
    status: &'static str,
    /// The version, 1 is the first; also the ETag.
    version: u32,
    /// The seller that holds the edit lock; absent without one.
    locked_by: Option<String>,
    /// The time at which the lock expires, unless it is released before.
    #[schema(format = DateTime)]
    locked_until: Option<String>,
    /// The time of its first version.
    #[schema(format = DateTime)]
    at: String,
    /// The content of the newest version.
    #[serde(flatten)]
    content: ContentView,
}

/// A page of an order's proposals.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ProposalsPage {
    /// The proposals, by id.
    proposals: Vec<ProposalView>,
    /// The `after` of the next page; absent at the end.
    next: Option<String>,
}

/// One version of a proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct VersionView {
    /// The version's number, 1 is the first.
    version: u32,
    /// The sequence number of the event that made it.
    seq: u64,
    /// The time of that event.
    #[schema(format = DateTime)]
    at: String,
    /// The differences from the version before; none in the first one.
    changes: Vec<ChangeView>,
    /// The content of this version.
    #[serde(flatten)]
    content: ContentView,
}

/// One field that differs from the version before.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ChangeView {
    /// The field: `price`, `note`, `lines.SKU`, …
    field: String,
    /// The former value; absent when there was none.
    from: Option<String>,
    /// The new value; absent when there is none.
    to: Option<String>,
}

/// A page of a proposal's versions.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct VersionsPage {
    /// The versions, the first one first.
    pub(in crate::rest) versions: Vec<VersionView>,
    /// The `after` of the next page; absent at the end.
    pub(in crate::rest) next: Option<u32>,
}

impl From<&ProposalContent> for ContentView {
    fn from(content: &ProposalContent) -> Self {
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

impl From<FieldChange> for ChangeView {
    fn from(change: FieldChange) -> Self {
        let FieldChange { field, from, to } = change;
        Self { field, from, to }
    }
}

/// Converts one proposal, if the order has it; with its version.
pub(in crate::rest) fn proposal(
    order: &Order,
    id: &ProposalId,
    now: Timestamp,
) -> Option<(u32, ProposalView)> {
    order.proposals.get(id).map(|held| (held.version, proposal_view(id, held, now)))
}

fn proposal_view(id: &ProposalId, proposal: &Proposal, now: Timestamp) -> ProposalView {
    let status = match proposal.phase {
        ProposalPhase::Open => "Open",
        ProposalPhase::Withdrawn => "Withdrawn",
        ProposalPhase::Closed => "Closed",
    };
    let lock = proposal.lock.as_ref().filter(|(_, until)| *until > now);
    ProposalView {
        proposal_id: id.to_string(),
        status,
        version: proposal.version,
        locked_by: lock.map(|(holder, _)| holder.to_string()),
        locked_until: lock.map(|(_, until)| rfc3339(*until)),
        at: rfc3339(proposal.at),
        content: ContentView::from(&proposal.content),
    }
}

/// Converts a page of an order's proposals.
pub(in crate::rest) fn proposals(
    order: &Order,
    after: Option<&ProposalId>,
    limit: usize,
    now: Timestamp,
) -> ProposalsPage {
    let page = page::proposals_after(order, after, limit);
    let proposals = page.proposals.iter().map(|(id, held)| proposal_view(id, held, now)).collect();
    ProposalsPage { proposals, next: page.next.map(ToString::to_string) }
}

/// Converts one version, with its differences from the one before it.
pub(in crate::rest) fn version(
    number: u32,
    event: &Event,
    content: &ProposalContent,
    before: Option<&ProposalContent>,
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
