//! The page of a custom resource, from its definition: every field with its type, its limits, its
//! rules and its meaning.

use serde_json::Value;

use super::{cell, text};

/// Returns the page of a definition.
pub(super) fn page(definition: &Value) -> String {
    let names = &definition["spec"]["names"];
    let version = &definition["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let (kind, short) = (text(&names["kind"]), text(&names["shortNames"][0]));
    let mut page = format!(
        "# {kind}\n\nMade from the definition in [deploy/crds](../../deploy/crds) by `cargo xtask \
         codegen`; `kubectl explain {short}.spec` prints the same on a cluster that has it.\n\n{}\n\
         \nThe API version is `{}/{}`, the short name `{short}`.\n",
        text(&schema["description"]),
        text(&definition["spec"]["group"]),
        text(&version["name"]),
    );
    for (part, whole) in [("spec", Some(schema)), ("status", None)] {
        let schema = &schema["properties"][part];
        page.push_str(&format!("\n## {part}\n\n"));
        let description = text(&schema["description"]);
        if !description.is_empty() {
            page.push_str(&format!("{description}\n\n"));
        }
        page.push_str("| field | type | meaning |\n|---|---|---|\n");
        add_fields(&mut page, "", schema);
        let rules: Vec<String> = whole.into_iter().chain([schema]).flat_map(rules).collect();
        if !rules.is_empty() {
            page.push_str(&format!("\nRules: {}\n", rules.join(" ")));
        }
    }
    add_columns(&mut page, version);
    page
}

/// Adds a row for each property of an object, and for those below it.
fn add_fields(page: &mut String, prefix: &str, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let mut parts = vec![cell(&text(&field["description"]))];
        parts.extend(required.contains(&name.as_str()).then(|| "Required.".to_owned()));
        parts.extend(limits(field));
        parts.extend(rules(field));
        let items = &field["items"];
        if items.is_object() {
            parts.extend(limits(items).into_iter().map(|limit| format!("Each: {limit}")));
            parts.extend(rules(items));
        }
        parts.retain(|part| !part.is_empty());
        page.push_str(&format!("| `{path}` | {} | {} |\n", type_of(field), parts.join(" ")));
        add_fields(page, &format!("{path}."), field);
        add_fields(page, &format!("{path}[]."), items);
    }
}

fn type_of(schema: &Value) -> String {
    if schema["x-kubernetes-int-or-string"] == true {
        return "whole number or text".to_owned();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "string" if schema["format"] == "date-time" => "time (RFC 3339)".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => match schema["items"]["type"].as_str().unwrap_or_default() {
            "object" | "array" => "list".to_owned(),
            _ => format!("list of {}", type_of(&schema["items"])),
        },
        other => other.to_owned(),
    }
}

/// Returns the limits of one field as sentences.
fn limits(schema: &Value) -> Vec<String> {
    let mut limits = Vec::new();
    let values: Vec<&str> =
        schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !values.is_empty() {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        limits.push(format!("One of {}.", values.join(", ")));
    }
    limits.extend(range(&schema["minimum"], &schema["maximum"], ""));
    limits.extend(range(&schema["minLength"], &schema["maxLength"], " characters"));
    limits.extend(range(&schema["minItems"], &schema["maxItems"], " entries"));
    if let Some(pattern) = schema["pattern"].as_str() {
        limits.push(format!("Pattern: `{}`.", pattern.replace('|', "\\|")));
    }
    if !schema["default"].is_null() {
        limits.push(format!("Default: `{}`.", number_or_text(&schema["default"])));
    }
    limits
}

fn range(least: &Value, most: &Value, unit: &str) -> Option<String> {
    match (least.is_null(), most.is_null()) {
        (true, true) => None,
        (false, true) => Some(format!("At least {}{unit}.", number_or_text(least))),
        (true, false) => Some(format!("At most {}{unit}.", number_or_text(most))),
        (false, false) => {
            Some(format!("{} to {}{unit}.", number_or_text(least), number_or_text(most)))
        }
    }
}

/// Returns the messages of the rules of one field as sentences.
fn rules(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let messages = rules.filter_map(|rule| rule["message"].as_str());
    messages.map(|message| format!("*{}.*", cell(message).trim_end_matches('.'))).collect()
}

/// Adds the columns of `kubectl get`, and the fields of `--field-selector`.
fn add_columns(page: &mut String, version: &Value) {
    page.push_str("\n## Columns\n\n| column | field | in `kubectl get` |\n|---|---|---|\n");
    for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let (name, path) = (text(&column["name"]), text(&column["jsonPath"]));
        let shown = if column["priority"].as_u64() > Some(0) { "with `-o wide`" } else { "always" };
        page.push_str(&format!("| {name} | `{}` | {shown} |\n", path.replace('|', "\\|")));
    }
    let selectable = version["selectableFields"].as_array().into_iter().flatten();
    let fields: Vec<String> = selectable
        .filter_map(|field| field["jsonPath"].as_str())
        .map(|path| format!("`{}`", path.trim_start_matches('.')))
        .collect();
    if !fields.is_empty() {
        page.push_str(&format!("\n`--field-selector` takes {}.\n", fields.join(", ")));
    }
}

/// Returns a default or a bound as a manifest has it; whole numbers have no point.
fn number_or_text(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 => format!("{number:.0}"),
        Some(_) | None => value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_have_type_limits_and_rules() {
        let spec = json!({
            "type": "object",
            "required": ["sku"],
            "properties": {
                "count": {"type": "integer", "minimum": 1.0, "maximum": 100.0, "default": 10,
                    "description": "The number\nof sellers."},
                "items": {"type": "array", "maxItems": 100, "description": "The items.", "items":
                    {"type": "object", "properties": {"quantity":
                        {"x-kubernetes-int-or-string": true, "description": "How many."}}}},
                "sku": {"type": "string", "maxLength": 256, "description": "The article.",
                    "pattern": "^(a|b)$",
                    "x-kubernetes-validations": [{"message": "sku is fixed", "rule": "x"}]},
                "tags": {"type": "array", "items": {"type": "string", "minLength": 1}},
            },
        });
        let mut page = String::new();
        add_fields(&mut page, "", &spec);
        let expected = "\
            | `count` | whole number | The number of sellers. 1 to 100. Default: `10`. |\n\
            | `items` | list | The items. At most 100 entries. |\n\
            | `items[].quantity` | whole number or text | How many. |\n\
            | `sku` | text | The article. Required. At most 256 characters. \
            Pattern: `^(a\\|b)$`. *sku is fixed.* |\n\
            | `tags` | list of text | Each: At least 1 characters. |\n";
        assert_eq!(page, expected);
    }
}
