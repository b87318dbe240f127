//! `cargo xtask bench`: runs the benchmarks with the release build.

use std::path::Path;

use crate::{assets, step};

/// Builds and runs the benchmarks with these arguments.
///
/// # Errors
/// When they cannot be built or fail.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    let mut binary =
        step::cargo(root, &["build", "--profile", "dist", "--locked", "-p", "orderstream"]);
    step::run("build the binary that is measured", &mut binary)?;
    let base = ["run", "--profile", "dist", "--locked", "-p", "orderstream-bench", "--"];
    let mut bench = step::cargo(root, &base);
    bench.args(args);
    if let Some(assets) = assets::find(root)? {
        bench.env(assets::VARIABLE, assets);
    }
    step::run("measure the product beside bare servers", &mut bench)
}
