//! The states of invited sellers.

use serde::{Deserialize, Serialize};

use crate::event::NotifyResult;
use crate::id::{SellerId, Seq, Timestamp};

/// The state of an invited seller; each state is later than the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InvitationState {
    /// The seller is chosen, and not notified yet.
    Invited,
    /// The seller could not be notified.
    Bounced,
    /// A channel accepted the notification.
    Notified,
    /// The seller confirmed that it has seen the order.
    Seen,
    /// The seller will not propose.
    Declined,
    /// The seller proposed.
    Proposed,
}

impl InvitationState {
    /// Returns the spelling on the wire and in replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "Invited",
            Self::Bounced => "Bounced",
            Self::Notified => "Notified",
            Self::Seen => "Seen",
            Self::Declined => "Declined",
            Self::Proposed => "Proposed",
        }
    }
}

/// One invited seller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The seller's name.
    pub seller: SellerId,
    /// The event that invited it.
    pub since: Seq,
    /// The seller's state.
    pub state: InvitationState,
    /// The time since which it has this state.
    pub at: Timestamp,
    /// The reason that it could not be notified, or that it gave for declining.
    pub reason: Option<String>,
    /// The invitation as its notifications alone left it, of a seller that acted in a sealed order.
    delivery: Option<Box<Self>>,
}

impl Invitation {
    /// Returns the invitation of a seller that was chosen by this event, at this time.
    pub(super) const fn new(seller: SellerId, since: Seq, at: Timestamp) -> Self {
        let state = InvitationState::Invited;
        Self { seller, since, state, at, reason: None, delivery: None }
    }

    /// Moves to a later state, and never back.
    pub(super) fn advance(
        &mut self,
        at: Timestamp,
        state: InvitationState,
        reason: Option<&String>,
    ) {
        if state > self.state {
            (self.state, self.at, self.reason) = (state, at, reason.cloned());
        }
    }

    /// Moves as [`Self::advance`] does. In a sealed order the state before the seller acted is kept
    /// beside it, for that is the one that may be shown.
    pub(super) fn advance_under_seal(
        &mut self,
        at: Timestamp,
        state: InvitationState,
        reason: Option<&String>,
    ) {
        let is_by_seller = state > InvitationState::Notified;
        if !is_by_seller && let Some(delivery) = &mut self.delivery {
            delivery.advance(at, state, reason);
        }
        if is_by_seller && state > self.state && self.delivery.is_none() {
            self.delivery = Some(Box::new(self.clone()));
        }
        self.advance(at, state, reason);
    }

    /// Returns the invitation as its notifications alone left it, where that is kept, and else
    /// itself.
    pub fn without_acts(&self) -> &Self {
        self.delivery.as_deref().unwrap_or(self)
    }
}

impl From<NotifyResult> for InvitationState {
    fn from(result: NotifyResult) -> Self {
        match result {
            NotifyResult::Delivered => Self::Notified,
            NotifyResult::Bounced => Self::Bounced,
            NotifyResult::Seen => Self::Seen,
        }
    }
}
