//! `cargo xtask fuzz`: runs libFuzzer on each target of `crates/fuzz`, starting from its corpus.
//! Only this workspace's crates are instrumented for coverage, by the installed toolchain: no other
//! toolchain is needed, and dependencies are built once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::step;

/// The time for which each target runs for a commit, seconds.
pub(crate) const SECONDS_EACH: u64 = 20;
/// The fixed seed of a run for a commit, so that a finding is caused by the change and not by
/// chance.
pub(crate) const SEED: u32 = 1;
/// The seed of a longer run: 0 makes libFuzzer draw one.
pub(crate) const ANY_SEED: u32 = 0;
/// The folder of the corpora.
const CORPUS: &str = "crates/fuzz/corpus";
/// The folder for a run's new inputs, logs, and failing inputs.
const OUTPUT: &str = "target/fuzz";
/// An in-memory file system, on which targets that write files do not wait for syncs.
const MEMORY_DISK: &str = "/dev/shm";
/// The number of targets that run concurrently.
const AT_ONCE: usize = 2;
/// The time limit of one input, seconds.
const INPUT_SECONDS_MAX: u32 = 20;
/// The memory limit of a fuzzer, MB.
const MEMORY_MB_MAX: u32 = 2_048;

/// Runs every target, or only the given ones, for `seconds_each`.
///
/// # Errors
/// When the fuzzer cannot be built, or an input fails; the error has the command that replays it.
pub(crate) fn run(
    root: &Path,
    seconds_each: u64,
    seed: u32,
    only: &[String],
) -> anyhow::Result<()> {
    let fuzzer = build(root)?;
    let targets = targets(root, only)?;
    let mut failures = Vec::new();
    for batch in targets.chunks(AT_ONCE) {
        let running: Vec<(&String, Child)> = batch
            .iter()
            .map(|target| Ok((target, start(root, &fuzzer, target, seconds_each, seed)?)))
            .collect::<anyhow::Result<_>>()?;
        for (target, mut child) in running {
            let status = child.wait().with_context(|| format!("wait for {target}"))?;
            let log = fs::read_to_string(log(root, target))?;
            println!("   {target}: {}", last_line(&log));
            if !status.success() {
                failures.push(failure_report(target, &log));
            }
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("\n\n"))
}

/// Builds the fuzzer, with coverage in our own crates.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let mut build = step::cargo(root, &["build", "--locked", "--workspace", "--example", "fuzz"]);
    build.args(["--features", "orderstream-fuzz/libfuzzer"]);
    build.env("RUSTC_WORKSPACE_WRAPPER", root.join("xtask/fuzz/instrument"));
    step::run("build the fuzzer", &mut build)?;
    // Copied, so that the next build without coverage does not overwrite it.
    let built = root.join("target/debug/examples/fuzz");
    let copy = root.join(OUTPUT).join("fuzz");
    fs::create_dir_all(root.join(OUTPUT))?;
    fs::copy(&built, &copy).with_context(|| format!("copy {}", built.display()))?;
    Ok(copy)
}

/// Returns all targets or only the given ones; each has a corpus.
fn targets(root: &Path, only: &[String]) -> anyhow::Result<Vec<String>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(root.join(CORPUS)).context(CORPUS)? {
        all.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    if let Some(unknown) = only.iter().find(|name| !all.contains(*name)) {
        bail!("no target is named {unknown}; there are {all:?}");
    }
    Ok(all.into_iter().filter(|name| only.is_empty() || only.contains(name)).collect())
}

fn start(
    root: &Path,
    fuzzer: &Path,
    target: &str,
    seconds: u64,
    seed: u32,
) -> anyhow::Result<Child> {
    let output = root.join(OUTPUT).join(target);
    fs::create_dir_all(&output)?;
    let log = fs::File::create(log(root, target))?;
    let mut fuzz = Command::new(fuzzer);
    fuzz.env("ORDERSTREAM_FUZZ_TARGET", target)
        .current_dir(root)
        .arg(&output)
        .arg(root.join(CORPUS).join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-seed={seed}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .arg(format!("-artifact_prefix={OUTPUT}/{target}-"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    if Path::new(MEMORY_DISK).is_dir() {
        fuzz.env("TMPDIR", MEMORY_DISK);
    }
    fuzz.spawn().with_context(|| format!("start the fuzzer of {target}"))
}

fn log(root: &Path, target: &str) -> PathBuf {
    root.join(OUTPUT).join(format!("{target}.log"))
}

/// Returns libFuzzer's last progress line.
fn last_line(log: &str) -> &str {
    let is_count = |line: &&str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    log.lines().rfind(is_count).unwrap_or("no input was played")
}

/// Formats the report of a failing input: the panic, the input's path, and the command that replays
/// it.
fn failure_report(target: &str, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let excerpt = panic.map(|at| lines.get(at..).unwrap_or_default().iter().take(4));
    let excerpt: Vec<&str> = excerpt.into_iter().flatten().copied().collect();
    let artifact = lines.iter().find_map(|line| line.split("Test unit written to ").nth(1));
    let input = artifact.unwrap_or("no input was written");
    format!(
        "{target} broke on {input}:\n{}\n\
         play it: cargo run -p orderstream-fuzz --example play -- {target} {input}\n\
         keep it: once it is mended, as a file in {CORPUS}/{target}",
        excerpt.join("\n")
    )
}

/// Returns the time for each target, seconds, if all of them share a number of minutes.
///
/// # Errors
/// When the corpora cannot be listed.
pub(crate) fn share(root: &Path, minutes: u64, only: &[String]) -> anyhow::Result<u64> {
    let rounds = targets(root, only)?.len().div_ceil(AT_ONCE).max(1);
    let rounds = u64::try_from(rounds).unwrap_or(u64::MAX);
    Ok(Duration::from_secs(minutes.saturating_mul(60)).as_secs().div_euclid(rounds).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report has the panic and the command that replays the input.
    #[test]
    fn failing_inputs_are_reported_with_replay() {
        let log = "#7 NEW cov: 3\nthread panicked at src/wire.rs:50:13:\nleft: 1\n\
                   artifact; Test unit written to target/fuzz/wire-crash-80\n";
        let report = failure_report("wire", log);
        assert!(report.contains("wire broke on target/fuzz/wire-crash-80"), "{report}");
        assert!(report.contains("--example play -- wire target/fuzz/wire-crash-80"), "{report}");
        assert!(report.contains("left: 1"), "{report}");
        assert_eq!(last_line(log), "#7 NEW cov: 3");
    }

    /// The lines of the recommended dictionary also begin with `#`, but are not progress lines.
    #[test]
    fn the_last_progress_line_is_reported() {
        let log = "#9\tDONE cov: 4\n###### End of recommended dictionary. ######\nDone 9 runs\n";
        assert_eq!(last_line(log), "#9\tDONE cov: 4");
        assert_eq!(last_line("INFO: Seed: 1\n"), "no input was played");
    }

    #[test]
    fn targets_share_the_total_time() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let targets = targets(root, &[]).unwrap();
        let seconds = share(root, 10, &[]).unwrap();
        let rounds = targets.len().div_ceil(AT_ONCE) as u64;
        assert!(seconds * rounds <= 600 && seconds > 0, "{seconds} s, {targets:?}");
    }
}
