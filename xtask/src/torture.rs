//! `cargo xtask torture`: runs the binary with random clients and faults, and checks it from
//! outside.

use std::path::Path;

use crate::step;

/// Builds the binary and runs the torture rig against it with these arguments.
///
/// # Errors
/// When a build fails, or a guarantee is broken.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    let mut binary = step::cargo(root, &["build", "--locked", "-p", "orderstream"]);
    step::run("build the binary that is tortured", &mut binary)?;
    let mut rig = step::cargo(root, &["run", "--locked", "-p", "orderstream-torture", "--"]);
    step::run("torture the binary", rig.args(args))
}
