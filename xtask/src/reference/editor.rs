//! The JSON schemas of manifests for editors, from the definitions of the custom resources: what an
//! API server would refuse or drop is marked while it is typed.

use serde_json::{Map, Value, json};

use super::text;

/// The dialect that YAML language servers know best.
const DIALECT: &str = "http://json-schema.org/draft-07/schema#";
/// The mark of a field that takes a whole number or a text.
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// Returns the schema of a definition's manifests, with a line break at its end.
pub(super) fn schema(definition: &Value) -> String {
    let version = &definition["spec"]["versions"][0];
    let whole = &version["schema"]["openAPIV3Schema"];
    let group = text(&definition["spec"]["group"]);
    let api_version = format!("{group}/{}", text(&version["name"]));
    let kind = text(&definition["spec"]["names"]["kind"]);
    let schema = json!({
        "$schema": DIALECT,
        "title": kind,
        "description": whole["description"],
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"const": api_version},
            "kind": {"const": kind},
            "metadata": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "The name, unique in its namespace."},
                    "namespace": {"type": "string", "description": "The namespace, which is the tenant."},
                },
            },
            "spec": closed(&whole["properties"]["spec"]),
            "status": {"description": "It is the controller's; leave it out."},
        },
    });
    // Plain data with string keys always serialises.
    format!("{}\n", serde_json::to_string_pretty(&schema).unwrap_or_default())
}

/// Returns a schema in which objects have no other fields than the listed ones, without what only an
/// API server understands.
fn closed(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else { return schema.clone() };
    let mut closed = Map::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            (INT_OR_STRING, _) => {
                closed.insert("type".to_owned(), json!(["integer", "string"]));
            }
            ("x-kubernetes-validations", _) => {
                let pattern =
                    pattern_of(value).map(|pattern| ("pattern".to_owned(), json!(pattern)));
                closed.extend(pattern);
            }
            (name, _) if name.starts_with("x-kubernetes-") || name == "nullable" => {}
            // Their names are fields, which may have any name.
            ("properties", Value::Object(properties)) => {
                let properties =
                    properties.iter().map(|(name, it)| (name.clone(), self::closed(it)));
                closed.insert(name.clone(), Value::Object(properties.collect()));
                closed.entry("additionalProperties").or_insert_with(|| json!(false));
            }
            ("items" | "additionalProperties", _) => {
                closed.insert(name.clone(), self::closed(value));
            }
            (_, _) => {
                closed.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(closed)
}

/// Returns the pattern that the rules of a text begin with: their messages are for people, and an
/// editor understands patterns only.
fn pattern_of(rules: &Value) -> Option<&str> {
    rules.as_array()?.iter().find_map(|rule| {
        let (pattern, rest) =
            rule["rule"].as_str()?.strip_prefix("self.matches('")?.split_once("')")?;
        (rest.is_empty() || rest.starts_with(" && ")).then_some(pattern)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_match_become_patterns() {
        for (rules, pattern) in [
            (json!([{ "rule": "self.matches('^a$')" }]), Some("^a$")),
            (
                json!([{ "rule": "self != ''" }, { "rule": "self.matches('^a$') && b" }]),
                Some("^a$"),
            ),
            (json!([{ "rule": "self.matches('^a$') || b" }]), None),
            (json!([{ "rule": "!self.matches('^a$')" }]), None),
        ] {
            assert_eq!(pattern_of(&rules), pattern, "{rules}");
            let text = closed(&json!({ "type": "string", "x-kubernetes-validations": rules }));
            assert_eq!(text["pattern"].as_str(), pattern);
        }
    }

    #[test]
    fn schemas_refuse_unknown_fields() {
        let definition = json!({ "spec": {
            "group": "example.dev", "names": { "kind": "Thing" },
            "versions": [{ "name": "v1", "schema": { "openAPIV3Schema": {
                "description": "A thing.",
                "properties": { "spec": {
                    "type": "object",
                    "nullable": true,
                    "x-kubernetes-validations": [{ "rule": "x" }],
                    "properties": {
                        "items": { "type": "array", "items": { "type": "object", "properties": {
                            "count": { "x-kubernetes-int-or-string": true },
                        }}},
                    },
                }},
            }}}],
        }});
        let schema: Value = serde_json::from_str(&schema(&definition)).unwrap();
        assert_eq!(schema["properties"]["apiVersion"]["const"], "example.dev/v1");
        let spec = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "items": { "type": "array", "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": { "count": { "type": ["integer", "string"] } },
                }},
            },
        });
        assert_eq!(schema["properties"]["spec"], spec);
    }
}
