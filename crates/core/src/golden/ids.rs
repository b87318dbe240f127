//! Values derived from names: after an update the same names still give the same ids, and the same
//! processor for an order.

use super::values::{incarnation, order_key, seller};
use crate::id::{Incarnation, OrderKey, Seq};
use crate::notification::{self, DueNotification, Recipient, Template, Topic};
use crate::placement::{choose, order_hash};
use crate::spec::{Channel, NotificationType};

#[test]
fn trace_ids_never_change() {
    let table = [
        ("6F1F9A3B-7c59-4c0e-9d5e-2f6a1c7b8d90", "6f1f9a3b7c594c0e9d5e2f6a1c7b8d90"),
        ("6f1f9a3b7c594c0e9d5e2f6a1c7b8d90", "6f1f9a3b7c594c0e9d5e2f6a1c7b8d90"),
        ("00000000-0000-0000-0000-000000000000", "7c384c6218f299f1359915aa04e00500"),
        ("zz1f9a3b7c594c0e9d5e2f6a1c7b8d90", "528cb11f3e61426d31c35e80ecd6cc04"),
        ("life-1", "aa80ac833984c145d4ae16ffa2000c18"),
        ("1", "af63ac4c86019afc789e8e398d407def"),
    ];
    for (uid, trace) in table {
        assert_eq!(Incarnation::new(uid).unwrap().trace_id(), trace, "{uid}");
    }
}

fn due(recipient: Recipient, kind: NotificationType, address: &str) -> DueNotification {
    let channel = Channel { kind, address: address.to_owned() };
    let (topic, template) = (Topic::SellerNotify, Template::Invitation);
    // The language is not part of the id.
    DueNotification { topic, template, recipient, channel, language: Some("de".to_owned()) }
}

#[test]
fn notification_ids_never_change() {
    let to_seller = due(Recipient::Seller(seller("a")), NotificationType::Email, "a@example.com");
    let to_buyer = due(Recipient::Buyer, NotificationType::Sms, "+4930123456");
    let to_sink = due(Recipient::Sink, NotificationType::Webhook, "https://example.com/");
    let prefix = "acme~SB1029436~6f1f9a3b-7c59-4c0e-9d5e-2f6a1c7b8d90";
    let table = [
        (&to_seller, 2, None, "c931ab5a5180ab39"),
        (&to_buyer, 3, None, "da4059401c0b24b9"),
        (&to_sink, 4, None, "b94972f89785b216"),
        (&to_sink, 4, Some("an-id"), "b1f4c7c853b15b3f"),
    ];
    for (due, seq, given_up_id, rest) in table {
        let id = notification::id(&order_key(), &incarnation(), Seq(seq), due, given_up_id);
        assert_eq!(id, format!("{prefix}~{seq}~{rest}"), "{due:?} {given_up_id:?}");
    }
}

/// An order from before placements were stored goes to the same processor again.
#[test]
fn placements_never_change() {
    let processors: Vec<_> = (0..5).map(|n| format!("http://processor-{n}:50051")).collect();
    let table = [
        ("default", "SB0", 2),
        ("default", "SB1", 4),
        ("default", "SB2", 0),
        ("default", "SB3", 2),
        ("acme", "SB0", 0),
        ("acme", "SB1", 0),
        ("acme", "SB2", 2),
        ("acme", "SB3", 3),
    ];
    for (tenant, id, index) in table {
        let key = OrderKey::new(tenant, id).unwrap();
        assert_eq!(choose(&key, &processors), Some(processors[index].as_str()), "{key}");
    }
}

#[test]
fn order_hashes_never_change() {
    let table = [
        ("default", "SB1029436", 9_201_629_819_578_387_639),
        ("acme", "SB1029436", 11_007_022_376_819_327_377),
        ("a", "b", 11_448_244_716_732_072_723),
        ("default", "1", 15_402_584_369_884_203_869),
    ];
    for (tenant, id, number) in table {
        let key = OrderKey::new(tenant, id).unwrap();
        assert_eq!(order_hash(&key), number, "{key}");
    }
}
