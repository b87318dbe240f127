//! `cargo xtask torture`: the binary under drawn clients and faults, judged from outside.

use std::path::Path;

use crate::step;

/// Builds the binary and plays the torture rig against it with these arguments.
///
/// # Errors
/// When something cannot be built, or a promise is broken.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    let mut binary = step::cargo(root, &["build", "--locked", "-p", "orderstream"]);
    step::run("build the binary that is tortured", &mut binary)?;
    let mut rig = step::cargo(root, &["run", "--locked", "-p", "orderstream-torture", "--"]);
    step::run("torture the binary", rig.args(args))
}
