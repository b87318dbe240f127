//! The table of cases for the rules of the definitions. Those who judge it differ: an evaluator
//! without a cluster in the controller's tests, an API server in the binary's.

use serde::Deserialize;
use serde_json::{Map, Value};

const TABLE: &str = include_str!("../fixtures/rules.yaml");

/// All cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// What the rules in CEL let through and refuse.
    pub rules: Vec<Rule>,
    /// What the schema lets through and refuses.
    pub bounds: Vec<Bound>,
    /// What the schema fills in.
    pub defaults: Vec<Filled>,
}

/// One rule with its cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Of which resource.
    pub kind: String,
    /// Where a refusal points.
    pub field: String,
    /// What a refusal says.
    pub message: String,
    /// What breaks no rule.
    pub accepts: Vec<Case>,
    /// What breaks this rule and no other.
    pub refuses: Vec<Case>,
}

/// A spec that is made, or that takes the place of another one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What was there before.
    pub from: Option<Value>,
    /// What is wanted.
    pub to: Value,
}

/// One bound of the schema.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Of which resource.
    pub kind: String,
    /// Where a refusal points.
    pub field: String,
    /// A spec at the bound.
    pub at: Value,
    /// A spec beyond it.
    pub over: Value,
    /// A part of what an API server says then.
    pub says: String,
}

/// A spec, and what it is with its defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filled {
    /// Of which resource.
    pub kind: String,
    /// As its author wrote it.
    pub given: Value,
    /// As it is kept.
    pub gives: Value,
}

impl Rules {
    /// Reads the table.
    ///
    /// # Panics
    /// When the file is not such a table.
    pub fn read() -> Self {
        let mut table: Value = serde_saphyr::from_str(TABLE).unwrap();
        expand(&mut table);
        serde_json::from_value(table).unwrap()
    }
}

/// Writes out what the table says in short: `$times` and `$chars`.
fn expand(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(long) = written_out(fields) {
                *value = long;
            } else {
                fields.values_mut().for_each(expand);
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(expand),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn written_out(fields: &Map<String, Value>) -> Option<Value> {
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    if let Some(count) = number("$chars") {
        let before = fields.get("after").and_then(Value::as_str).unwrap_or_default();
        let letters = usize::try_from(count).unwrap() - before.len();
        return Some(format!("{before}{}", "x".repeat(letters)).into());
    }
    let count = number("$times")?;
    let of = fields.get("of").unwrap().to_string();
    let entry = |number: u64| serde_json::from_str(&of.replace('#', &number.to_string())).unwrap();
    Some((1..=count).map(entry).collect::<Vec<Value>>().into())
}

/// A resource of this kind and name with this spec.
pub fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    serde_json::json!({
        "apiVersion": "orderstream.dev/v1alpha1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": spec,
    })
}
