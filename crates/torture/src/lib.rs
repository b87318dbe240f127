//! A randomised black-box test. Each seed yields orders, clients of every interface, readers of
//! every kind, and faults; the binary runs as its users run it, and a checker checks what clients
//! and readers observed.
//!
//! - [`plan`](mod@plan): derives a plan from a seed; pure.
//! - [`run`](mod@run): runs a plan against real processes and writes a history.
//! - [`check`]: pure functions over a history; each violated guarantee is a
//!   [`check::HistoryFinding`].
//! - [`report`]: the few lines of a history that are relevant to a finding.
//! - [`cases`]: short directed scenarios, run and checked in the same way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test rig fails by panicking, and tells people what it does"
)]

pub mod cases;
pub mod check;
pub mod command;
pub mod event;
pub mod fleet;
pub mod history;
pub mod name;
pub mod plan;
pub mod read;
pub mod report;
pub mod run;
pub mod seeds;
pub mod send;
