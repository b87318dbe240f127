//! Tests of the system as users run it: real processes, real sockets, real disks, `kill -9`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

mod client;
mod cluster;
mod contract;
mod conversation;
mod damage;
mod drain;
mod golden;
mod h2spec;
mod http;
mod incarnations;
mod kill;
mod market;
mod mistakes;
mod mongo;
mod notifications;
mod peer_sessions;
mod peers;
mod ports;
mod powercut;
mod process;
mod python;
mod repeats;
mod restarts;
mod resumptions;
mod sealed;
mod series;
mod stop;
mod truth;
mod verbs;
