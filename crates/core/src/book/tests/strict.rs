//! Tests of what only new orders and new proposals must meet. The book refuses them as the edges do,
//! and reads what was stored before there were these rules.

use serde_json::{Value, json};

use super::*;
use crate::id::OrderReqId;
use crate::input::{
    ProposalInput, SpecInput, check_new_order, check_new_proposal, check_new_proposal_id,
    check_new_seller, display_name,
};
use crate::seal::SEALED;

/// The field and a part of the message of a refusal.
type FieldFault = Option<(&'static str, &'static str)>;

fn spec(received: Value) -> OrderSpec {
    OrderSpec::try_from(serde_json::from_value::<SpecInput>(received).unwrap()).unwrap()
}

fn open(spec: &OrderSpec) -> (BookHarness, CommandResult) {
    let incarnation = Incarnation::new("uid-1").unwrap();
    let opening = OrderOpening { incarnation, spec: spec.clone(), choices: Vec::new() };
    let mut harness = BookHarness::closed();
    let result = harness.run(CommandKind::Open(Box::new(opening)));
    (harness, result)
}

/// Returns a good proposal of seller `a` with these fields changed.
fn content(changed: &Value) -> ProposalContent {
    let mut input = json!({"proposal_id": "p1", "seller": "a", "price": "10", "currency": "EUR"});
    input.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    ProposalContent::try_from(serde_json::from_value::<ProposalInput>(input).unwrap()).unwrap()
}

fn assert_fault(refusal: Option<&Refusal>, fault: FieldFault, case: &Value) {
    assert_eq!(refusal.is_some(), fault.is_some(), "{case}: {refusal:?}");
    let Some((refusal, (field, piece))) = refusal.zip(fault) else { return };
    assert_eq!(refusal.reason, Reason::InvalidField, "{case}");
    assert_eq!(refusal.field.as_deref(), Some(field), "{case}: {refusal}");
    assert!(refusal.message.contains(piece), "{case}: {refusal}");
}

fn item(sku: &str, line: &str) -> Value {
    json!({"sku": sku, "quantity": "2", "line": line})
}

/// A buyer's side checks an order before it stores it: what passes there is opened.
#[test]
fn orders_are_refused_as_at_the_edge() {
    let by = |text: &str| json!({"delivery": {"by": text}});
    let items = |items: Value| json!({"items": items});
    let cases: [(Value, FieldFault); 25] = [
        (json!({}), None),
        (json!({"currency": "EUR"}), None),
        (json!({"currency": "inr"}), None),
        (json!({"currency": "EUX"}), Some(("currency", "EUX is not a currency of ISO 4217"))),
        (json!({"currency": "XXX"}), Some(("currency", "XXX is not a currency of ISO 4217"))),
        (json!({"time_zone": "Europe/Berlin"}), None),
        (json!({"time_zone": "UTC"}), None),
        (json!({"time_zone": "Europe/Belrin"}), Some(("time_zone", "write Europe/Berlin"))),
        (json!({"time_zone": "Mars"}), Some(("time_zone", "name of one, such as Europe/Berlin"))),
        (json!({"time_zone": "no\tzone"}), Some(("time_zone", "'no\\tzone' is not a time zone"))),
        (by("1969-12-31"), None),
        (by("1970-01-01T02:00:00+02:00"), None),
        (by("soon"), Some(("delivery.by", "'soon' is not a date; write 2030-12-01"))),
        (by("31.12.1969"), Some(("delivery.by", "'31.12.1969' is not a date"))),
        (by("1970-01-01T00:00:00"), Some(("delivery.by", "or a time such as 2030-12-01T12"))),
        (by("1970-01-01T02:00:00+02"), Some(("delivery.by", "write 1970-01-01T00:00:00Z"))),
        (by("1970-01-01 02:00:00Z"), Some(("delivery.by", "write 1970-01-01T02:00:00Z"))),
        (by("1970-01-01T02:00:60Z"), Some(("delivery.by", "write 1970-01-01T02:00:59Z"))),
        (by("1970-W01-4"), Some(("delivery.by", "is not a date; write 2030-12-01"))),
        (items(json!([item("A", ""), item("B", "")])), None),
        (items(json!([item("A", "1"), item("A", "2")])), None),
        (items(json!([item("A", ""), item("A", "")])), Some(("items[0].line", "2 items are 'A'"))),
        (items(json!([item("A", "1"), item("A", "")])), Some(("items[1].line", "is missing"))),
        (items(json!([item("A", "1"), item("B", "1")])), Some(("items[1].line", "'1' names"))),
        (items(json!([item("A", ""), item("B", "A")])), Some(("items[1].line", "'A' names"))),
    ];
    for (case, fault) in cases {
        let spec = spec(case.clone());
        let (harness, result) = open(&spec);
        assert_fault(result.as_ref().err(), fault, &case);
        let id = &harness.book.key.order_req_id;
        assert_eq!(result.err(), check_new_order(id, &spec).err(), "{case}");
        assert_eq!(harness.stored.is_empty(), fault.is_some(), "{case}");
    }
}

