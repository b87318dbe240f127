//! Tests of the bodies that sellers send.

use std::fmt::Debug;

use serde_json::json;
use utoipa::PartialSchema;

use super::*;

/// Reads a body in which each documented field in turn is null, and compares it with a body
/// without fields.
fn assert_null_is_absent<T: DeserializeOwned + Debug + PartialSchema>() {
    let schema = serde_json::to_value(T::schema()).unwrap();
    let absent: T = problem::parse_json(b"{}").unwrap();
    for field in schema["properties"].as_object().unwrap().keys() {
        let body = json!({ (field.as_str()): null }).to_string();
        let read: T = problem::parse_json(body.as_bytes())
            .unwrap_or_else(|refusal| panic!("{field}: {refusal}"));
        assert_eq!(format!("{read:?}"), format!("{absent:?}"), "{field}");
    }
}

#[test]
fn alternatives_have_a_label() {
    let read = |body: serde_json::Value| {
        let body: ProposalBody = problem::parse_json(body.to_string().as_bytes()).unwrap();
        label_of(body.alternative, body.label)
    };
    let label = || Ok(Some("from stock".to_owned()));
    assert_eq!(read(json!({ "alternative": "from stock" })), label());
    assert_eq!(read(json!({ "alternative": true, "label": "from stock" })), label());
    for main in [json!({}), json!({ "alternative": false, "label": "" })] {
        assert_eq!(read(main), Ok(None));
    }
    for wrong in [
        json!({ "alternative": true }),
        json!({ "label": "from stock" }),
        json!({ "alternative": false, "label": "from stock" }),
        json!({ "alternative": "from stock", "label": "blue" }),
    ] {
        let refusal = read(wrong.clone()).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("label"), "{wrong}");
    }
    let line = "two\nlines";
    for (wrong, field) in [
        (json!({ "alternative": line }), "alternative"),
        (json!({ "alternative": true, "label": line }), "label"),
    ] {
        let mut body =
            json!({ "order_req_id": "o", "seller": "s", "price": "1", "currency": "EUR" });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let body: ProposalBody = problem::parse_json(body.to_string().as_bytes()).unwrap();
        assert_eq!(body.check().unwrap_err().field.as_deref(), Some(field));
    }
    let number = problem::parse_json::<ProposalBody>(br#"{"alternative": 7}"#).unwrap_err();
    assert_eq!(number.field.as_deref(), Some("alternative"), "{number}");
}

#[test]
fn proposals_may_have_camel_case_names() {
    let read = |names: [&str; 6]| {
        let [order, proposal, seller, delivery, valid, reference] = names;
        let body = json!({
            order: "o", proposal: "p", seller: "s", delivery: "2030-12-01",
            valid: "2030-12-31", reference: "A-7", "price": "1", "currency": "EUR",
        });
        let body: ProposalBody = problem::parse_json(body.to_string().as_bytes()).unwrap();
        body.check().unwrap()
    };
    let ours = [
        "order_req_id",
        "proposal_id",
        "seller_id",
        "delivery_date",
        "valid_until",
        "your_reference",
    ];
    let others =
        ["orderReqId", "proposalId", "sellerId", "deliveryDate", "validUntil", "yourReference"];
    let (key, proposed) = read(others);
    assert_eq!(proposed.valid_until.as_deref(), Some("2030-12-31"));
    assert_eq!((key, proposed), read(ours));
}

/// A price that is left out or null is missing; it is not a wrong decimal.
#[test]
fn missing_prices_are_called_missing() {
    for price in [json!({}), json!({"price": null})] {
        let mut body = json!({"order_req_id": "o", "seller": "s", "currency": "EUR"});
        body.as_object_mut().unwrap().extend(price.as_object().unwrap().clone());
        let body: ProposalBody = problem::parse_json(body.to_string().as_bytes()).unwrap();
        let refusal = body.check().unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("price"));
        assert_eq!(refusal.message, "is missing; give 0 or more");
    }
}

#[test]
fn null_counts_as_absent_in_each_field() {
    assert_null_is_absent::<ProposalBody>();
    assert_null_is_absent::<LineBody>();
    assert_null_is_absent::<AnswerBody>();
    assert_null_is_absent::<QuestionBody>();
    assert_null_is_absent::<SeenBody>();
    assert_null_is_absent::<LockBody>();
    assert_null_is_absent::<WithdrawBody>();
    assert_null_is_absent::<DeclineBody>();
}
