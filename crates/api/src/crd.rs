//! The custom resource definitions, made from the Rust types. Their schemas also check manifests
//! where there is no API server.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use orderstream_core::limits::ID_CHARS_MAX;
use serde_json::{Value, json};

use crate::order_request::OrderRequest;
use crate::seller::Seller;

/// Returns each definition's file name and YAML text.
pub fn files() -> [(&'static str, String); 2] {
    [
        ("orderrequests.orderstream.dev.yaml", yaml(&OrderRequest::crd())),
        ("sellers.orderstream.dev.yaml", yaml(&Seller::crd())),
    ]
}

/// Returns both definitions as one YAML text, ready for `kubectl apply -f -`.
pub fn crds() -> String {
    files().map(|(_, text)| format!("---\n{text}")).concat()
}

/// Returns the definition as YAML. The types are fixed, so a failure would show in the first test
/// run.
fn yaml(crd: &CustomResourceDefinition) -> String {
    // Through a JSON value: its maps are sorted, so the text is the same every time.
    let value = value(crd);
    serde_saphyr::to_string(&value).unwrap_or_default()
}

/// Returns the definition as a JSON value, with the number formats that an API server knows.
pub fn value(crd: &CustomResourceDefinition) -> Value {
    let mut value = serde_json::to_value(crd).unwrap_or_default();
    known_formats(&mut value);
    let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status";
    if let Some(status) = value.pointer_mut(status) {
        without_defaults(status);
        make_parts_atomic(status);
    }
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    value.pointer_mut(spec).into_iter().for_each(not_nullable);
    if value["spec"]["names"]["kind"] == "Seller" {
        let properties = "/spec/versions/0/schema/openAPIV3Schema/properties";
        value.pointer_mut(properties).into_iter().for_each(bound_name);
    }
    value
}

/// Bounds the name of a resource whose name is an id: a longer one would be stored, and be of no
/// use.
fn bound_name(properties: &mut Value) {
    properties["metadata"] = json!({
        "type": "object",
        "properties": { "name": { "type": "string", "maxLength": ID_CHARS_MAX } },
    });
}

/// Makes all fields of a spec not nullable, so that the server drops a field that is null. A stored
/// null would differ from an absent field in every rule that compares.
fn not_nullable(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("nullable");
            fields.values_mut().for_each(not_nullable);
        }
        Value::Array(entries) => entries.iter_mut().for_each(not_nullable),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Removes the defaults of a status, which has only observed values.
fn without_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("default");
            fields.values_mut().for_each(without_defaults);
        }
        Value::Array(entries) => entries.iter_mut().for_each(without_defaults),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Makes each part of a status, and each condition, atomic: it is written as a whole and has one
/// owner. With an owner for each number, the API server would store as many bytes about owners as
/// of status, compare them at every write, and send them with every resource.
fn make_parts_atomic(status: &mut Value) {
    let make_atomic = |schema: &mut Value| {
        if schema["type"] == "object" {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
    };
    let parts = status.get_mut("properties").and_then(Value::as_object_mut);
    for part in parts.into_iter().flat_map(serde_json::Map::values_mut) {
        make_atomic(part);
        part.get_mut("items").into_iter().for_each(make_atomic);
    }
}

fn known_formats(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(format)) = fields.get_mut("format")
                && matches!(format.as_str(), "uint32" | "uint64")
            {
                "int64".clone_into(format);
            }
            fields.values_mut().for_each(known_formats);
        }
        Value::Array(entries) => entries.iter_mut().for_each(known_formats),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the structural schema of `OrderRequest`.
pub(crate) fn order_request_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema_of(&OrderRequest::crd()));
    &SCHEMA
}

/// Returns the structural schema of `Seller`.
pub(crate) fn seller_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema_of(&Seller::crd()));
    &SCHEMA
}

/// Returns the structural schema of a kind; null for a kind that is not ours.
pub fn schema(kind: &str) -> Value {
    match kind {
        "OrderRequest" => order_request_schema().clone(),
        "Seller" => seller_schema().clone(),
        _ => Value::Null,
    }
}

