//! One order as it is in the inbox of a seller.

use orderstream_core::date::rfc3339;
use orderstream_core::order::{InvitationState, Proposal, ProposalPhase};
use orderstream_core::{Order, ProposalId, SellerId};
use orderstream_rest_types::inbox::{InboxEntryView, OwnProposalView};

use super::proposal::status;
use crate::limits::INBOX_PROPOSALS_MAX;

/// Converts an order for a seller that is invited to it; `None` for any other seller. Nothing of
/// other sellers is in it. While the order is sealed, nothing shows whether the seller was
/// notified, has declined or has proposed: whoever asks may not be the seller.
pub(in crate::rest) fn inbox_entry(order: &Order, seller: &SellerId) -> Option<InboxEntryView> {
    let invitation = order.invitation(seller)?;
    let (state, at) = match order.is_sealed() {
        true => (InvitationState::Invited, order.opened_at),
        false => (invitation.state, invitation.at),
    };
    Some(InboxEntryView {
        tenant: order.key.tenant.to_string(),
        order_req_id: order.key.order_req_id.to_string(),
        incarnation: order.incarnation.to_string(),
        title: order.spec.title.as_deref().map(ToOwned::to_owned),
        state: state.as_str().to_owned(),
        at: rfc3339(at),
        phase: order.phase.as_str().to_owned(),
        sealed: order.is_sealed(),
        opened_at: rfc3339(order.opened_at),
        expires_at: rfc3339(order.expires_at),
        decide_until: order.decide_until.map(rfc3339),
        ended_at: order.ended_at.map(rfc3339),
        last_seq: order.last_seq.0,
        proposals: own_proposals(order, seller),
    })
}

/// Returns the seller's own proposals; none while the order is sealed.
fn own_proposals(order: &Order, seller: &SellerId) -> Vec<OwnProposalView> {
    if order.is_sealed() {
        return Vec::new();
    }
    let mut own: Vec<(&ProposalId, &Proposal)> =
        order.proposals.iter().filter(|(_, held)| held.content.seller == *seller).collect();
    own.sort_by_key(|(_, held)| {
        (held.phase != ProposalPhase::Open, held.content.alternative.is_some())
    });
    own.truncate(INBOX_PROPOSALS_MAX);
    own.into_iter().map(|(id, held)| own_proposal(order, id, held)).collect()
}

fn own_proposal(order: &Order, id: &ProposalId, proposal: &Proposal) -> OwnProposalView {
    let content = &proposal.content;
    OwnProposalView {
        proposal_id: id.to_string(),
        status: status(proposal.phase).to_owned(),
        version: proposal.version,
        alternative: content.alternative.as_deref().map(ToOwned::to_owned),
        price: Some(content.price.amount().to_string()),
        currency: Some(content.price.currency().as_str().to_owned()),
        won: order.has_won(id),
    }
}
