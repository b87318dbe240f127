//! The open proposals of an order by seller and label: a seller has one without a label, and one
//! with each label. Labels that read alike are one label.

use std::collections::BTreeMap;

use crate::command::ProposalContent;
use crate::event::{Event, EventKind, ProposalUpdate};
use crate::hash::StableHasher;
use crate::id::ProposalId;
use crate::order::{Order, ProposalPhase};
use crate::visible::folded;

/// The number of open proposals with each seller and label, by a hash of both: an order may have
/// thousands of proposals, and a new one must not read them all. It is more than 1 in lists from
/// before a second one was refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OpenProposals(BTreeMap<u64, u32>);

impl OpenProposals {
    /// Records an event that was folded into the order.
    pub(super) fn record(&mut self, order: &Order, event: &Event) {
        // An ended order takes no proposals.
        if order.phase.is_terminal() {
            return self.0.clear();
        }
        if let EventKind::NewProposal(content) = &event.kind {
            let count = self.0.entry(hash(content)).or_default();
            *count = count.saturating_add(1);
        }
        if let EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id: id, .. })
        | EventKind::ProposalClosed { proposal_id: id, .. } = &event.kind
        {
            let count =
                order.proposals.get(id).and_then(|held| self.0.get_mut(&hash(&held.content)));
            if let Some(count) = count {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Returns an open proposal that has the seller and the label of this content.
    pub(super) fn find<'a>(
        &self,
        order: &'a Order,
        content: &ProposalContent,
    ) -> Option<&'a ProposalId> {
        // Two pairs may have one hash, so the proposals decide.
        self.0.get(&hash(content)).filter(|count| **count > 0)?;
        let mut open = order.proposals.iter().filter(|(_, held)| held.phase == ProposalPhase::Open);
        let label = folded_label(content);
        let is_same = |other: &ProposalContent| {
            other.seller == content.seller && folded_label(other) == label
        };
        open.find(|(_, held)| is_same(&held.content)).map(|(id, _)| id)
    }
}

/// Returns the label by which a proposal is compared; `None` for a main proposal.
fn folded_label(content: &ProposalContent) -> Option<String> {
    content.alternative.as_deref().map(folded)
}

fn hash(content: &ProposalContent) -> u64 {
    // No label is empty, except for earlier ones without a visible character.
    let label = folded_label(content).unwrap_or_default();
    StableHasher::default().texts(&[content.seller.as_str(), &label]).mixed()
}
