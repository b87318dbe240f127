//! Helpers that more than one service needs, and that are not pure: waits between tries draw random
//! numbers, metrics are registered.

mod backoff;
mod metrics;

pub use backoff::{Backoff, jitter, jitter_around};
pub use metrics::Register;
