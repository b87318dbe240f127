//! Merges an applied document into a stored resource, as `kubectl apply` does where there is no API
//! server: fields of the document are set, fields that only the last applied document had are
//! removed, and all others stay.
//!
//! The fields that steer an order may be edited beside its document, by commands. A document sets
//! them when it differs there from the last applied one; repeated, it takes nothing back.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_core::{Reason, Refusal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::check;
use crate::crd::{order_request_schema, seller_schema};
use crate::duration::parse_ms;
use crate::manifest::without_nulls;
use crate::order_request::{OrderRequest, OrderRequestSpec};
use crate::seller::Seller;

/// The annotation with the last applied document: its labels, its annotations and its spec, as JSON.
/// It is as large as the document at most.
pub const LAST_APPLIED_ANNOTATION: &str = "orderstream.dev/last-applied";

const SUSPENSION: [&str; 2] = ["suspend", "suspendReason"];
const CANCELLATION: [&str; 2] = ["cancel", "cancelReason"];
const EXPIRES_IN: &str = "expiresIn";
const FOLLOW_UPS: &str = "followUps";

/// The parts of a document that are merged, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct AppliedParts {
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
    spec: Map<String, Value>,
}

impl AppliedParts {
    fn of(document: &Value) -> Self {
        let fields = |pointer: &str| {
            let mut part = document.pointer(pointer).cloned().unwrap_or_default();
            without_nulls(&mut part);
            if let Value::Object(fields) = part { fields } else { Map::new() }
        };
        let mut annotations = fields("/metadata/annotations");
        annotations.remove(LAST_APPLIED_ANNOTATION);
        Self { labels: fields("/metadata/labels"), annotations, spec: fields("/spec") }
    }

    /// Returns those of the last applied document; `None` where none is known.
    fn last(metadata: &ObjectMeta) -> Option<Self> {
        serde_json::from_str(metadata.annotations.as_ref()?.get(LAST_APPLIED_ANNOTATION)?).ok()
    }

    fn to_text(&self) -> Result<String, Refusal> {
        serde_json::to_string(self).map_err(|error| internal(&error))
    }
}

/// Returns a stored order request as it is after a document was applied to it. The document was
/// read before, and names this order request.
///
/// # Errors
/// The fault of a field that only the merged spec has.
pub fn merged_order_request(
    stored: &OrderRequest,
    document: &Value,
) -> Result<OrderRequest, Refusal> {
    let (last, new) = (AppliedParts::last(&stored.metadata), AppliedParts::of(document));
    let metadata = merged_metadata(&stored.metadata, last.as_ref(), &new)?;
    let mut spec = to_fields(&stored.spec)?;
    // Without a last applied document nothing is removed, and a suspension is not lifted.
    let last = last.map_or_else(
        || Map::from_iter([("suspend".to_owned(), false.into())]),
        |last| with_default_expiry(last.spec),
    );
    merge_order_spec(&mut spec, last, new.spec);
    let spec = typed(spec, &stored.spec, order_request_schema())?;
    Ok(OrderRequest { metadata, spec, status: stored.status.clone() })
}

/// Returns a stored seller as it is after a document was applied to it.
///
/// # Errors
/// As [`merged_order_request`].
pub fn merged_seller(stored: &Seller, document: &Value) -> Result<Seller, Refusal> {
    let (last, new) = (AppliedParts::last(&stored.metadata), AppliedParts::of(document));
    let metadata = merged_metadata(&stored.metadata, last.as_ref(), &new)?;
    let mut spec = to_fields(&stored.spec)?;
    merge_fields(&mut spec, &last.unwrap_or_default().spec, &new.spec);
    let spec = typed(spec, &stored.spec, seller_schema())?;
    Ok(Seller { metadata, spec, status: stored.status.clone() })
}

/// Adds the document from which a new resource is made to its metadata.
///
/// # Errors
/// A document that cannot be stored.
pub fn set_last_applied(metadata: &mut ObjectMeta, document: &Value) -> Result<(), Refusal> {
    let text = AppliedParts::of(document).to_text()?;
    put_last_applied(metadata, Some(text));
    Ok(())
}

