//! A transcript of requests and replies, a line of JSON for each, and its comparison with the
//! checked-in file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::Mode;
use super::client::FullResponse;
use super::mask::Masks;

/// The number of characters printed before and behind the first one that differs.
const PRINTED_CHARS: usize = 120;
/// The limit of differing lines that are printed.
const PRINTED_LINES: usize = 3;
/// Counts that are higher on a slow machine.
const COUNTS: [&str; 3] = ["\"reconnects\":", "\"revision\":", "\"records\":"];

/// A list of lines of JSON.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// The masks; absent where nothing differs between two runs.
    pub(super) masks: Option<Masks>,
    lines: Vec<String>,
}

impl Transcript {
    /// Returns one whose lines are masked.
    pub(super) fn masked() -> Self {
        Self { masks: Some(Masks::default()), lines: Vec::new() }
    }

    /// Takes the masks into a new transcript, so that ids keep their numbers.
    pub(super) fn successor(&mut self) -> Self {
        Self { masks: self.masks.take(), lines: Vec::new() }
    }

    /// Adds a line: its members in this order, each with its JSON.
    pub(super) fn add(&mut self, members: &[(&str, String)]) {
        let members = members.iter().map(|(name, json)| format!("\"{name}\":{json}"));
        let line = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        self.lines.push(match &mut self.masks {
            Some(masks) => uncounted(masks.json(&line)),
            None => line,
        });
    }

    /// Adds an HTTP response.
    pub(super) fn add_response(&mut self, request: &str, response: &FullResponse) {
        let FullResponse { status, headers, text } = response;
        let headers = serde_json::to_string(headers).unwrap();
        let is_stream = headers.contains("text/event-stream");
        let body = if is_stream { events(text) } else { json_or_text(text) };
        self.add(&[
            ("asked", quoted(request)),
            ("status", status.to_string()),
            ("headers", headers),
            ("answer", body),
        ]);
    }

    /// Adds the output of a command.
    pub(super) fn add_output(&mut self, line: &str, output: &Output) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap().to_string();
        let mut members = vec![
            ("ran", quoted(line)),
            ("code", code),
            ("out", json_or_text(&text(&output.stdout))),
        ];
        if !output.stderr.is_empty() {
            members.push(("err", quoted(&text(&output.stderr))));
        }
        self.add(&members);
    }

    /// Compares with a file, or writes it.
    pub(super) fn compare_with(&self, file: &str, mode: Mode) {
        let (path, lines) = (folder().join(file), &self.lines);
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        if mode != Mode::Compare {
            fs::write(path, text).unwrap();
            return;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected == text {
            return;
        }
        let now = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        fs::write(&now, text).unwrap();
        let expected: Vec<&str> = expected.lines().collect();
        panic!(
            "{}\nall of it is in {}, to be compared with {}",
            differences(&expected, lines),
            now.display(),
            path.display()
        );
    }
}

/// Returns the folder of the golden files.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Returns a text as JSON.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Returns JSON on one line, its members in their order; lines of JSON become a list, and text that
/// is not JSON becomes a JSON text.
pub(super) fn json_or_text(text: &str) -> String {
    if serde_json::from_str::<Value>(text).is_err() {
        let is_object =
            |line: &str| serde_json::from_str(line).is_ok_and(|value: Value| value.is_object());
        if !text.is_empty() && text.lines().all(is_object) {
            return format!("[{}]", text.lines().collect::<Vec<_>>().join(","));
        }
        return quoted(text);
    }
    let (mut compact, mut in_text, mut before) = (String::with_capacity(text.len()), false, ' ');
    for one in text.chars() {
        if in_text || !one.is_whitespace() {
            compact.push(one);
        }
        let is_escaped = before == '\\';
        in_text ^= one == '"' && !is_escaped;
        before = if is_escaped { ' ' } else { one };
    }
    compact
}

/// Returns server-sent events as a list, with the fields of each in their order.
fn events(text: &str) -> String {
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        format!("{}:{}", quoted(name), json_or_text(value))
    };
    let event = |block: &str| {
        let fields: Vec<String> = block.lines().map(field).collect();
        format!("{{{}}}", fields.join(","))
    };
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    format!("[{}]", blocks.map(event).collect::<Vec<_>>().join(","))
}

/// Masks the counts that are higher on a slow machine.
fn uncounted(mut line: String) -> String {
    for name in COUNTS {
        let mut from = 0;
        while let Some(at) = line[from..].find(name) {
            let begin = from + at + name.len();
            let len = line[begin..].bytes().take_while(u8::is_ascii_digit).count();
            if len > 0 {
                line.replace_range(begin..begin + len, "\"<count>\"");
            }
            from = begin;
        }
    }
    line
}

/// Describes the first lines that differ, each from a little before the difference.
fn differences(expected: &[&str], now: &[String]) -> String {
    let count = expected.len().max(now.len());
    let pair = |index| (expected.get(index).copied(), now.get(index).map(String::as_str));
    let differ: Vec<usize> = (0..count).filter(|index| pair(*index).0 != pair(*index).1).collect();
    let mut text = format!("{} of {count} lines differ", differ.len());
    for index in differ.iter().take(PRINTED_LINES) {
        let (expected, now) = pair(*index);
        let (expected, now) = (expected.unwrap_or("(no line)"), now.unwrap_or("(no line)"));
        let same = expected.chars().zip(now.chars()).take_while(|(a, b)| a == b).count();
        let excerpt = |line: &str| {
            let part = line.chars().skip(same.saturating_sub(PRINTED_CHARS));
            part.take(2 * PRINTED_CHARS).collect::<String>()
        };
        let about: String = now.chars().take(PRINTED_CHARS).collect();
        let number = index + 1;
        text.push_str(&format!("\nline {number}, of {about}\n  held … {}", excerpt(expected)));
        text.push_str(&format!("\n  now  … {}", excerpt(now)));
    }
    text
}

/// Returns the headers of a received webhook as JSON.
pub(super) fn headers_json(headers: &BTreeMap<String, String>) -> String {
    serde_json::to_string(headers).unwrap()
}

#[test]
fn differences_name_line_and_place() {
    let (expected, now) =
        (["{\"a\":1}", "{\"b\":1}"], ["{\"a\":1}".to_owned(), "{\"b\":2}".to_owned()]);
    let text = differences(&expected, &now);
    assert!(text.starts_with("1 of 2 lines differ\nline 2, of {\"b\":2}"), "{text}");
    assert_eq!(
        uncounted("{\"reconnects\":12,\"x\":1}".to_owned()),
        "{\"reconnects\":\"<count>\",\"x\":1}"
    );
    assert_eq!(json_or_text("{ \"a b\" : [1, 2] }\n"), "{\"a b\":[1,2]}");
    assert_eq!(json_or_text("{\"a\":1}\n{\"b\":2}\n"), "[{\"a\":1},{\"b\":2}]");
    assert_eq!(events("id: 1\ndata: {\"a\": 1}\n\n"), "[{\"id\":1,\"data\":{\"a\":1}}]");
}
