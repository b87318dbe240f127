//! The commands of clients, their interfaces, and their outcomes.

use serde::{Deserialize, Serialize};

/// A command of a seller or a buyer to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCommand {
    /// The buyer opens the order.
    Open(OpeningParameters),
    /// A seller sends the first version of a proposal.
    Propose {
        /// The proposal's id.
        proposal: String,
        /// Set if it is an alternative, with its id as the label.
        #[serde(default)]
        is_alternative: bool,
    },
    /// The seller sends the next version.
    Amend {
        /// The proposal's id.
        proposal: String,
    },
    /// The seller withdraws the proposal.
    Withdraw {
        /// The proposal's id.
        proposal: String,
    },
    /// The seller declines the invitation.
    Decline,
    /// The seller asks a question.
    Ask,
    /// The seller marks the invitation as seen.
    See,
    /// The seller acquires a proposal's edit lock; its duration is drawn so that it identifies the
    /// command.
    Lock {
        /// The proposal's id.
        proposal: String,
        /// The duration of the lock, milliseconds.
        lease_ms: u64,
    },
    /// The seller releases the edit lock.
    Unlock {
        /// The proposal's id.
        proposal: String,
    },
    /// The buyer sends a follow-up.
    FollowUp,
    /// The buyer pauses the order.
    Pause,
    /// The buyer resumes the order.
    Resume,
    /// The buyer extends the order; the new lifetime is drawn so that it identifies the command.
    Extend {
        /// The new lifetime, milliseconds from the opening.
        expires_in_ms: u64,
    },
    /// The buyer awards a proposal; if it can be undone, the award is pending until then.
    Award {
        /// The awarded proposal's id.
        proposal: String,
        /// The time for which it can be undone, milliseconds; 0 takes effect at once.
        undo_within_ms: u64,
    },
    /// The buyer undoes the pending award.
    UndoAward,
    /// The buyer closes the order without an award.
    Close,
    /// The buyer cancels the order.
    Cancel,
}

/// The specification of an order that is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningParameters {
    /// The order's lifetime, milliseconds.
    pub expires_in_ms: u64,
    /// The time to decide after the deadline, milliseconds; absent for the default.
    #[serde(default)]
    pub decide_within_ms: Option<u64>,
    /// Set if proposals are hidden before the deadline.
    pub sealed: bool,
    /// The invited sellers; empty for all.
    pub sellers: Vec<String>,
}

impl ClientCommand {
    /// Returns the proposal that the command concerns.
    pub fn proposal(&self) -> Option<&str> {
        match self {
            Self::Propose { proposal, .. }
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

    /// Returns the label of the proposal that the command makes; empty for the seller's main one.
    pub fn label(&self) -> &str {
        if let Self::Propose { proposal, is_alternative: true } = self { proposal } else { "" }
    }

    /// Reports whether the command ends the order at once.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Award { undo_within_ms: 0, .. } | Self::Close | Self::Cancel)
    }
}

/// An interface of the product; the number is the processor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientInterface {
    /// A processor's REST.
    Rest(usize),
    /// A processor's unary gRPC calls.
    Grpc(usize),
    /// A processor's `SubmitProposals`.
    Bulk(usize),
    /// A seller's session at a processor.
    Session(usize),
    /// The requestor's REST.
    Requestor,
    /// The binary's subcommands.
    Cli,
}

/// The outcome of a command, as far as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientOutcome {
    /// The command succeeded; with the event's sequence number if the interface returns it.
    Ok {
        /// The event's sequence number.
        seq: Option<u64>,
    },
    /// The command failed, with the stable reason.
    Fail {
        /// The name of the reason.
        reason: String,
    },
    /// The outcome is unknown: no response, a truncated response, an overloaded server, or a
    /// command that is stored and not decided yet.
    Unknown {
        /// A human-readable cause.
        cause: String,
    },
}

impl ClientOutcome {
    /// Success, without a sequence number.
    pub const SUCCESS: Self = Self::Ok { seq: None };

    /// Returns an unknown outcome with this cause.
    pub fn unknown(cause: impl Into<String>) -> Self {
        Self::Unknown { cause: cause.into() }
    }

    /// Returns the outcome of a refusal; unknown for transient reasons, or those for which the
    /// command may have been applied.
    pub fn refused(reason: &str) -> Self {
        const TRANSIENT: [&str; 6] =
            ["OVERLOADED", "DRAINING", "STORAGE_UNAVAILABLE", "UNREACHABLE", "LIMIT_REACHED", ""];
        if TRANSIENT.contains(&reason) {
            return Self::unknown(reason);
        }
        Self::Fail { reason: reason.to_owned() }
    }

    /// Reports whether the client knows the outcome.
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}
