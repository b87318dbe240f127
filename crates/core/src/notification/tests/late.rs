//! Tests of the notifications of sellers that are invited while an order is open.

use super::*;

/// Returns the first sellers of [`Scenario::selected`], as a selection of their own.
fn selected(count: usize) -> EventKind {
    let EventKind::SellersSelected(mut choices) = Scenario::selected() else { panic!("another") };
    choices.truncate(count);
    EventKind::SellersSelected(choices)
}

fn paused() -> EventKind {
    EventKind::OrderPaused { expired: false, reason: None, decide_by: None }
}

/// An order that invites `mailed`, and after a pause `texted` too.
fn scenario() -> Scenario {
    let mut scenario = Scenario::new(false);
    let opened = scenario.opened();
    scenario.next(opened);
    scenario.next(selected(1));
    scenario.next(paused());
    scenario
}

#[test]
fn late_sellers_alone_are_invited() {
    let invitations = scenario().next(selected(2));
    assert_eq!(
        summaries(&invitations),
        ["texted SMS SELLER_NOTIFY invitation", "sink Webhook SELLER_NOTIFY invitation"]
    );
    let mut later = scenario();
    later.next(selected(2));
    let resumption = later.next(EventKind::OrderResumed);
    let to_sellers =
        ["mailed Email SELLER_NOTIFY resumption", "texted SMS SELLER_NOTIFY resumption"];
    assert_eq!(summaries(&resumption)[..2], to_sellers);
}

/// Notifications that are due late are those of their event.
#[test]
fn former_news_are_not_for_late_sellers() {
    let mut scenario = scenario();
    scenario.next(selected(2));
    let order = scenario.order.as_ref().unwrap();
    let somebody = |_: &SellerId| Some(contact(&[(NotificationType::Sms, "+49171")], "en"));
    let audience = Audience { contact: &somebody, serves: &|_| true, sinks: &[] };
    for (seq, kind) in [(2_u64, selected(1)), (3, paused())] {
        let event = Event { seq: Seq(seq), at: Timestamp(seq.cast_signed()), cause: None, kind };
        let recipients: Vec<_> =
            due(order, &event, &audience).into_iter().map(|due| due.recipient).collect();
        assert_eq!(recipients, [Recipient::Seller(seller("mailed"))], "event {seq}");
    }
}
