//! The commands of the README and the docs: each is run as a reader pastes it, and prints what its
//! page shows. `UPDATE=1` writes what was printed into the pages.

mod block;
mod output;
mod shell;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use self::block::PageCommand;
use self::shell::{Shell, ShellOutcome};
use crate::process::{root, run};

/// The pages that are run here.
const PAGES: [&str; 6] = [
    "README.md",
    "docs/cli.md",
    "docs/notifications.md",
    "docs/sellers.md",
    "docs/tenders.md",
    "docs/tutorial.md",
];

/// The pages with commands that run elsewhere, each with the place.
const RUN_BY_OTHERS: [(&str, &str); 14] = [
    ("CONTRIBUTING.md", "they are the tests"),
    ("deploy/helm/orderstream/README.md", "as on docs/install.md"),
    ("docs/backup.md", "cargo xtask e2e"),
    ("docs/checks.md", "cargo xtask e2e"),
    ("docs/install.md", "cargo xtask e2e"),
    ("docs/mongodb.md", "crates/orderstream/tests/mongo.rs, with a server of its own"),
    ("docs/monitoring.md", "cargo xtask e2e"),
    ("docs/mutants.md", "they take a night"),
    ("docs/rbac.md", "cargo xtask e2e"),
    ("docs/release.md", "cargo xtask release --dry-run"),
    ("docs/runbooks", "cargo xtask e2e"),
    ("docs/scale.md", "cargo xtask e2e"),
    ("docs/testing.md", "they are the tests"),
    ("examples/python/README.md", "crates/orderstream/tests/python.rs"),
];

/// The begins of commands on these pages that run elsewhere: those on a cluster in `cargo xtask
/// e2e`, and those that build or get the checkout.
const SKIPPED: [&str; 8] = [
    "cargo build ",
    "cargo xtask ",
    "helm ",
    "k3d ",
    "kind ",
    "kubectl ",
    "python3 examples/python/build.py",
    "target/python/",
];

