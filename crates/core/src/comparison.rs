//! Comparisons: an order's proposals side by side. Those that compete come first, with the best
//! total and the earliest delivery among them; every other one is set aside with its reasons. Also
//! the differences between two versions of a proposal.

mod best;
mod changes;
mod csv;
mod eligibility;
mod wanted;
mod won;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::id::{ProposalId, SellerId, Seq, Timestamp};
use crate::limits::COMPARED_MAX;
use crate::order::{Order, Proposal, ProposalPhase};
use crate::price::{Currency, Decimal};

use self::best::{BestValues, competes_by_lines};
use self::eligibility::OrderTerms;
use self::wanted::LineGaps;

pub use self::best::BestOfCurrency;
pub(crate) use self::best::{best_open, next_lapse};
pub use self::changes::{FieldChange, changes};
pub use self::csv::CsvFormat;
pub use self::eligibility::SetAside;
pub use self::wanted::QuantityGap;
pub(crate) use self::won::won_part;
pub use self::won::{WonLine, WonPart};

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

/// The proposals that were not withdrawn, side by side: all of them, or a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The lines that the order wants, as it lists them, each by its name or else its article
    /// number; articles that only proposals name come after them. The same on every page.
    pub skus: Vec<String>,
    /// The proposals: those that compete, the best first, and then those that are set aside.
    pub rows: Vec<ComparisonRow>,
    /// The number of proposals after these.
    pub omitted: usize,
    /// The last proposal of this page; absent where no more follow.
    pub next: Option<ProposalId>,
    /// Set while the order is sealed; there are no rows then.
    pub sealed: bool,
    /// The order's last event. Pages with the same one and the same time are of one comparison.
    pub last_seq: Seq,
    /// The time at which the proposals are judged: of an order that has ended, at most its end.
    pub as_of: Timestamp,
    /// The best total of each currency.
    pub currencies: Vec<BestOfCurrency>,
    /// The proposal that may be awarded as it is: the only best one. Absent where a person has to
    /// decide first: between currencies, between equal totals, on a substitute, on more than the
    /// order wants, or on a delivery without a date; and where nothing can be awarded.
    pub suggested: Option<ProposalId>,
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
    /// Set if it competes, and no other proposal that competes in its currency has a lower total.
    pub best_total: bool,
    /// The delivery date, as the seller wrote it.
    pub delivery_date: Option<String>,
    /// Set if it competes, and no other proposal that competes is delivered earlier.
    pub best_delivery: bool,
    /// Set if it is delivered by the order's date; absent if either has no date.
    pub in_time: Option<bool>,
    /// The distance from the seller to the place of delivery, metres; absent where it is unknown.
    pub distance_m: Option<u32>,
    /// Set once its validity has ended; an order's end stops that.
    pub lapsed: bool,
    /// Its lines, one for each of [`Comparison::skus`]; `None` where the article is not offered, or
    /// only within a whole.
    pub lines: Vec<Option<ComparisonLine>>,
    /// The order's lines that it does not offer; empty where it offers only a whole.
    pub missing: Vec<String>,
    /// The reasons for which it is set aside; empty where it competes.
    pub reasons: Vec<SetAside>,
    /// The lines of which it offers less than the order wants.
    pub shortfalls: Vec<QuantityGap>,
    /// The lines of which it offers more than the order wants.
    pub excess: Vec<QuantityGap>,
    /// The lines that it offers in another unit than the order wants.
    pub other_units: Vec<QuantityGap>,
    /// The label of an alternative; absent where it is the seller's main proposal.
    pub alternative: Option<String>,
    /// The seller's own number for it.
    pub your_reference: Option<String>,
    /// The seller's name for people.
    pub seller_name: Option<String>,
    /// The end of its validity, as the seller wrote it.
    pub valid_until: Option<String>,
    /// The note to the buyer.
    pub note: Option<String>,
}

