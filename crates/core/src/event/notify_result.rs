//! The result of notifying a seller.

use serde::{Deserialize, Serialize};

/// The result of notifying a seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyResult {
    /// The channel accepted the notification.
    Delivered,
    /// The notification could not be delivered, and is not retried.
    Bounced,
    /// The seller has seen the order.
    Seen,
}

impl NotifyResult {
    /// Returns the spelling on the wire and in replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Seen => "seen",
        }
    }

    /// Returns the result with this spelling; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delivered, Self::Bounced, Self::Seen].into_iter().find(|r| r.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_notifications_are_parsed() {
        for result in [NotifyResult::Delivered, NotifyResult::Bounced, NotifyResult::Seen] {
            assert_eq!(NotifyResult::parse(result.as_str()), Some(result));
        }
        assert_eq!(NotifyResult::parse("Seen"), None);
    }
}
