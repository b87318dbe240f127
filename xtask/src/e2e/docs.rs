//! Runs the commands of the operators' pages and of the tutorial on a cluster without an
//! installation: from `helm install` to the deletion of the custom resource definitions. They are
//! unchanged, but for the image under test.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use super::backup;
use super::cluster::Cluster;

/// The namespace that the pages use.
pub(super) const NAMESPACE: &str = "orders";
/// The chart in the commands of the pages.
const CHART: &str = " deploy/helm/orderstream ";
/// The section after which the commands of the runbooks are run.
const BEFORE_RUNBOOKS: (&str, &str) = ("backup", "Restore");
/// The definitions of monitors and alerts, of which a cluster without the operator has none.
const MONITORS: &str = "deploy/helm/tests/monitors.yaml";
/// The words of a runbook's commands that may find nothing while all is well.
const MAY_FIND_NOTHING: [&str; 3] = ["| grep ", "--previous", "podmonitors"];

/// The sections with commands, as page and heading, in the order of an installation's lifetime.
const SECTIONS: [(&str, &str); 14] = [
    ("tutorial", "Install and request"),
    ("tutorial", "Propose and award"),
    ("tutorial", "Clean up"),
    ("install", "Install"),
    ("checks", "Checks"),
    ("monitoring", "Metrics, dashboards, alerts"),
    ("rbac", "People"),
    ("scale", "More processors"),
    ("backup", "Back up"),
    ("backup", "Restore"),
    ("install", "Send notifications"),
    ("install", "Write to MongoDB"),
    ("install", "Upgrade"),
    ("install", "Uninstall"),
];

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    // The preconditions that the pages assume.
    cluster.kubectl(&["create", "namespace", "desks"])?;
    let monitors = cluster.root.join(MONITORS).display().to_string();
    cluster.kubectl(&["apply", "-f", &monitors])?;
    let established = "--for=condition=Established";
    cluster.kubectl(&["wait", established, "-f", &monitors, "--timeout=30s"])?;
    let mut volume = None;
    for (page, section) in SECTIONS {
        let path = cluster.root.join(format!("docs/{page}.md"));
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let commands = commands(&text, section);
        ensure!(!commands.is_empty(), "docs/{page}.md has no command under {section}");
        if section == "Back up" {
            volume = backup::prepare(cluster)?;
        }
        for command in commands {
            // A cluster for tests has eight volumes, and none comes back: the next page's
            // installation takes the one of the tutorial.
            if page == "tutorial" && command.starts_with("kubectl delete pvc") {
                continue;
            }
            let result = match (command.strip_prefix("# "), &volume) {
                (None, _) => execute(cluster, &command),
                (Some(by_hand), Some(volume)) => volume.by_hand(by_hand),
                (Some(_), None) => Ok(()),
            };
            result.with_context(|| format!("docs/{page}.md, {section}"))?;
        }
        match (section, &volume) {
            ("Back up", Some(volume)) => volume.add_events(cluster)?,
            ("Restore", Some(volume)) => volume.check_restored(cluster)?,
            _ => {}
        }
        if (page, section) == BEFORE_RUNBOOKS {
            run_runbooks(cluster)?;
        }
    }
    for namespace in ["desks", NAMESPACE] {
        cluster.kubectl(&["delete", "namespace", namespace, "--timeout=60s"])?;
    }
    cluster.kubectl(&["delete", "-f", &monitors, "--timeout=60s"])?;
    Ok(())
}

