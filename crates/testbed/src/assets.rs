//! The binaries of etcd, kube-apiserver and kubectl for tests.

use std::path::{Path, PathBuf};

/// The environment variable with the folder of etcd, kube-apiserver and kubectl;
/// controller-runtime's tests use the same one.
const VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// The folder of the binaries.
#[derive(Clone, Debug)]
pub struct Assets(PathBuf);

impl Assets {
    /// Finds the binaries in the folder of `KUBEBUILDER_ASSETS`, or those that `cargo xtask test`
    /// put under `target`. If there are none, a test that needs them prints a message and is
    /// skipped; with `CI=true` it fails.
    ///
    /// # Panics
    /// With `CI=true`, if there are none.
    pub fn find() -> Option<Self> {
        let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kubebuilder-assets");
        let named = std::env::var_os(VARIABLE).map(PathBuf::from);
        let found = named.into_iter().chain([cache]).find(|dir| {
            ["etcd", "kube-apiserver", "kubectl"].iter().all(|name| dir.join(name).exists())
        });
        if found.is_none() {
            let text = format!(
                "no API server: set {VARIABLE} to a folder with etcd, kube-apiserver and kubectl, \
                 or run `cargo xtask test`, which gets them"
            );
            let is_required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
            assert!(!is_required, "{text}");
            eprintln!("SKIPPED, {text}");
        }
        found.map(Self)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