#[test]
fn proposals_are_in_listed_currencies() {
    let line = |price: &str| json!([{"sku": "A", "quantity": "1", "price": price}]);
    let (any, euros) = (json!({}), json!({"currency": "EUR"}));
    let cases: [(&Value, Value, FieldFault); 9] = [
        (&any, json!({"currency": "JPY"}), None),
        (&any, json!({"currency": "EUX"}), Some(("currency", "write the code of one"))),
        (&any, json!({"currency": "JPY", "price": "70.5"}), Some(("price", "is 70.5, and JPY"))),
        (&any, json!({"price": "6999.999"}), Some(("price", "EUR has 2 decimal places"))),
        (&any, json!({"price": "9.990", "lines": line("9.990")}), None),
        (&euros, json!({}), None),
        (&euros, json!({"currency": "INR"}), Some(("currency", "takes EUR only"))),
        (&euros, json!({"currency": "EUX"}), Some(("currency", "EUX is not a currency"))),
        (&any, fractions(), Some(("lines[0].price", "is 4.995, and EUR has 2"))),
    ];
    for (order, case, fault) in cases {
        let spec = spec(order.clone());
        let (mut harness, _) = open(&spec);
        let proposed = content(&case);
        let refusal = harness.run(CommandKind::Propose(proposed.clone())).err();
        assert_fault(refusal.as_ref(), fault, &case);
        let now = Timestamp(harness.now);
        assert_eq!(refusal, check_new_proposal(&spec, &proposed, now).err(), "{case}");
    }
}

/// A line is for one item: its own article, or one that it substitutes.
#[test]
fn lines_are_for_one_item_each() {
    let spec = spec(json!({"items": [item("A", "1"), item("A", "2"), item("B", "")]}));
    let any = OrderSpec::default();
    let line = |sku: &str, line: &str, substitutes: &str| {
        let price = json!({"quantity": "1", "price": "10"});
        let mut line = json!({"sku": sku, "line": line, "substitutes": substitutes});
        line.as_object_mut().unwrap().extend(price.as_object().unwrap().clone());
        line
    };
    let cases: [(&OrderSpec, Vec<Value>, FieldFault); 14] = [
        (&spec, vec![line("A", "1", ""), line("A", "2", ""), line("B", "", "")], None),
        (&spec, vec![line("B", "B", "")], None),
        (&spec, vec![line("B", "", ""), line("C", "", "B"), line("D", "", "B")], None),
        (&spec, vec![line("C", "2", "A"), line("C", "1", "A")], None),
        (&spec, vec![line("A", "", "")], Some(("lines[0].line", "in the lines '1', '2'"))),
        (&spec, vec![line("A", "3", "")], Some(("lines[0].line", "has '1', '2', 'B'"))),
        (&spec, vec![line("B", "1", "")], Some(("lines[0].line", "'1' is a line of 'A'"))),
        (&spec, vec![line("C", "", "")], Some(("lines[0].sku", "'C' is not an article of the"))),
        (&spec, vec![line("C", "", "D")], Some(("lines[0].substitutes", "'D' is not an article"))),
        (&spec, vec![line("B", "", "B")], Some(("lines[0].substitutes", "the article itself"))),
        (&spec, vec![line("C", "", "A")], Some(("lines[0].line", "is missing"))),
        (&spec, vec![line("B", "", ""), line("B", "B", "")], Some(("lines[1].sku", "twice"))),
        (&any, vec![line("Z", "", ""), line("Y", "7", "X")], None),
        (&any, vec![line("Z", "", ""), line("Z", "", "")], Some(("lines[1].sku", "twice"))),
    ];
    for (spec, lines, fault) in cases {
        let (mut harness, _) = open(spec);
        let case = json!({"price": (10 * lines.len()).to_string(), "lines": lines});
        let result = harness.run(CommandKind::Propose(content(&case)));
        assert_fault(result.as_ref().err(), fault, &case);
    }
}

