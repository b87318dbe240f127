//! Orders as answers: pure functions from what the owner holds to what goes out.

use std::ops::Bound;

use orderstream_core::command::{Award, Proposed};
use orderstream_core::order::ProposalPhase;
use orderstream_core::spec::Verdict;
use orderstream_core::{Order, ProposalId};
use orderstream_rpc::convert::{order_ref, proposal_to_wire, spec_to_wire, timestamp_to_wire};
use orderstream_rpc::v1;

use crate::limits::PAGE_BYTES_MAX;
use crate::orders::Facts;

/// An order with a page of its proposals after `after`.
pub(super) fn state(order: &Order, facts: &Facts, after: &str, page: usize) -> v1::OrderState {
    let from = ProposalId::new(after).map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = order.proposals.range((from, Bound::Unbounded)).map(|(_, held)| held).peekable();
    let mut proposals = Vec::new();
    let mut bytes: usize = 0;
    while let Some(held) = rest.peek().filter(|_| proposals.len() < page) {
        bytes = bytes.saturating_add(text_bytes(&held.content));
        if bytes > PAGE_BYTES_MAX && !proposals.is_empty() {
            break;
        }
        proposals.push(proposal_to_wire(&held.content, held.version));
        rest.next();
    }
    let last = proposals.last().map(|last: &v1::Proposal| last.proposal_id.clone());
    let next = rest.peek().and(last);
    v1::OrderState {
        order: Some(order_ref(&order.key, Some(order.incarnation.as_str()))),
        phase: order.phase.as_str().to_owned(),
        last_seq: order.last_seq.0,
        expires_at: Some(timestamp_to_wire(order.expires_at)),
        opened_at: Some(timestamp_to_wire(order.opened_at)),
        counts: Some(counts(order, facts)),
        sellers: chosen(order),
        proposals,
        next_proposal_id: next.unwrap_or_default(),
        epoch: facts.epoch.0,
        spec: Some(spec_to_wire(&order.spec)),
        award: order.award.as_ref().map(award),
    }
}

/// About how much of a message a proposal takes.
fn text_bytes(proposal: &Proposed) -> usize {
    /// For the ids, prices and dates, each bounded by a line.
    const SMALL_FIELDS: usize = 512;
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let lines = proposal.lines.iter().map(|line| line.sku.len() + text(&line.unit) + 64);
    lines.sum::<usize>() + text(&proposal.note) + SMALL_FIELDS
}

/// An order in one line of a list.
pub(super) fn summary(order: &Order, facts: &Facts) -> v1::OrderSummary {
    v1::OrderSummary {
        order: Some(order_ref(&order.key, Some(order.incarnation.as_str()))),
        phase: order.phase.as_str().to_owned(),
        last_seq: order.last_seq.0,
        expires_at: Some(timestamp_to_wire(order.expires_at)),
        opened_at: Some(timestamp_to_wire(order.opened_at)),
        counts: Some(counts(order, facts)),
        epoch: facts.epoch.0,
        title: order.spec.title.clone().unwrap_or_default(),
    }
}

/// That the order is here.
pub(super) fn located(order: &Order, facts: &Facts, processor: String) -> v1::LocateOrderResponse {
    v1::LocateOrderResponse {
        found: true,
        processor,
        last_seq: order.last_seq.0,
        phase: order.phase.as_str().to_owned(),
        epoch: facts.epoch.0,
        order: Some(order_ref(&order.key, Some(order.incarnation.as_str()))),
    }
}

fn chosen(order: &Order) -> Vec<String> {
    let chosen = order.choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
    chosen.map(|choice| choice.seller.to_string()).collect()
}

fn counts(order: &Order, facts: &Facts) -> v1::OrderCounts {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let open = |phase: ProposalPhase| phase == ProposalPhase::Open;
    v1::OrderCounts {
        sellers: count(order.selected()),
        proposals: count(order.proposals.len()),
        open_proposals: count(order.proposals.values().filter(|p| open(p.phase)).count()),
        follow_ups: count(order.follow_ups.len()),
        locks: count(order.proposals.values().filter(|p| p.lock.is_some()).count()),
        streams: count(facts.followers),
    }
}

fn award(award: &Award) -> v1::AwardDetail {
    match award {
        Award::Whole(id) => {
            v1::AwardDetail { proposal_id: id.to_string(), ..v1::AwardDetail::default() }
        }
        Award::Lines(lines) => v1::AwardDetail {
            lines: lines
                .iter()
                .map(|(sku, id)| v1::AwardLine { sku: sku.clone(), proposal_id: id.to_string() })
                .collect(),
            ..v1::AwardDetail::default()
        },
    }
}
