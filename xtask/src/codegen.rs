//! `cargo xtask codegen`: writes the checked-in generated files anew.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::{crds, step};

/// Writes the wire code from the proto files and `deploy/crds` from the Rust types.
///
/// # Errors
/// When a step fails or a file cannot be written.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut wire =
        step::cargo(root, &["run", "-q", "-p", "orderstream-rpc", "--example", "codegen"]);
    step::run("write the wire code from proto/", &mut wire)?;

    println!("== write {} from `orderstream crd`", crds::DIR);
    let text = match crds::printed(root)? {
        crds::Printed::Text(text) => text,
        crds::Printed::NoSubcommand => bail!("`orderstream crd` does not exist or prints nothing"),
        crds::Printed::Failed(why) => bail!("`orderstream crd` failed: {why}"),
    };
    let wanted = crds::split(&text);
    if wanted.is_empty() {
        bail!("`orderstream crd` printed no definition with a metadata.name");
    }
    write(root, &wanted)
}

/// Makes the folder hold these files and no other definition.
fn write(root: &Path, wanted: &[(String, String)]) -> anyhow::Result<()> {
    let dir = root.join(crds::DIR);
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    for (name, _) in crds::stored(root)? {
        if !wanted.iter().any(|(wanted, _)| *wanted == name) {
            fs::remove_file(dir.join(&name)).with_context(|| format!("remove {name}"))?;
            println!("   removed {name}");
        }
    }
    for (name, text) in wanted {
        fs::write(dir.join(name), text).with_context(|| format!("write {name}"))?;
        println!("   wrote {name}");
    }
    Ok(())
}
