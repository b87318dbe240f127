//! `cargo xtask test`: the binary first, because process tests run it, then every test.

use std::path::Path;

use crate::python::SCHEMATHESIS;
use crate::{assets, step};

/// The simulation reads here how many seeds to run.
const SEEDS_VAR: &str = "SEEDS";

/// Builds the binary and runs every test of the workspace, doc tests included.
///
/// # Errors
/// When a step fails; the later steps are not run.
pub(crate) fn run(root: &Path, seeds: Option<u64>) -> anyhow::Result<()> {
    let mut build = step::cargo(root, &["build", "--locked", "-p", "orderstream"]);
    step::run("build the binary that process tests run", &mut build)?;

    let assets = assets::find(root)?;
    let mut test = step::cargo(root, &["test", "--workspace", "--locked", "--no-fail-fast"]);
    if let Some(seeds) = seeds {
        test.env(SEEDS_VAR, seeds.to_string());
    }
    if let Some(assets) = assets {
        test.env(assets::VARIABLE, assets);
    }
    if let Some(program) = SCHEMATHESIS.find(root)? {
        test.env(SCHEMATHESIS.variable, program);
    }
    step::run("test the whole workspace", &mut test)
}
