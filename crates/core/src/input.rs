//! The lenient forms in which requests arrive (wire, REST, manifests), and the one conversion of
//! each into the strict type. A field may be absent where the original system allowed it; a wrong
//! one is refused with its name, the limit and the fix.

use serde::{Deserialize, Serialize};

use crate::buyer::FollowUpDraft;
use crate::command::Award;
use crate::id::{FollowUpId, ProposalId, SellerId};
use crate::limits::{
    DISTANCE_M_MAX, EXPIRES_IN_MS_DEFAULT, EXPIRES_IN_MS_MAX, EXPIRES_IN_MS_MIN, ITEMS_BYTES_MAX,
    ITEMS_MAX, LINE_CHARS_MAX, NAMES_MAX, SELLERS_DEFAULT, SELLERS_MAX, TEXT_CHARS_MAX,
    URL_CHARS_MAX, URLS_MAX,
};
use crate::price::Quantity;
use crate::refusal::Refusal;
use crate::spec::{
    Contact, Coordinates, Delivery, FollowUp, Item, Message, MessageType, NotificationType,
    OrderSpec, SellerLimits,
};

mod contact;
mod proposal;

pub use contact::{ChannelInput, ContactInput, language};
pub use proposal::{ProposalInput, ProposalLineInput};

/// An order's content, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpecInput {
    /// The title, one line for people.
    pub title: Option<String>,
    /// The preferred kind of channel to sellers: `GChat`, `Email`, `SMS` or `Webhook`, in any case.
    pub notification_type: Option<String>,
    /// The buyer's session.
    pub session: Option<String>,
    /// The wanted items.
    pub items: Vec<ItemInput>,
    /// The category that a seller must offer; absent means any.
    pub category: Option<String>,
    /// The place and the date of delivery.
    pub delivery: Option<DeliveryInput>,
    /// The limits on the sellers to invite: number, distance and names.
    pub sellers: Option<SellersInput>,
    /// The text for the sellers.
    pub message: Option<MessageInput>,
    /// The time from the order's opening to its expiry, milliseconds.
    pub expires_in_ms: Option<u64>,
    /// Prices and sellers stay hidden until the deadline.
    pub sealed: bool,
    /// The buyer's contact; absent where the buyer is not notified.
    pub buyer: Option<ContactInput>,
}

/// One wanted item, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ItemInput {
    /// The buyer's article number.
    pub sku: String,
    /// A description for people.
    pub description: Option<String>,
    /// The quantity, a decimal.
    pub quantity: String,
    /// The unit of the quantity.
    pub unit: Option<String>,
}

/// The place and the date of delivery, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryInput {
    /// The latitude, degrees from -90 to 90.
    pub latitude: Option<f64>,
    /// The longitude, degrees from -180 to 180.
    pub longitude: Option<f64>,
    /// The postal address, as text.
    pub address: Option<String>,
    /// The latest time of delivery (RFC 3339).
    pub by: Option<String>,
}

/// The limits on the sellers to invite, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SellersInput {
    /// The largest number of sellers to invite.
    pub max_count: Option<u32>,
    /// The largest distance from the place of delivery, kilometres.
    pub max_distance_km: Option<f64>,
    /// The only sellers to invite; empty means any.
    pub names: Vec<String>,
    /// The sellers never to invite.
    pub excluded: Vec<String>,
}

/// A text with its format and links, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageInput {
    /// The text's format: `text`, `html` or `markdown`, in any case.
    #[serde(rename = "type", alias = "message_type")]
    pub kind: Option<String>,
    /// The text.
    pub message: String,
    /// The links that belong to it.
    pub urls: Vec<String>,
}

/// The buyer's follow-up, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowUpInput {
    /// The follow-up's id; an empty one is refused.
    pub id: String,
    /// The recipients; empty means all sellers.
    pub audience: Vec<String>,
    /// The text.
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
    /// The winner of each line: (sku, proposal).
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

