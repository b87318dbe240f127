//! Reads manifests, YAML or JSON, into checked resources. A refusal names the file and the
//! document, the field's path as the author wrote it, the limit and the fix.

pub(crate) mod list;
mod source;

use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_core::{Reason, Refusal, spec};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::check::{check, escaped, unknown, wrong_type};
use crate::convert;
use crate::crd::{order_request_schema, seller_schema};
use crate::order_request::OrderRequest;
use crate::seller::Seller;
use crate::yaml;

pub use source::{FILES_MAX, STANDARD_INPUT, files_of, name_of, text_of};

/// The largest manifest text, bytes: a thousand sellers fit.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// The largest number of documents in one text.
pub const DOCUMENTS_MAX: usize = 10_000;
/// The API version that is read and written.
pub const API_VERSION: &str = "orderstream.dev/v1alpha1";
/// The group of our resources, which their API version begins with.
const GROUP: &str = "orderstream.dev";
/// Our kinds of resources, and of lists of them.
const KINDS: [&str; 4] = ["OrderRequest", "Seller", "OrderRequestList", "SellerList"];
/// The namespace of a resource that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

const NAME_CHARS_MAX: usize = 253;
const NAMESPACE_CHARS_MAX: usize = 63;
/// The most characters of `generateName` that an API server takes into a name.
const GENERATED_CHARS_MAX: usize = 58;
/// Stands for the letters that an API server draws.
const DRAWN: &str = "xxxxx";
const PARTS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
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

impl Manifest {
    /// Returns the resource's metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::OrderRequest(resource) => &resource.metadata,
            Self::Seller(resource) => &resource.metadata,
        }
    }
}

/// A resource, and the document that it was read from: as it was written, without defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestDocument {
    /// The resource.
    pub manifest: Manifest,
    /// The document, or the item of a list.
    pub document: Value,
}

/// Reads all resources of a text. `source` is the file's name, for messages.
///
/// # Errors
/// Names the first wrong document; nothing of the text may be used then.
pub fn read(source: &str, text: &str) -> Result<Vec<Manifest>, Refusal> {
    Ok(resources(documents(source, text)?))
}

fn resources(documents: Vec<ManifestDocument>) -> Vec<Manifest> {
    documents.into_iter().map(|document| document.manifest).collect()
}

/// Reads all resources of a text, each with its document. The items of a list count as documents.
///
/// # Errors
/// As [`read`].
pub fn documents(source: &str, text: &str) -> Result<Vec<ManifestDocument>, Refusal> {
    if text.len() > TEXT_BYTES_MAX {
        let length = text.len();
        let message = format!(
            "{source} has {length} bytes; at most {TEXT_BYTES_MAX} are allowed, split the file"
        );
        return Err(Refusal::new(Reason::InvalidRequest, message));
    }
    let parsed = parsed(text).map_err(|error| {
        let line = yaml::text_of(&error);
        Refusal::new(Reason::InvalidRequest, format!("{source} is not YAML or JSON: {line}"))
            .with("file", source)
    })?;
    let listed = list::expand(parsed).map_err(|refusal| {
        let message = format!("{source} {}", refusal.message);
        Refusal { message, ..refusal }
    })?;
    let read = listed.into_iter().map(|listed| {
        let number = listed.number;
        let manifest = named_manifest(&listed.document).map_err(|refusal| {
            let refusal = listed.locate(refusal);
            let message = format!("{} ({source}, document {number})", refusal.message);
            Refusal { message, ..refusal }.with("file", source).with("document", number)
        })?;
        Ok(ManifestDocument { manifest, document: listed.document })
    });
    read.collect()
}

/// Reads a document that is to be applied: unlike one that is to be created, it has a name.
fn named_manifest(document: &Value) -> Result<Manifest, Refusal> {
    let manifest = manifest(document.clone())?;
    if manifest.metadata().name.as_deref().unwrap_or_default().is_empty() {
        let message = "is missing; give one beside generateName, or use `kubectl create`, which \
                       draws it";
        return Err(Refusal::field("metadata.name", message));
    }
    Ok(manifest)
}

/// Reads a file of manifests.
///
/// # Errors
/// A file that cannot be read, and as [`read`].
pub fn read_file(path: &Path) -> Result<Vec<Manifest>, Refusal> {
    let text = source::file_text(path)?;
    read(&path.display().to_string(), &text)
}

/// Reads the resources of files, of the files in folders, and of `-`, which is standard input.
///
/// # Errors
/// As [`files_of`], [`text_of`] and [`read`].
pub fn read_documents(paths: &[PathBuf]) -> Result<Vec<ManifestDocument>, Refusal> {
    let mut read = Vec::new();
    for file in files_of(paths)? {
        read.extend(documents(&name_of(&file), &text_of(&file)?)?);
    }
    Ok(read)
}

/// Parses the documents of a text, without the empty ones.
fn parsed(text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let documents = yaml::documents(text)?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}

/// Reports whether a document is a resource of another program: neither its group nor its kind is
/// ours.
pub(crate) fn is_foreign(document: &Value) -> bool {
    let (version, kind) = (text_at(document, "/apiVersion"), text_at(document, "/kind"));
    let group = version.split('/').next().unwrap_or_default();
    let is_named = !group.is_empty() && !kind.is_empty();
    is_named && group != GROUP && !KINDS.contains(&kind) && !list::is_list(document)
}

