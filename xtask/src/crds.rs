//! The custom resource definitions in `deploy/crds`: one file for each document that
//! `orderstream crd` prints, named after the definition.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::step;
use crate::tidy::Finding;

/// Where the definitions are stored, from the workspace's root.
pub(crate) const DIR: &str = "deploy/crds";

const FIX: &str = "run `cargo xtask codegen`";

/// What `orderstream crd` did.
#[derive(Debug)]
pub(crate) enum Printed {
    /// It printed this YAML text.
    Text(String),
    /// The binary has no such subcommand.
    NoSubcommand,
    /// It, or its build, failed with this last word.
    Failed(String),
}

/// Builds and runs `orderstream crd`.
///
/// # Errors
/// When cargo cannot be started.
pub(crate) fn printed(root: &Path) -> anyhow::Result<Printed> {
    let args = ["run", "-q", "--locked", "-p", "orderstream", "--", "crd"];
    let output = step::output(&mut step::cargo(root, &args))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    Ok(judge(text, (!output.status.success()).then_some(&complaint)))
}

/// Tells an absent subcommand from a broken one; `complaint` is there when the run failed.
fn judge(text: String, complaint: Option<&str>) -> Printed {
    match complaint {
        None if text.trim().is_empty() => Printed::NoSubcommand,
        None => Printed::Text(text),
        Some(complaint) if complaint.contains("unrecognized subcommand") => Printed::NoSubcommand,
        Some(complaint) => {
            let last = complaint.lines().rfind(|line| !line.trim().is_empty());
            Printed::Failed(last.unwrap_or("no message").to_owned())
        }
    }
}

/// The stored files, name and text, sorted by name.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub(crate) fn stored(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let dir = root.join(DIR);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {DIR}"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            let text = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
            files.push((name, text));
        }
    }
    files.sort();
    Ok(files)
}

/// Each document of the YAML text with the file name it belongs in, sorted by name.
pub(crate) fn split(text: &str) -> Vec<(String, String)> {
    let mut documents = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
        }
    }
    let mut files: Vec<_> = documents
        .into_iter()
        .filter_map(|document| Some((format!("{}.yaml", metadata_name(&document)?), document)))
        .collect();
    files.sort();
    files
}

/// The `metadata.name` of one document in block style.
fn metadata_name(document: &str) -> Option<&str> {
    let mut below = document.lines().skip_while(|line| line.trim_end() != "metadata:").skip(1);
    let name = below
        .by_ref()
        .take_while(|line| line.starts_with(' '))
        .find_map(|line| line.trim().strip_prefix("name:"))?;
    Some(name.trim().trim_matches(['"', '\'']))
}

/// Compares the stored files with those that the binary's text wants.
pub(crate) fn check(stored: &[(String, String)], wanted: &[(String, String)]) -> Vec<Finding> {
    let find = |files: &[(String, String)], name: &str| {
        files.iter().find(|(other, _)| other == name).map(|(_, text)| text.clone())
    };
    let mut findings = Vec::new();
    for (name, text) in stored {
        let path = format!("{DIR}/{name}");
        match find(wanted, name) {
            None => findings.push(Finding::new(&path, 1, "belongs to no definition", FIX)),
            Some(fresh) if fresh != *text => {
                let same = text.lines().zip(fresh.lines()).take_while(|(a, b)| a == b).count();
                findings.push(Finding::new(&path, same + 1, "is not what the types say", FIX));
            }
            Some(_) => {}
        }
    }
    for (name, _) in wanted {
        if find(stored, name).is_none() {
            let path = format!("{DIR}/{name}");
            findings.push(Finding::new(&path, 1, "is missing", FIX));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "---\nkind: A\nmetadata:\n  labels:\n  name: b.x\nspec: 1\n---\nmetadata:\n  name: \"a.x\"\n";

    #[test]
    fn each_document_goes_to_the_file_of_its_name() {
        let files = split(TWO);
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.x.yaml", "b.x.yaml"]);
        assert_eq!(files[1].1, "kind: A\nmetadata:\n  labels:\n  name: b.x\nspec: 1\n");
        assert_eq!(split("spec:\n  name: not-this\n"), []);
    }

    #[test]
    fn fresh_files_pass_and_stale_missing_and_foreign_ones_are_found() {
        let wanted = split(TWO);
        assert!(check(&wanted, &wanted).is_empty());

        let mut stale = wanted.clone();
        stale[1].1 = stale[1].1.replace("spec: 1", "spec: 2");
        let found = check(&stale, &wanted);
        assert_eq!(
            found[0].to_string(),
            format!("{DIR}/b.x.yaml:5: is not what the types say, {FIX}")
        );

        assert!(check(&wanted[..1], &wanted)[0].to_string().contains("b.x.yaml:1: is missing"));
        assert!(check(&wanted, &wanted[..1])[0].to_string().contains("belongs to no definition"));
    }

    #[test]
    fn an_absent_subcommand_is_not_a_broken_one() {
        assert!(matches!(judge("a: 1\n".to_owned(), None), Printed::Text(_)));
        assert!(matches!(judge(String::new(), None), Printed::NoSubcommand));
        let unknown = "error: unrecognized subcommand 'crd'\n";
        assert!(matches!(judge(String::new(), Some(unknown)), Printed::NoSubcommand));
        let broken = judge(String::new(), Some("boom\n\n"));
        assert!(matches!(broken, Printed::Failed(why) if why == "boom"));
    }
}
