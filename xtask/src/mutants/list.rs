//! The lists of mutants: their format, and the checks for stale entries. Pure except for reading
//! files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::tidy::TidyFinding;

/// The folder of the lists, one file for each part of the product.
pub(crate) const DIR: &str = "xtask/mutants";
/// The smallest number of entries in all lists; a removed entry is a lost protection.
const ENTRIES_MIN: usize = 30;
/// The longest time that a test may take to catch its mutant, without the build, seconds.
const SECONDS_MAX: u64 = 120;

/// A change that breaks a guarantee, and the test that must then fail.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// The mutant's name, unique in all lists.
    pub(crate) name: String,
    /// The guarantee or rule that the change breaks, in words.
    pub(crate) breaks: String,
    /// The path of the changed file, from the workspace's root.
    pub(crate) file: String,
    /// The text to replace, which occurs in the file exactly once.
    pub(crate) old: String,
    /// The text that replaces it.
    pub(crate) new: String,
    /// The test that must fail.
    pub(crate) test: Test,
}

/// A test, as cargo finds it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// The package that has the test.
    pub(crate) package: String,
    /// The integration-test target; absent for a unit test of the library.
    #[serde(default)]
    pub(crate) target: Option<String>,
    /// The full path of the test, as `cargo test -- --exact` expects it.
    pub(crate) name: String,
    /// The time within which it must fail, without the build, seconds; 30 by default.
    #[serde(default = "seconds")]
    pub(crate) seconds: u64,
}

fn seconds() -> u64 {
    30
}

impl Test {
    /// Returns the arguments of `cargo test` that select the test's program.
    pub(crate) fn target_args(&self) -> Vec<String> {
        let mut args = vec!["--package".to_owned(), self.package.clone()];
        match &self.target {
            Some(target) => args.extend(["--test".to_owned(), target.clone()]),
            None => args.push("--lib".to_owned()),
        }
        args
    }

    /// Returns the folder of the package, from the workspace's root.
    pub(crate) fn package_dir(&self) -> PathBuf {
        let package = self.package.strip_prefix("orderstream-").unwrap_or(&self.package);
        Path::new("crates").join(package)
    }

    /// Returns the folder of the target that has the test, from the workspace's root.
    fn dir(&self, root: &Path) -> PathBuf {
        let package = self.package_dir();
        let Some(target) = &self.target else { return package.join("src") };
        let own = package.join("tests").join(target);
        if is_target(&root.join(&own)) { own } else { package.join("tests") }
    }

    /// Returns the name of the test's function.
    fn function(&self) -> &str {
        self.name.rsplit("::").next().unwrap_or(&self.name)
    }

    /// Reports whether the test runs the package's binary, which must be built first.
    pub(crate) fn needs_binary(&self) -> bool {
        self.package == "orderstream"
    }
}

/// Reads all lists, in the order of their file names.
///
/// # Errors
/// When a list cannot be read or parsed.
pub(crate) fn read(root: &Path) -> anyhow::Result<Vec<(String, Vec<Mutant>)>> {
    let mut files: Vec<String> = Vec::new();
    for entry in fs::read_dir(root.join(DIR)).context(DIR)? {
        files.push(entry?.file_name().to_string_lossy().into_owned());
    }
    files.retain(|name| name.ends_with(".yaml"));
    files.sort();
    let list = |name: String| {
        let path = format!("{DIR}/{name}");
        let text = fs::read_to_string(root.join(&path)).with_context(|| format!("read {path}"))?;
        let mutants = parse(&text).with_context(|| format!("parse {path}"))?;
        Ok((path, mutants))
    };
    files.into_iter().map(list).collect()
}

/// Parses the entries of one list.
///
/// # Errors
/// When the text is not a list of mutants.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<Mutant>> {
    Ok(serde_saphyr::from_str(text)?)
}

/// Returns the file's text with the change; `None` if the old text does not occur exactly once.
pub(crate) fn apply(mutant: &Mutant, text: &str) -> Option<String> {
    let mut found = text.match_indices(&mutant.old);
    let (at, _) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let rest = text.get(at.saturating_add(mutant.old.len())..)?;
    Some(format!("{}{}{rest}", text.get(..at)?, mutant.new))
}

