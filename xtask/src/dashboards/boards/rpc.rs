//! The dashboard of methods and routes: rate, errors and duration.

use super::super::Board;
use super::super::panel::{Panel, curves, heatmap, quantiles};

pub(super) fn board() -> Board {
    Board {
        name: "rpc",
        title: "Orderstream / RPC",
        description: "Rate, errors and duration of every method and route.",
        rows: vec![("gRPC", grpc()), ("REST", rest())],
    }
}

fn grpc() -> Vec<Panel> {
    vec![
        curves(
            "RPCs by method",
            "reqps",
            &[(
                r#"sum by (grpc_type, grpc_method) (rate(grpc_server_handled_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{grpc_method}} ({{grpc_type}})",
            )],
            "RPCs that ended, a second, by method and kind.",
        ),
        curves(
            "Failed RPCs",
            "reqps",
            &[(
                r#"sum by (grpc_method, grpc_code) (rate(grpc_server_handled_total{namespace=~"$namespace",job=~"$job",pod=~"$pod",grpc_code=~"Internal|Unavailable|DataLoss|DeadlineExceeded|Unknown"}[$__rate_interval]))"#,
                "{{grpc_method}} {{grpc_code}}",
            )],
            "RPCs that ended by a fault of the server, a second, by method and code.",
        ),
        quantiles(
            "Duration of unary RPCs",
            "grpc_server_handling_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod",grpc_type="unary""#,
            "From the head of a request to its response.",
        ),
        heatmap(
            "Duration of unary RPCs: distribution",
            "grpc_server_handling_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod",grpc_type="unary""#,
            "Unary RPCs by their duration.",
        ),
        curves(
            "Open RPCs by kind",
            "short",
            &[(
                r#"sum by (grpc_type) (grpc_server_in_flight{namespace=~"$namespace",job=~"$job",pod=~"$pod"})"#,
                "{{grpc_type}}",
            )],
            "RPCs in flight; an order's stream is one until the order ends.",
        ),
        curves(
            "Messages",
            "ops",
            &[
                (
                    r#"sum by (grpc_type) (rate(grpc_server_msg_sent_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "sent, {{grpc_type}}",
                ),
                (
                    r#"sum by (grpc_type) (rate(grpc_server_msg_received_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                    "received, {{grpc_type}}",
                ),
            ],
            "Messages a second, by the kind of their RPC.",
        ),
        curves(
            "RPCs of clients",
            "reqps",
            &[(
                r#"sum by (grpc_method, grpc_code) (rate(grpc_client_handled_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval])) > 0"#,
                "{{grpc_method}} {{grpc_code}}",
            )],
            "Requests of controllers and processors to processors, by method and code.",
        ),
    ]
}

fn rest() -> Vec<Panel> {
    vec![
        curves(
            "REST requests by route",
            "reqps",
            &[(
                r#"sum by (handler, method) (rate(http_server_requests_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{method}} {{handler}}",
            )],
            "HTTP requests a second, by route.",
        )
        .narrow(),
        curves(
            "REST responses by class",
            "reqps",
            &[(
                r#"sum by (code) (rate(http_server_requests_total{namespace=~"$namespace",job=~"$job",pod=~"$pod"}[$__rate_interval]))"#,
                "{{code}}",
            )],
            "HTTP responses a second, by class.",
        )
        .narrow(),
        quantiles(
            "Duration of REST requests",
            "http_server_request_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "Until the head of the response.",
        )
        .narrow(),
        heatmap(
            "Duration of REST requests: distribution",
            "http_server_request_seconds",
            r#"namespace=~"$namespace",job=~"$job",pod=~"$pod""#,
            "REST requests by the time to the head of the response.",
        ),
    ]
}
