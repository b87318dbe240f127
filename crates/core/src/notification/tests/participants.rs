//! Tests of the sellers that take part in an order, and are notified of what concerns all of them.

use super::*;

/// The buyer, and the sellers who took part; there is no award.
#[test]
fn ends_notify_all_who_took_part() {
    for end in [
        EventKind::OrderClosed { reason: None },
        EventKind::OrderCancelled { reason: None },
        EventKind::OrderPaused { expired: true, reason: None, decide_by: None },
        EventKind::OrderFinalised { award: None, reason: None },
    ] {
        let mut scenario = Scenario::new(false);
        let opened = scenario.opened();
        scenario.next(opened);
        scenario.next(Scenario::selected());
        assert_eq!(
            summaries(&scenario.next(end.clone())),
            [
                "buyer Email BUYER_NOTIFY end",
                "mailed Email SELLER_NOTIFY end",
                "texted SMS SELLER_NOTIFY end",
                "sink Webhook BUYER_NOTIFY end",
                "sink Webhook SELLER_NOTIFY end",
            ],
            "{end:?}"
        );
    }
}

fn declined() -> EventKind {
    EventKind::ProposalUpdate(ProposalUpdate::Declined { seller: seller("mailed"), reason: None })
}

fn withdrawn() -> EventKind {
    let proposal_id = ProposalId::new("p1").unwrap();
    EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, reason: None })
}

/// Returns events of which all sellers that take part are notified.
fn news() -> Vec<EventKind> {
    let follow_up = FollowUp {
        id: FollowUpId::new("f").unwrap(),
        audience: Vec::new(),
        message: Message { message: "when?".to_owned(), ..Message::default() },
        answers: None,
    };
    let award = Some(Award::Whole(ProposalId::new("p2").unwrap()));
    vec![
        EventKind::FollowUpAdded(follow_up),
        EventKind::OrderPaused { expired: false, reason: None, decide_by: None },
        EventKind::OrderResumed,
        EventKind::OrderExtended { expires_at: Timestamp(200_000) },
        EventKind::OrderFinalised { award, reason: None },
        EventKind::OrderFinalised { award: None, reason: None },
        EventKind::OrderClosed { reason: None },
        EventKind::OrderCancelled { reason: None },
    ]
}

/// A seller that has a proposal which binds it, or has proposed since, is notified as any other.
#[test]
fn declines_end_with_later_proposals() {
    let proposed = || Scenario::proposed("p1", "mailed");
    let cases = [
        (vec![declined()], false),
        (vec![proposed(), withdrawn()], true),
        (vec![proposed(), declined()], true),
        (vec![declined(), proposed()], true),
        (vec![declined(), proposed(), declined()], true),
        (vec![declined(), proposed(), withdrawn()], true),
        (vec![proposed(), declined(), withdrawn()], false),
        (vec![proposed(), withdrawn(), declined()], false),
    ];
    for (before, is_notified) in cases {
        for news in news() {
            let mut scenario = Scenario::new(false);
            let opened = scenario.opened();
            scenario.next(opened);
            scenario.next(Scenario::selected());
            scenario.next(Scenario::proposed("p2", "texted"));
            for kind in before.clone() {
                scenario.next(kind);
            }
            let sent = summaries(&scenario.next(news.clone()));
            let is_sent = sent.iter().any(|line| line.starts_with("mailed "));
            assert_eq!(is_sent, is_notified, "{before:?} {news:?}: {sent:?}");
        }
    }
}