/// A date is over when its last millisecond is, in the order's time zone.
#[test]
fn dates_of_proposals_are_not_past() {
    // The clock is at 1970-01-01T00:16:40Z, which is still the day before in New York.
    let cases: [(&str, &str, bool); 11] = [
        ("UTC", "1970-01-01", true),
        ("UTC", "1970-01-02", true),
        ("UTC", "1969-12-31", false),
        ("America/New_York", "1969-12-31", true),
        ("America/New_York", "1969-12-30", false),
        ("Pacific/Auckland", "1970-01-01", true),
        ("Pacific/Auckland", "1969-12-31", false),
        ("America/New_York", "1970-01-01T00:16:40Z", true),
        ("America/New_York", "1970-01-01T00:16:39.999Z", false),
        ("UTC", "1969-12-31T19:16:40-05:00", true),
        ("UTC", "2030-12-01", true),
    ];
    for field in ["delivery_date", "valid_until"] {
        for (zone, text, is_taken) in cases {
            let (mut harness, _) = open(&spec(json!({"time_zone": zone})));
            let result = harness.run(CommandKind::Propose(content(&json!({field: text}))));
            let case = json!([zone, field, text]);
            let fault = (!is_taken).then_some((field, "' is past; give today or later, in the"));
            assert_fault(result.as_ref().err(), fault, &case);
        }
    }
}

/// Sellers write dates as buyers do.
#[test]
fn dates_of_proposals_have_one_form() {
    for field in ["delivery_date", "valid_until"] {
        for (text, fix) in [
            ("2036-12-01T12:00:00+0100", "write 2036-12-01T11:00:00Z"),
            ("2036-12-01T12:00Z", "write 2036-12-01T12:00:00Z"),
            ("2036-12-01T12:00:00Z[UTC]", "write 2036-12-01T12:00:00Z"),
            ("20361201T1", "is not a date; write 2030-12-01"),
        ] {
            let (mut harness, _) = open(&spec(json!({})));
            let case = json!({field: text});
            let result = harness.run(CommandKind::Propose(content(&case)));
            assert_fault(result.as_ref().err(), Some((field, fix)), &case);
        }
    }
}

/// An amendment says again when it delivers, and until when it holds.
#[test]
fn dates_of_amendments_are_not_past() {
    let (mut harness, _) = open(&spec(json!({})));
    let until = json!({"valid_until": "1970-01-01T00:16:41Z"});
    harness.run(CommandKind::Propose(content(&until))).unwrap();
    harness.now += 1_001;
    harness.run(CommandKind::Amend(content(&until))).expect("it is so already");
    let mut late = content(&until);
    late.note = Some("from stock".to_owned());
    let refusal = harness.run(CommandKind::Amend(late.clone())).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("valid_until"), "{refusal}");
    late.valid_until = Some("1970-01-01".to_owned());
    harness.run(CommandKind::Amend(late)).unwrap();
}

