//! The pieces of a JSON schema.

use serde_json::Value;

use super::piece::Piece;
use super::prose;

/// The depth to which a schema file is split by its properties.
const LEVELS: usize = 2;

/// Returns each property and definition of a schema file, and the rest.
pub(super) fn pieces(document: &Value) -> Vec<Piece> {
    let mut document = prose::strip(document);
    let mut pieces = Vec::new();
    for key in ["$defs", "definitions"] {
        for (name, schema) in take(&mut document, key) {
            split(&format!("definition {name}"), schema, 1, &mut pieces);
        }
    }
    split("schema", document, LEVELS, &mut pieces);
    pieces
}

/// Splits a schema by its properties to this depth; each property is a piece, and so is the rest.
/// So an added property is an added piece.
pub(super) fn split(name: &str, mut schema: Value, levels: usize, pieces: &mut Vec<Piece>) {
    if let Some(below) = levels.checked_sub(1) {
        for (property, schema) in take(&mut schema, "properties") {
            split(&format!("{name}.{property}"), schema, below, pieces);
        }
    }
    pieces.push(Piece::of(name, &schema));
}

/// Removes a key from a document, and returns the entries of its value.
pub(super) fn take(document: &mut Value, key: &str) -> Vec<(String, Value)> {
    let entries = document.get_mut(key).and_then(Value::as_object_mut).map(std::mem::take);
    if entries.is_some() {
        document.as_object_mut().map(|map| map.remove(key));
    }
    entries.into_iter().flatten().collect()
}
