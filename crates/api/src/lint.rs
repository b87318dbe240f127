//! Finds all faults of a manifest without a cluster: in its YAML, against the definition's schema
//! and its CEL rules, and in the one conversion that the servers use. Each finding has its position
//! in the text.

mod span;

use kube_cel::{ErrorKind, Validator, apply_defaults};
use orderstream_core::date::{DateOrTime, Zone};
use orderstream_core::visible::is_blank;
use orderstream_core::{Reason, Refusal, Timestamp};
use serde_json::{Value, json};

pub use self::span::ManifestSpan;

use crate::check::{self, escaped};
use crate::manifest::list::{self, ListedDocument};
use crate::manifest::{self, TEXT_BYTES_MAX, text_at, without_nulls};
use crate::yaml::{self, YamlReading};
use span::{FieldPart, Tree};

/// The largest number of findings in one document.
pub const FINDINGS_MAX: usize = 50;
/// The largest number of findings in one text; documents after them are not checked.
pub const FINDINGS_OF_TEXT_MAX: usize = 1_000;

/// One fault of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFinding {
    /// The document's number in the text, from 1; absent when the text as a whole cannot be read.
    pub document: Option<usize>,
    /// The position in the text; absent where it is not known.
    pub span: Option<ManifestSpan>,
    /// The refusal that a server would reply with.
    pub refusal: Refusal,
}

/// A remark that is no fault: on a document that is not applied as it is or asks for what cannot be,
/// or on a value that a person may read otherwise than kubectl and this do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestNote {
    /// The document's number in the text, from 1.
    pub document: usize,
    /// The position in the text; absent where it is not known.
    pub span: Option<ManifestSpan>,
    /// The remark, for a person.
    pub message: String,
}

/// The result of checking a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestReport {
    /// The number of resources that were checked, each item of a list for itself; 0 when the text
    /// cannot be read.
    pub documents: usize,
    /// The findings, in the order of the text.
    pub findings: Vec<ManifestFinding>,
    /// The remarks, in the order of the text; at most [`FINDINGS_OF_TEXT_MAX`].
    pub notes: Vec<ManifestNote>,
}

/// Describes a latest time of delivery that is past; `None` for any other, and for what is not a
/// time.
pub fn past_delivery(by: &str, time_zone: Option<&str>, now: Timestamp) -> Option<String> {
    let zone = time_zone.and_then(Zone::find).unwrap_or_default();
    let is_past = DateOrTime::parse(by)?.end(&zone) < now;
    is_past.then(|| {
        let by = escaped(by);
        format!("spec.delivery.by '{by}' is past, so no proposal is in time; give a later date")
    })
}

/// Checks every document of a text.
pub fn lint(text: &str, now: Timestamp) -> ManifestReport {
    let parsed = match ParsedText::of(text) {
        Ok(parsed) => parsed,
        Err(report) => return report,
    };
    let documents = parsed.listed.iter().filter(|listed| is_ours(listed)).count();
    let mut report = ManifestReport { documents, ..ManifestReport::default() };
    for listed in &parsed.listed {
        let is_checked = is_ours(listed) && report.findings.len() < FINDINGS_OF_TEXT_MAX;
        let found = if is_checked { parsed.findings(listed) } else { Vec::new() };
        let space = FINDINGS_OF_TEXT_MAX.saturating_sub(report.notes.len());
        if space > 0 {
            report.notes.extend(parsed.notes(listed, now, &found).into_iter().take(space));
        }
        report.findings.extend(found);
    }
    report
}

/// Returns the remarks of [`lint`] on a text whose documents have no faults.
pub fn notes(text: &str, now: Timestamp) -> Vec<ManifestNote> {
    let Ok(parsed) = ParsedText::of(text) else { return Vec::new() };
    let notes = parsed.listed.iter().flat_map(|listed| parsed.notes(listed, now, &[]));
    notes.take(FINDINGS_OF_TEXT_MAX).collect()
}

fn is_ours(listed: &ListedDocument) -> bool {
    !manifest::is_foreign(&listed.document)
}

/// A text as it is parsed for the checks.
struct ParsedText<'t> {
    text: &'t str,
    /// The resources, each item of a list for itself.
    listed: Vec<ListedDocument>,
    /// The values of each document that a person may read otherwise.
    readings: Vec<Vec<YamlReading>>,
    /// The positions of each document's fields.
    trees: Vec<Tree>,
}

impl<'t> ParsedText<'t> {
    /// Parses a text; returns the report on one that cannot be read.
    fn of(text: &'t str) -> Result<Self, ManifestReport> {
        if text.len() > TEXT_BYTES_MAX {
            let length = text.len();
            let message =
                format!("has {length} bytes; at most {TEXT_BYTES_MAX} are allowed, split the file");
            return Err(unreadable(Refusal::new(Reason::InvalidRequest, message), None));
        }
        let read = yaml::documents(text).map_err(|error| {
            let (message, span) = span::of_error(text, &error);
            let message = format!("is not YAML or JSON: {message}");
            unreadable(Refusal::new(Reason::InvalidRequest, message), span)
        })?;
        let (documents, mut readings): (Vec<_>, Vec<_>) =
            read.into_iter().map(|read| (read.value, read.readings)).unzip();
        let listed = list::expand(documents).map_err(|refusal| unreadable(refusal, None))?;
        let trees = span::trees(text);
        for (readings, tree) in readings.iter_mut().zip(&trees) {
            readings.extend(tree.number_readings(text));
        }
        Ok(Self { text, listed, readings, trees })
    }

