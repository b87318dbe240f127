//! The phase of the stream over which an order is followed. The order has a phase of its own, which
//! does not depend on this one.
//!
//! ```text
//!   Pending ──▶ Active ◀──▶ Reconnecting
//!      │           │              │
//!      └───────────┴──────────────┴──▶ Ended       the order has ended, which is final
//! ```

use std::fmt;

/// The phase of an order's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamPhase {
    /// The stream was never up.
    Pending,
    /// Events are received, or the list of an order that was just opened is read again.
    Active,
    /// The stream was up, is down, and is being opened again.
    Reconnecting,
    /// The order has ended: nothing is left to follow.
    Ended,
}

impl StreamPhase {
    /// Every phase, for tables and series.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::Reconnecting, Self::Ended];

    /// Returns the spelling in statuses, REST and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::Reconnecting => "Reconnecting",
            Self::Ended => "Ended",
        }
    }

    /// Returns the phase with this spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

impl fmt::Display for StreamPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_parsed() {
        for phase in StreamPhase::ALL {
            assert_eq!(StreamPhase::parse(phase.as_str()), Some(phase));
        }
        assert_eq!(StreamPhase::parse("Open"), None);
        assert_eq!(format!("{:>8}", StreamPhase::Active), "  Active");
    }
}
