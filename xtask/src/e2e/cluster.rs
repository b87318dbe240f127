//! The steps' access to the cluster: kubectl, helm, and HTTP to Services and pods through the API
//! server's proxy, which every cluster has.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use parking_lot::Mutex;
use serde_json::Value;
use ureq::Agent;

/// The namespace in which the chart is installed.
pub(super) const NAMESPACE: &str = "orderstream-e2e";
pub(super) const RELEASE: &str = "orderstream";
/// The interval at which an awaited state is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A cluster, with a proxy to its API server.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) root: PathBuf,
    image: String,
    proxy: Child,
    base: String,
    agent: Agent,
    /// The rights that controllers have used so far, including those of deleted pods.
    used_rights: Mutex<BTreeSet<String>>,
}

/// A response.
#[derive(Clone, Debug)]
pub(super) struct ApiProxyResponse {
    pub(super) status: u16,
    pub(super) text: String,
}

impl ApiProxyResponse {
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: {}", self.text))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The proxy may already have ended.
        drop(self.proxy.kill());
        drop(self.proxy.wait());
    }
}

impl Cluster {
    /// Starts the proxy to the API server.
    pub(super) fn connect(root: &Path, image: &str) -> anyhow::Result<Self> {
        let mut proxy = Command::new("kubectl")
            .args(["proxy", "--port=0"])
            .stdout(Stdio::piped())
            .spawn()
            .context("start kubectl proxy")?;
        let mut line = String::new();
        let output = proxy.stdout.take().context("its output")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.rsplit(' ').next().unwrap_or_default().trim();
        let base = format!("http://{address}");
        let config = Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            .build();
        let agent = Agent::new_with_config(config);
        let (root, image, used_rights) = (root.to_path_buf(), image.to_owned(), Mutex::default());
        Ok(Self { root, image, proxy, base, agent, used_rights })
    }

