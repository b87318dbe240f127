//! The best values among the proposals that compete: totals and prices of lines in each currency,
//! and the earliest delivery.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::id::{ProposalId, Timestamp};
use crate::order::{Order, Proposal, ProposalPhase};
use crate::price::{Currency, Decimal, Price};

use super::eligibility::{OrderTerms, SetAside};
use super::wanted::{LineFit, OfferedLine};

/// The best total in one currency. Totals in different currencies are not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BestOfCurrency {
    /// The ISO 4217 code of the currency.
    pub currency: String,
    /// The lowest total, a decimal.
    pub total: String,
    /// The proposal with this total; the first one by id where several have it.
    pub proposal_id: ProposalId,
    /// The number of proposals with this total.
    pub equal: usize,
    /// The number of proposals in this currency that compete.
    pub competing: usize,
}

/// The lowest total in one currency.
#[derive(Clone, Copy, Debug)]
struct LowestTotal<'a> {
    amount: Decimal,
    first: &'a ProposalId,
    equal: usize,
    competing: usize,
}

impl<'a> LowestTotal<'a> {
    /// Counts another proposal; its id is after those counted before.
    fn add(&mut self, amount: Decimal, id: &'a ProposalId) {
        self.competing = self.competing.saturating_add(1);
        if amount < self.amount {
            (self.amount, self.first, self.equal) = (amount, id, 0);
        }
        if amount == self.amount {
            self.equal = self.equal.saturating_add(1);
        }
    }
}

/// The prices that are compared with each other: those of one line in one currency. A line that the
/// order does not list has no wanted quantity, so its prices are those of one unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LinePrices<'a> {
    key: &'a str,
    currency: Currency,
    unit: Option<String>,
}

/// The best values of a comparison.
#[derive(Debug, Default)]
pub(super) struct BestValues<'a> {
    totals: BTreeMap<Currency, LowestTotal<'a>>,
    lines: BTreeMap<LinePrices<'a>, Decimal>,
    delivery: Option<Timestamp>,
}

impl<'a> BestValues<'a> {
    /// Counts a proposal, which competes with all of it, or only with its complete lines, or not at
    /// all. Proposals are counted in the order of their ids.
    pub(super) fn add(
        &mut self,
        terms: &OrderTerms<'a>,
        id: &'a ProposalId,
        proposal: &'a Proposal,
        reasons: &[SetAside],
    ) {
        let content = &proposal.content;
        let (amount, currency) = (content.price.amount(), content.price.currency());
        if competes_by_lines(reasons) {
            for (key, line) in terms.wanted.offered(content) {
                if let Some((prices, price)) = line_price(terms, key, &line, currency) {
                    let least = self.lines.entry(prices).or_insert(price);
                    *least = price.min(*least);
                }
            }
        }
        if !reasons.is_empty() {
            return;
        }
        let none = LowestTotal { amount, first: id, equal: 0, competing: 0 };
        self.totals.entry(currency).or_insert(none).add(amount, id);
        let delivery = terms.delivery(content);
        self.delivery = match (self.delivery, delivery) {
            (Some(earliest), Some(new)) => Some(earliest.min(new)),
            (earliest, new) => earliest.or(new),
        };
    }

    /// Reports whether a proposal that competes has the lowest total of its currency.
    pub(super) fn is_best_total(&self, price: &Price) -> bool {
        let least = self.totals.get(&price.currency());
        least.is_some_and(|least| least.amount == price.amount())
    }

    /// Reports whether a delivery is the earliest of those that compete.
    pub(super) fn is_earliest(&self, delivery: Option<Timestamp>) -> bool {
        delivery.is_some() && delivery == self.delivery
    }

    /// Reports whether an offered line has the lowest price.
    pub(super) fn is_best_line(
        &self,
        terms: &OrderTerms<'a>,
        key: &'a str,
        line: &OfferedLine<'a>,
        currency: Currency,
    ) -> bool {
        let found = line_price(terms, key, line, currency);
        found.is_some_and(|(prices, price)| self.lines.get(&prices) == Some(&price))
    }

