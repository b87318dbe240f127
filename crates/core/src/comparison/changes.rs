//! The differences between two versions of a proposal.

use serde::Serialize;

use crate::command::ProposalContent;

/// One field that differs between two versions of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The field's name: `price`, `note`, `lines.SKU`, …
    pub field: String,
    /// Its former value; absent where there was none.
    pub from: Option<String>,
    /// Its new value; absent where there is none.
    pub to: Option<String>,
}

/// Returns the differences between two versions of a proposal, in the order of the fields.
pub fn changes(from: &ProposalContent, to: &ProposalContent) -> Vec<FieldChange> {
    let (before, after) = (fields(from), fields(to));
    let mut names: Vec<&String> = before.iter().map(|(name, _)| name).collect();
    names.extend(
        after
            .iter()
            .map(|(name, _)| name)
            .filter(|name| before.iter().all(|(held, _)| held != *name)),
    );
    let value = |fields: &[(String, String)], name: &String| {
        fields.iter().find(|(held, _)| held == name).map(|(_, value)| value.clone())
    };
    let change = |name: &String| {
        let (from, to) = (value(&before, name), value(&after, name));
        (from != to).then(|| FieldChange { field: name.clone(), from, to })
    };
    names.into_iter().filter_map(change).collect()
}

/// Returns a proposal's fields as named texts, without those that are not given.
fn fields(content: &ProposalContent) -> Vec<(String, String)> {
    let mut fields = vec![("price".to_owned(), content.price.to_string())];
    for line in &content.lines {
        let unit = line.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let wanted = line.substitutes.as_ref();
        let instead = wanted.map(|sku| format!(" instead of {sku}")).unwrap_or_default();
        let value = format!("{}{unit}{instead} for {}", line.quantity.value(), line.price);
        // A line of the order may be offered in its own article and in substitutes.
        let name = line.line.as_ref().filter(|_| wanted.is_none()).unwrap_or(&line.sku);
        fields.push((format!("lines.{name}"), value));
    }
    let texts = [
        ("note", &content.note),
        ("delivery_date", &content.delivery_date),
        ("valid_until", &content.valid_until),
        ("your_reference", &content.your_reference),
    ];
    let given = texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    fields.extend(given.map(|(name, value)| (name.to_owned(), value.clone())));
    if !content.attachments.is_empty() {
        fields.push(("attachments".to_owned(), content.attachments.join(" ")));
    }
    fields
}
