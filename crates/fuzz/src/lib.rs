//! Everything that reads the input of strangers, as targets of a fuzzer. A target takes any bytes
//! and panics where the product is wrong: it must not panic, hang, reply with its own fault, or
//! refuse without a reason. `corpus/<target>` holds inputs that cover much, and each that broke
//! something once.
//!
//! The same targets run in two ways: a test plays the corpus, in every build, and `cargo xtask fuzz`
//! goes on from the corpus under libFuzzer, guided by the coverage of this workspace's own crates.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a target says what it found by panicking"
)]

mod grpc;
mod journal;
mod manifest;
mod memory;
mod processor;
mod records;
mod rest;
mod wire;

/// A target: the name, which is that of its corpus, and the function that takes an input.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[FuzzTarget] = &[
    ("buyers_rest", rest::buyers_rest),
    ("grpc", grpc::any_method),
    ("journal_log", journal::any_log),
    ("manifest", manifest::lint_and_read),
    ("parameters", rest::parameters),
    ("records", records::replay),
    ("sellers_rest", rest::sellers_rest),
    ("wire", wire::convert),
];

/// Returns the target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}
