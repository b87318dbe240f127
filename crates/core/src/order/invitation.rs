//! The states of invited sellers.

use serde::{Deserialize, Serialize};

use crate::event::NotifyResult;
use crate::id::{SellerId, Timestamp};

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
    /// The seller's state.
    pub state: InvitationState,
    /// The time since which it has this state.
    pub at: Timestamp,
    /// The reason that it could not be notified, or that it gave for declining.
    pub reason: Option<String>,
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