    /// Returns the image under test.
    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// Returns the URL of the API server's proxy.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Runs kubectl in the release's namespace; returns its output.
    pub(super) fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        output(Command::new("kubectl").args(["-n", NAMESPACE]).args(args), None)
    }

    /// Runs kubectl with a document on its standard input.
    pub(super) fn kubectl_with(&self, args: &[&str], input: &str) -> anyhow::Result<String> {
        output(Command::new("kubectl").args(["-n", NAMESPACE]).args(args), Some(input))
    }

    /// Runs helm in the release's namespace; returns its output.
    pub(super) fn helm(&self, args: &[&str]) -> anyhow::Result<String> {
        let helm = self.root.join("target/tools/bin/helm");
        output(Command::new(helm).args(["-n", NAMESPACE]).args(args), None)
    }

    /// Installs or upgrades the release with these settings in addition to those of the run.
    pub(super) fn upgrade(&self, settings: &[&str]) -> anyhow::Result<String> {
        self.upgrade_with(&["--wait", "--timeout=180s"], settings)
    }

    /// Installs or upgrades the release with these settings in addition to those of the run, and with
    /// flags of Helm, which win over the settings.
    pub(super) fn upgrade_with(&self, flags: &[&str], settings: &[&str]) -> anyhow::Result<String> {
        // Records the counts of the pods that will be replaced.
        drop(self.used_rights());
        let chart = self.root.join("deploy/helm/orderstream").display().to_string();
        let (repository, tag) = self.image.rsplit_once(':').context("the image's tag")?;
        let (repository, tag) =
            (format!("image.repository={repository}"), format!("image.tag={tag}"));
        let mut args = vec!["upgrade", "--install", RELEASE, &chart, "--reset-values"];
        args.extend(["--set", &repository, "--set-string", &tag]);
        args.extend(["--set", "image.pullPolicy=IfNotPresent"]);
        for setting in settings {
            args.extend(["--set", setting]);
        }
        args.extend(flags);
        self.helm(&args)
    }

    /// Returns the number of the revision that is deployed.
    pub(super) fn deployed_revision(&self) -> anyhow::Result<String> {
        let history: Value =
            serde_json::from_str(&self.helm(&["history", RELEASE, "-o", "json"])?)?;
        let mut revisions = history.as_array().into_iter().flatten();
        let deployed = revisions.rfind(|revision| revision["status"] == "deployed");
        let number = deployed.and_then(|revision| revision["revision"].as_u64());
        number.map(|number| number.to_string()).with_context(|| format!("none: {history}"))
    }

    /// Rolls the release back to a revision.
    pub(super) fn rollback(&self, revision: &str) -> anyhow::Result<String> {
        drop(self.used_rights());
        self.helm(&["rollback", RELEASE, revision, "--wait", "--timeout=60s"])
    }

    /// Applies the example sellers, as resources that the processors watch.
    pub(super) fn apply_sellers(&self) -> anyhow::Result<()> {
        let sellers = self.root.join("examples/sellers.yaml").display().to_string();
        self.kubectl(&["apply", "-f", &sellers])?;
        self.kubectl(&["wait", "sellers", "--all", "--for=condition=Ready", "--timeout=60s"])?;
        Ok(())
    }

    /// Runs the release's binary.
    pub(super) fn orderstream(&self, args: &[&str]) -> anyhow::Result<String> {
        output(Command::new(self.binary()?).args(args), None)
    }

    /// Checks the installation as an operator would, with these flags; returns the report, in which
    /// checks may have failed.
    pub(super) fn report(&self, flags: &[&str]) -> anyhow::Result<Value> {
        let check = ["check", "-n", NAMESPACE, "-o", "json"];
        let output = Command::new(self.binary()?).args(check).args(flags).output()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("no report of the checks: {output:?}"))
    }

    /// Checks the installation as an operator would, prints the report, and returns it.
    ///
    /// # Errors
    /// When a check fails. Full volumes do not count: a volume of a test cluster may be a folder on
    /// the machine's own disk, whose free space does not depend on the installation.
    pub(super) fn check(&self) -> anyhow::Result<Value> {
        let report = self.report(&["--wait", "30s"])?;
        for check in report["checks"].as_array().into_iter().flatten() {
            let text = |name: &str| check[name].as_str().unwrap_or_default();
            println!("   {:<8} {}: {}", text("mark"), text("id"), text("text"));
        }
        let failed = failed_checks(&report)?;
        ensure!(failed.is_empty(), "failed: {failed:?} of {report}");
        Ok(report)
    }

    /// Creates a folder with the image's binary under its own name and that of a kubectl plugin.
    pub(super) fn plugins(&self) -> anyhow::Result<PathBuf> {
        let dir = self.root.join("target/e2e/bin");
        std::fs::create_dir_all(&dir)?;
        for name in ["orderstream", "kubectl-orderstream"] {
            let link = dir.join(name);
            drop(std::fs::remove_file(&link));
            std::os::unix::fs::symlink(self.binary()?, &link)?;
        }
        Ok(dir)
    }

    /// Returns the path of the image's binary.
    fn binary(&self) -> anyhow::Result<PathBuf> {
        let targets = ["x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"];
        let binaries = targets.map(|target| format!("target/{target}/release/orderstream"));
        let binary = binaries.iter().map(|path| self.root.join(path)).find(|path| path.exists());
        binary.context("the binary of the image: run `cargo xtask image`")
    }

    /// Sends a request to the API server's proxy.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<ApiProxyResponse> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(body.to_owned())?;
        let mut response = self.agent.run(request)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        Ok(ApiProxyResponse { status, text })
    }

    /// Returns the path of a Service's REST port through the proxy.
    pub(super) fn service(name: &str) -> String {
        format!("/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-{name}:rest/proxy")
    }

    /// Returns all pods of a component that are not being deleted.
    pub(super) fn pods(&self, component: &str) -> anyhow::Result<Vec<Value>> {
        let selector = format!("app.kubernetes.io/component={component}");
        let list = self.kubectl(&["get", "pods", "-l", &selector, "-o", "json"])?;
        let list: Value = serde_json::from_str(&list)?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        Ok(pods.into_iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).collect())
    }

    /// Returns the termination message of a component's container, if one has ended.
    pub(super) fn termination_message(&self, component: &str) -> anyhow::Result<Option<String>> {
        let pods = self.pods(component)?;
        let messages = pods.iter().map(|pod| {
            let state = &pod["status"]["containerStatuses"][0];
            ["/lastState/terminated/message", "/state/terminated/message"]
                .iter()
                .find_map(|path| state.pointer(path)?.as_str().map(str::to_owned))
        });
        Ok(messages.flatten().next())
    }

    /// Returns the metrics page of a pod.
    pub(super) fn metrics(&self, pod: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9090/proxy/metrics");
        let response = self.request("GET", &path, "")?;
        ensure!(response.status == 200, "{pod}: {response:?}");
        Ok(response.text)
    }

    /// Returns the rights that controllers have used so far, as `verb group resource`.
    pub(super) fn used_rights(&self) -> anyhow::Result<BTreeSet<String>> {
        for pod in self.pods("controller")? {
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
            // A starting pod has no counts yet; those of a terminating one have already been
            // recorded.
            let Ok(page) = self.metrics(pod) else { continue };
            let mut used_rights = self.used_rights.lock();
            used_rights.extend(page.lines().filter_map(used_right));
        }
        Ok(self.used_rights.lock().clone())
    }

    /// Clears the rights that were used so far.
    pub(super) fn clear_used_rights(&self) {
        self.used_rights.lock().clear();
    }

    /// Returns all order requests of the release's namespace.
    pub(super) fn orders(&self) -> anyhow::Result<Vec<Value>> {
        self.orders_of(NAMESPACE)
    }

    /// Returns all order requests of a namespace.
    pub(super) fn orders_of(&self, namespace: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/apis/orderstream.dev/v1alpha1/namespaces/{namespace}/orderrequests");
        let list = self.request("GET", &path, "")?.json()?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Prints the state of the cluster after a failure.
    pub(super) fn print_state(&self) {
        for args in [
            &["get", "pods,pvc,orderrequests", "-o", "wide"][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "-l", "app.kubernetes.io/part-of=orderstream", "--tail=4", "--prefix"],
        ] {
            match self.kubectl(args) {
                Ok(text) => println!("{text}"),
                Err(error) => println!("{error:#}"),
            }
        }
    }
}

