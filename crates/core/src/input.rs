//! The lenient forms in which requests arrive (wire, REST, manifests), and the one conversion of
//! each into the strict type. A field may be absent or null where the original system allowed it; a
//! wrong one is refused with its name, the limit and the fix, and so is one that nothing reads.

use serde::{Deserialize, Serialize};

use crate::buyer::FollowUpDraft;
use crate::command::Award;
use crate::id::{FollowUpId, ProposalId, SellerId};
use crate::limits::{
    DISPLAY_NAME_CHARS_MAX, ITEMS_MAX, LINE_CHARS_MAX, NAMES_MAX, TEXT_CHARS_MAX, URL_CHARS_MAX,
    URLS_MAX,
};
use crate::refusal::Refusal;
use crate::spec::{FollowUp, Message, MessageType};

mod absent;
mod contact;
mod proposal;
mod spec;
mod strict;
mod unknown;

pub use absent::null_is_absent;
pub use contact::{ChannelInput, ContactInput, language};
pub use proposal::{ProposalInput, ProposalLineInput};
pub use spec::{
    DeliveryInput, ItemInput, SellersInput, SpecInput, coordinates, decide_within_ms,
    expires_in_ms, notification_type,
};
pub use strict::{
    check_date, check_new_message_id, check_new_order, check_new_proposal, check_new_proposal_id,
    check_new_seller, check_visible, is_reserved_id,
};
pub use unknown::unknown_field;

/// A text with its format and links, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageInput {
    /// The text's format: `text`, `html` or `markdown`, in any case.
    #[serde(rename = "type", alias = "message_type")]
    pub kind: Option<String>,
    /// The text.
    #[serde(deserialize_with = "null_is_absent")]
    pub message: String,
    /// The links that belong to it.
    #[serde(deserialize_with = "null_is_absent")]
    pub urls: Vec<String>,
}

/// The buyer's follow-up, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowUpInput {
    /// The follow-up's id; an empty one is refused.
    #[serde(deserialize_with = "null_is_absent")]
    pub id: String,
    /// The recipients; empty means all sellers.
    #[serde(deserialize_with = "null_is_absent")]
    pub audience: Vec<String>,
    /// The text.
    #[serde(deserialize_with = "null_is_absent")]
    pub message: MessageInput,
    /// The seller's question that it answers; absent or empty where it answers none.
    pub answers: Option<String>,
}

/// The award, as received: a proposal, or lines; with neither nobody wins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AwardInput {
    /// The proposal that wins the whole order.
    pub proposal_id: Option<String>,
    /// The winner of each line: (line or article number, proposal).
    #[serde(deserialize_with = "null_is_absent")]
    pub lines: Vec<(String, String)>,
}

/// Checks a text's length and that it has no control characters but line breaks and tabs.
///
/// # Errors
/// A refusal that names the field and the limit.
pub fn text(field: &str, value: String, chars_max: usize) -> Result<String, Refusal> {
    let chars = value.chars().count();
    if chars > chars_max {
        return Err(Refusal::field(
            field,
            format!("has {chars} characters; at most {chars_max} are allowed"),
        ));
    }
    if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Refusal::field(field, "contains a control character; remove it"));
    }
    Ok(value)
}

/// Checks a text as [`text`] does, for a field that may be absent; an empty text is absent.
///
/// # Errors
/// Refuses as [`text`] does.
pub fn optional_text(
    field: &str,
    value: Option<String>,
    chars_max: usize,
) -> Result<Option<String>, Refusal> {
    value.filter(|value| !value.is_empty()).map(|value| text(field, value, chars_max)).transpose()
}

/// Checks the reason of a command; an empty one is absent.
///
/// # Errors
/// Refuses what [`text`] refuses, and one without a visible character.
pub fn reason_text(field: &str, value: Option<String>) -> Result<Option<String>, Refusal> {
    let reason = optional_text(field, value, TEXT_CHARS_MAX)?;
    reason.as_deref().map_or(Ok(()), |reason| check_visible(field, reason))?;
    Ok(reason)
}

/// Checks a seller's name for people: one line without blanks around it. An empty one is absent.
///
/// # Errors
/// Refuses what is too long, blank or of several lines, and what reads as the name of the buyer, of
/// this service or of hidden sellers.
pub fn display_name(value: Option<String>) -> Result<Option<Box<str>>, Refusal> {
    let field = "display_name";
    let Some(name) = optional_text(field, value, DISPLAY_NAME_CHARS_MAX)? else {
        return Ok(None);
    };
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if name.trim() != name || name.chars().any(is_break) {
        let text = "is not one line of text; write it without blanks around it";
        return Err(Refusal::field(field, text));
    }
    check_visible(field, &name)?;
    strict::check_name(field, &name)?;
    Ok(Some(name.into()))
}

