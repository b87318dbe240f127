//! Power cuts: whatever the disk had written by then, acknowledged records exist, an append exists
//! as a whole or not at all, and no damage is reported.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

mod busy;
mod child;
mod failing;
mod open_only;
mod steps;

use orderstream_powercut::{DiskChange, PowerCut, RecordedDisk, Trace, TraceRecord, scratch};

/// The variable for the number of cuts of the busy workload.
const CUTS_VARIABLE: &str = "POWERCUT_CUTS";
/// The variable for the first seed.
const SEED_VARIABLE: &str = "POWERCUT_SEED";

/// Returns a number that the environment may set.
fn setting(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Cuts the power at a position of a trace, and returns the resulting folder.
fn folder_after_cut(
    start: &RecordedDisk,
    trace: &Trace,
    position: usize,
    cut: PowerCut,
) -> tempfile::TempDir {
    let mut disk = start.clone();
    disk.replay(trace, 0, position);
    let dir = scratch().unwrap();
    disk.after_cut(cut).write(dir.path()).unwrap();
    dir
}

/// Describes the position of a cut, and the command that reproduces it.
fn describe_cut(trace: &Trace, position: usize, cut: PowerCut, seed: u64) -> String {
    let from = position.saturating_sub(3);
    let around = trace.records.iter().enumerate().skip(from).take(5);
    let around: String = around.map(|(place, record)| format!("\n  {place}: {record:?}")).collect();
    format!(
        "power cut at record {position}, drawn with {}; \
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

/// Returns the changes to the disk, with their positions in the trace.
fn changes(trace: &Trace) -> impl Iterator<Item = (usize, &DiskChange)> {
    trace.records.iter().enumerate().filter_map(|(place, record)| match record {
        TraceRecord::Change(change) => Some((place, change)),
        TraceRecord::Note(_) => None,
    })
}
