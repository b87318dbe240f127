//! The cluster as the steps see it: kubectl, helm, and HTTP to Services and pods through the API
//! server's proxy, which is there on every cluster.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use parking_lot::Mutex;
use serde_json::Value;
use ureq::Agent;

/// Where the chart is installed, and under which name.
pub(super) const NAMESPACE: &str = "orderstream-e2e";
pub(super) const RELEASE: &str = "orderstream";
/// Between two looks at something that is to come true.
const LOOK: Duration = Duration::from_millis(200);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) root: PathBuf,
    image: String,
    proxy: Child,
    base: String,
    agent: Agent,
    /// For which rights the controllers asked so far, also those that are gone.
    asked: Mutex<BTreeSet<String>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: {}", self.text))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may be gone already.
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
        let (root, image, asked) = (root.to_path_buf(), image.to_owned(), Mutex::default());
        Ok(Self { root, image, proxy, base, agent, asked })
    }

    /// The image that runs.
    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// Where the API server's proxy listens.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Runs kubectl in the release's namespace; gives what it printed.
    pub(super) fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        output(Command::new("kubectl").args(["-n", NAMESPACE]).args(args), None)
    }

    /// The same, with a document on its standard input.
    pub(super) fn kubectl_with(&self, args: &[&str], input: &str) -> anyhow::Result<String> {
        output(Command::new("kubectl").args(["-n", NAMESPACE]).args(args), Some(input))
    }

    /// Runs helm on the release's namespace.
    pub(super) fn helm(&self, args: &[&str]) -> anyhow::Result<String> {
        let helm = self.root.join("target/tools/bin/helm");
        output(Command::new(helm).args(["-n", NAMESPACE]).args(args), None)
    }

    /// Installs or upgrades the release with these settings on top of those of the run.
    pub(super) fn upgrade(&self, settings: &[&str]) -> anyhow::Result<String> {
        // What the pods that go have counted.
        drop(self.asked());
        let chart = self.root.join("deploy/helm/orderstream").display().to_string();
        let (repository, tag) = self.image.rsplit_once(':').context("the image's tag")?;
        let (repository, tag) =
            (format!("image.repository={repository}"), format!("image.tag={tag}"));
        let mut args = vec!["upgrade", "--install", RELEASE, &chart, "--wait", "--timeout=180s"];
        args.extend(["--reset-values", "--set", &repository, "--set-string", &tag]);
        args.extend(["--set", "image.pullPolicy=IfNotPresent"]);
        for setting in settings {
            args.extend(["--set", setting]);
        }
        self.helm(&args)
    }

    /// Applies the example sellers, as resources that the processors watch.
    pub(super) fn apply_sellers(&self) -> anyhow::Result<()> {
        let sellers = self.root.join("examples/sellers.yaml").display().to_string();
        self.kubectl(&["apply", "-f", &sellers])?;
        self.kubectl(&["wait", "sellers", "--all", "--for=condition=Ready", "--timeout=60s"])?;
        Ok(())
    }

    /// Runs the release's own binary.
    pub(super) fn orderstream(&self, args: &[&str]) -> anyhow::Result<String> {
        output(Command::new(self.binary()?).args(args), None)
    }

    /// Checks the installation as its operator would, shows that, and gives the report.
    ///
    /// # Errors
    /// A failed check. How full a volume is does not count: one of a test cluster may be a folder of
    /// the machine's own disk, as full as that, which says nothing of what was installed.
    pub(super) fn check(&self) -> anyhow::Result<Value> {
        let check = ["check", "-n", NAMESPACE, "--wait", "30s"];
        let shown = Command::new(self.binary()?).args(check).output()?;
        println!("{}", String::from_utf8_lossy(&shown.stdout));
        let output = Command::new(self.binary()?).args(check).args(["-o", "json"]).output()?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("no report of the checks: {output:?}"))?;
        let failed = failed_checks(&report)?;
        ensure!(failed.is_empty(), "failed: {failed:?} of {report}");
        Ok(report)
    }

    /// A folder with the image's binary under its own name and that of a plugin of kubectl.
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

    /// The binary of the image.
    fn binary(&self) -> anyhow::Result<PathBuf> {
        let targets = ["x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"];
        let binaries = targets.map(|target| format!("target/{target}/release/orderstream"));
        let binary = binaries.iter().map(|path| self.root.join(path)).find(|path| path.exists());
        binary.context("the binary of the image: run `cargo xtask image`")
    }

    /// Asks the API server's proxy.
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(body.to_owned())?;
        let mut response = self.agent.run(request)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        Ok(Answer { status, text })
    }

    /// The path of a Service's port behind the proxy.
    pub(super) fn service(name: &str) -> String {
        format!("/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-{name}:rest/proxy")
    }

    /// All pods of one component that are not on their way out.
    pub(super) fn pods(&self, component: &str) -> anyhow::Result<Vec<Value>> {
        let selector = format!("app.kubernetes.io/component={component}");
        let list = self.kubectl(&["get", "pods", "-l", &selector, "-o", "json"])?;
        let list: Value = serde_json::from_str(&list)?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        Ok(pods.into_iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).collect())
    }

    /// What a container of a component said when it ended, if one did.
    pub(super) fn said_at_the_end(&self, component: &str) -> anyhow::Result<Option<String>> {
        let pods = self.pods(component)?;
        let messages = pods.iter().map(|pod| {
            let state = &pod["status"]["containerStatuses"][0];
            ["/lastState/terminated/message", "/state/terminated/message"]
                .iter()
                .find_map(|path| state.pointer(path)?.as_str().map(str::to_owned))
        });
        Ok(messages.flatten().next())
    }

    /// The page of metrics of a pod.
    pub(super) fn metrics(&self, pod: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9090/proxy/metrics");
        let answer = self.ask("GET", &path, "")?;
        ensure!(answer.status == 200, "{pod}: {answer:?}");
        Ok(answer.text)
    }

    /// For which rights controllers asked so far, as `verb group resource`.
    pub(super) fn asked(&self) -> anyhow::Result<BTreeSet<String>> {
        for pod in self.pods("controller")? {
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
            // One that is starting or going has said nothing, or said it before.
            let Ok(page) = self.metrics(pod) else { continue };
            let mut asked = self.asked.lock();
            asked.extend(page.lines().filter_map(right_asked));
        }
        Ok(self.asked.lock().clone())
    }

    /// Begins to look for the rights anew.
    pub(super) fn forget_asked(&self) {
        self.asked.lock().clear();
    }

    /// All order requests of the release's namespace.
    pub(super) fn orders(&self) -> anyhow::Result<Vec<Value>> {
        self.orders_of(NAMESPACE)
    }

    /// All order requests of a namespace.
    pub(super) fn orders_of(&self, namespace: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/apis/orderstream.dev/v1alpha1/namespaces/{namespace}/orderrequests");
        let list = self.ask("GET", &path, "")?.json()?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// What a person would look at after a failure.
    pub(super) fn tell_state(&self) {
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

/// The checks of a report that failed and that tell of the installation.
fn failed_checks(report: &Value) -> anyhow::Result<Vec<&str>> {
    let checks = report["checks"].as_array().context("the report has no checks")?;
    let failed = checks.iter().filter(|check| check["mark"] == "failed");
    let ids = failed.filter_map(|check| check["id"].as_str());
    Ok(ids.filter(|id| *id != "storage-space").collect())
}

/// The right of a sample of `orderstream_api_requests_total`, if it was asked for.
fn right_asked(line: &str) -> Option<String> {
    let (labels, count) =
        line.strip_prefix("orderstream_api_requests_total{")?.rsplit_once("} ")?;
    let label = |name: &str| {
        let rest = labels.split_once(&format!("{name}=\""))?.1;
        rest.split('"').next()
    };
    let right = [label("verb")?, label("group")?, label("resource")?].join(" ");
    (count.trim() != "0").then_some(right)
}

/// Waits until something is there.
pub(super) fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        let seen = look();
        match seen {
            Ok(Some(found)) => return Ok(found),
            Ok(None) | Err(_) if began.elapsed() < patience => pause(LOOK),
            Ok(None) => bail!("did not come true in {} s: {what}", patience.as_secs()),
            Err(error) => return Err(error.context(what.to_owned())),
        }
    }
}

/// Lets time pass between two looks.
#[allow(clippy::disallowed_methods, reason = "a cluster cannot be awaited, only looked at")]
pub(super) fn pause(time: Duration) {
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

    #[test]
    fn a_full_disk_of_the_machine_is_no_fault_of_the_chart() {
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
    fn a_right_is_read_from_its_sample_when_it_was_asked_for() {
        let sample = |count: u32| {
            format!(
                "orderstream_api_requests_total{{group=\"a.b\",resource=\"c/d\",verb=\"get\"}} {count}"
            )
        };
        assert_eq!(right_asked(&sample(3)).unwrap(), "get a.b c/d");
        assert_eq!(right_asked(&sample(0)), None);
        assert_eq!(right_asked("up 1"), None);
    }
}
