//! What clients do, over which interface, and what came of it.

use serde::{Deserialize, Serialize};

/// One thing that a seller or a buyer does to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// The buyer asks for quotations.
    Open(Opening),
    /// A seller's first version of a proposal.
    Propose {
        /// Its id.
        proposal: String,
    },
    /// The seller's next version.
    Amend {
        /// Its id.
        proposal: String,
    },
    /// The seller takes it back.
    Withdraw {
        /// Its id.
        proposal: String,
    },
    /// The seller will not propose.
    Decline,
    /// The seller asks the buyer.
    Ask,
    /// The seller has seen the invitation.
    See,
    /// The seller holds a proposal while editing; the lease is drawn so that it names the act.
    Lock {
        /// The proposal's id.
        proposal: String,
        /// For how long, milliseconds.
        lease_ms: u64,
    },
    /// The seller gives it back.
    Unlock {
        /// The proposal's id.
        proposal: String,
    },
    /// The buyer asks or tells the sellers something.
    FollowUp,
    /// The buyer takes no proposals for now.
    Pause,
    /// The buyer takes proposals again.
    Resume,
    /// The buyer gives more time; the whole life is drawn so that it names the act.
    Extend {
        /// Milliseconds from the opening.
        expires_in_ms: u64,
    },
    /// The buyer chooses; with a time to undo it counts only later.
    Award {
        /// The proposal that gets it.
        proposal: String,
        /// Milliseconds; 0 counts at once.
        undo_within_ms: u64,
    },
    /// The buyer takes the choice back.
    UndoAward,
    /// The buyer ends the order without an award.
    Close,
    /// The buyer calls the order off.
    Cancel,
}

/// What is asked for when an order is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// How long it lives, milliseconds.
    pub expires_in_ms: u64,
    /// Whether nobody learns anything before the deadline.
    pub sealed: bool,
    /// The sellers that are asked; empty for all.
    pub sellers: Vec<String>,
}

impl Op {
    /// The proposal that it is about.
    pub fn proposal(&self) -> Option<&str> {
        match self {
            Self::Propose { proposal }
            | Self::Amend { proposal }
            | Self::Withdraw { proposal }
            | Self::Lock { proposal, .. }
            | Self::Unlock { proposal }
            | Self::Award { proposal, .. } => Some(proposal),
            Self::Open(_)
            | Self::Decline
            | Self::Ask
            | Self::See
            | Self::FollowUp
            | Self::Pause
            | Self::Resume
            | Self::Extend { .. }
            | Self::UndoAward
            | Self::Close
            | Self::Cancel => None,
        }
    }

    /// Whether it ends the order where it counts at once.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Award { undo_within_ms: 0, .. } | Self::Close | Self::Cancel)
    }
}

/// An interface of the product. The number says which processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// A processor's REST.
    Rest(usize),
    /// A processor's unary calls.
    Grpc(usize),
    /// A processor's `SubmitProposals`.
    Bulk(usize),
    /// A seller's session at a processor.
    Session(usize),
    /// The requestor's REST.
    Requestor,
    /// The binary's own verbs.
    Cli,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done; the event's number where the interface tells it.
    Ok {
        /// Its number.
        seq: Option<u64>,
    },
    /// Not done, and the stable reason.
    Fail {
        /// The reason's spelling.
        reason: String,
    },
    /// Not known: no answer, an answer that was cut, busy, or stored and not decided yet.
    Unknown {
        /// Why not, for people.
        why: String,
    },
}

impl Outcome {
    /// Done, without a number.
    pub const DONE: Self = Self::Ok { seq: None };

    /// Not known.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// A refusal by its reason; what may have been done all the same, or passes by itself, is unknown.
    pub fn refused(reason: &str) -> Self {
        const PASSING: [&str; 6] =
            ["OVERLOADED", "DRAINING", "STORAGE_UNAVAILABLE", "UNREACHABLE", "LIMIT_REACHED", ""];
        if PASSING.contains(&reason) {
            return Self::unknown(reason);
        }
        Self::Fail { reason: reason.to_owned() }
    }

    /// Whether the client knows what came of it.
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}
