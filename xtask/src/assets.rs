//! Where tests find a Kubernetes API server: etcd, kube-apiserver and kubectl in one folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::step;

/// The folder's variable, as controller-runtime's tests name it.
pub(crate) const VARIABLE: &str = "KUBEBUILDER_ASSETS";
const NAMES: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// The folder: the one that the variable names, else a cache under `target`, else what a test
/// cluster beside the workspace gives. `None`, with a word on how to get one, where there is none.
///
/// # Errors
/// With `CI=true`, when there is none.
pub(crate) fn find(root: &Path) -> anyhow::Result<Option<PathBuf>> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    if let Some(dir) = named {
        if is_complete(&dir) {
            return Ok(Some(dir));
        }
        bail!("{VARIABLE} names {}, which lacks one of {NAMES:?}", dir.display());
    }
    let cache = root.join("target/kubebuilder-assets");
    if !is_complete(&cache) {
        unpack(root, &cache)?;
    }
    if is_complete(&cache) {
        return Ok(Some(cache));
    }
    let text = format!(
        "no API server: set {VARIABLE} to a folder with {NAMES:?} (setup-envtest of \
         controller-runtime downloads one)"
    );
    if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
        bail!("{text}");
    }
    println!("== tests on an API server: SKIPPED, {text}");
    Ok(None)
}

fn is_complete(dir: &Path) -> bool {
    NAMES.iter().all(|name| dir.join(name).exists())
}

/// Takes the binaries from a cluster for tests that lies beside the workspace.
fn unpack(root: &Path, cache: &Path) -> anyhow::Result<()> {
    let cluster = root.join("../shared/cluster/cluster");
    if !cluster.exists() {
        return Ok(());
    }
    let mut command = Command::new(cluster);
    command.arg("assets").arg(cache);
    step::run("unpack an API server for tests", &mut command)
}
