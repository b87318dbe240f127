//! Views of orders as they were published to users; the requestor stores and publishes them again.

use super::file;
use super::values::{AT, LATER, follow_up_id, incarnation, lines, price, proposal_id};
use crate::id::{Epoch, Seq};
use crate::order::Phase;
use crate::summary::{OrderSummary, ProposalsSummary, SellerCounts};
use crate::tracker::PublishedView;

const FILE: &str = "src/golden/shown.jsonl";

/// Returns a summary without its optional parts.
fn bare_summary() -> OrderSummary {
    OrderSummary {
        phase: Phase::Open,
        last_seq: Seq(1),
        last_event: (AT, "OrderOpened".into()),
        opened_at: AT,
        expires_at: LATER,
        decide_until: None,
        ended_at: None,
        award: None,
        pending_until: None,
        proposals: ProposalsSummary { received: 0, open: 0, withdrawn: 0, closed: 0, best: None },
        sellers: SellerCounts::default(),
        follow_ups: 0,
        last_follow_up: None,
    }
}

/// Returns a summary with all parts.
fn summary() -> OrderSummary {
    OrderSummary {
        phase: Phase::Finalised,
        last_seq: Seq(u64::MAX),
        last_event: (AT, "OrderFinalised".into()),
        opened_at: AT,
        expires_at: LATER,
        decide_until: Some(LATER),
        ended_at: Some(LATER),
        award: Some(lines()),
        pending_until: Some(LATER),
        proposals: ProposalsSummary {
            received: 10,
            open: 4,
            withdrawn: 3,
            closed: 2,
            best: Some((proposal_id("p-1"), price("1249.50"))),
        },
        sellers: SellerCounts {
            selected: 7,
            notified: 6,
            failed: 5,
            seen: 4,
            declined: 3,
            proposed: 2,
            is_sealed: true,
        },
        follow_ups: 2,
        last_follow_up: Some(follow_up_id("f-1")),
    }
}

#[test]
fn stored_views_never_change() {
    let only_ended = PublishedView::only_ended(incarnation(), Phase::Cancelled);
    let views = [
        only_ended.clone(),
        PublishedView { order: Some(bare_summary()), ended: None, ..only_ended },
        PublishedView {
            incarnation: incarnation(),
            processor: Some("http://processor-0:50051".into()),
            epoch: Epoch(3),
            reconnects: 2,
            follow_up_count: 4,
            order: Some(summary()),
            ended: Some(Phase::Finalised),
        },
    ];
    file::check_values(FILE, &views);
}
