//! One piece of the contract, and the hash of its content.

use serde_json::Value;

/// A part of the contract that others rely on as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The piece's name in its file.
    pub(super) name: String,
    /// The piece's content in canonical form.
    content: Vec<u8>,
}

impl Piece {
    /// Creates a piece from a document without prose.
    pub(super) fn of(name: impl Into<String>, value: &Value) -> Self {
        let mut text = String::new();
        canonical(value, &mut text);
        Self::raw(name, text.into_bytes())
    }

    /// Creates a piece from canonical bytes.
    pub(super) fn raw(name: impl Into<String>, content: Vec<u8>) -> Self {
        Self { name: name.into(), content }
    }

    /// Returns the FNV-1a hash of the content, 16 hexadecimal digits.
    pub(super) fn hash(&self) -> String {
        let hash = self.content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// Writes JSON without whitespace, with the keys of each object sorted.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            out.push('{');
            for key in keys {
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(&map[key], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_key_order_is_ignored() {
        let hash = |value: Value| Piece::of("a", &value).hash();
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(hash(read(r#"{"a":1,"b":[]}"#)), hash(read(r#"{ "b": [], "a": 1 }"#)));
        let others = [json!({"a": [1, 2]}), json!({"a": [2, 1]}), json!({"a": [12]})];
        for (at, one) in others.iter().enumerate() {
            for other in &others[at + 1..] {
                assert_ne!(hash(one.clone()), hash(other.clone()), "{one} {other}");
            }
        }
    }

    #[test]
    fn hashes_are_stable_across_builds() {
        assert_eq!(Piece::raw("a", Vec::new()).hash(), "cbf29ce484222325");
        assert_eq!(Piece::raw("a", b"a".to_vec()).hash(), "af63dc4c8601ec8c");
    }
}
