//! An order in short: all of it that users are shown without asking for its proposals, small enough
//! to be kept for every order.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::command::Award;
use crate::id::{FollowUpId, Seq, Timestamp};
use crate::order::{InvitationState, Order, Phase, ProposalCounts};

/// An order in short. Stored: fields are only ever added, each with a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Where it is in its life.
    pub phase: Phase,
    /// The last event.
    pub last_seq: Seq,
    /// Its time and its word.
    pub last_event: (Timestamp, Cow<'static, str>),
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its time runs out.
    pub expires_at: Timestamp,
    /// Until when a sealed order waits for a decision; absent before its opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_until: Option<Timestamp>,
    /// When it reached its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Who won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<Award>,
    /// From when on an award counts that can still be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_until: Option<Timestamp>,
    /// Its proposals.
    pub proposals: ProposalCounts,
    /// Its sellers.
    pub sellers: SellerCounts,
    /// Its follow-ups, as far as its owner took them.
    pub follow_ups: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_follow_up: Option<FollowUpId>,
}

/// How many sellers an order has, by how far each is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerCounts {
    /// Invited.
    pub selected: u32,
    /// Told, or heard of by themselves.
    pub notified: u32,
    /// Could not be told.
    pub failed: u32,
    /// Looked at it, or went further; 0 under seal.
    pub seen: u32,
    /// Said no, invited or not.
    pub declined: u32,
    /// Proposed; 0 under seal.
    pub proposed: u32,
    /// Whether the order was sealed when they were counted.
    pub is_sealed: bool,
}

impl Summary {
    /// The order in short.
    pub fn of(order: &Order) -> Self {
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
            proposals: order.proposal_counts(),
            sellers: SellerCounts::of(order),
            follow_ups: count(order.follow_ups.len()),
            last_follow_up: order.follow_ups.last().cloned(),
        }
    }

    /// When its time runs out by itself, as users see it.
    pub fn runs_out_at(&self) -> Timestamp {
        self.decide_until.unwrap_or(self.expires_at)
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
            selected: count(order.selected()),
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