/// Returns a total in whole cents, of lines that are not.
fn fractions() -> Value {
    let line = json!({"sku": "A", "quantity": "1", "price": "4.995"});
    let other = json!({"sku": "B", "quantity": "1", "price": "5.005"});
    json!({"price": "10.000", "lines": [line, other]})
}

/// They are read, and can be replaced by good ones only.
#[test]
fn earlier_rules_hold_for_earlier_proposals() {
    for price in ["5 EUX", "70.5 JPY", "6999.999 EUR"] {
        let (amount, currency) = price.split_once(' ').unwrap();
        let stored = json!({
            "seq": 3, "at": T0,
            "kind": {"NewProposal": {
                "proposal_id": "p1", "seller": "a",
                "price": {"amount": amount, "currency": currency},
            }},
        });
        let mut harness = BookHarness::open();
        harness.book.replay(&serde_json::from_value(stored).unwrap()).unwrap();
        let order = harness.book.order().unwrap();
        assert_eq!(order.proposals[&proposal_id("p1")].content.price.to_string(), price);
        let noted = content(&json!({"price": amount, "currency": currency, "note": "from stock"}));
        assert_eq!(harness.expect_refusal(CommandKind::Amend(noted)), Reason::InvalidField);
        harness.run(CommandKind::Amend(content(&json!({})))).unwrap();
    }
}

/// An order that was opened with an article twice takes as many lines of it as it has.
#[test]
fn earlier_orders_take_one_article_twice() {
    let spec = spec(json!({"items": [item("A", ""), item("A", "")]}));
    let opened = OrderOpened {
        key: OrderKey::new("", "SB1").unwrap(),
        incarnation: Incarnation::new("uid-1").unwrap(),
        spec,
        expires_at: Timestamp(T0).plus_ms(LIFETIME_MS),
    };
    let kind = EventKind::OrderOpened(Box::new(opened));
    let mut harness = BookHarness::closed();
    harness.book.replay(&Event { seq: Seq(1), at: Timestamp(T0), cause: None, kind }).unwrap();
    let line = json!({"sku": "A", "quantity": "1", "price": "5"});
    let offered = |count: usize| {
        let price = (5 * count).to_string();
        CommandKind::Propose(content(&json!({"price": price, "lines": vec![&line; count]})))
    };
    let refusal = harness.run(offered(3)).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("lines[2].sku"), "{refusal}");
    harness.run(offered(2)).unwrap();
}

/// Texts that print nothing, of which the first does so in every program.
const BLANKS: [&str; 6] =
    [" \t", "\u{2800}", "\u{3164}\u{ffa0}", "\u{115f}\u{1160}", "\u{200b}\u{ad}", "\u{e0041}"];

#[test]
fn texts_of_orders_have_visible_characters() {
    for blank in BLANKS {
        let item = |field: &str| {
            let mut item = item("A", "1");
            item[field] = json!(blank);
            json!({"items": [item]})
        };
        for (case, field) in [
            (json!({"title": blank}), "title"),
            (json!({"category": blank}), "category"),
            (json!({"delivery": {"address": blank}}), "delivery.address"),
            (json!({"message": {"message": blank}}), "message.message"),
            (json!({"message": {"message": "m", "urls": ["u", blank]}}), "message.urls[1]"),
            (item("sku"), "items[0].sku"),
            (item("description"), "items[0].description"),
            (item("unit"), "items[0].unit"),
            (item("line"), "items[0].line"),
        ] {
            let (harness, result) = open(&spec(case.clone()));
            assert_fault(result.as_ref().err(), Some((field, "has no visible character")), &case);
            assert!(harness.stored.is_empty(), "{case}");
        }
    }
    let visible = json!({"title": "\u{200b}0", "category": "椅", "message": {"message": ""}});
    open(&spec(visible)).1.unwrap();
}

