//! Tests of the rules of the definitions without a cluster: every case of the table, and that the
//! table has cases for every rule and every bound.

use std::collections::BTreeSet;

use kube_cel::{Validator, apply_defaults};
use orderstream_testbed::{RuleCase, Rules, resource};
use serde_json::Value;

use crate::crd::{order_request_schema, seller_schema};
use crate::manifest::{Manifest, manifest, without_nulls};
use crate::update::check_update;

fn schema(kind: &str) -> &'static Value {
    match kind {
        "OrderRequest" => order_request_schema(),
        "Seller" => seller_schema(),
        other => panic!("no definition of {other}"),
    }
}

/// Returns a resource as an API server stores it: its spec without nulls, and with defaults.
fn stored(kind: &str, spec: &Value) -> Value {
    let mut stored = resource(kind, "case", spec);
    without_nulls(&mut stored["spec"]);
    apply_defaults(schema(kind), &stored)
}

/// Evaluates the rules for a case: returns the field and message of every refusal.
fn judge(kind: &str, case: &RuleCase) -> Vec<(String, String)> {
    let mut to = stored(kind, &case.to);
    let mut from = case.from.as_ref().map(|from| stored(kind, from));
    let lone = from.as_mut().map_or_else(Vec::new, |from| pair(from, &mut to, schema(kind)));
    let judged = Validator::new().validate(schema(kind), &to, from.as_ref());
    let refusals = judged.err().into_iter().flatten();
    refusals
        .filter(|refusal| !(is_transition(&refusal.rule) && lone.contains(&refusal.field_path)))
        .map(|refusal| (refusal.field_path, refusal.message))
        .collect()
}

/// Sorts the entries that both have to the front: the evaluator compares entries of lists by their
/// index, where an API server compares those of a list that is a map by their keys. Returns the
/// paths of the others, which have no former version.
fn pair(from: &mut Value, to: &mut Value, schema: &Value) -> Vec<String> {
    let mut lone = Vec::new();
    let properties = &schema["properties"]["spec"]["properties"];
    for (name, below) in properties.as_object().into_iter().flatten() {
        let Some(key) = below["x-kubernetes-list-map-keys"][0].as_str() else { continue };
        let keys = |resource: &Value| -> BTreeSet<String> {
            let entries = resource["spec"][name].as_array().into_iter().flatten();
            entries.map(|entry| entry[key].to_string()).collect()
        };
        let both: BTreeSet<_> = keys(from).intersection(&keys(to)).cloned().collect();
        for resource in [&mut *from, &mut *to] {
            if let Some(Value::Array(entries)) = resource["spec"].get_mut(name) {
                entries.sort_by_key(|entry| !both.contains(&entry[key].to_string()));
            }
        }
        lone.extend((both.len()..keys(to).len()).map(|index| format!("spec.{name}[{index}]")));
    }
    lone
}

fn is_transition(rule: &str) -> bool {
    rule.contains("oldSelf")
}

