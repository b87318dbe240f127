//! A simulation of the shells: the requestor, two processors and their journals as they are shipped,
//! over a simulated disk, network and clock, in one thread.
//!
//! ```text
//!            one thread, ticks of 5 ms
//!   world ─▶ clocks ─▶ network ─▶ disks ─▶ clients ─▶ each host's runtime, one after the other
//!              │          │         │                     │
//!              jump    cut, stall,  fail, fill,        frozen, crashed, told to stop
//!                      lose, drip   hold, lie
//! ```
//!
//! Each host has a runtime of its own with a clock that stands: a tick lets it run until it waits for
//! something that is later. So a crash is the end of a runtime with everything in it, and a frozen
//! process is one that gets no ticks. What a host writes to a connection or to its journal is done by
//! the world between ticks: the answer of the journal's writer is waited for, and told later.
//!
//! - [`plan`](mod@plan): what a seed decides, pure.
//! - [`world`]: plays a plan, and gives a history.
//! - The judge is that of the black box, [`orderstream_torture::check`].
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

pub use disk::{Syncs, Trouble};
pub use plan::{Plan, plan};
pub use world::{Ran, run};

/// How long a tick is, milliseconds.
pub const TICK_MS: u64 = 5;
