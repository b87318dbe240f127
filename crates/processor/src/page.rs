//! One page of an order's proposals: bounded in number and in bytes, the same for gRPC and REST.

use std::ops::Bound;

use orderstream_core::command::ProposalContent;
use orderstream_core::order::Proposal;
use orderstream_core::{Order, ProposalId};

use crate::limits::PAGE_BYTES_MAX;

/// A page of proposals, with its cursor.
#[derive(Debug)]
pub(crate) struct ProposalSlice<'a> {
    /// The proposals, in the order of their ids.
    pub proposals: Vec<(&'a ProposalId, &'a Proposal)>,
    /// The last id of this page when there are more.
    pub next: Option<&'a ProposalId>,
}

/// Returns at most `limit` proposals after `after`, and at least one where there is one.
pub(crate) fn proposals_after<'a>(
    order: &'a Order,
    after: Option<&ProposalId>,
    limit: usize,
) -> ProposalSlice<'a> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = order.proposals.range::<ProposalId, _>((from, Bound::Unbounded)).peekable();
    let mut proposals = Vec::new();
    let mut bytes: usize = 0;
    while let Some((id, proposal)) = rest.peek().copied().filter(|_| proposals.len() < limit) {
        bytes = bytes.saturating_add(text_bytes(&proposal.content));
        if bytes > PAGE_BYTES_MAX && !proposals.is_empty() {
            break;
        }
        proposals.push((id, proposal));
        rest.next();
    }
    let last = proposals.last().map(|(id, _)| *id);
    ProposalSlice { next: rest.peek().and(last), proposals }
}

/// Estimates the bytes that a proposal takes in a message.
pub(crate) fn text_bytes(proposal: &ProposalContent) -> usize {
    /// Bytes for the ids, prices, dates, the reference and the label, each limited to a line.
    const SMALL_FIELDS: usize = 512;
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let lines = proposal.lines.iter().map(|line| {
        line.sku.len() + text(&line.unit) + text(&line.line) + text(&line.substitutes) + 64
    });
    let attachments = proposal.attachments.iter().map(String::len);
    lines.sum::<usize>() + attachments.sum::<usize>() + text(&proposal.note) + SMALL_FIELDS
}
