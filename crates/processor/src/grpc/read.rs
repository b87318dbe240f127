//! Orders as replies: pure functions from the owner's state to the wire.

use orderstream_core::command::Award;
use orderstream_core::order::{Invitation, PendingAward, Proposal, ProposalPhase};
use orderstream_core::spec::Verdict;
use orderstream_core::{Order, Phase, ProposalId};
use orderstream_rpc::convert::{order_ref, proposal_to_wire, spec_to_wire, timestamp_to_wire};
use orderstream_rpc::v1;

use crate::orders::{FormerEntry, OrderRuntimeState};
use crate::page;

/// Converts an order, with a page of its proposals after `after`.
pub(super) fn state(
    order: &Order,
    runtime: &OrderRuntimeState,
    after: &str,
    limit: usize,
) -> v1::OrderState {
    let page = page::proposals_after(order, ProposalId::new(after).ok().as_ref(), limit);
    let to_wire = |held: &Proposal| proposal_to_wire(&held.content, held.version);
    v1::OrderState {
        order: Some(order_ref(&order.key, Some(order.incarnation.as_str()))),
        phase: order.phase.as_str().to_owned(),
        last_seq: order.last_seq.0,
        expires_at: Some(timestamp_to_wire(order.expires_at)),
        opened_at: Some(timestamp_to_wire(order.opened_at)),
        counts: Some(counts(order, runtime)),
        sellers: chosen(order),
        proposals: page.proposals.iter().map(|(_, held)| to_wire(held)).collect(),
        next_proposal_id: page.next.map(ToString::to_string).unwrap_or_default(),
        epoch: runtime.epoch.0,
        spec: Some(spec_to_wire(&order.spec)),
        award: order.award.as_ref().map(award),
        pending_award: order.pending_award.as_deref().map(pending),
        decide_until: order.decide_until.map(timestamp_to_wire),
        invitations: order.invitations.iter().map(|held| invitation(order, held)).collect(),
        former: runtime.formers.iter().map(former).collect(),
    }
}

fn former(former: &FormerEntry) -> v1::FormerIncarnation {
    v1::FormerIncarnation {
        incarnation: former.incarnation.to_string(),
        phase: former.phase.map_or("", Phase::as_str).to_owned(),
        last_seq: former.last_seq().0,
        opened_at: former.opened_at.map(timestamp_to_wire),
        ended_at: former.ended_at.map(timestamp_to_wire),
    }
}

fn pending(pending: &PendingAward) -> v1::AwardPending {
    let detail = pending.award.as_ref().map(award).unwrap_or_default();
    let reason = pending.reason.clone().unwrap_or_default();
    v1::AwardPending {
        award: Some(v1::AwardDetail { reason, ..detail }),
        effective_at: Some(timestamp_to_wire(pending.effective_at)),
    }
}

fn invitation(order: &Order, invitation: &Invitation) -> v1::Invitation {
    v1::Invitation {
        seller: invitation.seller.to_string(),
        state: invitation.state.as_str().to_owned(),
        at: Some(timestamp_to_wire(invitation.at)),
        reason: invitation.reason.clone().unwrap_or_default(),
        display_name: order.display_name(&invitation.seller).unwrap_or_default().to_owned(),
    }
}

/// Converts an order to an entry of a list.
pub(super) fn summary(order: &Order, runtime: &OrderRuntimeState) -> v1::OrderSummary {
    v1::OrderSummary {
        order: Some(order_ref(&order.key, Some(order.incarnation.as_str()))),
        phase: order.phase.as_str().to_owned(),
        last_seq: order.last_seq.0,
        expires_at: Some(timestamp_to_wire(order.expires_at)),
        opened_at: Some(timestamp_to_wire(order.opened_at)),
        counts: Some(counts(order, runtime)),
        epoch: runtime.epoch.0,
        title: order.spec.title.as_deref().unwrap_or_default().to_owned(),
        former: runtime.formers.iter().map(former).collect(),
    }
}

/// Makes the reply for an order that is held here.
pub(super) fn located(
    order: &Order,
    runtime: &OrderRuntimeState,
    processor: String,
) -> v1::LocateOrderResponse {
    v1::LocateOrderResponse {
        found: true,
        processor,
        last_seq: order.last_seq.0,
        phase: order.phase.as_str().to_owned(),
        epoch: runtime.epoch.0,
        order: Some(order_ref(&order.key, Some(order.incarnation.as_str()))),
    }
}

fn chosen(order: &Order) -> Vec<String> {
    let chosen = order.choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
    chosen.map(|choice| choice.seller.to_string()).collect()
}

fn counts(order: &Order, runtime: &OrderRuntimeState) -> v1::OrderCounts {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let open = |phase: ProposalPhase| phase == ProposalPhase::Open;
    v1::OrderCounts {
        sellers: count(order.invited_count()),
        proposals: count(order.proposals.len()),
        open_proposals: count(order.proposals.values().filter(|p| open(p.phase)).count()),
        follow_ups: count(order.follow_ups.len()),
        locks: count(order.proposals.values().filter(|p| p.lock.is_some()).count()),
        streams: count(runtime.followers),
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
