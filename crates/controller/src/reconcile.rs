//! The reconcile of order requests: which of them are due, the facts about one, and the steps of
//! the plan for it.

mod edits;
mod facts;
mod in_flight_command;
mod leading;
mod orphans;
mod placement;
mod processors;
mod publication;
mod queue;
mod reconciler;
mod state;
mod steps;

pub use self::processors::{ProcessorSource, Processors};
pub(crate) use self::reconciler::{Reconciler, ReconcilerParts};
