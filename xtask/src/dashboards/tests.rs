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

/// The metrics of Prometheus itself and of kube-state-metrics.
const OTHERS: [&str; 3] = ["up", "ALERTS", "kube_job_failed"];

/// Returns the metrics in an expression, with their suffixes and repetitions: words outside
/// selectors and string literals that are not functions, keywords or labels.
fn metrics(expression: &str) -> Vec<String> {
    let mut metrics = Vec::new();
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
        let is_label = ["grpc_method", "grpc_code", "grpc_type"].contains(&word.as_str());
        if OTHERS.contains(&word.as_str()) || (is_metric && !is_label) {
            metrics.push(word.clone());
        }
        word.clear();
    }
    metrics
}

/// Returns the names of Orderstream's metrics in an expression, without suffixes.
fn names(expression: &str) -> BTreeSet<String> {
    let metrics = metrics(expression).into_iter();
    let own = metrics.filter(|metric| !OTHERS.contains(&metric.as_str()));
    own.map(|metric| {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| metric.strip_suffix(end));
        base.map(str::to_owned).unwrap_or(metric)
    })
    .collect()
}

/// Returns the metrics in an expression that other programs export under the same names.
fn shared(expression: &str) -> Vec<String> {
    let metrics = metrics(expression).into_iter();
    metrics.filter(|metric| !metric.starts_with("orderstream_")).collect()
}

/// Returns every expression of a dashboard, as Grafana reads it.
fn raw_expressions(text: &str) -> Vec<String> {
    let board: Value = serde_json::from_str(text).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
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
        assert!(!metrics(&expression).is_empty(), "{label}: {expression}");
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
    assert_eq!(uids.len(), 6);
}

/// Other programs export some names as well: each is joined on the processes of Orderstream, and
/// has a series of another program in the tests.
#[test]
fn alerts_match_no_other_program() {
    let foreign = read("deploy/alerts/tests/foreign.yaml");
    for (name, rule) in alerts() {
        let expression = rule["expr"].as_str().unwrap();
        let shared = shared(expression);
        for metric in &shared {
            assert!(foreign.contains(&format!("'{metric}{{")), "{name}: {metric}");
        }
        let joins = ["and on (namespace, job, pod)", "and on (namespace, job_name)"];
        let joins: usize = joins.iter().map(|join| expression.matches(join).count()).sum();
        assert_eq!(joins, shared.len(), "{name}: {expression}");
        assert!(shared.is_empty() || expression.contains("orderstream_"), "{name}");
    }
}

/// A selector has the values of the variables, which are those of Orderstream's processes.
#[test]
fn panels_match_no_other_program() {
    for (board, text) in files() {
        for expression in raw_expressions(&text) {
            let mut rest = expression.as_str();
            for metric in metrics(&expression) {
                let (_, after) = rest.split_once(&format!("{metric}{{")).unwrap();
                let (selector, _) = after.split_once('}').unwrap();
                let needed: &[&str] = match metric.as_str() {
                    "ALERTS" => &["alertstate=", "alertname=~", "$namespace"],
                    own if own.starts_with("orderstream_") => &["$namespace", "$job"],
                    _ => &["$namespace", "$job", "$pod"],
                };
                for word in needed {
                    assert!(selector.contains(word), "{board}: {metric}: {expression}");
                }
                rest = after;
            }
        }
    }
}

#[test]
fn dashboards_offer_the_variables_they_use() {
    for (board, text) in files() {
        let expressions = raw_expressions(&text).concat();
        let json: Value = serde_json::from_str(&text).unwrap();
        let list = json["templating"]["list"].as_array().unwrap().iter();
        let offered: Vec<_> = list.map(|variable| variable["name"].as_str().unwrap()).collect();
        for (variable, _) in VARIABLES {
            let is_used = expressions.contains(&format!("${variable}"));
            assert_eq!(offered.contains(&variable), is_used, "{board}: {variable}");
        }
        assert!(!text.contains("allValue"), "{board}: another program is matched by all");
    }
}

#[test]
fn heat_maps_show_the_buckets_of_histograms() {
    let mut found = 0;
    for (board, text) in files() {
        let json: Value = serde_json::from_str(&text).unwrap();
        let panels = json["panels"].as_array().unwrap().iter();
        for panel in panels.filter(|panel| panel["type"] == "heatmap") {
            let target = &panel["targets"][0];
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.starts_with("sum by (le) (increase("), "{board}: {expression}");
            assert!(expression.contains("_bucket{"), "{board}: {expression}");
            assert_eq!(target["format"], "heatmap", "{board}: {expression}");
            found += 1;
        }
    }
    assert!(found >= 8, "{found} heat maps");
}

/// Returns the titles of all panels, by the path of their link.
fn panel_links() -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    for (_, text) in files() {
        let board: Value = serde_json::from_str(&text).unwrap();
        let title = |value: &Value| value["title"].as_str().unwrap().to_owned();
        for panel in board["panels"].as_array().unwrap() {
            let uid = board["uid"].as_str().unwrap();
            let link = format!("/d/{uid}?viewPanel={}&", panel["id"]);
            links.insert(link, format!("[{}, {}]", title(&board), title(panel)));
        }
    }
    links
}

/// A runbook has its alert's expression, and a link to a panel under the panel's title.
#[test]
fn runbooks_have_expressions_and_panels() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let links = panel_links();
    for (name, rule) in alerts() {
        let page = read(&format!("docs/runbooks/{name}.md"));
        let expression = words(rule["expr"].as_str().unwrap());
        assert!(
            words(&page).contains(&format!("```promql {expression} ```")),
            "{name}: no expression"
        );
        let is_linked =
            links.iter().any(|(link, title)| page.contains(link) && page.contains(title));
        assert!(is_linked, "{name}: no panel");
        assert!(page.contains("\n## Threshold\n"), "{name}: no threshold");
        let has_placeholder = page
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == "NS" || word == "POD");
        assert!(!has_placeholder, "{name}: a command is not filled");
    }
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
        for annotation in ["summary", "description", "diagnosis"] {
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
