//! The system as its users meet it: real processes, real sockets, real disks, `kill -9`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster;
mod conversation;
mod drain;
mod http;
mod kill;
mod mistakes;
mod notifications;
mod peers;
mod ports;
mod process;
mod verbs;
