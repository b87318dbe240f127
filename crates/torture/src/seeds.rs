//! Runs many seeds, several concurrently, and prints the result of each.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::cases::DirectedCase;
use crate::check::{HistoryFinding, check};
use crate::command::ClientOutcome;
use crate::history::{HistoryLine, save};
use crate::plan::plan;
use crate::report::report;
use crate::run::{TortureRun, run, run_bounded};

/// The default number of concurrent runs: they mostly wait, so two cores are enough.
pub const JOBS: usize = 3;

/// The settings for running seeds.
#[derive(Clone, Debug)]
pub struct SeedSettings {
    /// The binary.
    pub binary: PathBuf,
    /// The folder for histories of failing runs.
    pub histories_dir: PathBuf,
    /// The number of concurrent runs.
    pub jobs: usize,
    /// The time until which further seeds are run.
    pub until: Option<Instant>,
}

/// Parses `7` or `0-9`.
///
/// # Errors
/// When it is neither.
pub fn parse(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is not a seed"));
    match text.split_once('-') {
        Some((first, last)) => Ok(number(first)?..=number(last)?),
        None => Ok(number(text)?..=number(text)?),
    }
}

/// Runs seeds and prints the findings; returns `true` if there are none.
pub async fn run_seeds(seeds: RangeInclusive<u64>, settings: &SeedSettings) -> bool {
    let mut next = *seeds.start();
    let (mut runs, mut totals) = (JoinSet::new(), SeedTotals::default());
    loop {
        let goes_on = next <= *seeds.end() || settings.until.is_some_and(|it| Instant::now() < it);
        if goes_on && runs.len() < settings.jobs {
            let (seed, settings) = (next, settings.clone());
            runs.spawn(async move { run_seed(seed, &settings).await });
            next += 1;
        } else if let Some(ended) = runs.join_next().await {
            totals.add(ended.unwrap_or_else(|error| panic!("a seed is lost: {error}")));
        } else {
            break;
        }
    }
    println!("{totals}");
    totals.findings.is_empty()
}

async fn run_seed(seed: u64, settings: &SeedSettings) -> RunCounts {
    let began = Instant::now();
    let plan = plan(seed);
    let (topology, keys) = (plan.topology, plan.keys);
    let result = run_bounded(settings.binary.clone(), |place| run(plan, place)).await;
    let findings = judge(&result);
    let count = RunCounts::of(&result.lines, &findings);
    println!("seed {seed} {topology:?} {keys:?}: {count}, {} s", began.elapsed().as_secs());
    if !findings.is_empty() {
        let replay = format!("cargo xtask torture --seeds {seed}");
        report_findings(
            &findings,
            &result,
            &replay,
            &settings.histories_dir.join(format!("seed-{seed}")),
        );
    }
    count
}

/// Returns the findings of a run. A run that did not finish has no history to check.
fn judge(result: &TortureRun) -> Vec<HistoryFinding> {
    let Some(failure) = &result.failure else { return check(&result.lines) };
    let (order, token, text) = (String::new(), String::new(), format!("the run {failure}"));
    vec![HistoryFinding { predicate: "run", order, token, text }]
}

/// Prints the findings, and stores the history and the logs.
fn report_findings(
    findings: &[HistoryFinding],
    result: &TortureRun,
    replay: &str,
    histories_dir: &Path,
) {
    println!("{}", report(findings, &result.lines, replay));
    let saved = std::fs::create_dir_all(histories_dir).and_then(|()| {
        for file in std::fs::read_dir(result.dir.path())?.flatten() {
            if file.path().extension().is_some_and(|kind| kind == "log") {
                std::fs::copy(file.path(), histories_dir.join(file.file_name()))?;
            }
        }
        save(&result.lines, &histories_dir.join("history.jsonl"))
    });
    match saved {
        Ok(()) => println!("history and logs: {}", histories_dir.display()),
        Err(error) => println!("the history is not kept: {error}"),
    }
}

/// Runs directed cases one after the other; returns `true` if there are no findings.
pub async fn run_cases(cases: &[DirectedCase], binary: &Path, histories_dir: &Path) -> bool {
    let mut passed = true;
    for case in cases {
        let began = Instant::now();
        let result = run_bounded(binary.to_owned(), |place| case.run(place)).await;
        let findings = judge(&result);
        let count = RunCounts::of(&result.lines, &findings);
        println!("case {case}: {count}, {} s", began.elapsed().as_secs());
        if !findings.is_empty() {
            passed = false;
            let replay = format!("cargo xtask torture --case {case}");
            report_findings(&findings, &result, &replay, &histories_dir.join(case.to_string()));
        }
    }
    passed
}

/// The counts of one run.
#[derive(Clone, Debug, Default)]
struct RunCounts {
    attempts: usize,
    succeeded: usize,
    refused: usize,
    receipts: usize,
    readings: usize,
    faults: BTreeMap<String, usize>,
    findings: Vec<String>,
}

impl RunCounts {
    fn of(lines: &[HistoryLine], findings: &[HistoryFinding]) -> Self {
        let mut count = Self::default();
        for line in lines {
            match line {
                HistoryLine::Attempt(attempt) => {
                    count.attempts += 1;
                    count.succeeded +=
                        usize::from(matches!(attempt.result, ClientOutcome::Ok { .. }));
                    count.refused +=
                        usize::from(matches!(attempt.result, ClientOutcome::Fail { .. }));
                }
                HistoryLine::Receipt(_) => count.receipts += 1,
                HistoryLine::Page(_) | HistoryLine::OrderList(_) => count.readings += 1,
                HistoryLine::Fault(fault) => {
                    let kind = fault.kind.split('(').next().unwrap_or_default().to_owned();
                    *count.faults.entry(kind).or_default() += 1;
                }
                HistoryLine::Stream(_)
                | HistoryLine::List(_)
                | HistoryLine::Pages(_)
                | HistoryLine::Measurements(_)
                | HistoryLine::Exit(_) => {}
            }
        }
        count.findings = findings.iter().map(|finding| finding.predicate.to_owned()).collect();
        count
    }
}

impl std::fmt::Display for RunCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempts, succeeded, refused, receipts, readings, faults, findings } = self;
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for predicate in findings {
            *kinds.entry(predicate).or_default() += 1;
        }
        write!(
            f,
            "{attempts} acts ({succeeded} done, {refused} refused), {receipts} told, {readings} views, "
        )?;
        write!(f, "faults {faults:?}, findings {kinds:?}")
    }
}

/// The counts of all runs.
#[derive(Debug, Default)]
struct SeedTotals {
    runs: usize,
    all: RunCounts,
    findings: Vec<String>,
}

impl SeedTotals {
    fn add(&mut self, count: RunCounts) {
        self.runs += 1;
        self.all.attempts += count.attempts;
        self.all.succeeded += count.succeeded;
        self.all.refused += count.refused;
        self.all.receipts += count.receipts;
        self.all.readings += count.readings;
        for (kind, times) in count.faults {
            *self.all.faults.entry(kind).or_default() += times;
        }
        self.findings.extend(count.findings.iter().cloned());
        self.all.findings.extend(count.findings);
    }
}

impl std::fmt::Display for SeedTotals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} runs: {}", self.runs, self.all)
    }
}
