//! An API server shared by the tests, and a namespace with processes for each test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use orderstream_testbed::ApiServer;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, HttpResponse};
use crate::process::{Role, until};

/// Returns the API server that the tests share; `None` where its binaries are missing.
pub(crate) fn shared() -> Option<&'static ApiServer> {
    static SERVER: OnceLock<Option<ApiServer>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let server = ApiServer::start();
        server.iter().for_each(ApiServer::install_crds);
        server
    });
    server.as_ref()
}

/// The name of the processor's log file.
const PROCESSOR_LOG: &str = "processor.log";

/// The processor's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logging {
    /// Warnings, in the test's own output.
    Quiet,
    /// Everything, in a file.
    Everything,
}

/// One namespace with a processor of its own.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) server: &'static ApiServer,
    pub(crate) namespace: String,
    pub(crate) processor: Role,
    dir: TempDir,
    controllers: AtomicU32,
}

/// The number of the next bed, which makes its namespace unique.
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Bed {
    /// Makes a bed, or returns `None` where tests on an API server are skipped.
    pub(crate) fn make() -> Option<Self> {
        let namespace = format!("bed-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        shared()?.kubectl(&["create", "namespace", &namespace]);
        Self::make_in(namespace)
    }

    /// Makes a bed whose processor logs everything, for [`Bed::processor_log`].
    pub(crate) fn make_logging() -> Option<Self> {
        let namespace = format!("bed-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        shared()?.kubectl(&["create", "namespace", &namespace]);
        Some(Self::on(shared()?, namespace, Logging::Everything))
    }

    /// Makes a bed whose processor reads its sellers from the namespace, and logs everything.
    pub(crate) fn make_with_sellers() -> Option<Self> {
        Self::make_with_sellers_by(&shared()?.kubeconfig())
    }

    /// Makes such a bed, whose processor reaches the API server by this kubeconfig.
    pub(crate) fn make_with_sellers_by(kubeconfig: &Path) -> Option<Self> {
        Self::make_with_sellers_and(kubeconfig, &[])
    }

    /// Makes such a bed, with more flags of the processor.
    pub(crate) fn make_with_sellers_and(kubeconfig: &Path, more: &[&str]) -> Option<Self> {
        let namespace = format!("bed-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        shared()?.kubectl(&["create", "namespace", &namespace]);
        let kubeconfig = kubeconfig.display().to_string();
        let sellers = ["--sellers-from-cluster", "--sellers-namespace", &namespace];
        let flags = [&sellers[..], &["--kubeconfig", &kubeconfig], more].concat();
        Some(Self::with(shared()?, namespace.clone(), Logging::Everything, &flags))
    }

    /// Makes a bed in a namespace that exists, and that no other test uses.
    pub(crate) fn make_in(namespace: String) -> Option<Self> {
        Some(Self::on(shared()?, namespace, Logging::Quiet))
    }

    /// Makes a bed in a namespace of an API server of its own, which ends with this process.
    pub(crate) fn make_alone(namespace: String) -> Option<Self> {
        let server: &'static ApiServer = Box::leak(Box::new(ApiServer::start()?));
        server.install_crds();
        server.kubectl(&["create", "namespace", &namespace]);
        Some(Self::on(server, namespace, Logging::Quiet))
    }

    fn on(server: &'static ApiServer, namespace: String, logging: Logging) -> Self {
        Self::with(server, namespace, logging, &["--sellers", "examples/sellers.yaml"])
    }

    fn with(
        server: &'static ApiServer,
        namespace: String,
        logging: Logging,
        sellers: &[&str],
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("processor").display().to_string();
        let mut args = vec!["processor", "--data-dir", &data];
        args.extend(sellers);
        for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
            args.extend([flag, "127.0.0.1:0"]);
        }
        let log = dir.path().join(PROCESSOR_LOG);
        let processor = match logging {
            Logging::Quiet => Role::start(&args, dir.path()),
            Logging::Everything => Role::start_logging(&args, dir.path(), &log),
        };
        Self { server, namespace, processor, dir, controllers: AtomicU32::new(0) }
    }

    /// Returns the processor's log so far.
    pub(crate) fn processor_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(PROCESSOR_LOG)).unwrap()
    }

    /// Starts a controller of this namespace, with a folder of its own.
    pub(crate) fn controller(&self) -> Role {
        self.controller_with(&self.server.kubeconfig(), &[])
    }

    /// Starts a controller of this namespace that reaches the API server by this kubeconfig.
    pub(crate) fn controller_with(&self, kubeconfig: &Path, more: &[&str]) -> Role {
        let processor = format!("http://{}", self.processor.address("grpc"));
        let flags = ["--processor", &processor, "--namespace", &self.namespace];
        self.controller_of(kubeconfig, &[&flags, more].concat())
    }

    /// Starts a controller whose namespace and processors these flags set.
    pub(crate) fn controller_of(&self, kubeconfig: &Path, more: &[&str]) -> Role {
        let number = self.controllers.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.path().join(format!("controller-{number}"));
        std::fs::create_dir(&dir).unwrap();
        let kubeconfig = kubeconfig.display().to_string();
        let mut args = vec!["controller", "--kubeconfig", &kubeconfig];
        args.extend(["--lease-namespace", &self.namespace]);
        // A pod name of its own: killed and started again it takes over at once, like a pod's
        // container.
        let pod = format!("controller-{number}");
        args.extend(["--lease-seconds", "3", "--pod-name", &pod]);
        for flag in ["--metrics-addr", "--rest-addr"] {
            args.extend([flag, "127.0.0.1:0"]);
        }
        args.extend(more);
        Role::start(&args, &dir)
    }

    /// Returns the address of the processor's REST.
    pub(crate) fn sellers(&self) -> SocketAddr {
        self.processor.address("rest")
    }

    /// Runs kubectl in the namespace; it has to succeed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.server.kubectl(&[&["-n", &self.namespace], args].concat())
    }

    /// Applies a manifest.
    pub(crate) fn apply(&self, manifest: &str) {
        let args = ["-n", &self.namespace, "apply", "-f", "-"];
        let output = self.server.kubectl_with(&args, manifest);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Applies an order request of this name that expires after an hour.
    pub(crate) fn order(&self, name: &str) {
        self.apply(&format!(
            "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {{name: {name}}}\n\
             spec: {{expiresIn: 1h}}\n"
        ));
    }

    /// Changes a resource's spec.
    pub(crate) fn patch(&self, name: &str, spec: &str) {
        let patch = format!(r#"{{"spec":{spec}}}"#);
        self.kubectl(&["patch", "oreq", name, "--type=merge", "-p", &patch]);
    }

    /// Returns an order request, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        let args = ["-n", &self.namespace, "get", "oreq", name, "-o", "json"];
        let output = self.server.kubectl_with(&args, "");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Waits until a resource's status is as expected, and returns the resource.
    pub(crate) fn until_status(
        &self,
        name: &str,
        what: &str,
        mut is_match: impl FnMut(&Value) -> bool,
    ) -> Value {
        until(what, || self.get(name).filter(|resource| is_match(&resource["status"])))
    }

    /// Waits until a resource's phase is this one.
    pub(crate) fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until_status(name, &format!("{name} is {phase}"), |status| status["phase"] == phase)
    }

    /// Posts a proposal for an order to the processor's REST.
    pub(crate) fn propose(
        &self,
        order: &str,
        id: &str,
        price: &str,
    ) -> std::io::Result<HttpResponse> {
        propose(self.sellers(), &self.namespace, order, id, price)
    }

    /// Returns the order at the processor, if it is there.
    pub(crate) fn order_at_processor(&self, order: &str) -> Option<Value> {
        let path = format!("/api/v1/orders/{order}?tenant={}", self.namespace);
        let response = http::get(self.sellers(), &path).ok()?;
        (response.status == 200).then(|| response.json())
    }
}

/// Posts a proposal to a processor's REST, all of one seller: `p1` is its main proposal, all others
/// are alternatives.
pub(crate) fn propose(
    sellers: SocketAddr,
    tenant: &str,
    order: &str,
    id: &str,
    price: &str,
) -> std::io::Result<HttpResponse> {
    let label = if id == "p1" { "null".to_owned() } else { format!("\"{id}\"") };
    let body = format!(
        r#"{{"tenant":"{tenant}","order_req_id":"{order}","proposal_id":"{id}",
            "seller":"moebel-augsburg","price":"{price}","currency":"EUR","alternative":{label}}}"#
    );
    http::post(sellers, "/api/v1/proposals", &body)
}

/// Returns the status of a status's condition; empty where there is none.
pub(crate) fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}
