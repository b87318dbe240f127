//! The form of orders in the journal, to the byte. Events have golden files in core.

use orderstream_core::EventKind;
use orderstream_core::Timestamp;

use super::*;

#[test]
fn list_names_never_change() {
    let key = OrderKey::new("acme", "SB1029436").unwrap();
    let incarnation = Incarnation::new("uid-1").unwrap();
    let order_incarnation = OrderIncarnation { key, incarnation };
    let names: [&[u8]; 4] = [
        b"e\nacme\nSB1029436\nuid-1",
        b"g\nacme\nSB1029436\nuid-1",
        b"n\nacme\nSB1029436\nuid-1",
        b"o\nacme\nSB1029436\nuid-1",
    ];
    for (kind, name) in ListKind::ALL.into_iter().zip(names) {
        assert_eq!(list_name(kind, &order_incarnation), name, "{kind:?}");
        assert_eq!(parse_list_name(name), Some((kind, order_incarnation.clone())));
    }
}

#[test]
fn stored_grants_never_change() {
    let table: [(u64, &[u8]); 3] = [
        (0, b"\0\0\0\0\0\0\0\0"),
        (0x0102_0304_0506_0708, b"\x01\x02\x03\x04\x05\x06\x07\x08"),
        (u64::MAX, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    ];
    for (epoch, bytes) in table {
        assert_eq!(encode_grant(Epoch(epoch)), bytes, "{epoch}");
        assert_eq!(decode_grant(bytes), Some(Epoch(epoch)));
    }
}

#[test]
fn stored_events_never_change() {
    let event = Event { seq: Seq(3), at: Timestamp(1), cause: None, kind: EventKind::OrderResumed };
    let stored = r#"{"seq":3,"at":1,"kind":"OrderResumed"}"#;
    assert_eq!(encode(&event).unwrap(), stored);
    assert_eq!(decode(stored.as_bytes()).unwrap(), event);
}
