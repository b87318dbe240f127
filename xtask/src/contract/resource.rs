//! The pieces of a custom resource definition.

use serde_json::Value;

use super::piece::Piece;
use super::{prose, schema};

/// The depth to which a version's schema is split by its properties: `spec`, and the properties of
/// `spec`.
const LEVELS: usize = 2;

/// Returns each property of `spec` and `status` in each version, the rest of each version, and the
/// rest of the definition.
pub(super) fn pieces(document: &Value) -> Vec<Piece> {
    let mut document = prose::strip(document);
    let mut pieces = Vec::new();
    let versions = document.pointer_mut("/spec/versions").map(Value::take);
    for mut version in versions.into_iter().flat_map(|it| it.as_array().cloned()).flatten() {
        let name = version["name"].as_str().unwrap_or("unnamed").to_owned();
        let schema = version.pointer_mut("/schema/openAPIV3Schema").map(Value::take);
        schema::split(&name, schema.unwrap_or_default(), LEVELS, &mut pieces);
        pieces.push(Piece::of(format!("version {name}"), &version));
    }
    pieces.push(Piece::of("definition", &document));
    pieces
}