/// Follows a page, and reports every command that does something else than the page shows.
fn follow(page: &str, shell: &mut Shell, skipped: &[&str]) {
    let path = root().join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (mut faults, mut printed) = (Vec::new(), Vec::new());
    for command in block::commands(&lines) {
        let is_skipped = skipped.iter().any(|begin| command.text.starts_with(begin));
        if is_skipped || command.text.contains(" --cluster ") {
            continue;
        }
        let expected = command.expected(&lines);
        let (fault, output) = match shell.follow(&command.text, expected) {
            ShellOutcome::AsShown => continue,
            ShellOutcome::Other(output) => ("printed", output),
            ShellOutcome::Failed(output) => ("failed", output),
        };
        let PageCommand { line, text, .. } = &command;
        let expected = expected.join("\n");
        faults.push(format!(
            "{page}:{line}: $ {text}\n--- the page shows\n{expected}\n--- it {fault}\n{output}"
        ));
        printed.push((command, output));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, updated(&lines, &printed)).unwrap();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Returns a page in which commands show what they printed. A command without output in the page
/// stays as it is, and so does one that is interrupted, or runs on.
fn updated(page: &[&str], printed: &[(PageCommand, String)]) -> String {
    let mut lines: Vec<String> = page.iter().map(|line| (*line).to_owned()).collect();
    for (command, output) in printed.iter().rev() {
        let expected = command.expected(page);
        let runs_on = command.text.contains(" dev ") || expected.contains(&block::CTRL_C);
        if !expected.is_empty() && !runs_on {
            let output = output.trim_end().lines().map(ToOwned::to_owned);
            drop(lines.splice(command.output.clone(), output));
        }
    }
    format!("{}\n", lines.join("\n"))
}

/// Started again after an award, it goes on where it stopped.
#[test]
fn the_readme_prints_what_it_shows_and_runs_again() {
    let mut shell = Shell::open();
    follow("README.md", &mut shell, &SKIPPED);
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let lines: Vec<&str> = page.lines().collect();
    let mut commands = block::commands(&lines).into_iter();
    let dev = commands.find(|command| command.text.contains(" dev ")).unwrap().text;
    let steps: [(&str, &[&str]); 3] = [
        ("orderstream award office-chairs moebel-augsburg", &[]),
        (&dev, &["orderrequest/office-chairs unchanged"]),
        (
            "orderstream wait office-chairs --for phase=Finalised",
            &["orderrequest/office-chairs phase=Finalised"],
        ),
    ];
    for (text, expected) in steps {
        assert_eq!(shell.follow(text, expected), ShellOutcome::AsShown, "{text}");
    }
}

#[test]
fn the_tutorial_prints_what_it_shows() {
    follow("docs/tutorial.md", &mut Shell::open(), &SKIPPED);
}

#[test]
fn the_guide_of_sellers_prints_what_it_shows() {
    follow("docs/sellers.md", &mut Shell::open(), &SKIPPED);
}

#[test]
fn the_page_of_commands_prints_what_it_shows() {
    follow("docs/cli.md", &mut Shell::open(), &SKIPPED);
}

#[test]
fn commands_about_notifications_run() {
    follow("docs/notifications.md", &mut Shell::with_dev(), &SKIPPED);
}

#[test]
fn kubectl_runs_the_tender_of_its_page() {
    let Some(mut shell) = Shell::with_cluster() else { return };
    // Its tender is open for a week.
    follow("docs/tenders.md", &mut shell, &["kubectl wait oreq/desks "]);
}

#[test]
fn gitops_examples_name_what_is_there() {
    for (file, kinds) in [
        ("deploy/argocd/orderstream.yaml", &["Application"][..]),
        ("deploy/argocd/orders.yaml", &["Application"][..]),
        ("deploy/flux/orderstream.yaml", &["GitRepository", "HelmRelease"][..]),
        ("deploy/flux/orders.yaml", &["GitRepository", "Kustomization"][..]),
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let documents =
            text.split("\n---\n").map(|it| serde_saphyr::from_str::<Value>(it).unwrap());
        let documents: Vec<Value> = documents.collect();
        let found: Vec<&str> = documents.iter().map(|it| it["kind"].as_str().unwrap()).collect();
        assert_eq!(found, kinds, "{file}");
        for pointer in ["/spec/source/path", "/spec/chart/spec/chart"] {
            let paths = documents.iter().filter_map(|it| it.pointer(pointer)?.as_str());
            for path in paths.filter(|path| path.starts_with("deploy/")) {
                assert!(root().join(path).join("Chart.yaml").exists(), "{file}: {path}");
            }
        }
    }
    let page = std::fs::read_to_string(root().join("docs/gitops.md")).unwrap();
    let (_, manifest) = page.split_once("```yaml\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("desks.yaml");
    std::fs::write(&file, manifest.split("```").next().unwrap()).unwrap();
    let linted = run(&["lint", file.to_str().unwrap()]);
    assert!(linted.status.success(), "{linted:?}");
}

#[test]
fn every_page_with_commands_is_run() {
    let mut pages = BTreeSet::new();
    for start in ["README.md", "CONTRIBUTING.md", "docs", "examples", "deploy"] {
        add_pages(start, &mut pages);
    }
    let runbooks = "docs/runbooks/";
    let found: BTreeSet<&str> = pages
        .iter()
        .map(|page| {
            if page.starts_with(runbooks) { runbooks.trim_end_matches('/') } else { page.as_str() }
        })
        .collect();
    let by_others = RUN_BY_OTHERS.into_iter().map(|(page, _)| page);
    let known: BTreeSet<&str> = PAGES.into_iter().chain(by_others).collect();
    assert_eq!(found, known, "a page with commands is not run, or has none any more");
}

/// Adds the pages with commands at or below a path; the pages of the reference are made from code.
fn add_pages(path: &str, pages: &mut BTreeSet<String>) {
    let full = root().join(path);
    if full.is_dir() {
        let entries = std::fs::read_dir(full).unwrap();
        for entry in entries {
            let below = format!("{path}/{}", entry.unwrap().file_name().to_str().unwrap());
            if below != "docs/reference" {
                add_pages(&below, pages);
            }
        }
    } else if Path::new(path).extension().is_some_and(|kind| kind == "md") {
        let text = std::fs::read_to_string(full).unwrap();
        if !block::commands(&text.lines().collect::<Vec<_>>()).is_empty() {
            pages.insert(path.to_owned());
        }
    }
}

#[test]
fn updated_pages_show_what_was_printed() {
    let page = ["```console", "$ a", "old", "$ b", "$ c", "x", "^C", "```", "end"];
    let commands = block::commands(&page);
    let printed: Vec<_> =
        commands.into_iter().map(|command| (command, "new 1\nnew 2\n".to_owned())).collect();
    let expected = "```console\n$ a\nnew 1\nnew 2\n$ b\n$ c\nx\n^C\n```\nend\n";
    assert_eq!(updated(&page, &printed), expected);
}
