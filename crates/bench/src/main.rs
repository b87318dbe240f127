//! Benchmarks that compare servers in one run: the processor with T, a bare tonic server in memory,
//! and with TD, the same with a group-committed file. Each server is a process of its own on the
//! first core; the load runs on the second. Also compares the operator with a bare kube-rs loop, on
//! one API server.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod cluster;
mod load;
mod memory;
mod process;
mod product;
mod report;
mod yardstick;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "two independent switches")]
struct BenchCli {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// Seconds of each measured load
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Open streams under load
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
    /// Concurrent submitters; one table row for each count and server
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 256])]
    submitters: Vec<usize>,
    /// Measure the load only
    #[arg(long)]
    load_only: bool,
    /// Also measure memory at 10 000 streams and 100 000 parked orders
    #[arg(long)]
    memory: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum BenchCommand {
    /// Run one of the compared servers (started by the bench itself)
    Serve {
        /// The server to run
        kind: ComparedServer,
        /// The folder of its file or journal
        dir: PathBuf,
    },
    /// Compare the operator with a bare kube-rs loop, on an API server
    Cluster {
        /// Resources that exist before the second half
        #[arg(long, default_value_t = 10_000)]
        present: usize,
        /// Resources that are created at the rate and measured
        #[arg(long, default_value_t = 500)]
        measured: usize,
        /// Resources that are created per second
        #[arg(long, default_value_t = 50)]
        per_second: u32,
    },
    /// Run the bare kube-rs loop (started by the bench itself)
    Bare {
        /// The API server's kubeconfig
        kubeconfig: PathBuf,
        /// The namespace to watch
        namespace: String,
        /// The status that it writes
        status: cluster::bare::BareStatus,
    },
}

/// The compared servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ComparedServer {
    /// A bare tonic server in memory.
    #[value(name = "t")]
    Tonic,
    /// The same server inside the interceptor layers and with all limits set.
    #[value(name = "t-layers")]
    TonicLayers,
    /// The bare server with a file, synced before each response.
    #[value(name = "td")]
    TonicDurable,
    /// The processor, with all features on.
    Processor,
}

impl ComparedServer {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tonic => "t",
            Self::TonicLayers => "t-layers",
            Self::TonicDurable => "td",
            Self::Processor => "processor",
        }
    }
}

fn main() -> anyhow::Result<()> {
    let cli = BenchCli::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match cli.command {
        Some(BenchCommand::Serve { kind: ComparedServer::Processor, dir }) => {
            runtime.block_on(product::serve(&dir))
        }
        Some(BenchCommand::Serve { kind, dir }) => runtime.block_on(yardstick::serve(kind, &dir)),
        Some(BenchCommand::Cluster { present, measured, per_second }) => {
            runtime.block_on(cluster::run(cluster::ClusterBenchSettings {
                present,
                measured,
                per_second,
            }))
        }
        Some(BenchCommand::Bare { kubeconfig, namespace, status }) => {
            runtime.block_on(cluster::bare::run(&kubeconfig, &namespace, status))
        }
        None => runtime.block_on(report::run(&report::ServerBenchSettings {
            seconds: cli.seconds,
            streams: cli.streams,
            submitters: cli.submitters,
            load_only: cli.load_only,
            memory: cli.memory,
        })),
    }
}
