//! Processes of the binary: started on free ports, killed when dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_orderstream");
/// The limit of every wait. Far above what any of them takes, so that only a fault reaches it.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Polls until a result is there, and fails after [`WAIT_TIMEOUT`].
pub(crate) fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(began.elapsed() < WAIT_TIMEOUT, "did not come true: {what}");
        pause(Duration::from_millis(10));
    }
}

/// Sleeps between two polls, or between two steps of a load.
#[allow(clippy::disallowed_methods, reason = "other processes cannot be awaited, only looked at")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Runs a command of the binary that ends by itself.
pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).current_dir(root()).output().unwrap()
}

/// A role as a child process.
#[derive(Debug)]
pub(crate) struct Role {
    child: Child,
    args: Vec<String>,
    addresses: PathBuf,
    /// The file for all of its log; without one, warnings go to the test's own output.
    log: Option<PathBuf>,
    /// The environment of the process.
    environment: ProcessEnvironment,
    /// The addresses that it bound, by name.
    pub(crate) bound: BTreeMap<String, SocketAddr>,
}

impl Role {
    /// Starts a role and waits until it has bound its ports.
    pub(crate) fn start(args: &[&str], dir: &Path) -> Self {
        Self::start_in(args, dir, None, ProcessEnvironment::default())
    }

    /// Starts a role whose disk can be filled.
    pub(crate) fn start_limited(args: &[&str], dir: &Path) -> Self {
        let limit = FileSizeLimit::Adjustable;
        Self::start_in(
            args,
            dir,
            None,
            ProcessEnvironment { limit, ..ProcessEnvironment::default() },
        )
    }

