//! A compared server as a child process on the first core, with its CPU and memory use.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::ComparedServer;

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct PinnedServer {
    child: Child,
    /// The gRPC URL.
    pub(crate) grpc: String,
    /// The REST address, as `host:port`.
    pub(crate) rest: String,
}

impl PinnedServer {
    /// Starts a server on the first core and reads its addresses from its first line.
    pub(crate) fn start(kind: ComparedServer, dir: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(own)
            .args(["serve", kind.as_str()])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .context("taskset (util-linux) starts the server on one core")?;
        let stdout = child.stdout.take().context("the server prints")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let (grpc, rest) = line.trim().split_once(' ').context("the server names its addresses")?;
        Ok(Self { child, grpc: format!("http://{grpc}"), rest: rest.to_owned() })
    }

    /// Returns the CPU time that the server has used since its start, microseconds.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/schedstat", self.child.id());
        // schedstat counts the first thread only, so all threads are added up.
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).context(path)?;
        let mut ns = 0;
        for task in tasks {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let on_cpu = text.split(' ').next().context("schedstat has three numbers")?;
            ns += on_cpu.parse::<u64>()?;
        }
        Ok(ns / 1_000)
    }

    /// Returns the resident memory of the server, bytes.
    pub(crate) fn rss_bytes(&self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line =
            text.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS is there")?;
        let kib = line.split_whitespace().nth(1).context("VmRSS has a number")?;
        Ok(kib.parse::<u64>()? * 1_024)
    }
}

impl Drop for PinnedServer {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the server could not be ended: {error}");
        }
    }
}

/// Pins this process to the second core.
pub(crate) fn pin_load() -> anyhow::Result<()> {
    let status = Command::new("taskset")
        .args(["-acp", "1", &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "taskset cannot use the second core");
    Ok(())
}
