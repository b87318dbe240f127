//! The documents that the binary prints and that are stored in `deploy`: one file each, named after
//! its `metadata.name`.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::step;
use crate::tidy::TidyFinding;

/// A set of documents of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DocumentSet {
    /// The path of the stored documents, from the workspace's root.
    pub(crate) dir: &'static str,
    /// The binary's subcommand that prints the documents, with its arguments.
    pub(crate) verb: &'static str,
}

/// The custom resource definitions, and the controller's permissions.
pub(crate) const SETS: [DocumentSet; 2] = [
    DocumentSet { dir: "deploy/crds", verb: "crd" },
    DocumentSet { dir: "deploy/rbac", verb: "rbac" },
];

const FIX: &str = "run `cargo xtask codegen`";

/// The result of running the subcommand.
#[derive(Debug)]
pub(crate) enum PrintOutcome {
    /// The subcommand printed this YAML text.
    Text(String),
    /// The binary has no such subcommand.
    NoSubcommand,
    /// The subcommand or its build failed with this last line.
    Failed(String),
}

impl DocumentSet {
    /// Builds the binary and runs the subcommand.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub(crate) fn print(self, root: &Path) -> anyhow::Result<PrintOutcome> {
        let args = ["run", "-q", "--locked", "-p", "orderstream", "--"];
        let output = step::output(step::cargo(root, &args).args(self.verb.split(' ')))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        Ok(judge(text, (!output.status.success()).then_some(&stderr)))
    }

    /// Reads the stored files: name and text, sorted by name.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub(crate) fn stored(self, root: &Path) -> anyhow::Result<Vec<(String, String)>> {
        let dir = root.join(self.dir);
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", self.dir))? {
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

    /// Compares the stored files with the binary's output.
    pub(crate) fn check(
        self,
        stored: &[(String, String)],
        printed: &[(String, String)],
    ) -> Vec<TidyFinding> {
        let find = |files: &[(String, String)], name: &str| {
            files.iter().find(|(other, _)| other == name).map(|(_, text)| text.clone())
        };
        let path = |name: &str| format!("{}/{name}", self.dir);
        let mut findings = Vec::new();
        for (name, text) in stored {
            let path = path(name);
            match find(printed, name) {
                None => {
                    findings.push(TidyFinding::new(&path, 1, "belongs to nothing printed", FIX))
                }
                Some(fresh) if fresh != *text => {
                    let same = text.lines().zip(fresh.lines()).take_while(|(a, b)| a == b).count();
                    findings.push(TidyFinding::new(
                        &path,
                        same + 1,
                        "is not what the code says",
                        FIX,
                    ));
                }
                Some(_) => {}
            }
        }
        for (name, _) in printed {
            if find(stored, name).is_none() {
                findings.push(TidyFinding::new(&path(name), 1, "is missing", FIX));
            }
        }
        findings
    }
}

/// Distinguishes an absent subcommand from a broken one; `stderr` is present when the run
/// failed.
fn judge(text: String, stderr: Option<&str>) -> PrintOutcome {
    match stderr {
        None if text.trim().is_empty() => PrintOutcome::NoSubcommand,
        None => PrintOutcome::Text(text),
        Some(stderr) if stderr.contains("unrecognized subcommand") => PrintOutcome::NoSubcommand,
        Some(stderr) => {
            let last = stderr.lines().rfind(|line| !line.trim().is_empty());
            PrintOutcome::Failed(last.unwrap_or("no message").to_owned())
        }
    }
}

/// Splits the YAML text into documents, each with its file name, sorted by name.
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

/// Returns the `metadata.name` of one document in block style.
fn metadata_name(document: &str) -> Option<&str> {
    let mut below = document.lines().skip_while(|line| line.trim_end() != "metadata:").skip(1);
    let name = below
        .by_ref()
        .take_while(|line| line.starts_with(' '))
        .find_map(|line| line.trim().strip_prefix("name:"))?;
    Some(name.trim().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "---\nkind: A\nmetadata:\n  labels:\n  name: b.x\nspec: 1\n---\nmetadata:\n  name: \"a.x\"\n";

    /// A document without a `metadata.name` is not written to a file.
    #[test]
    fn documents_go_to_files_by_name() {
        let files = split(TWO);
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.x.yaml", "b.x.yaml"]);
        assert_eq!(files[1].1, "kind: A\nmetadata:\n  labels:\n  name: b.x\nspec: 1\n");
        assert_eq!(split("spec:\n  name: not-this\n"), []);
    }

    /// Stale, missing and surplus files are found.
    #[test]
    fn only_fresh_files_pass() {
        let (set, printed) = (SETS[0], split(TWO));
        assert!(set.check(&printed, &printed).is_empty());

        let mut stale = printed.clone();
        stale[1].1 = stale[1].1.replace("spec: 1", "spec: 2");
        let found = set.check(&stale, &printed);
        assert_eq!(
            found[0].to_string(),
            format!("deploy/crds/b.x.yaml:5: is not what the code says, {FIX}")
        );

        assert!(
            set.check(&printed[..1], &printed)[0].to_string().contains("b.x.yaml:1: is missing")
        );
        assert!(
            set.check(&printed, &printed[..1])[0]
                .to_string()
                .contains("belongs to nothing printed")
        );
    }

    #[test]
    fn absent_subcommands_are_not_failures() {
        assert!(matches!(judge("a: 1\n".to_owned(), None), PrintOutcome::Text(_)));
        assert!(matches!(judge(String::new(), None), PrintOutcome::NoSubcommand));
        let unknown = "error: unrecognized subcommand 'crd'\n";
        assert!(matches!(judge(String::new(), Some(unknown)), PrintOutcome::NoSubcommand));
        let broken = judge(String::new(), Some("boom\n\n"));
        assert!(matches!(broken, PrintOutcome::Failed(why) if why == "boom"));
    }
}
