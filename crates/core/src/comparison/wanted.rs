//! The lines that an order wants, and how far a proposal offers each of them: quantity and unit.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::command::{ProposalContent, ProposalLine};
use crate::limits::SCALE_MAX;
use crate::line::LineKeys;
use crate::price::Decimal;
use crate::spec::Item;

/// The unit that a quantity without a unit counts.
const PIECE: &str = "piece";
/// The words for single pieces, the codes of UN/ECE Recommendation 20 among them.
const PIECES: [&str; 14] = [
    PIECE, "pieces", "pc", "pcs", "each", "ea", "unit", "units", "item", "items", "stück", "stk",
    "c62", "h87",
];
/// The units, in lower case, whose prefix is either milli or mega by its case. `m` alone is a metre,
/// and `M` a thousand.
const MILLI_OR_MEGA: [&str; 29] = [
    "", "a", "ah", "b", "bar", "bq", "cal", "ev", "f", "g", "gy", "h", "hz", "j", "k", "l", "m",
    "mol", "n", "ohm", "pa", "s", "sv", "t", "v", "va", "var", "w", "wh",
];
/// Other symbols, in lower case, whose meaning depends on their case: pico or peta, pascal or
/// picoampere, bit or byte.
const CASE_SENSITIVE: [&str; 9] = ["gb", "kb", "pa", "pb", "pg", "pj", "ps", "pw", "tb"];

/// A line of an order that a proposal offers in another quantity or unit than the order wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuantityGap {
    /// The line's name, or else its article number.
    pub line: String,
    /// The quantity that the order wants, a decimal.
    pub wanted: String,
    /// The unit of the wanted quantity; absent where the order names none.
    pub unit: Option<String>,
    /// The quantity offered, a decimal.
    pub offered: String,
    /// The unit of the offered quantity; absent where neither side names one.
    pub offered_unit: Option<String>,
}

/// The lines of an order that a proposal does not offer as they are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LineGaps {
    /// The lines that are not offered at all.
    pub(super) missing: Vec<String>,
    /// The lines of which less is offered.
    pub(super) shortfalls: Vec<QuantityGap>,
    /// The lines of which more is offered.
    pub(super) excess: Vec<QuantityGap>,
    /// The lines that are offered in another unit, so that the quantities cannot be compared.
    pub(super) other_units: Vec<QuantityGap>,
}

/// The result of comparing an offered line with the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LineFit {
    /// All that is wanted is offered, or more.
    Complete,
    /// Less is offered.
    Short,
    /// It is offered in another unit.
    OtherUnit,
    /// It is not offered.
    Missing,
}

/// All that an order wants of one line.
#[derive(Clone, Copy, Debug)]
struct WantedLine<'a> {
    quantity: Decimal,
    unit: Option<&'a str>,
}

impl WantedLine<'_> {
    fn fit(&self, offered: Option<&OfferedLine<'_>>) -> LineFit {
        match offered {
            None => LineFit::Missing,
            Some(line) if line.quantity >= self.quantity => LineFit::Complete,
            Some(line) if line.other.is_some() => LineFit::OtherUnit,
            Some(_) => LineFit::Short,
        }
    }

    fn gap(&self, key: &str, offered: Decimal, offered_unit: Option<&str>) -> QuantityGap {
        QuantityGap {
            line: key.to_owned(),
            wanted: self.quantity.to_string(),
            unit: self.unit.map(str::to_owned),
            offered: offered.to_string(),
            offered_unit: offered_unit.map(str::to_owned),
        }
    }
}

/// A quantity in another unit than the wanted one.
#[derive(Clone, Copy, Debug)]
struct OtherQuantity<'a> {
    quantity: Decimal,
    unit: Option<&'a str>,
}

/// All that a proposal offers of one line: the article itself, substitutes, or both.
#[derive(Clone, Debug)]
pub(super) struct OfferedLine<'a> {
    /// The price of all of it.
    pub(super) price: Decimal,
    /// The first article that substitutes the wanted one.
    pub(super) substitute: Option<&'a str>,
    /// The quantity in `unit`.
    quantity: Decimal,
    /// The unit that the order wants; of a line that it does not list, the first one offered.
    unit: Option<&'a str>,
    /// The first quantity in another unit.
    other: Option<OtherQuantity<'a>>,
    /// The number of quantities in other units.
    other_count: usize,
}

impl<'a> OfferedLine<'a> {
    const fn of_unit(unit: Option<&'a str>) -> Self {
        let (price, quantity) = (Decimal::ZERO, Decimal::ZERO);
        Self { price, substitute: None, quantity, unit, other: None, other_count: 0 }
    }

