//! Tests of the rules of the definitions without a cluster: every case of the table, and that the
//! table has cases for every rule and every bound.

use std::collections::BTreeSet;

use kube_cel::{Validator, apply_defaults};
use orderstream_core::price::Quantity;
use orderstream_testbed::{RuleCase, Rules, resource};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::crd::{order_request_schema, seller_schema};
use crate::duration::ttl_ms;
use crate::manifest::{Manifest, manifest, without_nulls};
use crate::update::check_edit;

fn schema(kind: &str) -> &'static Value {
    match kind {
        "OrderRequest" => order_request_schema(),
        "Seller" => seller_schema(),
        other => panic!("no definition of {other}"),
    }
}

/// Returns the name of a case's resource.
fn name(case: &RuleCase) -> &str {
    case.name.as_deref().unwrap_or("case")
}

/// Returns a resource as an API server stores it: its spec without nulls, and with defaults.
fn stored(kind: &str, name: &str, spec: &Value) -> Value {
    let mut stored = resource(kind, name, spec);
    without_nulls(&mut stored["spec"]);
    apply_defaults(schema(kind), &stored)
}

/// Evaluates the rules for a case: returns the field and message of every refusal.
fn judge(kind: &str, case: &RuleCase) -> Vec<(String, String)> {
    let mut to = stored(kind, name(case), &case.to);
    let mut from = case.from.as_ref().map(|from| stored(kind, name(case), from));
    if let (Some(from), Some(status)) = (&mut from, &case.status) {
        // An API server keeps the status of a resource whose spec is edited.
        from["status"] = status.clone();
        to["status"] = status.clone();
    }
    let lone = from.as_mut().map_or_else(Vec::new, |from| pair(from, &mut to, schema(kind)));
    let judged = Validator::new().validate(schema(kind), &to, from.as_ref());
    let refusals = judged.err().into_iter().flatten();
    refusals
        .filter(|refusal| !(is_transition(&refusal.rule) && lone.contains(&refusal.field_path)))
        // The path of a rule of the whole resource begins with a dot.
        .map(|refusal| (refusal.field_path.trim_start_matches('.').to_owned(), refusal.message))
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
    let judge = |kind: &str, case: &RuleCase| {
        let read = |kind: &str, spec: &Value| manifest(resource(kind, name(case), spec));
        let to = read(kind, &case.to)?;
        let Some(from) = &case.from else { return Ok(()) };
        match (read(kind, from)?, to) {
            (Manifest::OrderRequest(mut from), Manifest::OrderRequest(to)) => {
                from.status = case.status.clone().map(|it| serde_json::from_value(it).unwrap());
                check_edit(&from, &to.spec)
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

/// Nothing was sent of an order that failed before it started.
#[test]
fn refused_specs_may_be_corrected() {
    let schema = schema("OrderRequest");
    let table = Rules::read().rules;
    let fixed = table.iter().filter(|rule| rule.message.contains(" cannot change once sellers "));
    for (rule, case) in fixed.flat_map(|rule| rule.refuses.iter().map(move |case| (rule, case))) {
        let to = stored(&rule.kind, name(case), &case.to);
        let mut from = stored(&rule.kind, name(case), case.from.as_ref().unwrap());
        for (status, is_allowed) in [
            (json!({"phase": "Failed"}), true),
            (json!({"phase": "Failed", "startTime": "2026-10-01T00:00:00Z"}), false),
            (json!({"phase": "Open", "startTime": "2026-10-01T00:00:00Z"}), false),
            (json!({"phase": "Pending"}), false),
            (json!({}), false),
        ] {
            from["status"] = status;
            let judged = Validator::new().validate(schema, &to, Some(&from));
            assert_eq!(judged.is_ok(), is_allowed, "{case:?} after {}", from["status"]);
        }
    }
}

/// An earlier definition took such a name. Its controller, and whoever sets a finalizer, still write
/// to it, and its order may still get an id.
#[test]
fn stored_long_names_take_updates() {
    let schema = schema("OrderRequest");
    let name = "n".repeat(200);
    let created = stored("OrderRequest", &name, &json!({}));
    assert!(Validator::new().validate(schema, &created, None).is_err());
    let mut failed = created.clone();
    failed["status"] = json!({"phase": "Failed"});
    let mut held = failed.clone();
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    let mut corrected = failed.clone();
    corrected["spec"]["orderReqId"] = json!("OR-1");
    for (from, to) in [(&created, &failed), (&failed, &held), (&failed, &corrected)] {
        let judged = Validator::new().validate(schema, to, Some(from));
        assert!(judged.is_ok(), "{to}: {judged:?}");
    }
}

/// A refused award had no effect. It is replaced, and never removed.
#[test]
fn refused_awards_may_be_replaced() {
    let schema = schema("OrderRequest");
    let spec = |id: &str| json!({"award": {"proposalId": id}});
    let stalled = |status: &str, message: &str| {
        json!({"phase": "Open", "refusedAward": {"proposalId": "p1"}, "conditions": [
            {"type": "Ready", "status": "True", "reason": "Open", "message": "award: no",
                "lastTransitionTime": "2026-10-01T00:00:00Z"},
            {"type": "Stalled", "status": status, "reason": "PROPOSAL_NOT_FOUND",
                "message": message, "lastTransitionTime": "2026-10-01T00:00:00Z"},
        ]})
    };
    let with = |field: &str, value: Value| {
        let mut status = stalled("True", "spec.award.reason: is too long");
        status[field] = value;
        status
    };
    let mut failed_when_open = with("phase", json!("Failed"));
    failed_when_open["startTime"] = json!("2026-10-01T00:00:00Z");
    for (status, is_allowed) in [
        (stalled("True", "award: there is no proposal p1"), true),
        (stalled("True", "spec.award.proposalId: is not an id"), true),
        (stalled("True", "follow-up f1: there is no seller x"), false),
        (stalled("False", ""), false),
        (json!({"phase": "Open"}), false),
        (with("award", json!({"pendingUntil": "2026-10-01T00:00:00Z"})), false),
        (with("phase", json!("Deciding")), true),
        (with("phase", json!("Finalised")), false),
        (with("phase", json!("Expired")), false),
        (with("phase", json!("Closed")), false),
        (with("phase", json!("Cancelled")), false),
        (with("phase", json!("Failed")), true),
        (failed_when_open, false),
    ] {
        let mut from = stored("OrderRequest", "case", &spec("p1"));
        from["status"] = status;
        let is_accepted = |to: &Value| {
            let to = stored("OrderRequest", "case", to);
            Validator::new().validate(schema, &to, Some(&from)).is_ok()
        };
        assert_eq!(is_accepted(&spec("p2")), is_allowed, "after {}", from["status"]);
        assert!(!is_accepted(&json!({})), "it is removed after {}", from["status"]);
    }
}

/// The status still shows the refusal of an award that was replaced.
#[test]
fn awards_that_follow_refused_ones_stay() {
    let schema = schema("OrderRequest");
    let whole = |id: &str| json!({"proposalId": id});
    let line = |sku: &str, id: &str| json!({"sku": sku, "proposalId": id});
    let (a1, b2, b3) = (line("A", "p1"), line("B", "p2"), line("B", "p3"));
    for (refused, held, is_allowed) in [
        (whole("p1"), json!({"proposalId": "p1", "reason": "cheap"}), true),
        (whole("p0"), whole("p1"), false),
        (json!(null), whole("p1"), false),
        (json!({"none": true}), json!({"none": true}), true),
        (json!({"none": true}), whole("p1"), false),
        (whole("p1"), json!({"lines": [a1]}), false),
        (json!({"lines": [a1]}), whole("p1"), false),
        (json!({"lines": [a1, b2]}), json!({"lines": [a1, b2]}), true),
        (json!({"lines": [a1]}), json!({"lines": [a1, b2]}), false),
        (json!({"lines": [a1, b2]}), json!({"lines": [a1]}), false),
        (json!({"lines": [a1, b2]}), json!({"lines": [a1, b3]}), false),
    ] {
        let mut from = stored("OrderRequest", "case", &json!({"award": held}));
        from["status"] = json!({"phase": "Open", "refusedAward": refused, "conditions": [
            {"type": "Stalled", "status": "True", "reason": "PROPOSAL_NOT_FOUND",
                "message": "award: there is none", "lastTransitionTime": "2026-10-01T00:00:00Z"},
        ]});
        without_nulls(&mut from["status"]);
        let to = stored("OrderRequest", "case", &json!({"award": whole("p9")}));
        let judged = Validator::new().validate(schema, &to, Some(&from));
        assert_eq!(judged.is_ok(), is_allowed, "{held} after {refused}: {judged:?}");
    }
}

/// The rules take the durations that the one parser takes. A text that is none breaks one rule, and
/// can be judged by all.
#[test]
fn rules_read_durations_as_the_parser() {
    let rule = "ttlAfterFinished is not a duration of 0s to 30d; write it as 30m, 1h30m or 1d";
    let texts = "0s|0d|59s|90s|1h30m|1m1m|007d|30d|31d|720h|720h1s||30|m|d|-5m|-1d|1.5h|1d12h|12h1d|\
        5 m| 5m|5M|5D|1000d|9999999s|soon|99999h99999h99h|1e3s";
    for text in texts.split('|').chain(["5m\n", "\u{661}m"]) {
        let to = json!({"ttlAfterFinished": text});
        let refusals =
            judge("OrderRequest", &RuleCase { name: None, from: None, status: None, to });
        let messages: Vec<_> = refusals.iter().map(|(_, message)| message.as_str()).collect();
        let expected = if ttl_ms(text).is_ok() { Vec::new() } else { vec![rule] };
        assert_eq!(messages, expected, "{text}");
    }
}

/// Reports whether the definition takes a text as a quantity.
fn is_quantity(text: &str) -> bool {
    let item = &schema("OrderRequest")["properties"]["spec"]["properties"]["items"]["items"];
    let quantity = &item["properties"]["quantity"];
    let pattern = quantity["pattern"].as_str().unwrap();
    let rule = json!({"rule": format!("self.matches('{pattern}')"), "message": "it has no match"});
    let form = json!({"type": "string", "x-kubernetes-validations": [rule]});
    let is_short = text.chars().count() as u64 <= quantity["maxLength"].as_u64().unwrap();
    is_short && Validator::new().validate(&form, &json!(text), None).is_ok()
}

/// Reports whether the one parser takes a text as a quantity, as new orders write it.
fn is_parsed(text: &str) -> bool {
    Quantity::parse(text).is_ok() && text.trim() == text
}

#[test]
fn quantities_are_those_of_the_parser() {
    for (text, is_taken) in [
        ("1", true),
        ("007", true),
        ("2.50", true),
        ("00.5", true),
        ("0.000001", true),
        ("0.0000010", true),
        ("1.12345600", true),
        ("999999999.999999", true),
        ("1000000000", true),
        ("01000000000.000", true),
        ("0000000000000000000000000001", true),
        ("999999999.000000000000000000", true),
        ("forty", false),
        ("", false),
        ("0", false),
        ("0.000", false),
        ("-0", false),
        ("-1", false),
        ("+5", false),
        (".5", false),
        ("5.", false),
        ("1,5", false),
        ("1_5", false),
        ("1 000", false),
        (" 5", false),
        ("5\n", false),
        ("1e3", false),
        ("0x10", false),
        ("NaN", false),
        ("1.5.0", false),
        ("0.0000001", false),
        ("1.1234567", false),
        ("1000000000.000001", false),
        ("1000000001", false),
        ("99999999999999999999", false),
        ("\u{661}", false),
        ("\u{ff15}", false),
    ] {
        assert_eq!((is_quantity(text), is_parsed(text)), (is_taken, is_taken), "{text:?}");
    }
    // Of longer texts the parser takes some, for orders of former rules, and the definition none.
    let long = format!("1.{}", "0".repeat(27));
    assert_eq!((is_quantity(&long), is_parsed(&long)), (false, true));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]
    #[test]
    fn drawn_quantities_are_those_of_the_parser(
        text in prop_oneof!["0{0,3}[0-9]{0,11}([.][0-9]{0,9})?", "[-+0-9.,eE_ ]{0,12}"],
    ) {
        prop_assert_eq!(is_quantity(&text), is_parsed(&text), "{}", text);
    }
}

/// Returns every rule below a schema, with the path at which it refuses.
fn rules(path: &str, schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let below = rule["fieldPath"].as_str().unwrap_or_default();
        found.push((format!("{path}{below}").trim_start_matches('.').to_owned(), rule.clone()));
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
        let at = RuleCase { name: None, from: None, status: None, to: bound.at };
        assert_eq!(judge(&bound.kind, &at), []);
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
        assert_eq!(stored(&filled.kind, "case", &filled.input)["spec"], filled.defaulted);
        let spec = match manifest(resource(&filled.kind, "case", &filled.input)).unwrap() {
            Manifest::OrderRequest(resource) => serde_json::to_value(resource.spec),
            Manifest::Seller(resource) => serde_json::to_value(resource.spec),
        };
        assert_eq!(spec.unwrap(), filled.defaulted, "the types and the schema differ");
    }
}
