//! The chart's package: the chart with annotations that depend on the release, packaged by Helm.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::VERSION;
use super::changes::ChangeEntry;
use crate::chart::{CHART, install_tools};
use crate::image::{self, Architecture};
use crate::{step, tidy};

/// The folder of the annotated chart, removed at the end.
const WORK: &str = "target/release-chart";

/// Returns the bytes of the package.
///
/// # Errors
/// When Helm cannot be installed, or refuses the chart.
pub(super) fn package(
    root: &Path,
    changes: &[ChangeEntry],
    architectures: &[Architecture],
) -> anyhow::Result<Vec<u8>> {
    let work = root.join(WORK);
    drop(fs::remove_dir_all(&work));
    let copy = work.join("orderstream");
    for path in tidy::paths(root)? {
        let Some(name) = path.strip_prefix(CHART).and_then(|name| name.strip_prefix('/')) else {
            continue;
        };
        let to = copy.join(name);
        fs::create_dir_all(to.parent().unwrap_or(&copy))?;
        fs::copy(root.join(&path), &to).with_context(|| format!("copy {path}"))?;
    }
    let manifest = copy.join("Chart.yaml");
    let text = fs::read_to_string(&manifest).context("read Chart.yaml")?;
    fs::write(&manifest, annotated(&text, changes, architectures)?)?;
    let tools = install_tools(root, &["helm"])?;
    let helm = |verb: &str| {
        let mut helm = Command::new(tools.join("helm"));
        helm.arg(verb).arg(&copy);
        helm
    };
    step::run("lint the annotated chart", helm("lint").arg("--strict"))?;
    step::run("package the chart", helm("package").arg("--destination").arg(&work))?;
    let package = work.join(format!("orderstream-{VERSION}.tgz"));
    let bytes = fs::read(&package).with_context(|| format!("read {}", package.display()))?;
    fs::remove_dir_all(&work)?;
    Ok(bytes)
}

/// Adds the release's annotations to the text of `Chart.yaml`.
///
/// # Errors
/// When the chart has another version.
fn annotated(
    text: &str,
    changes: &[ChangeEntry],
    architectures: &[Architecture],
) -> anyhow::Result<String> {
    let mut chart: Value = serde_saphyr::from_str(text).context("parse Chart.yaml")?;
    for field in ["version", "appVersion"] {
        let stored = &chart[field];
        ensure!(stored == VERSION, "{CHART}/Chart.yaml: {field} is {stored}, set it to {VERSION}");
    }
    let changes: Vec<_> = changes.iter().map(ChangeEntry::as_value).collect();
    let platforms: Vec<_> = architectures.iter().map(|it| format!("linux/{}", it.name())).collect();
    let image = json!({
        "name": "orderstream", "image": image::tagged(image::NAME), "platforms": platforms,
    });
    let prerelease = VERSION.contains('-').to_string();
    for (name, annotation) in [
        ("changes", serde_saphyr::to_string(&changes)?),
        ("images", serde_saphyr::to_string(&[image])?),
        ("prerelease", prerelease),
    ] {
        chart["annotations"][format!("artifacthub.io/{name}")] = json!(annotation);
    }
    serde_saphyr::to_string(&chart).context("write Chart.yaml")
}

#[cfg(test)]
mod tests {
    use super::super::changes;
    use super::*;

    const STORED: &str = include_str!("../../../deploy/helm/orderstream/Chart.yaml");

    #[test]
    fn annotations_are_those_of_the_release() {
        let changes = changes::entries("### Features\n- New: `a`.\n### Speed\n- Fast.\n");
        let text = annotated(STORED, &changes, &Architecture::ALL).unwrap();
        let chart: Value = serde_saphyr::from_str(&text).unwrap();
        let stored: Value = serde_saphyr::from_str(STORED).unwrap();
        for field in ["name", "version", "appVersion", "kubeVersion", "icon", "keywords"] {
            assert!(!chart[field].is_null(), "{field}");
            assert_eq!(chart[field], stored[field], "{field}");
        }
        let annotation = |name: &str| {
            let text = chart["annotations"][format!("artifacthub.io/{name}")].as_str();
            text.unwrap_or_else(|| panic!("no {name}")).to_owned()
        };
        let parsed = |name: &str| -> Value { serde_saphyr::from_str(&annotation(name)).unwrap() };
        assert_eq!(
            parsed("changes"),
            json!([
                {"kind": "changed", "description": "Fast."},
                {"kind": "added", "description": "New: a."},
            ])
        );
        let image = &parsed("images")[0];
        assert_eq!(image["image"], format!("ghcr.io/orderstream/orderstream:{VERSION}"));
        assert_eq!(image["platforms"], json!(["linux/amd64", "linux/arm64"]));
        assert_eq!(annotation("license"), "Apache-2.0");
        assert_eq!(annotation("prerelease"), "false");
    }

    #[test]
    fn charts_of_other_versions_are_refused() {
        let text = STORED.replace(&format!("\nversion: {VERSION}\n"), "\nversion: 9.9.9\n");
        let error = annotated(&text, &[], &Architecture::ALL).unwrap_err().to_string();
        assert!(error.contains("version is \"9.9.9\", set it to"), "{error}");
    }
}
