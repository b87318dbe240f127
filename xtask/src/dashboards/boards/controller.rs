//! The dashboard of the operator.

use super::super::Board;
use super::super::panel::{Panel, curves, heatmap, quantiles, stat};

pub(super) fn board() -> Board {
    Board {
        name: "controller",
        title: "Orderstream / Controller",
        description: "The operator: reconciliations, statuses, leader, and its requests to the API server.",
        rows: vec![("Now", now()), ("Work", work()), ("API server", api_server())],
    }
}

fn now() -> Vec<Panel> {
    vec![
        stat(
            "Leaders",
            "short",
            r#"sum(leader_election_master_status{namespace=~"$namespace",job=~"$job",pod=~"$pod"})"#,
            "Controllers that lead: one for each installation.",
        ),
        stat(
            "Fail-over time",
            "s",
            r#"max(orderstream_failover_seconds_sum{namespace=~"$namespace",job=~"$job"} / orderstream_failover_seconds_count{namespace=~"$namespace",job=~"$job"})"#,
            "Time from the last observed renewal of a former leader to a new lead, on average.",
        )
        .bad_from(20.0),
        stat(
            "Order requests",
            "short",
            r#"max(orderstream_order_requests{namespace=~"$namespace",job=~"$job"})"#,
            "Resources in the cache.",
        ),
        stat(
            "Waiting statuses",
            "short",
            r#"sum(orderstream_status_writes_waiting{namespace=~"$namespace",job=~"$job"})"#,
            "Statuses that are still to be written.",
        )
        .bad_from(100.0),
        stat(
            "Status write limit",
            "wps",
            r#"max(orderstream_status_writes_per_second_limit{namespace=~"$namespace",job=~"$job"})"#,
            "Statuses that may be written a second; it halves when the API server says 429.",
        ),
    ]
}

fn work() -> Vec<Panel> {
    vec![
        curves(
            "Reconciliations",
            "ops",
            &[(
                r#"sum by (result) (rate(controller_runtime_reconcile_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{result}}",
            )],
            "Reconciliations a second, by result.",
        ),
        quantiles(
            "Reconcile duration",
            "controller_runtime_reconcile_time_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "A reconciliation awaits nothing; it takes far less than a millisecond.",
        )
        .bad_from(0.01),
        heatmap(
            "Time in the queue: distribution",
            "workqueue_queue_duration_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "Resources by the time from queueing to reconciliation.",
        ),
        curves(
            "Queue",
            "short",
            &[(r#"workqueue_depth{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#, "{{pod}}")],
            "Resources in the queue.",
        )
        .narrow(),
        quantiles(
            "Time in the queue",
            "workqueue_queue_duration_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "From queueing a resource to its reconciliation.",
        )
        .narrow(),
        curves(
            "Retries",
            "ops",
            &[(
                r#"sum(rate(workqueue_retries_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "retries",
            )],
            "Reconciliations that failed and are retried, a second.",
        )
        .narrow(),
    ]
}

fn api_server() -> Vec<Panel> {
    vec![
        curves(
            "Status writes",
            "wps",
            &[(
                r#"sum by (band, result) (rate(orderstream_status_writes_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{band}}, {{result}}",
            )],
            "Statuses written a second, by urgency and result.",
        )
        .narrow(),
        curves(
            "Requests to the API server",
            "reqps",
            &[(
                r#"sum by (method, code) (rate(rest_client_requests_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{method}} {{code}}",
            )],
            "Requests a second, by method and status.",
        )
        .narrow(),
        by_right(),
        curves(
            "Watch",
            "ops",
            &[
                (
                    r#"sum(rate(orderstream_watch_restarts_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "lists",
                ),
                (
                    r#"sum(rate(orderstream_watch_errors_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "failures",
                ),
            ],
            "Lists of all resources, and failures of the watch, a second.",
        )
        .narrow(),
        curves(
            "Leader",
            "short",
            &[(
                r#"leader_election_master_status{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#,
                "{{pod}}",
            )],
            "1 while a controller leads.",
        ),
        curves(
            "Statuses coalesced, Events dropped",
            "ops",
            &[
                (
                    r#"sum(rate(orderstream_events_dropped_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "Kubernetes Events dropped",
                ),
                (
                    r#"sum(rate(orderstream_status_coalesced_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "statuses replaced before they were written",
                ),
            ],
            "Statuses that a newer one replaced before they were written, and Events that were dropped.",
        ),
    ]
}

fn by_right() -> Panel {
    curves(
            "Requests by right",
            "reqps",
            &[(
                r#"sum by (verb, resource) (rate(orderstream_api_requests_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{verb}} {{resource}}",
            )],
            "Requests to the API server a second, by the right that each needs.",
        )
        .narrow()
}
