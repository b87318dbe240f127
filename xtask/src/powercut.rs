//! `cargo xtask powercut`: simulates more power cuts than a run of all tests, from a given seed.

use std::path::Path;

use crate::step;

/// The environment variable from which the tests read the number of cuts.
const CUTS_VARIABLE: &str = "POWERCUT_CUTS";
/// The environment variable from which the tests read the first seed.
const SEED_VARIABLE: &str = "POWERCUT_SEED";

/// Simulates power cuts of the journal, then of the whole product.
///
/// # Errors
/// When a step fails; its output has the seed and the command that reproduces it.
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
