//! Tests of the lenient inputs: a wrong field is named with its limit, and values at a limit are
//! accepted.

use serde_json::{Value, json};

use super::*;
use crate::command::ProposalContent;
use crate::limits::{EXPIRES_IN_MS_DEFAULT, EXPIRES_IN_MS_MAX, EXPIRES_IN_MS_MIN, SELLERS_DEFAULT};
use crate::spec::{NotificationType, OrderSpec};

fn spec(input: Value) -> Result<OrderSpec, Refusal> {
    OrderSpec::try_from(serde_json::from_value::<SpecInput>(input).unwrap())
}

fn letters(count: usize) -> String {
    "a".repeat(count)
}

fn assert_refused<T: std::fmt::Debug>(result: Result<T, Refusal>, field: &str, piece: &str) {
    let refusal = result.unwrap_err();
    // An entry of a list of names may be followed by the kind of name.
    let named = refusal.field.clone().unwrap();
    let rest = named.strip_prefix(field).unwrap_or_else(|| panic!("{field}: {refusal}"));
    assert!(rest.is_empty() || field.ends_with(']') && rest.starts_with('.'), "{refusal}");
    assert!(refusal.message.contains(piece), "{piece}: {refusal}");
}

fn item(changed: &Value) -> Value {
    let mut item = json!({"sku": "chair", "quantity": "2"});
    item.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    json!({"items": [item]})
}

#[test]
fn wrong_texts_are_named_with_their_limit() {
    let long = letters(LINE_CHARS_MAX + 1);
    for (input, field) in [
        (json!({"title": long}), "title"),
        (json!({"session": long}), "session"),
        (json!({"category": long}), "category"),
        (item(&json!({"sku": long})), "items[0].sku"),
        (item(&json!({"unit": long})), "items[0].unit"),
        (json!({"delivery": {"by": long}}), "delivery.by"),
        (json!({"message": {"urls": [long]}}), "message.urls[0]"),
    ] {
        assert_refused(spec(input), field, "has 257 characters; at most 256 are allowed");
    }
    let longer = letters(TEXT_CHARS_MAX + 1);
    for (input, field) in [
        (item(&json!({"description": longer})), "items[0].description"),
        (json!({"delivery": {"address": longer}}), "delivery.address"),
        (json!({"message": {"message": longer}}), "message.message"),
    ] {
        assert_refused(spec(input), field, "has 4097 characters; at most 4096 are allowed");
    }
    for sign in ["\u{0}", "\u{7}", "\u{7f}"] {
        assert_refused(spec(json!({"title": sign})), "title", "control character");
    }
    assert_eq!(spec(json!({"title": "a\tb\r\nc"})).unwrap().title.as_deref(), Some("a\tb\r\nc"));
}

#[test]
fn wrong_values_are_named_with_their_range() {
    let one_too_many = vec![json!("a"); NAMES_MAX + 1];
    for (input, field, piece) in [
        (json!({"notification_type": "Pigeon"}), "notification_type", "'Pigeon' is unknown"),
        (json!({"expires_in_ms": 9_999}), "expires_in_ms", "give 10000 (10 s) to 15552000000"),
        (json!({"expires_in_ms": 15_552_000_001_u64}), "expires_in_ms", "is 15552000001"),
        (
            json!({"decide_within_ms": 15_552_000_001_u64}),
            "decide_within_ms",
            "give 0 (no time) to",
        ),
        (item(&json!({"sku": ""})), "items[0].sku", "is missing; give 1 to 256"),
        (item(&json!({"quantity": "-1"})), "items[0].quantity", ""),
        (json!({"delivery": {"latitude": 1.0}}), "delivery.longitude", "give both or neither"),
        (json!({"delivery": {"longitude": 1.0}}), "delivery.latitude", "give both or neither"),
        (json!({"sellers": {"max_count": 0}}), "sellers.max_count", "is 0; give 1 to 100"),
        (json!({"sellers": {"max_count": 101}}), "sellers.max_count", "is 101"),
        (json!({"sellers": {"names": one_too_many}}), "sellers.names", "has 101 entries"),
        (json!({"sellers": {"names": [""]}}), "sellers.names[0]", ""),
        (json!({"sellers": {"excluded": one_too_many}}), "sellers.excluded", "at most 100"),
        (json!({"message": {"type": "rtf"}}), "message.type", "use text, html or markdown"),
        (json!({"message": {"urls": vec!["u"; 21]}}), "message.urls", "at most 20 are allowed"),
        (json!({"message": {"urls": [""]}}), "message.urls[0]", "is missing"),
    ] {
        assert_refused(spec(input), field, piece);
    }
}