/// Takes the last applied document over from other metadata, or removes it where that has none.
pub fn keep_last_applied(metadata: &mut ObjectMeta, from: &ObjectMeta) {
    let annotations = from.annotations.as_ref();
    let text = annotations.and_then(|annotations| annotations.get(LAST_APPLIED_ANNOTATION));
    put_last_applied(metadata, text.cloned());
}

/// Removes the last applied document, which is not shown to readers.
pub fn hide_last_applied(metadata: &mut ObjectMeta) {
    put_last_applied(metadata, None);
}

fn put_last_applied(metadata: &mut ObjectMeta, text: Option<String>) {
    let mut annotations = metadata.annotations.take().unwrap_or_default();
    annotations.remove(LAST_APPLIED_ANNOTATION);
    if let Some(text) = text {
        annotations.insert(LAST_APPLIED_ANNOTATION.to_owned(), text);
    }
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
}

fn merged_metadata(
    stored: &ObjectMeta,
    last: Option<&AppliedParts>,
    new: &AppliedParts,
) -> Result<ObjectMeta, Refusal> {
    let mut metadata = stored.clone();
    let last_labels = last.map(|last| &last.labels);
    metadata.labels = merged_texts(stored.labels.as_ref(), last_labels, &new.labels);
    let last_annotations = last.map(|last| &last.annotations);
    metadata.annotations =
        merged_texts(stored.annotations.as_ref(), last_annotations, &new.annotations);
    put_last_applied(&mut metadata, Some(new.to_text()?));
    Ok(metadata)
}

/// Merges labels or annotations; `None` where there are none.
fn merged_texts(
    stored: Option<&BTreeMap<String, String>>,
    last: Option<&Map<String, Value>>,
    new: &Map<String, Value>,
) -> Option<BTreeMap<String, String>> {
    let mut merged = stored.cloned().unwrap_or_default();
    merged.retain(|name, _| {
        new.contains_key(name) || !last.is_some_and(|last| last.contains_key(name))
    });
    let texts =
        new.iter().filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())));
    merged.extend(texts);
    (!merged.is_empty()).then_some(merged)
}

/// Merges what steers the order, and then all other fields.
fn merge_order_spec(
    spec: &mut Map<String, Value>,
    mut last: Map<String, Value>,
    mut new: Map<String, Value>,
) {
    merge_suspension(spec, &mut last, &mut new);
    // A cancellation cannot be taken back: `false` means nothing.
    for fields in [&mut last, &mut new] {
        if fields.get("cancel") == Some(&Value::Bool(false)) {
            fields.remove("cancel");
        }
    }
    set_if_changed(spec, &CANCELLATION, &mut last, &mut new);
    set_if_changed(spec, &["close"], &mut last, &mut new);
    set_if_changed(spec, &["award"], &mut last, &mut new);
    merge_expiry(spec, &mut last, &mut new);
    let (last_list, new_list) = (entries(last.remove(FOLLOW_UPS)), entries(new.remove(FOLLOW_UPS)));
    merge_follow_ups(spec, &last_list, new_list);
    merge_fields(spec, &last, &new);
}

/// Sets fields that belong together, where the document has other values for them than the last
/// applied one. Those that it no longer has stay: what was decided is not taken back.
fn set_if_changed(
    spec: &mut Map<String, Value>,
    names: &[&str],
    last: &mut Map<String, Value>,
    new: &mut Map<String, Value>,
) {
    let (before, wanted) = (take(last, names), take(new, names));
    if !wanted.is_empty() && wanted != before {
        take(spec, names);
        spec.extend(wanted);
    }
}

/// Merges a suspension. It is lifted when it goes from the document that made it.
fn merge_suspension(
    spec: &mut Map<String, Value>,
    last: &mut Map<String, Value>,
    new: &mut Map<String, Value>,
) {
    let is_gone = SUSPENSION.iter().all(|name| !new.contains_key(*name));
    let is_of_last = SUSPENSION.iter().all(|name| spec.get(*name) == last.get(*name));
    if is_gone && is_of_last {
        take(spec, &SUSPENSION);
    }
    set_if_changed(spec, &SUSPENSION, last, new);
}

