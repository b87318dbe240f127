//! Tests of the documents for each kind of event.

use mongodb::bson::bson;
use orderstream_core::spec::{Message, NotificationType};
use orderstream_core::{FollowUpId, Incarnation, OrderKey, OrderSpec, ProposalId, SellerId};

use super::*;

fn order() -> OrderIncarnation {
    OrderIncarnation {
        key: OrderKey::new("shop", "SB1029436").unwrap(),
        incarnation: Incarnation::new("life-1").unwrap(),
    }
}

fn event(seq: u64, kind: EventKind) -> Arc<Event> {
    Arc::new(Event {
        seq: Seq(seq),
        at: Timestamp(1_000 * i64::try_from(seq).unwrap()),
        cause: None,
        kind,
    })
}

fn opened() -> EventKind {
    let spec = OrderSpec {
        session: Some("s-1".into()),
        notification_type: NotificationType::Sms,
        ..OrderSpec::default()
    };
    let OrderIncarnation { key, incarnation } = order();
    let expires_at = Timestamp(99_000);
    EventKind::OrderOpened(Box::new(OrderOpened { key, incarnation, spec, expires_at }))
}

fn follow_up(id: &str, audience: &[&str]) -> EventKind {
    EventKind::FollowUpAdded(FollowUp {
        id: FollowUpId::new(id).unwrap(),
        audience: audience.iter().map(|name| SellerId::new(name).unwrap()).collect(),
        message: Message {
            message: "Which colour?".to_owned(),
            urls: vec!["https://example.com/a".to_owned()],
            ..Message::default()
        },
        answers: None,
    })
}

fn at(seconds: i64) -> DateTime {
    DateTime::from_millis(1_000 * seconds)
}

#[test]
fn opened_orders_have_every_field() {
    let writes = writes(&order(), Seq(0), &[event(1, opened())]);
    assert_eq!(writes.upserts, []);
    assert_eq!(writes.filter, doc! { "_id": "shop/SB1029436/life-1", "last_seq": 0_i64 });
    let expected = doc! {
        "$set": {
            "order_req_id": "SB1029436",
            "tenant": "shop",
            "incarnation": "life-1",
            "session_id": "s-1",
            "notification_type": "SMS",
            "title": Bson::Null,
            "created_at": at(1),
            "expires_at": at(99),
            "ended_at": Bson::Null,
            "status": "Open",
            "last_seq": 1_i64,
            "last_event": "OrderOpened",
            "updated_at": at(1),
        },
        "$inc": {
            "proposals.received": 0_i64,
            "proposals.withdrawn": 0_i64,
            "proposals.closed": 0_i64,
            "follow_ups": 0_i64,
        },
    };
    assert_eq!(writes.update, expected);
}

/// A follow-up's document has the audience and the message.
#[test]
fn follow_ups_are_documents_and_counted() {
    let writes = writes(&order(), Seq(4), &[event(5, follow_up("f-1", &["acme"]))]);
    let expected = doc! {
        "_id": "shop/SB1029436/life-1/f-1",
        "order_req_id": "SB1029436",
        "tenant": "shop",
        "incarnation": "life-1",
        "follow_up_id": "f-1",
        "audience": ["acme"],
        "message": {
            "type": "text",
            "message": "Which colour?",
            "urls": ["https://example.com/a"],
        },
        "seq": 5_i64,
        "created_at": at(5),
    };
    assert_eq!(writes.upserts, [(FOLLOW_UPS, expected)]);
    assert_eq!(writes.filter.get("last_seq"), Some(&bson!(4_i64)), "only where the cursor is at 4");
    let update = &writes.update;
    assert_eq!(update.get_document("$inc").unwrap().get("follow_ups"), Some(&bson!(1_i64)));
    assert_eq!(update.get_document("$set").unwrap().get("status"), None, "it stays as it was");
}

/// The status is the one after the last event.
#[test]
fn pauses_and_end_are_documents() {
    let reason = || Some("too early".to_owned());
    let award = Some(Award::Lines(vec![("chair".to_owned(), ProposalId::new("p-1").unwrap())]));
    let events = [
        event(2, EventKind::OrderPaused { expired: false, reason: reason(), decide_by: None }),
        event(3, EventKind::OrderResumed),
        event(4, EventKind::OrderFinalised { award, reason: None }),
    ];
    let writes = writes(&order(), Seq(1), &events);
    let [(paused_in, paused), (finalised_in, finalised)] = writes.upserts.as_slice() else {
        panic!("{:?}", writes.upserts)
    };
    assert_eq!((*paused_in, *finalised_in), (PAUSED, FINALISED));
    assert_eq!(paused.get("_id"), Some(&bson!("shop/SB1029436/life-1/2")));
    assert_eq!(paused.get("expired"), Some(&bson!(false)));
    assert_eq!(paused.get("reason"), Some(&bson!("too early")));
    assert_eq!(finalised.get("_id"), Some(&bson!("shop/SB1029436/life-1")));
    let lines = doc! { "lines": [{ "sku": "chair", "proposal_id": "p-1" }] };
    assert_eq!(finalised.get("award"), Some(&bson!(lines)));
    let set = writes.update.get_document("$set").unwrap();
    assert_eq!(set.get("status"), Some(&bson!("Finalised")));
    assert_eq!(set.get("ended_at"), Some(&Bson::DateTime(at(4))));
    assert_eq!(set.get("last_seq"), Some(&bson!(4_i64)));
}

/// It is not the order's end.
#[test]
fn deadlines_have_their_time_to_decide() {
    let decide_by = Some(Timestamp(at(9).timestamp_millis()));
    let paused = event(2, EventKind::OrderPaused { expired: true, reason: None, decide_by });
    let writes = writes(&order(), Seq(1), &[paused]);
    let (_, document) = &writes.upserts[0];
    assert_eq!(document.get("decide_by"), Some(&Bson::DateTime(at(9))));
    let set = writes.update.get_document("$set").unwrap();
    assert_eq!((set.get("status"), set.get("ended_at")), (Some(&bson!("Deciding")), None));
}

#[test]
fn every_end_has_its_status() {
    for (kind, status) in [
        (EventKind::OrderPaused { expired: true, reason: None, decide_by: None }, "Expired"),
        (EventKind::OrderFinalised { award: None, reason: None }, "Finalised"),
        (EventKind::OrderClosed { reason: None }, "Closed"),
        (EventKind::OrderCancelled { reason: None }, "Cancelled"),
    ] {
        let writes = writes(&order(), Seq(1), &[event(2, kind)]);
        let set = writes.update.get_document("$set").unwrap();
        assert_eq!(set.get("status"), Some(&bson!(status)));
        assert_eq!(set.get("ended_at"), Some(&Bson::DateTime(at(2))), "{status}");
    }
}

#[test]
fn any_split_gives_same_documents() {
    let events = [event(1, opened()), event(2, follow_up("a", &[])), event(3, follow_up("b", &[]))];
    let whole = writes(&order(), Seq(0), &events);
    let (first, rest) = events.split_at(2);
    let mut upserts = writes(&order(), Seq(0), first).upserts;
    let last = writes(&order(), Seq(2), rest);
    upserts.extend(last.upserts);
    assert_eq!(upserts, whole.upserts);
    assert_eq!(last.filter.get("last_seq"), Some(&bson!(2_i64)));
    let end = |update: &Document| update.get_document("$set").unwrap().get("last_seq").cloned();
    assert_eq!(end(&last.update), end(&whole.update));
}
