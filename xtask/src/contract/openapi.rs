//! The pieces of an OpenAPI document.

use serde_json::Value;

use super::piece::Piece;
use super::{prose, schema};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// The kinds of components that are split by name, and the depth to which each is split by
/// properties.
const KINDS: [(&str, usize); 5] =
    [("schemas", 1), ("responses", 0), ("headers", 0), ("parameters", 0), ("requestBodies", 0)];

/// Returns each operation and component, and the rest. Examples count as prose, and so does the
/// document's `info`, including its version.
pub(super) fn pieces(document: &Value) -> Vec<Piece> {
    let mut document = prose::strip(document);
    let mut pieces = Vec::new();
    for (path, mut item) in schema::take(&mut document, "paths") {
        for method in METHODS {
            if let Some(operation) = item.as_object_mut().and_then(|item| item.remove(method)) {
                pieces.push(Piece::of(format!("{} {path}", method.to_uppercase()), &operation));
            }
        }
        pieces.extend(rest(format!("path {path}"), &item));
    }
    let mut components = document.as_object_mut().and_then(|map| map.remove("components"));
    for (kind, levels) in KINDS {
        let named = components.as_mut().map(|components| schema::take(components, kind));
        for (name, component) in named.into_iter().flatten() {
            schema::split(&format!("{kind} {name}"), component, levels, &mut pieces);
        }
    }
    pieces.extend(components.and_then(|components| rest("components".to_owned(), &components)));
    schema::take(&mut document, "info");
    pieces.push(Piece::of("document", &document));
    pieces
}

/// Returns the remainder of an object as a piece, unless it is empty.
fn rest(name: String, left: &Value) -> Option<Piece> {
    left.as_object().is_some_and(|left| !left.is_empty()).then(|| Piece::of(name, left))
}
