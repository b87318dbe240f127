//! The news that somebody is notified of.

use crate::command::{Award, ProposalContent};
use crate::event::{OrderOpened, ProposalUpdate};
use crate::id::Timestamp;
use crate::spec::FollowUp;

/// The news of an event: who is notified of it, and what is said, follows from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Announcement<'a> {
    /// The order was opened.
    Opening(&'a OrderOpened),
    /// Sellers are invited.
    Invitation,
    /// A seller proposed.
    Proposal(&'a ProposalContent),
    /// A proposal changed, or a seller declined, answered or asked.
    Update(&'a ProposalUpdate),
    /// The buyer wrote.
    FollowUp(&'a FollowUp),
    /// The order takes no proposals.
    Pause {
        /// Set where the order expired, which is its end.
        expired: bool,
        /// The reason.
        reason: Option<&'a str>,
    },
    /// The order takes proposals again.
    Resumption,
    /// The order expires only at this time.
    Extension(Timestamp),
    /// The order's deadline has passed; a sealed one is opened. It expires at this time without a
    /// decision.
    Deadline(Timestamp),
    /// The order ended, with a winner or without one.
    Award {
        /// The award; nobody won where it is absent.
        award: Option<&'a Award>,
        /// The buyer's reason.
        reason: Option<&'a str>,
    },
    /// The order ended without an award.
    End {
        /// The buyer's reason.
        reason: Option<&'a str>,
    },
}
