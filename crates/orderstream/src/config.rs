//! `--config file.yaml`: the same keys as the flags. A flag or a variable wins over the file.

use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;
use orderstream_cli::exit::CliError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Returns the effective settings: the flags, and the file for what no flag or variable gives.
pub(crate) fn merged<T: Serialize + DeserializeOwned>(
    flags: T,
    file: Option<&Path>,
    matches: &ArgMatches,
) -> Result<T, CliError> {
    let Some(file) = file else { return Ok(flags) };
    let wrong = |what: String| CliError::input(format!("--config {}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let settings: Value =
        serde_saphyr::from_str(&text).map_err(|error| wrong(one_line(&error.to_string())))?;
    let Value::Object(settings) = settings else {
        return Err(wrong("is not a map of keys to values".to_owned()));
    };
    // The file alone must be valid: an unknown key or a wrong value is named here.
    serde_json::from_value::<T>(Value::Object(settings.clone()))
        .map_err(|error| wrong(error.to_string()))?;
    let mut merged = match serde_json::to_value(&flags) {
        Ok(Value::Object(flags)) => flags,
        Ok(_) | Err(_) => Map::new(),
    };
    for (key, value) in settings {
        if !is_given(matches, &key) {
            merged.insert(key, value);
        }
    }
    serde_json::from_value(Value::Object(merged)).map_err(|error| wrong(error.to_string()))
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Reports whether a key was given as a flag or a variable.
fn is_given(matches: &ArgMatches, key: &str) -> bool {
    let id = key.replace('-', "_");
    let plural = format!("{id}s");
    [id.as_str(), plural.as_str()].iter().any(|id| {
        let source = matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    })
}
