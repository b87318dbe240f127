//! Tests of the system as users run it: real processes, real sockets, real disks, `kill -9`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

mod alternatives;
mod apply;
mod client;
mod cluster;
mod compare;
mod completion;
mod contract;
mod conversation;
mod damage;
mod deciding;
mod decisions;
mod dev_command;
mod drain;
mod flags;
mod golden;
mod h2spec;
mod http;
mod inbox;
mod incarnations;
mod invited;
mod json_output;
mod kill;
mod lines;
mod list_watch;
mod mail;
mod market;
mod mistakes;
mod mongo;
mod names;
mod nginx;
mod notifications;
mod outages;
mod output;
mod pages;
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
mod watch;
