//! Reads manifests, YAML or JSON, into checked resources. A refusal names the file and the
//! document, the field's path as the author wrote it, the limit and the fix.

use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_core::{Reason, Refusal, spec};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::check::{check, escaped, unknown};
use crate::convert;
use crate::crd::{order_request_schema, seller_schema};
use crate::order_request::OrderRequest;
use crate::seller::Seller;

/// The largest manifest text, bytes: a thousand sellers fit.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// The largest number of documents in one text.
pub const DOCUMENTS_MAX: usize = 10_000;
/// The API version that is read and written.
pub const API_VERSION: &str = "orderstream.dev/v1alpha1";
/// The namespace of a resource that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

const NAME_CHARS_MAX: usize = 253;
const NAMESPACE_CHARS_MAX: usize = 63;
const ORDER_REQUEST_PARTS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
const SELLER_PARTS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
/// The fields allowed under `metadata`. The last rows are the server's own, accepted so that the
/// output of `get` can be applied again.
const METADATA_FIELDS: [&str; 15] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "generateName",
    "managedFields",
    "ownerReferences",
    "selfLink",
];

/// One document of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// A buyer's request for an order.
    OrderRequest(Box<OrderRequest>),
    /// A seller that may be invited.
    Seller(Box<Seller>),
}

/// Reads all documents of a text. `source` is the file's name, for messages.
///
/// # Errors
/// Names the first wrong document; nothing of the text may be used then.
pub fn read(source: &str, text: &str) -> Result<Vec<Manifest>, Refusal> {
    Ok(resources(checked(source, text)?))
}

fn resources(checked: Vec<(Manifest, Value)>) -> Vec<Manifest> {
    checked.into_iter().map(|(manifest, _)| manifest).collect()
}

/// Returns each document as a resource and as it was written.
fn checked(source: &str, text: &str) -> Result<Vec<(Manifest, Value)>, Refusal> {
    if text.len() > TEXT_BYTES_MAX {
        let length = text.len();
        let message = format!(
            "{source} has {length} bytes; at most {TEXT_BYTES_MAX} are allowed, split the file"
        );
        return Err(Refusal::new(Reason::InvalidRequest, message));
    }
    let documents = documents(source, text)?;
    if documents.is_empty() || documents.len() > DOCUMENTS_MAX {
        let count = documents.len();
        let message = format!("{source} has {count} documents; give 1 to {DOCUMENTS_MAX}");
        return Err(Refusal::new(Reason::InvalidRequest, message));
    }
    let numbered = documents.into_iter().enumerate();
    numbered
        .map(|(index, document)| {
            let number = index.saturating_add(1);
            let resource = manifest(document.clone()).map_err(|refusal| {
                let Refusal { message, .. } = &refusal;
                let message = format!("{message} ({source}, document {number})");
                Refusal { message, ..refusal }.with("file", source).with("document", number)
            })?;
            Ok((resource, document))
        })
        .collect()
}

/// Reads a file of manifests.
///
/// # Errors
/// A file that cannot be read, and as [`read`].
pub fn read_file(path: &Path) -> Result<Vec<Manifest>, Refusal> {
    Ok(resources(read_documents(path)?))
}

/// Reads a file of manifests: each as a resource and as it was written, without defaults.
///
/// # Errors
/// As [`read_file`].
pub fn read_documents(path: &Path) -> Result<Vec<(Manifest, Value)>, Refusal> {
    let source = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Refusal::new(Reason::InvalidRequest, format!("{source} cannot be read: {error}"))
            .with("file", &source)
    })?;
    checked(&source, &text)
}

fn documents(source: &str, text: &str) -> Result<Vec<Value>, Refusal> {
    parsed(text).map_err(|error| {
        let message = error.to_string();
        let line = message.lines().next().unwrap_or("cannot be read");
        Refusal::new(Reason::InvalidRequest, format!("{source} is not YAML or JSON: {line}"))
            .with("file", source)
    })
}

/// Parses the documents of a text, without the empty ones.
pub(crate) fn parsed(text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(
        text,
        serde_saphyr::options! { strict_booleans: true },
    )?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Returns the schema of a document's kind; `None` for a kind that is not ours.
pub(crate) fn schema_of(document: &Value) -> Option<&'static Value> {
    match document.get("kind")?.as_str()? {
        "OrderRequest" => Some(order_request_schema()),
        "Seller" => Some(seller_schema()),
        _ => None,
    }
}

