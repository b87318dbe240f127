//! Compares or rewrites a golden file, and checks that it is complete. Crates that store records of
//! their own include this file by its path.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserializer, Serialize, forward_to_deserialize_any};

/// The environment variable that makes the tests rewrite the files when it is `write`.
const VARIABLE: &str = "ORDERSTREAM_GOLDEN";

/// Compares these lines with those of a file in the crate's folder.
pub(crate) fn check(path: &str, lines: &[String]) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var(VARIABLE).is_ok_and(|value| value == "write") {
        fs::write(&full, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
    let stored = fs::read_to_string(&full).unwrap();
    let stored: Vec<_> = stored.lines().collect();
    for (number, (line, stored)) in (1..).zip(lines.iter().zip(&stored)) {
        assert_eq!(line, stored, "{path}:{number} is written otherwise today");
    }
    assert_eq!(lines.len(), stored.len(), "lines of {path}");
}

/// Checks that these values are written as the lines of a file, and read back from them.
pub(crate) fn check_values<T>(path: &str, values: &[T])
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let lines: Vec<_> = values.iter().map(json).collect();
    check(path, &lines);
    for (number, (line, value)) in (1..).zip(lines.iter().zip(values)) {
        let read: T = serde_json::from_str(line).unwrap();
        assert_eq!(read, *value, "{path}:{number} is read as something else");
        assert_eq!(json(&read), *line, "{path}:{number} is written otherwise once it was read");
    }
}

/// Returns the value as it is stored.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

/// Checks that there is a value of each variant of the type.
pub(crate) fn check_variants<T: Serialize + DeserializeOwned>(values: &[T]) {
    let name = |value: &T| {
        let stored = serde_json::to_value(value).unwrap();
        let key = || stored.as_object()?.keys().next().map(String::as_str);
        stored.as_str().or_else(key).expect("the name of a variant").to_owned()
    };
    let present: BTreeSet<_> = values.iter().map(name).collect();
    let all: BTreeSet<_> = variants::<T>().into_iter().map(str::to_owned).collect();
    assert_eq!(present, all, "variants of {}", std::any::type_name::<T>());
}

/// Returns the names of an enum's variants, as they are read.
pub(crate) fn variants<T: DeserializeOwned>() -> Vec<&'static str> {
    let mut recorder = VariantRecorder(&[]);
    let read = T::deserialize(&mut recorder);
    assert!(read.is_err() && !recorder.0.is_empty(), "it is no enum with variants");
    recorder.0.to_vec()
}

/// A deserializer that records the variants that a type expects, and yields none.
struct VariantRecorder(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut VariantRecorder {
    type Error = Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        self.0 = variants;
        Err(Error::custom("only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("no enum"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
