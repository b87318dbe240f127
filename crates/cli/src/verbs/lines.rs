//! The lines of an order in its views: an item is named by its line, or else by its article number.

use orderstream_rest_types::order::ItemView;
use orderstream_rest_types::proposal::ProposalLineView;

/// Returns the name by which an item is offered and awarded.
pub(crate) fn line_key(item: &ItemView) -> &str {
    item.line.as_deref().unwrap_or(&item.sku)
}

/// Reports whether a line of a proposal is for an item.
pub(crate) fn is_for(line: &ProposalLineView, item: &ItemView) -> bool {
    match &line.line {
        Some(name) => name == line_key(item),
        None => *line.substitutes.as_ref().unwrap_or(&line.sku) == item.sku,
    }
}

/// Splits a flag's article from the name of its line, as in `LINE@SKU`.
pub(crate) fn split_line(text: &str) -> (Option<String>, &str) {
    match text.split_once('@') {
        Some((line, sku)) if !line.is_empty() => (Some(line.to_owned()), sku),
        Some(_) | None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_for_the_items_they_name() {
        let item = |sku: &str, line: Option<&str>| ItemView {
            sku: sku.to_owned(),
            line: line.map(str::to_owned),
            ..ItemView::default()
        };
        let offered = |sku: &str, line: Option<&str>, substitutes: Option<&str>| ProposalLineView {
            sku: sku.to_owned(),
            line: line.map(str::to_owned),
            substitutes: substitutes.map(str::to_owned),
            ..ProposalLineView::default()
        };
        let (chair, desk) = (item("chair", None), item("desk", Some("20")));
        assert_eq!((line_key(&chair), line_key(&desk)), ("chair", "20"));
        for (line, is_chair, is_desk) in [
            (offered("chair", None, None), true, false),
            (offered("stool", None, Some("chair")), true, false),
            (offered("desk", Some("20"), None), false, true),
            (offered("table", None, Some("desk")), false, true),
            (offered("lamp", None, None), false, false),
        ] {
            assert_eq!(
                (is_for(&line, &chair), is_for(&line, &desk)),
                (is_chair, is_desk),
                "{line:?}"
            );
        }
    }
}
