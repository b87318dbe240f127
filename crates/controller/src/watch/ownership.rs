//! The ownership of a status: the API server records for every field who last set it to its value.
//! Pure.

use std::collections::BTreeMap;

use orderstream_api::order_status::OrderRequestStatus;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The field manager that owns the status.
pub(crate) const FIELD_MANAGER: &str = "orderstream-controller";

/// One entry of `metadata.managedFields`: who set which fields, and how. Only the fields on which a
/// leader builds are read: an order's end and its time, the order's owner, and the last sequence
/// number that was read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManagedFields {
    manager: Option<String>,
    operation: Option<String>,
    subresource: Option<String>,
    fields_v1: Option<OwnedFields>,
}

#[derive(Debug, Deserialize)]
struct OwnedFields {
    #[serde(rename = "f:status")]
    status: Option<StatusFields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusFields {
    #[serde(rename = "f:phase")]
    phase: Option<IgnoredAny>,
    #[serde(rename = "f:completionTime")]
    completion_time: Option<IgnoredAny>,
    #[serde(rename = "f:stream")]
    stream: Option<StatusPart>,
    #[serde(rename = "f:tracker")]
    tracker: Option<StatusPart>,
}

/// A part of the status: it is set as a whole, and was set field by field before.
#[derive(Debug, Deserialize)]
struct StatusPart(BTreeMap<String, IgnoredAny>);

impl StatusPart {
    fn owns(part: Option<&Self>, field: &str) -> bool {
        part.is_some_and(|Self(fields)| fields.is_empty() || fields.contains_key(field))
    }
}

/// Reports whether everything that a leader would build on was written by a controller of ours, and
/// by nobody after it: another writer that changes an applied field takes it over. A status without
/// any such field has no owner and counts as ours, since nothing is built on it.
pub(super) fn is_status_ours(
    status: Option<&OrderRequestStatus>,
    managed: &[ManagedFields],
) -> bool {
    let Some(status) = status else { return true };
    let applied = managed.iter().find(|entry| entry.is_ours());
    let none = StatusFields::default();
    let fields = applied.and_then(|entry| entry.fields_v1.as_ref()?.status.as_ref());
    let owned = fields.unwrap_or(&none);
    let trusted = [
        (status.phase.is_some(), owned.phase.is_some()),
        (status.completion_time.is_some(), owned.completion_time.is_some()),
        (status.processor().is_some(), StatusPart::owns(owned.stream.as_ref(), "f:processor")),
        (status.tracker.is_some(), StatusPart::owns(owned.tracker.as_ref(), "f:lastSeq")),
    ];
    trusted.iter().all(|(is_set, is_owned)| !is_set || *is_owned)
}

impl ManagedFields {
    fn is_ours(&self) -> bool {
        self.manager.as_deref() == Some(FIELD_MANAGER)
            && self.operation.as_deref() == Some("Apply")
            && self.subresource.as_deref() == Some("status")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_ours(status: &Value, managers: &[(&str, &str, Value)]) -> bool {
        let status: Option<OrderRequestStatus> = serde_json::from_value(status.clone()).unwrap();
        let entry = |(manager, operation, fields): &(&str, &str, Value)| {
            let entry = json!({
                "manager": manager, "operation": operation, "subresource": "status",
                "fieldsType": "FieldsV1", "fieldsV1": { "f:status": fields },
            });
            serde_json::from_value(entry).unwrap()
        };
        let managed: Vec<ManagedFields> = managers.iter().map(entry).collect();
        is_status_ours(status.as_ref(), &managed)
    }

    /// A status is foreign where another client took over a field on which a leader builds.
    #[test]
    fn status_is_ours_until_taken_over() {
        let ended = json!({ "phase": "Closed", "completionTime": "2026-01-01T00:00:00Z" });
        let both = json!({ "f:phase": {}, "f:completionTime": {} });
        let phase = json!({ "f:phase": {} });
        let is = |managers: &[(&str, &str, Value)]| is_ours(&ended, managers);
        assert!(is(&[(FIELD_MANAGER, "Apply", both.clone())]));
        assert!(is(&[("x", "Update", both.clone()), (FIELD_MANAGER, "Apply", both.clone())]));
        assert!(!is(&[]));
        assert!(!is(&[("x", "Update", both.clone())]));
        assert!(!is(&[(FIELD_MANAGER, "Update", both)]));
        let time = json!({ "f:completionTime": {} });
        assert!(!is(&[(FIELD_MANAGER, "Apply", phase), ("x", "Update", time)]));
    }

    /// The processor and the last sequence number count only where our controller set them.
    #[test]
    fn only_our_owner_and_cursor_count() {
        let live = json!({
            "stream": { "processor": "http://p:1", "epoch": 1, "attempts": 0 },
            "tracker": { "streamActive": true, "notes": 0, "lastSeq": 9, "reconnects": 0 },
        });
        let (stream, tracker) = (json!({ "f:processor": {} }), json!({ "f:lastSeq": {} }));
        let is = |fields: Value| is_ours(&live, &[(FIELD_MANAGER, "Apply", fields)]);
        assert!(is(json!({ "f:stream": stream, "f:tracker": tracker })));
        assert!(is(json!({ "f:stream": {}, "f:tracker": {} })), "each as a whole");
        assert!(!is(json!({ "f:stream": {} })));
        assert!(!is(json!({ "f:stream": { "f:epoch": {} }, "f:tracker": tracker })));
        assert!(!is(json!({ "f:stream": stream, "f:tracker": { "f:notes": {} } })));
    }

    #[test]
    fn status_without_believed_fields_is_ours() {
        assert!(is_ours(&Value::Null, &[]));
        assert!(is_ours(&json!({ "proposals": { "received": 3 } }), &[]));
    }
}
