//! Nodes with a taint: an upgrade whose values tolerate it replaces all pods there, after the pod of
//! its check.

use anyhow::ensure;

use super::cluster::Cluster;

/// The key of the taint.
const KEY: &str = "dedicated";
/// The components with pods that stay.
const COMPONENTS: [&str; 2] = ["controller", "processor"];

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let taint = format!("{KEY}=orderstream:NoSchedule");
    cluster.kubectl(&["taint", "nodes", "--all", &taint])?;
    let upgraded = upgrade_with_tolerations(cluster);
    // After a failure too: otherwise nothing starts on the cluster any more.
    cluster.kubectl(&["taint", "nodes", "--all", &format!("{KEY}:NoSchedule-")])?;
    upgraded
}

fn upgrade_with_tolerations(cluster: &Cluster) -> anyhow::Result<()> {
    let toleration = |component: &str| {
        let path = format!("{component}.tolerations[0]");
        [format!("{path}.key={KEY}"), format!("{path}.operator=Exists")]
    };
    let settings = COMPONENTS.map(toleration).concat();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    cluster.upgrade(&settings)?;
    for component in COMPONENTS {
        let pods = cluster.pods(component)?;
        ensure!(!pods.is_empty(), "no {component} is there");
        for pod in pods {
            let mut tolerations = pod["spec"]["tolerations"].as_array().into_iter().flatten();
            let is_new = tolerations.any(|toleration| toleration["key"] == KEY);
            ensure!(is_new, "an old pod is left: {}", pod["metadata"]["name"]);
        }
    }
    println!("on tainted nodes, the upgrade's check and all pods run with the values' tolerations");
    Ok(())
}
