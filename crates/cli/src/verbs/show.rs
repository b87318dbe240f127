//! Resources as a table, JSON or YAML.

use orderstream_api::conditions::READY;
use orderstream_api::duration::parse_ms;
use orderstream_core::request_phase::is_end;
use orderstream_core::{RequestPhase, StreamPhase};
use serde_json::Value;

use super::Conditions;
use super::ids::alone;
use super::print;
use super::stalled;
use super::stream::stream_phase;
use super::table::{self, Column};
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

/// The output format of order requests, which are listed in several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ResourceFormat {
    /// A table for people.
    Table,
    /// A table with more columns, whatever the terminal's width.
    Wide,
    /// Only the names, one on each line.
    Name,
    /// JSON for programs.
    Json,
    /// The same in YAML.
    Yaml,
}

impl ResourceFormat {
    /// Returns the format of a document; `None` for what is listed.
    pub(crate) const fn document(self) -> Option<OutputFormat> {
        match self {
            Self::Json => Some(OutputFormat::Json),
            Self::Yaml => Some(OutputFormat::Yaml),
            Self::Table | Self::Wide | Self::Name => None,
        }
    }
}

/// The columns of a list beside those that every list has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ListColumns {
    /// The namespace, in a list of all.
    pub(crate) namespaces: bool,
}

/// Prints one resource, or a list as a document.
pub(crate) fn one(resource: &Value, format: OutputFormat) -> Result<(), CliError> {
    if format == OutputFormat::Table {
        let resources = std::slice::from_ref(resource);
        self::resources(resources, ResourceFormat::Table, ListColumns::default());
        return Ok(());
    }
    structured(resource, format)
}

/// The presence of a resource at its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is stored there.
    Stored,
    /// It was removed; its last state is shown.
    Removed,
}

/// Prints resources as a table, or their names.
pub(crate) fn resources(resources: &[Value], format: ResourceFormat, columns: ListColumns) {
    if format == ResourceFormat::Name {
        resources.iter().for_each(print_name);
        return;
    }
    let cells = |resource: &Value| cells(resource, Presence::Stored, format, columns);
    let (heads, rows) = (heads(format, columns), resources.iter().map(cells).collect());
    match format {
        ResourceFormat::Wide => table::print_whole(&heads, rows),
        ResourceFormat::Table
        | ResourceFormat::Name
        | ResourceFormat::Json
        | ResourceFormat::Yaml => table::print(&heads, rows),
    }
}

/// Prints the name of a resource with its kind.
pub(crate) fn print_name(resource: &Value) {
    if let Some(name) = resource.pointer("/metadata/name").and_then(Value::as_str) {
        output::line(&format!("orderrequest/{name}"));
    }
}

/// Returns the columns of a list.
pub(crate) fn heads(format: ResourceFormat, columns: ListColumns) -> Vec<Column<'static>> {
    let mut heads = vec![
        Column::Text("NAME"),
        Column::Text("PHASE"),
        Column::Numbers("PROPOSALS"),
        Column::Text("BEST"),
        Column::Extra("AWARD"),
        Column::Extra("STREAM"),
        Column::Text("EXPIRES"),
    ];
    if columns.namespaces {
        heads.insert(0, Column::Text("NAMESPACE"));
    }
    if format == ResourceFormat::Wide {
        let more = ["PROCESSOR", "SELLERS", "REASON", "CREATED"].map(Column::Text);
        heads.extend(more);
    }
    heads.push(Column::ExtraProse("TITLE"));
    heads
}

/// Returns a resource's row in a list.
pub(crate) fn cells(
    resource: &Value,
    presence: Presence,
    format: ResourceFormat,
    columns: ListColumns,
) -> Vec<String> {
    let text = |pointer: &str| text_at(resource, pointer);
    let mut cells = row(resource, presence);
    if columns.namespaces {
        cells.insert(0, text("/metadata/namespace"));
    }
    if format == ResourceFormat::Wide {
        let sellers = resource.pointer("/status/sellers/selected").and_then(Value::as_u64);
        cells.push(text("/status/stream/processor"));
        cells.push(sellers.map_or_else(|| "-".to_owned(), |count| count.to_string()));
        cells.push(ready_reason(resource));
        cells.push(print::clock(&text("/metadata/creationTimestamp")));
    }
    cells.push(text("/spec/title"));
    cells
}

