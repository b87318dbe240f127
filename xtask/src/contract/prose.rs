//! Documents without their prose. The meaning of a key depends on its place: below `properties` a
//! `title` is the name of a property, which stays; elsewhere it is a text for people, which is
//! removed.

use serde_json::Value;

/// The meaning of an object's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// Keywords of the format, some of which hold prose.
    Words,
    /// Names that we chose, such as those of properties.
    Names,
    /// Keywords of a rule in CEL.
    Rule,
    /// Any keys: the value is taken as it is.
    Data,
}

/// Returns the document without its prose.
pub(super) fn strip(document: &Value) -> Value {
    stripped(document, Keys::Words)
}

fn stripped(value: &Value, keys: Keys) -> Value {
    match value {
        Value::Array(items) if keys == Keys::Data => sorted(items),
        // A named entry of a list has its name beside its other keys.
        Value::Array(items) => {
            let keys = if keys == Keys::Names { Keys::Words } else { keys };
            items.iter().map(|item| stripped(item, keys)).collect()
        }
        Value::Object(map) => {
            let kept = map.iter().filter(|(word, value)| !is_prose(word, value, keys));
            let part = |(word, value): (&String, &Value)| {
                (word.clone(), stripped(value, below(word, keys)))
            };
            Value::Object(kept.map(part).collect())
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

/// Reports whether a key and its value are for people only.
fn is_prose(word: &str, value: &Value, keys: Keys) -> bool {
    match keys {
        Keys::Names | Keys::Data => false,
        Keys::Rule => word == "message",
        Keys::Words => match word {
            "description" | "summary" | "title" | "$comment" => value.is_string(),
            "example" | "examples" | "externalDocs" => true,
            _ => word.starts_with("x-doc"),
        },
    }
}

/// Returns the meaning of the keys below a key.
fn below(word: &str, keys: Keys) -> Keys {
    match keys {
        Keys::Names => Keys::Words,
        Keys::Rule | Keys::Data => Keys::Data,
        Keys::Words => match word {
            "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions"
            | "schemas" | "responses" | "headers" | "parameters" | "requestBodies"
            | "securitySchemes" | "pathItems" | "paths" | "content" | "callbacks" | "links"
            | "encoding" | "variables" => Keys::Names,
            "enum" | "const" | "default" | "required" | "type" | "dependentRequired" => Keys::Data,
            "x-kubernetes-validations" => Keys::Rule,
            _ => Keys::Words,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns named cases: a document, and the same without its prose.
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
        for (name, document, kept) in cases() {
            assert_eq!(strip(&document), kept, "{name}");
        }
    }
}