    fn add(&mut self, line: &'a ProposalLine) {
        self.price += line.price.amount();
        if line.substitutes.is_some() && self.substitute.is_none() {
            self.substitute = Some(&line.sku);
        }
        let (quantity, unit) = (line.quantity.value(), line.unit.as_deref());
        if is_same_unit(self.unit, unit) {
            self.quantity += quantity;
            return;
        }
        self.other_count = self.other_count.saturating_add(1);
        if self.other.is_none() {
            self.other = Some(OtherQuantity { quantity, unit });
        }
    }

    /// Returns the quantity to be shown: that in the wanted unit, or else the first other one.
    pub(super) fn shown_quantity(&self) -> Decimal {
        self.only_other().map_or(self.quantity, |other| other.quantity)
    }

    /// Returns the unit of the quantity to be shown.
    pub(super) fn shown_unit(&self) -> Option<&'a str> {
        self.only_other().map_or(self.unit, |other| other.unit)
    }

    /// Returns the first quantity in another unit, if nothing is offered in the wanted one.
    fn only_other(&self) -> Option<OtherQuantity<'a>> {
        self.other.filter(|_| self.quantity.is_zero())
    }

    /// Returns the price of one unit; `None` where it is offered in several.
    pub(super) fn unit_price(&self) -> Option<Decimal> {
        let is_one_unit =
            self.other_count == 0 || (self.other_count == 1 && self.only_other().is_some());
        is_one_unit.then(|| self.price.checked_div(self.shown_quantity())).flatten()
    }

    /// Returns the price of one unit for people and programs, with as many decimal places as a
    /// price may have.
    pub(super) fn unit_price_text(&self) -> Option<String> {
        self.unit_price().map(|price| price.round_dp(SCALE_MAX).normalize().to_string())
    }

    /// Returns the unit in the form in which units are compared; `None` where no unit is named.
    pub(super) fn unit_name(&self) -> Option<String> {
        self.shown_unit().map(unit_name)
    }
}

/// The lines that an order wants, prepared for comparing many proposals with them.
#[derive(Debug)]
pub(super) struct WantedLines<'a> {
    keys: LineKeys<'a>,
    /// The keys as the order lists them, each once.
    order: Vec<&'a str>,
    /// The lines by key. An article that an earlier order lists twice, without names, is one line.
    lines: BTreeMap<&'a str, WantedLine<'a>>,
}

impl<'a> WantedLines<'a> {
    pub(super) fn of(items: &'a [Item]) -> Self {
        let mut order = Vec::with_capacity(items.len());
        let mut lines = BTreeMap::new();
        for item in items {
            let key = item.line_key();
            let line = lines.entry(key).or_insert_with(|| {
                order.push(key);
                WantedLine { quantity: Decimal::ZERO, unit: item.unit.as_deref() }
            });
            line.quantity += item.quantity.value();
        }
        Self { keys: LineKeys::of(items), order, lines }
    }

    /// Returns the keys of the lines as the order lists them.
    pub(super) fn keys(&self) -> &[&'a str] {
        &self.order
    }

    /// Returns the wanted quantity of a line; `None` for one that the order does not list.
    pub(super) fn quantity(&self, key: &str) -> Option<Decimal> {
        self.lines.get(key).map(|wanted| wanted.quantity)
    }