#[test]
fn places_and_distances_have_a_range() {
    for (latitude, longitude, field) in [
        (90.000_1, 0.0, "delivery.latitude"),
        (-90.000_1, 0.0, "delivery.latitude"),
        (0.0, 180.000_1, "delivery.longitude"),
        (0.0, -180.000_1, "delivery.longitude"),
    ] {
        let input = json!({"delivery": {"latitude": latitude, "longitude": longitude}});
        assert_refused(spec(input), field, "degrees");
    }
    assert_refused(coordinates(f64::NAN, 0.0), "latitude", "is NaN; give -90 to 90 degrees");
    for (latitude, longitude, expected) in [
        (90.0, -180.0, (90_000_000, -180_000_000)),
        (-90.0, 180.0, (-90_000_000, 180_000_000)),
        (52.520_008, 13.404_954, (52_520_008, 13_404_954)),
    ] {
        let point = coordinates(latitude, longitude).unwrap();
        assert_eq!((point.latitude_udeg, point.longitude_udeg), expected);
    }
    let limits = |km: f64| spec(json!({"sellers": {"max_distance_km": km}}));
    for km in [0.0, -1.0, 20_040.1] {
        assert_refused(limits(km), "sellers.max_distance_km", "more than 0 and at most 20040 km");
    }
    for (km, expected) in [(0.5, 500), (12.345_6, 12_346), (20_040.0, 20_040_000)] {
        assert_eq!(limits(km).unwrap().sellers.max_distance_m, Some(expected));
    }
}

#[test]
fn item_count_and_size_are_limited() {
    let items = |count: usize, description: &str| {
        let one = json!({"sku": "ab", "unit": "kg", "quantity": "2", "description": description});
        spec(json!({"items": vec![one; count]}))
    };
    assert_eq!(items(ITEMS_MAX, "").unwrap().items.len(), 100);
    assert_refused(items(ITEMS_MAX + 1, ""), "items", "has 101 entries; at most 100 are allowed");
    // With `ab` and `kg` an item has 4 bytes more than its description.
    let fits = "\u{e9}".repeat(4_094);
    assert_eq!(items(64, &fits).unwrap().items.len(), 64);
    let too_large = format!("{fits}a");
    assert_refused(items(64, &too_large), "items", "have 524352 bytes of text; at most 524288");
}

#[test]
fn values_at_the_limits_are_accepted() {
    let full = spec(json!({
        "title": letters(LINE_CHARS_MAX),
        "notification_type": "sms",
        "expires_in_ms": EXPIRES_IN_MS_MAX,
        "sellers": {"max_count": 100, "names": vec!["a"; NAMES_MAX], "excluded": ["b"],
            "open_to_all": true, "late": false},
        "message": {
            "type": "HTML", "message": letters(TEXT_CHARS_MAX), "urls": vec!["u"; URLS_MAX],
        },
        "delivery": {"address": letters(TEXT_CHARS_MAX), "by": "soon"},
    }))
    .unwrap();
    assert_eq!(full.title.unwrap().len(), LINE_CHARS_MAX);
    assert_eq!(full.notification_type, NotificationType::Sms);
    assert_eq!(full.expires_in_ms, EXPIRES_IN_MS_MAX);
    assert_eq!((full.sellers.names.len(), full.sellers.excluded.len()), (NAMES_MAX, 1));
    assert!(full.sellers.open_to_all && !full.sellers.late);
    let message = full.message.unwrap();
    assert_eq!((message.kind, message.urls.len()), (MessageType::Html, URLS_MAX));
    assert_eq!(full.delivery.unwrap().by.as_deref(), Some("soon"));
    assert_eq!(expires_in_ms(EXPIRES_IN_MS_MIN).unwrap(), EXPIRES_IN_MS_MIN);
    let least = spec(json!({"sellers": {"max_count": 1}})).unwrap();
    assert_eq!((least.sellers.max_count, least.sellers.late), (1, true));
}

#[test]
fn empty_fields_count_as_absent() {
    let empty = spec(json!({
        "title": "", "notification_type": "", "session": "", "category": "", "items": [],
        "sellers": null, "delivery": null, "message": null, "buyer": null,
    }));
    let absent = spec(json!({})).unwrap();
    assert_eq!(empty.unwrap(), absent);
    assert_eq!(absent.sellers.max_count, SELLERS_DEFAULT);
    assert_eq!(absent.expires_in_ms, EXPIRES_IN_MS_DEFAULT);
    let message = spec(json!({"message": {"type": "", "message": "hello"}})).unwrap().message;
    assert_eq!(message.unwrap().kind, MessageType::default());
}

