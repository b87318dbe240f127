//! The table of cases for the validation rules of the custom resource definitions. It is checked
//! twice: by an evaluator without a cluster in the controller's tests, and by an API server in the
//! binary's tests.

use serde::Deserialize;
use serde_json::{Map, Value};

const TABLE: &str = include_str!("../fixtures/rules.yaml");

/// The complete table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The cases of the CEL rules.
    pub rules: Vec<Rule>,
    /// The cases of the schema's bounds.
    pub bounds: Vec<BoundCase>,
    /// The cases of the schema's defaults.
    pub defaults: Vec<DefaultCase>,
}

/// One rule with its cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The kind of resource.
    pub kind: String,
    /// The field that a refusal names.
    pub field: String,
    /// The message of a refusal.
    pub message: String,
    /// The cases that violate no rule.
    pub accepts: Vec<RuleCase>,
    /// The cases that violate this rule and no other.
    pub refuses: Vec<RuleCase>,
}

/// A spec that is created, or that replaces another one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleCase {
    /// The resource's name, where the case is about that.
    pub name: Option<String>,
    /// The spec before; absent for a creation.
    pub from: Option<Value>,
    /// The status before, where the case is about that.
    pub status: Option<Value>,
    /// The new spec.
    pub to: Value,
}

/// One bound of the schema.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundCase {
    /// The kind of resource.
    pub kind: String,
    /// The field that a refusal names.
    pub field: String,
    /// A spec at the bound.
    pub at: Value,
    /// A spec beyond the bound.
    pub over: Value,
    /// A part of the API server's message for the spec beyond the bound.
    #[serde(rename = "says")]
    pub message: String,
}

/// A spec without and with its defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultCase {
    /// The kind of resource.
    pub kind: String,
    /// The spec as it was submitted.
    #[serde(rename = "given")]
    pub input: Value,
    /// The spec as it is stored.
    #[serde(rename = "gives")]
    pub defaulted: Value,
}

impl Rules {
    /// Reads the table.
    ///
    /// # Panics
    /// When the table cannot be parsed.
    pub fn read() -> Self {
        let mut table: Value = serde_saphyr::from_str(TABLE).unwrap();
        expand(&mut table);
        serde_json::from_value(table).unwrap()
    }
}

/// Expands the table's `$times` and `$chars` abbreviations.
fn expand(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(expanded) = expand_abbreviation(fields) {
                *value = expanded;
            } else {
                fields.values_mut().for_each(expand);
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(expand),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn expand_abbreviation(fields: &Map<String, Value>) -> Option<Value> {
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    if let Some(count) = number("$chars") {
        let prefix = fields.get("after").and_then(Value::as_str).unwrap_or_default();
        let letters = usize::try_from(count).unwrap() - prefix.len();
        return Some(format!("{prefix}{}", "x".repeat(letters)).into());
    }
    let count = number("$times")?;
    let template = fields.get("of").unwrap().to_string();
    let entry =
        |number: u64| serde_json::from_str(&template.replace('#', &number.to_string())).unwrap();
    Some((1..=count).map(entry).collect::<Vec<Value>>().into())
}

/// Returns a resource of this kind, with this name and spec.
pub fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    serde_json::json!({
        "apiVersion": "orderstream.dev/v1alpha1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": spec,
    })
}
