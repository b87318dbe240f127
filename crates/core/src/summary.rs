//! The summary of an order: all that users are shown of it without its proposals, small enough to
//! hold one in memory for every order.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::command::Award;
use crate::id::{FollowUpId, ProposalId, Seq, Timestamp};
use crate::order::{InvitationState, Order, Phase, ProposalCounts};
use crate::price::Price;

/// The summary of an order. Stored: fields are only ever added, each with a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderSummary {
    /// The order's phase.
    pub phase: Phase,
    /// The sequence number of the last event.
    pub last_seq: Seq,
    /// The time and the kind of the last event.
    pub last_event: (Timestamp, Cow<'static, str>),
    /// The time at which the order was opened.
    pub opened_at: Timestamp,
    /// The deadline for proposals.
    pub expires_at: Timestamp,
    /// The time until which it waits for a decision; absent before its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_until: Option<Timestamp>,
    /// The time at which it ended; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The award; absent where nobody has won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<Award>,
    /// The time at which a pending award takes effect; absent where none is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_until: Option<Timestamp>,
    /// The counts of its proposals, and the best of them.
    pub proposals: ProposalsSummary,
    /// The counts of its sellers.
    pub sellers: SellerCounts,
    /// The number of its follow-ups that its owner accepted.
    pub follow_ups: u32,
    /// The id of the last follow-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_follow_up: Option<FollowUpId>,
}

/// The number of an order's proposals in each phase, and the best of the open ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProposalsSummary {
    /// All that were ever made.
    pub received: u32,
    /// Those that can be awarded, or have won.
    pub open: u32,
    /// Those that were withdrawn.
    pub withdrawn: u32,
    /// Those that did not win.
    pub closed: u32,
    /// The best of the open ones, [`Order::best_open_at`] the time of the summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<(ProposalId, Price)>,
}

/// The number of an order's sellers at each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerCounts {
    /// Sellers that were invited.
    pub selected: u32,
    /// Sellers that were notified, or acted without a notification.
    pub notified: u32,
    /// Sellers that could not be notified.
    pub failed: u32,
    /// Sellers that opened the order, or went further; 0 under seal.
    pub seen: u32,
    /// Sellers that declined, invited or not.
    pub declined: u32,
    /// Sellers that proposed; 0 under seal.
    pub proposed: u32,
    /// The order was sealed when they were counted.
    pub is_sealed: bool,
}

impl OrderSummary {
    /// Returns the summary of this order, as it is at its last event.
    pub fn of(order: &Order) -> Self {
        Self::at(order, order.last_event.0)
    }

    /// Returns the summary of this order, with the proposal that is the best at this time.
    pub fn at(order: &Order, now: Timestamp) -> Self {
        Self {
            phase: order.phase,
            last_seq: order.last_seq,
            last_event: (order.last_event.0, Cow::Borrowed(order.last_event.1)),
            opened_at: order.opened_at,
            expires_at: order.expires_at,
            decide_until: order.decide_until,
            ended_at: order.ended_at,
            award: order.award.clone(),
            pending_until: order.pending_award.as_ref().map(|pending| pending.effective_at),
            proposals: ProposalsSummary::at(order, now),
            sellers: SellerCounts::of(order),
            follow_ups: count(order.follow_ups.len()),
            last_follow_up: order.follow_ups.last().cloned(),
        }
    }

    /// Returns the time until which its buyer decides; `None` before its deadline, and where there
    /// was nothing to decide.
    pub fn decide_by(&self) -> Option<Timestamp> {
        self.decide_until.filter(|until| *until > self.expires_at)
    }

    /// Returns the time at which it runs out by itself, as users see it.
    pub fn runs_out_at(&self) -> Timestamp {
        self.decide_until.unwrap_or(self.expires_at)
    }
}

impl ProposalsSummary {
    fn at(order: &Order, now: Timestamp) -> Self {
        let ProposalCounts { received, open, withdrawn, closed } = order.proposal_counts();
        Self { received, open, withdrawn, closed, best: order.best_open_at(now) }
    }
}

impl SellerCounts {
    fn of(order: &Order) -> Self {
        let (notified, failed) = order.notified();
        let is_sealed = order.is_sealed();
        let reached = |states: &[InvitationState]| {
            let invited = order.invitations.iter().filter(|_| !is_sealed);
            count(invited.filter(|held| states.contains(&held.state)).count())
        };
        Self {
            selected: count(order.invited_count()),
            notified: count(notified),
            failed: count(failed),
            seen: reached(&[
                InvitationState::Seen,
                InvitationState::Declined,
                InvitationState::Proposed,
            ]),
            declined: count(order.declined.len()),
            proposed: reached(&[InvitationState::Proposed]),
            is_sealed,
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
