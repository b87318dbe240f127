//! The allowed dependencies between crates. Arrows point inward only:
//! `orderstream → {processor, requestor, controller, local, cli} →
//! {client, rest-types, rpc, journal, api, support} → core`,
//! and `orderstream → {mongo, notifier} → core`.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

use super::TidyFinding;

/// The crates of the workspace, each with its allowed dependencies.
const INWARD: &[(&str, &[&str])] = &[
    ("orderstream-core", &[]),
    ("orderstream-journal", &["orderstream-core"]),
    ("orderstream-rpc", &["orderstream-core"]),
    ("orderstream-support", &["orderstream-core"]),
    ("orderstream-rest-types", &[]),
    ("orderstream-client", &["orderstream-core", "orderstream-rpc", "orderstream-support"]),
    ("orderstream-processor", SERVICE),
    ("orderstream-requestor", SERVICE),
    ("orderstream-api", &["orderstream-core"]),
    ("orderstream-controller", &["orderstream-core", "orderstream-api", "orderstream-support"]),
    ("orderstream-local", &["orderstream-core", "orderstream-api"]),
    (
        "orderstream-cli",
        &[
            "orderstream-core",
            "orderstream-api",
            "orderstream-client",
            "orderstream-rest-types",
            "orderstream-journal",
            "orderstream-notifier",
            "orderstream-rpc",
            "orderstream-support",
        ],
    ),
    ("orderstream-mongo", &["orderstream-core"]),
    ("orderstream-notifier", &["orderstream-core"]),
    ("orderstream", ALL),
    ("orderstream-bench", ALL_AND_TESTBED),
    ("orderstream-fuzz", ALL),
    ("orderstream-testbed", &[]),
    ("orderstream-torture", &["orderstream-rpc"]),
    ("orderstream-powercut", &[]),
    (
        "orderstream-shells",
        &[
            "orderstream-core",
            "orderstream-journal",
            "orderstream-rpc",
            "orderstream-processor",
            "orderstream-requestor",
            "orderstream-torture",
        ],
    ),
    ("xtask", ALL),
];

/// The crates that a service may depend on.
const SERVICE: &[&str] = &[
    "orderstream-core",
    "orderstream-journal",
    "orderstream-rest-types",
    "orderstream-rpc",
    "orderstream-support",
];

const ALL: &[&str] = &[
    "orderstream-core",
    "orderstream-api",
    "orderstream-journal",
    "orderstream-rest-types",
    "orderstream-rpc",
    "orderstream-processor",
    "orderstream-requestor",
    "orderstream-controller",
    "orderstream-local",
    "orderstream-cli",
    "orderstream-mongo",
    "orderstream-notifier",
    "orderstream-support",
];

const ALL_AND_TESTBED: &[&str] = &[
    "orderstream-core",
    "orderstream-api",
    "orderstream-journal",
    "orderstream-rpc",
    "orderstream-processor",
    "orderstream-requestor",
    "orderstream-controller",
    "orderstream-notifier",
    "orderstream-testbed",
];

/// External crates on which only some of our crates may depend.
const RESERVED: &[(&str, &[&str])] = &[
    ("prost", &["orderstream-rpc", "orderstream-fuzz"]),
    ("prost-types", &["orderstream-rpc"]),
    ("tonic-prost", &["orderstream-rpc"]),
    (
        "tonic",
        &[
            "orderstream-rpc",
            "orderstream-client",
            "orderstream-processor",
            "orderstream-requestor",
            "orderstream",
            "orderstream-bench",
            "orderstream-torture",
            "orderstream-fuzz",
        ],
    ),
    (
        "kube",
        &["orderstream-api", "orderstream-controller", "orderstream-cli", "orderstream-bench"],
    ),
    (
        "k8s-openapi",
        &["orderstream-api", "orderstream-controller", "orderstream-local", "orderstream-cli"],
    ),
    ("mongodb", &["orderstream-mongo"]),
];

/// External crates that core may not depend on: it has no runtime and no server.
const NOT_IN_CORE: &[&str] = &["tokio", "tonic", "axum"];

/// A package in the output of `cargo metadata`.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    name: String,
    pub(super) manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// The kind, such as `dev`; absent for a normal dependency.
    kind: Option<String>,
    /// The path of a dependency inside the workspace; absent for others.
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct CargoMetadata {
    packages: Vec<Package>,
}

/// Parses the packages in the output of `cargo metadata --no-deps --format-version 1`.
///
/// # Errors
/// When the text is not such output.
pub(super) fn packages(metadata: &str) -> anyhow::Result<Vec<Package>> {
    let metadata: CargoMetadata =
        serde_json::from_str(metadata).context("read cargo's metadata")?;
    Ok(metadata.packages)
}

