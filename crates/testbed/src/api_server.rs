//! Starts etcd and kube-apiserver in a temporary folder; they are killed when dropped.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::assets::Assets;
use crate::audit::{self, AuditedRequest};
use crate::proxy::Proxy;

/// The timeout for the servers to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The user with all rights.
const ADMIN: &str = "admin";
/// Users without groups, with only the rights that a test grants. They are fixed when the server
/// starts, so all tests share them.
pub const USERS: [&str; 6] =
    ["operator", "operator-of-one", "processor", "processor-of-one", "somebody", "nobody"];
/// A key pair for service account tokens, which no test uses; the server does not start without
/// one.
const SERVICE_ACCOUNT_KEY: &str = include_str!("../fixtures/service-account.pem");
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n";

/// A running API server.
#[derive(Debug)]
pub struct ApiServer {
    assets: Assets,
    dir: TempDir,
    ports: ApiServerPorts,
    etcd: Option<Child>,
    server: Option<Child>,
}

#[derive(Clone, Copy, Debug)]
struct ApiServerPorts {
    etcd: u16,
    peer: u16,
    api: u16,
}

impl ApiServerPorts {
    /// Returns free ports. If another process takes one in the meantime, the start fails and is
    /// retried with other ports.
    fn free() -> Self {
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port = |index: usize| listeners[index].local_addr().unwrap().port();
        Self { etcd: port(0), peer: port(1), api: port(2) }
    }
}

impl ApiServer {
    /// Starts a server; `None` if the binaries are missing, see [`Assets::find`].
    ///
    /// # Panics
    /// When the servers do not become ready.
    pub fn start() -> Option<Self> {
        let assets = Assets::find()?;
        for attempt in 0..5 {
            let mut server = Self {
                assets: assets.clone(),
                dir: fast_dir(),
                ports: ApiServerPorts::free(),
                etcd: None,
                server: None,
            };
            server.write_files();
            server.run();
            if server.is_ready_in_time() {
                return Some(server);
            }
            eprintln!("start {attempt} of the API server failed:\n{}", server.log_tail());
        }
        panic!("the API server does not start");
    }

    /// Returns the folder for the test's own files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the server's URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }

    /// Returns the token of a user.
    pub fn token(user: &str) -> String {
        format!("{user}-token")
    }

    /// Returns the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// Returns the kubeconfig of one of [`USERS`], with this default namespace.
    ///
    /// # Panics
    /// When the user does not exist.
    pub fn kubeconfig_of(&self, user: &str, namespace: &str) -> PathBuf {
        assert!(USERS.contains(&user), "{user} is none of {USERS:?}");
        self.write_kubeconfig(&format!("kubeconfig-{user}"), user, namespace, &self.url())
    }

    /// Returns a proxy to this server, and an administrator's kubeconfig that uses it.
    pub fn proxy(&self) -> (Proxy, PathBuf) {
        self.proxy_of(ADMIN, "default")
    }

    /// Returns a proxy to this server, and a kubeconfig of one of [`USERS`] that uses it.
    pub fn proxy_of(&self, user: &str, namespace: &str) -> (Proxy, PathBuf) {
        let proxy = Proxy::start(([127, 0, 0, 1], self.ports.api).into());
        let url = proxy.url();
        let port = url.rsplit(':').next().unwrap_or_default();
        let kubeconfig =
            self.write_kubeconfig(&format!("kubeconfig-{port}"), user, namespace, &url);
        (proxy, kubeconfig)
    }

    /// Returns the path of kubectl.
    pub fn kubectl_program(&self) -> PathBuf {
        self.assets.path("kubectl")
    }

