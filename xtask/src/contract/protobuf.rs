//! The pieces of a set of protobuf descriptors, parsed by the wire format alone: each declaration
//! is a message with its name as field 1, and with lists of its nested declarations.

use anyhow::Context as _;

use super::piece::Piece;

/// A kind of declaration: its keyword, the fields with nested declarations, and those with prose.
struct DeclarationKind {
    keyword: &'static str,
    parts: &'static [(u64, &'static DeclarationKind)],
    prose: &'static [u64],
}

/// Creates a kind of declaration without nested declarations.
const fn leaf(keyword: &'static str) -> DeclarationKind {
    DeclarationKind { keyword, parts: &[], prose: &[] }
}

// Field numbers from google/protobuf/descriptor.proto. The prose of a file is its
// `source_code_info`.
static FIELD: DeclarationKind = leaf("field");
static ONEOF: DeclarationKind = leaf("oneof");
static VALUE: DeclarationKind = leaf("value");
static METHOD: DeclarationKind = leaf("method");
static ENUM: DeclarationKind =
    DeclarationKind { keyword: "enum", parts: &[(2, &VALUE)], prose: &[] };
static SERVICE: DeclarationKind =
    DeclarationKind { keyword: "service", parts: &[(2, &METHOD)], prose: &[] };
static MESSAGE: DeclarationKind = DeclarationKind {
    keyword: "message",
    parts: &[(2, &FIELD), (3, &MESSAGE), (4, &ENUM), (8, &ONEOF)],
    prose: &[],
};
static FILE: DeclarationKind = DeclarationKind {
    keyword: "file",
    parts: &[(4, &MESSAGE), (5, &ENUM), (6, &SERVICE)],
    prose: &[9],
};

const NAME: u64 = 1;
const PACKAGE: u64 = 2;
/// The prefix of our packages; imported ones are not part of the contract.
const OURS: &str = "orderstream.";

/// Returns each declaration of our files without its nested declarations, which are separate
/// pieces.
///
/// # Errors
/// When the bytes are not a set of descriptors.
pub(super) fn pieces(descriptors: &[u8]) -> anyhow::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for file in fields(descriptors)? {
        let package = text(&fields(file.body)?, PACKAGE)?;
        if package.starts_with(OURS) {
            declaration(&FILE, &package, file.body, &mut pieces)?;
        }
    }
    Ok(pieces)
}

/// Adds one declaration and its nested declarations.
fn declaration(
    kind: &'static DeclarationKind,
    scope: &str,
    bytes: &[u8],
    pieces: &mut Vec<Piece>,
) -> anyhow::Result<()> {
    let fields = fields(bytes)?;
    let name = text(&fields, NAME)?;
    // A file's name is a path, and not part of the names in it.
    let is_file = kind.keyword == FILE.keyword;
    let full = if is_file { name } else { format!("{scope}.{name}") };
    let scope = if is_file { scope } else { &full };
    let mut rest = Vec::new();
    for field in fields {
        match kind.parts.iter().find(|(number, _)| *number == field.number) {
            Some((_, part)) => declaration(part, scope, field.body, pieces)?,
            None if kind.prose.contains(&field.number) => {}
            None => rest.extend_from_slice(field.whole),
        }
    }
    pieces.push(Piece::raw(format!("{} {full}", kind.keyword), rest));
    Ok(())
}

/// Returns the text of a field; empty if the field is absent.
fn text(fields: &[Field<'_>], number: u64) -> anyhow::Result<String> {
    let field = fields.iter().find(|field| field.number == number);
    let bytes = field.map_or(&[][..], |field| field.body);
    Ok(std::str::from_utf8(bytes).context("a name is no text")?.to_owned())
}

/// One field of an encoded message.
struct Field<'a> {
    number: u64,
    /// The bytes with the tag, and with the length if there is one.
    whole: &'a [u8],
    /// Only the bytes of the value.
    body: &'a [u8],
}

/// Splits a message into its fields.
fn fields(bytes: &[u8]) -> anyhow::Result<Vec<Field<'_>>> {
    let (mut fields, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let start = rest;
        let head = varint(&mut rest)?;
        let len = match head & 7 {
            0 => varint_len(rest),
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).context("a length")?,
            5 => 4,
            kind => anyhow::bail!("wire type {kind} is unknown"),
        };
        let (body, behind) = rest.split_at_checked(len).context("it is cut short")?;
        let whole = start.get(..start.len().saturating_sub(behind.len())).unwrap_or_default();
        fields.push(Field { number: head >> 3, whole, body });
        rest = behind;
    }
    Ok(fields)
}

fn varint_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1
}

/// Parses a varint and removes it from the front.
fn varint(bytes: &mut &[u8]) -> anyhow::Result<u64> {
    let (number, rest) = bytes.split_at_checked(varint_len(bytes)).context("it is cut short")?;
    anyhow::ensure!(number.len() <= 10, "a number is too long");
    *bytes = rest;
    Ok(number.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes a field of bytes.
    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(body.len()).unwrap()];
        bytes.extend_from_slice(body);
        bytes
    }

    /// Encodes a set of one file with one message, whose only field has this number.
    fn set(package: &[u8], number: u8, source: &[u8]) -> Vec<u8> {
        let declared = [field(1, b"id"), vec![3 << 3, number]].concat();
        let message = [field(1, b"Order"), field(2, &declared)].concat();
        let parts = [field(1, b"a.proto"), field(2, package), field(4, &message), field(9, source)];
        field(1, &parts.concat())
    }

    fn hashes(set: &[u8]) -> Vec<(String, String)> {
        let pieces = pieces(set).unwrap();
        pieces.iter().map(|piece| (piece.name.clone(), piece.hash())).collect()
    }

    #[test]
    fn changed_numbers_change_their_field_only() {
        let [before, after] = [1, 2].map(|number| hashes(&set(b"orderstream.v1", number, b"")));
        let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
        let message = "message orderstream.v1.Order";
        assert_eq!(names, ["field orderstream.v1.Order.id", message, "file a.proto"]);
        assert_ne!(before[0], after[0]);
        assert_eq!(before[1..], after[1..]);
    }

    #[test]
    fn comments_and_imports_are_ignored() {
        let of = |package: &[u8], source: &[u8]| hashes(&set(package, 1, source));
        assert_eq!(of(b"orderstream.v1", b"a"), of(b"orderstream.v1", b"bb"));
        assert_eq!(of(b"google.protobuf", b""), []);
    }

    #[test]
    fn truncated_descriptors_are_refused() {
        let whole = set(b"orderstream.v1", 1, b"");
        for len in 1..whole.len() {
            assert!(pieces(&whole[..len]).is_err(), "{len}");
        }
    }
}
