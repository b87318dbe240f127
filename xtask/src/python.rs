//! Test tools from `PyPI`: each is in a virtual environment of its own under `target`, which is
//! created once for each list of requirements.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::step;

/// A tool, and the environment variable by which tests find it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The name of the tool's requirements under `xtask/python`, and of its environment under
    /// `target/python`.
    pub(crate) name: &'static str,
    /// The program in the environment.
    pub(crate) program: &'static str,
    /// The environment variable with the program's path.
    pub(crate) variable: &'static str,
}

/// The tool that sends requests to a REST API, both valid and invalid according to its OpenAPI
/// document.
pub(crate) const SCHEMATHESIS: Tool =
    Tool { name: "schemathesis", program: "st", variable: "ORDERSTREAM_TEST_SCHEMATHESIS" };

impl Tool {
    /// Finds the program: the one of the environment variable, or else one that is installed here.
    /// `None`, with a printed hint, if Python is missing.
    ///
    /// # Errors
    /// When it cannot be installed although Python exists; with `CI=true`, when Python is missing.
    pub(crate) fn find(self, root: &Path) -> anyhow::Result<Option<PathBuf>> {
        if let Some(named) = std::env::var_os(self.variable) {
            return Ok(Some(PathBuf::from(named)));
        }
        let requirements_path = root.join("xtask/python").join(format!("{}.txt", self.name));
        let requirements =
            fs::read_to_string(&requirements_path).context("read the requirements")?;
        let environment = root.join("target/python").join(self.name);
        let program = environment.join("bin").join(self.program);
        let marker = environment.join("installed.txt");
        if program.exists() && fs::read_to_string(&marker).ok().as_deref() == Some(&requirements) {
            return Ok(Some(program));
        }
        if Command::new("python3").args(["-c", "import ensurepip, venv"]).output().is_err() {
            let text = format!("{} needs python3 with venv, which is not here", self.name);
            if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
                bail!("{text}");
            }
            println!("== {}: SKIPPED, {text}", self.name);
            return Ok(None);
        }
        self.install(&environment, &requirements)?;
        fs::write(marker, &requirements).context("mark what is installed")?;
        Ok(Some(program))
    }

    fn install(self, environment: &Path, content: &str) -> anyhow::Result<()> {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(environment);
        step::run(&format!("make a Python environment for {}", self.name), &mut make)?;
        let requirements = environment.join("requirements.txt");
        fs::write(&requirements, content).context("write the requirements")?;
        let mut pip = Command::new(environment.join("bin/pip"));
        pip.args(["install", "-q", "--disable-pip-version-check", "-r"]).arg(&requirements);
        step::run(&format!("install {} from PyPI", self.name), &mut pip)
    }
}
