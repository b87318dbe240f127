//! One panel and its JSON.

use serde_json::{Value, json};

/// The type and size of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PanelShape {
    /// One number.
    Stat,
    /// Time series, half a row wide.
    Curves,
    /// Time series, a third of a row wide.
    Narrow,
    /// The buckets of a histogram over time, half a row wide.
    Heatmap,
}

impl PanelShape {
    /// Returns the width and height in the grid of 24 columns.
    pub(super) const fn size(self) -> (u32, u32) {
        match self {
            Self::Stat => (4, 4),
            Self::Curves | Self::Heatmap => (12, 8),
            Self::Narrow => (8, 8),
        }
    }

    /// Returns Grafana's name of the panel's type.
    const fn kind(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Curves | Self::Narrow => "timeseries",
            Self::Heatmap => "heatmap",
        }
    }
}

/// An expression and the legend of its series.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) expression: String,
    pub(super) legend: &'static str,
}

/// One panel of a dashboard.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// Grafana's name for the unit.
    pub(super) unit: &'static str,
    pub(super) shape: PanelShape,
    pub(super) queries: Vec<Query>,
    /// The threshold from which the value is red; absent if there is none.
    pub(super) bad_from: Option<f64>,
}

/// Creates a panel with one number.
pub(super) fn stat(
    title: &'static str,
    unit: &'static str,
    expression: &str,
    description: &'static str,
) -> Panel {
    let queries = vec![Query { expression: expression.to_owned(), legend: title }];
    Panel { title, description, unit, shape: PanelShape::Stat, queries, bad_from: None }
}

/// Creates a panel of time series.
pub(super) fn curves(
    title: &'static str,
    unit: &'static str,
    queries: &[(&str, &'static str)],
    description: &'static str,
) -> Panel {
    let query = |(expression, legend): &(&str, &'static str)| Query {
        expression: (*expression).to_owned(),
        legend,
    };
    let queries = queries.iter().map(query).collect();
    Panel { title, description, unit, shape: PanelShape::Curves, queries, bad_from: None }
}

/// Creates a panel with the median and the 99th percentile of a histogram.
pub(super) fn quantiles(
    title: &'static str,
    histogram: &str,
    labels: &str,
    description: &'static str,
) -> Panel {
    let quantile = |of: &str, legend| Query {
        expression: format!(
            "histogram_quantile({of}, sum by (le) (rate({histogram}_bucket{{{labels}}}[$__rate_interval])))"
        ),
        legend,
    };
    let queries = vec![quantile("0.5", "p50"), quantile("0.99", "p99")];
    Panel { title, description, unit: "s", shape: PanelShape::Curves, queries, bad_from: None }
}

/// Creates a panel with the distribution of a histogram in seconds.
pub(super) fn heatmap(
    title: &'static str,
    histogram: &str,
    labels: &str,
    description: &'static str,
) -> Panel {
    let expression =
        format!("sum by (le) (increase({histogram}_bucket{{{labels}}}[$__rate_interval]))");
    let queries = vec![Query { expression, legend: "{{le}}" }];
    Panel { title, description, unit: "s", shape: PanelShape::Heatmap, queries, bad_from: None }
}

impl Panel {
    /// Makes the panel a third of a row wide.
    pub(super) fn narrow(self) -> Self {
        Self { shape: PanelShape::Narrow, ..self }
    }

    /// Sets the threshold from which the value is red.
    pub(super) fn bad_from(self, threshold: f64) -> Self {
        Self { bad_from: Some(threshold), ..self }
    }

    /// Returns the panel's JSON for Grafana, at this place of the grid.
    pub(super) fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let (width, height) = self.shape.size();
        let datasource = json!({"type": "prometheus", "uid": "${datasource}"});
        let target = |(index, query): (usize, &Query)| {
            let id = char::from(b'A' + u8::try_from(index).unwrap_or_default());
            json!({
                "refId": id.to_string(), "datasource": datasource, "expr": query.expression,
                "legendFormat": query.legend, "editorMode": "code", "range": true,
                "instant": self.shape == PanelShape::Stat,
                "format": if self.shape == PanelShape::Heatmap { "heatmap" } else { "time_series" },
            })
        };
        let targets: Vec<_> = self.queries.iter().enumerate().map(target).collect();
        let mut steps = vec![json!({"color": "green", "value": null})];
        if let Some(bad) = self.bad_from {
            steps.push(json!({"color": "red", "value": bad}));
        }
        json!({
            "id": id,
            "type": self.shape.kind(),
            "title": self.title,
            "description": self.description,
            "datasource": datasource,
            "gridPos": {"h": height, "w": width, "x": x, "y": y},
            "fieldConfig": {
                "defaults": {
                    // The unit of a heat map is that of its axis; a cell is a count.
                    "unit": if self.shape == PanelShape::Heatmap { "short" } else { self.unit },
                    "min": 0,
                    "thresholds": {"mode": "absolute", "steps": steps},
                    "custom": {"fillOpacity": 10, "showPoints": "never", "lineWidth": 1},
                },
                "overrides": [],
            },
            "options": self.options(),
            "targets": targets,
        })
    }

    fn options(&self) -> Value {
        match self.shape {
            PanelShape::Stat => json!({
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                "colorMode": if self.bad_from.is_some() { "value" } else { "none" },
                "graphMode": "area",
            }),
            PanelShape::Heatmap => json!({
                "calculate": false,
                "yAxis": {"unit": self.unit, "axisPlacement": "left"},
                "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                "filterValues": {"le": 1e-9},
                "tooltip": {"mode": "single", "yHistogram": true},
                "legend": {"show": true},
            }),
            PanelShape::Curves | PanelShape::Narrow => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
        }
    }
}
