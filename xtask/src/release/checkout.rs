//! The state of the checkout from which a release is made.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::step;

/// A commit, its tags, and what of the checkout is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkout {
    pub(super) commit: String,
    /// The commit's time, RFC 3339.
    pub(super) committed_at: String,
    pub(super) tags: Vec<String>,
    pub(super) tree: TreeState,
}

/// The relation of the checkout's files to the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TreeState {
    /// All files are those of the commit.
    Committed,
    /// Some files were changed or added.
    Changed,
}

impl Checkout {
    /// Reads the state from git.
    ///
    /// # Errors
    /// When git cannot be run, or this is no checkout.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let changes = git(root, &["status", "--porcelain"])?;
        Ok(Self {
            commit: git(root, &["rev-parse", "HEAD"])?,
            committed_at: git(root, &["show", "--no-patch", "--format=%cI", "HEAD"])?,
            tags: git(root, &["tag", "--points-at", "HEAD"])?
                .lines()
                .map(ToOwned::to_owned)
                .collect(),
            tree: if changes.is_empty() { TreeState::Committed } else { TreeState::Changed },
        })
    }

    /// Returns the state where git knows of none: of an exported tree, for dry runs.
    pub(super) fn unknown() -> Self {
        Self {
            commit: String::new(),
            committed_at: "1970-01-01T00:00:00Z".to_owned(),
            tags: Vec::new(),
            tree: TreeState::Changed,
        }
    }

    /// Returns the reason for which this is not the checkout of a release, if there is one.
    pub(super) fn fault(&self, version: &str) -> Option<String> {
        let tag = tag(version);
        if self.tree == TreeState::Changed {
            return Some("the checkout has changes that are not committed; commit them".to_owned());
        }
        let fix = format!("tag it with `git tag -a {tag}`, or check that tag out");
        (!self.tags.contains(&tag)).then(|| format!("the commit has no tag {tag}; {fix}"))
    }
}

/// Returns the tag of a version.
pub(super) fn tag(version: &str) -> String {
    format!("v{version}")
}

fn git(root: &Path, args: &[&str]) -> anyhow::Result<String> {
    let mut git = Command::new("git");
    let output = step::output(git.current_dir(root).args(args))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", args.join(" "), stderr.trim());
    let text = String::from_utf8(output.stdout).context("git's output is not UTF-8")?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Creates the checkout of a release.
    pub(in crate::release) fn released() -> Checkout {
        Checkout {
            commit: "0123456789012345678901234567890123456789".to_owned(),
            committed_at: "2030-01-02T03:04:05+00:00".to_owned(),
            tags: vec!["v1.2.3".to_owned()],
            tree: TreeState::Committed,
        }
    }

    #[test]
    fn only_tagged_commits_are_released() {
        assert_eq!(released().fault("1.2.3"), None);
        assert!(released().fault("1.2.4").unwrap().contains("has no tag v1.2.4"));
        let changed = Checkout { tree: TreeState::Changed, ..released() };
        assert!(changed.fault("1.2.3").unwrap().contains("not committed"));
    }
}