/// One line of a proposal in a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparisonLine {
    /// The quantity offered, a decimal.
    pub quantity: String,
    /// The price of the whole line, a decimal.
    pub price: String,
    /// Set if it competes, and no other proposal offers all of the line for less in this currency.
    pub best: bool,
    /// The unit of the quantity; the order's where the seller names none.
    pub unit: Option<String>,
    /// The price of one unit, a decimal with at most six places; absent where the line is offered
    /// in several units.
    pub unit_price: Option<String>,
    /// The article that is offered in place of the wanted one.
    pub substitute: Option<String>,
}

/// A proposal that is compared with the order's others.
#[derive(Debug)]
struct ComparedProposal<'a> {
    id: &'a ProposalId,
    proposal: &'a Proposal,
    reasons: Vec<SetAside>,
    delivery: Option<Timestamp>,
}

/// The value by which proposals are sorted: those that compete first, then the criterion, the
/// currency, the total and the id.
type SortKey<'a> = (bool, i64, Currency, Decimal, &'a ProposalId);

/// An order's proposals as they are at one time, judged and sorted, from which the rows of a
/// comparison are made.
#[derive(Debug)]
pub struct Ranking<'a> {
    terms: OrderTerms<'a>,
    skus: Vec<&'a str>,
    compared: Vec<ComparedProposal<'a>>,
    best: BestValues<'a>,
}

impl<'a> Ranking<'a> {
    /// Judges and sorts an order's proposals as they are at this time; once the order has ended, as
    /// they were at its end.
    pub fn of(order: &'a Order, by: Criterion, now: Timestamp) -> Self {
        let terms = OrderTerms::of(order, now);
        let mut best = BestValues::default();
        let mut compared = Vec::new();
        let is_compared =
            |proposal: &Proposal| !order.is_sealed() && proposal.phase != ProposalPhase::Withdrawn;
        for (id, proposal) in order.proposals.iter().filter(|(_, held)| is_compared(held)) {
            let reasons = terms.reasons(proposal);
            best.add(&terms, id, proposal, &reasons);
            let delivery = terms.delivery(&proposal.content);
            compared.push(ComparedProposal { id, proposal, reasons, delivery });
        }
        compared.sort_by_cached_key(|compared| sort_key(order, by, compared));
        let skus = skus(&terms, &compared);
        Self { terms, skus, compared, best }
    }

    /// Returns the time at which the proposals are judged.
    pub const fn as_of(&self) -> Timestamp {
        self.terms.now()
    }

    /// Returns a comparison of the proposals after this one, at most `limit`; `None` where that one
    /// is not compared.
    pub fn page(&self, after: Option<&ProposalId>, limit: usize) -> Option<Comparison> {
        let start = match after {
            None => 0,
            Some(after) => self.compared.iter().position(|held| held.id == after)? + 1,
        };
        let following = self.compared.get(start..).unwrap_or_default();
        let (page, others) = following.split_at(following.len().min(limit));
        let last = page.last().filter(|_| !others.is_empty());
        Some(Comparison {
            skus: self.skus.iter().map(ToString::to_string).collect(),
            rows: page.iter().map(|compared| self.row(compared)).collect(),
            omitted: others.len(),
            next: last.map(|compared| compared.id.clone()),
            sealed: self.terms.order.is_sealed(),
            last_seq: self.terms.order.last_seq,
            as_of: self.as_of(),
            currencies: self.best.of_currencies(),
            suggested: self.suggested().cloned(),
        })
    }

    /// Returns all proposals as comma-separated values, a header line and one line for each; `None`
    /// where they take more than `bytes_max`.
    pub fn csv(&self, format: CsvFormat, bytes_max: usize) -> Option<String> {
        let rows = self.compared.iter().map(|compared| self.row(compared));
        csv::csv(&self.skus, rows, format, bytes_max)
    }

