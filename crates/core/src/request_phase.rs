//! The phase of an order request: that of its order, and what comes before an order exists. Whether
//! the order's stream is up is no part of it: [`crate::stream_phase`] has that.
//!
//! ```text
//!   Pending ──▶ Open ◀──▶ Paused
//!      │          │          │
//!      │          └──────────┴──▶ Deciding     its deadline has passed; the buyer decides
//!      ▼
//!   Failed      Finalised  Expired  Closed  Cancelled          ends, which are final
//! ```

use std::fmt;

use crate::order::Phase;
use crate::refusal::Reason;

/// The phase of an order request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestPhase {
    /// The order has no event yet.
    Pending,
    /// The order takes proposals.
    Open,
    /// The order takes no proposals for now.
    Paused,
    /// The order takes no proposals any more, and waits for the buyer's decision.
    Deciding,
    /// The order ended with an award, or was finalised without one.
    Finalised,
    /// The order's time ran out.
    Expired,
    /// The buyer closed the order.
    Closed,
    /// The buyer cancelled the order.
    Cancelled,
    /// The order was refused before it was opened.
    Failed,
}

impl RequestPhase {
    /// Every phase, for tables, series and the texts of refusals.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Open,
        Self::Paused,
        Self::Deciding,
        Self::Finalised,
        Self::Expired,
        Self::Closed,
        Self::Cancelled,
        Self::Failed,
    ];

    /// Returns the phase of an order, `None` before its first event.
    pub const fn of(order: Option<Phase>) -> Self {
        match order {
            None => Self::Pending,
            Some(Phase::Open) => Self::Open,
            Some(Phase::Paused) => Self::Paused,
            Some(Phase::Deciding) => Self::Deciding,
            Some(Phase::Finalised) => Self::Finalised,
            Some(Phase::Expired) => Self::Expired,
            Some(Phase::Closed) => Self::Closed,
            Some(Phase::Cancelled) => Self::Cancelled,
        }
    }

    /// Returns the spelling in statuses, REST and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Open => "Open",
            Self::Paused => "Paused",
            Self::Deciding => "Deciding",
            Self::Finalised => "Finalised",
            Self::Expired => "Expired",
            Self::Closed => "Closed",
            Self::Cancelled => "Cancelled",
            Self::Failed => "Failed",
        }
    }

    /// Returns the phase with this spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }

    /// Returns the phase with this spelling in a status that was stored, perhaps by an earlier
    /// version: that wrote the stream's state in place of an open order's phase.
    pub fn read_stored(text: &str) -> Option<Self> {
        match text {
            "Streaming" | "Reconnecting" => Some(Self::Open),
            text => Self::parse(text),
        }
    }

    /// Reports whether the order has ended; an end is final.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Open | Self::Paused | Self::Deciding => false,
            Self::Finalised | Self::Expired | Self::Closed | Self::Cancelled | Self::Failed => true,
        }
    }
}

/// Returns the reason with which an order refuses a command after its end; `phase` is the spelling
/// of the phase in which it ended.
pub fn end_reason(phase: &str) -> Reason {
    match RequestPhase::parse(phase) {
        Some(RequestPhase::Expired) => Reason::DeadlinePassed,
        Some(_) | None => Reason::OrderEnded,
    }
}

/// Reports whether this is the spelling of a phase in which an order has ended.
pub fn is_end(phase: &str) -> bool {
    RequestPhase::parse(phase).is_some_and(RequestPhase::is_terminal)
}

impl fmt::Display for RequestPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_phase_of_their_order() {
        assert_eq!(RequestPhase::of(None), RequestPhase::Pending);
        for order in Phase::ALL {
            let phase = RequestPhase::of(Some(order));
            assert_eq!(phase.as_str(), order.as_str());
            assert_eq!(phase.is_terminal(), order.is_terminal(), "{order:?}");
        }
    }

    #[test]
    fn earlier_statuses_are_read() {
        for text in ["Streaming", "Reconnecting"] {
            assert_eq!(RequestPhase::read_stored(text), Some(RequestPhase::Open), "{text}");
            assert_eq!(RequestPhase::parse(text), None, "{text}");
        }
        for phase in RequestPhase::ALL {
            assert_eq!(RequestPhase::read_stored(phase.as_str()), Some(phase));
        }
        assert_eq!(RequestPhase::read_stored("Lucky"), None);
    }

    #[test]
    fn every_spelling_is_parsed() {
        for phase in RequestPhase::ALL {
            assert_eq!(RequestPhase::parse(phase.as_str()), Some(phase));
            assert_eq!(is_end(phase.as_str()), phase.is_terminal());
        }
        assert_eq!(RequestPhase::parse("open"), None);
        assert!(RequestPhase::Failed.is_terminal());
        assert_eq!(format!("{:>8}", RequestPhase::Closed), "  Closed");
    }
}
