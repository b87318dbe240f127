//! Proposals and their versions as documents.

use orderstream_core::command::{ProposalContent, ProposalLine};
use orderstream_core::comparison::{FieldChange, WonLine, WonPart, changes};
use orderstream_core::date::rfc3339;
use orderstream_core::order::{Proposal, ProposalPhase};
use orderstream_core::{Event, Order, Phase, ProposalId, Timestamp};
use orderstream_rest_types::proposal::{
    ChangeView, ContentView, ProposalLineView, ProposalView, ProposalsPage, VersionView,
    WonPartLineView, WonPartView,
};

use crate::page;

pub(super) fn content_view(content: &ProposalContent) -> ContentView {
    ContentView {
        seller: content.seller.to_string(),
        price: content.price.amount().to_string(),
        currency: content.price.currency().as_str().to_owned(),
        lines: content.lines.iter().map(line_view).collect(),
        note: content.note.clone(),
        delivery_date: content.delivery_date.clone(),
        valid_until: content.valid_until.clone(),
        attachments: content.attachments.clone(),
        your_reference: content.your_reference.clone(),
        alternative: content.alternative.as_deref().map(ToOwned::to_owned),
    }
}

fn line_view(line: &ProposalLine) -> ProposalLineView {
    ProposalLineView {
        sku: line.sku.clone(),
        quantity: line.quantity.value().to_string(),
        unit: line.unit.clone(),
        price: line.price.amount().to_string(),
        line: line.line.clone(),
        substitutes: line.substitutes.clone(),
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
    order.proposals.get(id).map(|held| (held.version, proposal_view(order, id, held, now)))
}

/// Returns what the order's end made of a proposal; `None` before it, and for a withdrawn one.
fn outcome(order: &Order, id: &ProposalId, phase: ProposalPhase) -> Option<&'static str> {
    if !order.phase.is_terminal() || phase == ProposalPhase::Withdrawn {
        return None;
    }
    let is_decided = order.phase == Phase::Finalised;
    Some(match (order.has_won(id), is_decided) {
        (true, _) => "Awarded",
        (false, true) => "NotAwarded",
        (false, false) => "Ended",
    })
}

fn won_part_view(part: WonPart) -> WonPartView {
    let WonPart { is_whole, lines, total } = part;
    WonPartView { whole: is_whole, lines: lines.into_iter().map(won_line_view).collect(), total }
}

fn won_line_view(line: WonLine) -> WonPartLineView {
    let WonLine { line, quantity, unit, price } = line;
    WonPartLineView { line, quantity, unit, price }
}

/// Returns the spelling of a proposal's phase.
pub(super) const fn status(phase: ProposalPhase) -> &'static str {
    match phase {
        ProposalPhase::Open => "Open",
        ProposalPhase::Withdrawn => "Withdrawn",
        ProposalPhase::Closed => "Closed",
    }
}

fn proposal_view(
    order: &Order,
    id: &ProposalId,
    proposal: &Proposal,
    now: Timestamp,
) -> ProposalView {
    let lock = proposal.lock.as_ref().filter(|(_, until)| *until > now);
    ProposalView {
        proposal_id: id.to_string(),
        status: status(proposal.phase).to_owned(),
        outcome: outcome(order, id, proposal.phase).map(ToOwned::to_owned),
        won: order.won_part(id).map(won_part_view),
        version: proposal.version,
        locked_by: lock.map(|(holder, _)| holder.to_string()),
        locked_until: lock.map(|(_, until)| rfc3339(*until)),
        at: rfc3339(proposal.at),
        seller_name: order.display_name(&proposal.content.seller).map(ToOwned::to_owned),
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
    let view = |(id, held): &(&ProposalId, &Proposal)| proposal_view(order, id, held, now);
    let proposals = page.proposals.iter().map(view).collect();
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
