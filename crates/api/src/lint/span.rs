//! Finds the position of a field in a manifest's text: the same text is parsed once more, into
//! positions instead of values.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{Location, Spanned};

use crate::yaml::{self, YamlReading};

/// A span of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestSpan {
    /// The line's number, from 1.
    pub line: usize,
    /// The first column, from 1, in characters.
    pub column: usize,
    /// The number of characters, at least 1.
    pub length: usize,
    /// The text of the line.
    pub source: String,
}

/// The positions of a document's fields.
#[derive(Clone, Debug)]
pub(super) struct Tree(Spanned<SpannedNode>);

/// A part of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldPart {
    /// The field's name.
    Name,
    /// The field's value where that is a scalar, else its name.
    Value,
}

#[derive(Clone, Debug)]
enum SpannedNode {
    Scalar(ScalarKind),
    List(Vec<Spanned<SpannedNode>>),
    Fields(Vec<(Spanned<String>, Spanned<SpannedNode>)>),
}

/// A kind of scalar.
#[derive(Clone, Debug)]
enum ScalarKind {
    Null,
    Number(Number),
    Other,
}

/// Returns the documents of a text that was parsed before, without the empty ones.
pub(super) fn trees(text: &str) -> Vec<Tree> {
    let nodes: Result<Vec<Spanned<SpannedNode>>, _> = serde_saphyr::from_multiple_with_options(
        text,
        serde_saphyr::options! { strict_booleans: true },
    );
    let is_something =
        |node: &Spanned<SpannedNode>| !matches!(node.value, SpannedNode::Scalar(ScalarKind::Null));
    // It was read before, so this does not fail; without positions the findings are still valid.
    nodes.unwrap_or_default().into_iter().filter(is_something).map(Tree).collect()
}

impl Tree {
    /// Returns the position of a field, or of its nearest parent where it is missing.
    pub(super) fn find(&self, text: &str, path: &str, part: FieldPart) -> Option<ManifestSpan> {
        let mut node = &self.0;
        let mut location = node.referenced;
        let mut rest = path;
        while !rest.is_empty() {
            let Some((name, below, after)) = step(&node.value, rest) else { break };
            let is_value =
                part == FieldPart::Value && matches!(below.value, SpannedNode::Scalar(_));
            location = if is_value { below.referenced } else { name.unwrap_or(below.referenced) };
            node = below;
            rest = after;
        }
        span_at(text, location)
    }

    /// Returns the numbers that are written with a base or an exponent, such as `0x10` and `1e3`.
    pub(super) fn number_readings(&self, text: &str) -> Vec<YamlReading> {
        let mut readings = Vec::new();
        read_numbers(text, "", &self.0, &mut readings);
        readings
    }
}

/// Collects the numbers with a base or an exponent below a node, which is at a path.
fn read_numbers(
    text: &str,
    path: &str,
    node: &Spanned<SpannedNode>,
    readings: &mut Vec<YamlReading>,
) {
    match &node.value {
        SpannedNode::Scalar(ScalarKind::Number(number)) => {
            let read = yaml::whole(Value::Number(number.clone()));
            let written = marked_letters(text, node.defined);
            let written = written.filter(|it| !it.eq_ignore_ascii_case(&read.to_string()));
            readings.extend(written.map(|written| YamlReading::new(path, written, read)));
        }
        SpannedNode::Scalar(ScalarKind::Null | ScalarKind::Other) => {}
        SpannedNode::List(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                read_numbers(text, &format!("{path}[{index}]"), entry, readings);
            }
        }
        SpannedNode::Fields(fields) => {
            for (name, below) in fields {
                let name = &name.value;
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                read_numbers(text, &path, below, readings);
            }
        }
    }
}

