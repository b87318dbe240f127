//! `orderstream schema VERB`: the JSON Schema of a verb's output with `-o json`. The schemas are
//! checked in under `docs/reference/schemas`.

use orderstream_api::crd;
use orderstream_rest_types::comparison::ComparisonView;
use schemars::Schema;
use serde_json::{Value, json};

use crate::check;
use crate::exit::CliError;
use crate::explain::Explanation;
use crate::journal;
use crate::lint::LintReport;
use crate::output;
use crate::verbs::model::{CommandReport, Conversation, StatusReport, WhyReport};
use crate::verbs::nearest::nearest;

/// `orderstream schema [VERB]`
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// The verb whose output is described; the verbs are listed when absent
    verb: Option<String>,
}

/// The outputs, and the verbs that print each.
const OUTPUTS: [(&str, &[&str]); 11] = [
    ("act", &COMMAND_VERBS),
    ("check", &["check"]),
    ("compare", &["compare"]),
    ("conversation", &["conversation"]),
    ("explain", &["explain"]),
    ("journal", &["journal"]),
    ("lint", &["lint"]),
    ("order-request", &["apply", "get", "submit", "watch"]),
    ("order-request-list", &["list"]),
    ("status", &["status"]),
    ("why", &["why"]),
];

/// The verbs that print the result of a command on an order.
const COMMAND_VERBS: [&str; 17] = [
    "amend",
    "answer",
    "ask",
    "award",
    "cancel",
    "close",
    "decline",
    "extend",
    "lock",
    "pause",
    "propose",
    "question",
    "resume",
    "seen",
    "undo-award",
    "unlock",
    "withdraw",
];

impl SchemaArgs {
    /// Prints the schema, or the verbs that have one.
    ///
    /// # Errors
    /// When the verb has no JSON output.
    pub fn run(self) -> Result<(), CliError> {
        let Some(verb) = self.verb else {
            verbs().iter().for_each(|verb| output::line(verb));
            return Ok(());
        };
        let found = OUTPUTS.iter().find(|(_, verbs)| verbs.contains(&verb.as_str()));
        let (name, _) = found.ok_or_else(|| {
            let suggestion =
                nearest(&verb, verbs().into_iter()).map(|meant| format!("; did you mean {meant}?"));
            let suggestion =
                suggestion.unwrap_or_else(|| "; `orderstream schema` lists them".to_owned());
            CliError::input(format!("no JSON output of '{verb}' is known{suggestion}"))
        })?;
        output::line(text(name)?.trim_end());
        Ok(())
    }
}

/// Returns the verbs whose output has a schema, sorted.
pub fn verbs() -> Vec<&'static str> {
    let mut verbs: Vec<&str> =
        OUTPUTS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
    verbs.sort_unstable();
    verbs
}

/// Returns the schema of an output as it is checked in.
fn text(name: &str) -> Result<String, CliError> {
    let schema = match name {
        "act" => typed(&schemars::schema_for!(CommandReport)),
        "check" => typed(&schemars::schema_for!(check::InstallationReport)),
        "compare" => typed(&schemars::schema_for!(ComparisonView)),
        "conversation" => typed(&schemars::schema_for!(Conversation)),
        "explain" => {
            let one = typed(&schemars::schema_for!(Explanation));
            one_or_list(&one)
        }
        "journal" => typed(&schemars::schema_for!(journal::JournalDamageReport)),
        "lint" => typed(&schemars::schema_for!(LintReport)),
        "order-request" => resource(),
        "order-request-list" => list(),
        "status" => typed(&schemars::schema_for!(StatusReport)),
        _ => typed(&schemars::schema_for!(WhyReport)),
    };
    let text = serde_json::to_string_pretty(&schema);
    Ok(format!("{}\n", text.map_err(|error| CliError::unexpected(error.to_string()))?))
}

fn typed(schema: &Schema) -> Value {
    schema.as_value().clone()
}

/// Returns a schema of one explanation or a list: `explain REASON` prints one, `explain` all.
fn one_or_list(one: &Value) -> Value {
    let (mut one, mut both) = (one.clone(), json!({}));
    if let Some(fields) = one.as_object_mut() {
        fields.remove("$schema");
    }
    both["$schema"] = json!(DIALECT);
    both["title"] = json!("Explanation, or all of them");
    both["$defs"] = json!({ "Explanation": one });
    let one = json!({"$ref": "#/$defs/Explanation"});
    both["anyOf"] = json!([one, {"type": "array", "items": one}]);
    both
}

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the schema of an order request, as in its resource definition.
fn resource() -> Value {
    let mut schema = crd::schema("OrderRequest");
    schema["$schema"] = json!(DIALECT);
    schema["title"] = json!("OrderRequest");
    schema
}

fn list() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "OrderRequestList",
        "type": "object",
        "required": ["apiVersion", "kind", "items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"const": "OrderRequestList"},
            "metadata": {"type": "object"},
            "items": {"type": "array", "items": crd::schema("OrderRequest")},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_in_docs_are_fresh() {
        let dir =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/schemas");
        let mut known = Vec::new();
        for (name, _) in OUTPUTS {
            let path = dir.join(format!("{name}.json"));
            let text = text(name).unwrap();
            if std::env::var_os("UPDATE").is_some() {
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == text, "{name}.json is stale; run the tests once with UPDATE=1");
            known.push(path);
        }
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            assert!(known.contains(&path), "{} is of no output", path.display());
        }
    }
}
