//! The sellers that an order invites: at its opening, and those that come while it is open.

use super::{Invitation, InvitationState, Order, Phase};
use crate::id::{Seq, Timestamp};
use crate::spec::{SellerChoice, Verdict};

impl Order {
    /// Adds the chosen sellers of a selection to the invited ones. The selection of the opening has
    /// every seller that was considered; a later one has those that were invited before it, and the
    /// ones that it adds.
    pub(super) fn select(&mut self, seq: Seq, at: Timestamp, choices: &[SellerChoice]) {
        let is_new = |choice: &&SellerChoice| {
            choice.verdict == Verdict::Chosen && self.invitation(&choice.seller).is_none()
        };
        let invitation = |choice: &SellerChoice| {
            let mut invitation = Invitation::new(choice.seller.clone(), seq, at);
            // While nobody was invited, anybody might propose.
            if self.proposals.values().any(|held| held.content.seller == choice.seller) {
                invitation.state = InvitationState::Proposed;
            }
            invitation
        };
        let added: Vec<Invitation> = choices.iter().filter(is_new).map(invitation).collect();
        self.invitations.reserve_exact(added.len());
        self.invitations.extend(added);
        self.invitations.sort_by(|a, b| a.seller.cmp(&b.seller));
        self.keep_choices(choices);
    }

    /// Keeps the newest verdict on each seller that was considered.
    fn keep_choices(&mut self, choices: &[SellerChoice]) {
        if self.choices.is_empty() {
            self.choices = choices.to_vec();
            return;
        }
        for choice in choices {
            match self.choices.iter_mut().find(|held| held.seller == choice.seller) {
                Some(held) => held.clone_from(choice),
                None => self.choices.push(choice.clone()),
            }
        }
    }

    /// Returns the number of sellers that the order may still invite: none where it refuses late
    /// ones, while it is paused or an award is pending, and from its deadline on.
    pub fn free_places(&self) -> usize {
        let takes_proposals = self.phase == Phase::Open && self.pending_award.is_none();
        if !takes_proposals || !self.spec.sellers.late {
            return 0;
        }
        let max_count = usize::try_from(self.spec.sellers.max_count).unwrap_or(usize::MAX);
        max_count.saturating_sub(self.invitations.len())
    }

    /// Returns the event that invited the first sellers; `None` while nobody is invited, and anybody
    /// may propose.
    pub fn invited_since(&self) -> Option<Seq> {
        self.invitations.iter().map(|held| held.since).min()
    }
}
