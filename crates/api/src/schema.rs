//! Changes of the definitions' schemas that the attributes of types cannot make.

use schemars::Schema;
use serde_json::Value;

/// Returns the change of a list's schema that describes its entries, for `kubectl explain`.
pub(crate) fn describe_entries(description: &'static str) -> impl FnMut(&mut Schema) {
    move |schema: &mut Schema| {
        if let Some(Value::Object(entries)) = schema.get_mut("items") {
            entries.insert("description".to_owned(), description.into());
        }
    }
}
