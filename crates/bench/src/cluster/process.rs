//! A child process with the addresses to which it is bound; killed when dropped.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// The timeout of a start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The memory of a process, megabytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResidentMemory {
    /// All resident memory, including the loaded pages of the executable.
    pub(crate) total: f64,
    /// The private part: anonymous memory.
    pub(crate) data: f64,
}

impl ResidentMemory {
    /// Formats the growth since `idle` as a table cell.
    pub(crate) fn growth_since(self, idle: Self) -> String {
        format!("{:.0}, data {:.0}", self.total - idle.total, self.data - idle.data)
    }
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    addresses: BTreeMap<String, String>,
}

impl Process {
    /// Starts a program; with a file, waits until it has written its addresses there.
    pub(crate) fn start(
        program: &Path,
        args: &[&str],
        file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(args).stdout(Stdio::null()).env("RUST_LOG", "error");
        // The same setting as in the image.
        command.env("MIMALLOC_PURGE_DELAY", "0");
        if let Some(file) = file {
            if file.exists() {
                std::fs::remove_file(file)?;
            }
            command.arg("--addr-file").arg(file);
        }
        let mut process = Self { child: command.spawn()?, addresses: BTreeMap::new() };
        let began = Instant::now();
        while let Some(file) = file {
            if let Ok(text) = std::fs::read_to_string(file) {
                process.addresses = serde_json::from_str(&text)?;
                break;
            }
            let ended = process.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "{} ended: {ended:?}", program.display());
            anyhow::ensure!(began.elapsed() < START_TIMEOUT, "{} binds no port", program.display());
            sleep();
        }
        Ok(process)
    }

    /// Returns the address that is bound under this name, as `host:port`.
    pub(crate) fn address(&self, name: &str) -> anyhow::Result<String> {
        self.addresses.get(name).cloned().with_context(|| format!("{name} is bound"))
    }

    /// Returns the memory of the process.
    pub(crate) fn memory(&self) -> anyhow::Result<ResidentMemory> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mb = |name: &str| -> anyhow::Result<f64> {
            let line = text.lines().find(|line| line.starts_with(name)).context("a line")?;
            let kib = line.split_whitespace().nth(1).context("it has a number")?;
            Ok(kib.parse::<f64>()? / 1_024.0)
        };
        Ok(ResidentMemory { total: mb("VmRSS:")?, data: mb("RssAnon:")? })
    }

    /// Returns the CPU time that the process has used so far, seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        // The kernel counts in hundredths of a second on every machine that this runs on.
        const TICKS_PER_SECOND: f64 = 100.0;
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may contain spaces; the fields after it may not. Fields 14 and 15 are user and
        // system time.
        let (_, fields) = text.rsplit_once(')').context("stat has a name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
    }

    /// Kills the process as `kill -9` does, and waits until it has ended.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("a process could not be ended: {error}");
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "other processes cannot be awaited, only looked at")]
fn sleep() {
    std::thread::sleep(Duration::from_millis(5));
}
