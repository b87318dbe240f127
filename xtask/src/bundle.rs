//! The generated files other than the custom resource definitions: dashboards, the pages of the
//! reference, and the chart's copies, because a chart cannot include files from outside its folder.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::deploy::DocumentSet;
use crate::tidy::TidyFinding;
use crate::{dashboards, deploy, reference};

/// The chart's folder of files for templates.
const IN_CHART: &str = "deploy/helm/orderstream/files";
/// The hand-written alerts.
const ALERTS: &str = "deploy/alerts/orderstream.rules.yaml";
/// The reference pages, each of which the binary prints.
const REFERENCES: [DocumentSet; 3] = [
    DocumentSet { dir: "docs/reference/metrics.md", verb: "metrics" },
    DocumentSet { dir: "docs/reference/openapi/processor.json", verb: "openapi processor" },
    DocumentSet { dir: "docs/reference/openapi/requestor.json", verb: "openapi requestor" },
];
const FIX: &str = "run `cargo xtask codegen`";

/// A generated file: its path from the workspace's root, and its text.
pub(crate) type GeneratedFile = (String, String);

/// Writes all files, and removes the pages of commands that do not exist any more.
///
/// # Errors
/// When a file cannot be generated, written or removed.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let files = files(root)?;
    for path in reference::surplus(root, &files)? {
        fs::remove_file(root.join(&path)).with_context(|| format!("remove {path}"))?;
        println!("   removed {path}");
    }
    for (path, text) in files {
        let full = root.join(&path);
        fs::create_dir_all(full.parent().context("a folder")?)?;
        if fs::read_to_string(&full).ok().as_deref() != Some(text.as_str()) {
            fs::write(&full, text).with_context(|| format!("write {path}"))?;
            println!("   wrote {path}");
        }
    }
    Ok(())
}

/// Compares the stored files with the generated ones.
///
/// # Errors
/// When a file cannot be generated.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<TidyFinding>> {
    let stale = |(path, text): &GeneratedFile| {
        fs::read_to_string(root.join(path)).ok().as_deref() != Some(text.as_str())
    };
    let files = files(root)?;
    let stale = files.iter().filter(|file| stale(file));
    let stale = stale.map(|(path, _)| TidyFinding::new(path, 1, "is missing or stale", FIX));
    let surplus = reference::surplus(root, &files)?;
    let surplus = surplus.iter().map(|path| TidyFinding::new(path, 1, "is of no command", FIX));
    Ok(stale.chain(surplus).collect())
}

fn files(root: &Path) -> anyhow::Result<Vec<GeneratedFile>> {
    let mut files = Vec::new();
    for (name, text) in dashboards::files() {
        files.push((format!("{IN_CHART}/dashboards/{name}"), text.clone()));
        files.push((format!("deploy/dashboards/{name}"), text));
    }
    let alerts = fs::read_to_string(root.join(ALERTS)).context(ALERTS)?;
    files.push((format!("{IN_CHART}/alerts/orderstream.rules.yaml"), alerts));
    for (set, folder) in deploy::SETS.into_iter().zip(["crds", "rbac"]) {
        for (name, text) in set.stored(root)? {
            files.push((format!("{IN_CHART}/{folder}/{name}"), text));
        }
    }
    for reference in REFERENCES {
        match reference.print(root)? {
            deploy::PrintOutcome::Text(text) => files.push((reference.dir.to_owned(), text)),
            deploy::PrintOutcome::NoSubcommand => {
                anyhow::bail!("`orderstream {}` does not exist", reference.verb)
            }
            deploy::PrintOutcome::Failed(cause) => {
                anyhow::bail!("`orderstream {}` failed: {cause}", reference.verb)
            }
        }
    }
    files.extend(reference::files(root)?);
    Ok(files)
}
