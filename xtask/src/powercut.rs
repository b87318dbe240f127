//! `cargo xtask powercut`: more power cuts than a run of all tests makes, from a seed that one names.

use std::path::Path;

use crate::step;

/// The tests read here how many cuts to make.
const CUTS_VARIABLE: &str = "POWERCUT_CUTS";
/// The tests read here which seed is the first.
const SEED_VARIABLE: &str = "POWERCUT_SEED";

/// Cuts the power of the journal, then of the whole product.
///
/// # Errors
/// When a step fails; its output names the seed and how to run it again.
pub(crate) fn run(root: &Path, cuts: u64, seed: u64) -> anyhow::Result<()> {
    let mut build = step::cargo(root, &["build", "--locked", "-p", "orderstream"]);
    step::run("build the binary that loses its power", &mut build)?;
    for (what, package, tests) in [
        ("the model of the disk", "orderstream-powercut", &[][..]),
        ("power cuts of the journal", "orderstream-journal", &["--test", "powercut"]),
        ("power cuts of the product", "orderstream", &["--test", "main", "powercut::"]),
    ] {
        let mut test = step::cargo(root, &["test", "--locked", "-p", package]);
        test.args(tests);
        test.env(CUTS_VARIABLE, cuts.to_string()).env(SEED_VARIABLE, seed.to_string());
        step::run(what, &mut test)?;
    }
    Ok(())
}