/// Checks the normal dependencies of one package; `manifest` is the text of the file at `path`.
pub(super) fn check(package: &Package, path: &str, manifest: &str) -> Vec<TidyFinding> {
    let Some((_, inward)) = INWARD.iter().find(|(name, _)| *name == package.name) else {
        let what = format!("{} has no place among the crate arrows", package.name);
        return vec![TidyFinding::new(path, 1, &what, "name it in xtask/src/tidy/arrows.rs")];
    };
    let normal = package.dependencies.iter().filter(|it| it.kind.is_none());
    normal
        .filter_map(|dependency| {
            let what = refuse(&package.name, inward, dependency)?;
            let line = line_of(manifest, &dependency.name);
            Some(TidyFinding::new(path, line, &what, "remove it or move the code that needs it"))
        })
        .collect()
}

/// Returns the reason for which this crate may not have this dependency, if there is one.
fn refuse(name: &str, inward: &[&str], dependency: &Dependency) -> Option<String> {
    let other = dependency.name.as_str();
    if dependency.path.is_some() && !inward.contains(&other) {
        return Some(format!("{name} depends on {other}, arrows point inward only"));
    }
    if name == "orderstream-core" && NOT_IN_CORE.contains(&other) {
        return Some(format!("{name} depends on {other}, core has no runtime and no server"));
    }
    let (_, owners) = RESERVED.iter().find(|(reserved, _)| *reserved == other)?;
    (!owners.contains(&name))
        .then(|| format!("{name} depends on {other}, only {} may", owners.join(", ")))
}

/// Returns the manifest's line that names the dependency, or 1.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency)?;
        rest.starts_with(['.', ' ', '=']).then_some(())
    };
    manifest.lines().position(|line| names(line).is_some()).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let path = dependency.starts_with("orderstream").then_some("/x");
        let text = serde_json::json!({"packages": [{
            "name": name, "manifest_path": "/x/Cargo.toml",
            "dependencies": [{"name": dependency, "kind": kind, "path": path}],
        }]});
        let packages = packages(&text.to_string()).unwrap();
        let manifest = format!("[dependencies]\nother = \"1\"\n{dependency}.workspace = true\n");
        check(&packages[0], "Cargo.toml", &manifest).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_inward_pass() {
        for (name, dependency) in [
            ("orderstream", "orderstream-processor"),
            ("orderstream-processor", "orderstream-rpc"),
            ("orderstream-requestor", "orderstream-journal"),
            ("orderstream-controller", "orderstream-core"),
            ("orderstream-controller", "orderstream-api"),
            ("orderstream-rpc", "prost"),
            ("orderstream-requestor", "tonic"),
            ("orderstream-controller", "kube"),
            ("orderstream-mongo", "mongodb"),
            ("orderstream-core", "serde"),
        ] {
            assert_eq!(check_one(name, dependency, None), Vec::<String>::new());
        }
        assert!(check_one("orderstream-core", "tokio", Some("dev")).is_empty());
    }

    #[test]
    fn outward_and_sibling_arrows_are_found() {
        for (name, dependency) in [
            ("orderstream-core", "orderstream-rpc"),
            ("orderstream-rpc", "orderstream-journal"),
            ("orderstream-journal", "orderstream-rpc"),
            ("orderstream-processor", "orderstream-requestor"),
            ("orderstream-controller", "orderstream-requestor"),
            ("orderstream-controller", "orderstream-rpc"),
            ("orderstream-api", "orderstream-controller"),
            ("orderstream-local", "orderstream-controller"),
            ("orderstream-cli", "orderstream-controller"),
            ("orderstream-controller", "orderstream-cli"),
            ("orderstream-rpc", "orderstream"),
            ("orderstream-requestor", "orderstream-mongo"),
        ] {
            assert_eq!(
                check_one(name, dependency, None),
                [format!(
                    "Cargo.toml:3: {name} depends on {dependency}, arrows point inward only, \
                     remove it or move the code that needs it"
                )]
            );
        }
    }

    #[test]
    fn reserved_crates_are_found_elsewhere() {
        for (name, dependency) in [
            ("orderstream-processor", "prost"),
            ("orderstream-requestor", "tonic-prost"),
            ("orderstream-controller", "tonic"),
            ("orderstream", "kube"),
            ("orderstream-requestor", "mongodb"),
            ("orderstream-rpc", "k8s-openapi"),
            ("orderstream-core", "tokio"),
            ("orderstream-core", "axum"),
        ] {
            assert_eq!(check_one(name, dependency, None).len(), 1, "{name} {dependency}");
        }
    }

    #[test]
    fn unplaced_crates_are_found() {
        assert!(check_one("orderstream-new", "serde", None)[0].contains("no place"));
    }
}
