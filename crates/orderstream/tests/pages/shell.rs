//! A reader's shell: a folder with the files of a checkout, the program in the path, and ports that
//! are free in place of those that the pages name.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::block::CTRL_C;
use super::output::{has_all, is_same};
use crate::cluster::Bed;
use crate::process::{BINARY, Role, pause, root, until};

/// The files of a checkout that pages name.
const FILES: [&str; 3] = ["deploy", "docs", "examples"];
/// The ports of the pages, each with the name of its address.
const PORTS: [(&str, &str); 4] =
    [("8004", "requestor"), ("8005", "rest"), ("50051", "grpc"), ("9090", "metrics")];
/// The hosts of the pages.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "processor"];
/// The ways in which pages start the program, before and after it is in the path.
const PROGRAMS: [&str; 2] =
    ["cargo run --release -p orderstream -- ", "target/release/orderstream "];
/// The commands that only read, and are repeated until they print what the page shows.
const READS: [&str; 9] = [
    "orderstream get ",
    "orderstream list",
    "orderstream status ",
    "orderstream compare ",
    "orderstream why ",
    "orderstream conversation ",
    "orderstream explain ",
    "curl -s localhost",
    "kubectl get ",
];
/// The time after which a reading command prints something else than the page shows.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShellOutcome {
    /// It did what the page shows.
    AsShown,
    /// It printed something else.
    Other(String),
    /// It failed, and printed this.
    Failed(String),
}

/// A shell.
pub(super) struct Shell {
    dir: tempfile::TempDir,
    /// The addresses of a `dev`, by name.
    addresses: BTreeMap<String, SocketAddr>,
    /// What runs beside the commands, each with its data folder.
    running: Vec<(String, RunningCommand)>,
    /// The number of processes that were started with ports of their own.
    started: usize,
    /// The cluster of kubectl, and its controller.
    _cluster: Option<(Role, Bed)>,
}

