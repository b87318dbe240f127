//! How far each invited seller is.

use serde::{Deserialize, Serialize};

use crate::event::NotifyResult;
use crate::id::{SellerId, Timestamp};

/// How far an invited seller is; each state is later than the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InvitationState {
    /// Chosen, and not told yet.
    Invited,
    /// Could not be told.
    Bounced,
    /// A channel took the message.
    Notified,
    /// The seller said that it has seen the order.
    Seen,
    /// It will not propose.
    Declined,
    /// It proposed.
    Proposed,
}

impl InvitationState {
    /// The spelling on the wire and in answers.
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
    /// Who.
    pub seller: SellerId,
    /// How far it is.
    pub state: InvitationState,
    /// Since when.
    pub at: Timestamp,
    /// Why it could not be told, or why it declined.
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
