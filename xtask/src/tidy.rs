//! `cargo xtask tidy`: checks what the compiler and clippy cannot. Each rule is a pure function
//! from text to findings; this file reads the tree and prints them.

mod arrows;
mod changelog;
mod contents;
mod finding;
mod language;
mod size;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

pub(crate) use self::finding::TidyFinding;
use crate::{bundle, contract, deploy, image, mutants, step};

/// Checks the whole tree and prints one line for each finding; any finding gives exit code 1.
///
/// # Errors
/// When the tree cannot be read or cargo cannot be run.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let mut findings = arrows(root)?;
    findings.extend(files(root)?);
    for set in deploy::SETS {
        findings.extend(generated(root, set)?);
    }
    findings.extend(bundle::check(root)?);
    findings.extend(mutants::list::check(root)?);
    findings.extend(contract::check(root)?);
    findings.extend(image::check_context(root)?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: ok");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("tidy: {} finding(s)", findings.len());
    Ok(ExitCode::FAILURE)
}

fn arrows(root: &Path) -> anyhow::Result<Vec<TidyFinding>> {
    let args = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = step::output(&mut step::cargo(root, &args))?;
    anyhow::ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let packages = arrows::packages(&String::from_utf8_lossy(&output.stdout))?;
    let mut findings = Vec::new();
    for package in &packages {
        let manifest = fs::read_to_string(&package.manifest_path)
            .with_context(|| format!("read {}", package.manifest_path.display()))?;
        let path = package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path);
        findings.extend(arrows::check(package, &path.to_string_lossy(), &manifest));
    }
    Ok(findings)
}

/// Applies every rule about one file to every file of the tree.
fn files(root: &Path) -> anyhow::Result<Vec<TidyFinding>> {
    let (mut findings, mut language) = (Vec::new(), language::Language::default());
    for path in paths(root)? {
        let full = root.join(&path);
        let Ok(meta) = fs::symlink_metadata(&full) else { continue };
        if !meta.is_file() {
            continue;
        }
        findings.extend(size::check_blob(&path, meta.len()));
        if path.ends_with(".rs") && !path.contains("/src/gen/") {
            let text = fs::read_to_string(&full).with_context(|| format!("read {path}"))?;
            findings.extend(size::check_file(&path, &text));
            findings.extend(contents::check(&path, &text));
            language.add(&path, &text);
        }
    }
    let changelog = fs::read_to_string(root.join(changelog::PATH)).unwrap_or_default();
    findings.extend(changelog::check(&changelog));
    findings.extend(language.judge());
    Ok(findings)
}

/// Compares generated files with their sources. The wire code has its own test.
fn generated(root: &Path, set: deploy::DocumentSet) -> anyhow::Result<Vec<TidyFinding>> {
    let (dir, verb) = (set.dir, set.verb);
    let stored = set.stored(root)?;
    if stored.is_empty() {
        println!("tidy: {dir} holds no file, nothing to compare");
        return Ok(Vec::new());
    }
    match set.print(root)? {
        deploy::PrintOutcome::Text(text) => Ok(set.check(&stored, &deploy::split(&text))),
        deploy::PrintOutcome::NoSubcommand => {
            println!("tidy: no `orderstream {verb}` yet, {dir} not compared");
            Ok(Vec::new())
        }
        deploy::PrintOutcome::Failed(cause) => {
            let what = format!("cannot be compared: {cause}");
            let fix = format!("make `orderstream {verb}` work");
            Ok(vec![TidyFinding::new(dir, 1, &what, &fix)])
        }
    }
}

/// Lists every file that is or would be checked in, from git; without git, every file on disk.
pub(crate) fn paths(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    if let Ok(output) = git.output()
        && output.status.success()
    {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        return Ok(text.split_terminator('\0').map(str::to_owned).collect());
    }
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    Ok(found)
}

/// Collects the files below `dir`, without those of the ignore file.
fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if [".git", "target", ".orderstream"].contains(&name.as_str()) || name.ends_with(".tmp") {
            continue;
        }
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found)?;
        } else {
            found.push(path.strip_prefix(root)?.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_without_git_skip_build_output() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        walk(root, root, &mut found).unwrap();
        assert!(found.contains(&"src/tidy.rs".to_owned()), "{found:?}");
        assert!(!found.iter().any(|path| path.starts_with("target/")), "{found:?}");
    }
}
