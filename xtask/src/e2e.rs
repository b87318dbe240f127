//! `cargo xtask e2e`: tests the chart on a real cluster, from installation to removal, with all the
//! tasks of an operator in between.
//!
//! It uses the cluster of KUBECONFIG, with an image that the cluster can pull; otherwise the test
//! cluster, if there is one, with an image that is built here.

mod backup;
mod causes;
mod cluster;
mod definitions;
mod disruption;
mod docs;
mod install;
mod load;
mod monitoring;
mod namespaced;
mod notifications;
mod orders;
mod reinstall;
mod removal;
mod rights;
mod scaling;
mod taints;
mod unpullable;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

use self::cluster::Cluster;
use crate::assets::{TEST_CLUSTER, test_cluster};
use crate::{image, step};

/// The command-line options of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct E2eOptions {
    pub(crate) image: Option<String>,
    pub(crate) keep: bool,
    pub(crate) only: Vec<String>,
}

/// The network in which this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkLocation {
    /// Anywhere outside the cluster's network.
    Outside,
    /// In the cluster's network.
    Inside,
}

/// One step: its name and its function.
type E2eStep = (&'static str, fn(&Cluster) -> anyhow::Result<()>);

/// The steps in order; each depends on those before it.
const STEPS: [E2eStep; 15] = [
    ("install", install::run),
    ("orders", orders::run),
    ("disruption", disruption::run),
    ("monitoring", monitoring::run),
    ("rights", rights::run),
    ("causes", causes::run),
    ("reinstall", reinstall::run),
    ("scaling", scaling::run),
    ("definitions", definitions::run),
    ("taints", taints::run),
    ("unpullable", unpullable::run),
    ("notifications", notifications::run),
    ("removal", removal::run),
    ("namespaced", namespaced::run),
    ("docs", docs::run),
];

/// Runs the steps.
///
/// # Errors
/// When a step fails.
pub(crate) fn run(
    root: &Path,
    options: &E2eOptions,
    location: NetworkLocation,
) -> anyhow::Result<()> {
    tools(root)?;
    if location == NetworkLocation::Inside || std::env::var_os("KUBECONFIG").is_some() {
        let Some(image) = &options.image else {
            bail!("KUBECONFIG names a cluster: give --image, one that it can pull");
        };
        return steps(root, options, image);
    }
    let cluster = || {
        let none = || anyhow::anyhow!("no cluster: set {TEST_CLUSTER}, or KUBECONFIG and --image");
        test_cluster().ok_or_else(none)
    };
    cluster()?;
    let image = match &options.image {
        Some(image) => image.clone(),
        None => {
            let archive = root.join("target/image/orderstream.tar");
            let (build, host) = (image::Build::Quick, image::Architecture::of_host()?);
            let name = image::write_archive(root, &archive, image::NAME, build, host)?;
            step::run("start the cluster", cluster()?.arg("up"))?;
            step::run("load the image", cluster()?.arg("load").arg(&archive))?;
            name
        }
    };
    let mut rerun = cluster()?;
    rerun.arg("run").arg(std::env::current_exe()?).args(["e2e", "--inside", "--image", &image]);
    if options.keep {
        rerun.arg("--keep");
    }
    if !options.only.is_empty() {
        rerun.args(["--only", &options.only.join(",")]);
    }
    let result = step::run("run the steps in the cluster's network", &mut rerun);
    if !options.keep {
        step::run("stop the cluster", cluster()?.arg("down"))?;
    }
    result
}

/// Installs Helm if it is missing.
fn tools(root: &Path) -> anyhow::Result<PathBuf> {
    let dir = root.join("target/tools/bin");
    let mut install = Command::new(root.join("deploy/tools/install"));
    step::run("find the tools", install.arg(&dir).arg("helm"))?;
    Ok(dir)
}

fn steps(root: &Path, options: &E2eOptions, image: &str) -> anyhow::Result<()> {
    let cluster = Cluster::connect(root, image)?;
    let began = Instant::now();
    let is_selected =
        |name: &str| options.only.is_empty() || options.only.iter().any(|w| w == name);
    for (name, step) in STEPS {
        if !is_selected(name) || (options.keep && ["removal", "namespaced", "docs"].contains(&name))
        {
            continue;
        }
        println!("== e2e {name}");
        let began = Instant::now();
        if let Err(error) = step(&cluster) {
            cluster.print_state();
            return Err(error).with_context(|| format!("e2e {name}"));
        }
        println!("== e2e {name}: ok ({:.0} s)", began.elapsed().as_secs_f32());
    }
    println!("== e2e: ok ({:.0} s)", began.elapsed().as_secs_f32());
    Ok(())
}
