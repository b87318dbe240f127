//! Power cuts: whatever the disk had written at the cut, acknowledged records are there, an append
//! is there as a whole or not at all, and no damage is reported.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

mod busy;
mod child;
mod opened;
mod steps;

use orderstream_powercut::{Change, Cut, Disk, Record, Trace, scratch};

/// The variable for the number of cuts of the busy workload.
const CUTS_VARIABLE: &str = "POWERCUT_CUTS";
/// The variable for the first seed.
const SEED_VARIABLE: &str = "POWERCUT_SEED";

/// Returns a number that the environment may set.
fn setting(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Cuts the power at a place of a trace, and returns the folder as it is found.
fn cut(start: &Disk, trace: &Trace, place: usize, cut: Cut) -> tempfile::TempDir {
    let mut disk = start.clone();
    disk.replay(trace, 0, place);
    let dir = scratch().unwrap();
    disk.after_cut(cut).write(dir.path()).unwrap();
    dir
}

/// Describes the place of a cut, and the command that repeats it.
fn told(trace: &Trace, place: usize, cut: Cut, seed: u64) -> String {
    let from = place.saturating_sub(3);
    let around = trace.records.iter().enumerate().skip(from).take(5);
    let around: String = around.map(|(place, record)| format!("\n  {place}: {record:?}")).collect();
    format!(
        "power cut at record {place}, drawn with {}; \
         again: {SEED_VARIABLE}={seed} cargo test -p orderstream-journal --test powercut{around}",
        cut.seed
    )
}

/// Reports whether this machine can record processes; prints a line when it cannot.
fn is_supported() -> bool {
    let is_supported = orderstream_powercut::is_supported();
    if !is_supported {
        println!("skipped: processes cannot be recorded on this machine");
    }
    is_supported
}

/// Returns the changes of the disk, with their places in the trace.
fn changes(trace: &Trace) -> impl Iterator<Item = (usize, &Change)> {
    trace.records.iter().enumerate().filter_map(|(place, record)| match record {
        Record::Change(change) => Some((place, change)),
        Record::Note(_) => None,
    })
}
