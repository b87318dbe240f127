//! The requestor: the buyer's REST, the tracker of all orders, one resuming stream per order, and
//! the store from which a killed requestor resumes.

mod act_queue;
mod acts;
mod backoff;
mod buyer;
mod channels;
mod config;
mod door;
mod error;
#[cfg(test)]
mod fake;
#[cfg(test)]
#[allow(dead_code, reason = "the journal's own tests use the rest")]
#[path = "../../journal/tests/faulty.rs"]
mod faulty;
mod follower;
mod handle;
mod journal_lists;
mod metrics;
mod names;
mod owners;
mod projector;
mod registry;
pub mod rest;
mod service;
mod shared;
mod shown;
mod store;

pub use config::Config;
pub use error::Error;
pub use handle::Handle;
pub use journal_lists::JournalLists;
pub use metrics::Metrics;
pub use projector::{Projection, ProjectionMetrics};
pub use service::{Parts, Requestor, Service};
pub use store::{
    Ended, Lists, MemoryLists, OrderStore, Record, Stock, StoreError, Stored, StoredAct,
    StoredRefusal, Submission, Turn,
};
