//! The controller on a cluster: keeps orders in the state that their `OrderRequest` resources ask
//! for.
//!
//! ```text
//!                       ┌────────── leadership ◀── election ◀──▶ Lease
//!                       ▼
//!   watch ──▶ cache ──▶ queue ──▶ reconcile: facts ▶ plan ▶ steps ──▶ OrderStreams::ensure, commands
//!               ▲         ▲                               │    └────▶ tasks: locate, cancel, remove
//!               │         └── snapshots, timers           ▼
//!   API server ─┴──────────────────────────────────── status: by server-side apply
//! ```
//!
//! Every process watches and fills its cache; only the leader acts. A reconcile is a pure plan over
//! facts in memory and takes microseconds; everything that waits is a task that wakes the resource
//! again.

mod buyer;
mod config;
mod lease;
mod metrics;
mod namespaces;
mod object;
mod reconcile;
mod sellers;
mod service;
mod status;
mod table_capacity;
mod watch;

pub use kube::Client;

pub use self::buyer::ClusterBuyer;
pub use self::config::{Config, Error, connect};
pub use self::lease::{Election, ElectionTimings};
pub use self::metrics::Requests;
pub use self::namespaces::{NamespaceFlag, namespace_scope};
pub use self::reconcile::{ProcessorSource, Processors};
pub use self::sellers::ClusterSellers;
pub use self::service::{Handle, Parts, Service, register_metrics, start};
pub use self::watch::Cache;