/// Returns a row of usual words, for which the columns of a list have room before such words come.
pub(crate) fn usual_cells(format: ResourceFormat, columns: ListColumns) -> Vec<String> {
    const TIME: &str = "2026-12-01T12:00:00+01:00";
    let mut cells = vec!["an-order-request", "Finalised", "100", "100000.00 EUR"];
    cells.extend(["01a22855-0c47-75f7", "Reconnecting", TIME]);
    if columns.namespaces {
        cells.insert(0, "a-namespace");
    }
    if format == ResourceFormat::Wide {
        cells.extend(["http://127.0.0.1:50051", "10", "StreamDown", TIME]);
    }
    cells.push("Office chairs for the new floor");
    cells.into_iter().map(ToOwned::to_owned).collect()
}

/// Returns the reason of the condition `Ready`.
fn ready_reason(resource: &Value) -> String {
    let conditions = resource.pointer("/status/conditions").and_then(Value::as_array);
    let is_ready =
        |condition: &&Value| condition.get("type").and_then(Value::as_str) == Some(READY);
    let ready = conditions.into_iter().flatten().find(is_ready);
    ready.map_or_else(|| "-".to_owned(), |condition| text_at(condition, "/reason"))
}

/// Returns a text, or a dash where there is none.
fn text_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned()
}

fn structured(value: &Value, format: OutputFormat) -> Result<(), CliError> {
    let text = if format == OutputFormat::Json {
        serde_json::to_string_pretty(value).map_err(|error| error.to_string())
    } else {
        serde_saphyr::to_string(value).map_err(|error| error.to_string())
    };
    output::document(text.map_err(CliError::unexpected)?.trim_end());
    Ok(())
}

/// Returns the cells that every list has, but for the title.
fn row(resource: &Value, presence: Presence) -> Vec<String> {
    let text = |pointer: &str| text_at(resource, pointer);
    let stream = stream_phase(resource).map_or("-", StreamPhase::as_str);
    let is_deleted = text("/metadata/deletionTimestamp") != "-";
    let phase = match presence {
        Presence::Removed => "Deleted",
        Presence::Stored if is_deleted => "Deleting",
        Presence::Stored => phase(resource),
    };
    // The deadline of an order that has ended says nothing any more.
    let expires = if is_end(phase) || presence == Presence::Removed {
        "-".to_owned()
    } else {
        print::clock(&text("/status/expiresAt"))
    };
    vec![
        text("/metadata/name"),
        phase.to_owned(),
        proposals(resource).to_string(),
        text("/status/proposals/best/price"),
        award_of(resource),
        stream.to_owned(),
        expires,
    ]
}

/// Describes the award: its winners, or the time from which a pending one counts.
fn award_of(resource: &Value) -> String {
    let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str);
    if let Some(until) = text("/status/award/pendingUntil") {
        return format!("counts from {}", print::clock(until));
    }
    let spec = resource.pointer("/spec/award").filter(|award| !award.is_null());
    if phase(resource) != RequestPhase::Finalised.as_str() {
        let is_undone = spec.is_some_and(|award| award.get("undo") == Some(&Value::Bool(true)));
        // It is not in the status yet, or the order's processor refused it.
        let is_open = spec.is_some() && !is_undone && !is_end(phase(resource));
        return if is_open { "asked for" } else { "-" }.to_owned();
    }
    // It was decided otherwise than the order request asks for.
    let spec = spec.filter(|_| !stalled::is_about_award(resource));
    let lines = spec.and_then(|award| award.get("lines")).and_then(Value::as_array);
    let of_lines = lines.into_iter().flatten().filter_map(|line| line.get("proposalId")?.as_str());
    let whole = spec.and_then(|award| award.get("proposalId")?.as_str());
    let mut winners: Vec<&str> = Vec::new();
    for winner in of_lines.chain(whole) {
        if !winners.contains(&winner) {
            winners.push(winner);
        }
    }
    match (winners.is_empty(), spec) {
        (false, _) => winners.into_iter().map(alone).collect::<Vec<_>>().join(", "),
        (true, Some(_)) => "nobody".to_owned(),
        // The order was not awarded by its order request.
        (true, None) => "-".to_owned(),
    }
}