    /// Returns the proposal that a buyer may award without checking anything more.
    fn suggested(&self) -> Option<&'a ProposalId> {
        let order = self.terms.order;
        if order.phase.is_terminal() || order.pending_award.is_some() {
            return None;
        }
        let id = self.best.only_best()?;
        let proposal = order.proposals.get(id)?;
        let content = &proposal.content;
        let has_substitutes = content.lines.iter().any(|line| line.substitutes.is_some());
        let is_exact = !has_substitutes && self.terms.wanted.gaps(content).excess.is_empty();
        let is_being_edited = proposal.locked_by(self.terms.now()).is_some();
        let is_certain = self.terms.has_wanted_date(content) && !is_being_edited;
        (proposal.phase == ProposalPhase::Open && is_exact && is_certain).then_some(id)
    }

    fn row(&self, compared: &ComparedProposal<'a>) -> ComparisonRow {
        let ComparedProposal { id, proposal, reasons, delivery } = compared;
        let (terms, order, content) = (&self.terms, self.terms.order, &proposal.content);
        let price = &content.price;
        let competes = reasons.is_empty();
        let LineGaps { missing, shortfalls, excess, other_units } = terms.wanted.gaps(content);
        ComparisonRow {
            proposal_id: (*id).clone(),
            seller: content.seller.clone(),
            version: proposal.version,
            open: proposal.phase == ProposalPhase::Open,
            awarded: order.has_won(id),
            total: price.amount().to_string(),
            currency: price.currency().as_str().to_owned(),
            best_total: competes && self.best.is_best_total(price),
            delivery_date: content.delivery_date.clone(),
            best_delivery: competes && self.best.is_earliest(*delivery),
            in_time: terms.is_in_time(content),
            distance_m: distance_m(order, &content.seller),
            lapsed: terms.is_lapsed(content),
            lines: self.lines(compared),
            missing,
            reasons: reasons.clone(),
            shortfalls,
            excess,
            other_units,
            alternative: OrderTerms::alternative(content).map(str::to_owned),
            your_reference: content.your_reference.clone(),
            seller_name: order.display_name(&content.seller).map(ToOwned::to_owned),
            valid_until: content.valid_until.clone(),
            note: content.note.clone(),
        }
    }

    fn lines(&self, compared: &ComparedProposal<'a>) -> Vec<Option<ComparisonLine>> {
        let content = &compared.proposal.content;
        let currency = content.price.currency();
        let competes = competes_by_lines(&compared.reasons);
        let offered = self.terms.wanted.offered(content);
        let line = |key: &&'a str| {
            let line = offered.get(key)?;
            Some(ComparisonLine {
                quantity: line.shown_quantity().to_string(),
                price: line.price.to_string(),
                best: competes && self.best.is_best_line(&self.terms, key, line, currency),
                unit: line.shown_unit().map(str::to_owned),
                unit_price: line.unit_price_text(),
                substitute: line.substitute.map(str::to_owned),
            })
        };
        self.skus.iter().map(line).collect()
    }
}

fn sort_key<'a>(order: &Order, by: Criterion, compared: &ComparedProposal<'a>) -> SortKey<'a> {
    let content = &compared.proposal.content;
    let first = match by {
        Criterion::Total => 0,
        Criterion::Delivery => compared.delivery.map_or(i64::MAX, |at| at.0),
        Criterion::Distance => distance_m(order, &content.seller).map_or(i64::MAX, i64::from),
    };
    let (is_set_aside, price) = (!compared.reasons.is_empty(), &content.price);
    (is_set_aside, first, price.currency(), price.amount(), compared.id)
}

fn distance_m(order: &Order, seller: &SellerId) -> Option<u32> {
    order.choices.iter().find(|choice| choice.seller == *seller).and_then(|held| held.distance_m)
}

fn skus<'a>(terms: &OrderTerms<'a>, compared: &[ComparedProposal<'a>]) -> Vec<&'a str> {
    let mut skus = terms.wanted.keys().to_vec();
    let mut known: BTreeSet<&str> = skus.iter().copied().collect();
    for line in compared.iter().flat_map(|held| &held.proposal.content.lines) {
        let key = terms.wanted.key_of(line);
        if skus.len() < COMPARED_MAX && known.insert(key) {
            skus.push(key);
        }
    }
    skus
}

#[cfg(test)]
#[path = "comparison_tests.rs"]
mod tests;
