//! The installation, in a namespace that admits only restricted pods.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::cluster::{Cluster, NAMESPACE, RELEASE, wait_until};

/// The time limit of the installation, once the image is on the cluster.
const INSTALL_MAX: Duration = Duration::from_secs(60);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let pre = cluster.orderstream(&["check", "--pre"])?;
    println!("{pre}");
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    cluster.kubectl(&["label", "namespace", NAMESPACE, label])?;

    let began = Instant::now();
    let notes = cluster.upgrade(&[])?;
    let took = began.elapsed();
    println!("installed in {:.1} s\n{}", took.as_secs_f32(), extract_notes(&notes));
    ensure!(took < INSTALL_MAX, "helm install took {took:?}");
    let order = "kubectl apply -f examples/office-chairs.yaml";
    for expected in ["helm test orderstream", order, "kubectl get oreq -w"] {
        ensure!(notes.contains(expected), "the notes lack {expected}: {notes}");
    }
    let sellers = "kubectl apply -f examples/sellers.yaml";
    let are_first = notes.split_once(sellers).is_some_and(|(_, after)| after.contains(order));
    ensure!(are_first, "sellers do not come before the first order: {notes}");
    ensure!(!notes.contains("https://"), "nothing is published yet: {notes}");
    cluster.apply_sellers()?;
    let proof = cluster.helm(&["test", RELEASE, "--logs", "--timeout=120s"])?;
    ensure!(proof.contains("the order is finalised"), "{proof}");
    println!("{proof}");
    let report = cluster.check()?;
    let checks = report["checks"].as_array().map_or(0, Vec::len);
    ensure!(checks >= 18, "{report}");
    println!("helm test and {checks} checks pass");
    check_plugin(cluster)?;
    second_releases_need_a_name(cluster)?;
    wrong_settings_leave_the_old_pods(cluster)
}

/// Returns the notes in helm's output.
fn extract_notes(notes: &str) -> &str {
    notes.split_once("NOTES:").map_or(notes, |(_, text)| text)
}

/// Checks that the binary under a plugin's name is a kubectl command.
fn check_plugin(cluster: &Cluster) -> anyhow::Result<()> {
    let dir = cluster.plugins()?;
    let path = std::env::var("PATH").unwrap_or_default();
    let output = std::process::Command::new("kubectl")
        .env("PATH", format!("{}:{path}", dir.display()))
        .args(["orderstream", "check", "-n", NAMESPACE, "--only", "crds"])
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && stdout.contains("crd-version"), "{output:?}");
    Ok(())
}

/// Checks that a second release that would take the same orders is refused, and that the notes of one
/// with a name of its own mention the first.
fn second_releases_need_a_name(cluster: &Cluster) -> anyhow::Result<()> {
    let chart = cluster.root.join("deploy/helm/orderstream").display().to_string();
    let install = |settings: &str| {
        cluster.helm(&["install", "second", &chart, "--dry-run=server", "--set", settings])
    };
    let error = match install("crds.enabled=false") {
        Ok(notes) => bail!("the same orders are taken twice: {notes}"),
        Err(error) => format!("{error:#}"),
    };
    let rival = format!("the controller of release {RELEASE} in namespace {NAMESPACE} is named");
    ensure!(error.contains(&rival) && error.contains("set controllerName=NAME"), "{error}");
    let notes = install("crds.enabled=false,controllerName=second")?;
    let beside = format!("Beside it, release {RELEASE} in namespace {NAMESPACE} takes those");
    ensure!(notes.contains(&beside), "the notes lack {beside}: {notes}");
    Ok(())
}

/// Checks that a pod that cannot start reports the cause in one line, and that the rollout waits
/// while the old pods serve.
fn wrong_settings_leave_the_old_pods(cluster: &Cluster) -> anyhow::Result<()> {
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"controller",
        "env":[{"name":"ORDERSTREAM_CONNECTIONS","value":"0"}],"args":["controller",
        "--processor-service=orderstream-processors"]}]}}}}"#;
    let deployment = format!("deployment/{RELEASE}-controller");
    cluster.kubectl(&["patch", &deployment, "-p", patch])?;
    let timeout = Duration::from_secs(60);
    let message =
        wait_until("the new pod says why", timeout, || cluster.termination_message("controller"))?;
    println!("a wrong setting: {}", message.trim());
    ensure!(message.contains("--connections is 0; give 1 to 64"), "{message}");
    ensure!(message.trim().lines().count() == 1, "more than one line: {message}");
    let ready = cluster.kubectl(&["get", &deployment, "-o", "jsonpath={.status.readyReplicas}"])?;
    ensure!(ready == "2", "{ready} of the old pods are ready");
    cluster.kubectl(&["rollout", "undo", &deployment])?;
    cluster.kubectl(&["rollout", "status", &deployment, "--timeout=60s"])?;
    Ok(())
}