#[test]
fn rules_judge_as_the_table_says() {
    let mut wrong = Vec::new();
    for rule in Rules::read().rules {
        for case in &rule.accepts {
            let refusals = judge(&rule.kind, case);
            if !refusals.is_empty() {
                wrong.push(format!("{case:?} is refused: {refusals:?}"));
            }
        }
        for case in &rule.refuses {
            let refusals = judge(&rule.kind, case);
            if refusals != [(rule.field.clone(), rule.message.clone())] {
                wrong.push(format!("{} on {case:?} gave {refusals:?}", rule.message));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The checks without an API server agree with the rules.
#[test]
fn local_checks_match_the_rules() {
    let read = |kind: &str, spec: &Value| manifest(resource(kind, "case", spec));
    let judge = |kind: &str, case: &RuleCase| {
        let to = read(kind, &case.to)?;
        let Some(from) = &case.from else { return Ok(()) };
        match (read(kind, from)?, to) {
            (Manifest::OrderRequest(from), Manifest::OrderRequest(to)) => {
                check_update(&from.spec, &to.spec)
            }
            // A seller may change in every way.
            _ => Ok(()),
        }
    };
    for rule in Rules::read().rules {
        for case in &rule.accepts {
            judge(&rule.kind, case).unwrap_or_else(|refusal| panic!("{case:?}: {refusal}"));
        }
        for case in &rule.refuses {
            let refusal = judge(&rule.kind, case).expect_err(&rule.message);
            let field = refusal.field.unwrap_or_default();
            assert!(field.starts_with(&rule.field), "{case:?} is refused at {field}");
        }
    }
}

/// The cases of a transition rule are edits.
#[test]
fn every_rule_has_cases_both_ways() {
    let table = Rules::read().rules;
    let mut missing = Vec::new();
    for kind in ["OrderRequest", "Seller"] {
        for (field, rule) in rules("", schema(kind)) {
            let text = rule["message"].as_str().unwrap();
            let row = table.iter().find(|listed| {
                listed.kind == kind && listed.message == text && unnumbered(&listed.field) == field
            });
            let Some(row) = row else {
                missing.push(format!("{kind} {field}: {text}"));
                continue;
            };
            let must_edit = is_transition(rule["rule"].as_str().unwrap());
            for (what, cases) in [("accepts", &row.accepts), ("refuses", &row.refuses)] {
                if !cases.iter().any(|case| !must_edit || case.from.is_some()) {
                    missing.push(format!("{kind} {field}: {text}: {what}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "without cases:\n{}", missing.join("\n"));
    let known = rules("", schema("OrderRequest")).len() + rules("", schema("Seller")).len();
    assert_eq!(table.len(), known, "the table has cases of rules that are not there");
}

/// An optional field that is added or removed is a change too, and the field's own rules are not
/// evaluated then.
#[test]
fn fixed_fields_never_change() {
    let table = Rules::read().rules;
    let fixed = table.iter().filter(|rule| rule.message.contains(" cannot change once sellers "));
    for rule in fixed {
        let name = rule.field.strip_prefix("spec.").unwrap();
        let has = |spec: &Value| !spec[name].is_null();
        let edits: BTreeSet<_> = rule
            .refuses
            .iter()
            .filter_map(|case| Some((has(case.from.as_ref()?), has(&case.to))))
            .collect();
        assert_eq!(edits, BTreeSet::from([(false, true), (true, false), (true, true)]), "{name}");
    }
}

/// Returns every rule below a schema, with the path at which it refuses.
fn rules(path: &str, schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let below = rule["fieldPath"].as_str().unwrap_or_default();
        found.push((format!("{path}{below}"), rule.clone()));
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.extend(rules(&path, below));
    }
    if schema["items"].is_object() {
        found.extend(rules(&format!("{path}[]"), &schema["items"]));
    }
    found
}

/// Returns a path without the numbers of entries.
fn unnumbered(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[test]
fn bounds_are_inclusive() {
    for bound in Rules::read().bounds {
        let field = unnumbered(&bound.field);
        let read = |spec: &Value| manifest(resource(&bound.kind, "case", spec));
        read(&bound.at).unwrap_or_else(|refusal| panic!("{}: {refusal}", bound.field));
        let refusal = read(&bound.over).unwrap_err();
        let refused_at = unnumbered(refusal.field.as_deref().unwrap_or_default());
        assert!(
            refused_at.starts_with(&field),
            "{} is told of {refused_at}: {refusal}",
            bound.field
        );
        assert_eq!(judge(&bound.kind, &RuleCase { from: None, to: bound.at }), []);
    }
}

#[test]
fn every_schema_bound_is_tabled() {
    let table = Rules::read().bounds;
    let is_tabled = |kind: &str, path: &str| {
        table.iter().any(|bound| bound.kind == kind && unnumbered(&bound.field) == path)
    };
    let mut missing = Vec::new();
    for kind in ["OrderRequest", "Seller"] {
        let bounded = bounded("spec", &schema(kind)["properties"]["spec"]);
        missing.extend(bounded.into_iter().filter(|path| !is_tabled(kind, path)));
    }
    assert!(missing.is_empty(), "without a case: {missing:?}");
}

/// Returns every path that has a bound of its own.
fn bounded(path: &str, schema: &Value) -> Vec<String> {
    let keywords = ["maxLength", "maxItems", "maximum", "minimum", "minLength", "pattern", "enum"];
    let mut found = Vec::new();
    if keywords.iter().any(|word| !schema[word].is_null()) {
        found.push(path.to_owned());
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        found.extend(bounded(&format!("{path}.{name}"), below));
    }
    if schema["items"].is_object() {
        found.extend(bounded(&format!("{path}[]"), &schema["items"]));
    }
    found
}

#[test]
fn absent_fields_get_the_servers_defaults() {
    for filled in Rules::read().defaults {
        assert_eq!(stored(&filled.kind, &filled.input)["spec"], filled.defaulted);
        let spec = match manifest(resource(&filled.kind, "case", &filled.input)).unwrap() {
            Manifest::OrderRequest(resource) => serde_json::to_value(resource.spec),
            Manifest::Seller(resource) => serde_json::to_value(resource.spec),
        };
        assert_eq!(spec.unwrap(), filled.defaulted, "the types and the schema differ");
    }
}
