//! A seeded simulation of orders from opening to end: the owner, two controllers with their
//! trackers, sellers and a buyer on a bad network, with crashes between any two steps, a disk that
//! loses what was not synced, clocks that jump and two leaders. Each run leaves a history, which
//! pure functions check.
//!
//! `SEEDS` is the number of runs (default 20 000), `SIM_FIRST_SEED` the first seed; `SIM_SEED` is
//! the seed that `simulation::replay` plays and prints.

use std::panic::{AssertUnwindSafe, catch_unwind};

use orderstream_core::plant::{Bug, plant};

mod check;
mod clients;
mod disk;
mod history;
mod operator;
mod processor;
mod rng;
mod sim;
mod world;

const THREADS: u64 = 2;

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn command(seed: u64) -> String {
    format!(
        "SIM_SEED={seed} cargo test -p orderstream-core --test main simulation::replay -- --nocapture"
    )
}

/// Plays this seed; fails with the broken promise, if any.
fn judge(seed: u64) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| check::check(&world::play(seed)))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(violation)) => {
            Err(format!("{} is broken: {}", violation.promise, violation.description))
        }
        Err(_) => Err("a machine panicked".to_owned()),
    }
}

#[test]
fn every_seed_keeps_every_promise() {
    let first = env("SIM_FIRST_SEED").unwrap_or(0);
    let seeds = first..first + env("SEEDS").unwrap_or(20_000);
    let workers: Vec<_> = (0..THREADS)
        .map(|worker| {
            let seeds = seeds.clone();
            std::thread::spawn(move || {
                seeds
                    .into_iter()
                    .filter(|seed| seed % THREADS == worker)
                    .find_map(|seed| judge(seed).err().map(|why| (seed, why)))
            })
        })
        .collect();
    let first = workers.into_iter().filter_map(|worker| worker.join().unwrap()).min();
    if let Some((seed, violation)) = first {
        panic!("seed {seed}: {violation}\nreplay: {}", command(seed));
    }
}

#[test]
fn replay() {
    let Some(seed) = env("SIM_SEED") else { return };
    let history = world::play(seed);
    for entry in &history.entries {
        println!("{entry:?}");
    }
    for (order, last) in history.finals.iter().enumerate() {
        println!("order {order}: {:?} removed {} {:?}", last.status, last.removed, last.desired);
        for event in &last.list {
            println!("  {event:?}");
        }
    }
    if let Err(violation) = check::check(&history) {
        panic!("seed {seed}: {} is broken: {}", violation.promise, violation.description);
    }
}

#[test]
fn one_seed_gives_one_history() {
    for seed in 0..300 {
        let (first, second) = (world::play(seed), world::play(seed));
        assert!(first == second, "seed {seed} gave two histories");
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "seed {seed}");
    }
}

/// Returns the events, faults, reasons and phases of a history, as labels to count.
fn coverage_labels(history: &history::History) -> std::collections::BTreeSet<String> {
    let mut labels = std::collections::BTreeSet::new();
    let mut appended = [0, 0];
    for entry in &history.entries {
        match entry {
            history::Entry::Fault { fault, .. } => labels.insert((*fault).to_owned()),
            history::Entry::Return { result: Err(reason), .. } => {
                labels.insert(reason.as_str().to_owned())
            }
            history::Entry::Append { order, seq, .. } => {
                appended[*order] = seq.0;
                true
            }
            history::Entry::Crash { order, durable_through: through, .. }
                if through.0 < appended[*order] =>
            {
                labels.insert("lost".to_owned())
            }
            _ => true,
        };
    }
    for last in &history.finals {
        labels.extend(last.list.iter().map(|event| event.kind.as_str().to_owned()));
        labels.insert(if last.removed { "removed" } else { last.status.phase }.to_owned());
    }
    labels
}

#[test]
fn runs_cover_every_event_and_fault() {
    let reached: std::collections::BTreeSet<String> =
        (0..400).flat_map(|seed| coverage_labels(&world::play(seed))).collect();
    let expected = [
        "processor crash",
        "operator crash",
        "take-over",
        "clock jump",
        "lost",
        "removed",
        "Open",
        "Paused",
        "Deciding",
        "Finalised",
        "Expired",
        "Closed",
        "Cancelled",
        "OrderOpened",
        "SellersSelected",
        "NewProposal",
        "ProposalUpdate",
        "EditLock",
        "FollowUpAdded",
        "OrderPaused",
        "OrderResumed",
        "OrderExtended",
        "OrderFinalised",
        "OrderClosed",
        "OrderCancelled",
        "STALE_EPOCH",
        "ORDER_NOT_FOUND",
        "ORDER_ENDED",
        "ORDER_PAUSED",
        "DEADLINE_PASSED",
        "PROPOSAL_ENDED",
        "LOCKED",
    ];
    for label in expected {
        assert!(reached.contains(label), "no life has {label:?}: {reached:?}");
    }
}

/// Breaks a rule, and counts the seeds until the checker finds it.
fn found_after(bug: Bug, budget: u64, promises: &[&str]) -> (u64, String) {
    plant(Some(bug));
    let found = (0..budget).find_map(|seed| judge(seed).err().map(|why| (seed + 1, why)));
    plant(None);
    let found = found.unwrap_or_else(|| panic!("{bug:?} was not found in {budget} seeds"));
    let named = promises.iter().any(|promise| found.1.starts_with(&format!("{promise} ")));
    assert!(named, "{bug:?} breaks one of {promises:?}, but the judge says: {}", found.1);
    found
}

#[test]
fn reply_before_sync_is_found() {
    let (seeds, violation) = found_after(Bug::ReplyBeforeSync, 500, &["P1"]);
    println!("AnswerBeforeSync: found after {seeds} seeds: {violation}");
}

#[test]
fn resume_off_by_one_is_found() {
    let (seeds, violation) = found_after(Bug::ResumeOffByOne, 100, &["P2b"]);
    println!("ResumeOffByOne: found after {seeds} seeds: {violation}");
}

#[test]
fn a_missing_epoch_check_is_found() {
    let (seeds, violation) = found_after(Bug::NoEpochCheck, 200, &["P4", "P5"]);
    println!("NoEpochCheck: found after {seeds} seeds: {violation}");
}
