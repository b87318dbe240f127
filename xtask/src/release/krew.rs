//! The manifest by which krew installs the command line as kubectl's plugin `orderstream`.

use anyhow::Context as _;
use serde_json::json;

use super::checkout;
use crate::image::{Architecture, SOURCE};

/// An archive of the command line for one platform.
#[derive(Clone, Debug)]
pub(super) struct PluginArchive {
    pub(super) architecture: Architecture,
    /// The file's name in the release.
    pub(super) name: String,
    pub(super) sha256: String,
}

/// Returns the manifest, in YAML.
///
/// # Errors
/// When it cannot be written as YAML.
pub(super) fn write(version: &str, archives: &[PluginArchive]) -> anyhow::Result<String> {
    let tag = checkout::tag(version);
    let platform = |archive: &PluginArchive| {
        json!({
            "selector": {"matchLabels": {"os": "linux", "arch": archive.architecture.name()}},
            "uri": format!("{SOURCE}/releases/download/{tag}/{}", archive.name),
            "sha256": archive.sha256,
            "files": [{"from": "orderstream", "to": "."}, {"from": "LICENSE", "to": "."}],
            "bin": "orderstream",
        })
    };
    let manifest = json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "orderstream"},
        "spec": {
            "version": tag,
            "homepage": SOURCE,
            "shortDescription": "Request quotations and award orders",
            "description": "Applies, lists and awards requests for quotation (OrderRequest), \
                            submits proposals of sellers, and checks an installation of \
                            Orderstream.\n",
            "caveats": "The cluster needs Orderstream: see `docs/install.md` in its repository.\n",
            "platforms": archives.iter().map(platform).collect::<Vec<_>>(),
        },
    });
    serde_saphyr::to_string(&manifest).context("write the plugin's manifest")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Krew refuses short descriptions of more than 50 letters.
    #[test]
    fn plugins_name_each_platform_archive() {
        let archive = |architecture: Architecture| PluginArchive {
            architecture,
            name: format!("orderstream-1.2.3-linux-{}.tar.gz", architecture.name()),
            sha256: "ab".repeat(32),
        };
        let text = write("1.2.3", &Architecture::ALL.map(archive)).unwrap();
        let manifest: Value = serde_saphyr::from_str(&text).unwrap();
        let spec = &manifest["spec"];
        assert_eq!(spec["version"], "v1.2.3");
        assert!(spec["shortDescription"].as_str().unwrap().len() <= 50);
        let arm = &spec["platforms"][1];
        assert_eq!(arm["selector"]["matchLabels"], json!({"os": "linux", "arch": "arm64"}));
        assert_eq!(
            arm["uri"],
            "https://github.com/orderstream/orderstream/releases/download/v1.2.3/\
             orderstream-1.2.3-linux-arm64.tar.gz"
        );
        assert_eq!(arm["sha256"], "ab".repeat(32));
        assert_eq!(arm["bin"], arm["files"][0]["from"]);
    }
}
