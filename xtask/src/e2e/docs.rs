//! Runs the commands of the operators' pages, unchanged, on a cluster without an installation: from
//! `helm install` to the deletion of the custom resource definitions.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use super::backup;
use super::cluster::Cluster;

/// The namespace that the pages use.
pub(super) const NAMESPACE: &str = "orders";
/// The chart's names on the pages: its published URL, and the short form.
const CHART: [&str; 2] = ["oci://ghcr.io/orderstream/charts/orderstream", "…"];

/// The sections with commands, as page and heading, in the order of an installation's lifetime.
const SECTIONS: [(&str, &str); 11] = [
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
    }
    for namespace in ["desks", NAMESPACE] {
        cluster.kubectl(&["delete", "namespace", namespace, "--timeout=60s"])?;
    }
    Ok(())
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
        .args(["-c", &with_local_chart(cluster, command)?])
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

/// Replaces the published chart in a command with the checkout's, with the image under test.
fn with_local_chart(cluster: &Cluster, command: &str) -> anyhow::Result<String> {
    let chart = "deploy/helm/orderstream";
    let [published, short] = CHART;
    // The short form leaves out the namespace too.
    let short_for =
        if command.contains(" -n ") { chart.to_owned() } else { format!("{chart} -n {NAMESPACE}") };
    let mut command = command.replace(published, chart).replace(short, &short_for);
    if command.contains(chart) {
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

    /// Pages that do not concern an installation; their commands are tested elsewhere.
    const OF_ORDERS: [&str; 5] = ["cli", "mutants", "notifications", "tenders", "testing"];

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
            let run = SECTIONS.iter().filter(|(of, _)| *of == page);
            let run: usize = run.map(|(_, section)| commands(&text, section).len()).sum();
            let blocks = text.split("```console\n").skip(1);
            let all = blocks.filter_map(|block| block.split("```").next()).flat_map(str::lines);
            let all = all.filter(|line| line.starts_with("$ ")).count();
            assert_eq!(run, all, "docs/{page}.md has commands that no run tries");
        }
    }
}