/// Returns the phase in the status, also in one that an earlier version wrote; `Pending` before
/// there is one.
pub(crate) fn phase(resource: &Value) -> &str {
    let written = resource.pointer("/status/phase").and_then(Value::as_str);
    let written = written.unwrap_or(RequestPhase::Pending.as_str());
    match RequestPhase::read_stored(written) {
        Some(phase) => phase.as_str(),
        None => written,
    }
}

/// Returns the time for which an order request is kept after its order's end, milliseconds.
pub(crate) fn ttl_ms(resource: &Value) -> Option<u64> {
    parse_ms(resource.pointer("/spec/ttlAfterFinished")?.as_str()?)
}

/// Returns the number of proposals received.
pub(crate) fn proposals(resource: &Value) -> u64 {
    resource.pointer("/status/proposals/received").and_then(Value::as_u64).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ended_orders_have_no_deadline() {
        let cells = |phase: &str, deleted: Value| {
            let metadata = json!({ "name": "chairs", "deletionTimestamp": deleted });
            let status = json!({ "phase": phase, "expiresAt": "2026-12-01T12:00:00Z" });
            let resource = json!({ "metadata": metadata, "status": status });
            let row = row(&resource, Presence::Stored);
            (row[1].clone(), row[6] != "-")
        };
        assert_eq!(cells("Open", Value::Null), ("Open".to_owned(), true));
        assert_eq!(cells("Finalised", Value::Null), ("Finalised".to_owned(), false));
        let deleted = json!("2026-12-01T11:00:00Z");
        assert_eq!(cells("Open", deleted).0, "Deleting");
    }

    #[test]
    fn rows_have_a_cell_for_each_column() {
        let resource = json!({ "metadata": { "name": "chairs", "namespace": "desks" } });
        for format in [ResourceFormat::Table, ResourceFormat::Wide] {
            for namespaces in [false, true] {
                let columns = ListColumns { namespaces };
                let count = heads(format, columns).len();
                let removed = cells(&resource, Presence::Removed, format, columns);
                assert!(removed.contains(&"Deleted".to_owned()), "{removed:?}");
                assert_eq!((removed.len(), usual_cells(format, columns).len()), (count, count));
            }
        }
    }

    #[test]
    fn awards_name_their_winners() {
        let of = |phase: &str, award: &Value| {
            award_of(&json!({ "spec": { "award": award }, "status": { "phase": phase } }))
        };
        let lines = json!({ "lines": [
            { "sku": "CHAIR", "proposalId": "p-2" },
            { "sku": "MAT", "proposalId": "p-1" },
        ]});
        assert_eq!(of("Finalised", &json!({ "proposalId": "p-1" })), "p-1");
        assert_eq!(of("Finalised", &lines), "p-2, p-1");
        assert_eq!(of("Finalised", &json!({ "none": true })), "nobody");
        assert_eq!(of("Cancelled", &lines), "-", "it was not carried out");
        assert_eq!(of("Open", &lines), "asked for", "it is not decided yet");
        assert_eq!(of("Open", &json!({ "proposalId": "p-1", "undo": true })), "-");
        assert_eq!(of("Open", &Value::Null), "-");
        let generated = "01a22855-0c47-75f7-b561-3fe65a6fa1e5";
        assert_eq!(of("Finalised", &json!({ "proposalId": generated })), "01a22855-0c47-75f7");
        assert_eq!(award_of(&json!({ "status": { "phase": "Finalised" } })), "-");
        for award in [json!({ "proposalId": "p-1" }), lines, json!({ "none": true })] {
            let otherwise = json!({ "phase": "Finalised", "conditions": [
                { "type": "Stalled", "status": "True", "reason": "ALREADY_AWARDED",
                    "message": "award: the order was decided otherwise before" },
            ] });
            let resource = json!({ "spec": { "award": award }, "status": otherwise });
            assert_eq!(award_of(&resource), "-", "{award}");
        }
    }
}