    fn tree(&self, listed: &ListedDocument) -> Option<&Tree> {
        listed.number.checked_sub(1).and_then(|index| self.trees.get(index))
    }

    /// Returns the findings in a document of ours, in the order of the text.
    fn findings(&self, listed: &ListedDocument) -> Vec<ManifestFinding> {
        let (tree, readings) = (self.tree(listed), readings_of(listed, &self.readings));
        let refusals = in_document(&listed.document).into_iter();
        let refusals = refusals.map(|refusal| explained(listed, refusal, &readings));
        let mut found: Vec<_> =
            refusals.map(|refusal| finding(self.text, tree, listed, refusal)).collect();
        found.sort_by_key(|finding| position(finding.span.as_ref()));
        found
    }

    /// Returns the remarks on a document beside its findings: that on the whole of it, and those on
    /// its values in the order of the text.
    fn notes(
        &self,
        listed: &ListedDocument,
        now: Timestamp,
        found: &[ManifestFinding],
    ) -> Vec<ManifestNote> {
        let tree = self.tree(listed);
        let mut notes = Vec::new();
        if is_ours(listed) {
            let readings = readings_of(listed, &self.readings);
            notes = reading_notes(self.text, tree, listed, &readings);
            notes.retain(|note| !found.iter().any(|finding| finding.span == note.span));
            notes.sort_by_key(|note| position(note.span.as_ref()));
        }
        note(self.text, tree, listed, now).into_iter().chain(notes).collect()
    }
}

fn position(span: Option<&ManifestSpan>) -> Option<(usize, usize)> {
    span.map(|place| (place.line, place.column))
}

/// Returns the values of a document, or of a list's item, that a person may read otherwise.
fn readings_of<'a>(
    listed: &ListedDocument,
    readings: &'a [Vec<YamlReading>],
) -> Vec<&'a YamlReading> {
    let of_document = listed.number.checked_sub(1).and_then(|index| readings.get(index));
    let item = listed.item.map(|index| format!("items[{index}]."));
    let is_in = |reading: &&YamlReading| {
        item.as_ref().is_none_or(|item| reading.path.starts_with(item.as_str()))
    };
    of_document.into_iter().flatten().filter(is_in).collect()
}

/// Adds to a refusal how its value is read, where that is not as it looks.
fn explained(listed: &ListedDocument, refusal: Refusal, readings: &[&YamlReading]) -> Refusal {
    let path = listed.locate(refusal.clone()).field;
    let is_same = |reading: &&&YamlReading| path.as_deref() == Some(reading.path.as_str());
    let Some(reading) = readings.iter().find(is_same) else { return refusal };
    let message = format!("{} ({})", refusal.message, reading.explanation());
    Refusal { message, ..refusal }
}

/// Returns the remarks on values that a person may read otherwise.
fn reading_notes(
    text: &str,
    tree: Option<&Tree>,
    listed: &ListedDocument,
    readings: &[&YamlReading],
) -> Vec<ManifestNote> {
    let notes = readings.iter().map(|reading| ManifestNote {
        document: listed.number,
        span: tree.and_then(|tree| tree.find(text, &reading.path, FieldPart::Value)),
        message: reading.remark(),
    });
    notes.collect()
}

/// Returns the remark on a document, if it needs one.
fn note(
    text: &str,
    tree: Option<&Tree>,
    listed: &ListedDocument,
    now: Timestamp,
) -> Option<ManifestNote> {
    let document = &listed.document;
    let (field, message) = if manifest::is_foreign(document) {
        let kind = escaped(text_at(document, "/kind"));
        let version = escaped(text_at(document, "/apiVersion"));
        ("kind", format!("{kind} of {version} is not ours; it is not checked, and not applied"))
    } else if manifest::has_generated_name(document) {
        let message = "`kubectl create` draws the name; `apply` needs metadata.name";
        ("metadata.generateName", message.to_owned())
    } else if wants_nothing(document) {
        let message = "nothing is wanted: items and title are empty; give one of them";
        ("spec", message.to_owned())
    } else {
        let zone = document.pointer("/spec/timeZone").and_then(Value::as_str);
        let by = text_at(document, "/spec/delivery/by");
        ("spec.delivery.by", past_delivery(by, zone, now)?)
    };
    let path = listed.locate(Refusal::field(field, "")).field.unwrap_or_default();
    let span = tree.and_then(|tree| tree.find(text, &path, FieldPart::Value));
    Some(ManifestNote { document: listed.number, span, message })
}

