//! The dashboard of the processors: journal, notifications, disk, memory.

use super::super::Board;
use super::super::panel::{Panel, curves, heatmap, quantiles};

pub(super) fn board() -> Board {
    Board {
        name: "processor",
        title: "Orderstream / Processor",
        description: "The owners of orders: journal, disk, memory.",
        rows: vec![
            ("Journal", journal()),
            ("Notifications", notifications()),
            ("Process", process()),
        ],
    }
}

fn journal() -> Vec<Panel> {
    vec![
        quantiles(
            "Journal sync",
            "orderstream_journal_sync_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "One write and sync, which acknowledges all commands that waited for it.",
        )
        .bad_from(0.25),
        heatmap(
            "Journal sync: distribution",
            "orderstream_journal_sync_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "Syncs by their duration.",
        ),
        curves(
            "Syncs and records",
            "ops",
            &[
                (
                    r#"sum(rate(orderstream_journal_sync_seconds_count{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "syncs",
                ),
                (
                    r#"sum(rate(orderstream_journal_records_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "records",
                ),
            ],
            "Records a second, and the syncs that they shared.",
        ),
        curves(
            "Waiting appends",
            "short",
            &[(r#"orderstream_journal_waiting{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#, "{{pod}}")],
            "Appends in the queue of the journal's writer.",
        )
        .narrow(),
        curves(
            "Appends refused or failed",
            "short",
            &[
                (
                    r#"sum by (pod) (increase(orderstream_journal_append_failures_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "failed, {{pod}}",
                ),
                (
                    r#"sum by (pod) (increase(orderstream_journal_appends_refused_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "refused, {{pod}}",
                ),
            ],
            "Appends that the disk did not accept, and those refused because the queue was full.",
        )
        .narrow(),
        curves(
            "Free space",
            "percentunit",
            &[(
                r#"orderstream_journal_disk_bytes{namespace=~"$namespace",job=~"$job",pod=~"$pod",state="free"} / ignoring (state) orderstream_journal_disk_bytes{namespace=~"$namespace",job=~"$job",pod=~"$pod",state="total"}"#,
                "{{pod}}",
            )],
            "The part of each volume that is free.",
        )
        .narrow(),
    ]
}

fn notifications() -> Vec<Panel> {
    vec![
        curves(
            "Delivery attempts",
            "ops",
            &[(
                r#"sum by (channel, result) (rate(orderstream_processor_notification_attempts_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{channel}} {{result}}",
            )],
            "By channel: delivered, failed (tried again) and bounced (given up).",
        ),
        curves(
            "Duration of an attempt",
            "s",
            &[(
                r#"sum by (channel) (rate(orderstream_processor_notification_attempt_seconds_sum{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval])) / clamp_min(sum by (channel) (rate(orderstream_processor_notification_attempt_seconds_count{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval])), 1e-9)"#,
                "{{channel}}",
            )],
            "One delivery attempt, from the lookup of the name to the reply: the mean; 0 when there are none.",
        )
        .bad_from(5.0),
        heatmap(
            "Duration of an attempt: distribution",
            "orderstream_processor_notification_attempt_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "Delivery attempts by their duration, over all channels.",
        ),
        curves(
            "Waiting notifications and dead letters",
            "short",
            &[
                (
                    r#"orderstream_processor_notifications_waiting{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#,
                    "waiting, {{pod}}",
                ),
                (
                    r#"orderstream_processor_notifications_dead{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#,
                    "dead, {{pod}}",
                ),
                (
                    r#"sum by (pod) (increase(orderstream_processor_notifications_given_up_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "given up, {{pod}}",
                ),
            ],
            "Notifications that are still to be delivered, and those that were given up.",
        )
        .narrow(),
        curves(
            "Age of the oldest notification",
            "s",
            &[(
                r#"orderstream_processor_notification_oldest_seconds{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#,
                "{{pod}}",
            )],
            "Age of the oldest one that is to be delivered; 0 when there is none.",
        )
        .narrow(),
    ]
}

fn process() -> Vec<Panel> {
    vec![
        curves(
            "Replay at the last start",
            "s",
            &[(r#"orderstream_journal_replay_seconds{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#, "{{pod}}")],
            "Duration of reading the whole journal at the last start.",
        )
        .narrow(),
        curves(
            "Records read at the last start",
            "short",
            &[(r#"orderstream_journal_replayed_records{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#, "{{pod}}")],
            "Records read at the last start.",
        )
        .narrow(),
        curves(
            "Forwarded requests",
            "reqps",
            &[(
                r#"sum by (result) (rate(orderstream_processor_forwards_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{result}}",
            )],
            "Requests that were forwarded to the processor of their order.",
        )
        .narrow(),
        curves(
            "Memory",
            "bytes",
            &[(r#"process_resident_memory_bytes{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#, "{{pod}}")],
            "Resident memory of each process.",
        )
        .narrow(),
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
        curves(
            "Overdue expiry",
            "s",
            &[(
                r#"orderstream_processor_expiry_overdue_seconds{namespace=~"$namespace",job=~"$job",pod=~"$pod"}"#,
                "{{pod}}",
            )],
            "Delay of the most overdue expiry.",
        )
        .narrow()
        .bad_from(10.0),
    ]
}