fn line(field: &str, value: Option<String>) -> Result<Option<Box<str>>, Refusal> {
    Ok(optional_text(field, value, LINE_CHARS_MAX)?.map(Into::into))
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

impl TryFrom<SpecInput> for OrderSpec {
    type Error = Refusal;

    fn try_from(input: SpecInput) -> Result<Self, Refusal> {
        Ok(Self {
            title: line("title", input.title)?,
            notification_type: notification_type(input.notification_type.as_deref())?,
            session: line("session", input.session)?,
            items: items(input.items)?,
            category: line("category", input.category)?,
            delivery: input
                .delivery
                .map(|d| Delivery::try_from(d).map(Box::new).map_err(|e| e.under("delivery")))
                .transpose()?,
            sellers: SellerLimits::try_from(input.sellers.unwrap_or_default())
                .map_err(|e| e.under("sellers"))?,
            message: input.message.map(|m| message("message", m).map(Box::new)).transpose()?,
            expires_in_ms: expires_in_ms(input.expires_in_ms.unwrap_or(EXPIRES_IN_MS_DEFAULT))?,
            sealed: input.sealed,
            buyer: input
                .buyer
                .map(|it| Contact::try_from(it).map(Box::new).map_err(|e| e.under("buyer")))
                .transpose()?,
        })
    }
}

/// Parses a notification type; absent or empty means `Email`.
///
/// # Errors
/// Refuses an unknown name.
pub fn notification_type(value: Option<&str>) -> Result<NotificationType, Refusal> {
    match value {
        None | Some("") => Ok(NotificationType::default()),
        Some(name) => NotificationType::parse(name).ok_or_else(|| {
            let escaped: String = name.chars().take(32).flat_map(char::escape_default).collect();
            Refusal::field(
                "notification_type",
                format!("'{escaped}' is unknown; use GChat, Email, SMS or Webhook"),
            )
        }),
    }
}

/// Checks an order's lifetime.
///
/// # Errors
/// Refuses less than 10 s and more than 7 d.
pub fn expires_in_ms(value: u64) -> Result<u64, Refusal> {
    if (EXPIRES_IN_MS_MIN..=EXPIRES_IN_MS_MAX).contains(&value) {
        return Ok(value);
    }
    Err(Refusal::field(
        "expires_in_ms",
        format!("is {value}; give {EXPIRES_IN_MS_MIN} (10 s) to {EXPIRES_IN_MS_MAX} (7 d)"),
    ))
}

fn items(values: Vec<ItemInput>) -> Result<Vec<Item>, Refusal> {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let bytes = |item: &ItemInput| item.sku.len() + text(&item.description) + text(&item.unit);
    let sum: usize = values.iter().map(bytes).sum();
    if sum > ITEMS_BYTES_MAX {
        let text = format!("have {sum} bytes of text; at most {ITEMS_BYTES_MAX} are allowed");
        return Err(Refusal::field("items", text));
    }
    each("items", values, ITEMS_MAX, Item::try_from)
}

impl TryFrom<ItemInput> for Item {
    type Error = Refusal;

    fn try_from(input: ItemInput) -> Result<Self, Refusal> {
        Ok(Self {
            sku: required_text("sku", input.sku)?,
            description: optional_text("description", input.description, TEXT_CHARS_MAX)?,
            quantity: Quantity::parse(&input.quantity)?,
            unit: optional_text("unit", input.unit, LINE_CHARS_MAX)?,
        })
    }
}

fn required_text(field: &str, value: String) -> Result<String, Refusal> {
    if value.is_empty() {
        return Err(Refusal::field(field, "is missing; give 1 to 256 characters"));
    }
    text(field, value, LINE_CHARS_MAX)
}

impl TryFrom<DeliveryInput> for Delivery {
    type Error = Refusal;

    fn try_from(input: DeliveryInput) -> Result<Self, Refusal> {
        let place = match (input.latitude, input.longitude) {
            (None, None) => None,
            (Some(latitude), Some(longitude)) => Some(coordinates(latitude, longitude)?),
            (Some(_), None) => {
                return Err(Refusal::field("longitude", "is missing; give both or neither"));
            }
            (None, Some(_)) => {
                return Err(Refusal::field("latitude", "is missing; give both or neither"));
            }
        };
        Ok(Self {
            place,
            address: optional_text("address", input.address, TEXT_CHARS_MAX)?,
            by: optional_text("by", input.by, LINE_CHARS_MAX)?,
        })
    }
}

/// Checks a point on the Earth, in degrees.
///
/// # Errors
/// Refuses a coordinate that is out of its range or not a number, and names it.
pub fn coordinates(latitude: f64, longitude: f64) -> Result<Coordinates, Refusal> {
    Ok(Coordinates {
        latitude_udeg: microdegrees("latitude", latitude, 90.0)?,
        longitude_udeg: microdegrees("longitude", longitude, 180.0)?,
    })
}

fn microdegrees(field: &str, degrees: f64, max: f64) -> Result<i32, Refusal> {
    if !(-max..=max).contains(&degrees) {
        return Err(Refusal::field(field, format!("is {degrees}; give -{max} to {max} degrees")));
    }
    #[allow(clippy::cast_possible_truncation, reason = "at most 180 000 000, checked above")]
    Ok((degrees * 1e6).round() as i32)
}

impl TryFrom<SellersInput> for SellerLimits {
    type Error = Refusal;

    fn try_from(input: SellersInput) -> Result<Self, Refusal> {
        let max_count = input.max_count.unwrap_or(SELLERS_DEFAULT);
        if !(1..=SELLERS_MAX).contains(&max_count) {
            return Err(Refusal::field(
                "max_count",
                format!("is {max_count}; give 1 to {SELLERS_MAX}"),
            ));
        }
        Ok(Self {
            max_count,
            max_distance_m: input.max_distance_km.map(distance_m).transpose()?,
            names: seller_names("names", input.names)?,
            excluded: seller_names("excluded", input.excluded)?,
        })
    }
}

fn distance_m(km: f64) -> Result<u32, Refusal> {
    let max_km = f64::from(DISTANCE_M_MAX) / 1e3;
    if !(km > 0.0 && km <= max_km) {
        return Err(Refusal::field(
            "max_distance_km",
            format!("is {km}; give more than 0 and at most {max_km} km"),
        ));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 20 040 000, checked above"
    )]
    Ok((km * 1e3).round() as u32)
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
