//! `cargo xtask mutants`: plants one change at a time in a copy of the tree and runs the test that
//! is named for it, which must fail in its time. What survives is a promise that nothing protects.
//!
//! ```text
//! copy the tree -> build each test once, it must pass -> for each mutant:
//!     plant -> build -> run the test -> Found | Survived | TimedOut | DoesNotBuild -> take out
//! ```

pub(crate) mod list;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use self::list::{Mutant, Test};
use crate::step;

/// The copy that is changed, and its build; both stay for the next run.
const COPY: &str = "target/mutants/tree";
/// The exit code of libtest when a test failed, and of cargo with it.
const TEST_FAILED: i32 = 101;
/// The exit codes of `timeout` when the time was over, and when it had to kill.
const TIMED_OUT: i32 = 124;
const KILLED: i32 = 137;
/// Factor on a test's time while nothing is planted: a machine that is busy breaks no promise.
const PATIENCE: u32 = 4;

/// What came of one mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Found,
    Survived,
    TimedOut,
    DoesNotBuild,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Found => "found",
            Self::Survived => "SURVIVED",
            Self::TimedOut => "TIMED OUT",
            Self::DoesNotBuild => "DOES NOT BUILD",
        })
    }
}

/// Plants the mutants of these names, or all, and says what came of each.
///
/// # Errors
/// When the lists are not as they should be, or a test fails with nothing planted.
pub(crate) fn run(root: &Path, only: &[String]) -> anyhow::Result<ExitCode> {
    let mutants = chosen(root, only)?;
    let copy = Copy::make(root)?;
    let tests: BTreeSet<&Test> = mutants.iter().map(|mutant| &mutant.test).collect();
    for test in tests {
        ensure!(copy.build(test)?, "{} does not build with nothing planted", test.name);
        let limit = Duration::from_secs(test.seconds) * PATIENCE;
        let outcome = copy.run_test(test, limit)?;
        ensure!(outcome == Outcome::Survived, "{} fails with nothing planted", test.name);
    }
    let mut missed = 0_usize;
    for mutant in &mutants {
        let (outcome, seconds) = copy.try_mutant(mutant)?;
        println!("{outcome:>14}  {seconds:>4} s  {}  ({})", mutant.name, mutant.test.name);
        missed = missed.saturating_add(usize::from(outcome != Outcome::Found));
    }
    println!("mutants: {} planted, {} found", mutants.len(), mutants.len().saturating_sub(missed));
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the lists.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn print(root: &Path) -> anyhow::Result<ExitCode> {
    for mutant in chosen(root, &[])? {
        println!("{}: {}\n    {} -> {}", mutant.name, mutant.breaks, mutant.file, mutant.test.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(root: &Path, only: &[String]) -> anyhow::Result<Vec<Mutant>> {
    let lists = list::read(root)?;
    let all: Vec<Mutant> = lists.into_iter().flat_map(|(_, mutants)| mutants).collect();
    let unknown = only.iter().find(|name| !all.iter().any(|mutant| mutant.name == **name));
    if let Some(name) = unknown {
        bail!("no mutant is named {name}; `cargo xtask mutants --list` names all");
    }
    let is_wanted = |mutant: &Mutant| only.is_empty() || only.contains(&mutant.name);
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// A copy of the tree in which changes are planted.
#[derive(Debug)]
struct Copy {
    dir: PathBuf,
}

impl Copy {
    /// Makes the copy equal to the files that git knows, and touches no file that is equal already.
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
        let wanted: BTreeSet<&str> = text.split_terminator('\0').collect();
        for path in &wanted {
            let Ok(bytes) = fs::read(root.join(path)) else { continue };
            let to = dir.join(path);
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::create_dir_all(to.parent().context("a folder")?)?;
                fs::write(&to, bytes).with_context(|| format!("write {}", to.display()))?;
            }
        }
        remove_surplus(&dir, &dir, &wanted)?;
        Ok(Self { dir })
    }

    fn try_mutant(&self, mutant: &Mutant) -> anyhow::Result<(Outcome, u64)> {
        let path = self.dir.join(&mutant.file);
        let text = fs::read_to_string(&path).with_context(|| mutant.file.clone())?;
        let Some(changed) = list::apply(mutant, &text) else {
            bail!("mutant {} is stale; `cargo xtask tidy` says why", mutant.name);
        };
        fs::write(&path, changed)?;
        let outcome = self.judge(mutant);
        fs::write(&path, text)?;
        outcome
    }

    fn judge(&self, mutant: &Mutant) -> anyhow::Result<(Outcome, u64)> {
        if !self.build(&mutant.test)? {
            return Ok((Outcome::DoesNotBuild, 0));
        }
        let start = Instant::now();
        let outcome = self.run_test(&mutant.test, Duration::from_secs(mutant.test.seconds))?;
        Ok((outcome, start.elapsed().as_secs()))
    }

    fn cargo(&self, args: &[&str]) -> Command {
        let mut cargo = step::cargo(&self.dir, args);
        cargo.env("CARGO_TARGET_DIR", self.dir.with_file_name("build"));
        cargo
    }

    /// Whether the test's program, and the binary where it runs one, can be built.
    fn build(&self, test: &Test) -> anyhow::Result<bool> {
        if test.needs_binary() {
            let mut binary = self.cargo(&["build", "--quiet", "--locked", "-p", "orderstream"]);
            if !binary.stderr(Stdio::null()).status().context("start cargo")?.success() {
                return Ok(false);
            }
        }
        let mut build = self.cargo(&["test", "--quiet", "--locked", "--no-run"]);
        let status = build.args(test.target_args()).stderr(Stdio::null()).status();
        Ok(status.context("start cargo")?.success())
    }

    /// Runs one test, in a process group of its own that ends with its time.
    fn run_test(&self, test: &Test, limit: Duration) -> anyhow::Result<Outcome> {
        let mut cargo = self.cargo(&["test", "--quiet", "--locked"]);
        cargo.args(test.target_args()).args(["--", "--exact", &test.name]);
        let mut run = Command::new("timeout");
        run.arg("--kill-after=2").arg(limit.as_secs().to_string()).arg(cargo.get_program());
        run.args(cargo.get_args()).current_dir(&self.dir);
        run.envs(cargo.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = step::output(run.stdin(Stdio::null()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match output.status.code() {
            Some(TIMED_OUT | KILLED) => Ok(Outcome::TimedOut),
            Some(TEST_FAILED) if text.contains(" 1 failed") => Ok(Outcome::Found),
            Some(0) if text.contains(" 1 passed") => Ok(Outcome::Survived),
            code => bail!("`{}` did not run as one test (code {code:?}):\n{text}", test.name),
        }
    }
}

/// Removes what the copy holds and the tree does not.
fn remove_surplus(copy: &Path, dir: &Path, wanted: &BTreeSet<&str>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            remove_surplus(copy, &path, wanted)?;
        } else if !wanted.contains(&*path.strip_prefix(copy)?.to_string_lossy()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