/// Finds every entry that cannot be planted, or whose test does not exist.
///
/// # Errors
/// When the lists or the sources cannot be read.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<TidyFinding>> {
    let lists = read(root)?;
    let mut findings = Vec::new();
    let mut names = BTreeSet::new();
    for (path, mutants) in &lists {
        for mutant in mutants {
            if !names.insert(mutant.name.clone()) {
                findings.push(finding(path, mutant, "stands twice", "give it another name"));
            }
            findings.extend(stale(root, path, mutant)?);
        }
    }
    if names.len() < ENTRIES_MIN {
        let what = format!("holds {} mutants, fewer than {ENTRIES_MIN}", names.len());
        findings.push(TidyFinding::new(DIR, 1, &what, "plant one for each promise that has none"));
    }
    Ok(findings)
}

fn stale(root: &Path, path: &str, mutant: &Mutant) -> anyhow::Result<Vec<TidyFinding>> {
    let mut findings = Vec::new();
    let text = fs::read_to_string(root.join(&mutant.file)).unwrap_or_default();
    match apply(mutant, &text) {
        None => {
            let what = format!("`old` does not stand exactly once in {}", mutant.file);
            findings.push(finding(path, mutant, &what, "quote what stands there now"));
        }
        Some(changed) if changed == text => {
            findings.push(finding(path, mutant, "changes nothing", "make `new` differ from `old`"));
        }
        Some(_) => {}
    }
    if !(1..=SECONDS_MAX).contains(&mutant.test.seconds) {
        let what = format!("`seconds` is not in 1..={SECONDS_MAX}");
        findings.push(finding(path, mutant, &what, "name a test that finds it sooner"));
    }
    let function = format!("fn {}(", mutant.test.function());
    if !contains_text(&root.join(mutant.test.dir(root)), &function)? {
        let target = mutant.test.target.as_deref().unwrap_or("the library");
        let Test { name, package, .. } = &mutant.test;
        let what = format!("its test `{name}` is not in {target} of {package}");
        findings.push(finding(path, mutant, &what, "name the test that finds it"));
    }
    Ok(findings)
}

fn finding(path: &str, mutant: &Mutant, what: &str, fix: &str) -> TidyFinding {
    TidyFinding::new(path, 1, &format!("mutant {}: {what}", mutant.name), fix)
}

/// Reports whether a folder is a test target of its own.
fn is_target(dir: &Path) -> bool {
    dir.join("main.rs").is_file()
}

/// Reports whether a Rust file below the folder has the text; other targets below it do not count.
fn contains_text(dir: &Path, needle: &str) -> anyhow::Result<bool> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(false) };
    for entry in entries {
        let path = entry?.path();
        let found = if path.is_dir() {
            !is_target(&path) && contains_text(&path, needle)?
        } else {
            path.extension().is_some_and(|it| it == "rs")
                && fs::read_to_string(&path)?.contains(needle)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "
- name: twice
  breaks: promise 3
  file: src/lib.rs
  old: |-
    let a = 1;
    let b = 2;
  new: let a = 2;
  test: { package: orderstream-core, name: 'book::tests::one' }
";

    /// A mutant whose old text is absent or occurs twice is not planted.
    #[test]
    fn mutants_replace_a_unique_text() {
        let mutant = parse(LIST).unwrap().remove(0);
        let once = "fn f() {\nlet a = 1;\nlet b = 2;\n}\n";
        assert_eq!(apply(&mutant, once).unwrap(), "fn f() {\nlet a = 2;\n}\n");
        assert_eq!(apply(&mutant, &once.repeat(2)), None);
        assert_eq!(apply(&mutant, "fn f() {}"), None);
    }

    #[test]
    fn unknown_fields_are_refused() {
        let text = LIST.replace("breaks:", "brakes:");
        assert!(parse(&text).is_err());
    }

    /// Tests are not found in other targets of the package.
    #[test]
    fn tests_are_found_in_their_target() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let function = "fn power_cuts_under_load_lose_nothing(";
        let mut test = parse(LIST).unwrap().remove(0).test;
        test.package = "orderstream-journal".to_owned();
        for (target, expected) in [(None, false), (Some("main"), false), (Some("powercut"), true)] {
            test.target = target.map(str::to_owned);
            let is_found = contains_text(&root.join(test.dir(root)), function).unwrap();
            assert_eq!(is_found, expected, "{target:?}");
        }
    }

    #[test]
    fn tests_are_selected_for_cargo() {
        let mut test = parse(LIST).unwrap().remove(0).test;
        assert_eq!(test.target_args(), ["--package", "orderstream-core", "--lib"]);
        assert_eq!((test.function(), test.seconds), ("one", 30));
        test.target = Some("main".to_owned());
        assert_eq!(test.target_args(), ["--package", "orderstream-core", "--test", "main"]);
    }
}