/// Returns the text of a refusal, which must contain `expected`.
///
/// # Errors
/// When nothing was refused, or for another reason.
pub(super) fn refusal(result: anyhow::Result<String>, expected: &str) -> anyhow::Result<String> {
    match result {
        Ok(output) => bail!("it was not refused with '{expected}': {output}"),
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains(expected), "the refusal lacks '{expected}': {text}");
            Ok(text)
        }
    }
}

/// Returns the failed checks of a report, except that of free disk space.
fn failed_checks(report: &Value) -> anyhow::Result<Vec<&str>> {
    let checks = report["checks"].as_array().context("the report has no checks")?;
    let failed = checks.iter().filter(|check| check["mark"] == "failed");
    let ids = failed.map(|check| check["id"].as_str().unwrap_or("?"));
    Ok(ids.filter(|id| *id != "storage-space").collect())
}

/// Returns the right of a sample of `orderstream_api_requests_total`, if its count is not 0.
fn used_right(line: &str) -> Option<String> {
    let (labels, count) =
        line.strip_prefix("orderstream_api_requests_total{")?.rsplit_once("} ")?;
    let label = |name: &str| {
        let rest = labels.split_once(&format!("{name}=\""))?.1;
        rest.split('"').next()
    };
    let right = [label("verb")?, label("group")?, label("resource")?].join(" ");
    (count.trim() != "0").then_some(right)
}

/// Waits until `poll` returns something; fails after `timeout`.
pub(super) fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut poll: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        let result = poll();
        match result {
            Ok(Some(found)) => return Ok(found),
            Ok(None) | Err(_) if began.elapsed() < timeout => sleep(POLL_INTERVAL),
            Ok(None) => bail!("did not come true in {} s: {what}", timeout.as_secs()),
            Err(error) => return Err(error.context(what.to_owned())),
        }
    }
}

/// Sleeps, when there is no state to wait for.
#[allow(clippy::disallowed_methods, reason = "a cluster cannot be awaited, only looked at")]
pub(super) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

fn output(command: &mut Command, input: Option<&str>) -> anyhow::Result<String> {
    use std::io::Write as _;
    let program = command.get_program().to_string_lossy().into_owned();
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        bail!("{program} {} failed: {stdout}{stderr}", args.join(" "));
    }
    Ok(text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The chart does not choose the disk of a test cluster's volumes.
    #[test]
    fn full_machine_disks_are_not_failures() {
        let check = |id: &str, mark: &str| json!({"id": id, "mark": mark});
        let report = json!({"status": "failed", "checks": [
            check("crd-version", "ok"),
            check("storage-space", "failed"),
            check("storage-sync", "failed"),
            check("streams-active", "warning"),
        ]});
        assert_eq!(failed_checks(&report).unwrap(), ["storage-sync"]);
        assert!(failed_checks(&json!({"status": "ok"})).is_err());
    }

    #[test]
    fn a_refusal_has_the_expected_reason() {
        let failed = || Err(anyhow::anyhow!("3 open orders").context("helm failed"));
        assert_eq!(refusal(failed(), "open orders").unwrap(), "helm failed: 3 open orders");
        assert!(refusal(failed(), "conflict").is_err());
        assert!(refusal(Ok("upgraded".to_owned()), "upgraded").is_err());
    }

    /// A sample of 0 is an unused right.
    #[test]
    fn used_rights_are_read_from_samples() {
        let sample = |count: u32| {
            format!(
                "orderstream_api_requests_total{{group=\"a.b\",resource=\"c/d\",verb=\"get\"}} {count}"
            )
        };
        assert_eq!(used_right(&sample(3)).unwrap(), "get a.b c/d");
        assert_eq!(used_right(&sample(0)), None);
        assert_eq!(used_right("up 1"), None);
    }
}