/// Reports whether an order request has its items or its title, and nothing in them, as of a template
/// without values. Sellers would be asked for nothing.
fn wants_nothing(document: &Value) -> bool {
    if text_at(document, "/kind") != "OrderRequest" {
        return false;
    }
    let fields = ["/spec/items", "/spec/title"].map(|pointer| document.pointer(pointer));
    let is_empty = |field: &Value| match field {
        Value::Null => true,
        Value::String(text) => is_blank(text),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    fields.iter().any(Option::is_some) && fields.iter().flatten().all(|field| is_empty(field))
}

/// Returns a finding with its position: the name of a field that is not known, else the value.
fn finding(
    text: &str,
    tree: Option<&Tree>,
    listed: &ListedDocument,
    refusal: Refusal,
) -> ManifestFinding {
    let schema = manifest::schema_of(&listed.document);
    let path = refusal.field.as_deref().unwrap_or_default();
    let part = if schema.is_none_or(|schema| has_field(schema, path)) {
        FieldPart::Value
    } else {
        FieldPart::Name
    };
    let refusal = listed.locate(refusal);
    let path = refusal.field.as_deref().unwrap_or_default();
    let span = tree.and_then(|tree| tree.find(text, path, part));
    ManifestFinding { document: Some(listed.number), span, refusal }
}

fn unreadable(refusal: Refusal, span: Option<ManifestSpan>) -> ManifestReport {
    ManifestReport {
        documents: 0,
        findings: vec![ManifestFinding { document: None, span, refusal }],
        notes: Vec::new(),
    }
}

/// Returns all findings in one document: those of the schema, then those of the rules and of the
/// conversion for the rest. A part that is wrong already is left out for them, because a value of a
/// wrong type would make them fail for no reason of their own.
fn in_document(document: &Value) -> Vec<Refusal> {
    let Some(schema) = manifest::schema_of(document) else {
        return manifest::manifest(document.clone()).err().into_iter().collect();
    };
    let mut found = match document.get("spec") {
        Some(spec @ Value::Object(_)) => {
            check::findings("spec", spec, &schema["properties"]["spec"], FINDINGS_MAX)
        }
        _ => Vec::new(),
    };
    let mut rest = document.clone();
    for refusal in &found {
        leave_out(&mut rest, refusal);
    }
    for refusal in broken_rules(&rest, schema) {
        leave_out(&mut rest, &refusal);
        found.push(refusal);
    }
    // Each iteration leaves a part out, or is the last one.
    while found.len() < FINDINGS_MAX
        && let Err(refusal) = manifest::manifest(rest.clone())
    {
        let is_left_out = leave_out(&mut rest, &refusal);
        if is_left_out || found.is_empty() {
            found.push(refusal);
        }
        if !is_left_out {
            break;
        }
    }
    found
}

/// Removes the part of a document that a refusal is about; reports whether there was one.
fn leave_out(document: &mut Value, refusal: &Refusal) -> bool {
    let field = refusal.field.as_deref().unwrap_or_default();
    if field.starts_with("metadata") {
        let sound = json!({"name": "sound"});
        return document["metadata"] != sound && {
            document["metadata"] = sound;
            true
        };
    }
    let Some(below) = field.strip_prefix("spec.") else { return false };
    let part = below.split(['.', '[']).next().unwrap_or_default();
    document["spec"].as_object_mut().is_some_and(|spec| spec.remove(part).is_some())
}

/// Reports whether a schema has a field at a path.
fn has_field(schema: &Value, path: &str) -> bool {
    if path.starts_with("metadata.") {
        // The API server's own schema has them.
        return true;
    }
    let mut below = schema;
    for name in path.split('.') {
        let (name, indices) = name.split_once('[').unwrap_or((name, ""));
        let known = &below["properties"][name];
        if known.is_null() {
            return below["type"] == "object" && below["properties"].is_null();
        }
        below = known;
        for _ in indices.matches(']') {
            below = &below["items"];
        }
    }
    true
}

/// Returns the rules of the definition that a new resource breaks. Rules about edits need a former
/// version, and are not evaluated.
fn broken_rules(document: &Value, schema: &Value) -> Vec<Refusal> {
    let mut cleaned = document.clone();
    if let Some(spec) = cleaned.get_mut("spec") {
        without_nulls(spec);
    }
    let with_defaults = apply_defaults(schema, &cleaned);
    let judged = Validator::new().validate(schema, &with_defaults, None);
    // A rule that cannot be evaluated concerns a value that the conversion refuses with a clear
    // message.
    let broken = judged.err().into_iter().flatten();
    let broken = broken.filter(|broken| broken.kind == ErrorKind::ValidationFailure);
    // The path of a rule of the whole resource begins with a dot.
    let refusal = |path: &str, message: &str| {
        let path = path.trim_start_matches('.');
        Refusal::field(path, without_name(path, message).to_owned())
    };
    broken.map(|broken| refusal(&broken.field_path, &broken.message)).collect()
}

/// Returns a rule's message without the field's name at its beginning: a finding begins with the
/// field's path.
fn without_name<'a>(path: &str, message: &'a str) -> &'a str {
    let name = path.rsplit('.').next().unwrap_or(path);
    let rest = message.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
    rest.unwrap_or(message)
}

#[cfg(test)]
mod tests;
