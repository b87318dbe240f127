//! The statuses that this process writes to order requests, and their Events.

mod events;
mod pending;
mod queue;
mod rate_limit;
mod writer;

pub(crate) use self::events::Reporter;
pub(crate) use self::pending::{PendingStatus, StatusWriteOutcome};
pub(crate) use self::writer::{StatusWriter, StatusWriterParts};
