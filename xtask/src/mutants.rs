//! `cargo xtask mutants`: plants one change at a time in a copy of the tree and runs the test that
//! is assigned to it, which must fail within its time limit. A mutant that survives is a guarantee
//! that no test protects.
//!
//! ```text
//! copy the tree -> build each test program, its tests must pass -> for each mutant:
//!     plant -> build its program -> run the test -> Caught | Survived | TimedOut | DoesNotBuild
//!     -> revert
//! ```

pub(crate) mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use self::list::{Mutant, Test};
use crate::step;

/// The copy that is changed; the copy and its build are kept for the next run.
const COPY: &str = "target/mutants/tree";
/// The exit code of `timeout` after a timeout; [`KILLED`] if it had to kill the process.
const TIMED_OUT: i32 = 124;
const KILLED: i32 = 137;
/// The factor on a test's time limit while nothing is planted, to allow for a busy machine.
const SLACK_FACTOR: u32 = 4;

/// The result of one mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MutantOutcome {
    Caught,
    Survived,
    TimedOut,
    DoesNotBuild,
}

impl fmt::Display for MutantOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Caught => "found",
            Self::Survived => "SURVIVED",
            Self::TimedOut => "TIMED OUT",
            Self::DoesNotBuild => "DOES NOT BUILD",
        })
    }
}