/// Reads an input in which each field in turn is null, and compares it with an input without fields.
fn assert_null_is_absent<T>()
where
    T: Default + PartialEq + std::fmt::Debug + Serialize + serde::de::DeserializeOwned,
{
    let all = serde_json::to_value(T::default()).unwrap();
    for field in all.as_object().unwrap().keys() {
        let read = serde_json::from_value::<T>(json!({ (field.as_str()): null }));
        assert_eq!(read.unwrap_or_else(|error| panic!("{field}: {error}")), T::default());
    }
    assert!(serde_json::from_value::<T>(all).is_ok(), "all of them are read");
}

#[test]
fn null_counts_as_absent_in_each_field() {
    assert_null_is_absent::<SpecInput>();
    assert_null_is_absent::<ItemInput>();
    assert_null_is_absent::<DeliveryInput>();
    assert_null_is_absent::<SellersInput>();
    assert_null_is_absent::<MessageInput>();
    assert_null_is_absent::<FollowUpInput>();
    assert_null_is_absent::<AwardInput>();
    assert_null_is_absent::<ContactInput>();
    assert_null_is_absent::<ChannelInput>();
    assert_null_is_absent::<ProposalInput>();
    assert_null_is_absent::<ProposalLineInput>();
    let missing = spec(json!({"items": [{"sku": null, "quantity": "1"}]}));
    assert_refused(missing, "items[0].sku", "is missing");
}

#[test]
fn reasons_are_absent_or_visible() {
    let reason = |text: &str| reason_text("reason", Some(text.to_owned()));
    assert_eq!(reason_text("reason", None), Ok(None));
    assert_eq!(reason(""), Ok(None));
    assert_eq!(reason(" too far\u{200b}"), Ok(Some(" too far\u{200b}".to_owned())));
    for blank in [" ", "\n", "\u{3164}", "\u{200b}\u{ad}"] {
        assert_refused(reason(blank), "reason", "no visible character; write what people can read");
    }
    assert_refused(reason(&letters(TEXT_CHARS_MAX + 1)), "reason", "at most 4096 are allowed");
}

