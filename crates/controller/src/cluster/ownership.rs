//! Whose a status is: the API server keeps for every field who set it last to what it says. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use super::writer::FIELD_MANAGER;
use crate::order_request::OrderRequest;
use crate::order_status::OrderRequestStatus;

/// A field by its path, and whether a status has it.
type Field = (&'static [&'static str], fn(&OrderRequestStatus) -> bool);

/// What a leader builds on: an order's end and when that was, who holds the order, and how far it
/// was read.
const BELIEVED: [Field; 4] = [
    (&["f:phase"], |status| status.phase.is_some()),
    (&["f:completionTime"], |status| status.completion_time.is_some()),
    (&["f:stream", "f:processor"], |status| status.processor().is_some()),
    (&["f:tracker", "f:lastSeq"], |status| status.tracker.is_some()),
];

/// Whether all that a leader would build on was written by a controller of ours, and by nobody
/// after it: whoever sets an applied field to something else takes it over. A status that says
/// nothing of it is nobody's, and does no harm.
pub(super) fn is_status_ours(resource: &OrderRequest) -> bool {
    let Some(status) = &resource.status else { return true };
    let managed = resource.metadata.managed_fields.as_deref().unwrap_or_default();
    let applied = managed.iter().find(|entry| is_ours(entry));
    let fields = applied.and_then(|entry| entry.fields_v1.as_ref()?.0.get("f:status"));
    let owns =
        |path: &[&str]| path.iter().try_fold(fields?, |at: &Value, step| at.get(*step)).map(|_| ());
    BELIEVED.iter().all(|(path, is_said)| !is_said(status) || owns(path).is_some())
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref() == Some("status")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    fn resource(status: &Value, managers: &[(&str, &str, Value)]) -> OrderRequest {
        let mut resource: OrderRequest = serde_json::from_value(json!({
            "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
            "metadata": { "name": "a" }, "spec": {}, "status": status,
        }))
        .unwrap();
        let entry = |(manager, operation, fields): &(&str, &str, Value)| ManagedFieldsEntry {
            manager: Some((*manager).to_owned()),
            operation: Some((*operation).to_owned()),
            subresource: Some("status".to_owned()),
            fields_v1: Some(FieldsV1(json!({ "f:status": fields }))),
            ..ManagedFieldsEntry::default()
        };
        resource.metadata.managed_fields = Some(managers.iter().map(entry).collect());
        resource
    }

    #[test]
    fn a_status_is_ours_while_nobody_took_over_what_a_leader_builds_on() {
        let ended = json!({ "phase": "Closed", "completionTime": "2026-01-01T00:00:00Z" });
        let both = json!({ "f:phase": {}, "f:completionTime": {} });
        let phase = json!({ "f:phase": {} });
        let is = |managers: &[(&str, &str, Value)]| is_status_ours(&resource(&ended, managers));
        assert!(is(&[(FIELD_MANAGER, "Apply", both.clone())]));
        assert!(is(&[("x", "Update", both.clone()), (FIELD_MANAGER, "Apply", both.clone())]));
        assert!(!is(&[]));
        assert!(!is(&[("x", "Update", both.clone())]));
        assert!(!is(&[(FIELD_MANAGER, "Update", both)]));
        let time = json!({ "f:completionTime": {} });
        assert!(!is(&[(FIELD_MANAGER, "Apply", phase), ("x", "Update", time)]));
    }

    #[test]
    fn who_holds_an_order_and_how_far_it_was_read_are_believed_from_us_only() {
        let live = json!({
            "stream": { "processor": "http://p:1", "epoch": 1, "attempts": 0 },
            "tracker": { "streamActive": true, "notes": 0, "lastSeq": 9, "reconnects": 0 },
        });
        let (stream, tracker) = (json!({ "f:processor": {} }), json!({ "f:lastSeq": {} }));
        let is =
            |fields: Value| is_status_ours(&resource(&live, &[(FIELD_MANAGER, "Apply", fields)]));
        assert!(is(json!({ "f:stream": stream, "f:tracker": tracker })));
        assert!(!is(json!({ "f:stream": { "f:epoch": {} }, "f:tracker": tracker })));
        assert!(!is(json!({ "f:stream": stream, "f:tracker": { "f:notes": {} } })));
    }

    #[test]
    fn a_status_that_says_nothing_is_nobodys() {
        assert!(is_status_ours(&resource(&Value::Null, &[])));
        assert!(is_status_ours(&resource(&json!({ "proposals": { "received": 3 } }), &[])));
    }
}
