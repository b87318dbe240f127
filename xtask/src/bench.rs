//! `cargo xtask bench`: the figures, measured by the release build of the bench crate.

use std::path::Path;

use crate::step;

/// Builds and runs the bench with these arguments.
///
/// # Errors
/// When it cannot be built or fails.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    let base = ["run", "--release", "--locked", "-p", "orderstream-bench", "--"];
    let mut bench = step::cargo(root, &base);
    bench.args(args);
    step::run("measure the processor beside bare servers", &mut bench)
}
