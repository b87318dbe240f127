//! The dashboard of the event streams between processors and trackers.

use super::super::Board;
use super::super::panel::{Panel, curves, heatmap, quantiles, stat};

pub(super) fn board() -> Board {
    Board {
        name: "streams",
        title: "Orderstream / Streams",
        description: "The streams of events between processors and trackers.",
        rows: vec![
            ("Now", now()),
            ("Over time", time()),
            ("Latency", latency()),
            ("MongoDB", projection()),
        ],
    }
}

fn now() -> Vec<Panel> {
    vec![
        stat(
            "Active streams",
            "short",
            r#"sum(orderstream_requestor_streams_active{namespace=~"$namespace",job=~"$job"})"#,
            "Order streams between controller and processors.",
        ),
        stat(
            "Orders without stream",
            "short",
            r#"max(orderstream_order_streams{namespace=~"$namespace",job=~"$job",stream="Reconnecting"})"#,
            "Orders whose processor is not reached.",
        )
        .bad_from(1.0),
        stat(
            "Orders tracked",
            "short",
            r#"sum(orderstream_requestor_orders_tracked{namespace=~"$namespace",job=~"$job"})"#,
            "Tracked orders, ended ones included.",
        ),
        stat(
            "Observers",
            "short",
            r#"sum(orderstream_processor_streams{namespace=~"$namespace",job=~"$job",follower="observer"})"#,
            "Streams of sellers and of people who watch.",
        ),
    ]
}

fn time() -> Vec<Panel> {
    vec![
        curves(
            "Streams by follower",
            "short",
            &[(
                r#"sum by (follower) (orderstream_processor_streams{namespace=~"$namespace",job=~"$job",pod=~"$pod"})"#,
                "{{follower}}",
            )],
            "Streams open at the processors. Each order has one tracker.",
        ),
        curves(
            "Streams granted",
            "ops",
            &[
                (
                    r#"sum by (from) (rate(orderstream_requestor_streams_granted_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "from {{from}}",
                ),
                (
                    r#"sum(rate(orderstream_requestor_stream_reconnects_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "reconnected",
                ),
            ],
            "Streams opened: from the order's first event, or after a later one.",
        ),
        curves(
            "Events",
            "ops",
            &[
                (
                    r#"sum(rate(orderstream_processor_events_delivered_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "delivered",
                ),
                (
                    r#"sum(rate(orderstream_requestor_events_received_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "received",
                ),
            ],
            "Events delivered to streams by processors, and received by trackers.",
        ),
        curves(
            "Fenced",
            "short",
            &[
                (
                    r#"sum(increase(orderstream_fenced_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "epochs raised",
                ),
                (
                    r#"sum(increase(orderstream_orphans_cancelled_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "orphans cancelled",
                ),
            ],
            "Epochs that were raised above one that a processor knew, and orders cancelled because their resource is gone.",
        ),
    ]
}

fn latency() -> Vec<Panel> {
    vec![
        quantiles(
            "Command to tracker's stream",
            "orderstream_processor_delivery_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "From a command to the delivery of its event to the order's tracker: the latency that users feel.",
        ),
        heatmap(
            "Command to tracker's stream: distribution",
            "orderstream_processor_delivery_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "Events by the time from the command to their delivery.",
        ),
        quantiles(
            "Event to tracker",
            "orderstream_requestor_event_lag_seconds",
            r#"namespace=~"$namespace",job=~"$job""#,
            "From an event to its receipt by the tracker. After an outage, its length.",
        ),
        heatmap(
            "Event to tracker: distribution",
            "orderstream_requestor_event_lag_seconds",
            r#"namespace=~"$namespace",job=~"$job""#,
            "Events by the time to their receipt.",
        ),
    ]
}

fn projection() -> Vec<Panel> {
    vec![
        curves(
            "MongoDB: events and passes",
            "ops",
            &[
                (
                    r#"sum(rate(orderstream_requestor_projection_events_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "events",
                ),
                (
                    r#"sum by (outcome) (rate(orderstream_requestor_projection_passes_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "reconciliations that ended {{outcome}}",
                ),
                (
                    r#"sum(rate(orderstream_requestor_projection_sweeps_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                    "comparisons of all lists",
                ),
            ],
            "Events projected to MongoDB; empty where no such store is configured.",
        ),
        curves(
            "MongoDB: projection lag",
            "s",
            &[(
                    r#"sum(rate(orderstream_requestor_projection_lag_seconds_sum{namespace=~"$namespace",job=~"$job"}[$__rate_interval])) / clamp_min(sum(rate(orderstream_requestor_projection_lag_seconds_count{namespace=~"$namespace",job=~"$job"}[$__rate_interval])), 1e-9)"#,
                    "mean",
                )],
            "Mean time from an event to its projection; 0 when there are none.",
        )
        .narrow(),
        curves(
            "MongoDB: waiting orders",
            "short",
            &[(
                r#"sum(orderstream_requestor_projection_orders_waiting{namespace=~"$namespace",job=~"$job"})"#,
                "orders",
            )],
            "Orders with events that are not projected yet.",
        )
        .narrow(),
    ]
}
