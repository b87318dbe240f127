//! `orderstream schema VERB`: the JSON Schema of a verb's output with `-o json`. The schemas are
//! checked in under `docs/reference/schemas`.

use clap::Command;
use orderstream_api::crd;
use orderstream_rest_types::comparison::ComparisonView;
use schemars::Schema;
use serde_json::{Value, json};

use crate::check;
use crate::exit::CliError;
use crate::explain::Explanation;
use crate::journal;
use crate::lint::LintReport;
use crate::output::{self, ErrorReport};
use crate::verbs::model::{
    CommandReport, Conversation, InboxReport, NotifyReport, ResourceReport, StatusReport,
    WatchedEvent, WhyReport,
};
use crate::verbs::nearest::nearest;

/// `orderstream schema [VERB]`
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// The verb whose output is described, or `error`; the verbs are listed when absent
    verb: Option<String>,
}

/// The outputs in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonOutput {
    /// The result of a command on an order.
    CommandReport,
    Check,
    Compare,
    Conversation,
    /// The failure of any command, on standard error.
    Error,
    Explain,
    /// The orders that a seller is invited to.
    Inbox,
    Journal,
    Lint,
    /// Notifications that wait, were given up, or are sent again.
    Notify,
    OrderRequest,
    OrderRequestList,
    /// The state of an order request.
    Resource,
    Status,
    /// One event of an order.
    Watch,
    Why,
}

impl JsonOutput {
    const ALL: [Self; 16] = [
        Self::CommandReport,
        Self::Check,
        Self::Compare,
        Self::Conversation,
        Self::Error,
        Self::Explain,
        Self::Inbox,
        Self::Journal,
        Self::Lint,
        Self::Notify,
        Self::OrderRequest,
        Self::OrderRequestList,
        Self::Resource,
        Self::Status,
        Self::Watch,
        Self::Why,
    ];

    /// Returns the name of its file.
    const fn name(self) -> &'static str {
        match self {
            Self::CommandReport => "act",
            Self::Check => "check",
            Self::Compare => "compare",
            Self::Conversation => "conversation",
            Self::Error => "error",
            Self::Explain => "explain",
            Self::Inbox => "inbox",
            Self::Journal => "journal",
            Self::Lint => "lint",
            Self::Notify => "notify",
            Self::OrderRequest => "order-request",
            Self::OrderRequestList => "order-request-list",
            Self::Resource => "resource",
            Self::Status => "status",
            Self::Watch => "watch",
            Self::Why => "why",
        }
    }

    /// Returns the output of a verb; `None` for a verb that prints no JSON. A command on an order
    /// has an idempotency key.
    fn of_verb(verb: &Command) -> Option<Self> {
        match verb.get_name() {
            "apply" | "get" | "submit" => Some(Self::OrderRequest),
            "delete" | "wait" => Some(Self::Resource),
            "list" => Some(Self::OrderRequestList),
            name => {
                let has = |argument| verb.get_arguments().any(|arg| arg.get_id() == argument);
                let is_command = has("output") && has("key");
                let named = || Self::ALL.into_iter().find(|output| output.name() == name);
                is_command.then_some(Self::CommandReport).or_else(named)
            }
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::CommandReport => typed(&schemars::schema_for!(CommandReport)),
            Self::Check => typed(&schemars::schema_for!(check::InstallationReport)),
            Self::Compare => typed(&schemars::schema_for!(ComparisonView)),
            Self::Conversation => typed(&schemars::schema_for!(Conversation)),
            Self::Error => typed(&schemars::schema_for!(ErrorReport)),
            Self::Explain => one_or_list(&typed(&schemars::schema_for!(Explanation))),
            Self::Inbox => typed(&schemars::schema_for!(InboxReport)),
            Self::Journal => typed(&schemars::schema_for!(journal::JournalDamageReport)),
            Self::Lint => typed(&schemars::schema_for!(LintReport)),
            Self::Notify => typed(&schemars::schema_for!(NotifyReport)),
            Self::OrderRequest => resource(),
            Self::OrderRequestList => list(),
            Self::Resource => typed(&schemars::schema_for!(ResourceReport)),
            Self::Status => typed(&schemars::schema_for!(StatusReport)),
            Self::Watch => typed(&schemars::schema_for!(WatchedEvent)),
            Self::Why => typed(&schemars::schema_for!(WhyReport)),
        }
    }

    /// Returns the schema as it is checked in.
    fn text(self) -> Result<String, CliError> {
        let text = serde_json::to_string_pretty(&self.schema());
        Ok(format!("{}\n", text.map_err(|error| CliError::unexpected(error.to_string()))?))
    }
}

/// Returns the verbs of the command line that print JSON, in alphabetical order, each with its
/// output.
fn printing_verbs(program: &Command) -> Vec<(String, JsonOutput)> {
    let output = |verb: &Command| Some((verb.get_name().to_owned(), JsonOutput::of_verb(verb)?));
    let mut verbs: Vec<_> = program.get_subcommands().filter_map(output).collect();
    verbs.sort_by(|(one, _), (other, _)| one.cmp(other));
    verbs
}

/// Returns the verbs of the command line whose output has a schema, in alphabetical order.
pub fn verbs(program: &Command) -> Vec<String> {
    printing_verbs(program).into_iter().map(|(verb, _)| verb).collect()
}

impl SchemaArgs {
    /// Prints the schema, or the verbs of the command line that have one.
    ///
    /// # Errors
    /// When the verb has no JSON output.
    pub fn run(self, program: &Command) -> Result<(), CliError> {
        let verbs = printing_verbs(program);
        let Some(verb) = self.verb else {
            verbs.iter().for_each(|(verb, _)| output::line(verb));
            return Ok(());
        };
        if verb == JsonOutput::Error.name() {
            output::document(JsonOutput::Error.text()?.trim_end());
            return Ok(());
        }
        let found = verbs.iter().find(|(name, _)| *name == verb);
        let (_, output) = found.ok_or_else(|| {
            let names = verbs.iter().map(|(name, _)| name.as_str());
            let suggestion = nearest(&verb, names).map(|meant| format!("; did you mean {meant}?"));
            let suggestion =
                suggestion.unwrap_or_else(|| "; `orderstream schema` lists them".to_owned());
            CliError::input(format!("no JSON output of '{verb}' is known{suggestion}"))
        })?;
        output::document(output.text()?.trim_end());
        Ok(())
    }
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
        for output in JsonOutput::ALL {
            let name = output.name();
            let path = dir.join(format!("{name}.json"));
            let text = output.text().unwrap();
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
