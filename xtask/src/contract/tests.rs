//! Tests of the findings when the contract changes.

use serde_json::json;

use super::*;

fn contract(pieces: Vec<Piece>) -> Contract {
    let mut contract = Contract::new();
    add(&mut contract, "file", pieces).unwrap();
    contract
}

/// Returns the findings for a change. Line numbers count the sorted pieces after the file's head.
fn found(before: Vec<Piece>, after: Vec<Piece>) -> Vec<String> {
    let findings = compare(&text(&contract(before)), &contract(after));
    findings
        .iter()
        .map(|finding| finding.to_string().replacen(&format!("{PATH}:"), "", 1))
        .collect()
}

fn order(kind: &str) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1"},
        "paths": {"/orders": {"get": {"summary": "S", "responses": {"200": {"description": "D"}}}}},
        "components": {
            "examples": {"A": {"value": 1}},
            "schemas": {"Order": {
                "description": "D",
                "required": ["id"],
                "properties": {"id": {"type": kind}, "title": {"type": "string", "title": "T"}},
            }},
        },
    })
}

#[test]
fn changed_types_are_reported() {
    let found = found(openapi::pieces(&order("string")), openapi::pieces(&order("integer")));
    let expected =
        "file schemas Order.id is changed, restore what others rely on, or add beside it";
    assert_eq!(found, [format!("6: {expected}")]);
}

/// A removed property must be restored, and a new one needs a line in the file.
#[test]
fn removed_and_new_properties_are_reported() {
    let mut fewer = order("string");
    let schema = fewer.pointer_mut("/components/schemas/Order/properties").unwrap();
    schema.as_object_mut().unwrap().remove("title");
    let (all, fewer) = (openapi::pieces(&order("string")), openapi::pieces(&fewer));
    let removed = found(all.clone(), fewer.clone());
    assert_eq!(removed.len(), 1);
    assert!(removed[0].contains("file schemas Order.title is gone"), "{removed:?}");
    let new = found(fewer, all);
    let expected = "file schemas Order.title is new, write the file anew: `cargo xtask contract`";
    assert_eq!(new, [format!("1: {expected}")]);
}

#[test]
fn renamed_metric_labels_are_reported() {
    let row = |label: &str| {
        let text = format!("| `a_total` | counter | `{label}` | processor | Words. |\n");
        table::rows(&text, table::METRIC_CELLS)
    };
    let found = found(row("kind"), row("sort"));
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("a_total counter kind processor is gone"), "{found:?}");
    assert!(found[1].contains("a_total counter sort processor is new"), "{found:?}");
}

/// Changed examples are ignored too.
#[test]
fn prose_and_version_changes_are_ignored() {
    let mut other = order("string");
    other["info"] = json!({"title": "Another", "version": "2"});
    other["components"]["examples"] = json!({"B": {"value": 2}});
    other["components"]["schemas"]["Order"]["description"] = json!("Another");
    other["paths"]["/orders"]["get"]["summary"] = json!("Another");
    assert!(found(openapi::pieces(&order("string")), openapi::pieces(&other)).is_empty());
}

/// Resources are split into the properties of `spec` and `status`, in each version.
#[test]
fn resources_are_split_by_property() {
    let crd = |column: &str, rule: &str| {
        let name = json!({"type": "string", "x-kubernetes-validations": [{"rule": rule, "message": rule}]});
        resource::pieces(&json!({"spec": {"scope": "Namespaced", "versions": [{
            "name": "v1",
            "additionalPrinterColumns": [{"name": column, "description": column}],
            "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": {"name": name}}}}},
        }]}}))
    };
    let names: Vec<_> = contract(crd("A", "r")).into_keys().collect();
    let expected =
        ["file definition", "file v1", "file v1.spec", "file v1.spec.name", "file version v1"];
    assert_eq!(names, expected);
    let changed = |after| found(crd("A", "r"), after).join("\n");
    assert!(changed(crd("B", "r")).contains("file version v1 is changed"));
    assert!(changed(crd("A", "s")).contains("file v1.spec.name is changed"));
}

/// Schemas are also split by definition.
#[test]
fn schemas_are_split_by_property() {
    let schema = json!({
        "title": "T",
        "properties": {"spec": {"properties": {"name": {"type": "string"}}}},
        "$defs": {"Item": {"properties": {"description": {"description": "D"}}}},
    });
    let names: Vec<_> = contract(schema::pieces(&schema)).into_keys().collect();
    let expected = [
        "file definition Item",
        "file definition Item.description",
        "file schema",
        "file schema.spec",
        "file schema.spec.name",
    ];
    assert_eq!(names, expected);
}

/// A file without a piece is refused too.
#[test]
fn duplicate_piece_names_are_refused() {
    let twice = vec![Piece::of("a", &json!(1)), Piece::of("a", &json!(2))];
    assert!(add(&mut Contract::new(), "file", twice).is_err());
    assert!(add(&mut Contract::new(), "file", Vec::new()).is_err());
}
