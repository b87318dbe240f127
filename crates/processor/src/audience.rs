//! The events of an order that one of its sellers sees: the buyer's messages, and the course of its
//! own proposals.

use orderstream_core::event::SellerAudience;
use orderstream_core::seal::SEALED;
use orderstream_core::{EventKind, ProposalId, SellerId};

/// Reports whether an event is for a seller whether or not it takes part: whatever follows from its
/// own acts, or from notifying it, is not.
pub(crate) fn concerns_in_silence(seller: &SellerId, kind: &EventKind) -> bool {
    match kind.audience() {
        SellerAudience::All => true,
        SellerAudience::Sellers(sellers) => sellers.contains(seller),
        SellerAudience::Nobody
        | SellerAudience::Seller(_)
        | SellerAudience::Proposer(_)
        | SellerAudience::OwnerOf(_) => false,
    }
}

/// Reports whether a seller sees an event: it sees the events of its own proposals, and not those
/// of other sellers. `is_own` reports whether a proposal is the seller's.
pub(crate) fn concerns(
    seller: &SellerId,
    kind: &EventKind,
    is_own: impl Fn(&ProposalId) -> bool,
) -> bool {
    match kind.audience() {
        SellerAudience::All => true,
        SellerAudience::Nobody => false,
        SellerAudience::Sellers(sellers) => sellers.contains(seller),
        SellerAudience::Seller(by) => by == seller,
        // Before the opening of a sealed order the event names no seller, so the proposal's id
        // decides.
        SellerAudience::Proposer(proposal) if proposal.seller.as_str() == SEALED => {
            proposal.proposal_id.as_ref().is_some_and(is_own)
        }
        SellerAudience::Proposer(proposal) => proposal.seller == *seller,
        SellerAudience::OwnerOf(proposal_id) => is_own(proposal_id),
    }
}
