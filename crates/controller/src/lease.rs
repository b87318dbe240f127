//! The lead: one of the processes holds the Lease, and it alone writes.

mod decide;
mod election;
mod leadership;

pub use self::decide::ElectionTimings;
pub use self::election::Election;
pub(crate) use self::election::run;
pub(crate) use self::leadership::{ElectionState, Leadership};
