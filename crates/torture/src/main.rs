//! `cargo xtask torture` runs this with a freshly built binary.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers says what it does"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use orderstream_torture::cases::DirectedCase;
use orderstream_torture::{run, seeds};

/// Run the binary with random clients and faults, and check what all of them observed.
#[derive(Debug, Parser)]
struct Args {
    /// The binary; by default the one next to this program.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The seeds, such as 7 or 0-9.
    #[arg(long, value_parser = seeds::parse, default_value = "0-9")]
    seeds: std::ops::RangeInclusive<u64>,
    /// Continue with further seeds for this many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// The number of concurrent runs.
    #[arg(long, default_value_t = seeds::JOBS)]
    jobs: usize,
    /// Run only this directed case, or `all`.
    #[arg(long)]
    case: Option<String>,
    /// The folder for histories of failing runs.
    #[arg(long, default_value = "target/torture")]
    keep: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(binary) = args.binary.or_else(run::binary_beside) else {
        eprintln!(
            "torture: no binary; build it with `cargo build -p orderstream`, or give --binary"
        );
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("torture: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let passed = if let Some(name) = args.case {
        let Some(cases) = DirectedCase::named(&name) else {
            eprintln!("torture: no case {name}; there are {}", DirectedCase::names());
            return ExitCode::FAILURE;
        };
        runtime.block_on(seeds::run_cases(&cases, &binary, &args.keep))
    } else {
        let until = args.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
        let settings =
            seeds::SeedSettings { binary, histories_dir: args.keep, jobs: args.jobs, until };
        runtime.block_on(seeds::run_seeds(args.seeds, &settings))
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
