//! Proposals as they come, and the one conversion into the strict form.

use serde::{Deserialize, Serialize};

use super::{each, optional_text, required_text, url_text};
use crate::command::{ProposalLine, Proposed};
use crate::id::{ProposalId, SellerId};
use crate::limits::{ITEMS_MAX, LINE_CHARS_MAX, TEXT_CHARS_MAX, URLS_MAX};
use crate::price::{Price, Quantity};
use crate::refusal::Refusal;

/// A seller's proposal, as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProposalInput {
    /// Given by the seller, or left to the owner.
    pub proposal_id: Option<String>,
    /// Whose.
    pub seller: String,
    /// A decimal.
    pub price: String,
    /// ISO 4217.
    pub currency: String,
    /// Per line.
    pub lines: Vec<ProposalLineInput>,
    /// For the buyer.
    pub note: Option<String>,
    /// RFC 3339, a date or a time.
    pub delivery_date: Option<String>,
    /// RFC 3339, a date or a time.
    pub valid_until: Option<String>,
    /// Addresses of documents.
    pub attachments: Vec<String>,
}

/// One line of a proposal, as it came; its currency is the proposal's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProposalLineInput {
    /// The buyer's number of the thing.
    pub sku: String,
    /// A decimal.
    pub quantity: String,
    /// Of what.
    pub unit: Option<String>,
    /// A decimal.
    pub price: String,
}

impl TryFrom<ProposalInput> for Proposed {
    type Error = Refusal;

    fn try_from(input: ProposalInput) -> Result<Self, Refusal> {
        let currency = input.currency;
        let price = Price::parse(&input.price, &currency)?;
        let lines = each("lines", input.lines, ITEMS_MAX, |line| {
            Ok(ProposalLine {
                sku: required_text("sku", line.sku)?,
                quantity: Quantity::parse(&line.quantity)?,
                unit: optional_text("unit", line.unit, LINE_CHARS_MAX)?,
                price: Price::parse(&line.price, &currency)?,
            })
        })?;
        check_total(&price, &lines)?;
        Ok(Self {
            proposal_id: input
                .proposal_id
                .filter(|id| !id.is_empty())
                .map(ProposalId::new)
                .transpose()?,
            seller: SellerId::new(input.seller)?,
            price,
            lines,
            note: optional_text("note", input.note, TEXT_CHARS_MAX)?,
            delivery_date: optional_text("delivery_date", input.delivery_date, LINE_CHARS_MAX)?,
            valid_until: optional_text("valid_until", input.valid_until, LINE_CHARS_MAX)?,
            attachments: each("attachments", input.attachments, URLS_MAX, |url| {
                url_text("url", url)
            })?,
        })
    }
}

/// The lines' prices are totals of their lines, so they must add up to the whole.
fn check_total(price: &Price, lines: &[ProposalLine]) -> Result<(), Refusal> {
    if lines.is_empty() {
        return Ok(());
    }
    let sum: rust_decimal::Decimal = lines.iter().map(|line| line.price.amount()).sum();
    if sum == price.amount() {
        return Ok(());
    }
    let total = price.amount();
    Err(Refusal::field("price", format!("is {total}, but the lines add up to {sum}")))
}