fn schema_of(crd: &CustomResourceDefinition) -> Value {
    let crd = value(crd);
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use orderstream_core::RequestPhase;

    use super::*;

    #[test]
    fn the_files_in_deploy_are_fresh() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
        for (name, text) in files() {
            let path = dir.join(name);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &text).expect("deploy/crds is writable");
            }
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == text, "{name} is stale; run the tests once with UPDATE=1");
        }
        assert_eq!(crds(), crds());
    }

    #[test]
    fn definitions_have_columns_and_selectable_fields() {
        let crd = OrderRequest::crd();
        assert_eq!(crd.metadata.name.as_deref(), Some("orderrequests.orderstream.dev"));
        let version = &crd.spec.versions[0];
        let columns: Vec<_> = version
            .additional_printer_columns
            .iter()
            .flatten()
            .map(|column| (column.name.as_str(), column.type_.as_str(), column.priority))
            .collect();
        assert_eq!(columns.len(), 11, "{columns:?}");
        assert!(columns.contains(&("Expires", "string", None)), "{columns:?}");
        for name in ["Reason", "Category", "Title"] {
            assert!(columns.contains(&(name, "string", Some(1))), "{name}: {columns:?}");
        }
        let selectable: Vec<_> =
            version.selectable_fields.iter().flatten().map(|field| &field.json_path).collect();
        let expected = [".status.phase", ".status.stream.processor", ".status.tracker.stream"];
        assert_eq!(selectable, expected);
    }

    #[test]
    fn schemas_bound_every_text_and_list() {
        let mut unbounded = Vec::new();
        for schema in [order_request_schema(), seller_schema()] {
            walk("spec", &schema["properties"]["spec"], &mut unbounded);
        }
        assert_eq!(unbounded, Vec::<String>::new());
    }

    /// The metadata is described by the API server, which takes no description of it.
    #[test]
    fn schemas_describe_every_field() {
        let mut undescribed = Vec::new();
        for schema in [order_request_schema(), seller_schema()] {
            assert!(is_described(schema));
            for part in ["spec", "status"] {
                find_undescribed(part, &schema["properties"][part], &mut undescribed);
            }
        }
        assert_eq!(undescribed, Vec::<String>::new());
    }

    fn is_described(schema: &Value) -> bool {
        schema["description"].as_str().is_some_and(|text| !text.trim().is_empty())
    }

    fn find_undescribed(path: &str, schema: &Value, undescribed: &mut Vec<String>) {
        if !is_described(schema) {
            undescribed.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            find_undescribed(&format!("{path}.{name}"), property, undescribed);
        }
        for (mark, below) in [("[]", "items"), ("[key]", "additionalProperties")] {
            if schema[below].is_object() {
                find_undescribed(&format!("{path}{mark}"), &schema[below], undescribed);
            }
        }
    }

    /// Statuses of earlier versions are stored, and are written again after a rollback.
    #[test]
    fn every_written_phase_is_listed() {
        let status = &order_request_schema()["properties"]["status"]["properties"];
        let listed: Vec<_> = status["phase"]["enum"].as_array().into_iter().flatten().collect();
        for phase in RequestPhase::ALL.map(RequestPhase::as_str) {
            assert!(listed.iter().any(|text| **text == *phase), "{phase}: {listed:?}");
        }
        let earlier = listed.iter().filter_map(|text| text.as_str());
        let earlier: Vec<_> = earlier.filter(|text| RequestPhase::parse(text).is_none()).collect();
        assert_eq!(earlier, ["Streaming", "Reconnecting"]);
        assert!(earlier.iter().all(|text| RequestPhase::read_stored(text).is_some()));
        let stream = &status["tracker"]["properties"]["stream"]["enum"];
        assert_eq!(*stream, json!(["Pending", "Active", "Reconnecting", "Ended"]));
        let seller = &seller_schema()["properties"]["status"]["properties"]["phase"]["enum"];
        assert_eq!(*seller, json!(["Ready", "Suspended", "Failed"]));
    }

    /// Every fixed field has a rule.
    #[test]
    fn rules_name_fixes() {
        let mut rules = Vec::new();
        collect(order_request_schema(), &mut rules);
        assert!(rules.len() >= 18, "{}", rules.len());
        for rule in &rules {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(message.contains("; "), "no fix: {rule}");
        }
        let steered = ["cancelReason", "expiresIn", "suspend", "suspendReason", "ttlAfterFinished"];
        let fields = order_request_schema()["properties"]["spec"]["properties"].as_object();
        for field in fields.expect("fields").keys().filter(|f| !steered.contains(&f.as_str())) {
            let paths = [format!(".{field}"), format!(".spec.{field}")];
            let is_fixed = rules.iter().any(|rule| {
                paths.iter().any(|path| rule["fieldPath"] == **path)
                    && rule["rule"].as_str().is_some_and(|text| text.contains("oldSelf"))
            });
            assert!(is_fixed, "{field} may change freely");
        }
    }

    fn collect<'a>(schema: &'a Value, rules: &mut Vec<&'a Value>) {
        rules.extend(schema["x-kubernetes-validations"].as_array().into_iter().flatten());
        for property in schema["properties"].as_object().into_iter().flat_map(|p| p.values()) {
            collect(property, rules);
        }
        if schema["items"].is_object() {
            collect(&schema["items"], rules);
        }
    }

    fn walk(path: &str, schema: &Value, unbounded: &mut Vec<String>) {
        let missing = match schema["type"].as_str() {
            Some("string") => schema["maxLength"].is_null() && schema["enum"].is_null(),
            Some("array") => schema["maxItems"].is_null(),
            _ => false,
        };
        if missing {
            unbounded.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), property, unbounded);
        }
        if schema["items"].is_object() {
            walk(&format!("{path}[]"), &schema["items"], unbounded);
        }
    }
}