/// Plants the mutants with these names, or all, and prints the result of each.
///
/// # Errors
/// When the lists are invalid, or a test fails with nothing planted.
pub(crate) fn run(root: &Path, only: &[String]) -> anyhow::Result<ExitCode> {
    let mutants = select(root, only)?;
    let copy = TreeCopy::make(root)?;
    for tests in by_program(&mutants).values() {
        copy.must_pass(tests)?;
    }
    let mut uncaught = 0_usize;
    for mutant in &mutants {
        let MutantRun { outcome, build_s, test_s } = copy.try_mutant(mutant)?;
        let (name, test) = (&mutant.name, &mutant.test.name);
        println!("{outcome:>14}  {build_s:>4} s to build, {test_s:>3} s  {name}  ({test})");
        uncaught = uncaught.saturating_add(usize::from(outcome != MutantOutcome::Caught));
    }
    println!(
        "mutants: {} planted, {} found",
        mutants.len(),
        mutants.len().saturating_sub(uncaught)
    );
    Ok(if uncaught == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the lists.
///
/// # Errors
/// When the lists cannot be read.
pub(crate) fn print(root: &Path) -> anyhow::Result<ExitCode> {
    for mutant in select(root, &[])? {
        println!("{}: {}\n    {} -> {}", mutant.name, mutant.breaks, mutant.file, mutant.test.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn select(root: &Path, only: &[String]) -> anyhow::Result<Vec<Mutant>> {
    let lists = list::read(root)?;
    let all: Vec<Mutant> = lists.into_iter().flat_map(|(_, mutants)| mutants).collect();
    let unknown = only.iter().find(|name| !all.iter().any(|mutant| mutant.name == **name));
    if let Some(name) = unknown {
        bail!("no mutant is named {name}; `cargo xtask mutants --list` names all");
    }
    let is_selected = |mutant: &Mutant| only.is_empty() || only.contains(&mutant.name);
    Ok(all.into_iter().filter(is_selected).collect())
}

/// Groups the tests that catch these mutants by their program.
fn by_program(mutants: &[Mutant]) -> BTreeMap<Vec<String>, BTreeSet<&Test>> {
    let mut programs: BTreeMap<_, BTreeSet<&Test>> = BTreeMap::new();
    for Mutant { test, .. } in mutants {
        programs.entry(test.target_args()).or_default().insert(test);
    }
    programs
}

/// The result of one mutant, with its times in seconds.
#[derive(Debug)]
struct MutantRun {
    outcome: MutantOutcome,
    build_s: u64,
    test_s: u64,
}

/// A copy of the tree in which changes are planted.
#[derive(Debug)]
struct TreeCopy {
    dir: PathBuf,
}

impl TreeCopy {
    /// Makes the copy equal to the files that git tracks, without writing files that are already
    /// equal.
    fn make(root: &Path) -> anyhow::Result<Self> {
        let dir = root.join(COPY);
        let mut git = Command::new("git");
        git.current_dir(root).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let output = step::output(&mut git)?;
        ensure!(output.status.success(), "mutants need a git checkout, to know what to copy");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let tracked: BTreeSet<&str> = text.split_terminator('\0').collect();
        for path in &tracked {
            let Ok(bytes) = fs::read(root.join(path)) else { continue };
            let to = dir.join(path);
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::create_dir_all(to.parent().context("a folder")?)?;
                fs::write(&to, bytes).with_context(|| format!("write {}", to.display()))?;
            }
        }
        remove_surplus(&dir, &dir, &tracked)?;
        Ok(Self { dir })
    }

    /// Builds a program with nothing planted and runs its tests, all of which must pass.
    fn must_pass(&self, tests: &BTreeSet<&Test>) -> anyhow::Result<()> {
        let Some(test) = tests.first() else { return Ok(()) };
        let (begin, what) = (Instant::now(), test.target_args().join(" "));
        let program = self.build(test)?;
        let program = program.with_context(|| format!("{what} does not build as it is"))?;
        let build_s = begin.elapsed().as_secs();
        let names: BTreeSet<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        let seconds = tests.iter().map(|test| test.seconds).sum();
        let limit = Duration::from_secs(seconds) * SLACK_FACTOR;
        let (outcome, output) = self.run_tests(&program, test, &names, limit)?;
        ensure!(
            outcome == MutantOutcome::Survived,
            "{what}: it fails with nothing planted:\n{output}"
        );
        let test_s = begin.elapsed().as_secs().saturating_sub(build_s);
        println!("{what}: {build_s} s to build, {} tests pass in {test_s} s", names.len());
        Ok(())
    }

    fn try_mutant(&self, mutant: &Mutant) -> anyhow::Result<MutantRun> {
        let path = self.dir.join(&mutant.file);
        let text = fs::read_to_string(&path).with_context(|| mutant.file.clone())?;
        let Some(changed) = list::apply(mutant, &text) else {
            bail!("mutant {} is stale; `cargo xtask tidy` says why", mutant.name);
        };
        fs::write(&path, changed)?;
        let result = self.evaluate(&mutant.test);
        fs::write(&path, text)?;
        result
    }

    fn evaluate(&self, test: &Test) -> anyhow::Result<MutantRun> {
        let begin = Instant::now();
        let program = self.build(test)?;
        let build_s = begin.elapsed().as_secs();
        let Some(program) = program else {
            return Ok(MutantRun { outcome: MutantOutcome::DoesNotBuild, build_s, test_s: 0 });
        };
        let names = BTreeSet::from([test.name.as_str()]);
        let limit = Duration::from_secs(test.seconds);
        let (outcome, _) = self.run_tests(&program, test, &names, limit)?;
        let test_s = begin.elapsed().as_secs().saturating_sub(build_s);
        Ok(MutantRun { outcome, build_s, test_s })
    }

    fn cargo(&self, args: &[&str]) -> Command {
        let mut cargo = step::cargo(&self.dir, args);
        cargo.env("CARGO_TARGET_DIR", self.dir.with_file_name("build"));
        cargo
    }

    /// Builds the test's program, and the binary if the test runs it; `None` if they do not build.
    fn build(&self, test: &Test) -> anyhow::Result<Option<PathBuf>> {
        if test.needs_binary() {
            let mut binary = self.cargo(&["build", "--quiet", "--locked", "-p", "orderstream"]);
            if !binary.stderr(Stdio::null()).status().context("start cargo")?.success() {
                return Ok(None);
            }
        }
        let mut build = self.cargo(&["test", "--locked", "--no-run", "--message-format=json"]);
        let output = step::output(build.args(test.target_args()).stderr(Stdio::null()))?;
        if !output.status.success() {
            return Ok(None);
        }
        let program = program(&String::from_utf8_lossy(&output.stdout));
        program.map(Some).with_context(|| format!("cargo names no program for {}", test.name))
    }

    /// Runs tests of one program, in a process group that is killed after the time limit; also
    /// returns their output.
    fn run_tests(
        &self,
        program: &Path,
        test: &Test,
        names: &BTreeSet<&str>,
        limit: Duration,
    ) -> anyhow::Result<(MutantOutcome, String)> {
        let mut run = Command::new("timeout");
        run.arg("--kill-after=2").arg(limit.as_secs().to_string()).arg(program);
        run.arg("--exact").args(names).current_dir(self.dir.join(test.package_dir()));
        let output = step::output(run.stdin(Stdio::null()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let all = names.len();
        let has_begun = text.contains(&format!("running {all} test"));
        let outcome = match output.status.code() {
            Some(TIMED_OUT | KILLED) => MutantOutcome::TimedOut,
            Some(0) if text.contains(&format!(" {all} passed")) => MutantOutcome::Survived,
            code if has_begun && code != Some(0) => MutantOutcome::Caught,
            code => bail!("{names:?} did not run as {all} tests (code {code:?}):\n{text}"),
        };
        Ok((outcome, text))
    }
}

/// Returns the test program from cargo's messages.
fn program(messages: &str) -> Option<PathBuf> {
    messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let executable = message["executable"].as_str().map(PathBuf::from);
        executable.filter(|_| message["profile"]["test"] == true)
    })
}

/// Removes the files of the copy that are not in the tree.
fn remove_surplus(copy: &Path, dir: &Path, tracked: &BTreeSet<&str>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            remove_surplus(copy, &path, tracked)?;
        } else if !tracked.contains(&*path.strip_prefix(copy)?.to_string_lossy()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test programs are found among cargo's other messages and programs.
    #[test]
    fn test_programs_are_found_in_messages() {
        let messages = r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":"/b/orderstream"}
{"reason":"compiler-artifact","profile":{"test":true},"executable":"/b/deps/main-1"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(program(messages), Some(PathBuf::from("/b/deps/main-1")));
        assert_eq!(program("no JSON\n{}\n"), None);
    }
}
