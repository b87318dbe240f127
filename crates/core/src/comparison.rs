//! Comparisons: an order's proposals side by side, with their totals, lines, delivery, distance and
//! missing articles, and the best of each. Also the differences between two versions of a proposal.

mod csv;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::command::{Award, ProposalContent};
use crate::date;
use crate::id::{ProposalId, SellerId, Timestamp};
use crate::limits::COMPARED_MAX;
use crate::order::{Order, Proposal, ProposalPhase};
use crate::price::{Currency, Decimal, Price};

pub use self::csv::csv;

/// The sort criterion of a comparison; equal proposals are sorted by total, then by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Criterion {
    /// The lowest total first.
    #[default]
    Total,
    /// The earliest delivery first; those that name none last.
    Delivery,
    /// The nearest seller first; those whose location is unknown last.
    Distance,
}

impl Criterion {
    /// Returns the criterion with this spelling.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "total" => Some(Self::Total),
            "delivery" => Some(Self::Delivery),
            "distance" => Some(Self::Distance),
            _ => None,
        }
    }
}

/// All proposals that were not withdrawn, side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The articles that the order wants, as it lists them; those that only proposals name come
    /// after them.
    pub skus: Vec<String>,
    /// The proposals, the best first; at most [`COMPARED_MAX`].
    pub rows: Vec<ComparisonRow>,
    /// The number of proposals beyond that limit.
    pub omitted: usize,
    /// Set while the order is sealed; there are no rows then.
    pub sealed: bool,
}

/// One proposal in a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "independent marks")]
pub struct ComparisonRow {
    /// The proposal's id.
    pub proposal_id: ProposalId,
    /// The proposal's seller.
    pub seller: SellerId,
    /// The proposal's version.
    pub version: u32,
    /// Set while the proposal can be awarded, and once it has won.
    pub open: bool,
    /// Set once the proposal has won, as a whole or with a line.
    pub awarded: bool,
    /// The total price, a decimal.
    pub total: String,
    /// The ISO 4217 code of its currency.
    pub currency: String,
    /// Set if it offers everything, and no other such proposal in its currency has a lower total.
    pub best_total: bool,
    /// The delivery date, as the seller wrote it.
    pub delivery_date: Option<String>,
    /// Set if no other proposal is delivered earlier.
    pub best_delivery: bool,
    /// Set if it is delivered by the order's date; absent if either has no date.
    pub in_time: Option<bool>,
    /// The distance from the seller to the place of delivery, metres; absent where it is unknown.
    pub distance_m: Option<u32>,
    /// Set once its validity has ended.
    pub lapsed: bool,
    /// Its lines, one for each of [`Comparison::skus`]; `None` where the article is not offered, or
    /// only within a whole.
    pub lines: Vec<Option<ComparisonLine>>,
    /// The order's articles that it does not offer; empty where it offers only a whole.
    pub missing: Vec<String>,
}

/// One line of a proposal in a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparisonLine {
    /// The quantity offered, a decimal.
    pub quantity: String,
    /// The price of the whole line, a decimal.
    pub price: String,
    /// Set if no other proposal offers the line for less in this currency.
    pub best: bool,
}

/// A proposal that is compared with the order's others.
#[derive(Clone, Copy)]
struct ComparedProposal<'a> {
    id: &'a ProposalId,
    proposal: &'a Proposal,
}

/// Compares an order's proposals as they are at this time.
pub fn compare(order: &Order, by: Criterion, now: Timestamp) -> Comparison {
    if order.is_sealed() {
        return Comparison { skus: skus(order, &[]), rows: Vec::new(), omitted: 0, sealed: true };
    }
    let proposals = order.proposals.iter().map(|(id, proposal)| ComparedProposal { id, proposal });
    let mut compared: Vec<_> =
        proposals.filter(|held| held.proposal.phase != ProposalPhase::Withdrawn).collect();
    compared.sort_by_cached_key(|compared| rank(order, by, *compared));
    let omitted = compared.len().saturating_sub(COMPARED_MAX);
    let displayed = &compared[..compared.len().min(COMPARED_MAX)];
    let skus = skus(order, displayed);
    let best = BestValues::of(order, &compared);
    let rows = displayed.iter().map(|held| row(order, &best, &skus, *held, now)).collect();
    Comparison { skus, rows, omitted, sealed: false }
}

/// Returns the sort key: the criterion, then the total within one currency, then the id.
fn rank(
    order: &Order,
    by: Criterion,
    compared: ComparedProposal<'_>,
) -> (i64, String, Decimal, ProposalId) {
    let content = &compared.proposal.content;
    let first = match by {
        Criterion::Total => 0,
        Criterion::Delivery => delivery(content).map_or(i64::MAX, |at| at.0),
        Criterion::Distance => distance_m(order, &content.seller).map_or(i64::MAX, i64::from),
    };
    let price = &content.price;
    (first, price.currency().as_str().to_owned(), price.amount(), compared.id.clone())
}

fn delivery(content: &ProposalContent) -> Option<Timestamp> {
    content.delivery_date.as_deref().and_then(date::parse)
}

