//! The statuses that this process writes to order requests, and their Events.

mod events;
mod last_applied;
mod pending;
mod queue;
mod rate_limit;
mod writer;

pub(crate) use self::events::Reporter;
pub(crate) use self::last_applied::AppliedStatus;
pub(crate) use self::pending::{PendingStatus, StatusWriteOutcome};
pub(crate) use self::writer::StatusWriter;
