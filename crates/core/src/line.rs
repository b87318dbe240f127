//! The lines of an order: how items, the lines of proposals and awards refer to each other. An
//! item is named by its line where it has one, else by its article number.

use std::collections::BTreeMap;

use crate::command::ProposalLine;
use crate::spec::Item;

impl Item {
    /// Returns the name by which proposals and awards refer to the item.
    pub fn line_key(&self) -> &str {
        self.line.as_deref().unwrap_or(&self.sku)
    }
}

impl ProposalLine {
    /// Returns the order's article that the line is for: its own, or the one that it substitutes.
    pub fn wanted_sku(&self) -> &str {
        self.substitutes.as_deref().unwrap_or(&self.sku)
    }

    /// Returns the key of the item that the line is for; for articles that the order does not list,
    /// the article number.
    pub fn line_key<'a>(&'a self, items: &'a [Item]) -> &'a str {
        if let Some(line) = &self.line {
            return line;
        }
        let sku = self.wanted_sku();
        items.iter().find(|item| item.sku == sku).map_or(sku, Item::line_key)
    }
}

/// The keys of an order's items by article, for the lines of many proposals.
#[derive(Debug)]
pub(crate) struct LineKeys<'a> {
    by_sku: BTreeMap<&'a str, &'a str>,
}

impl<'a> LineKeys<'a> {
    pub(crate) fn of(items: &'a [Item]) -> Self {
        let mut by_sku = BTreeMap::new();
        for item in items {
            by_sku.entry(item.sku.as_str()).or_insert_with(|| item.line_key());
        }
        Self { by_sku }
    }

    /// Returns what [`ProposalLine::line_key`] returns.
    pub(crate) fn of_line(&self, line: &'a ProposalLine) -> &'a str {
        if let Some(name) = &line.line {
            return name;
        }
        let sku = line.wanted_sku();
        self.by_sku.get(sku).copied().unwrap_or(sku)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::{Price, Quantity};

    fn item(sku: &str, line: Option<&str>) -> Item {
        Item {
            sku: sku.to_owned(),
            description: None,
            quantity: Quantity::parse("1").unwrap(),
            unit: None,
            line: line.map(str::to_owned),
        }
    }

    fn offered(sku: &str, line: Option<&str>, substitutes: Option<&str>) -> ProposalLine {
        ProposalLine {
            sku: sku.to_owned(),
            quantity: Quantity::parse("1").unwrap(),
            unit: None,
            price: Price::parse("1", "EUR").unwrap(),
            line: line.map(str::to_owned),
            substitutes: substitutes.map(str::to_owned),
        }
    }

    #[test]
    fn lines_name_the_items_they_are_for() {
        let items = [item("chair", None), item("desk", Some("10")), item("desk", Some("20"))];
        assert_eq!(items.each_ref().map(Item::line_key), ["chair", "10", "20"]);
        for (line, key) in [
            (offered("chair", None, None), "chair"),
            (offered("stool", None, Some("chair")), "chair"),
            (offered("desk", Some("20"), None), "20"),
            (offered("table", Some("20"), Some("desk")), "20"),
            (offered("lamp", None, None), "lamp"),
            (offered("lamp", None, Some("light")), "light"),
        ] {
            assert_eq!(line.line_key(&items), key, "{line:?}");
            assert_eq!(LineKeys::of(&items).of_line(&line), key, "{line:?}");
        }
    }
}