fn distance_m(order: &Order, seller: &SellerId) -> Option<u32> {
    order.choices.iter().find(|choice| choice.seller == *seller).and_then(|held| held.distance_m)
}

fn skus(order: &Order, proposals: &[ComparedProposal<'_>]) -> Vec<String> {
    let mut skus: Vec<String> = order.spec.items.iter().map(|item| item.sku.clone()).collect();
    for line in proposals.iter().flat_map(|held| &held.proposal.content.lines) {
        if !skus.contains(&line.sku) && skus.len() < COMPARED_MAX {
            skus.push(line.sku.clone());
        }
    }
    skus
}

/// The lowest totals and line prices, per currency, and the earliest delivery.
struct BestValues<'a> {
    totals: BTreeMap<Currency, Decimal>,
    lines: BTreeMap<(&'a str, Currency), Decimal>,
    delivery: Option<Timestamp>,
}

impl<'a> BestValues<'a> {
    fn of(order: &Order, proposals: &[ComparedProposal<'a>]) -> Self {
        let mut best = Self { totals: BTreeMap::new(), lines: BTreeMap::new(), delivery: None };
        for compared in proposals {
            let content = &compared.proposal.content;
            if missing(order, content).is_empty() {
                update_least(&mut best.totals, content.price.currency(), content.price.amount());
            }
            for line in &content.lines {
                let key = (line.sku.as_str(), line.price.currency());
                update_least(&mut best.lines, key, line.price.amount());
            }
            best.delivery = match (best.delivery, delivery(content)) {
                (Some(earliest), Some(new)) => Some(earliest.min(new)),
                (earliest, new) => earliest.or(new),
            };
        }
        best
    }

    fn line(&self, sku: &str, price: &Price) -> bool {
        self.lines.get(&(sku, price.currency())).is_some_and(|least| *least == price.amount())
    }
}

fn update_least<K: Ord>(least: &mut BTreeMap<K, Decimal>, key: K, amount: Decimal) {
    least.entry(key).and_modify(|held| *held = (*held).min(amount)).or_insert(amount);
}

/// Returns the order's articles that a proposal does not offer. One without lines offers everything
/// for one price.
fn missing(order: &Order, content: &ProposalContent) -> Vec<String> {
    if content.lines.is_empty() {
        return Vec::new();
    }
    let offered = |sku: &str| content.lines.iter().any(|line| line.sku == sku);
    let requested = order.spec.items.iter().map(|item| &item.sku);
    requested.filter(|sku| !offered(sku)).cloned().collect()
}

fn row(
    order: &Order,
    best: &BestValues<'_>,
    skus: &[String],
    compared: ComparedProposal<'_>,
    now: Timestamp,
) -> ComparisonRow {
    let ComparedProposal { id, proposal } = compared;
    let content = &proposal.content;
    let price = &content.price;
    let missing = missing(order, content);
    let line = |sku: &String| {
        content.lines.iter().find(|line| line.sku == *sku).map(|line| ComparisonLine {
            quantity: line.quantity.value().to_string(),
            price: line.price.amount().to_string(),
            best: best.line(sku, &line.price),
        })
    };
    let at = delivery(content);
    let due_by = order.spec.delivery.as_ref().and_then(|delivery| delivery.by.as_deref());
    let least = best.totals.get(&price.currency());
    ComparisonRow {
        proposal_id: id.clone(),
        seller: content.seller.clone(),
        version: proposal.version,
        open: proposal.phase == ProposalPhase::Open,
        awarded: wins(order, id),
        total: price.amount().to_string(),
        currency: price.currency().as_str().to_owned(),
        best_total: missing.is_empty() && least.is_some_and(|least| *least == price.amount()),
        delivery_date: content.delivery_date.clone(),
        best_delivery: at.is_some() && at == best.delivery,
        in_time: at.zip(due_by.and_then(date::parse)).map(|(at, wanted)| at <= wanted),
        distance_m: distance_m(order, &content.seller),
        lapsed: content.valid_until.as_deref().and_then(date::parse).is_some_and(|end| end < now),
        lines: skus.iter().map(line).collect(),
        missing,
    }
}

fn wins(order: &Order, id: &ProposalId) -> bool {
    match &order.award {
        None => false,
        Some(Award::Whole(winner)) => winner == id,
        Some(Award::Lines(lines)) => lines.iter().any(|(_, winner)| winner == id),
    }
}

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
        let value = format!("{}{unit} for {}", line.quantity.value(), line.price);
        fields.push((format!("lines.{}", line.sku), value));
    }
    let texts = [
        ("note", &content.note),
        ("delivery_date", &content.delivery_date),
        ("valid_until", &content.valid_until),
    ];
    let given = texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    fields.extend(given.map(|(name, value)| (name.to_owned(), value.clone())));
    if !content.attachments.is_empty() {
        fields.push(("attachments".to_owned(), content.attachments.join(" ")));
    }
    fields
}

#[cfg(test)]
#[path = "comparison_tests.rs"]
mod tests;
