//! The requestor: the buyer's REST, the tracker of all orders, one resuming stream per order, and
//! the store from which a killed requestor resumes.

mod backoff;
mod buyer;
mod channels;
mod circuit_breaker;
mod command_queue;
mod command_sender;
mod config;
mod display_log;
mod error;
#[cfg(test)]
mod fake_processor;
#[cfg(test)]
#[allow(dead_code, reason = "the journal's own tests use the rest")]
#[path = "../../journal/tests/faulty.rs"]
mod faulty;
mod follower;
mod handle;
mod journal_lists;
mod metrics;
mod owners;
mod projector;
mod registry;
pub mod rest;
mod seller_interner;
mod service;
mod state;
mod store;

pub use config::Config;
pub use error::Error;
pub use handle::Handle;
pub use journal_lists::JournalLists;
pub use metrics::Metrics;
pub use projector::{Projection, ProjectionMetrics};
pub use service::{Parts, Requestor, Service};
pub use store::{
    EndedOrder, Lists, MemoryLists, OrderRecord, OrderStore, OrderSubmission, OrderWriteGuard,
    StoreError, StoredCommand, StoredOrder, StoredOrders, StoredRefusal,
};
