//! A black box. Seeds draw orders, clients over every interface, readers by every way, and faults;
//! the binary runs as its users run it; and a judge looks at what everybody saw.
//!
//! - [`plan`](mod@plan): what a seed decides, pure.
//! - [`run`](mod@run): plays a plan against real processes, and writes a history.
//! - [`check`]: pure functions over a history; each broken promise is a [`check::Finding`].
//! - [`report`]: the few lines of a history that matter to a finding.
//! - [`cases`]: short directed scenarios, played and judged the same way.
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
pub mod event;
pub mod history;
pub mod name;
pub mod op;
pub mod plan;
pub mod read;
pub mod report;
pub mod run;
pub mod seeds;
pub mod send;
pub mod world;
