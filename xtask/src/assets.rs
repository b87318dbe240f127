//! The Kubernetes API server for tests: etcd, kube-apiserver and kubectl in one folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::step;

/// The environment variable with the folder; controller-runtime's tests use the same name.
pub(crate) const VARIABLE: &str = "KUBEBUILDER_ASSETS";
/// The environment variable with a command that runs a test cluster; its arguments are described in
/// docs/testing.md.
pub(crate) const TEST_CLUSTER: &str = "ORDERSTREAM_TEST_CLUSTER";
const NAMES: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];
/// The Kubernetes release that is built or downloaded; `xtask/kubernetes/go.mod` pins the same
/// release.
const VERSION: &str = "v1.34.4";
/// The URL and the SHA-256 of Kubernetes' own test binaries, the last resort.
const DOWNLOAD: (&str, &str) = (
    "https://github.com/kubernetes-sigs/controller-tools/releases/download/envtest-v1.34.1/\
     envtest-v1.34.1-linux-amd64.tar.gz",
    "c8500090806ed5ce4064eeeb2a5666476a5168c1f4ff0eadd54fe59b22c4baa7",
);

/// A way to fill the cache: its name and its function.
type AssetSource = (&'static str, fn(&Path, &Path) -> anyhow::Result<()>);

/// The ways to fill the cache, in the order in which they are tried.
const SOURCES: [AssetSource; 3] = [
    ("the cluster for tests", unpack),
    ("a build from Go modules", build),
    ("the official test binaries", download),
];

/// Finds the folder: the one of the environment variable, or else a cache under `target`, filled by
/// the first source that works. `None`, with a printed hint, if none does.
///
/// # Errors
/// When the variable's folder lacks a binary; with `CI=true`, when there is no folder.
pub(crate) fn find(root: &Path) -> anyhow::Result<Option<PathBuf>> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    if let Some(dir) = named {
        if is_complete(&dir) {
            return Ok(Some(dir));
        }
        bail!("{VARIABLE} names {}, which lacks one of {NAMES:?}", dir.display());
    }
    let cache = root.join("target/kubebuilder-assets");
    if is_complete(&cache) {
        return Ok(Some(cache));
    }
    for (name, fill) in SOURCES {
        match fill(root, &cache) {
            Ok(()) if is_complete(&cache) => return Ok(Some(cache)),
            Ok(()) => println!("== an API server from {name}: did not give all of {NAMES:?}"),
            Err(error) => println!("== an API server from {name}: {error:#}"),
        }
    }
    let text = format!(
        "no API server: install Go, which builds one, or set {VARIABLE} to a folder with {NAMES:?} \
         (setup-envtest of controller-runtime downloads one)"
    );
    if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
        bail!("{text}");
    }
    println!("== tests on an API server: SKIPPED, {text}");
    Ok(None)
}

/// Returns the command that runs a test cluster, if there is one.
pub(crate) fn test_cluster() -> Option<Command> {
    std::env::var_os(TEST_CLUSTER).filter(|named| !named.is_empty()).map(Command::new)
}

fn is_complete(dir: &Path) -> bool {
    NAMES.iter().all(|name| dir.join(name).exists())
}

/// Copies the binaries from the test cluster.
fn unpack(_root: &Path, cache: &Path) -> anyhow::Result<()> {
    let Some(mut command) = test_cluster() else { bail!("{TEST_CLUSTER} names none") };
    command.arg("assets").arg(cache);
    step::run("unpack an API server for tests", &mut command)
}

/// Builds one binary that serves as all three programs, depending on its name. Takes some minutes,
/// only once.
fn build(root: &Path, cache: &Path) -> anyhow::Result<()> {
    if Command::new("go").arg("version").output().is_err() {
        bail!("Go is not installed");
    }
    let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    let flags = [
        "-s -w".to_owned(),
        set("gitVersion", VERSION),
        set("gitMajor", "1"),
        set("gitMinor", "34"),
    ];
    let mut command = Command::new("go");
    command
        .current_dir(root.join("xtask/kubernetes"))
        .env("CGO_ENABLED", "0")
        .args(["build", "-trimpath", "-ldflags", &flags.join(" "), "-o"])
        .arg(cache.join("kubernetes"))
        .arg(".");
    step::run("build an API server for tests from Go modules, some minutes", &mut command)?;
    for name in NAMES.into_iter().filter(|name| !cache.join(name).exists()) {
        std::fs::hard_link(cache.join("kubernetes"), cache.join(name)).context(name)?;
    }
    Ok(())
}

/// Downloads the official test binaries and checks their SHA-256.
fn download(_root: &Path, cache: &Path) -> anyhow::Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("these are pinned for Linux on x86-64 only");
    }
    std::fs::create_dir_all(cache)?;
    let (url, expected_sum) = DOWNLOAD;
    let archive = cache.join("download.tar.gz");
    let mut curl = Command::new("curl");
    curl.args(["-fsSL", "--max-time", "600", "-o"]).arg(&archive).arg(url);
    step::run("download an API server for tests", &mut curl)?;
    let output = step::output(Command::new("sha256sum").arg(&archive))?;
    let sum = String::from_utf8_lossy(&output.stdout);
    if sum.split_whitespace().next() != Some(expected_sum) {
        bail!("{url} is not what was pinned: its SHA-256 is {sum}");
    }
    let mut tar = Command::new("tar");
    tar.args(["-xz", "--strip-components=2", "-C"]).arg(cache).arg("-f").arg(&archive);
    step::run("unpack it", &mut tar)?;
    std::fs::remove_file(&archive).context("remove the archive")
}
