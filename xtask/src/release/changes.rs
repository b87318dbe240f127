//! The changes of a version, from the changelog, as Artifact Hub shows them.

use serde_json::{Value, json};

/// The heading of the changes that are in no version.
pub(super) const UNRELEASED: &str = "Unreleased";
/// The most changes of one kind: Helm stores the chart with each release in a Secret, and a reader
/// of a page reads no more.
const CHANGES_OF_A_KIND_MAX: usize = 20;
/// The headings of the changelog that users read, with Artifact Hub's kind for each.
const KINDS: [(&str, &str); 3] =
    [("Reliability", "fixed"), ("Speed", "changed"), ("Features", "added")];

/// A change in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangeEntry {
    kind: &'static str,
    description: String,
}

impl ChangeEntry {
    /// Returns the change as Artifact Hub reads it.
    pub(super) fn as_value(&self) -> Value {
        json!({"kind": self.kind, "description": self.description})
    }
}

/// Returns the text of a version in the changelog, without its heading.
pub(super) fn section<'a>(changelog: &'a str, version: &str) -> Option<&'a str> {
    changelog.split("\n## ").skip(1).find_map(|section| {
        let (heading, text) = section.split_once('\n')?;
        let dated = heading.strip_prefix(version)?;
        (dated.is_empty() || dated.starts_with(" - ")).then(|| text.trim())
    })
}

/// Returns the changes in a version's text, a limited number of each kind.
pub(super) fn entries(section: &str) -> Vec<ChangeEntry> {
    let all = all(section);
    let mut entries = Vec::new();
    for (_, kind) in KINDS {
        let of_kind: Vec<_> = all.iter().filter(|entry| entry.kind == kind).collect();
        let surplus = of_kind.len().saturating_sub(CHANGES_OF_A_KIND_MAX);
        entries.extend(of_kind.into_iter().take(CHANGES_OF_A_KIND_MAX).cloned());
        if surplus > 0 {
            let description = format!("{surplus} more are in CHANGELOG.md.");
            entries.push(ChangeEntry { kind, description });
        }
    }
    entries
}

fn all(section: &str) -> Vec<ChangeEntry> {
    let mut entries: Vec<ChangeEntry> = Vec::new();
    let mut kind = None;
    for line in section.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            kind = KINDS.iter().find(|(name, _)| *name == heading).map(|(_, kind)| *kind);
            continue;
        }
        let (Some(kind), text) = (kind, line.trim()) else { continue };
        if let Some(text) = text.strip_prefix("- ") {
            entries.push(ChangeEntry { kind, description: text.to_owned() });
        } else if let Some(last) = entries.last_mut().filter(|_| !text.is_empty()) {
            last.description.push(' ');
            last.description.push_str(text);
        }
    }
    entries.retain(|entry| !is_topic(&entry.description));
    for entry in &mut entries {
        entry.description = first_sentence(&plain(&entry.description));
    }
    entries
}

/// Reports whether a line is in bold as a whole, but for a link after it: the topic of a list below.
fn is_topic(text: &str) -> bool {
    let after = text.strip_prefix("**").and_then(|text| text.split_once("**"));
    after.is_some_and(|(_, after)| after.is_empty() || after.starts_with(" ("))
}

/// Removes the marks of Markdown.
fn plain(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        let link =
            after.split_once("](").and_then(|(name, url)| Some((name, url.split_once(')')?)));
        if let Some((name, (_, tail))) = link {
            plain.push_str(name);
            rest = tail;
        } else {
            plain.push('[');
            rest = after;
        }
    }
    plain.push_str(rest);
    plain.replace("**", "").replace('`', "")
}

fn first_sentence(text: &str) -> String {
    text.split_once(". ").map_or_else(|| text.to_owned(), |(first, _)| format!("{first}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## Unreleased\n\n### Speed\n\n- Fast.\n\n\
        ## 1.2.3 - 2030-01-02\n\n### Reliability\n\n- **Journal**\n  - It `works`. Before, it\n    \
        did not.\n- One [link](docs/a.md) more, with\n  two lines.\n\n### Features\n- New.\n\n\
        ### Internals\n- **Rigs** ([docs](docs/b.md))\n  - Hidden.\n\n## 1.2.2 - 2029-01-02\n";

    fn described(section: &str) -> Vec<String> {
        let entries = entries(section);
        entries.iter().map(|entry| format!("{}: {}", entry.kind, entry.description)).collect()
    }

    #[test]
    fn each_version_has_its_section() {
        assert_eq!(section(CHANGELOG, UNRELEASED), Some("### Speed\n\n- Fast."));
        assert!(section(CHANGELOG, "1.2.3").unwrap().ends_with("  - Hidden."));
        assert_eq!(section(CHANGELOG, "1.2.2"), Some(""));
        assert_eq!(section(CHANGELOG, "1.2"), None);
    }

    /// Topics are left out, and so is what only contributors notice.
    #[test]
    fn changes_are_first_sentences() {
        let section = section(CHANGELOG, "1.2.3").unwrap();
        let expected = ["fixed: It works.", "fixed: One link more, with two lines.", "added: New."];
        assert_eq!(described(section), expected);
    }

    #[test]
    fn changes_of_a_kind_are_limited() {
        let section = format!("### Speed\n{}### Features\n- New.\n", "- Fast.\n".repeat(23));
        let changes = described(&section);
        assert_eq!(changes.len(), CHANGES_OF_A_KIND_MAX + 2);
        assert_eq!(changes[CHANGES_OF_A_KIND_MAX], "changed: 3 more are in CHANGELOG.md.");
    }

    #[test]
    fn stored_changelog_has_changes() {
        let changelog = include_str!("../../../CHANGELOG.md");
        let entries = entries(section(changelog, UNRELEASED).unwrap());
        let newest_has_changes = entries.len() > 1;
        let is_released = section(changelog, env!("CARGO_PKG_VERSION")).is_some();
        assert!(newest_has_changes || is_released, "{entries:?}");
    }
}
