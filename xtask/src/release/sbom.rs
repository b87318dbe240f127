//! The bill of materials of the binary, as `CycloneDX` 1.5
//! (<https://cyclonedx.org/docs/1.5/json/>),
//! from the output of `cargo metadata` and the checksums in `Cargo.lock`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::image;

/// The output of `cargo metadata` with resolved dependencies.
#[derive(Debug, Deserialize)]
struct CrateGraph {
    packages: Vec<CratePackage>,
    resolve: CrateResolution,
}

#[derive(Debug, Deserialize)]
struct CratePackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    /// The registry; absent for a crate of the workspace.
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CrateResolution {
    nodes: Vec<CrateNode>,
}

#[derive(Debug, Deserialize)]
struct CrateNode {
    id: String,
    deps: Vec<CrateEdge>,
}

#[derive(Debug, Deserialize)]
struct CrateEdge {
    pkg: String,
    dep_kinds: Vec<CrateEdgeKind>,
}

#[derive(Debug, Deserialize)]
struct CrateEdgeKind {
    /// The kind, such as `dev`; absent for a normal dependency.
    kind: Option<String>,
}

impl CrateEdge {
    /// Reports whether the dependency takes part in a build.
    fn is_built(&self) -> bool {
        self.dep_kinds.iter().any(|it| it.kind.as_deref() != Some("dev"))
    }
}

impl CratePackage {
    /// Returns the package URL, which also identifies the component in the document.
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    fn component(&self, checksums: &BTreeMap<(String, String), String>) -> Value {
        let mut component = json!({
            "type": "library",
            "bom-ref": self.purl(),
            "name": self.name,
            "version": self.version,
            "purl": self.purl(),
        });
        if let Some(license) = &self.license {
            // Cargo's former notation of a choice, which SPDX does not have.
            let expression = license.replace('/', " OR ").replace("  ", " ");
            component["licenses"] = json!([{"expression": expression}]);
        }
        if let Some(sum) = checksums.get(&(self.name.clone(), self.version.clone())) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
        }
        if let Some(repository) = &self.repository {
            component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
        }
        component
    }
}

/// Returns the document about a package of the workspace and all that is built into it.
///
/// # Errors
/// When the metadata cannot be read, or lacks the package.
pub(super) fn write(
    metadata: &str,
    lock: &str,
    product: &str,
    created_at: &str,
) -> anyhow::Result<String> {
    let graph: CrateGraph = serde_json::from_str(metadata).context("read cargo's metadata")?;
    let is_product = |it: &&CratePackage| it.name == product && it.source.is_none();
    let product = graph.packages.iter().find(is_product).context("cargo lists no product")?;
    let reached = reached(&graph.resolve.nodes, &product.id);
    let checksums = checksums(lock);
    let purls: BTreeMap<&str, String> =
        graph.packages.iter().map(|it| (it.id.as_str(), it.purl())).collect();

    let mut subject = product.component(&checksums);
    subject["type"] = json!("application");
    let libraries = graph.packages.iter().filter(|it| it.id != product.id);
    let mut libraries: Vec<_> = libraries
        .filter(|it| reached.contains(it.id.as_str()))
        .map(|it| (it.purl(), it.component(&checksums)))
        .collect();
    libraries.sort_by(|(a, _), (b, _)| a.cmp(b));
    let components: Vec<_> = libraries.into_iter().map(|(_, component)| component).collect();
    let version = env!("CARGO_PKG_VERSION");
    let tool = json!({"type": "application", "name": "cargo xtask release", "version": version});
    let mut bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": created_at, "tools": {"components": [tool]}, "component": subject,
        },
        "components": components,
        "dependencies": dependencies(&graph.resolve.nodes, &reached, &purls),
    });
    bom["serialNumber"] = json!(serial_number(&bom.to_string()));
    Ok(format!("{bom:#}\n"))
}

/// Returns the ids of a package and of all that takes part in its build.
fn reached<'a>(nodes: &'a [CrateNode], from: &'a str) -> BTreeSet<&'a str> {
    let by_id: BTreeMap<&str, &CrateNode> = nodes.iter().map(|it| (it.id.as_str(), it)).collect();
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![from]);
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            let edges = by_id.get(id).copied().into_iter().flat_map(|node| &node.deps);
            waiting.extend(edges.filter(|edge| edge.is_built()).map(|edge| edge.pkg.as_str()));
        }
    }
    reached
}

