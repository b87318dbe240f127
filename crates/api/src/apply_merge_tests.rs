//! Tests of merging applied documents: fields of the document, and edits beside it.

use orderstream_core::FollowUpId;
use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::command::Award;
use orderstream_core::spec::{Message, MessageType};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::edits;
use crate::manifest::{Manifest, manifest};
use crate::update::check_update;

fn document(spec: &Value) -> Value {
    json!({
        "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
        "metadata": { "name": "chairs", "labels": { "team": "a" } }, "spec": spec,
    })
}

/// Returns a resource that was made from a document.
fn stored(document: &Value) -> OrderRequest {
    let Manifest::OrderRequest(mut resource) = manifest(document.clone()).unwrap() else {
        panic!("{document}");
    };
    set_last_applied(&mut resource.metadata, document).unwrap();
    *resource
}

/// Returns a resource after a document was applied to it.
fn apply(stored: &OrderRequest, spec: &Value) -> OrderRequest {
    merged_order_request(stored, &document(spec)).unwrap()
}

fn award(id: &str) -> BuyerCommand {
    let award = Some(Award::Whole(orderstream_core::ProposalId::new(id).unwrap()));
    BuyerCommand::Finalise { award, reason: Some("the best".to_owned()), undo_within_ms: None }
}

fn ask(spec: &mut OrderRequestSpec, id: &str) {
    let message =
        Message { kind: MessageType::Text, message: "When?".to_owned(), urls: Vec::new() };
    let draft = FollowUpDraft { id: None, audience: Vec::new(), message, answers: None };
    let follow_up = edits::follow_up_spec(&FollowUpId::new(id).unwrap(), &draft);
    edits::add_follow_up(spec, &follow_up).unwrap();
}

#[test]
fn fields_are_set_removed_and_kept() {
    let first = json!({ "title": "Chairs", "ttlAfterFinished": "2h", "suspend": true });
    let stored = stored(&document(&first));
    let second = apply(&stored, &json!({ "title": "Chairs" }));
    assert_eq!(second.spec.ttl_after_finished, "7d", "the document has it no more");
    assert!(!second.spec.suspend, "the document that paused has it no more");
    let third = apply(&second, &json!({ "title": "Chairs", "ttlAfterFinished": "3h" }));
    assert_eq!(third.spec.ttl_after_finished, "3h");
    // The other field is nobody's business but that of who set it.
    let mut edited = third;
    edited.spec.session = Some("s".to_owned());
    let fourth = apply(&edited, &json!({ "title": "Chairs", "ttlAfterFinished": "3h" }));
    assert_eq!(fourth.spec, edited.spec);
}

#[test]
fn labels_and_annotations_are_merged_too() {
    let mut stored = stored(&document(&json!({})));
    let labels = stored.metadata.labels.get_or_insert_default();
    labels.insert("by-hand".to_owned(), "yes".to_owned());
    let mut next = document(&json!({}));
    next["metadata"] = json!({ "name": "chairs", "annotations": { "note": "new", "none": null } });
    let mut merged = merged_order_request(&stored, &next).unwrap();
    hide_last_applied(&mut merged.metadata);
    let texts = |pairs: [(&str, &str); 1]| {
        Some(BTreeMap::from(pairs.map(|(name, text)| (name.to_owned(), text.to_owned()))))
    };
    assert_eq!(merged.metadata.labels, texts([("by-hand", "yes")]));
    assert_eq!(merged.metadata.annotations, texts([("note", "new")]));
}

