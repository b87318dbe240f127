//! Commands for CI and developers: `cargo xtask test | tidy | codegen | bench | image | …`, and the
//! rigs.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks by printing"
)]

mod assets;
mod bench;
mod bundle;
mod chart;
mod codegen;
mod contract;
mod dashboards;
mod deploy;
mod e2e;
mod fuzz;
mod image;
mod mutants;
mod nightly;
mod powercut;
mod python;
mod reference;
mod release;
mod step;
mod test;
mod tidy;
mod torture;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

/// Commands for CI and developers.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum XtaskCommand {
    /// Build the binary, then run every test of the workspace, including doc tests.
    Test {
        /// The number of seeds of the simulation; by default the tests' own number.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: Option<u64>,
    },
    /// Check what the compiler and clippy cannot: dependencies, sizes, formats, generated files.
    Tidy,
    /// Compare the processor with bare servers in one run.
    Bench {
        /// Forwarded arguments: `--seconds`, `--streams`, `--memory`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Test the binary as a black box: random clients and faults, and a check of everything that
    /// they observed.
    Torture {
        /// Forwarded arguments: `--seeds 0-99`, `--minutes`, `--case all`, `--jobs`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Check the chart with Helm and the alerts with promtool.
    Chart,
    /// Build the container image as an archive, without any container tool.
    Image(image::ImageArgs),
    /// Make every file of a release under `target/release-files`, and publish nothing.
    Release(release::ReleaseArgs),
    /// Install the chart on a real cluster and run through all the tasks of an operator.
    E2e {
        /// An image that the cluster can pull; by default one is built and loaded into the test
        /// cluster (`ORDERSTREAM_TEST_CLUSTER`).
        #[arg(long)]
        image: Option<String>,
        /// Keep the installation at the end, to inspect it.
        #[arg(long)]
        keep: bool,
        /// Run only these steps.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Set if it already runs inside the cluster's network.
        #[arg(long, hide = true)]
        inside: bool,
    },
    /// Simulate power cuts of the journal and of the whole product at random times.
    Powercut {
        /// The number of cuts of the journal, and of the product.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
        cuts: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Fuzz all code that parses untrusted input, starting from the corpora, guided by coverage.
    Fuzz {
        /// The total time, with a random seed; by default 20 seconds for each target with a fixed
        /// seed.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        minutes: Option<u64>,
        /// Run only these targets.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Plant one change at a time, each of which breaks a guarantee, and run the test that must
    /// fail.
    Mutants {
        /// Plant only the mutants with these names.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Print the lists and plant nothing.
        #[arg(long)]
        list: bool,
    },
    /// Run every rig that draws seeds or inputs on new ones for the given time, then all mutants,
    /// and report what was run.
    Nightly {
        /// The total time, minutes.
        #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u64).range(10..))]
        minutes: u64,
        /// The first seed; by default drawn from the clock.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Regenerate the generated files: the wire code, the custom resource definitions and
    /// permissions under `deploy`, and the pages of the reference.
    Codegen,
    /// Regenerate the file of the public contract; review accepts additions only.
    Contract,
}

fn main() -> ExitCode {
    match run(XtaskCommand::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: XtaskCommand) -> anyhow::Result<ExitCode> {
    let root = root()?;
    match command {
        XtaskCommand::Test { seeds } => test::run(&root, seeds).map(|()| ExitCode::SUCCESS),
        XtaskCommand::Tidy => tidy::run(&root),
        XtaskCommand::Bench { args } => bench::run(&root, &args).map(|()| ExitCode::SUCCESS),
        XtaskCommand::Torture { args } => torture::run(&root, &args).map(|()| ExitCode::SUCCESS),
        XtaskCommand::Chart => chart::run(&root).map(|()| ExitCode::SUCCESS),
        XtaskCommand::Image(args) => image::run(&root, &args).map(|()| ExitCode::SUCCESS),
        XtaskCommand::Release(args) => release::run(&root, &args).map(|()| ExitCode::SUCCESS),
        XtaskCommand::E2e { image, keep, only, inside } => {
            let options = e2e::E2eOptions { image, keep, only };
            let location =
                if inside { e2e::NetworkLocation::Inside } else { e2e::NetworkLocation::Outside };
            e2e::run(&root, &options, location).map(|()| ExitCode::SUCCESS)
        }
        XtaskCommand::Powercut { cuts, seed } => {
            powercut::run(&root, cuts, seed).map(|()| ExitCode::SUCCESS)
        }
        XtaskCommand::Fuzz { minutes, only } => {
            let (seconds, seed) = match minutes {
                Some(minutes) => (fuzz::share(&root, minutes, &only)?, fuzz::ANY_SEED),
                None => (fuzz::SECONDS_EACH, fuzz::SEED),
            };
            fuzz::run(&root, seconds, seed, &only).map(|()| ExitCode::SUCCESS)
        }
        XtaskCommand::Mutants { list: true, .. } => mutants::print(&root),
        XtaskCommand::Mutants { only, list: false } => mutants::run(&root, &only),
        XtaskCommand::Nightly { minutes, seed } => {
            nightly::run(&root, nightly::NightlyOptions { minutes, seed })
        }
        XtaskCommand::Codegen => codegen::run(&root).map(|()| ExitCode::SUCCESS),
        XtaskCommand::Contract => contract::write(&root).map(|()| ExitCode::SUCCESS),
    }
}

/// Returns the workspace's root folder, regardless of the working directory.
fn root() -> anyhow::Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_path_buf).context("xtask lies in the workspace's root")
}
