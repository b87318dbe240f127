//! A real MongoDB server for a test: the one that `ORDERSTREAM_TEST_MONGODB` names, behind a relay
//! that can be cut, or a Java one that speaks the same protocol, stores its data in a file, and can
//! be killed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;

use super::relay::Relay;
use crate::process::root;

/// The variable with the URL of a server, `mongodb://[user:password@]host:port`.
const VARIABLE: &str = "ORDERSTREAM_TEST_MONGODB";

/// A server, and the database of one test in it.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    database: String,
}

#[derive(Debug)]
enum Kind {
    Java { process: Option<(Child, ChildStdin)>, file: PathBuf, port: u16 },
    Named { relay: Relay, url: String, credentials: String },
}

impl Server {
    /// Returns a server, or `None` where there is none and the test is skipped; fails then with
    /// `CI=true`.
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        let database = format!("orders_{}_{:08x}", std::process::id(), fastrand::u32(..));
        if let Ok(url) = std::env::var(VARIABLE) {
            let rest = url.strip_prefix("mongodb://").expect("mongodb://[user:password@]host:port");
            let (credentials, host) = match rest.rsplit_once('@') {
                Some((credentials, host)) => (format!("{credentials}@"), host),
                None => (String::new(), rest),
            };
            let host = host.split(['/', '?']).next().unwrap();
            let url = format!("mongodb://{credentials}{host}/?directConnection=true");
            let kind = Kind::Named { relay: Relay::to(host), url, credentials };
            return Some(Self { kind, database });
        }
        java_classes()?;
        let kind = Kind::Java { process: None, file: dir.join("mongo.mv"), port: 0 };
        let mut server = Self { kind, database };
        server.start_again();
        Some(server)
    }

    /// Returns the URL of the test's database.
    pub(crate) fn url(&self) -> String {
        let database = &self.database;
        match &self.kind {
            Kind::Java { port, .. } => format!("mongodb://127.0.0.1:{port}/{database}"),
            Kind::Named { relay, credentials, .. } => {
                let port = relay.port();
                let options = "directConnection=true&authSource=admin";
                format!("mongodb://{credentials}127.0.0.1:{port}/{database}?{options}")
            }
        }
    }

    /// Returns the URL of the same server for the test's reader, which is never cut.
    pub(crate) fn url_for_readers(&self) -> String {
        match &self.kind {
            Kind::Java { .. } => self.url(),
            Kind::Named { url, .. } => url.clone(),
        }
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Stops the process, which accepts requests without a response, or cuts the relay.
    pub(crate) fn stall(&mut self) {
        match &self.kind {
            Kind::Java { process, .. } => {
                let (child, _) = process.as_ref().expect("it runs");
                let id = child.id().to_string();
                assert!(Command::new("kill").args(["-STOP", &id]).status().unwrap().success());
            }
            Kind::Named { relay, .. } => relay.cut(),
        }
    }

    /// Kills the process with `kill -9`, or cuts the relay.
    pub(crate) fn kill(&mut self) {
        match &mut self.kind {
            Kind::Java { process, .. } => {
                if let Some((mut child, _)) = process.take() {
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
            }
            Kind::Named { relay, .. } => relay.cut(),
        }
    }

    /// Starts again on the same port, with the same data.
    pub(crate) fn start_again(&mut self) {
        match &mut self.kind {
            Kind::Java { process, file, port } => {
                let classes = java_classes().expect("it was there before");
                let mut child = java(&classes, &[file.to_str().unwrap(), &port.to_string()]);
                let output = BufReader::new(child.stdout.take().unwrap());
                let line = output.lines().next().expect("the server prints its port").unwrap();
                *port = line.trim().parse().unwrap();
                let input = child.stdin.take().unwrap();
                *process = Some((child, input));
            }
            Kind::Named { relay, .. } => relay.mend(),
        }
    }

    /// Starts again empty, as after the loss of its disk; `wipe` empties one that was never down.
    pub(crate) fn start_empty(&mut self, wipe: impl FnOnce()) {
        match &self.kind {
            Kind::Java { file, .. } => std::fs::remove_file(file).unwrap(),
            Kind::Named { .. } => wipe(),
        }
        self.start_again();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the class path of the Java server, built once under `target`; `None` where there is no
/// Java, no Maven or no connection to its repository.
fn java_classes() -> Option<String> {
    static CLASSES: OnceLock<Result<String, String>> = OnceLock::new();
    match CLASSES.get_or_init(make_classes) {
        Ok(classes) => Some(classes.clone()),
        Err(why) => {
            let text = format!(
                "no MongoDB: {why}; set {VARIABLE} to the URL of one, or install a JDK of 17 or \
                 newer and Maven"
            );
            let is_required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
            assert!(!is_required, "{text}");
            eprintln!("SKIPPED, {text}");
            None
        }
    }
}

fn make_classes() -> Result<String, String> {
    let source = root().join("crates/orderstream/tests/mongo/server");
    let build_dir = root().join("target/mongo-java-server");
    let (lib, classes) = (build_dir.join("lib"), build_dir.join("classes"));
    std::fs::create_dir_all(&classes).map_err(|error| error.to_string())?;
    let jar = lib.join("mongo-java-server-h2-backend-1.47.0.jar");
    if !jar.exists() {
        let goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
        let mut maven = Command::new("mvn");
        maven.args(["--quiet", "--batch-mode", "--file"]).arg(source.join("pom.xml"));
        maven.arg(format!("-Dmaven.repo.local={}", build_dir.join("repository").display()));
        maven.arg(goal).arg("-DincludeScope=runtime");
        maven.arg(format!("-DoutputDirectory={}", lib.display()));
        check_exit("mvn", maven.output())?;
    }
    let jars = format!("{}/*", lib.display());
    let mut compiler = Command::new("javac");
    compiler.args(["-cp", &jars, "-d"]).arg(&classes).arg(source.join("Main.java"));
    check_exit("javac", compiler.output())?;
    Ok(format!("{}:{jars}", classes.display()))
}

fn check_exit(name: &str, output: std::io::Result<Output>) -> Result<(), String> {
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    Err(format!("{name}: {}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr)))
}

fn java(classes: &str, args: &[&str]) -> Child {
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-cp", classes, "Main"]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}
