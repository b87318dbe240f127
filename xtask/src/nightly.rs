//! `cargo xtask nightly`: runs every rig that draws seeds or inputs, and the mutants, for the given
//! time and on new seeds; at the end it reports what was run. The cases of the contract and of the
//! cluster are fixed: more time would find nothing more in them.
//!
//! ```text
//! minutes -> a share for each rig -> rounds of new seeds until the share is used up -> report
//! ```
//!
//! A rig with a finding does not stop the others; the exit code reports it, and the rig's output
//! has the command that reproduces it.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::{fuzz, mutants, powercut, step, torture};

/// The number of the simulation's seeds in one round.
const SIMULATED_IN_A_ROUND: u64 = 50_000;
/// The number of the shells' seeds in one round.
const SHELLS_IN_A_ROUND: u64 = 200;
/// The number of power cuts in one round.
const CUTS_IN_A_ROUND: u64 = 300;
/// The number of the black-box test's seeds in one round.
const TORTURED_IN_A_ROUND: u64 = 20;
/// The upper bound of drawn seeds, so that they are short.
const SEEDS_BELOW: u64 = 1_000_000_000;
/// The environment variable from which the simulation reads the number of seeds.
const SEEDS_VARIABLE: &str = "SEEDS";
/// The environment variable from which the shells' tests read their seeds.
const SHELLS_SEEDS_VARIABLE: &str = "SHELLS_SEEDS";
const FIRST_SEED_VARIABLE: &str = "SIM_FIRST_SEED";

/// The work of a rig, and its failure if a guarantee was broken.
struct RigReport {
    rig: &'static str,
    rounds: u64,
    scope: String,
    failure: Option<anyhow::Error>,
}

/// The options of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NightlyOptions {
    /// The total time, minutes.
    pub(crate) minutes: u64,
    /// The first seed; drawn from the clock if absent.
    pub(crate) seed: Option<u64>,
}

/// Runs all rigs and prints what was run.
///
/// # Errors
/// When the clock cannot be read. The exit code reports whether a rig had a finding.
pub(crate) fn run(root: &Path, options: NightlyOptions) -> anyhow::Result<ExitCode> {
    let first = options.seed.map_or_else(drawn_seed, Ok)?;
    let share =
        |percent: u64| Duration::from_secs(options.minutes.saturating_mul(60) * percent / 100);
    println!("== nightly: {} minutes from seed {first}", options.minutes);
    let reports = [
        rounds("simulation", share(15), first, SIMULATED_IN_A_ROUND, |seed| simulate(root, seed)),
        rounds("shells", share(10), first, SHELLS_IN_A_ROUND, |seed| run_shells(root, seed)),
        rounds("power cuts", share(15), first, CUTS_IN_A_ROUND, |seed| {
            powercut::run(root, CUTS_IN_A_ROUND, seed)
        }),
        rounds("black box", share(30), first, TORTURED_IN_A_ROUND, |seed| {
            let last = seed.saturating_add(TORTURED_IN_A_ROUND).saturating_sub(1);
            torture::run(root, &["--seeds".to_owned(), format!("{seed}-{last}")])
        }),
        run_fuzz(root, share(15)),
        run_mutants(root),
    ];
    println!("\n== nightly: what was covered");
    for RigReport { rig, rounds, scope, failure } in &reports {
        let verdict = failure
            .as_ref()
            .map_or_else(|| "held".to_owned(), |error| format!("BROKEN: {error:#}"));
        println!("{rig}: {rounds} rounds, {scope}: {verdict}");
    }
    let passed = reports.iter().all(|rig| rig.failure.is_none());
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Draws a seed from the clock.
#[allow(clippy::disallowed_methods, reason = "the seed is to differ from night to night")]
fn drawn_seed() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?;
    Ok(since.as_secs() % SEEDS_BELOW)
}

/// Runs rounds of `step` seeds each until the time is up or a round fails; at least one.
fn rounds(
    rig: &'static str,
    time: Duration,
    first: u64,
    step: u64,
    run_round: impl Fn(u64) -> anyhow::Result<()>,
) -> RigReport {
    let start = Instant::now();
    let mut seed = first;
    let mut rounds = 0_u64;
    let failure = loop {
        let outcome = run_round(seed);
        rounds = rounds.saturating_add(1);
        seed = seed.saturating_add(step);
        if let Err(error) = outcome {
            break Some(error);
        }
        if start.elapsed() >= time {
            break None;
        }
    };
    let scope = format!("seeds {first} to {}", seed.saturating_sub(1));
    RigReport { rig, rounds, scope, failure }
}

fn simulate(root: &Path, seed: u64) -> anyhow::Result<()> {
    let args =
        ["test", "--profile", "dist", "--locked", "-p", "orderstream-core", "--test", "main"];
    let mut test = step::cargo(root, &args);
    test.args(["simulation::every_seed_keeps_every_promise", "--", "--exact"]);
    test.env(SEEDS_VARIABLE, SIMULATED_IN_A_ROUND.to_string());
    test.env(FIRST_SEED_VARIABLE, seed.to_string());
    step::run("simulate whole lives", &mut test)
}

fn run_shells(root: &Path, seed: u64) -> anyhow::Result<()> {
    let args =
        ["test", "--profile", "dist", "--locked", "-p", "orderstream-shells", "--test", "main"];
    let mut test = step::cargo(root, &args);
    test.args(["seeds::every_answer_holds_despite_faults", "--", "--exact"]);
    let last = seed.saturating_add(SHELLS_IN_A_ROUND).saturating_sub(1);
    test.env(SHELLS_SEEDS_VARIABLE, format!("{seed}-{last}"));
    step::run("the shells over simulated hosts", &mut test)
}

fn run_fuzz(root: &Path, time: Duration) -> RigReport {
    let minutes = time.as_secs().div_euclid(60).max(1);
    let outcome = fuzz::share(root, minutes, &[])
        .and_then(|seconds| fuzz::run(root, seconds, fuzz::ANY_SEED, &[]).map(|()| seconds));
    let scope = match &outcome {
        Ok(seconds) => format!("{seconds} s for each target"),
        Err(_) => format!("{minutes} minutes for all targets"),
    };
    RigReport { rig: "fuzz", rounds: 1, scope, failure: outcome.err() }
}

fn run_mutants(root: &Path) -> RigReport {
    let failure = match mutants::run(root, &[]) {
        Ok(code) if code == ExitCode::SUCCESS => None,
        Ok(_) => Some(anyhow::anyhow!("some were not found; see above")),
        Err(error) => Some(error),
    };
    RigReport { rig: "mutants", rounds: 1, scope: "every one that is planted".to_owned(), failure }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Rigs stop at the end of their time, after at least one round, or at a failure.
    #[test]
    fn rigs_play_new_seeds_until_stopped() {
        let seeds = RefCell::new(Vec::new());
        let report = rounds("r", Duration::ZERO, 7, 10, |seed| {
            seeds.borrow_mut().push(seed);
            Ok(())
        });
        assert_eq!((report.rounds, report.scope.as_str()), (1, "seeds 7 to 16"));
        let report = rounds("r", Duration::from_secs(3_600), 0, 10, |seed| {
            anyhow::ensure!(seed < 20, "seed {seed} is broken");
            Ok(())
        });
        assert_eq!((report.rounds, report.scope.as_str()), (3, "seeds 0 to 29"));
        assert_eq!(report.failure.unwrap().to_string(), "seed 20 is broken");
    }
}