    /// Returns the unit of a line's wanted quantity; `None` where the order names none.
    pub(super) fn unit(&self, key: &str) -> Option<&'a str> {
        self.lines.get(key).and_then(|wanted| wanted.unit)
    }

    /// Returns the key of the order's line that a line of a proposal is for.
    pub(super) fn key_of(&self, line: &'a ProposalLine) -> &'a str {
        self.keys.of_line(line)
    }

    /// Returns all that a proposal offers, by line.
    pub(super) fn offered(
        &self,
        content: &'a ProposalContent,
    ) -> BTreeMap<&'a str, OfferedLine<'a>> {
        let mut offered: BTreeMap<&'a str, OfferedLine<'a>> = BTreeMap::new();
        for line in &content.lines {
            let key = self.key_of(line);
            let unit = match self.lines.get(key) {
                Some(wanted) => wanted.unit,
                None => line.unit.as_deref(),
            };
            offered.entry(key).or_insert_with(|| OfferedLine::of_unit(unit)).add(line);
        }
        offered
    }

    /// Returns the fit of an offered line; `None` for one that the order does not list.
    pub(super) fn fit(&self, key: &str, offered: &OfferedLine<'_>) -> Option<LineFit> {
        self.lines.get(key).map(|wanted| wanted.fit(Some(offered)))
    }

    /// Returns the fits that occur in a proposal's lines. One without lines offers everything for
    /// one price.
    pub(super) fn fits(&self, content: &'a ProposalContent) -> BTreeSet<LineFit> {
        if content.lines.is_empty() {
            return BTreeSet::new();
        }
        let offered = self.offered(content);
        self.lines.iter().map(|(key, wanted)| wanted.fit(offered.get(key))).collect()
    }

    /// Returns the lines that are not offered as they are wanted, in the order of the lines.
    pub(super) fn gaps(&self, content: &'a ProposalContent) -> LineGaps {
        let mut gaps = LineGaps::default();
        if content.lines.is_empty() {
            return gaps;
        }
        let offered = self.offered(content);
        for key in &self.order {
            let Some(wanted) = self.lines.get(key) else { continue };
            let Some(line) = offered.get(key) else {
                gaps.missing.push((*key).to_owned());
                continue;
            };
            match (wanted.fit(Some(line)), line.other) {
                (LineFit::Short, _) => {
                    gaps.shortfalls.push(wanted.gap(key, line.quantity, line.unit));
                }
                (LineFit::OtherUnit, Some(other)) => {
                    gaps.other_units.push(wanted.gap(key, other.quantity, other.unit));
                }
                (LineFit::Complete, _) if line.quantity > wanted.quantity => {
                    gaps.excess.push(wanted.gap(key, line.quantity, line.unit));
                }
                (LineFit::Complete | LineFit::OtherUnit | LineFit::Missing, _) => {}
            }
        }
        gaps
    }
}

/// Reports whether a quantity is offered in the wanted unit. A seller that names no unit means the
/// wanted one.
fn is_same_unit(wanted: Option<&str>, offered: Option<&str>) -> bool {
    match (wanted, offered) {
        (_, None) => true,
        (None, Some(offered)) => unit_name(offered) == PIECE,
        (Some(wanted), Some(offered)) => {
            wanted == offered || unit_name(wanted) == unit_name(offered)
        }
    }
}

/// Returns a unit in the form in which units are compared: lower case, singular, and one word for
/// all that count single pieces. One whose meaning depends on its case stays as it is.
fn unit_name(unit: &str) -> String {
    let written = unit.trim().trim_end_matches('.');
    let plain = written.to_lowercase();
    if PIECES.contains(&plain.as_str()) {
        return PIECE.to_owned();
    }
    if plain.split(|sign: char| !sign.is_alphabetic()).any(is_case_sensitive) {
        return written.to_owned();
    }
    let singular = plain.strip_suffix('s').filter(|one| one.chars().count() > 2);
    singular.map(str::to_owned).unwrap_or(plain)
}

/// Reports whether another case can give a unit, in lower case, another meaning: `mW` and `MW`.
fn is_case_sensitive(symbol: &str) -> bool {
    symbol.strip_prefix('m').is_some_and(|of| MILLI_OR_MEGA.contains(&of))
        || CASE_SENSITIVE.contains(&symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_compared_by_their_meaning() {
        for (wanted, offered, is_same) in [
            (Some("pieces"), Some("pieces"), true),
            (Some("pieces"), Some("Piece"), true),
            (Some("pieces"), Some("pcs."), true),
            (Some("Stück"), Some("EA"), true),
            (Some("pieces"), None, true),
            (None, Some("pieces"), true),
            (None, None, true),
            (Some("kg"), Some(" KG "), true),
            (Some("hours"), Some("hour"), true),
            (Some("pieces"), Some("box of 50"), false),
            (None, Some("box of 50"), false),
            (Some("kg"), Some("g"), false),
            (Some("m"), Some("ms"), false),
            (Some("box of 50"), Some("box of 500"), false),
            (Some("kW"), Some("KW"), true),
            (Some("l"), Some("L"), true),
            (Some("metres"), Some("Metre"), true),
            (Some("Pair"), Some("pairs"), true),
            (Some("mol"), Some("MOL"), true),
            (Some("mg"), Some(" mg."), true),
            // The case is the meaning, by a factor of a thousand million or more.
            (Some("MW"), Some("mW"), false),
            (Some("Mg"), Some("mg"), false),
            (Some("MG"), Some("mg"), false),
            (Some("MWh"), Some("mWh"), false),
            (Some("mg/l"), Some("Mg/l"), false),
            (Some("mm²"), Some("Mm²"), false),
            (Some("m"), Some("M"), false),
            (Some("Pa"), Some("pA"), false),
            (Some("GB"), Some("Gb"), false),
        ] {
            assert_eq!(is_same_unit(wanted, offered), is_same, "{wanted:?} {offered:?}");
        }
    }
}
