//! A journal of durable, ordered lists of records.
//!
//! A [`Journal`] holds lists of records. Each list has a key, and its records are numbered 1, 2, 3,
//! … without a gap. An append states the last number that its caller expects the list to have, so
//! two writers with the same expectation cannot both succeed. An acknowledged append survives a
//! power cut: it is acknowledged after the sync of its batch.
//!
//! ```text
//!  submit ──► queue (bounded) ──► writer thread: dequeue everything ─► one batch ─► one sync ──┐
//!  submit ──►                                                                                  │
//!    …                           every `done` of the batch is called ◄────────────────────────┘
//! ```
//!
//! While one sync runs, the next batch accumulates in the queue: many callers share one sync, and
//! none waits for a timer. [`Embedded`] is the journal on a local disk. Damage is reported, never
//! repaired by deletion: a list with a damaged or missing acknowledged record is refused, and all
//! others are served. A store with damaged files is read only.

mod api;
mod damage;
mod durable;
mod embedded;
pub mod engine;
mod error;
mod frame;
mod heads;
mod keys;
pub mod limits;
mod marks;
mod pages;
mod queue;
mod reader;
pub mod salvage;
mod stats;
mod writer;

pub use api::{
    Append, AppendCallback, AppendReceipt, DurableProof, Journal, JournalRecord, RecordVisitor,
    append,
};
pub use damage::{DamageCounts, DamageReport, FileDamage, ListDamage};
pub use embedded::{Embedded, Options};
pub use error::{AppendError, OpenError, ReadError, RemoveError, SubmitError};
pub use queue::Health;
pub use stats::{SYNC_BOUNDS, Stats};
