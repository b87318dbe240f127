//! Strips prose from documents. The meaning of a key depends on its position: below `properties`, a
//! `title` is the name of a property, which stays; elsewhere it is a human-readable text, which is
//! removed.

use serde_json::Value;

/// The meaning of an object's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyMeaning {
    /// Keywords of the format, some of which have prose as their value.
    Keywords,
    /// Names defined by the document, such as those of properties.
    Names,
    /// Keywords of a CEL rule.
    Rule,
    /// Any keys: the value is used unchanged.
    Values,
}

/// Returns the document without its prose.
pub(super) fn strip(document: &Value) -> Value {
    strip_value(document, KeyMeaning::Keywords)
}

fn strip_value(value: &Value, keys: KeyMeaning) -> Value {
    match value {
        Value::Array(items) if keys == KeyMeaning::Values => sorted(items),
        // A named entry of a list has its name among its other keys.
        Value::Array(items) => {
            let keys = if keys == KeyMeaning::Names { KeyMeaning::Keywords } else { keys };
            items.iter().map(|item| strip_value(item, keys)).collect()
        }
        Value::Object(map) => {
            let remaining = map.iter().filter(|(word, value)| !is_prose(word, value, keys));
            let part = |(word, value): (&String, &Value)| {
                (word.clone(), strip_value(value, below(word, keys)))
            };
            Value::Object(remaining.map(part).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Sorts a list whose order has no meaning, such as that of required properties.
fn sorted(items: &[Value]) -> Value {
    let mut items = items.to_vec();
    items.sort_by_cached_key(ToString::to_string);
    Value::Array(items)
}

/// Reports whether a key and its value are only for human readers.
fn is_prose(key: &str, value: &Value, keys: KeyMeaning) -> bool {
    match keys {
        KeyMeaning::Names | KeyMeaning::Values => false,
        KeyMeaning::Rule => key == "message",
        KeyMeaning::Keywords => match key {
            "description" | "summary" | "title" | "$comment" => value.is_string(),
            "example" | "examples" | "externalDocs" => true,
            _ => key.starts_with("x-doc"),
        },
    }
}

/// Returns the meaning of the keys below a key.
fn below(key: &str, keys: KeyMeaning) -> KeyMeaning {
    match keys {
        KeyMeaning::Names => KeyMeaning::Keywords,
        KeyMeaning::Rule | KeyMeaning::Values => KeyMeaning::Values,
        KeyMeaning::Keywords => match key {
            "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions"
            | "schemas" | "responses" | "headers" | "parameters" | "requestBodies"
            | "securitySchemes" | "pathItems" | "paths" | "content" | "callbacks" | "links"
            | "encoding" | "variables" => KeyMeaning::Names,
            "enum" | "const" | "default" | "required" | "type" | "dependentRequired" => {
                KeyMeaning::Values
            }
            "x-kubernetes-validations" => KeyMeaning::Rule,
            _ => KeyMeaning::Keywords,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns named cases: a document, and the same document without its prose.
    fn cases() -> Vec<(&'static str, Value, Value)> {
        vec![
            (
                "texts of a schema",
                json!({"type": "string", "title": "T", "description": "D", "example": 1, "examples": [1]}),
                json!({"type": "string"}),
            ),
            (
                "a property named description",
                json!({"properties": {"description": {"type": "string", "description": "D"}}}),
                json!({"properties": {"description": {"type": "string"}}}),
            ),
            (
                "properties named title, summary, example, properties",
                json!({"properties": {
                    "title": {"type": "string"}, "summary": {"title": "S"}, "example": {},
                    "properties": {"properties": {"title": {"title": "T"}}},
                }}),
                json!({"properties": {
                    "title": {"type": "string"}, "summary": {}, "example": {},
                    "properties": {"properties": {"title": {}}},
                }}),
            ),
            (
                "a value that has such a word",
                json!({"default": {"title": "T"}, "const": {"summary": "S"}}),
                json!({"default": {"title": "T"}, "const": {"summary": "S"}}),
            ),
            (
                "an operation",
                json!({"summary": "S", "operationId": "o", "externalDocs": {"url": "u"},
                    "parameters": [{"name": "title", "description": "D", "in": "query"}],
                    "responses": {"default": {"description": "D", "headers": {"title": {"example": "e"}}}}}),
                json!({"operationId": "o", "parameters": [{"name": "title", "in": "query"}],
                    "responses": {"default": {"headers": {"title": {}}}}}),
            ),
            (
                "a rule",
                json!({"x-kubernetes-validations": [{"rule": "r", "message": "m", "fieldPath": ".f"}]}),
                json!({"x-kubernetes-validations": [{"rule": "r", "fieldPath": ".f"}]}),
            ),
            (
                "a property named message",
                json!({"properties": {"message": {"type": "string"}}, "message": "kept"}),
                json!({"properties": {"message": {"type": "string"}}, "message": "kept"}),
            ),
            (
                "lists without an order, and with one",
                json!({"required": ["b", "a"], "enum": [2, 1], "oneOf": [{"const": 2}, {"const": 1}]}),
                json!({"required": ["a", "b"], "enum": [1, 2], "oneOf": [{"const": 2}, {"const": 1}]}),
            ),
            (
                "a printer column",
                json!([{"name": "title", "description": "D", "jsonPath": ".spec.title"}]),
                json!([{"name": "title", "jsonPath": ".spec.title"}]),
            ),
        ]
    }

    #[test]
    fn only_prose_is_stripped() {
        for (name, document, expected) in cases() {
            assert_eq!(strip(&document), expected, "{name}");
        }
    }
}
