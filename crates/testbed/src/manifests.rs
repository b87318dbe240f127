//! The table of manifests that lint, `dev`, the local API server and a Kubernetes API server read
//! alike. Each of them is asked in the tests of its own crate.

use serde::Deserialize;
use serde_json::{Map, Value};

const TABLE: &str = include_str!("../fixtures/manifests.yaml");

/// A manifest, and how all read it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestCase {
    /// The text, as an author writes it.
    pub text: String,
    /// The kind of the resource in it.
    #[serde(default = "order_request")]
    pub kind: String,
    /// The name of the resource in it, or the one in the path of a request.
    #[serde(default = "table")]
    pub named: String,
    /// The result of reading it.
    pub reading: ManifestReading,
    /// The field that a refusal without an API server names.
    #[serde(default)]
    pub field: String,
    /// Fields of the spec as they are stored.
    #[serde(default)]
    pub gives: Map<String, Value>,
    /// Parts of the remarks of lint.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The result of reading a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManifestReading {
    /// It can be applied.
    Taken,
    /// It can be created, and not applied, because it has no name.
    Created,
    /// It is refused.
    Refused,
}

fn order_request() -> String {
    "OrderRequest".to_owned()
}

fn table() -> String {
    "table".to_owned()
}

impl ManifestCase {
    /// Reads the table. A text that is no whole manifest stands for the lines of a spec.
    ///
    /// # Panics
    /// When the table cannot be parsed.
    pub fn all() -> Vec<Self> {
        let table: Value = serde_saphyr::from_str(TABLE).unwrap();
        let mut cases: Vec<Self> = serde_json::from_value(table).unwrap();
        cases.iter_mut().for_each(Self::complete);
        cases
    }

    fn complete(&mut self) {
        if self.text.starts_with("apiVersion") {
            return;
        }
        let lines: String = self.text.lines().map(|line| format!("  {line}\n")).collect();
        let (kind, name) = (&self.kind, &self.named);
        self.text = format!(
            "apiVersion: orderstream.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n\
             spec:\n{lines}"
        );
    }

    /// Returns the fields of a stored spec that are not as the table has them.
    pub fn differences(&self, spec: &Value) -> Vec<String> {
        let differing = self.gives.iter().filter(|(name, value)| spec[name.as_str()] != **value);
        differing
            .map(|(name, value)| format!("{name} is {} and not {value}", spec[name.as_str()]))
            .collect()
    }
}
