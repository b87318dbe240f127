//! Finds all faults of a manifest without a cluster: in its YAML, against the definition's schema
//! and its CEL rules, and in the one conversion that the servers use. Each finding has its position
//! in the text.

mod span;

use kube_cel::{ErrorKind, Validator, apply_defaults};
use orderstream_core::{Reason, Refusal};
use serde_json::{Value, json};

pub use self::span::ManifestSpan;

use crate::check;
use crate::manifest::{self, DOCUMENTS_MAX, TEXT_BYTES_MAX, without_nulls};
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

/// The result of checking a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestReport {
    /// The number of documents in the text; 0 when it cannot be read.
    pub documents: usize,
    /// The findings, in the order of the text.
    pub findings: Vec<ManifestFinding>,
}

/// Checks every document of a text.
pub fn lint(text: &str) -> ManifestReport {
    if text.len() > TEXT_BYTES_MAX {
        let length = text.len();
        let message =
            format!("has {length} bytes; at most {TEXT_BYTES_MAX} are allowed, split the file");
        return unreadable(Refusal::new(Reason::InvalidRequest, message), None);
    }
    let documents = match manifest::parsed(text) {
        Ok(documents) => documents,
        Err(error) => {
            let (message, span) = span::of_error(text, &error);
            let message = format!("is not YAML or JSON: {message}");
            return unreadable(Refusal::new(Reason::InvalidRequest, message), span);
        }
    };
    if documents.is_empty() || documents.len() > DOCUMENTS_MAX {
        let count = documents.len();
        let message = format!("has {count} documents; give 1 to {DOCUMENTS_MAX}");
        return unreadable(Refusal::new(Reason::InvalidRequest, message), None);
    }
    let trees = span::trees(text);
    let mut report = ManifestReport { documents: documents.len(), findings: Vec::new() };
    for (index, document) in documents.iter().enumerate() {
        if report.findings.len() >= FINDINGS_OF_TEXT_MAX {
            break;
        }
        let number = index.saturating_add(1);
        let mut found: Vec<ManifestFinding> = in_document(document)
            .into_iter()
            .map(|refusal| ManifestFinding {
                document: Some(number),
                span: trees
                    .get(index)
                    .and_then(|tree| span_of(text, tree, &refusal, manifest::schema_of(document))),
                refusal,
            })
            .collect();
        found.sort_by_key(|finding| finding.span.as_ref().map(|place| (place.line, place.column)));
        report.findings.extend(found);
    }
    report
}

fn unreadable(refusal: Refusal, span: Option<ManifestSpan>) -> ManifestReport {
    ManifestReport {
        documents: 0,
        findings: vec![ManifestFinding { document: None, span, refusal }],
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

/// Returns the position of a refusal: the name of a field that is not known, else the value.
fn span_of(
    text: &str,
    tree: &Tree,
    refusal: &Refusal,
    schema: Option<&Value>,
) -> Option<ManifestSpan> {
    let path = refusal.field.as_deref().unwrap_or_default();
    let part = if schema.is_none_or(|schema| has_field(schema, path)) {
        FieldPart::Value
    } else {
        FieldPart::Name
    };
    tree.find(text, path, part)
}

/// Reports whether a schema has a field at a path.
fn has_field(schema: &Value, path: &str) -> bool {
    let mut below = schema;
    for name in path.split('.') {
        let (name, indices) = name.split_once('[').unwrap_or((name, ""));
        let known = &below["properties"][name];
        if known.is_null() {
            // The fields under `metadata` are not in the schema.
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
    broken.map(|broken| Refusal::field(broken.field_path, broken.message)).collect()
}

#[cfg(test)]
mod tests;
