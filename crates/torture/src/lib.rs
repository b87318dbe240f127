//! A black-box test. Seeds draw orders, clients of every interface, readers of every kind, and
//! faults; the binary runs as its users run it; and a judge checks what all of them observed.
//!
//! - [`plan`](mod@plan): what a seed decides, pure.
//! - [`run`](mod@run): runs a plan against real processes, and writes a history.
//! - [`check`]: pure functions over a history; each broken promise is a [`check::Finding`].
//! - [`report`]: the few lines of a history that are relevant to a finding.
//! - [`cases`]: short directed scenarios, run and judged the same way.
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