#[test]
fn repeated_documents_keep_every_decision() {
    let spec = json!({ "title": "Chairs", "expiresIn": "1h", "suspend": false, "cancel": false });
    for command in [
        award("p1"),
        BuyerCommand::Pause(Some("lunch".to_owned())),
        BuyerCommand::Extend(7_200_000),
        BuyerCommand::Close(None),
        BuyerCommand::Cancel(Some("no budget".to_owned())),
    ] {
        let mut steered = stored(&document(&spec));
        ask(&mut steered.spec, "f1");
        edits::apply(&mut steered.spec, None, &command).unwrap();
        assert_eq!(apply(&steered, &spec), steered, "{command:?}");
        // The same of a resource from before documents were kept.
        hide_last_applied(&mut steered.metadata);
        let again = apply(&steered, &spec);
        assert_eq!(again.spec, steered.spec, "{command:?}");
    }
}

/// An award that was made by hand stands until the document names another one itself.
#[test]
fn changed_documents_steer() {
    let mut steered = stored(&document(&json!({ "award": { "proposalId": "p1" } })));
    edits::apply(&mut steered.spec, None, &BuyerCommand::UndoAward(None)).unwrap();
    edits::apply(&mut steered.spec, None, &award("p2")).unwrap();
    let same = apply(&steered, &json!({ "award": { "proposalId": "p1" } }));
    assert_eq!(same.spec, steered.spec);
    let none = apply(&steered, &json!({}));
    assert_eq!(none.spec, steered.spec);
    let third = apply(&steered, &json!({ "award": { "proposalId": "p3" } }));
    let refusal = check_update(&steered.spec, &third.spec).expect_err("it is decided");
    assert_eq!(refusal.field.as_deref(), Some("spec.award"));

    let mut paused = stored(&document(&json!({})));
    edits::apply(&mut paused.spec, None, &BuyerCommand::Pause(None)).unwrap();
    assert!(!apply(&paused, &json!({ "suspend": false })).spec.suspend);
}

#[test]
fn expiry_grows_and_shrinks_by_the_document_only() {
    let mut extended = stored(&document(&json!({ "expiresIn": "1h" })));
    edits::apply(&mut extended.spec, None, &BuyerCommand::Extend(3 * 3_600_000)).unwrap();
    for (written, expected) in [("1h", "3h"), ("2h", "3h"), ("4h", "4h"), ("30m", "30m")] {
        let merged = apply(&extended, &json!({ "expiresIn": written }));
        assert_eq!(merged.spec.expires_in, expected, "{written}");
    }
    // A document without it does not shorten, one that shortens its own time is refused.
    assert_eq!(apply(&extended, &json!({})).spec.expires_in, "3h");
    let shorter = apply(&extended, &json!({ "expiresIn": "30m" }));
    let refusal = check_update(&extended.spec, &shorter.spec).expect_err("it shrinks");
    assert_eq!(refusal.reason, Reason::ExpiryShrinks);
    let default = stored(&document(&json!({})));
    assert_eq!(apply(&default, &json!({ "expiresIn": "20m" })).spec.expires_in, "20m");
}

#[test]
fn follow_ups_are_merged_by_id() {
    let one = |id: &str, text: &str| json!({ "id": id, "message": { "message": text } });
    let mut stored = stored(&document(&json!({ "followUps": [one("a", "one")] })));
    ask(&mut stored.spec, "by-hand");
    let ids = |spec: &Value| {
        let merged = apply(&stored, spec).spec;
        check_update(&stored.spec, &merged)?;
        let ids: Vec<_> = merged.follow_ups.into_iter().map(|one| one.id).collect();
        Ok::<_, Refusal>(ids.join(" "))
    };
    let more = json!({ "followUps": [one("a", "one"), one("b", "two")] });
    assert_eq!(ids(&more).unwrap(), "a by-hand b");
    assert_eq!(ids(&json!({})).unwrap(), "a by-hand");
    let changed = json!({ "followUps": [one("a", "other")] });
    assert_eq!(ids(&changed).unwrap_err().field.as_deref(), Some("spec.followUps[0]"));
    let many: Vec<_> = (0..32).map(|number| one(&format!("f{number}"), "x")).collect();
    let refusal = merged_order_request(&stored, &document(&json!({ "followUps": many })));
    assert_eq!(refusal.unwrap_err().field.as_deref(), Some("spec.followUps"));
}

