//! The Grafana dashboards as code: their panels and their JSON.

mod boards;
mod panel;

use serde_json::{Value, json};

use self::panel::Panel;

/// The tag that links the dashboards to each other.
const TAG: &str = "orderstream";
/// The variables, as label and title. Each has the values of the processes of Orderstream alone.
const VARIABLES: [(&str, &str); 3] = [("namespace", "Namespace"), ("job", "Job"), ("pod", "Pod")];

/// A dashboard: rows of panels.
#[derive(Clone, Debug)]
struct Board {
    /// A part of the file's name and of the stable uid.
    name: &'static str,
    title: &'static str,
    description: &'static str,
    rows: Vec<(&'static str, Vec<Panel>)>,
}

/// Returns each dashboard's file name and text.
pub(crate) fn files() -> Vec<(String, String)> {
    let file = |board: &Board| {
        let text = serde_json::to_string_pretty(&json(board)).unwrap_or_default();
        (format!("orderstream-{}.json", board.name), format!("{text}\n"))
    };
    boards::all().iter().map(file).collect()
}

/// Returns every expression of every panel with its dashboard and panel, and with all variables
/// replaced, for a Prometheus that scrapes a single installation.
pub(crate) fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for board in boards::all() {
        for panel in board.rows.iter().flat_map(|(_, panels)| panels) {
            for query in &panel.queries {
                let label = format!("{} / {}", board.title, panel.title);
                let expression = query
                    .expression
                    .replace("$namespace", ".*")
                    .replace("$job", ".*")
                    .replace("$pod", ".*")
                    .replace("$__rate_interval", "1m")
                    .replace("$__range", "5m");
                all.push((label, expression));
            }
        }
    }
    all
}

fn json(board: &Board) -> Value {
    json!({
        "uid": format!("orderstream-{}", board.name),
        "title": board.title,
        "description": board.description,
        "tags": [TAG],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables(board)},
        "annotations": {"list": [leader_changes()]},
        "links": [{
            "type": "dashboards", "tags": [TAG], "title": "Orderstream", "asDropdown": true,
            "includeVars": true, "keepTime": true, "icon": "external link", "targetBlank": false,
        }],
        "panels": panels(board),
    })
}

/// Lays out the rows one below the other, and the panels of a row from left to right; a panel that
/// does not fit begins a new line.
fn panels(board: &Board) -> Vec<Value> {
    let mut placed = Vec::new();
    let (mut id, mut y) = (0_u32, 0_u32);
    for (title, panels) in &board.rows {
        id += 1;
        placed.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for panel in panels {
            let (width, tall) = panel.shape.size();
            if x + width > 24 {
                (x, y, height) = (0, y + height, 0);
            }
            id += 1;
            placed.push(panel.json(id, x, y));
            x += width;
            height = height.max(tall);
        }
        y += height;
    }
    placed
}

fn datasource() -> Value {
    json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
        "current": {}, "hide": 0, "refresh": 1,
    })
}

/// Creates the variables that a panel of the dashboard uses, or the query of another variable.
fn variables(board: &Board) -> Vec<Value> {
    let panels = board.rows.iter().flat_map(|(_, panels)| panels);
    let queries: Vec<_> = panels.flat_map(|panel| &panel.queries).collect();
    let is_used =
        |label: &str| queries.iter().any(|query| query.expression.contains(&format!("${label}")));
    let used = VARIABLES.into_iter().filter(|(label, _)| is_used(label));
    std::iter::once(datasource()).chain(used.map(|(label, title)| variable(label, title))).collect()
}

/// Creates a variable: a choice among the values of a label. All of them are listed when all are
/// chosen, so that no other program is matched.
fn variable(label: &str, title: &str) -> Value {
    let of = match label {
        "pod" => "{namespace=~\"$namespace\",job=~\"$job\"}",
        "job" => "{namespace=~\"$namespace\"}",
        _ => "",
    };
    let query = format!("label_values(orderstream_build_info{of}, {label})");
    json!({
        "name": label, "label": title, "type": "query", "definition": query,
        "query": {"query": query, "refId": label},
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "includeAll": true, "multi": true, "refresh": 2, "sort": 1,
        "current": {"text": "All", "value": "$__all"}, "hide": 0,
    })
}

fn leader_changes() -> Value {
    json!({
        "name": "Leader changes", "enable": true, "iconColor": "orange",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "expr": "changes(leader_election_master_status{namespace=~\"$namespace\",job=~\"$job\"}[1m]) > 0 and on (namespace, job, pod) orderstream_build_info",
        "titleFormat": "Leader changed", "textFormat": "{{pod}}", "step": "60s",
    })
}

#[cfg(test)]
#[path = "dashboards/tests.rs"]
mod tests;
