//! Resources as a table, JSON or YAML.

use comfy_table::{Table, presets};
use orderstream_core::RequestPhase;
use serde_json::Value;

use super::Conditions;
use crate::exit::CliError;
use crate::output;

/// The output format of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// A table for people.
    Table,
    /// JSON for programs.
    Json,
    /// The same in YAML.
    Yaml,
}

const COLUMNS: [&str; 6] = ["NAME", "PHASE", "PROPOSALS", "BEST", "STREAM", "EXPIRES"];

/// Prints one resource.
pub(crate) fn one(resource: &Value, format: OutputFormat) -> Result<(), CliError> {
    if format == OutputFormat::Table {
        table([resource]);
        return Ok(());
    }
    structured(resource, format)
}

/// Prints a list of resources.
pub(crate) fn list(list: &Value, format: OutputFormat) -> Result<(), CliError> {
    if format != OutputFormat::Table {
        return structured(list, format);
    }
    let items = list.get("items").and_then(Value::as_array);
    let items = items.map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        output::line("no order requests");
        return Ok(());
    }
    table(items);
    Ok(())
}

fn structured(value: &Value, format: OutputFormat) -> Result<(), CliError> {
    let text = if format == OutputFormat::Json {
        serde_json::to_string_pretty(value).map_err(|error| error.to_string())
    } else {
        serde_saphyr::to_string(value).map_err(|error| error.to_string())
    };
    output::line(text.map_err(CliError::unexpected)?.trim_end());
    Ok(())
}

fn table<'a>(resources: impl IntoIterator<Item = &'a Value>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(COLUMNS);
    for resource in resources {
        table.add_row(row(resource));
    }
    for line in table.lines() {
        output::line(line.trim_end());
    }
}

/// Prints a change of a watched resource; widths are fixed, so that columns line up.
pub(crate) fn print_change(resource: &Value, header: &mut bool) {
    let wide = |cells: [String; 6]| {
        let [name, phase, proposals, best, stream, expires] = cells;
        format!("{name:<24} {phase:<13} {proposals:>9}  {best:<18} {stream:<9} {expires}")
    };
    if std::mem::take(header) {
        output::line(&wide(COLUMNS.map(ToOwned::to_owned)));
    }
    output::line(wide(row(resource)).trim_end());
}

/// Returns the cells of a resource.
pub(crate) fn row(resource: &Value) -> [String; 6] {
    let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let active = resource.pointer("/status/tracker/streamActive").and_then(Value::as_bool);
    let stream = if active == Some(true) { "active" } else { "-" };
    [
        text("/metadata/name").to_owned(),
        phase(resource).to_owned(),
        proposals(resource).to_string(),
        text("/status/proposals/best/price").to_owned(),
        stream.to_owned(),
        text("/status/expiresAt").to_owned(),
    ]
}

/// Returns the phase in the status; `Pending` before there is one.
pub(crate) fn phase(resource: &Value) -> &str {
    resource
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or(RequestPhase::Pending.as_str())
}

/// Returns the number of proposals received.
pub(crate) fn proposals(resource: &Value) -> u64 {
    resource.pointer("/status/proposals/received").and_then(Value::as_u64).unwrap_or(0)
}

/// Returns the last sequence number that the status shows.
pub(crate) fn last_seq(resource: &Value) -> u64 {
    resource.pointer("/status/tracker/lastSeq").and_then(Value::as_u64).unwrap_or(0)
}

/// Returns the conditions in the status, by type.
pub(crate) fn conditions(resource: &Value) -> Conditions<'_> {
    let conditions = resource.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .filter_map(|condition| {
            Some((condition.get("type")?.as_str()?, condition.get("status")?.as_str()?))
        })
        .collect()
}
