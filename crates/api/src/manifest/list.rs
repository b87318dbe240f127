//! Lists of resources, as `list -o yaml` and kubectl write them: each item counts as a document.

use orderstream_core::{Reason, Refusal};
use serde_json::{Map, Value};

use super::{API_VERSION, DOCUMENTS_MAX, text_at};
use crate::check::unknown;

const LIST_PARTS: [&str; 4] = ["apiVersion", "kind", "metadata", "items"];

/// A kind of list.
struct ListForm {
    version: &'static str,
    kind: &'static str,
    /// The kind of an item that names none; absent where every item must name one.
    item_kind: Option<&'static str>,
}

/// The lists that are read.
static FORMS: [ListForm; 3] = [
    ListForm { version: "v1", kind: "List", item_kind: None },
    ListForm { version: API_VERSION, kind: "OrderRequestList", item_kind: Some("OrderRequest") },
    ListForm { version: API_VERSION, kind: "SellerList", item_kind: Some("Seller") },
];

/// A document of a text, or an item of a list in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListedDocument {
    /// The number of the document in the text, from 1.
    pub(crate) number: usize,
    /// The index in the list that the document is; absent where it is none.
    pub(crate) item: Option<usize>,
    /// The resource, as it was written.
    pub(crate) document: Value,
}

impl ListedDocument {
    /// Names the list's item in a refusal, whose field is a path in the item.
    pub(crate) fn locate(&self, refusal: Refusal) -> Refusal {
        let Some(index) = self.item else { return refusal };
        let field = match &refusal.field {
            Some(field) => format!("items[{index}].{field}"),
            None => format!("items[{index}]"),
        };
        Refusal { field: Some(field), ..refusal }
    }
}

/// Takes the items out of the lists among the documents of a text. A list with a fault stays as it
/// is, for [`refusal`].
///
/// # Errors
/// A text without documents, or with too many.
pub(crate) fn expand(documents: Vec<Value>) -> Result<Vec<ListedDocument>, Refusal> {
    let written = documents.len();
    let mut listed = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let number = index.saturating_add(1);
        match items(document) {
            Ok(items) => {
                let items = items.into_iter().enumerate();
                listed.extend(items.map(|(item, document)| ListedDocument {
                    number,
                    item: Some(item),
                    document,
                }));
            }
            Err(document) => listed.push(ListedDocument { number, item: None, document }),
        }
    }
    let count = written.max(listed.len());
    if written == 0 || count > DOCUMENTS_MAX {
        let message = format!("has {count} documents; give 1 to {DOCUMENTS_MAX}");
        return Err(Refusal::new(Reason::InvalidRequest, message));
    }
    Ok(listed)
}

/// Returns the items of a list, or the document itself where it is no list or has a fault.
fn items(mut document: Value) -> Result<Vec<Value>, Value> {
    let Some(form) = form_of(&document) else { return Err(document) };
    if document.as_object().is_none_or(|fields| fault(fields).is_some()) {
        return Err(document);
    }
    // Programs write an empty list as null, too.
    let mut items = match document.get_mut("items") {
        Some(Value::Array(items)) => std::mem::take(items),
        Some(_) | None => Vec::new(),
    };
    if let Some(kind) = form.item_kind {
        for fields in items.iter_mut().filter_map(Value::as_object_mut) {
            fields.entry("apiVersion").or_insert_with(|| API_VERSION.into());
            fields.entry("kind").or_insert_with(|| kind.into());
        }
    }
    Ok(items)
}

/// Reports whether a document is a list that is read.
pub(super) fn is_list(document: &Value) -> bool {
    form_of(document).is_some()
}

/// Returns the refusal of a list as a resource: its fault, or that it is an item of another list.
pub(super) fn refusal(document: &Value) -> Option<Refusal> {
    form_of(document)?;
    let in_list =
        || Refusal::field("kind", "is a list in a list; give its items as documents of their own");
    Some(document.as_object().and_then(fault).unwrap_or_else(in_list))
}

fn form_of(document: &Value) -> Option<&'static ListForm> {
    let (version, kind) = (text_at(document, "/apiVersion"), text_at(document, "/kind"));
    FORMS.iter().find(|form| form.version == version && form.kind == kind)
}

/// Returns the fault of a list: a field that is not known, or items that are no list.
fn fault(fields: &Map<String, Value>) -> Option<Refusal> {
    if let Some(name) = fields.keys().find(|name| !LIST_PARTS.contains(&name.as_str())) {
        let known = LIST_PARTS.map(|name| (name.to_owned(), Value::Null)).into_iter().collect();
        return Some(unknown(name, name, &known));
    }
    match fields.get("items") {
        None | Some(Value::Null | Value::Array(_)) => None,
        Some(_) => Some(Refusal::field("items", "is not a list; begin each item with `- `")),
    }
}
