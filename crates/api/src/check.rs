//! Checks a value against a resource's structural schema, as the API server would. Each finding
//! names its path, the limit and the fix. Unknown fields are refused at every level.

use orderstream_core::Refusal;
use orderstream_core::input::unknown_field;
use serde_json::{Map, Value};

/// Checks `value`, which was found at `path`.
///
/// # Errors
/// The first wrong field, in the order of the fields' names.
pub(crate) fn check(path: &str, value: &Value, schema: &Value) -> Result<(), Refusal> {
    findings(path, value, schema, 1).into_iter().next().map_or(Ok(()), Err)
}

/// Returns all findings below `path`, in the order of the fields' names; at most `limit`.
pub(crate) fn findings(path: &str, value: &Value, schema: &Value, limit: usize) -> Vec<Refusal> {
    let mut found = Findings { found: Vec::new(), limit };
    found.check_value(path, value, schema);
    found.found
}

/// The findings so far, at most `limit`.
struct Findings {
    found: Vec<Refusal>,
    limit: usize,
}

impl Findings {
    const fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    fn take(&mut self, result: Result<(), Refusal>) {
        if let Err(refusal) = result
            && !self.is_full()
        {
            self.found.push(refusal);
        }
    }

    fn check_value(&mut self, path: &str, value: &Value, schema: &Value) {
        if self.is_full() {
            return;
        }
        if schema["x-kubernetes-int-or-string"].as_bool() == Some(true) {
            return self.take(int_or_string(path, value, schema));
        }
        match (schema["type"].as_str(), value) {
            (Some("object"), Value::Object(fields)) => self.object(path, fields, schema),
            (Some("array"), Value::Array(entries)) => self.array(path, entries, schema),
            (Some("string"), Value::String(text)) => self.take(string(path, text, schema)),
            (Some("integer"), Value::Number(number)) if number.is_i64() || number.is_u64() => {
                self.take(range(path, number.as_f64(), schema));
            }
            (Some("number"), Value::Number(number)) => {
                self.take(range(path, number.as_f64(), schema));
            }
            (Some("boolean"), Value::Bool(_)) | (None, _) => {}
            (Some(expected), _) => self.take(Err(wrong_type(path, expected, value))),
        }
    }

    fn object(&mut self, path: &str, fields: &Map<String, Value>, schema: &Value) {
        let empty = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&empty);
        for (name, value) in fields {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match known.get(name) {
                // A null counts as absent.
                Some(_) if value.is_null() => {}
                Some(schema) => self.check_value(&below, value, schema),
                None => self.take(Err(unknown(&below, name, known))),
            }
        }
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if fields.get(name).is_none_or(Value::is_null) {
                let refusal = Refusal::field(format!("{path}.{name}"), "is missing; give it");
                self.take(Err(refusal));
            }
        }
    }

    fn array(&mut self, path: &str, entries: &[Value], schema: &Value) {
        let count = entries.len();
        if let Some(max) = schema["maxItems"].as_u64().filter(|max| count as u64 > *max) {
            let text = format!("has {count} entries; at most {max} are allowed, remove some");
            return self.take(Err(Refusal::field(path, text)));
        }
        for (index, entry) in entries.iter().enumerate() {
            self.check_value(&format!("{path}[{index}]"), entry, &schema["items"]);
        }
        self.take(unique(path, entries, schema));
    }
}

/// Returns the refusal of an unknown field. It names the known one that was most likely meant.
pub(crate) fn unknown(path: &str, name: &str, known: &Map<String, Value>) -> Refusal {
    unknown_field(path, name, known.keys().map(String::as_str))
}

/// Checks that each key of a list that is a map occurs once.
fn unique(path: &str, entries: &[Value], schema: &Value) -> Result<(), Refusal> {
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    for key in keys.into_iter().flatten().filter_map(Value::as_str) {
        let mut seen = std::collections::BTreeSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let value = entry[key].as_str().unwrap_or_default();
            if !seen.insert(value) {
                return Err(Refusal::field(
                    format!("{path}[{index}].{key}"),
                    format!("'{}' is used twice; give each its own", escaped(value)),
                ));
            }
        }
    }
    Ok(())
}

fn string(path: &str, text: &str, schema: &Value) -> Result<(), Refusal> {
    if let Some(values) = schema["enum"].as_array() {
        let allowed: Vec<_> = values.iter().filter_map(Value::as_str).collect();
        if !allowed.contains(&text) {
            return Err(Refusal::field(
                path,
                format!("'{}' is unknown; use {}", escaped(text), either(&allowed)),
            ));
        }
    }
    let chars = text.chars().count() as u64;
    if schema["minLength"].as_u64().is_some_and(|min| chars < min) {
        let min = &schema["minLength"];
        return Err(Refusal::field(
            path,
            format!("has {chars} characters; give at least {min}, or remove the field"),
        ));
    }
    if let Some(max) = schema["maxLength"].as_u64().filter(|max| chars > *max) {
        return Err(Refusal::field(
            path,
            format!("has {chars} characters; at most {max} are allowed, shorten it"),
        ));
    }
    Ok(())
}

fn range(path: &str, number: Option<f64>, schema: &Value) -> Result<(), Refusal> {
    let Some(number) = number else { return Ok(()) };
    let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
        let (min, max) = (min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX));
        return Err(Refusal::field(path, format!("is {number}; give {min} to {max}")));
    }
    Ok(())
}

fn int_or_string(path: &str, value: &Value, schema: &Value) -> Result<(), Refusal> {
    match value {
        Value::String(text) => string(path, text, schema),
        Value::Number(number) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            Ok(())
        }
        // Its digits are lost: a number without quotes is read as a double.
        Value::Number(number) if number.is_f64() => Err(Refusal::field(
            path,
            "is a decimal without quotes; write \"2.5\" and not 2.5, so that no digit is lost",
        )),
        Value::Number(number) => Err(Refusal::field(
            path,
            format!("{number} is too large; at most {}", orderstream_core::limits::QUANTITY_MAX),
        )),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong_type(path, "integer or string", value))
        }
    }
}

/// Returns the refusal of a value that is not of the expected type of a schema.
pub(crate) fn wrong_type(path: &str, expected: &str, value: &Value) -> Refusal {
    let got = match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a group of fields",
    };
    let (expected, fix) = match expected {
        "object" => ("a group of fields", ""),
        "array" => ("a list", ""),
        "string" => ("a text", "; put it in quotes"),
        "boolean" => ("true or false", " without quotes"),
        "integer" => ("a whole number", " without quotes"),
        "number" => ("a number", " without quotes"),
        other => (other, ""),
    };
    Refusal::field(path, format!("is {got}; give {expected}{fix}"))
}

fn either(options: &[&str]) -> String {
    match options {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => options.concat(),
    }
}

/// Shortens and escapes a field's path, whose names may be anything.
pub(crate) fn escaped_path(path: &str) -> String {
    path.chars().take(256).flat_map(char::escape_default).collect()
}

/// Shortens and escapes a value for a message, so that it cannot control a terminal.
pub fn escaped(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_default).collect()
}
