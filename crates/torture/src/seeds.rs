//! Runs many seeds, several at one time, and prints the result of each.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::cases::Case;
use crate::check::{Finding, check};
use crate::history::{Line, save};
use crate::op::Outcome;
use crate::plan::plan;
use crate::report::report;
use crate::run::{Ran, bounded, run};

/// The number of runs at one time: they mostly wait, and two cores are enough for so many.
pub const JOBS: usize = 3;

/// The settings for running seeds.
#[derive(Clone, Debug)]
pub struct Session {
    /// The binary.
    pub binary: PathBuf,
    /// The folder for histories of failing runs.
    pub keep: PathBuf,
    /// The number of runs at one time.
    pub jobs: usize,
    /// The time until which it continues with further seeds.
    pub until: Option<Instant>,
}

/// Parses `7` or `0-9`.
///
/// # Errors
/// When it is neither.
pub fn parse(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no seed"));
    match text.split_once('-') {
        Some((first, last)) => Ok(number(first)?..=number(last)?),
        None => Ok(number(text)?..=number(text)?),
    }
}

/// Runs seeds and prints the findings; returns `true` when there are none.
pub async fn play(seeds: RangeInclusive<u64>, session: &Session) -> bool {
    let mut next = *seeds.start();
    let (mut runs, mut totals) = (JoinSet::new(), Totals::default());
    loop {
        let goes_on = next <= *seeds.end() || session.until.is_some_and(|it| Instant::now() < it);
        if goes_on && runs.len() < session.jobs {
            let (seed, session) = (next, session.clone());
            runs.spawn(async move { one(seed, &session).await });
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

async fn one(seed: u64, session: &Session) -> Count {
    let began = Instant::now();
    let plan = plan(seed);
    let (shape, keys) = (plan.shape, plan.keys);
    let ran = bounded(session.binary.clone(), |place| run(plan, place)).await;
    let findings = judge(&ran);
    let count = Count::of(&ran.lines, &findings);
    println!("seed {seed} {shape:?} {keys:?}: {count}, {} s", began.elapsed().as_secs());
    if !findings.is_empty() {
        let replay = format!("cargo xtask torture --seeds {seed}");
        tell(&findings, &ran, &replay, &session.keep.join(format!("seed-{seed}")));
    }
    count
}

/// Returns the findings of a run. One that did not come to its end has no history to be judged.
fn judge(ran: &Ran) -> Vec<Finding> {
    let Some(broken) = &ran.broken else { return check(&ran.lines) };
    let (order, token, text) = (String::new(), String::new(), format!("the run {broken}"));
    vec![Finding { predicate: "run", order, token, text }]
}

/// Prints the findings, and stores the history and the logs.
fn tell(findings: &[Finding], ran: &Ran, replay: &str, keep: &Path) {
    println!("{}", report(findings, &ran.lines, replay));
    let kept = std::fs::create_dir_all(keep).and_then(|()| {
        for file in std::fs::read_dir(ran.dir.path())?.flatten() {
            if file.path().extension().is_some_and(|kind| kind == "log") {
                std::fs::copy(file.path(), keep.join(file.file_name()))?;
            }
        }
        save(&ran.lines, &keep.join("history.jsonl"))
    });
    match kept {
        Ok(()) => println!("history and logs: {}", keep.display()),
        Err(error) => println!("the history is not kept: {error}"),
    }
}

/// Runs directed cases one after the other; returns `true` when there are no findings.
pub async fn play_cases(cases: &[Case], binary: &Path, keep: &Path) -> bool {
    let mut passed = true;
    for case in cases {
        let began = Instant::now();
        let ran = bounded(binary.to_owned(), |place| case.play(place)).await;
        let findings = judge(&ran);
        let count = Count::of(&ran.lines, &findings);
        println!("case {case}: {count}, {} s", began.elapsed().as_secs());
        if !findings.is_empty() {
            passed = false;
            let replay = format!("cargo xtask torture --case {case}");
            tell(&findings, &ran, &replay, &keep.join(case.to_string()));
        }
    }
    passed
}

/// The counts of one run.
#[derive(Clone, Debug, Default)]
struct Count {
    acts: usize,
    done: usize,
    refused: usize,
    told: usize,
    views: usize,
    faults: BTreeMap<String, usize>,
    findings: Vec<String>,
}

impl Count {
    fn of(lines: &[Line], findings: &[Finding]) -> Self {
        let mut count = Self::default();
        for line in lines {
            match line {
                Line::Act(act) => {
                    count.acts += 1;
                    count.done += usize::from(matches!(act.result, Outcome::Ok { .. }));
                    count.refused += usize::from(matches!(act.result, Outcome::Fail { .. }));
                }
                Line::Told(_) => count.told += 1,
                Line::View(_) | Line::Roll(_) => count.views += 1,
                Line::Fault(fault) => {
                    let word = fault.what.split('(').next().unwrap_or_default().to_owned();
                    *count.faults.entry(word).or_default() += 1;
                }
                Line::Stream(_)
                | Line::List(_)
                | Line::Pages(_)
                | Line::Figures(_)
                | Line::Gone(_) => {}
            }
        }
        count.findings = findings.iter().map(|finding| finding.predicate.to_owned()).collect();
        count
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acts, done, refused, told, views, faults, findings } = self;
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for predicate in findings {
            *kinds.entry(predicate).or_default() += 1;
        }
        write!(f, "{acts} acts ({done} done, {refused} refused), {told} told, {views} views, ")?;
        write!(f, "faults {faults:?}, findings {kinds:?}")
    }
}

/// The counts of all runs.
#[derive(Debug, Default)]
struct Totals {
    runs: usize,
    all: Count,
    findings: Vec<String>,
}

impl Totals {
    fn add(&mut self, count: Count) {
        self.runs += 1;
        self.all.acts += count.acts;
        self.all.done += count.done;
        self.all.refused += count.refused;
        self.all.told += count.told;
        self.all.views += count.views;
        for (word, times) in count.faults {
            *self.all.faults.entry(word).or_default() += times;
        }
        self.findings.extend(count.findings.iter().cloned());
        self.all.findings.extend(count.findings);
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} runs: {}", self.runs, self.all)
    }
}
