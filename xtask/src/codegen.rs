//! `cargo xtask codegen`: regenerates the checked-in generated files.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::deploy::{self, DocumentSet};
use crate::{bundle, step};

/// Writes the wire code from the proto files, and `deploy` from the binary's output.
///
/// # Errors
/// When a step fails or a file cannot be written.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut wire =
        step::cargo(root, &["run", "-q", "-p", "orderstream-rpc", "--example", "codegen"]);
    step::run("write the wire code from proto/", &mut wire)?;
    deploy::SETS.into_iter().try_for_each(|set| write(root, set))?;
    println!("== write the dashboards, the pages of the reference, and the chart's copies");
    bundle::write(root)
}

/// Writes the printed documents into the set's folder, and removes all others.
fn write(root: &Path, set: DocumentSet) -> anyhow::Result<()> {
    let verb = set.verb;
    println!("== write {} from `orderstream {verb}`", set.dir);
    let text = match set.print(root)? {
        deploy::PrintOutcome::Text(text) => text,
        deploy::PrintOutcome::NoSubcommand => {
            bail!("`orderstream {verb}` does not exist or prints nothing")
        }
        deploy::PrintOutcome::Failed(cause) => bail!("`orderstream {verb}` failed: {cause}"),
    };
    let documents = deploy::split(&text);
    if documents.is_empty() {
        bail!("`orderstream {verb}` printed no document with a metadata.name");
    }
    let dir = root.join(set.dir);
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    for (name, _) in set.stored(root)? {
        if !documents.iter().any(|(wanted, _)| *wanted == name) {
            fs::remove_file(dir.join(&name)).with_context(|| format!("remove {name}"))?;
            println!("   removed {name}");
        }
    }
    for (name, text) in &documents {
        fs::write(dir.join(name), text).with_context(|| format!("write {name}"))?;
        println!("   wrote {name}");
    }
    Ok(())
}