/// Returns the letters of a number where they have a base or an exponent. Those with a `_` are
/// found by the reading of the documents.
fn marked_letters(text: &str, location: Location) -> Option<&str> {
    let begin = usize::try_from(location.span().byte_offset()?).ok()?;
    let rest = text.get(begin..)?;
    let is_of_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    let end = rest.find(|c: char| !is_of_number(c)).unwrap_or(rest.len());
    let letters = rest.get(..end).filter(|letters| !letters.contains('_'))?;
    let unsigned = letters.trim_start_matches(['+', '-']);
    let has_base = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|it| unsigned.starts_with(*it));
    let is_decimal = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let has_exponent = is_decimal && unsigned.contains(['e', 'E']);
    (has_base || has_exponent).then_some(letters)
}

/// Takes one step down a path: returns the position of the name, the node there, and the rest of
/// the path.
fn step<'n, 'p>(
    node: &'n SpannedNode,
    path: &'p str,
) -> Option<(Option<Location>, &'n Spanned<SpannedNode>, &'p str)> {
    match node {
        SpannedNode::Scalar(_) => None,
        SpannedNode::List(entries) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let entry = entries.get(index.parse::<usize>().ok()?)?;
            Some((None, entry, rest.strip_prefix('.').unwrap_or(rest)))
        }
        SpannedNode::Fields(fields) => {
            let fits = |name: &str| {
                let rest = path.strip_prefix(name)?;
                let is_whole = rest.is_empty() || rest.starts_with(['.', '[']);
                is_whole.then(|| rest.strip_prefix('.').unwrap_or(rest))
            };
            let found =
                fields.iter().filter_map(|(name, node)| Some((name, node, fits(&name.value)?)));
            let (name, below, rest) = found.min_by_key(|(_, _, rest)| rest.len())?;
            Some((Some(name.referenced), below, rest))
        }
    }
}

/// Returns a span with its line, cut at the line's end.
fn span_at(text: &str, location: Location) -> Option<ManifestSpan> {
    let line = usize::try_from(location.line()).ok().filter(|line| *line > 0)?;
    let column = usize::try_from(location.column()).ok().filter(|column| *column > 0)?;
    let source = text.lines().nth(line.checked_sub(1)?)?.trim_end().to_owned();
    let chars = source.chars().count();
    let here: String = source.chars().skip(column.saturating_sub(1)).collect();
    let span = usize::try_from(location.span().len()).unwrap_or(usize::MAX);
    let length = match span {
        0 => scalar_len(&here),
        span => span,
    };
    let columns_left = chars.saturating_sub(column.saturating_sub(1));
    Some(ManifestSpan { line, column, length: length.min(columns_left).max(1), source })
}

/// Returns the length of the plain scalar at the beginning of a text, in characters.
fn scalar_len(text: &str) -> usize {
    let end = |c: char| c.is_whitespace() || matches!(c, ':' | ',' | ']' | '}');
    text.chars().take_while(|c| !end(*c)).count()
}

/// Returns the parser's error in one line, and its position.
pub(super) fn of_error(text: &str, error: &serde_saphyr::Error) -> (String, Option<ManifestSpan>) {
    (yaml::text_of(error), error.location().and_then(|location| span_at(text, location)))
}

impl<'de> Deserialize<'de> for SpannedNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = SpannedNode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Other))
    }

    fn visit_i64<E>(self, number: i64) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Number(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Number(number.into())))
    }

    fn visit_i128<E>(self, _: i128) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Other))
    }

    fn visit_u128<E>(self, _: u128) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Other))
    }

    fn visit_f64<E>(self, number: f64) -> Result<SpannedNode, E> {
        let kind = Number::from_f64(number).map_or(ScalarKind::Other, ScalarKind::Number);
        Ok(SpannedNode::Scalar(kind))
    }

    fn visit_str<E>(self, _: &str) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Other))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Other))
    }

    fn visit_unit<E>(self) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Null))
    }

    fn visit_none<E>(self) -> Result<SpannedNode, E> {
        Ok(SpannedNode::Scalar(ScalarKind::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<SpannedNode, D::Error> {
        SpannedNode::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<SpannedNode, D::Error> {
        IgnoredAny::deserialize(inner).map(|_| SpannedNode::Scalar(ScalarKind::Other))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<SpannedNode, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(SpannedNode::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<SpannedNode, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            fields.push(entry);
        }
        Ok(SpannedNode::Fields(fields))
    }
}
