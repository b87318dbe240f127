//! Benchmarks stores under the journal's own writer:
//! `cargo run --release -p orderstream-journal --example store_bench [directory]`.
//!
//! In runs with 1, 32 and 256 writers, each writer has one list and always one append of one record
//! in flight; every append is acknowledged after a sync. A file that is only appended to and synced
//! is the baseline.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::cast_possible_truncation, reason = "figures for people")]

mod file;
mod redb;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use orderstream_journal::engine::StoreLocation;
use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::{Append, Embedded, Journal, Options};

/// The duration of one measurement.
const RUN: Duration = Duration::from_secs(3);
/// The size of a record, bytes: about that of one proposal.
const PAYLOAD_BYTES: usize = 256;

type StoreBenchError = Box<dyn std::error::Error>;

fn main() -> Result<(), StoreBenchError> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    println!(
        "{:6} {:>7} {:>10} {:>7} {:>7} {:>9} {:>8} {:>9} {:>9} {:>10}",
        "store",
        "writers",
        "records/s",
        "p50 µs",
        "p99 µs",
        "batch",
        "CPU µs",
        "disk B",
        "open ms",
        "replay/s"
    );
    for writers in [1, 32, 256] {
        for store in ["file", "fjall", "redb"] {
            let dir = tempfile::tempdir_in(&parent)?;
            measure(store, writers, dir.path())?;
        }
    }
    Ok(())
}

fn location(store: &str, dir: &Path) -> Box<dyn StoreLocation> {
    match store {
        "fjall" => Box::new(FjallLocation::new(dir.join("store"))),
        "redb" => Box::new(redb::RedbLocation::new(dir.join("store.redb"))),
        _ => Box::new(file::FileLocation::new(dir.join("store.log"))),
    }
}

fn measure(store: &str, writers: usize, dir: &Path) -> Result<(), StoreBenchError> {
    let journal = Embedded::open_at(dir, Options::default(), location(store, dir))?;
    let before = Usage::now()?;
    let mut latencies = load(&journal, writers)?;
    let usage = Usage::now()?.since(&before);
    latencies.sort_unstable();
    let records = latencies.len() as u64;
    let batches = journal.stats().batches.load(Ordering::Relaxed).max(1);
    journal.close();

    let started = Instant::now();
    let journal = Embedded::open_at(dir, Options::default(), location(store, dir))?;
    let opened = started.elapsed();
    let started = Instant::now();
    let mut found = 0_u64;
    journal.scan(&mut |_, record| found += u64::from(record.is_ok()))?;
    let replay = found as f64 / started.elapsed().as_secs_f64();
    println!(
        "{store:6} {writers:>7} {:>10.0} {:>7} {:>7} {:>9.1} {:>8.1} {:>9} {:>9} {replay:>10.0}",
        records as f64 / RUN.as_secs_f64(),
        latencies.get(latencies.len() / 2).copied().unwrap_or(0),
        latencies.get(latencies.len() * 99 / 100).copied().unwrap_or(0),
        records as f64 / batches as f64,
        usage.cpu.as_micros() as f64 / records as f64,
        usage.written / records.max(1),
        opened.as_millis(),
    );
    Ok(())
}

/// Keeps one append of each writer in flight for the duration of a run; returns the latency of each
/// append, µs.
fn load(journal: &Embedded, writers: usize) -> Result<Vec<u32>, StoreBenchError> {
    let (sender, receiver) = mpsc::channel();
    let until = Instant::now() + RUN;
    for writer in 0..writers {
        let list = Bytes::from(format!("bench/list-{writer:08}"));
        let append_loop =
            Arc::new(AppendLoop { journal: journal.clone(), list, until, sender: sender.clone() });
        append_next(&append_loop, 0);
    }
    drop(sender);
    Ok(receiver.into_iter().collect::<Result<_, _>>()?)
}

struct AppendLoop {
    journal: Embedded,
    list: Bytes,
    until: Instant,
    sender: Sender<Result<u32, String>>,
}

/// Appends one record and, once it is on disk, the next.
fn append_next(this: &Arc<AppendLoop>, expected: u64) {
    let started = Instant::now();
    if started > this.until {
        return;
    }
    let continuation = Arc::clone(this);
    let done = Box::new(move |outcome: Result<orderstream_journal::AppendReceipt, _>| {
        let latency = outcome.map(|_| started.elapsed().as_micros() as u32);
        let failed = latency.is_err();
        let latency = latency.map_err(|error: orderstream_journal::AppendError| error.to_string());
        if continuation.sender.send(latency).is_ok() && !failed {
            append_next(&continuation, expected + 1);
        }
    });
    let records = vec![Bytes::from(vec![expected as u8; PAYLOAD_BYTES])];
    let append = Append { list: this.list.clone(), expected, records, done };
    if let Err(error) = this.journal.submit(append) {
        // The receiver outlives the loops.
        drop(this.sender.send(Err(error.to_string())));
    }
}

/// The resources that the process has used so far, according to Linux.
struct Usage {
    cpu: Duration,
    written: u64,
}

impl Usage {
    fn now() -> Result<Self, StoreBenchError> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        let io = fs::read_to_string("/proc/self/io")?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(Self {
            // The kernel reports ticks of 10 ms.
            cpu: Duration::from_millis(ticks * 10),
            written: written.unwrap_or("0").parse()?,
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self { cpu: self.cpu - before.cpu, written: self.written - before.written }
    }
}