fn dependencies(
    nodes: &[CrateNode],
    reached: &BTreeSet<&str>,
    purls: &BTreeMap<&str, String>,
) -> Vec<Value> {
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for node in nodes.iter().filter(|it| reached.contains(it.id.as_str())) {
        let Some(from) = purls.get(node.id.as_str()) else { continue };
        let built = node.deps.iter().filter(|edge| edge.is_built());
        let to = built.filter_map(|edge| purls.get(edge.pkg.as_str()).map(String::as_str));
        edges.entry(from.as_str()).or_default().extend(to);
    }
    edges.into_iter().map(|(from, to)| json!({"ref": from, "dependsOn": to})).collect()
}

/// Reads the SHA-256 of each package from a registry, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let package = |text: &str| {
        let value = |key: &str| {
            let quoted = |line: &str| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
            text.lines().find_map(quoted)
        };
        Some(((value("name = ")?, value("version = ")?), value("checksum = ")?))
    };
    lock.split("[[package]]").skip(1).filter_map(package).collect()
}

/// Returns a number that only this document has: it is made from its content.
fn serial_number(document: &str) -> String {
    let digits = image::sha256(document.as_bytes());
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    // A UUID of version 8, variant 1: RFC 9562, section 5.8.
    let (first, second, third) = (part(0..8), part(8..12), part(12..15));
    format!("urn:uuid:{first}-{second}-8{third}-8{}-{}", part(15..18), part(18..30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, source: Option<&str>, license: &str) -> Value {
        json!({
            "id": format!("id of {name}"), "name": name, "version": "1.2.3", "source": source,
            "license": license, "repository": "https://git.example/a",
        })
    }

    fn node(name: &str, deps: &[(&str, Option<&str>)]) -> Value {
        let edge = |(name, kind): &(&str, Option<&str>)| json!({"pkg": format!("id of {name}"), "dep_kinds": [{"kind": kind, "target": null}]});
        json!({"id": format!("id of {name}"), "deps": deps.iter().map(edge).collect::<Vec<_>>()})
    }

    fn metadata() -> String {
        let registry = Some("registry+https://github.com/rust-lang/crates.io-index");
        json!({
            "packages": [
                package("shop", None, "Apache-2.0"),
                package("serde", registry, "MIT/Apache-2.0"),
                package("cc", registry, "MIT OR Apache-2.0"),
                package("proptest", registry, "MIT"),
            ],
            "resolve": {"nodes": [
                node("shop", &[("serde", None), ("cc", Some("build")), ("proptest", Some("dev"))]),
                node("serde", &[]),
                node("cc", &[("serde", Some("dev"))]),
                node("proptest", &[("serde", None)]),
            ]},
        })
        .to_string()
    }

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.2.3\"\n\
                        source = \"registry\"\nchecksum = \"abcd\"\n\n[[package]]\nname = \"shop\"\n\
                        version = \"1.2.3\"\n";

    fn document() -> Value {
        let text = write(&metadata(), LOCK, "shop", "2030-01-02T03:04:05+00:00").unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Dependencies of tests are no part of the binary.
    #[test]
    fn components_are_what_is_built() {
        let bom = document();
        assert_eq!(bom["specVersion"], "1.5");
        assert_eq!(bom["metadata"]["component"]["purl"], "pkg:cargo/shop@1.2.3");
        assert_eq!(bom["metadata"]["component"]["type"], "application");
        let components = bom["components"].as_array().unwrap();
        let names: Vec<_> = components.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["cc", "serde"]);
        let serde = &components[1];
        assert_eq!(serde["licenses"], json!([{"expression": "MIT OR Apache-2.0"}]));
        assert_eq!(serde["hashes"], json!([{"alg": "SHA-256", "content": "abcd"}]));
        assert!(components[0].get("hashes").is_none());
    }

    #[test]
    fn dependencies_name_known_components() {
        let expected = json!([
            {"ref": "pkg:cargo/cc@1.2.3", "dependsOn": []},
            {"ref": "pkg:cargo/serde@1.2.3", "dependsOn": []},
            {
                "ref": "pkg:cargo/shop@1.2.3",
                "dependsOn": ["pkg:cargo/cc@1.2.3", "pkg:cargo/serde@1.2.3"],
            },
        ]);
        assert_eq!(document()["dependencies"], expected);
    }

    /// The pattern is that of the schema of `CycloneDX`.
    #[test]
    fn serial_numbers_follow_the_content() {
        let number = document()["serialNumber"].as_str().unwrap().to_owned();
        let digits = number.strip_prefix("urn:uuid:").unwrap();
        assert_eq!(digits.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(digits.chars().all(|it| it == '-' || it.is_ascii_hexdigit()), "{digits}");
        assert_eq!(document()["serialNumber"], number.as_str());
        assert_ne!(serial_number("a"), serial_number("b"));
    }
}