#[test]
fn texts_of_sellers_have_visible_characters() {
    let message = |text: &str| Message { message: text.to_owned(), ..Message::default() };
    let (audience, answers) = (Vec::new(), None);
    let follow_up = |id: &str, text: &str| {
        let (id, message) = (FollowUpId::new(id).unwrap(), message(text));
        let (audience, answers) = (audience.clone(), answers.clone());
        CommandKind::FollowUp(FollowUp { id, audience, message, answers })
    };
    let (mut harness, _) = open(&OrderSpec::default());
    harness.run(follow_up("f1", "When?")).unwrap();
    for blank in BLANKS {
        let line = |field: &str| {
            let mut line = json!({"sku": "A", "quantity": "1", "price": "10"});
            line[field] = json!(blank);
            json!({"lines": [line]})
        };
        for (case, field) in [
            (json!({"note": blank}), "note"),
            (json!({"your_reference": blank}), "your_reference"),
            (line("sku"), "lines[0].sku"),
            (line("unit"), "lines[0].unit"),
            (line("line"), "lines[0].line"),
            (line("substitutes"), "lines[0].substitutes"),
        ] {
            let refusal = harness.run(CommandKind::Propose(content(&case))).err();
            assert_fault(refusal.as_ref(), Some((field, "has no visible character")), &case);
        }
        let labelled = ProposalContent { alternative: Some(blank.into()), ..content(&json!({})) };
        let (by, text) = (seller("a"), blank.to_owned());
        let (id, question_id) = (FollowUpId::new("f1").unwrap(), FollowUpId::new("q1").ok());
        for (kind, field) in [
            (CommandKind::Propose(labelled), "alternative"),
            (follow_up("f2", blank), "message.message"),
            (
                CommandKind::Answer { seller: by.clone(), follow_up_id: id, message: text.clone() },
                "message",
            ),
            (CommandKind::Ask { seller: by, question_id, message: text }, "message"),
        ] {
            let refusal = harness.run(kind).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidField, "{blank:?}");
            assert_eq!(refusal.field.as_deref(), Some(field), "{blank:?}: {refusal}");
        }
    }
}

/// An earlier proposal keeps its label through its amendments.
#[test]
fn earlier_blank_labels_stay() {
    let mut harness = BookHarness::open();
    let stored = json!({
        "seq": 3, "at": T0,
        "kind": {"NewProposal": {
            "proposal_id": "p1", "seller": "a", "price": {"amount": "10", "currency": "EUR"},
            "alternative": "\u{2800}",
        }},
    });
    harness.book.replay(&serde_json::from_value(stored).unwrap()).unwrap();
    harness.run(amend("p1", "a", "9")).unwrap();
    harness.run(propose("p2", "a")).expect("it has no label");
}

/// People read these names as those of the buyer, of the service and of hidden sellers.
#[test]
fn names_of_others_are_no_sellers() {
    for (name, is_taken) in [
        ("buyer", false),
        ("Buyer", false),
        ("ORDERSTREAM", false),
        ("Sealed", false),
        ("b u y e r", false),
        ("Order Stream", false),
        ("(buyer)", false),
        ("buyer.", false),
        ("\u{ff22}\u{ff55}\u{ff59}\u{ff45}\u{ff52}", false),
        ("bu\u{200b}y\u{34f}er", false),
        ("\u{200e}buyer\u{3164}", false),
        ("sea\u{ad}led\u{fe0f}", false),
        ("\u{1d41b}uyer", false),
        ("Buyers' Guild", true),
        ("Best Buyer", true),
        ("Unsealed GmbH", true),
        ("Möbel Müller", true),
    ] {
        let result = display_name(Some(name.to_owned()));
        assert_eq!(result.is_ok(), is_taken, "{name:?}: {result:?}");
        let Err(refusal) = result else { continue };
        assert_eq!(refusal.field.as_deref(), Some("display_name"));
        assert!(refusal.message.contains("which stands for"), "{refusal}");
    }
    for blank in BLANKS {
        let refusal = display_name(Some(blank.to_owned())).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("display_name"), "{blank:?}");
    }
    for name in ["buyer", "Buyer", "BUYER", "b-u-y-e-r", "OrderStream", "Sealed", ".buyer"] {
        assert!(check_new_seller(&seller(name)).is_err(), "{name}");
    }
    for name in ["buyers", "best-buyer", "acme"] {
        check_new_seller(&seller(name)).unwrap();
    }
    let mut harness = BookHarness::open();
    harness.run(follow_up("f1")).unwrap();
    let (follow_up_id, message) = (FollowUpId::new("f1").unwrap(), "yes".to_owned());
    let answer = CommandKind::Answer { seller: seller("buyer"), follow_up_id, message };
    let refusal = harness.run(answer).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("seller"), "{refusal}");
}