/// Runs the commands of the runbooks, which are for this namespace and release.
fn run_runbooks(cluster: &Cluster) -> anyhow::Result<()> {
    let folder = cluster.root.join("docs/runbooks");
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        for command in all_commands(&text) {
            let result = execute(cluster, &command);
            let may_fail = MAY_FIND_NOTHING.iter().any(|word| command.contains(word));
            if !may_fail {
                result.with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(())
}

/// Returns all commands of a page's console blocks, without the prompt.
fn all_commands(text: &str) -> Vec<String> {
    let blocks = text.split("```console\n").skip(1).filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ "));
    lines.map(ToOwned::to_owned).collect()
}

/// Returns the commands of one section's console blocks, without the prompt. A line that is only a
/// comment is a manual step.
fn commands(text: &str, section: &str) -> Vec<String> {
    let (mut in_section, mut in_console, mut found) = (false, false, Vec::new());
    for line in text.lines() {
        if line.starts_with("```") {
            in_console = line == "```console";
        } else if !in_console && line.starts_with('#') {
            in_section = line.trim_start_matches('#').trim() == section;
        } else if in_section && in_console {
            found.extend(line.strip_prefix("$ ").map(str::to_owned));
        }
    }
    found
}

/// Runs one command in a shell, as a reader would.
fn execute(cluster: &Cluster, command: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let tools = [cluster.root.join("target/tools/bin"), cluster.plugins()?];
    let tools = tools.map(|dir| dir.display().to_string()).join(":");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", &with_image(cluster, command)?])
        .env("PATH", format!("{tools}:{path}"))
        .current_dir(&cluster.root)
        .output()?;
    if !output.status.success() {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        bail!("`{command}`: {}{}", text(&output.stdout), text(&output.stderr));
    }
    println!("   $ {command}  ({:.1} s)", began.elapsed().as_secs_f32());
    Ok(())
}

/// Adds the image under test to a command that installs or upgrades the chart.
fn with_image(cluster: &Cluster, command: &str) -> anyhow::Result<String> {
    let mut command = command.to_owned();
    if command.starts_with("helm ") && command.contains(CHART) {
        let (repository, tag) = cluster.image().rsplit_once(':').context("the image's tag")?;
        let image = format!(" --set image.repository={repository} --set-string image.tag={tag}");
        command.push_str(&image);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_one_section() {
        let text = "# A\n```console\n$ one # why\n$ # by hand\noutput\n$ two\n```\n## B\n\
                    ```yaml\n$ no\n```\n```console\n$ three\n```\n";
        assert_eq!(commands(text, "A"), ["one # why", "# by hand", "two"]);
        assert_eq!(commands(text, "B"), ["three"]);
        assert!(commands(text, "C").is_empty());
    }

    /// Pages for buyers, sellers and contributors; `crates/orderstream/tests/pages.rs` runs their
    /// commands, or says where they run.
    const OF_ORDERS: [&str; 8] =
        ["cli", "mongodb", "mutants", "notifications", "sellers", "tenders", "testing", "tutorial"];

    /// The number of commands of a page that a run tries.
    fn count_run(page: &str, text: &str) -> usize {
        let run = SECTIONS.iter().filter(|(of, _)| *of == page);
        run.map(|(_, section)| commands(text, section).len()).sum()
    }

    /// Each command is run by a section of [`SECTIONS`], except those of pages that do not concern
    /// an installation.
    #[test]
    fn every_command_of_pages_is_run() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for entry in fs::read_dir(docs).unwrap() {
            let path = entry.unwrap().path();
            let page = path.file_stem().unwrap().to_string_lossy().into_owned();
            let of_operators = !OF_ORDERS.contains(&page.as_str());
            if path.extension().is_none_or(|kind| kind != "md") || !of_operators {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let (run, all) = (count_run(&page, &text), all_commands(&text).len());
            assert_eq!(run, all, "docs/{page}.md has commands that no run tries");
        }
    }

    /// The other commands of the tutorial are for a laptop.
    #[test]
    fn the_tutorials_cluster_commands_are_run() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tutorial.md");
        let text = fs::read_to_string(path).unwrap();
        let is_of_cluster = |command: &&String| {
            ["helm ", "kubectl "].iter().any(|begin| command.starts_with(begin))
                || command.contains(" --cluster -n ")
        };
        let all = all_commands(&text);
        assert_eq!(count_run("tutorial", &text), all.iter().filter(is_of_cluster).count());
    }
}