    /// Runs kubectl with this input; returns its output.
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(self.kubectl_program())
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs kubectl, which must succeed; returns its standard output.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.kubectl_with(args, "");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Installs the workspace's custom resource definitions, and waits until they are served.
    pub fn install_crds(&self) {
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
        self.kubectl(&["apply", "--server-side", "-f", crds.to_str().unwrap()]);
        self.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]);
        // The condition Established is set a moment before the paths are served.
        for resource in ["orderrequests", "sellers"] {
            poll_until("the resources are served", || {
                let output = self.kubectl_with(&["get", resource, "-A"], "");
                output.status.success().then_some(())
            });
        }
    }

    /// Returns every request that has had a response, oldest first.
    pub fn requests(&self) -> Vec<AuditedRequest> {
        audit::read(&std::fs::read_to_string(self.path("audit.log")).unwrap_or_default())
    }

    /// Stops both servers; their data is retained.
    pub fn stop(&mut self) {
        for mut child in self.server.take().into_iter().chain(self.etcd.take()) {
            // It may already have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Restarts both servers with the same data and ports.
    ///
    /// # Panics
    /// When they do not become ready.
    pub fn restart(&mut self) {
        self.run();
        assert!(
            self.is_ready_in_time(),
            "the API server does not start again: {}",
            self.log_tail()
        );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_files(&self) {
        let users = USERS.map(|user| (user, "")).into_iter().chain([(ADMIN, "system:masters")]);
        let tokens: String = users
            .map(|(user, group)| format!("{},{user},{user},\"{group}\"\n", Self::token(user)))
            .collect();
        std::fs::write(self.path("tokens.csv"), tokens).unwrap();
        std::fs::write(self.path("service-account.pem"), SERVICE_ACCOUNT_KEY).unwrap();
        std::fs::write(self.path("audit.yaml"), AUDIT_POLICY).unwrap();
        self.write_kubeconfig("kubeconfig", ADMIN, "default", &self.url());
    }

    fn write_kubeconfig(&self, name: &str, user: &str, namespace: &str, url: &str) -> PathBuf {
        let token = Self::token(user);
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{ "name": "test", "cluster": {
                "server": url, "insecure-skip-tls-verify": url.starts_with("https"),
            } }],
            "users": [{ "name": user, "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": {
                "cluster": "test", "user": user, "namespace": namespace,
            } }],
        });
        let path = self.path(name);
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    fn run(&mut self) {
        let local = |port: u16| format!("http://127.0.0.1:{port}");
        let (client, peer) = (local(self.ports.etcd), local(self.ports.peer));
        let data = self.path("etcd").display().to_string();
        self.etcd = Some(self.spawn(
            "etcd",
            &[
                ("data-dir", &data),
                ("listen-client-urls", &client),
                ("advertise-client-urls", &client),
                ("listen-peer-urls", &peer),
                ("initial-advertise-peer-urls", &peer),
                ("initial-cluster", &format!("default={peer}")),
                ("unsafe-no-fsync", "true"),
            ],
        ));
        let file = |name: &str| self.path(name).display().to_string();
        self.server = Some(self.spawn(
            "kube-apiserver",
            &[
                ("etcd-servers", &client),
                ("bind-address", "127.0.0.1"),
                ("secure-port", &self.ports.api.to_string()),
                ("cert-dir", &file("certificates")),
                ("token-auth-file", &file("tokens.csv")),
                ("authorization-mode", "RBAC"),
                ("service-account-issuer", "https://orderstream.test"),
                ("service-account-key-file", &file("service-account.pem")),
                ("service-account-signing-key-file", &file("service-account.pem")),
                ("service-cluster-ip-range", "10.96.0.0/16"),
                ("disable-admission-plugins", "ServiceAccount"),
                ("audit-policy-file", &file("audit.yaml")),
                ("audit-log-path", &file("audit.log")),
                ("audit-log-mode", "blocking"),
                // A server that shuts down must not wait for its watches.
                ("shutdown-delay-duration", "0s"),
            ],
        ));
    }

    /// Spawns a child that ends with this process if `setpriv` is available.
    fn spawn(&self, name: &str, flags: &[(&str, &str)]) -> Child {
        let binary = self.assets.path(name);
        let mut command = if Path::new("/usr/bin/setpriv").exists() {
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--pdeathsig", "KILL"]).arg(binary);
            command
        } else {
            Command::new(binary)
        };
        let log = || {
            let path = self.path(&format!("{name}.log"));
            std::fs::File::options().create(true).append(true).open(path).unwrap()
        };
        command
            .args(flags.iter().map(|(flag, value)| format!("--{flag}={value}")))
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log());
        spawn_from_static_thread(command)
    }

    fn is_ready_in_time(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < READY_TIMEOUT {
            let ended = |child: &mut Option<Child>| {
                child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
            };
            if ended(&mut self.etcd) || ended(&mut self.server) {
                self.stop();
                return false;
            }
            let ready = self.kubectl_with(&["get", "--raw", "/readyz"], "");
            let default = self.kubectl_with(&["get", "namespace", "default"], "");
            if ready.status.success() && default.status.success() {
                return true;
            }
            pause();
        }
        false
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Spawns a child from a thread that runs as long as this process: the kernel's parent-death signal
/// is bound to the spawning thread, and a test's thread ends with its test.
fn spawn_from_static_thread(command: Command) -> Child {
    type Job = (Command, mpsc::Sender<Child>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in jobs {
                reply.send(command.spawn().unwrap()).unwrap();
            }
        });
        Mutex::new(sender)
    });
    let (reply, child) = mpsc::channel();
    spawner.lock().send((command, reply)).unwrap();
    child.recv().unwrap()
}

/// Creates a folder, in memory if possible: etcd is only as fast as its disk.
fn fast_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = memory.is_dir().then(|| TempDir::new_in(memory).ok()).flatten();
    made.unwrap_or_else(|| TempDir::new().unwrap())
}

/// Polls until there is a result; fails after a minute.
fn poll_until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(began.elapsed() < READY_TIMEOUT, "did not come true: {what}");
        pause();
    }
}

#[allow(clippy::disallowed_methods, reason = "other processes cannot be awaited, only looked at")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
