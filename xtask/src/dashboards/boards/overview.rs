//! The dashboard for a first view: readiness, alerts, error budget, resources.

use super::super::Board;
use super::super::panel::{Panel, curves, stat};

pub(super) fn board() -> Board {
    Board {
        name: "overview",
        title: "Orderstream / Overview",
        description: "Readiness, alerts, error budget and resources of all processes.",
        rows: vec![
            ("Now", now()),
            ("Processes", processes()),
            ("Error budget", budget()),
            ("Resources", resources()),
        ],
    }
}

fn now() -> Vec<Panel> {
    vec![
        stat(
            "Firing alerts",
            "short",
            r#"count(ALERTS{alertstate="firing",alertname=~"Orderstream.+",namespace=~"$namespace"}) or vector(0)"#,
            "Alerts of Orderstream that fire.",
        )
        .bad_from(1.0),
        stat(
            "Ready pods",
            "short",
            r#"sum(orderstream_ready{namespace=~"$namespace",job=~"$job"})"#,
            "Pods that are ready.",
        ),
        stat(
            "Pods not ready",
            "short",
            r#"count(orderstream_ready{namespace=~"$namespace",job=~"$job"} == 0) or vector(0)"#,
            "Pods that are starting or stopping.",
        )
        .bad_from(1.0),
        stat(
            "Pods down",
            "short",
            r#"count(up{namespace=~"$namespace",job=~"$job",pod=~"$pod"} == 0) or vector(0)"#,
            "Pods whose metrics cannot be read.",
        )
        .bad_from(1.0),
        stat(
            "Restarts",
            "short",
            &format!("sum({})", restarts("$__range")),
            "Restarts of pods that kept their name, in the time shown.",
        )
        .bad_from(1.0),
        stat(
            "Open orders",
            "short",
            r#"sum(orderstream_processor_orders_open{namespace=~"$namespace",job=~"$job"})"#,
            "Orders that are not at their end, at all processors.",
        ),
    ]
}

/// Returns the number of restarts by pod. A pod that comes back at another address has a new
/// series, which counts as a restart.
fn restarts(range: &str) -> String {
    format!(
        r#"sum by (pod) (changes(process_start_time_seconds{{namespace=~"$namespace",job=~"$job",pod=~"$pod"}}[{range}]) + 1) - 1"#
    )
}

fn processes() -> Vec<Panel> {
    vec![
        curves(
            "Firing alerts by name",
            "short",
            &[(
                r#"count by (alertname) (ALERTS{alertstate="firing",alertname=~"Orderstream.+",namespace=~"$namespace"}) or on () label_replace(vector(0), "alertname", "none", "", "")"#,
                "{{alertname}}",
            )],
            "Alerts that fire, by name; each has a runbook.",
        ),
        curves(
            "Versions",
            "short",
            &[(
                r#"count by (version) (orderstream_build_info{namespace=~"$namespace",job=~"$job"})"#,
                "{{version}}",
            )],
            "Processes by version.",
        ),
        curves(
            "Readiness",
            "short",
            &[(r#"orderstream_ready{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#, "{{pod}}")],
            "1 while a pod is ready.",
        )
        .narrow(),
        curves(
            "Processors, expected and scraped",
            "short",
            &[
                (
                    r#"max by (namespace, job) (orderstream_processor_listed{namespace=~"$namespace",job=~"$job"})"#,
                    "expected, {{namespace}}",
                ),
                (
                    r#"count by (namespace, job) (orderstream_processor_listed{namespace=~"$namespace",job=~"$job"})"#,
                    "scraped, {{namespace}}",
                ),
            ],
            "Processors in the list of peers, and those whose metrics are read.",
        )
        .narrow(),
        curves(
            "Restarts by pod",
            "short",
            &[(restarts("5m").as_str(), "{{pod}}")],
            "Restarts within five minutes.",
        )
        .narrow()
        .bad_from(1.0),
    ]
}

/// The selectors of failed unary RPCs and of all.
const RPCS: (&str, &str) = (
    r#"grpc_server_handled_total{namespace=~"$namespace",job=~"$job",pod=~"$pod",grpc_type="unary",grpc_code=~"Internal|Unavailable|DataLoss|DeadlineExceeded|Unknown"}"#,
    r#"grpc_server_handled_total{namespace=~"$namespace",job=~"$job",pod=~"$pod",grpc_type="unary"}"#,
);
/// The selectors of failed REST requests and of all.
const REST: (&str, &str) = (
    r#"http_server_requests_total{namespace=~"$namespace",job=~"$job",pod=~"$pod",code="5xx"}"#,
    r#"http_server_requests_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#,
);

/// Returns the ratio of failed requests within a range to those that may fail.
fn burn(selectors: (&str, &str), range: &str) -> String {
    let (failed, all) = selectors;
    format!("sum(rate({failed}[{range}])) / sum(rate({all}[{range}])) / 0.001")
}

fn budget() -> Vec<Panel> {
    vec![
        stat(
            "RPC budget used",
            "percentunit",
            &burn(RPCS, "30d"),
            "The part of a month's error budget, one failed RPC in a thousand, that is used up.",
        )
        .bad_from(1.0),
        stat(
            "REST budget used",
            "percentunit",
            &burn(REST, "30d"),
            "The part of a month's error budget, one failed request in a thousand, that is used up.",
        )
        .bad_from(1.0),
        curves(
            "Burn rate",
            "short",
            &[(burn(RPCS, "1h").as_str(), "RPCs"), (burn(REST, "1h").as_str(), "REST")],
            "How many times faster than allowed the budget is used up, over an hour. At 1 a month's budget lasts a month; above 14.4 an alert fires.",
        )
        .bad_from(14.4),
    ]
}

fn resources() -> Vec<Panel> {
    vec![
        curves(
            "Memory of limit",
            "percentunit",
            &[(
                r#"process_resident_memory_bytes{namespace=~"$namespace",job=~"$job",pod=~"$pod"} / (orderstream_memory_limit_bytes{namespace=~"$namespace",job=~"$job",pod=~"$pod"} > 0) or 0 * process_resident_memory_bytes{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#,
                "{{pod}}",
            )],
            "The part of its memory limit that each process uses; 0 where there is no limit.",
        )
        .narrow()
        .bad_from(0.9),
        curves(
            "Volume used",
            "percentunit",
            &[(
                r#"1 - orderstream_journal_disk_bytes{namespace=~"$namespace",job=~"$job",pod=~"$pod",state="free"} / ignoring (state) orderstream_journal_disk_bytes{namespace=~"$namespace",job=~"$job",pod=~"$pod",state="total"}"#,
                "{{pod}}",
            )],
            "The part of each volume that is used.",
        )
        .narrow()
        .bad_from(0.9),
        curves(
            "CPU",
            "short",
            &[(
                r#"rate(process_cpu_seconds_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval])"#,
                "{{pod}}",
            )],
            "Cores that each process uses.",
        )
        .narrow(),
    ]
}
