//! Tests of the dashboards, the alerts and their pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the names of metrics in an expression: words outside selectors and string literals that
/// are not functions, keywords or labels.
fn names(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut word, mut is_quoted, mut depth) = (String::new(), false, 0_u32);
    for c in expression.chars().chain([' ']) {
        if c == '"' {
            is_quoted = !is_quoted;
        }
        match c {
            _ if is_quoted => {}
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if !is_quoted && depth == 0 && (c.is_ascii_alphanumeric() || c == '_') {
            word.push(c);
            continue;
        }
        let is_metric =
            ["orderstream_", "grpc_", "http_", "process_", "rest_client_", "workqueue_"]
                .iter()
                .chain(&["controller_runtime_", "leader_election_"])
                .any(|prefix| word.starts_with(prefix));
        if is_metric && !["grpc_method", "grpc_code", "grpc_type"].contains(&word.as_str()) {
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end));
            names.insert(base.unwrap_or(&word).to_owned());
        }
        word.clear();
    }
    names
}

#[test]
fn expressions_give_their_metric_names() {
    let found = names(
        r#"histogram_quantile(0.5, sum by (le, grpc_method) (rate(grpc_a_seconds_bucket{grpc_code="orderstream_no"}[1m]))) > orderstream_b"#,
    );
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["grpc_a_seconds", "orderstream_b"]);
}

/// Reads the alerts, by name.
fn alerts() -> BTreeMap<String, Value> {
    let rules: Value =
        serde_saphyr::from_str(&read("deploy/alerts/orderstream.rules.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule.clone())).collect()
}

/// The metrics of every panel and every alert are checked.
#[test]
fn used_metrics_are_in_the_reference() {
    let reference = read("docs/reference/metrics.md");
    let rules = alerts();
    let of_rules =
        rules.iter().map(|(name, rule)| (name.clone(), rule["expr"].as_str().unwrap().to_owned()));
    for (label, expression) in expressions().into_iter().chain(of_rules) {
        let names = names(&expression);
        assert!(!names.is_empty() || expression.contains("up{"), "{label}: {expression}");
        for name in names {
            assert!(reference.contains(&format!("| `{name}` |")), "{label}: {name}");
        }
    }
}

/// The only exceptions are the metrics of the build.
#[test]
fn own_metrics_are_shown_or_alerted() {
    let mut used = BTreeSet::new();
    for (_, expression) in expressions() {
        used.extend(names(&expression));
    }
    for rule in alerts().values() {
        used.extend(names(rule["expr"].as_str().unwrap()));
    }
    let reference = read("docs/reference/metrics.md");
    let ours = reference.lines().filter_map(|line| line.strip_prefix("| `orderstream_"));
    let unused: Vec<_> = ours
        .filter_map(|line| line.split('`').next())
        .map(|name| format!("orderstream_{name}"))
        .filter(|name| !used.contains(name) && name != "orderstream_build_info")
        .collect();
    assert_eq!(unused, [""; 0]);
}

/// Each panel has a title, a description, a unit and legends, and does not overlap with others in
/// the grid.
#[test]
fn panels_are_described_and_disjoint() {
    let mut uids = BTreeSet::new();
    for (name, text) in files() {
        let board: Value = serde_json::from_str(&text).unwrap();
        assert!(uids.insert(board["uid"].as_str().unwrap().to_owned()), "{name}");
        let mut occupied = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()));
            let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name}: {panel}");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(occupied.insert((x, y)), "{name}: {} lies on another", panel["title"]);
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            let is_text = |value: &Value| value.as_str().is_some_and(|text| text.len() > 1);
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            assert!(is_text(&panel["title"]) && is_text(&panel["description"]), "{name}: {panel}");
            assert!(unit.as_str().is_some_and(|unit| !unit.is_empty()), "{name}: {panel}");
            for target in panel["targets"].as_array().unwrap() {
                assert!(is_text(&target["legendFormat"]) && is_text(&target["expr"]), "{target}");
            }
        }
    }
    assert_eq!(uids.len(), 5);
}

/// Each alert has a test in which it fires and one in which it does not; every runbook has an
/// alert.
#[test]
fn alerts_have_texts_runbooks_and_tests() {
    let alerts = alerts();
    assert!(alerts.len() >= 12);
    let mut tests = String::new();
    for entry in std::fs::read_dir(root().join("deploy/alerts/tests")).unwrap() {
        tests.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let index = read("docs/runbooks/README.md");
    for (name, rule) in &alerts {
        for annotation in ["summary", "description"] {
            assert!(
                rule["annotations"][annotation].as_str().is_some_and(|t| t.len() > 10),
                "{name}"
            );
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}");
        let url = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert!(url.ends_with(&format!("/docs/runbooks/{name}.md")), "{name}: {url}");
        let page = read(&format!("docs/runbooks/{name}.md"));
        assert!(page.starts_with(&format!("# {name}\n")) && index.contains(&format!("{name}.md")));
        for kind in ["fires", "silent"] {
            assert!(
                tests.contains(&format!("# {kind}: {name}\n")),
                "{name}: no test that is {kind}"
            );
        }
    }
    for entry in std::fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let alert = name.trim_end_matches(".md");
        assert!(alert == "README" || alerts.contains_key(alert), "{name} belongs to no alert");
    }
}