    /// Starts a role with variables of its own.
    pub(crate) fn start_with(
        args: &[&str],
        dir: &Path,
        variables: Vec<(&'static str, PathBuf)>,
    ) -> Self {
        Self::start_in(
            args,
            dir,
            None,
            ProcessEnvironment { variables, ..ProcessEnvironment::default() },
        )
    }

    /// Starts a role with everything that it logs in a file.
    pub(crate) fn start_logging(args: &[&str], dir: &Path, log: &Path) -> Self {
        Self::start_in(args, dir, Some(log.to_owned()), ProcessEnvironment::default())
    }

    fn start_in(
        args: &[&str],
        dir: &Path,
        log: Option<PathBuf>,
        surroundings: ProcessEnvironment,
    ) -> Self {
        let name = args.first().unwrap();
        let addresses = dir.join(format!("{name}.addresses"));
        let mut role = Self {
            child: spawn(args.iter().copied(), &addresses, log.as_deref(), &surroundings),
            log,
            environment: surroundings,
            args: args.iter().map(ToString::to_string).collect(),
            addresses,
            bound: BTreeMap::new(),
        };
        role.read_addresses();
        role
    }

    fn read_addresses(&mut self) {
        let file = self.addresses.clone();
        let text = until("the role is up", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{:?} ended: {status}", self.args);
            }
            std::fs::read_to_string(&file).ok()
        });
        self.bound = serde_json::from_str(&text).unwrap();
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        *self.bound.get(name).unwrap_or_else(|| panic!("{name} is not bound: {:?}", self.bound))
    }

    /// Sends `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(&self.addresses).unwrap();
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends any signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(status.success());
    }

    /// Makes every further write to a file fail.
    pub(crate) fn fill_disk(&self) {
        self.limit_files("0");
    }

    /// Makes files writable again.
    pub(crate) fn free_disk(&self) {
        self.limit_files("unlimited");
    }

    fn limit_files(&self, bytes: &str) {
        assert_eq!(self.environment.limit, FileSizeLimit::Adjustable);
        let id = self.child.id().to_string();
        let fsize = format!("--fsize={bytes}:unlimited");
        let status = Command::new("prlimit").args(["--pid", &id, &fsize]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        let status = until("the process ends", || self.child.try_wait().unwrap());
        std::fs::remove_file(&self.addresses).unwrap();
        status
    }

    /// Starts it again, on the ports that it had.
    pub(crate) fn restart(&mut self) {
        let mut args = self.args.clone();
        for (flag, name) in [
            ("--grpc-addr", "grpc"),
            (
                "--rest-addr",
                if args.first().unwrap() == "requestor" { "requestor" } else { "rest" },
            ),
        ] {
            let position = args.iter().position(|arg| arg == flag);
            if let (Some(position), Some(address)) = (position, self.bound.get(name)) {
                args[position + 1] = address.to_string();
            }
        }
        let args = args.iter().map(String::as_str);
        self.child = spawn(args, &self.addresses, self.log.as_deref(), &self.environment);
        self.read_addresses();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // The process may be gone already; what counts is that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The environment of a process, beside its arguments.
#[derive(Clone, Debug, Default)]
struct ProcessEnvironment {
    /// The limit on the growth of its files.
    limit: FileSizeLimit,
    /// Variables, beside those that it inherits.
    variables: Vec<(&'static str, PathBuf)>,
}

/// The limit on the growth of a process's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FileSizeLimit {
    #[default]
    Unlimited,
    /// It can be set at any time; the system reports it with an error, and not with the signal that
    /// ends a process.
    Adjustable,
}

fn spawn<'a>(
    args: impl Iterator<Item = &'a str>,
    addresses: &Path,
    log: Option<&Path>,
    environment: &ProcessEnvironment,
) -> Child {
    let mut command = match environment.limit {
        FileSizeLimit::Unlimited => Command::new(BINARY),
        FileSizeLimit::Adjustable => {
            let mut shell = Command::new("sh");
            shell.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#, BINARY]);
            shell
        }
    };
    command.envs(environment.variables.iter().cloned());
    command.args(args).arg("--addr-file").arg(addresses).current_dir(root());
    match log {
        Some(log) => {
            let file = std::fs::File::options().create(true).append(true).open(log).unwrap();
            command.env("ORDERSTREAM_LOG", "debug,h2=off,hyper_util=off").stderr(file);
        }
        None => {
            command.env("ORDERSTREAM_LOG", "warn");
        }
    }
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// A processor and a requestor that follows it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) processor: Role,
    pub(crate) requestor: Role,
    pub(crate) dir: tempfile::TempDir,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("processor");
        let processor = Role::start(
            &[
                "processor",
                "--grpc-addr",
                "127.0.0.1:0",
                "--rest-addr",
                "127.0.0.1:0",
                "--metrics-addr",
                "127.0.0.1:0",
                "--data-dir",
                data.to_str().unwrap(),
            ],
            dir.path(),
        );
        let url = format!("http://{}", processor.address("grpc"));
        let store = format!("embedded:{}", dir.path().join("requestor").display());
        let requestor = Role::start(
            &[
                "requestor",
                "--rest-addr",
                "127.0.0.1:0",
                "--metrics-addr",
                "127.0.0.1:0",
                "--processor",
                &url,
                "--store",
                &store,
            ],
            dir.path(),
        );
        Self { processor, requestor, dir }
    }

    /// Returns the folder of the processor's journal.
    pub(crate) fn processor_dir(&self) -> PathBuf {
        self.dir.path().join("processor")
    }

    /// Returns the folder of the requestor's journal.
    pub(crate) fn requestor_dir(&self) -> PathBuf {
        self.dir.path().join("requestor")
    }
}

/// Starts `dev` without demo sellers.
pub(crate) fn dev(dir: &Path, more: &[&str]) -> Role {
    let data = dir.join("data");
    let mut args = vec!["dev", "--data-dir", data.to_str().unwrap(), "--sellers", "0"];
    for flag in ["--grpc-addr", "--rest-addr", "--requestor-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    args.extend(more);
    Role::start(&args, dir)
}
