//! The dashboard of orders, proposals and awards.

use super::super::Board;
use super::super::panel::{Panel, curves, heatmap, quantiles, stat};

pub(super) fn board() -> Board {
    Board {
        name: "business",
        title: "Orderstream / Business",
        description: "Orders, proposals and their outcomes.",
        rows: vec![("Now", now()), ("Over time", time())],
    }
}

fn now() -> Vec<Panel> {
    vec![
        stat(
            "Open orders",
            "short",
            r#"sum(orderstream_processor_orders_open{namespace=~"$namespace",job=~"$job"})"#,
            "Orders that are not at their end, at all processors.",
        ),
        stat(
            "Proposals a minute",
            "opm",
            r#"60 * sum(rate(orderstream_processor_proposals_total{namespace=~"$namespace",job=~"$job",result="accepted"}[$__rate_interval]))"#,
            "Proposals and amendments that were accepted.",
        ),
        stat(
            "Refused a minute",
            "opm",
            r#"60 * sum(rate(orderstream_processor_proposals_total{namespace=~"$namespace",job=~"$job",result="refused"}[$__rate_interval]))"#,
            "Proposals that were refused; the seller got the reason.",
        ),
        stat(
            "Orders with an award",
            "short",
            r#"sum(increase(orderstream_processor_orders_ended_total{namespace=~"$namespace",job=~"$job",phase="finalised"}[$__range]))"#,
            "Orders that were finalised in the time shown.",
        ),
        stat(
            "Expired unanswered",
            "short",
            r#"sum(increase(orderstream_processor_orders_ended_total{namespace=~"$namespace",job=~"$job",phase="expired",proposals="none"}[$__range]))"#,
            "Orders that expired in the time shown, and nobody had proposed.",
        )
        .bad_from(1.0),
        stat(
            "Orders in memory",
            "short",
            r#"sum(orderstream_processor_orders{namespace=~"$namespace",job=~"$job"})"#,
            "Orders in the processors' memory, ended ones included.",
        ),
    ]
}

fn time() -> Vec<Panel> {
    vec![
        curves(
            "Proposals",
            "ops",
            &[(
                r#"sum by (result) (rate(orderstream_processor_proposals_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                "{{result}}",
            )],
            "Proposals and amendments a second, by result.",
        ),
        quantiles(
            "Time to first proposal",
            "orderstream_processor_first_proposal_seconds",
            r#"namespace=~"$namespace",job=~"$job""#,
            "From an order's opening to its first proposal.",
        ),
        heatmap(
            "Time to first proposal: distribution",
            "orderstream_processor_first_proposal_seconds",
            r#"namespace=~"$namespace",job=~"$job""#,
            "Orders by the time to their first proposal.",
        ),
        curves(
            "Ended orders",
            "short",
            &[(
                r#"sum by (phase, proposals) (increase(orderstream_processor_orders_ended_total{namespace=~"$namespace",job=~"$job"}[$__rate_interval]))"#,
                "{{phase}}, {{proposals}} proposals",
            )],
            "Orders that ended, by phase and by whether they had a proposal.",
        ),
        curves(
            "Order requests by phase",
            "short",
            &[(
                r#"max by (phase) (orderstream_orders{namespace=~"$namespace",job=~"$job"})"#,
                "{{phase}}",
            )],
            "The OrderRequest resources in the controllers' cache.",
        ),
    ]
}
