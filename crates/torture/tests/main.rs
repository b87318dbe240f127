//! Runs the seeds and cases of every build against the binary next to the tests.
//! `TORTURE_SEEDS=A-B` replaces the seeds; a failure prints the command that reproduces it.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use orderstream_torture::cases::DirectedCase;
use orderstream_torture::run::binary_beside;
use orderstream_torture::seeds::{JOBS, SeedSettings, parse, run_cases, run_seeds};
use tokio::sync::Mutex;

/// The seeds of every build.
const SEEDS: RangeInclusive<u64> = 0..=9;
/// The folder for histories of failing runs.
const HISTORIES_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/torture");

/// Runs have timeouts, so tests must not run concurrently.
static ALONE: Mutex<()> = Mutex::const_new(());

fn binary() -> PathBuf {
    let binary = binary_beside();
    assert!(binary.is_some(), "there is no binary; build it with `cargo build -p orderstream`");
    binary.unwrap_or_default()
}

fn settings(binary: PathBuf) -> SeedSettings {
    SeedSettings { binary, histories_dir: HISTORIES_DIR.into(), jobs: JOBS, until: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_seed_keeps_every_promise() {
    let _alone = ALONE.lock().await;
    let seeds = match std::env::var("TORTURE_SEEDS") {
        Ok(text) => parse(&text).unwrap(),
        Err(_) => SEEDS,
    };
    assert!(
        run_seeds(seeds, &settings(binary())).await,
        "a promise is broken: see the report above"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_keeps_every_promise() {
    let _alone = ALONE.lock().await;
    let passed = run_cases(&DirectedCase::ALL, &binary(), HISTORIES_DIR.as_ref()).await;
    assert!(passed, "a promise is broken: see the report above");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_cannot_start_fail_runs() {
    let _alone = ALONE.lock().await;
    let histories_dir = tempfile::tempdir().unwrap();
    let nothing = settings(histories_dir.path().join("no-such-binary"));
    let nothing = SeedSettings { histories_dir: histories_dir.path().to_owned(), ..nothing };
    assert!(!run_seeds(0..=0, &nothing).await);
}