#[test]
fn unknown_fields_name_the_nearest_one() {
    let many: Vec<String> = (0..40).map(|number| format!("aspect{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(1_000);
    for (name, known, fix) in [
        ("undo_within", vec!["reason", "undo_within_ms"], "write undo_within_ms, or remove it"),
        ("sealled", vec!["sealed", "sellers"], "write sealed, or remove it"),
        ("orderReqId", vec!["tenant", "order_req_id"], "write order_req_id, or remove it"),
        ("sellers", vec!["audience", "message"], "use one of audience, message, or remove it"),
        ("zzz", many, "aspect30, aspect31, …, or remove it"),
        ("reason", vec![], "is not a known field; remove it"),
        ("a\u{1b}[2J", vec!["message"], "use one of message"),
        (long.as_str(), vec!["message"], "use one of message"),
    ] {
        let refusal = unknown_field(&format!("at.{name}"), name, known.into_iter());
        assert!(refusal.message.contains(fix), "{refusal}");
        let path = refusal.field.unwrap();
        assert!(path.starts_with("at.") && path.len() <= 256 + 8, "{path}");
        assert!(!path.contains('\u{1b}'), "{path:?}");
    }
}

/// A field of a body that nothing reads would change what is bought without a word.
#[test]
fn parts_of_orders_take_no_unknown_field() {
    for order in [
        json!({"items": [{"sku": "A", "quantity": "1", "colour": "red"}]}),
        json!({"delivery": {"adress": "Munich"}}),
        json!({"sellers": {"open_for_all": true}}),
        json!({"message": {"text": "hello"}}),
        json!({"buyer": {"lang": "de"}}),
        json!({"buyer": {"channels": [{"kind": "Email", "address": "a@b.example"}]}}),
    ] {
        let error = serde_json::from_value::<SpecInput>(order).unwrap_err();
        assert!(error.to_string().starts_with("unknown field `"), "{error}");
    }
}

#[test]
fn web_addresses_are_checked() {
    let buyer = |address: &str| {
        let channel = json!({"type": "webhook", "address": address});
        spec(json!({"buyer": {"channels": [channel]}}))
    };
    for address in ["ftp://a", "https://", "http://", "https://a b", "a.example", ""] {
        assert_refused(buyer(address), "buyer.channels[0].address", "https:// or http://");
    }
    for address in ["https://a.example/x?y", "http://a"] {
        assert_eq!(buyer(address).unwrap().buyer.unwrap().channels[0].address, address);
    }
    let long = format!("https://{}", letters(URL_CHARS_MAX));
    assert_refused(buyer(&long), "buyer.channels[0].address", "at most 2048 are allowed");
}

#[test]
fn follow_ups_and_notes_name_wrong_fields() {
    let follow_up = FollowUpInput {
        id: "f1".to_owned(),
        audience: vec!["seller1".to_owned()],
        message: MessageInput { message: "When?".to_owned(), ..MessageInput::default() },
        answers: Some("q1".to_owned()),
    };
    let read = FollowUp::try_from(follow_up.clone()).unwrap();
    assert_eq!((read.audience.len(), read.message.message.as_str()), (1, "When?"));
    assert_eq!(read.answers.unwrap().as_str(), "q1");
    let change = |change: fn(&mut FollowUpInput)| {
        let mut changed = follow_up.clone();
        change(&mut changed);
        FollowUp::try_from(changed)
    };
    assert_eq!(change(|input| input.answers = Some(String::new())).unwrap().answers, None);
    assert_refused(change(|input| input.answers = Some(letters(129))), "answers", "");
    assert_refused(change(|input| input.audience = vec![String::new()]), "audience[0]", "");
    let loud = change(|input| input.message.message = "\u{7}".to_owned());
    assert_refused(loud, "message.message", "control character");
    let FollowUpInput { id, audience, message, answers } = follow_up;
    let draft = FollowUpDraftInput { id: Some(id), audience, message, answers };
    let named = FollowUpDraft::try_from(draft.clone()).unwrap();
    assert_eq!(named.id.unwrap().as_str(), "f1");
    assert_eq!((named.audience.len(), named.message.message.as_str()), (1, "When?"));
    for id in [None, Some(String::new())] {
        assert_eq!(
            FollowUpDraft::try_from(FollowUpDraftInput { id, ..draft.clone() }).unwrap().id,
            None
        );
    }
}

#[test]
fn awards_name_a_whole_or_lines() {
    let award = |proposal_id: Option<&str>, lines: &[(&str, &str)]| {
        let owned = |(sku, id): &(&str, &str)| ((*sku).to_owned(), (*id).to_owned());
        let lines = lines.iter().map(owned).collect();
        let input = AwardInput { proposal_id: proposal_id.map(ToOwned::to_owned), lines };
        Option::<Award>::try_from(input)
    };
    let id = |text: &str| ProposalId::new(text).unwrap();
    let lines = [("chair", "p1"), ("desk", "p2")];
    let split = vec![("chair".to_owned(), id("p1")), ("desk".to_owned(), id("p2"))];
    for (proposal, lines, expected) in [
        (None, [].as_slice(), None),
        (Some(""), &[], None),
        (Some("p1"), &[], Some(Award::Whole(id("p1")))),
        (None, &lines, Some(Award::Lines(split.clone()))),
        (Some(""), &lines, Some(Award::Lines(split))),
    ] {
        assert_eq!(award(proposal, lines).unwrap(), expected);
    }
    assert_refused(award(Some("p1"), &lines), "lines", "give one of the two");
    assert_refused(award(None, &[("", "p1")]), "lines[0].sku", "is missing");
    assert_refused(award(None, &[lines[0]; ITEMS_MAX + 1]), "lines", "at most 100 are allowed");
}

fn proposal(changed: &Value) -> Result<ProposalContent, Refusal> {
    let mut proposal = json!({"proposal_id": "p1", "seller": "anna", "price": "10",
        "currency": "EUR"});
    proposal.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    ProposalContent::try_from(serde_json::from_value::<ProposalInput>(proposal).unwrap())
}

/// Each price is that of its whole line; a proposal without lines has only its total.
#[test]
fn lines_add_up_to_the_total() {
    let lines = |prices: [&str; 2]| {
        let line = |price: &str| json!({"sku": "chair", "quantity": "2", "price": price});
        json!({"lines": prices.map(line)})
    };
    assert!(proposal(&json!({})).is_ok());
    assert!(proposal(&lines(["7.5", "2.50"])).is_ok());
    assert_refused(proposal(&lines(["7", "2"])), "price", "is 10, but the lines add up to 9");
}

/// An empty id is one that was not given.
#[test]
fn proposals_keep_their_ids() {
    let id = |text: &str| proposal(&json!({"proposal_id": text})).unwrap().proposal_id;
    assert_eq!((id("p7"), id("")), (ProposalId::new("p7").ok(), None));
}
