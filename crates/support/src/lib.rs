//! Helpers that more than one crate needs, and that are not pure: waits between tries draw random
//! numbers, metrics are registered, the clock is read.

mod backoff;
mod clock;
mod metrics;

pub use backoff::{Backoff, jitter, jitter_around};
pub use clock::SystemClock;
pub use metrics::Register;
