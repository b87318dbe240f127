//! Fuzz targets for everything that reads untrusted input. A target accepts arbitrary bytes and
//! panics if the product is faulty: the product must not panic, hang, reply with a server fault, or
//! refuse without a reason. `corpus/<target>` holds inputs with high coverage, and every input that
//! once broke something.
//!
//! The same targets run in two ways: a test runs the corpus in every build, and `cargo xtask fuzz`
//! continues from the corpus under libFuzzer, guided by the coverage of this workspace's own
//! crates.
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

/// A target: its name, which is also that of its corpus, and the function that takes an input.
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
