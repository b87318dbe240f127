//! The phase of an order as its buyer sees it: that of the order, or the state of its stream while
//! that is more informative.
//!
//! ```text
//!   Pending ──▶ Streaming ◀──▶ Paused            the order is open
//!      │            ▲ ▼          ▲ ▼
//!      │         Reconnecting ◀──┘  (the stream is down)
//!      ▼
//!   Failed        Finalised  Expired  Closed  Cancelled         ends, which are final
//! ```

use std::fmt;

use crate::order::Phase;
use crate::refusal::Reason;

/// The phase of an order request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestPhase {
    /// The order has no event yet.
    Pending,
    /// The order is open, and its stream is up.
    Streaming,
    /// The order takes no proposals for now, and its stream is up.
    Paused,
    /// The order is open or paused, and its stream is down.
    Reconnecting,
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
        Self::Streaming,
        Self::Paused,
        Self::Reconnecting,
        Self::Finalised,
        Self::Expired,
        Self::Closed,
        Self::Cancelled,
        Self::Failed,
    ];

    /// Returns the phase of an order, `None` before its first event, whose stream is up or down.
    pub const fn of(order: Option<Phase>, stream: StreamConnectivity) -> Self {
        match (order, stream) {
            (None, _) => Self::Pending,
            (Some(Phase::Finalised), _) => Self::Finalised,
            (Some(Phase::Expired), _) => Self::Expired,
            (Some(Phase::Closed), _) => Self::Closed,
            (Some(Phase::Cancelled), _) => Self::Cancelled,
            (Some(Phase::Open | Phase::Paused), StreamConnectivity::Down) => Self::Reconnecting,
            (Some(Phase::Paused), StreamConnectivity::Up) => Self::Paused,
            (Some(Phase::Open), StreamConnectivity::Up) => Self::Streaming,
        }
    }

    /// Returns the spelling in statuses, REST and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Streaming => "Streaming",
            Self::Paused => "Paused",
            Self::Reconnecting => "Reconnecting",
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

    /// Reports whether the order has ended; an end is final.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Streaming | Self::Paused | Self::Reconnecting => false,
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

/// The state of an order's stream, as far as the phase depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamConnectivity {
    /// Events are received.
    Up,
    /// The stream is being opened, or never was.
    Down,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_the_order_and_its_stream() {
        let ended = [Phase::Finalised, Phase::Expired, Phase::Closed, Phase::Cancelled];
        for stream in [StreamConnectivity::Up, StreamConnectivity::Down] {
            assert_eq!(RequestPhase::of(None, stream), RequestPhase::Pending);
            for end in ended {
                let phase = RequestPhase::of(Some(end), stream);
                assert_eq!((phase.as_str(), phase.is_terminal()), (end.as_str(), true));
            }
        }
        for (order, stream, expected) in [
            (Phase::Open, StreamConnectivity::Up, RequestPhase::Streaming),
            (Phase::Paused, StreamConnectivity::Up, RequestPhase::Paused),
            (Phase::Open, StreamConnectivity::Down, RequestPhase::Reconnecting),
            (Phase::Paused, StreamConnectivity::Down, RequestPhase::Reconnecting),
        ] {
            let phase = RequestPhase::of(Some(order), stream);
            assert_eq!((phase, phase.is_terminal()), (expected, false));
        }
    }

    #[test]
    fn every_spelling_is_parsed() {
        for phase in RequestPhase::ALL {
            assert_eq!(RequestPhase::parse(phase.as_str()), Some(phase));
            assert_eq!(is_end(phase.as_str()), phase.is_terminal());
        }
        assert_eq!(RequestPhase::parse("Open"), None);
        assert!(RequestPhase::Failed.is_terminal());
        assert_eq!(format!("{:>8}", RequestPhase::Closed), "  Closed");
    }
}
