//! The pieces of a JSON schema.

use serde_json::Value;

use super::piece::Piece;
use super::prose;

/// How deep a schema file is split by its properties.
const LEVELS: usize = 2;

/// Each property and definition of a schema file, and its rest.
pub(super) fn pieces(document: &Value) -> Vec<Piece> {
    let mut document = prose::strip(document);
    let mut pieces = Vec::new();
    for word in ["$defs", "definitions"] {
        for (name, schema) in take(&mut document, word) {
            split(&format!("definition {name}"), schema, 1, &mut pieces);
        }
    }
    split("schema", document, LEVELS, &mut pieces);
    pieces
}

/// Splits a schema's properties off, so many levels deep; each is a piece, and so is the rest. A
/// property that is added is a piece that is added.
pub(super) fn split(name: &str, mut schema: Value, levels: usize, pieces: &mut Vec<Piece>) {
    if let Some(below) = levels.checked_sub(1) {
        for (property, schema) in take(&mut schema, "properties") {
            split(&format!("{name}.{property}"), schema, below, pieces);
        }
    }
    pieces.push(Piece::of(name, &schema));
}

/// Takes what stands under a word out of a document, by name.
pub(super) fn take(document: &mut Value, word: &str) -> Vec<(String, Value)> {
    let taken = document.get_mut(word).and_then(Value::as_object_mut).map(std::mem::take);
    if taken.is_some() {
        document.as_object_mut().map(|map| map.remove(word));
    }
    taken.into_iter().flatten().collect()
}
