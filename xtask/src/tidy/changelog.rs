//! Checks the changelog's format: a title, `## Unreleased` first, and below each version only the
//! four headings, in order, each with a list.

use super::TidyFinding;

/// The path of the changelog, from the workspace's root.
pub(super) const PATH: &str = "CHANGELOG.md";

/// The headings below a version, in order.
const HEADINGS: &[&str] = &["Reliability", "Speed", "Features", "Internals"];

/// The last element that the walk over the lines has found.
#[derive(Clone, Copy, Default)]
enum ChangelogPosition {
    /// No version yet; at most the title and an introduction.
    #[default]
    Top,
    /// A version, without a heading yet.
    Version,
    /// The heading at this index.
    Heading(usize),
}

/// Checks the changelog's text.
pub(super) fn check(text: &str) -> Vec<TidyFinding> {
    let mut findings = Vec::new();
    let mut add = |line: usize, what: &str, fix: &str| {
        findings.push(TidyFinding::new(PATH, line, what, fix));
    };
    if text.lines().next() != Some("# Changelog") {
        add(1, "the first line is not the title", "write `# Changelog`");
    }
    let mut position = ChangelogPosition::Top;
    for (line, content) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        if let Some(version) = content.strip_prefix("## ") {
            if let Some((what, fix)) = refuse_version(version, position) {
                add(line, what, fix);
            }
            position = ChangelogPosition::Version;
        } else if let Some(heading) = content.strip_prefix("### ") {
            match heading_index(heading, position) {
                Ok(at) => position = ChangelogPosition::Heading(at),
                Err(what) => add(line, what, "use Reliability, Speed, Features, Internals"),
            }
        } else if matches!(position, ChangelogPosition::Version) && !content.trim().is_empty() {
            add(line, "text outside of a heading", "move it below one of the four headings");
        } else if matches!(position, ChangelogPosition::Heading(_)) && !is_list(content) {
            add(line, "text outside of a list", "begin the line with `- `");
        }
    }
    if matches!(position, ChangelogPosition::Top) {
        add(1, "no version", "write `## Unreleased`");
    }
    findings
}

/// Returns the fault of a version's heading and its fix, if it has one.
fn refuse_version(
    version: &str,
    position: ChangelogPosition,
) -> Option<(&'static str, &'static str)> {
    match position {
        ChangelogPosition::Top if version != "Unreleased" => {
            Some(("the first version is not Unreleased", "put `## Unreleased` first"))
        }
        ChangelogPosition::Top => None,
        ChangelogPosition::Version | ChangelogPosition::Heading(_) if is_release(version) => None,
        ChangelogPosition::Version | ChangelogPosition::Heading(_) => {
            Some(("not a release", "write `## 1.2.3 - 2030-12-31`"))
        }
    }
}

/// Reports whether the text has the form `1.2.3 - 2030-12-31`.
fn is_release(version: &str) -> bool {
    let Some((number, date)) = version.split_once(" - ") else { return false };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let number: Vec<_> = number.split('.').collect();
    let date: Vec<_> = date.split('-').collect();
    number.len() == 3
        && number.into_iter().all(digits)
        && date.iter().map(|part| part.len()).eq([4, 2, 2])
        && date.into_iter().all(digits)
}

/// Returns the index of a heading, or the reason for which it is not allowed at this position.
fn heading_index(heading: &str, position: ChangelogPosition) -> Result<usize, &'static str> {
    let at = HEADINGS.iter().position(|it| *it == heading).ok_or("an unknown heading")?;
    match position {
        ChangelogPosition::Top => Err("a heading above the first version"),
        ChangelogPosition::Version => Ok(at),
        ChangelogPosition::Heading(last) if at > last => Ok(at),
        ChangelogPosition::Heading(_) => Err("a heading twice or out of order"),
    }
}

/// Reports whether a line belongs to a list, or is blank.
fn is_list(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with("- ") || line.starts_with("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        check(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_agreed_shape_passes() {
        let text = "# Changelog\n\nWhat changed.\n\n## Unreleased\n\n### Speed\n- One\n  more.\n\
                    \n### Internals\n\n- Two.\n\n## 0.1.0 - 2030-01-31\n\n### Reliability\n- X.\n";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn each_other_shape_is_found() {
        for (text, what) in [
            ("", "1: the first line is not the title"),
            ("# Changelog\n", "1: no version"),
            ("# Changelog\n## 0.1.0 - 2030-01-31\n", "2: the first version is not Unreleased"),
            ("# Changelog\n## Unreleased\n## 0.1\n", "3: not a release"),
            ("# Changelog\n## Unreleased\n### Added\n", "3: an unknown heading"),
            ("# Changelog\n## Unreleased\n### Speed\n### Speed\n", "4: a heading twice"),
            ("# Changelog\n## Unreleased\n### Speed\n### Reliability\n", "4: a heading twice"),
            ("# Changelog\n### Speed\n## Unreleased\n", "2: a heading above"),
            ("# Changelog\n## Unreleased\nText.\n", "3: text outside of a heading"),
            ("# Changelog\n## Unreleased\n### Speed\nText.\n", "4: text outside of a list"),
        ] {
            let expected = format!("{PATH}:{what}");
            assert!(found(text).iter().any(|it| it.starts_with(&expected)), "{text:?}");
        }
    }
}