#[test]
fn sellers_are_merged_field_by_field() {
    let document = |spec: &Value| {
        json!({
            "apiVersion": "orderstream.dev/v1alpha1", "kind": "Seller",
            "metadata": { "name": "acme" }, "spec": spec,
        })
    };
    let first = document(&json!({ "categories": ["steel"], "capacity": 3 }));
    let Manifest::Seller(mut stored) = manifest(first.clone()).unwrap() else { panic!() };
    set_last_applied(&mut stored.metadata, &first).unwrap();
    stored.spec.suspended = true;
    let next = document(&json!({ "categories": ["steel", "wood"] }));
    let merged = merged_seller(&stored, &next).unwrap().spec;
    assert_eq!(merged.categories, ["steel", "wood"]);
    assert_eq!((merged.capacity, merged.suspended), (None, true));
}

fn steps() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..8_u8, 0..8)
}

/// Makes one of the edits that steer an order; one that is refused changes nothing.
fn steer(spec: &mut OrderRequestSpec, step: u8, number: u64) {
    let command = match step {
        0 => BuyerCommand::Pause(Some(format!("reason {number}"))),
        1 => BuyerCommand::Resume,
        2 => BuyerCommand::Extend(3_600_000 * (2 + number)),
        3 => award(&format!("p{number}")),
        4 => BuyerCommand::UndoAward(Some("a slip".to_owned())),
        5 => BuyerCommand::Close(None),
        6 => BuyerCommand::Cancel(None),
        _ => return ask(spec, &format!("hand-{number}")),
    };
    let before = spec.clone();
    if edits::apply(spec, None, &command).is_err() {
        *spec = before;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    /// Whatever the document steers itself.
    #[test]
    fn steering_outlives_a_repeated_document(
        suspend in proptest::option::of(any::<bool>()),
        expires_in in proptest::option::of(1..4_u8),
        has_award in any::<bool>(),
        has_follow_up in any::<bool>(),
        steps in steps(),
    ) {
        let mut spec = Map::new();
        if let Some(suspend) = suspend {
            spec.insert("suspend".to_owned(), suspend.into());
        }
        if let Some(hours) = expires_in {
            spec.insert(EXPIRES_IN.to_owned(), format!("{hours}h").into());
        }
        if has_award {
            spec.insert("award".to_owned(), json!({ "proposalId": "p1" }));
        }
        if has_follow_up {
            let follow_up = json!({ "id": "f1", "message": { "message": "x" } });
            spec.insert(FOLLOW_UPS.to_owned(), json!([follow_up]));
        }
        let spec = Value::Object(spec);
        let mut steered = stored(&document(&spec));
        for (number, step) in (0..).zip(steps) {
            steer(&mut steered.spec, step, number);
            prop_assert_eq!(&apply(&steered, &spec), &steered);
        }
    }

    /// Nobody edits beside it.
    #[test]
    fn lone_documents_are_what_is_stored(
        titles in proptest::collection::vec(proptest::option::of("[a-z]{1,8}"), 1..5),
        ttls in proptest::collection::vec(proptest::option::of(1..9_u8), 1..5),
    ) {
        let mut held: Option<OrderRequest> = None;
        for (title, ttl) in titles.into_iter().zip(ttls) {
            let mut spec = Map::new();
            if let Some(title) = title {
                spec.insert("title".to_owned(), title.into());
            }
            if let Some(hours) = ttl {
                spec.insert("ttlAfterFinished".to_owned(), format!("{hours}h").into());
            }
            let document = document(&Value::Object(spec));
            let next = match &held {
                Some(held) => merged_order_request(held, &document).unwrap(),
                None => stored(&document),
            };
            prop_assert_eq!(&next, &stored(&document));
            held = Some(next);
        }
    }
}
