//! `cargo xtask test`: builds the binary first, because process tests and the black-box test run
//! it, then runs every test, then those behind a feature.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::python::SCHEMATHESIS;
use crate::{assets, step};

/// The environment variable from which the simulation reads the number of seeds.
const SEEDS_VARIABLE: &str = "SEEDS";
/// The environment variable from which the NATS tests read the server's path.
const NATS_VARIABLE: &str = "ORDERSTREAM_TEST_NATS";
/// The environment variable from which the HTTP/2 tests read h2spec's path.
const H2SPEC_VARIABLE: &str = "ORDERSTREAM_TEST_H2SPEC";

/// Builds the binary and runs every test of the workspace, including doc tests.
///
/// # Errors
/// When a step fails; the later steps are not run.
pub(crate) fn run(root: &Path, seeds: Option<u64>) -> anyhow::Result<()> {
    let mut build = step::cargo(root, &["build", "--locked", "-p", "orderstream"]);
    step::run("build the binary that process tests run", &mut build)?;

    let assets = assets::find(root)?;
    let mut test = step::cargo(root, &["test", "--workspace", "--locked", "--no-fail-fast"]);
    if let Some(seeds) = seeds {
        test.env(SEEDS_VARIABLE, seeds.to_string());
    }
    if let Some(assets) = assets {
        test.env(assets::VARIABLE, assets);
    }
    if let Some(program) = SCHEMATHESIS.find(root)? {
        test.env(SCHEMATHESIS.variable, program);
    }
    if let Some(program) = go_program(root, "h2spec", H2SPEC_VARIABLE)? {
        test.env(H2SPEC_VARIABLE, program);
    }
    step::run("test the whole workspace", &mut test)?;

    let nats = ["test", "--locked", "-p", "orderstream-notifier", "--features", "nats"];
    let mut test = step::cargo(root, &nats);
    test.args(["--test", "main", "nats::"]);
    if let Some(program) = go_program(root, "nats-server", NATS_VARIABLE)? {
        test.env(NATS_VARIABLE, program);
    }
    step::run("test notifications over NATS", &mut test)
}

/// Finds a program that is built from its Go module: the one of the environment variable, or else
/// one that is built here. `None`, with a printed hint, if Go is missing.
fn go_program(root: &Path, name: &str, variable: &str) -> anyhow::Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os(variable) {
        return Ok(Some(PathBuf::from(named)));
    }
    let dir = root.join("target/tools/bin");
    let program = dir.join(name);
    if !program.exists() && Command::new("go").arg("version").output().is_err() {
        let text = format!("no {name}: install Go, which builds one, or set {variable}");
        if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
            bail!("{text}");
        }
        println!("== {name}: SKIPPED, {text}");
        return Ok(None);
    }
    let mut install = Command::new(root.join("deploy/tools/install"));
    step::run(&format!("find {name}"), install.arg(&dir).arg(name))?;
    Ok(Some(program))
}