/// Checks the URL of a document: `http` or `https`.
fn url_text(field: &str, value: String) -> Result<String, Refusal> {
    let value = text(field, value, URL_CHARS_MAX)?;
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(value),
        _ => Err(Refusal::field(field, "is not a URL; begin with https:// or http://")),
    }
}

fn count(field: &str, len: usize, max: usize) -> Result<(), Refusal> {
    if len > max {
        return Err(Refusal::field(field, format!("has {len} entries; at most {max} are allowed")));
    }
    Ok(())
}

fn each<T, U>(
    field: &str,
    values: Vec<T>,
    max: usize,
    convert: impl Fn(T) -> Result<U, Refusal>,
) -> Result<Vec<U>, Refusal> {
    count(field, values.len(), max)?;
    values
        .into_iter()
        .enumerate()
        .map(|(index, value)| convert(value).map_err(|e| e.under(&format!("{field}[{index}]"))))
        .collect()
}

fn seller_names(field: &str, names: Vec<String>) -> Result<Vec<SellerId>, Refusal> {
    each(field, names, NAMES_MAX, SellerId::new)
}

fn required_text(field: &str, value: String) -> Result<String, Refusal> {
    if value.is_empty() {
        return Err(Refusal::field(field, "is missing; give 1 to 256 characters"));
    }
    text(field, value, LINE_CHARS_MAX)
}

fn message(field: &str, input: MessageInput) -> Result<Message, Refusal> {
    Message::try_from(input).map_err(|e| e.under(field))
}

impl TryFrom<MessageInput> for Message {
    type Error = Refusal;

    fn try_from(input: MessageInput) -> Result<Self, Refusal> {
        let kind = match input.kind.as_deref() {
            None | Some("") => MessageType::default(),
            Some(name) => MessageType::parse(name)
                .ok_or_else(|| Refusal::field("type", "is unknown; use text, html or markdown"))?,
        };
        let urls = each("urls", input.urls, URLS_MAX, |url| required_text("url", url))?;
        Ok(Self { kind, message: text("message", input.message, TEXT_CHARS_MAX)?, urls })
    }
}

impl TryFrom<FollowUpInput> for FollowUp {
    type Error = Refusal;

    fn try_from(input: FollowUpInput) -> Result<Self, Refusal> {
        Ok(Self {
            id: FollowUpId::new(input.id)?,
            audience: seller_names("audience", input.audience)?,
            message: message("message", input.message)?,
            answers: answered_question(input.answers)?,
        })
    }
}

/// The buyer's follow-up, as received from a caller that may leave its id to the receiver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FollowUpDraftInput {
    /// The follow-up's id; absent or empty where the caller gives none.
    pub id: Option<String>,
    /// The recipients; empty means all sellers.
    pub audience: Vec<String>,
    /// The text.
    pub message: MessageInput,
    /// The seller's question that it answers; absent or empty where it answers none.
    pub answers: Option<String>,
}

impl TryFrom<FollowUpDraftInput> for FollowUpDraft {
    type Error = Refusal;

    fn try_from(input: FollowUpDraftInput) -> Result<Self, Refusal> {
        Ok(Self {
            id: input.id.filter(|id| !id.is_empty()).map(FollowUpId::new).transpose()?,
            audience: seller_names("audience", input.audience)?,
            message: message("message", input.message)?,
            answers: answered_question(input.answers)?,
        })
    }
}

/// Returns the id of the question that is answered; an empty one counts as absent.
fn answered_question(id: Option<String>) -> Result<Option<FollowUpId>, Refusal> {
    let id = id.filter(|id| !id.is_empty()).map(FollowUpId::new).transpose();
    id.map_err(|refusal| Refusal { field: Some("answers".to_owned()), ..refusal })
}

impl TryFrom<AwardInput> for Option<Award> {
    type Error = Refusal;

    fn try_from(input: AwardInput) -> Result<Self, Refusal> {
        match (input.proposal_id.filter(|id| !id.is_empty()), input.lines) {
            (Some(_), lines) if !lines.is_empty() => {
                Err(Refusal::field("lines", "are given beside a proposal_id; give one of the two"))
            }
            (Some(id), _) => Ok(Some(Award::Whole(ProposalId::new(id)?))),
            (None, lines) if lines.is_empty() => Ok(None),
            (None, lines) => {
                let lines = each("lines", lines, ITEMS_MAX, |(sku, id)| {
                    Ok((required_text("sku", sku)?, ProposalId::new(id)?))
                })?;
                Ok(Some(Award::Lines(lines)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
