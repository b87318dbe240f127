//! Proposals as received, and the one conversion into the strict form.

use serde::{Deserialize, Serialize};

use super::{each, null_is_absent, optional_text, required_text, url_text};
use crate::command::{ProposalContent, ProposalLine};
use crate::id::{ProposalId, SellerId};
use crate::limits::{ITEMS_MAX, LABEL_CHARS_MAX, LINE_CHARS_MAX, TEXT_CHARS_MAX, URLS_MAX};
use crate::price::{Price, Quantity};
use crate::refusal::Refusal;

/// A seller's proposal, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProposalInput {
    /// The proposal's id; where it is absent, the owner assigns one.
    pub proposal_id: Option<String>,
    /// The proposal's seller.
    #[serde(deserialize_with = "null_is_absent")]
    pub seller: String,
    /// The total price, a decimal.
    #[serde(deserialize_with = "null_is_absent")]
    pub price: String,
    /// The ISO 4217 code of all its prices.
    #[serde(deserialize_with = "null_is_absent")]
    pub currency: String,
    /// The lines with their prices; empty where the seller offers only the whole.
    #[serde(deserialize_with = "null_is_absent")]
    pub lines: Vec<ProposalLineInput>,
    /// A note for the buyer.
    pub note: Option<String>,
    /// The delivery date: RFC 3339, a date or a time.
    pub delivery_date: Option<String>,
    /// The end of its validity: RFC 3339, a date or a time.
    pub valid_until: Option<String>,
    /// The URLs of documents that belong to it.
    #[serde(deserialize_with = "null_is_absent")]
    pub attachments: Vec<String>,
    /// The seller's own number for the proposal.
    pub your_reference: Option<String>,
    /// The label of an alternative, one line; absent or empty for the seller's main proposal.
    pub alternative: Option<String>,
}

/// One line of a proposal, as received; its currency is the proposal's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProposalLineInput {
    /// The buyer's article number, or the seller's of a substitute.
    #[serde(deserialize_with = "null_is_absent")]
    pub sku: String,
    /// The quantity offered, a decimal.
    #[serde(deserialize_with = "null_is_absent")]
    pub quantity: String,
    /// The unit of the quantity.
    pub unit: Option<String>,
    /// The price of the whole line, a decimal.
    #[serde(deserialize_with = "null_is_absent")]
    pub price: String,
    /// The name of the order's line that it is for.
    pub line: Option<String>,
    /// The order's article that this one stands for.
    pub substitutes: Option<String>,
}

impl TryFrom<ProposalInput> for ProposalContent {
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
                line: optional_text("line", line.line, LINE_CHARS_MAX)?,
                substitutes: optional_text("substitutes", line.substitutes, LINE_CHARS_MAX)?,
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
            your_reference: optional_text("your_reference", input.your_reference, LINE_CHARS_MAX)?,
            alternative: label(input.alternative)?,
        })
    }
}

/// Checks the label of an alternative: a line that is not blank. An empty one is absent.
fn label(value: Option<String>) -> Result<Option<Box<str>>, Refusal> {
    let Some(label) = optional_text("alternative", value, LABEL_CHARS_MAX)? else {
        return Ok(None);
    };
    let ends_line = |c: char| matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}');
    if label.contains(ends_line) || label.trim().is_empty() {
        let text = format!("is not a label; give one line of 1 to {LABEL_CHARS_MAX} characters");
        return Err(Refusal::field("alternative", text));
    }
    Ok(Some(label.into()))
}

/// Checks that the prices of the lines add up to the total: each is the price of its whole line.
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