/// Reads one document that has been parsed.
///
/// # Errors
/// Names the first wrong field.
pub fn manifest(document: Value) -> Result<Manifest, Refusal> {
    let Value::Object(fields) = &document else {
        let message = "is not a resource; begin with apiVersion, kind, metadata and spec";
        return Err(Refusal::new(Reason::InvalidRequest, message));
    };
    let version = text_field(fields, "apiVersion")?;
    if version != API_VERSION {
        let version = escaped(version);
        return Err(Refusal::field(
            "apiVersion",
            format!("'{version}' is unknown; use {API_VERSION}"),
        ));
    }
    match text_field(fields, "kind")? {
        "OrderRequest" => {
            envelope(fields, order_request_schema(), &ORDER_REQUEST_PARTS)?;
            let resource: OrderRequest = typed(document)?;
            convert::check(&resource)?;
            Ok(Manifest::OrderRequest(Box::new(resource)))
        }
        "Seller" => {
            envelope(fields, seller_schema(), &SELLER_PARTS)?;
            let resource: Seller = typed(document)?;
            convert::seller(&resource)?;
            Ok(Manifest::Seller(Box::new(resource)))
        }
        other => Err(Refusal::field(
            "kind",
            format!("'{}' is unknown; use OrderRequest or Seller", escaped(other)),
        )),
    }
}

fn text_field<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        None => Err(Refusal::field(name, "is missing; give it")),
        Some(_) => Err(Refusal::field(name, "is not a text; put it in quotes")),
    }
}

/// Checks the fields around the spec, and the spec against its schema. A status is ignored: it is
/// the controller's.
fn envelope(fields: &Map<String, Value>, schema: &Value, parts: &[&str]) -> Result<(), Refusal> {
    let known = parts.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    if let Some(name) = fields.keys().find(|name| !parts.contains(&name.as_str())) {
        return Err(unknown(name, name, &known));
    }
    let Some(Value::Object(metadata)) = fields.get("metadata") else {
        return Err(Refusal::field("metadata", "is missing; give at least metadata.name"));
    };
    let known = METADATA_FIELDS.map(|name| (name.to_owned(), Value::Null)).into_iter().collect();
    if let Some(name) = metadata.keys().find(|name| !METADATA_FIELDS.contains(&name.as_str())) {
        return Err(unknown(&format!("metadata.{name}"), name, &known));
    }
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    dns_name("metadata.name", name, NAME_CHARS_MAX, "-.")?;
    match metadata.get("namespace") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => namespace(text)?,
        Some(_) => return Err(Refusal::field("metadata.namespace", "is not a text")),
    }
    match fields.get("spec") {
        Some(spec) => check("spec", spec, &schema["properties"]["spec"]),
        None => Err(Refusal::field("spec", "is missing; give it, or `spec: {}`")),
    }
}

/// Checks a namespace's name.
///
/// # Errors
/// Names `metadata.namespace` and the rule.
pub fn namespace(text: &str) -> Result<(), Refusal> {
    dns_name("metadata.namespace", text, NAMESPACE_CHARS_MAX, "-")
}

fn dns_name(field: &str, text: &str, chars_max: usize, inner: &str) -> Result<(), Refusal> {
    let edge = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = text.as_bytes();
    let fits = bytes.iter().all(|byte| edge(Some(byte)) || inner.as_bytes().contains(byte));
    if text.len() <= chars_max && fits && edge(bytes.first()) && edge(bytes.last()) {
        return Ok(());
    }
    let signs: String = inner.chars().map(|c| format!(" {c}")).collect();
    Err(Refusal::field(
        field,
        format!(
            "'{}' is not a name; give 1 to {chars_max} of small letters, digits and{signs}, with a \
             letter or digit at both ends",
            escaped(text)
        ),
    ))
}

/// Returns the typed resource. The schema was checked before, so only the metadata can fail here.
fn typed<T: DeserializeOwned>(mut document: Value) -> Result<T, Refusal> {
    if let Value::Object(fields) = &mut document {
        fields.remove("status");
        fields.get_mut("spec").into_iter().for_each(without_nulls);
    }
    serde_json::from_value(document).map_err(|error| {
        Refusal::new(Reason::InvalidRequest, format!("cannot be read as a resource: {error}"))
    })
}

/// Removes fields that are null: they count as absent, as on an API server.
pub(crate) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(entries) => entries.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the namespace of a resource, or the default one.
pub fn namespace_of(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
}

/// Reads the sellers of a file, in the order of their names.
///
/// # Errors
/// As [`read_file`]; other kinds, and a name that is used twice.
pub fn load_sellers(path: &Path) -> Result<Vec<spec::Seller>, Refusal> {
    let source = path.display().to_string();
    let mut sellers: Vec<spec::Seller> = Vec::new();
    for manifest in read_file(path)? {
        let Manifest::Seller(resource) = manifest else {
            let message = format!("is OrderRequest; {source} may hold Seller only");
            return Err(Refusal::field("kind", message).with("file", source));
        };
        sellers.push(convert::seller(&resource)?);
    }
    sellers.sort_by(|a, b| a.id.cmp(&b.id));
    let twice = sellers.windows(2).find(|pair| pair[0].id == pair[1].id);
    if let Some(twice) = twice.and_then(|pair| pair.first()) {
        let message = format!("'{}' is used twice in {source}; rename one", twice.id);
        return Err(Refusal::field("metadata.name", message).with("file", source));
    }
    Ok(sellers)
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
