//! A role of the binary as a child process, which can be started, killed, stopped and restarted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::process::Child;

/// The timeout for a role to bind its ports, or to end; far above the usual time.
const ROLE_TIMEOUT: Duration = Duration::from_secs(40);
/// The number of descriptors that a role may still open when its limit is low.
const SPARE_DESCRIPTORS: u64 = 2;

/// A role that runs, or is temporarily down.
#[derive(Debug)]
pub struct RoleProcess {
    name: String,
    binary: PathBuf,
    args: Vec<String>,
    dir: PathBuf,
    child: Option<Child>,
    bound: BTreeMap<String, SocketAddr>,
    descriptors: Option<Rlimit>,
}

impl RoleProcess {
    /// Starts a role and waits until it has bound its ports. Its log and its addresses go to `dir`.
    pub async fn start(binary: &Path, name: &str, args: Vec<String>, dir: &Path) -> Self {
        let mut role = Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            args,
            dir: dir.to_owned(),
            child: None,
            bound: BTreeMap::new(),
            descriptors: None,
        };
        role.spawn().await;
        role
    }

    /// Returns the role's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address of a port by its name.
    pub fn address(&self, port: &str) -> SocketAddr {
        *self.bound.get(port).unwrap_or_else(|| panic!("{port} is not bound: {:?}", self.bound))
    }

    async fn spawn(&mut self) {
        let addresses = self.dir.join(format!("{}.addresses", self.name));
        drop(std::fs::remove_file(&addresses));
        let log = self.dir.join(format!("{}.log", self.name));
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(&self.binary);
        command.args(self.args_now()).arg("--addr-file").arg(&addresses);
        command.env("ORDERSTREAM_LOG", "warn").stdout(Stdio::null()).stderr(log);
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let up = async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("{} did not start: {status}; see {}", self.name, self.dir.display());
                }
                let text = std::fs::read_to_string(&addresses).unwrap_or_default();
                if let Ok(bound) = serde_json::from_str(&text) {
                    return bound;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let bound = tokio::time::timeout(ROLE_TIMEOUT, up).await;
        self.bound = bound.unwrap_or_else(|_| panic!("{} did not bind its ports", self.name));
        self.child = Some(child);
    }

    /// Returns the arguments, with the ports that the role had before.
    fn args_now(&self) -> Vec<String> {
        let mut args = self.args.clone();
        for pair in 0..args.len().saturating_sub(1) {
            let port = match args[pair].as_str() {
                "--grpc-addr" => "grpc",
                "--rest-addr" if self.name == "requestor" => "requestor",
                "--requestor-addr" => "requestor",
                "--rest-addr" => "rest",
                "--metrics-addr" => "metrics",
                _ => continue,
            };
            if let Some(address) = self.bound.get(port) {
                args[pair + 1] = address.to_string();
            }
        }
        args
    }

    /// Restarts the role on the same ports.
    pub async fn restart(&mut self) {
        self.spawn().await;
    }

    /// Sends SIGKILL, and waits until the process has ended.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Sends SIGTERM, and waits for the end; returns an error if the process fails, or must be
    /// killed after the timeout.
    pub async fn terminate(&mut self) -> Option<String> {
        self.signal(Signal::TERM);
        let mut child = self.child.take()?;
        match tokio::time::timeout(ROLE_TIMEOUT, child.wait()).await {
            Ok(Ok(status)) if status.success() => None,
            Ok(status) => Some(format!("after SIGTERM: {status:?}")),
            Err(_) => {
                child.kill().await.unwrap();
                Some("did not end after SIGTERM".to_owned())
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(id) = self.id() {
            // A process that has already ended needs no signal.
            rustix::process::kill_process(id, signal).unwrap_or_default();
        }
    }

    /// Limits the process to almost no descriptors beyond those that it has open.
    pub fn limit_descriptors(&mut self) {
        let Some(id) = self.id() else { return };
        let few = Rlimit {
            current: Some(self.descriptors_open() + SPARE_DESCRIPTORS),
            // The hard limit stays, so that the soft limit can be restored.
            maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
        };
        self.descriptors = rustix::process::prlimit(Some(id), Resource::Nofile, few).ok();
    }

    /// Restores the limit on descriptors.
    pub fn restore_descriptors(&mut self) {
        if let (Some(id), Some(before)) = (self.id(), self.descriptors.take()) {
            rustix::process::prlimit(Some(id), Resource::Nofile, before).ok();
        }
    }

    /// Returns the exit status if the process ended by itself.
    pub fn take_exit_status(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status.to_string())
    }

    /// Returns the process's resident memory according to the kernel, kilobytes.
    pub fn rss_kb(&self) -> u64 {
        let text = self.proc("status").unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmRSS:"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
    }

    /// Returns the number of the process's open descriptors.
    pub fn descriptors_open(&self) -> u64 {
        let Some(id) = self.id() else { return 0 };
        let dir = format!("/proc/{}/fd", id.as_raw_nonzero());
        std::fs::read_dir(dir).map_or(0, |files| files.count() as u64)
    }

    fn proc(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.id()?.as_raw_nonzero())).ok()
    }

    fn id(&self) -> Option<Pid> {
        let id = self.child.as_ref()?.id()?;
        Pid::from_raw(i32::try_from(id).ok()?)
    }
}
