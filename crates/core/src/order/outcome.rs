//! The proposals of an order as a whole: how many there are in each phase, the best of them, and
//! those that have won.

use super::{Order, ProposalPhase};
use crate::command::Award;
use crate::comparison::{WonPart, best_open, next_lapse, won_part};
use crate::id::{ProposalId, Timestamp};
use crate::price::Price;

/// The number of an order's proposals in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProposalCounts {
    /// All that were ever made.
    pub received: u32,
    /// Those that can be awarded, or have won.
    pub open: u32,
    /// Those that were withdrawn.
    pub withdrawn: u32,
    /// Those that did not win.
    pub closed: u32,
}

impl Order {
    /// Counts the proposals.
    pub fn proposal_counts(&self) -> ProposalCounts {
        let mut counts = ProposalCounts::default();
        for proposal in self.proposals.values() {
            counts.received = counts.received.saturating_add(1);
            let of_phase = match proposal.phase {
                ProposalPhase::Open => &mut counts.open,
                ProposalPhase::Withdrawn => &mut counts.withdrawn,
                ProposalPhase::Closed => &mut counts.closed,
            };
            *of_phase = of_phase.saturating_add(1);
        }
        counts
    }

    /// Returns the open proposal with the lowest price of those that compete: complete, of an
    /// invited seller, valid and in time. `None` under seal, and where those are in several
    /// currencies. It is the best at the time of the last event, for owner and followers alike.
    /// This judges every open proposal, so it is for where the best one is shown.
    pub fn best_open(&self) -> Option<(ProposalId, Price)> {
        self.best_open_at(self.last_event.0)
    }

    /// Returns what [`Order::best_open`] returns, judged at a later time: a proposal whose validity
    /// has ended meanwhile does not compete any more. A clock behind the last event is not used.
    pub fn best_open_at(&self, now: Timestamp) -> Option<(ProposalId, Price)> {
        best_open(self, now.max(self.last_event.0))
    }

    /// Returns the next time at which an open proposal ceases to compete by itself, so that another
    /// one may be the best: its validity ends, or its delivery date is past. `None` where that does
    /// not happen any more, after the end, and under seal.
    pub fn next_lapse(&self, now: Timestamp) -> Option<Timestamp> {
        next_lapse(self, now.max(self.last_event.0))
    }

    /// Reports whether a proposal has won, as a whole or with a line.
    pub fn has_won(&self, id: &ProposalId) -> bool {
        match &self.award {
            None => false,
            Some(Award::Whole(winner)) => winner == id,
            Some(Award::Lines(lines)) => lines.iter().any(|(_, winner)| winner == id),
        }
    }

    /// Returns the part that a proposal has won: its lines, with their quantities and prices, and
    /// the price of all of it. `None` where it has won nothing.
    pub fn won_part(&self, id: &ProposalId) -> Option<WonPart> {
        won_part(self, id)
    }
}
