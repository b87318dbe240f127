//! Proposals and their versions as documents.

use orderstream_core::command::{ProposalContent, ProposalLine};
use orderstream_core::comparison::{FieldChange, changes};
use orderstream_core::date::rfc3339;
use orderstream_core::order::{Proposal, ProposalPhase};
use orderstream_core::{Event, Order, ProposalId, Timestamp};
use orderstream_rest_types::proposal::{
    ChangeView, ContentView, ProposalLineView, ProposalView, ProposalsPage, VersionView,
};

use crate::page;

fn content_view(content: &ProposalContent) -> ContentView {
    ContentView {
        seller: content.seller.to_string(),
        price: content.price.amount().to_string(),
        currency: content.price.currency().as_str().to_owned(),
        lines: content.lines.iter().map(line_view).collect(),
        note: content.note.clone(),
        delivery_date: content.delivery_date.clone(),
        valid_until: content.valid_until.clone(),
        attachments: content.attachments.clone(),
    }
}

fn line_view(line: &ProposalLine) -> ProposalLineView {
    ProposalLineView {
        sku: line.sku.clone(),
        quantity: line.quantity.value().to_string(),
        unit: line.unit.clone(),
        price: line.price.amount().to_string(),
    }
}

fn change_view(change: FieldChange) -> ChangeView {
    let FieldChange { field, from, to } = change;
    ChangeView { field, from, to }
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
        status: status.to_owned(),
        version: proposal.version,
        locked_by: lock.map(|(holder, _)| holder.to_string()),
        locked_until: lock.map(|(_, until)| rfc3339(*until)),
        at: rfc3339(proposal.at),
        content: content_view(&proposal.content),
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
        changes: changes.into_iter().map(change_view).collect(),
        content: content_view(content),
    }
}
