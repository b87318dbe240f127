//! Helpers with side effects that more than one service needs: back-off with random jitter, and
//! registration of metrics.

mod backoff;
mod metrics;

pub use backoff::{Backoff, jitter, jitter_around};
pub use metrics::Register;