impl Shell {
    /// Opens a shell in which nothing runs.
    pub(super) fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "work"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        symlink(BINARY, dir.path().join("bin/orderstream")).unwrap();
        for name in FILES {
            symlink(root().join(name), dir.path().join("work").join(name)).unwrap();
        }
        let addresses = BTreeMap::new();
        Self { dir, addresses, running: Vec::new(), started: 0, _cluster: None }
    }

    /// Opens a shell in which a `dev` without demo sellers runs.
    pub(super) fn with_dev() -> Self {
        let mut shell = Self::open();
        let dev = "orderstream dev --sellers 0 --data-dir beside";
        assert_eq!(shell.follow(dev, &[]), ShellOutcome::AsShown);
        shell
    }

    /// Opens a shell whose kubectl has a namespace of a cluster; `None` where such tests are skipped.
    pub(super) fn with_cluster() -> Option<Self> {
        let bed = Bed::make_with_sellers()?;
        let controller = bed.controller();
        let mut shell = Self::open();
        let program = shell.dir.path().join("bin/kubectl");
        let (kubectl, config) = (bed.server.kubectl_program(), bed.server.kubeconfig());
        let (kubectl, config) = (kubectl.display(), config.display());
        let namespace = &bed.namespace;
        let script =
            format!("#!/bin/sh\nexec {kubectl} --kubeconfig {config} -n {namespace} \"$@\"\n");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        shell._cluster = Some((controller, bed));
        Some(shell)
    }

    /// Runs a command of a page with the output that it shows; none means that any is right.
    pub(super) fn follow(&mut self, text: &str, expected: &[&str]) -> ShellOutcome {
        let text = PROGRAMS
            .iter()
            .fold(text.to_owned(), |text, program| text.replace(program, "orderstream "));
        let is_read = READS.iter().any(|read| text.starts_with(read)) && !text.contains(" -d ");
        let text = self.adapted(text);
        if text.starts_with("orderstream dev") {
            return self.start_dev(&text, expected);
        }
        if let Some(at) = expected.iter().position(|line| *line == CTRL_C) {
            return self.interrupt(&text, &expected[..at], &expected[at + 1..]);
        }
        let began = Instant::now();
        loop {
            let outcome = self.run(&text, expected);
            if outcome == ShellOutcome::AsShown || !is_read || began.elapsed() > READ_TIMEOUT {
                return outcome;
            }
            pause(Duration::from_millis(100));
        }
    }

    /// Runs a command to its end. What it prints decides; it has to succeed where the page shows no
    /// output.
    fn run(&self, text: &str, expected: &[&str]) -> ShellOutcome {
        let output = self.command(text).output().unwrap();
        let printed = self.documented(&String::from_utf8_lossy(&output.stdout));
        let is_shown = match expected {
            [] => output.status.success(),
            expected => is_same(expected, &printed),
        };
        match (is_shown, output.status.success()) {
            (true, _) => ShellOutcome::AsShown,
            (false, true) => ShellOutcome::Other(printed),
            (false, false) => ShellOutcome::Failed(printed),
        }
    }

    /// Starts a `dev`, which runs until the page interrupts it, starts another one in its folder, or
    /// ends.
    fn start_dev(&mut self, text: &str, expected: &[&str]) -> ShellOutcome {
        let data_dir = text.split_once("--data-dir ").map_or(".orderstream", |(_, rest)| rest);
        let data_dir = data_dir.split(' ').next().unwrap_or_default().to_owned();
        for (_, former) in self.running.iter_mut().filter(|(folder, _)| *folder == data_dir) {
            former.interrupt();
        }
        self.started += 1;
        let file = self.dir.path().join(format!("addresses-{}.json", self.started));
        let mut flags = format!("orderstream dev --addr-file {}", file.display());
        for flag in ["--grpc-addr", "--rest-addr", "--requestor-addr", "--metrics-addr"] {
            flags.push_str(&format!(" {flag} 127.0.0.1:0"));
        }
        let mut dev = RunningCommand::start(
            self.command(&format!("exec {}", text.replacen("orderstream dev", &flags, 1))),
        );
        let addresses = until("dev is up", || {
            assert!(dev.is_running(), "dev ended: {}", dev.printed());
            std::fs::read_to_string(&file).ok()
        });
        self.addresses = serde_json::from_str(&addresses).unwrap();
        let end = expected.iter().position(|line| *line == CTRL_C);
        let shown = &expected[..end.unwrap_or(expected.len())];
        let began = Instant::now();
        let mut outcome = ShellOutcome::AsShown;
        while !has_all(shown, &self.documented(&dev.printed())) {
            if began.elapsed() > READ_TIMEOUT {
                outcome = ShellOutcome::Other(self.documented(&dev.printed()));
                break;
            }
            pause(Duration::from_millis(20));
        }
        match end {
            Some(_) => drop(dev.interrupt()),
            None => self.running.push((data_dir, dev)),
        }
        outcome
    }

    /// Runs a command until it has printed some lines, and interrupts it.
    fn interrupt(&self, text: &str, before: &[&str], after: &[&str]) -> ShellOutcome {
        // Whoever runs the tests in the background ignores the signal, and so would its children.
        let text = format!("exec env --default-signal=INT {text}");
        let mut running = RunningCommand::start(self.command(&text));
        let began = Instant::now();
        while running.is_running()
            && began.elapsed() < READ_TIMEOUT
            && !has_all(before, &self.documented(&running.printed()))
        {
            pause(Duration::from_millis(20));
        }
        let printed = self.documented(&running.interrupt());
        if is_same(&[before, after].concat(), &printed) {
            return ShellOutcome::AsShown;
        }
        ShellOutcome::Other(printed)
    }

    /// Returns a command of this shell; its errors are among its output, as on a terminal.
    fn command(&self, text: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec 2>&1\n{text}"));
        command.current_dir(self.dir.path().join("work"));
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.dir.path().join("bin");
        command.env("PATH", format!("{}:{path}", bin.display())).env("HOME", self.dir.path());
        command.env("TZ", "UTC").env("NO_COLOR", "1").env_remove("KUBECONFIG");
        for (variable, name) in
            [("ORDERSTREAM_SERVER", "requestor"), ("ORDERSTREAM_PROCESSOR_REST", "rest")]
        {
            if let Some(address) = self.addresses.get(name) {
                command.env(variable, format!("http://{address}"));
            }
        }
        command.stdin(Stdio::null());
        command
    }

    /// Returns a command with the ports in use.
    fn adapted(&self, mut text: String) -> String {
        for (port, name) in PORTS {
            let Some(address) = self.addresses.get(name) else { continue };
            for host in HOSTS {
                text = text.replace(&format!("{host}:{port}"), &address.to_string());
            }
        }
        text
    }

    /// Returns an output with the ports of the pages.
    fn documented(&self, printed: &str) -> String {
        let mut text = printed.to_owned();
        for (port, name) in PORTS {
            if let Some(address) = self.addresses.get(name) {
                text = text.replace(&address.to_string(), &format!("127.0.0.1:{port}"));
            }
        }
        text
    }
}

/// A command that runs beside the others.
struct RunningCommand {
    child: Child,
    printed: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl RunningCommand {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let printed = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&printed);
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok_and(|count| count > 0) {
                shared.lock().push_str(&line);
                line.clear();
            }
        });
        Self { child, printed, reader: Some(reader) }
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn printed(&self) -> String {
        self.printed.lock().clone()
    }

    /// Interrupts it as Ctrl-C does, waits for its end, and returns all of its output.
    fn interrupt(&mut self) -> String {
        if self.is_running() {
            let id = self.child.id().to_string();
            // It may end by itself in this moment.
            drop(Command::new("kill").args(["-INT", &id]).stderr(Stdio::null()).status());
        }
        until("the command ends", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.printed()
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        // The process may be gone already; what counts is that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
