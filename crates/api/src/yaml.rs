//! Reads YAML as kubectl does, so that a manifest means the same with a cluster and without one:
//! kubectl reads version 1.1, in which a bare `yes` is true and `010` is eight. What a person may
//! have meant otherwise is reported beside the values.

use serde_json::{Number, Value};

use crate::check::{escaped, escaped_path};

/// The bare words that are true or false beside `true` and `false`. Other spellings, such as `yEs`,
/// are texts.
const BOOLEANS: [&str; 16] = [
    "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off",
    "OFF",
];
/// The numbers below this one are exact as doubles.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// A document of a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct YamlDocument {
    /// The document, as kubectl reads it.
    pub(crate) value: Value,
    /// The values in it that a person may read otherwise, in the order of the fields' names.
    pub(crate) readings: Vec<YamlReading>,
}

/// A bare word or number that kubectl reads as something else than its letters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct YamlReading {
    /// The path of the field in the document.
    pub(crate) path: String,
    /// The word, as it was written.
    written: String,
    /// The value that it is read as.
    read: Value,
}

impl YamlReading {
    /// Makes the reading of a word at a path.
    pub(crate) fn new(path: &str, written: &str, read: Value) -> Self {
        Self { path: path.to_owned(), written: written.to_owned(), read }
    }

    /// Returns the explanation that follows a finding about the value.
    pub(crate) fn explanation(&self) -> String {
        format!("kubectl reads {} as {}", escaped(&self.written), self.read)
    }

    /// Returns the remark on a value without a fault.
    pub(crate) fn remark(&self) -> String {
        let (path, written, read) = (escaped_path(&self.path), escaped(&self.written), &self.read);
        format!(
            "{path}: {written} is read as {read}, as by kubectl; write {read}, or put it in quotes"
        )
    }
}

/// Returns a parser's error in one line, in the words of manifests.
pub(crate) fn text_of(error: &serde_saphyr::Error) -> String {
    let message = error.to_string();
    let line = message.lines().next().unwrap_or("cannot be read");
    line.replace(", set DuplicateKeyPolicy in Options if acceptable", "; remove one of the two")
}

/// Reads the documents of a text, without the empty ones.
pub(crate) fn documents(text: &str) -> Result<Vec<YamlDocument>, serde_saphyr::Error> {
    let read: Vec<Value> = serde_saphyr::from_multiple_with_options(
        text,
        serde_saphyr::options! { strict_booleans: false, legacy_octal_numbers: true },
    )?;
    let written: Vec<Value> = serde_saphyr::from_multiple_with_options(
        text,
        serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true
        },
    )?;
    let both = written.into_iter().zip(read).filter(|(_, read)| !read.is_null());
    let documents = both.map(|(written, read)| {
        let mut readings = Vec::new();
        let value = settled("", written, read, &mut readings);
        YamlDocument { value, readings }
    });
    Ok(documents.collect())
}

/// Returns a value as kubectl reads it. `written` has bare words as texts where `read` may have
/// more of them as booleans and numbers than kubectl does.
fn settled(path: &str, written: Value, read: Value, readings: &mut Vec<YamlReading>) -> Value {
    match (written, read) {
        (Value::Object(mut written), Value::Object(read)) => {
            let fields = read.into_iter().map(|(name, value)| {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let letters = written.remove(&name).unwrap_or_default();
                let value = settled(&below, letters, value, readings);
                (name, value)
            });
            Value::Object(fields.collect())
        }
        (Value::Array(written), Value::Array(read)) => {
            let entries = written.into_iter().zip(read).enumerate();
            let entries = entries.map(|(index, (written, read))| {
                settled(&format!("{path}[{index}]"), written, read, readings)
            });
            Value::Array(entries.collect())
        }
        (Value::String(word), Value::Bool(_)) if !BOOLEANS.contains(&word.as_str()) => {
            Value::String(word)
        }
        (Value::String(written), read @ (Value::Bool(_) | Value::Number(_))) => {
            let read = whole(read);
            readings.push(YamlReading::new(path, &written, read.clone()));
            read
        }
        (_, read) => whole(read),
    }
}

/// Returns a number without decimal places as an integer, such as 10 for `10.0`: kubectl sends
/// numbers as Go writes them.
pub(crate) fn whole(value: Value) -> Value {
    let is_double = value.as_number().is_some_and(Number::is_f64);
    match value.as_f64().filter(|_| is_double) {
        Some(number) if number.fract() == 0.0 && number.abs() < EXACT_BELOW => {
            format!("{number:.0}").parse::<i64>().map_or(value, Value::from)
        }
        Some(_) | None => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> YamlDocument {
        documents(text).unwrap().remove(0)
    }

    #[test]
    fn bare_words_and_numbers_are_read_as_by_kubectl() {
        for (written, expected) in [
            ("yes", json!(true)),
            ("ON", json!(true)),
            ("n", json!(false)),
            ("Off", json!(false)),
            ("yEs", json!("yEs")),
            ("'yes'", json!("yes")),
            ("true", json!(true)),
            ("010", json!(8)),
            ("-010", json!(-8)),
            ("089", json!(89)),
            ("'010'", json!("010")),
            ("1_000", json!(1_000)),
            ("10.0", json!(10)),
            ("1e3", json!(1_000)),
            ("2.5", json!(2.5)),
            ("1,5", json!("1,5")),
            ("12:30:00", json!("12:30:00")),
            ("2036-12-01", json!("2036-12-01")),
            ("~", Value::Null),
        ] {
            assert_eq!(read(&format!("a: {written}\n")).value["a"], expected, "{written}");
            assert_eq!(
                read(&format!("a:\n- x\n- {written}\n")).value["a"][1],
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn readings_name_the_path_and_both_values() {
        let found = read("spec:\n  sealed: yes\n  items: [{quantity: 010}, {quantity: 10}]\n");
        let remarks: Vec<_> =
            found.readings.iter().map(|it| (it.path.as_str(), it.explanation())).collect();
        assert_eq!(
            remarks,
            [
                ("spec.items[0].quantity", "kubectl reads 010 as 8".to_owned()),
                ("spec.sealed", "kubectl reads yes as true".to_owned()),
            ]
        );
        assert!(found.readings[1].remark().contains("write true"), "{:?}", found.readings);
    }

    #[test]
    fn documents_have_readings_of_their_own() {
        let found = documents("a: yes\n---\n---\nb: true\n---\nc: no\n").unwrap();
        let counts: Vec<_> = found.iter().map(|document| document.readings.len()).collect();
        assert_eq!(counts, [1, 0, 1]);
        assert_eq!(documents("").unwrap(), []);
    }
}
