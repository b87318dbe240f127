//! Tests of applying documents again: what was edited beside them stays.

use orderstream_api::apply_merge::LAST_APPLIED_ANNOTATION;
use orderstream_api::manifest::{Manifest, ManifestDocument, documents};
use orderstream_api::order_request::{AwardSpec, CloseSpec, FollowUpSpec, MessageSpec};

use super::tests::Rig;
use super::*;

const DOCUMENT: &str = "{title: Chairs, expiresIn: 1h, suspend: false}";

type SpecEdit = Box<dyn FnOnce(&mut OrderRequestSpec)>;

/// Edits the resource as the buyer's commands do.
fn edit(rig: &Rig, change: impl FnOnce(&mut OrderRequestSpec)) {
    let mut resource = rig.local.get("default", "chairs").unwrap();
    change(&mut resource.spec);
    let (outcome, _) = rig.local.replace(resource).unwrap();
    assert_eq!(outcome, LocalApplyOutcome::Configured);
}

/// Applies what a server printed.
fn apply_print(
    rig: &Rig,
    print: &OrderRequest,
) -> Result<(LocalApplyOutcome, OrderRequest), Refusal> {
    let text = serde_json::to_string(print).unwrap();
    let ManifestDocument { manifest, document } = documents("print", &text).unwrap().remove(0);
    let Manifest::OrderRequest(resource) = manifest else { panic!("{text}") };
    rig.local.apply(*resource, &document)
}

#[test]
fn repeated_documents_keep_edits() {
    let message = MessageSpec { message: "When?".to_owned(), ..MessageSpec::default() };
    let follow_up =
        FollowUpSpec { id: "f1".to_owned(), audience: Vec::new(), message, answers: None };
    let award = AwardSpec { proposal_id: Some("p1".to_owned()), ..AwardSpec::default() };
    let edits: [(&str, SpecEdit); 6] = [
        ("pause", Box::new(|spec| spec.suspend = true)),
        ("ask", Box::new(|spec| spec.follow_ups.push(follow_up))),
        ("extend", Box::new(|spec| spec.expires_in = "3h".to_owned())),
        ("award", Box::new(|spec| spec.award = Some(award))),
        ("close", Box::new(|spec| spec.close = Some(CloseSpec::default()))),
        ("cancel", Box::new(|spec| spec.cancel = true)),
    ];
    for (name, change) in edits {
        let mut rig = Rig::new();
        rig.apply(DOCUMENT).unwrap();
        rig.settle();
        edit(&rig, change);
        rig.settle();
        rig.reopen();
        let before = rig.local.get("default", "chairs").unwrap();
        let (outcome, after) = rig.apply(DOCUMENT).unwrap();
        assert_eq!(outcome, LocalApplyOutcome::Unchanged, "{name}");
        assert_eq!((after.spec, after.metadata), (before.spec, before.metadata), "{name}");
    }
}

/// It is not shown to readers.
#[test]
fn last_documents_survive_a_restart() {
    let mut rig = Rig::new();
    rig.apply("{title: Chairs, ttlAfterFinished: 2h}").unwrap();
    for resource in [rig.local.get("default", "chairs").unwrap(), rig.local.list(None).remove(0)] {
        assert_eq!(resource.metadata.annotations, None);
    }
    edit(&rig, |spec| spec.suspend = true);
    rig.reopen();
    let (outcome, applied) = rig.apply("{title: Chairs}").unwrap();
    assert_eq!(outcome, LocalApplyOutcome::Configured);
    assert_eq!((applied.spec.ttl_after_finished.as_str(), applied.spec.suspend), ("7d", true));
    assert_eq!(applied.metadata.annotations, None);
}

/// An earlier version kept no documents.
#[test]
fn resources_without_documents_lose_nothing() {
    let rig = Rig::new();
    let text = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
                metadata: {name: chairs}\nspec: {title: Chairs, ttlAfterFinished: 2h}\n";
    let Manifest::OrderRequest(resource) = documents("old", text).unwrap().remove(0).manifest
    else {
        panic!("{text}");
    };
    rig.local.replace(*resource).unwrap();
    edit(&rig, |spec| {
        spec.suspend = true;
        spec.expires_in = "3h".to_owned();
    });
    let (outcome, applied) = rig.apply(DOCUMENT).unwrap();
    assert_eq!(outcome, LocalApplyOutcome::Unchanged);
    assert_eq!(applied.spec.ttl_after_finished, "2h");
    assert!(applied.spec.suspend);
}

#[test]
fn prints_ask_for_nothing() {
    let rig = Rig::new();
    rig.apply("{title: Chairs, suspend: true}").unwrap();
    let print = rig.local.list(None).remove(0);
    assert_eq!(apply_print(&rig, &print).unwrap().0, LocalApplyOutcome::Unchanged);
    // The author's document is still the last one.
    assert!(!rig.apply("{title: Chairs}").unwrap().1.spec.suspend);
    let refusal = apply_print(&rig, &print).expect_err("it would pause the order again");
    assert_eq!(refusal.reason, Reason::Changed);
    // One that was edited meanwhile in ways that the print does not touch stays as it is.
    let print = rig.local.get("default", "chairs").unwrap();
    edit(&rig, |spec| spec.expires_in = "3h".to_owned());
    let (outcome, applied) = apply_print(&rig, &print).unwrap();
    assert_eq!((outcome, applied.spec.expires_in.as_str()), (LocalApplyOutcome::Unchanged, "3h"));
}

/// A copied annotation is not taken for the last document.
#[test]
fn reserved_annotations_are_not_taken_over() {
    let rig = Rig::new();
    rig.apply("{title: Chairs}").unwrap();
    let mut resource = rig.local.get("default", "chairs").unwrap();
    resource.spec.suspend = true;
    let annotation = (LAST_APPLIED_ANNOTATION.to_owned(), "{}".to_owned());
    resource.metadata.annotations = Some([annotation].into());
    let (_, replaced) = rig.local.replace(resource).unwrap();
    assert_eq!(replaced.metadata.annotations, None);
    let refusal = rig.apply("{category: other}").expect_err("the title is the document's");
    assert_eq!(refusal.field.as_deref(), Some("spec.title"));
}

#[test]
fn deleted_resources_can_be_applied_when_gone() {
    let rig = Rig::new();
    rig.apply(DOCUMENT).unwrap();
    rig.settle();
    rig.local.delete("default", "chairs").unwrap();
    let refusal = rig.apply(DOCUMENT).expect_err("it is being deleted");
    assert_eq!((refusal.reason, refusal.retry_after_ms), (Reason::OrderExists, Some(1_000)));
}