    /// Returns the best total of each currency, in the order of their codes.
    pub(super) fn of_currencies(&self) -> Vec<BestOfCurrency> {
        let best = |(currency, least): (&Currency, &LowestTotal<'_>)| BestOfCurrency {
            currency: currency.as_str().to_owned(),
            total: least.amount.to_string(),
            proposal_id: least.first.clone(),
            equal: least.equal,
            competing: least.competing,
        };
        self.totals.iter().map(best).collect()
    }

    /// Returns the only proposal with the lowest total; `None` where several have it, and where
    /// totals are in several currencies.
    pub(super) fn only_best(&self) -> Option<&'a ProposalId> {
        let mut totals = self.totals.values();
        let best = totals.next().filter(|least| least.equal == 1);
        best.filter(|_| totals.next().is_none()).map(|least| least.first)
    }
}

/// Reports whether a proposal's complete lines compete, although the whole may not.
pub(super) fn competes_by_lines(reasons: &[SetAside]) -> bool {
    reasons.iter().all(|reason| reason.is_of_lines())
}

/// Returns the price by which an offered line competes; `None` where not all that is wanted of the
/// line is offered.
fn line_price<'a>(
    terms: &OrderTerms<'a>,
    key: &'a str,
    line: &OfferedLine<'a>,
    currency: Currency,
) -> Option<(LinePrices<'a>, Decimal)> {
    match terms.wanted.fit(key, line) {
        Some(LineFit::Complete) => Some((LinePrices { key, currency, unit: None }, line.price)),
        Some(LineFit::Short | LineFit::OtherUnit | LineFit::Missing) => None,
        None => {
            let price = line.unit_price()?;
            Some((LinePrices { key, currency, unit: line.unit_name() }, price))
        }
    }
}

/// Returns an order's open proposal with the lowest total, and the total; the first one by id where
/// several have it. There is none where open proposals in several currencies compete, where none
/// competes at this time, and under seal.
pub(crate) fn best_open(order: &Order, now: Timestamp) -> Option<(ProposalId, Price)> {
    if order.is_sealed() || order.proposals.is_empty() {
        return None;
    }
    let terms = OrderTerms::of(order, now);
    let mut best: Option<(&ProposalId, &Price)> = None;
    for (id, proposal) in &order.proposals {
        let price = &proposal.content.price;
        let is_beaten = best.is_some_and(|(_, least)| {
            least.currency() == price.currency() && price.amount() >= least.amount()
        });
        // The price is hidden while the list of a sealed order that was opened is being read again.
        if proposal.phase != ProposalPhase::Open || is_beaten || price.is_hidden() {
            continue;
        }
        if !terms.reasons(proposal).is_empty() {
            continue;
        }
        if best.is_some_and(|(_, least)| least.currency() != price.currency()) {
            return None;
        }
        best = Some((id, price));
    }
    best.map(|(id, price)| (id.clone(), price.clone()))
}

/// Returns the next time at which an open proposal that competes ceases to, because its validity
/// has ended or its delivery date is past. `None` where none does, after the order's end, and under
/// seal.
pub(crate) fn next_lapse(order: &Order, now: Timestamp) -> Option<Timestamp> {
    let ends = |proposal: &Proposal| {
        let content = &proposal.content;
        let has_end = content.valid_until.is_some() || content.delivery_date.is_some();
        has_end && proposal.phase == ProposalPhase::Open
    };
    let is_judged = !order.is_sealed() && !order.phase.is_terminal();
    // Most orders have no such proposal: their terms need not be made.
    if !is_judged || !order.proposals.values().any(ends) {
        return None;
    }
    let terms = OrderTerms::of(order, now);
    let mut next: Option<Timestamp> = None;
    for proposal in order.proposals.values().filter(|proposal| ends(proposal)) {
        let is_sooner = |at: &Timestamp| next.is_none_or(|next| *at < next);
        let lapse = terms.lapse(&proposal.content).filter(is_sooner);
        if lapse.is_some() && terms.reasons(proposal).is_empty() {
            next = lapse;
        }
    }
    next
}

#[cfg(test)]
#[path = "best_tests.rs"]
mod tests;