/// Merges the time to the deadline. A document that asks for less than it did itself is refused
/// later; any other never shortens a time that was extended since.
fn merge_expiry(
    spec: &mut Map<String, Value>,
    last: &mut Map<String, Value>,
    new: &mut Map<String, Value>,
) {
    let ms = |text: Option<&Value>| text.and_then(Value::as_str).and_then(parse_ms).unwrap_or(0);
    let before_ms = ms(last.remove(EXPIRES_IN).as_ref());
    let Some(wanted) = new.remove(EXPIRES_IN) else { return };
    let wanted_ms = ms(Some(&wanted));
    if wanted_ms < before_ms || wanted_ms > ms(spec.get(EXPIRES_IN)) {
        spec.insert(EXPIRES_IN.to_owned(), wanted);
    }
}

/// Returns the spec of a document with the expiry that it has: the default one where it names none.
fn with_default_expiry(mut spec: Map<String, Value>) -> Map<String, Value> {
    let default = || OrderRequestSpec::default().expires_in.into();
    spec.entry(EXPIRES_IN).or_insert_with(default);
    spec
}

/// Merges follow-ups by their ids: new ones are added, and one that the document changed is set. A
/// follow-up was sent, so those that the document does not have stay.
fn merge_follow_ups(spec: &mut Map<String, Value>, last: &[Value], new: Vec<Value>) {
    let mut merged = entries(spec.remove(FOLLOW_UPS));
    for entry in new {
        let is_same_id = |other: &&Value| other["id"] == entry["id"];
        let is_changed = last.iter().find(is_same_id) != Some(&entry);
        match merged.iter().position(|other| is_same_id(&other)) {
            Some(index) if is_changed => merged[index] = entry,
            Some(_) => {}
            None => merged.push(entry),
        }
    }
    if !merged.is_empty() {
        spec.insert(FOLLOW_UPS.to_owned(), merged.into());
    }
}

fn entries(list: Option<Value>) -> Vec<Value> {
    if let Some(Value::Array(entries)) = list { entries } else { Vec::new() }
}

/// Merges groups of fields, and the groups in them. A list is set as a whole.
fn merge_fields(
    fields: &mut Map<String, Value>,
    last: &Map<String, Value>,
    new: &Map<String, Value>,
) {
    for name in last.keys().filter(|name| !new.contains_key(*name)) {
        fields.remove(name);
    }
    let none = Map::new();
    for (name, value) in new {
        let group = fields.get_mut(name).and_then(Value::as_object_mut);
        if let (Some(group), Some(new)) = (group, value.as_object()) {
            let last = last.get(name).and_then(Value::as_object).unwrap_or(&none);
            merge_fields(group, last, new);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
}

/// Takes fields out of a group.
fn take(fields: &mut Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), fields.remove(*name)?))).collect()
}

fn to_fields<T: Serialize>(spec: &T) -> Result<Map<String, Value>, Refusal> {
    let spec = serde_json::to_value(spec).map_err(|error| internal(&error))?;
    Ok(if let Value::Object(fields) = spec { fields } else { Map::new() })
}

/// Returns a merged spec, which is checked where it differs from the stored one.
fn typed<T: DeserializeOwned + PartialEq>(
    spec: Map<String, Value>,
    stored: &T,
    schema: &Value,
) -> Result<T, Refusal> {
    let spec = Value::Object(spec);
    let merged: T = serde_json::from_value(spec.clone()).map_err(|error| internal(&error))?;
    if merged != *stored {
        check("spec", &spec, &schema["properties"]["spec"])?;
    }
    Ok(merged)
}

fn internal(error: &serde_json::Error) -> Refusal {
    Refusal::new(Reason::Internal, format!("the document cannot be merged: {error}"))
}

#[cfg(test)]
#[path = "apply_merge_tests.rs"]
mod tests;