/// Reports whether a document leaves its name to `kubectl create`.
pub(crate) fn has_generated_name(document: &Value) -> bool {
    text_at(document, "/metadata/name").is_empty()
        && !text_at(document, "/metadata/generateName").is_empty()
}

/// Returns the text at a path, or an empty one where there is none.
pub(crate) fn text_at<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
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
    if let Some(refusal) = list::refusal(&document) {
        return Err(refusal);
    }
    let version = text_field(fields, "apiVersion")?;
    if version != API_VERSION {
        return Err(unknown_version(&document, version));
    }
    match text_field(fields, "kind")? {
        "OrderRequest" => {
            envelope(fields, order_request_schema())?;
            let resource: OrderRequest = typed(document)?;
            convert::check(&OrderRequest {
                metadata: with_drawn_name(&resource.metadata),
                ..resource.clone()
            })?;
            Ok(Manifest::OrderRequest(Box::new(resource)))
        }
        "Seller" => {
            envelope(fields, seller_schema())?;
            let resource: Seller = typed(document)?;
            convert::seller(&Seller {
                metadata: with_drawn_name(&resource.metadata),
                ..resource.clone()
            })?;
            Ok(Manifest::Seller(Box::new(resource)))
        }
        other => Err(Refusal::field(
            "kind",
            format!("'{}' is unknown; use OrderRequest or Seller", escaped(other)),
        )),
    }
}

fn unknown_version(document: &Value, version: &str) -> Refusal {
    let version = escaped(version);
    if is_foreign(document) {
        let kind = escaped(text_at(document, "/kind"));
        let message = format!(
            "'{kind}' of {version} is not read here; apply it with kubectl, or take it out"
        );
        return Refusal::field("kind", message);
    }
    Refusal::field("apiVersion", format!("'{version}' is unknown; use {API_VERSION}"))
}

/// Returns metadata with a name like those that an API server draws, where it has only
/// `generateName`.
fn with_drawn_name(metadata: &ObjectMeta) -> ObjectMeta {
    let mut metadata = metadata.clone();
    if metadata.name.as_deref().unwrap_or_default().is_empty() {
        let prefix = metadata.generate_name.as_deref().unwrap_or_default();
        let prefix: String = prefix.chars().take(GENERATED_CHARS_MAX).collect();
        metadata.name = Some(prefix + DRAWN);
    }
    metadata
}

fn text_field<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        None => Err(Refusal::field(name, "is missing; give it")),
        Some(other) => Err(wrong_type(name, "string", other)),
    }
}

/// Checks the fields around the spec, and the spec against its schema. A status is ignored: it is
/// the controller's.
fn envelope(fields: &Map<String, Value>, schema: &Value) -> Result<(), Refusal> {
    let known = PARTS.map(|name| (name.to_owned(), Value::Null)).into_iter().collect();
    if let Some(name) = fields.keys().find(|name| !PARTS.contains(&name.as_str())) {
        return Err(unknown(name, name, &known));
    }
    let Some(Value::Object(metadata)) = fields.get("metadata") else {
        return Err(Refusal::field("metadata", "is missing; give at least metadata.name"));
    };
    let known = METADATA_FIELDS.map(|name| (name.to_owned(), Value::Null)).into_iter().collect();
    if let Some(name) = metadata.keys().find(|name| !METADATA_FIELDS.contains(&name.as_str())) {
        return Err(unknown(&format!("metadata.{name}"), name, &known));
    }
    metadata_texts(metadata)?;
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default();
    match (text("name"), text("generateName")) {
        ("", prefix) if !prefix.is_empty() => {
            // The dash at its end is followed by drawn letters.
            let drawn = if prefix.ends_with('-') { DRAWN } else { "" };
            let name = format!("{prefix}{drawn}");
            dns_name("metadata.generateName", &name, NAME_CHARS_MAX, "-.")?;
        }
        (name, _) => dns_name("metadata.name", name, NAME_CHARS_MAX, "-.")?,
    }
    if let Some(text) = metadata.get("namespace").and_then(Value::as_str) {
        namespace(text)?;
    }
    match fields.get("spec") {
        Some(spec) => check("spec", spec, &schema["properties"]["spec"]),
        None => Err(Refusal::field("spec", "is missing; give it, or `spec: {}`")),
    }
}

/// Checks that the names, labels and annotations of metadata are texts: a number without quotes, as
/// in `name: 123`, is none. A null counts as absent.
fn metadata_texts(metadata: &Map<String, Value>) -> Result<(), Refusal> {
    let text = |path: &str, value: &Value| match value {
        Value::Null | Value::String(_) => Ok(()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong_type(path, "string", value))
        }
    };
    for name in ["name", "generateName", "namespace"] {
        text(&format!("metadata.{name}"), metadata.get(name).unwrap_or(&Value::Null))?;
    }
    for group in ["labels", "annotations"] {
        let entries = metadata.get(group).and_then(Value::as_object);
        for (key, value) in entries.into_iter().flatten() {
            text(&format!("metadata.{group}.{}", escaped(key)), value)?;
        }
    }
    Ok(())
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
