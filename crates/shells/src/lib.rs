//! A deterministic simulation of the services: the requestor, two processors and their journals as
//! they are shipped, over a simulated disk, network and clock, in one thread.
//!
//! ```text
//!            one thread, ticks of 5 ms
//!   world ─▶ clocks ─▶ network ─▶ disks ─▶ clients ─▶ each host's runtime, one after the other
//!              │          │         │                     │
//!              jump    cut, stall,  fail, fill,        frozen, crashed, drained
//!                      lose, slow   hang, lie
//! ```
//!
//! Each host has a runtime of its own, whose clock advances only by ticks: a tick runs it until it
//! waits for a later time. So a crash is the end of a runtime with everything in it, and a frozen
//! process is one that gets no ticks. Between ticks, the world moves the bytes of a host's
//! connections and writes its journal's appends: it waits for the results of the journal's writer,
//! and delivers them later.
//!
//! - [`plan`](mod@plan): derives a plan from a seed; pure.
//! - [`world`]: runs a plan and returns its history.
//! - The history is checked by the black-box tests' checker, [`orderstream_torture::check`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test rig fails by panicking"
)]

mod client;
mod clock;
mod disk;
mod host;
mod journal;
mod network;
mod parts;
pub mod plan;
mod readers;
pub mod world;

pub use disk::{HostDiskFault, SyncEffect};
pub use plan::{SimulationPlan, plan};
pub use world::{SimulationRun, run};

/// The length of a tick, milliseconds.
pub const TICK_MS: u64 = 5;
