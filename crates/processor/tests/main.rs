//! The behaviour of a processor for buyers, sellers and trackers: real sockets, a real journal, a
//! clock that the test sets.

#![allow(
    clippy::assigning_clones,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed check must stop the test, and its tables are to be read"
)]

mod alternatives;
mod awards;
mod commands;
mod comparison;
mod damage;
mod drain;
mod events;
mod expiry;
mod failing;
#[allow(dead_code, reason = "the journal's own tests use the rest")]
#[path = "../../journal/tests/faulty.rs"]
mod faulty;
mod http;
mod inbox;
mod incarnations;
mod inputs;
mod invitations;
mod late;
mod lines;
mod market;
mod notifications;
mod reasons;
mod removals;
mod repeats;
mod restart;
mod rig;
mod scale;
mod sealed;
mod sellers;
mod sessions;
mod streams;
mod submissions;
mod takeover;
mod wire;