/// Paths name orders, proposals and messages by their ids.
#[test]
fn words_of_routes_are_no_new_ids() {
    for (id, is_refused) in [(".", true), ("..", true), ("status", true), ("Status", false)] {
        let id = OrderReqId::new(id).unwrap();
        let refused = check_new_order(&id, &OrderSpec::default()).err();
        assert_eq!(refused.is_some(), is_refused, "{id}");
        let key = OrderKey { order_req_id: id.clone(), ..OrderKey::new("", "SB1").unwrap() };
        let mut harness = BookHarness { book: Book::new(key), now: T0, stored: Vec::new() };
        assert_eq!(harness.run(opening("uid-1")).err(), refused, "{id}");
    }
    let mut harness = BookHarness::open();
    for (id, by, field) in [
        (".", "a", "proposal_id"),
        ("..", "a", "proposal_id"),
        ("none", "a", "proposal_id"),
        ("p1", ".", "seller"),
        ("p1", SEALED, "seller"),
        ("p1", "buyer", "seller"),
        ("p1", "orderstream", "seller"),
    ] {
        let proposed = proposal_content(Some(id), by, "10");
        let refusal = check_new_proposal_id(&proposal_id(id), &seller(by)).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some(field), "{id} {by}");
        assert_eq!(harness.run(CommandKind::Propose(proposed)), Err(refusal), "{id} {by}");
    }
    let message = "how soon?".to_owned();
    let ask = |question_id| {
        let (seller, message) = (seller("a"), message.clone());
        CommandKind::Ask { seller, question_id, message }
    };
    let refusal = harness.run(ask(FollowUpId::new(".").ok())).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("question_id"), "{refusal}");
    let (asker, question_id) = (seller("buyer"), FollowUpId::new("q1").ok());
    let asked = CommandKind::Ask { seller: asker, question_id, message: message.clone() };
    let refusal = harness.run(asked).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("seller"), "{refusal}");
    let reply = harness.run_keyed_by("a", "..", ask(None)).unwrap();
    assert_ne!(reply.follow_up_id, FollowUpId::new("..").ok(), "the key is no id");
    let (audience, answers) = (Vec::new(), None);
    let id = FollowUpId::new("..").unwrap();
    let message = Message { message, ..Message::default() };
    let follow_up = FollowUp { id, audience, message, answers };
    let refusal = harness.run(CommandKind::FollowUp(follow_up)).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("follow_up_id"), "{refusal}");
}

/// An order that was opened before with such an id goes on as it was.
#[test]
fn earlier_orders_keep_their_ids() {
    let key = OrderKey::new("", "status").unwrap();
    let opened = OrderOpened {
        key: key.clone(),
        incarnation: Incarnation::new("uid-1").unwrap(),
        spec: OrderSpec::default(),
        expires_at: Timestamp(T0).plus_ms(LIFETIME_MS),
    };
    let kind = EventKind::OrderOpened(Box::new(opened));
    let mut harness = BookHarness { book: Book::new(key), now: T0, stored: Vec::new() };
    harness.book.replay(&Event { seq: Seq(1), at: Timestamp(T0), cause: None, kind }).unwrap();
    harness.run(opening("uid-1")).expect("it is open already");
    harness.run(CommandKind::Propose(proposal_content(Some("p1"), "a", "10"))).unwrap();
}
