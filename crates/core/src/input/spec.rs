//! Orders as received, and the one conversion into the strict form.

use serde::{Deserialize, Serialize};

use super::{
    ContactInput, MessageInput, each, message, null_is_absent, optional_text, required_text,
    seller_names,
};
use crate::limits::{
    DECIDE_WITHIN_MS_MAX, DISTANCE_M_MAX, EXPIRES_IN_MS_DEFAULT, EXPIRES_IN_MS_MAX,
    EXPIRES_IN_MS_MIN, ITEMS_BYTES_MAX, ITEMS_MAX, LINE_CHARS_MAX, SELLERS_DEFAULT, SELLERS_MAX,
    TEXT_CHARS_MAX,
};
use crate::price::{Currency, Quantity};
use crate::refusal::Refusal;
use crate::spec::{
    Contact, Coordinates, Delivery, Item, NotificationType, OrderSpec, SellerLimits,
};

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
    #[serde(deserialize_with = "null_is_absent")]
    pub items: Vec<ItemInput>,
    /// The category that a seller must offer; absent means any.
    pub category: Option<String>,
    /// The place and the date of delivery.
    pub delivery: Option<DeliveryInput>,
    /// The limits on the sellers to invite: number, distance and names.
    pub sellers: Option<SellersInput>,
    /// The text for the sellers.
    pub message: Option<MessageInput>,
    /// The time from the order's opening to its deadline, milliseconds.
    pub expires_in_ms: Option<u64>,
    /// The time after the deadline in which the buyer may decide, milliseconds; absent means 30
    /// days, and 0 ends the order at its deadline.
    pub decide_within_ms: Option<u64>,
    /// Prices and sellers stay hidden until the deadline.
    #[serde(deserialize_with = "null_is_absent")]
    pub sealed: bool,
    /// The buyer's contact; absent where the buyer is not notified.
    pub buyer: Option<ContactInput>,
    /// The ISO 4217 code of the only currency of proposals; absent means any.
    pub currency: Option<String>,
    /// The IANA name of the time zone in which dates end; absent means UTC.
    pub time_zone: Option<String>,
}

/// One wanted item, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemInput {
    /// The buyer's article number.
    #[serde(deserialize_with = "null_is_absent")]
    pub sku: String,
    /// A description for people.
    pub description: Option<String>,
    /// The quantity, a decimal.
    #[serde(deserialize_with = "null_is_absent")]
    pub quantity: String,
    /// The unit of the quantity.
    pub unit: Option<String>,
    /// The name of the line, for articles that the order lists more than once.
    pub line: Option<String>,
}

/// The place and the date of delivery, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryInput {
    /// The latitude, degrees from -90 to 90.
    pub latitude: Option<f64>,
    /// The longitude, degrees from -180 to 180.
    pub longitude: Option<f64>,
    /// The postal address, as text.
    pub address: Option<String>,
    /// The latest time of delivery: a date, or a time (RFC 3339).
    pub by: Option<String>,
}

/// The limits on the sellers to invite, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SellersInput {
    /// The largest number of sellers to invite.
    pub max_count: Option<u32>,
    /// The largest distance from the place of delivery, kilometres.
    pub max_distance_km: Option<f64>,
    /// The only sellers to invite; empty means any.
    #[serde(deserialize_with = "null_is_absent")]
    pub names: Vec<String>,
    /// The sellers never to invite.
    #[serde(deserialize_with = "null_is_absent")]
    pub excluded: Vec<String>,
    /// Sellers that are not invited may propose too.
    #[serde(deserialize_with = "null_is_absent")]
    pub open_to_all: bool,
    /// Sellers that come while the order is open are invited too; absent means that they are.
    pub late: Option<bool>,
}

fn line(field: &str, value: Option<String>) -> Result<Option<Box<str>>, Refusal> {
    Ok(optional_text(field, value, LINE_CHARS_MAX)?.map(Into::into))
}

/// Parses a currency code; an empty one counts as absent.
fn currency(text: Option<&str>) -> Result<Option<Currency>, Refusal> {
    text.filter(|text| !text.is_empty()).map(Currency::new).transpose()
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
            decide_within_ms: input.decide_within_ms.map(decide_within_ms).transpose()?,
            sealed: input.sealed,
            buyer: input
                .buyer
                .map(|it| Contact::try_from(it).map(Box::new).map_err(|e| e.under("buyer")))
                .transpose()?,
            currency: currency(input.currency.as_deref())?,
            time_zone: line("time_zone", input.time_zone)?,
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
/// Refuses less than 10 s and more than 180 d.
pub fn expires_in_ms(value: u64) -> Result<u64, Refusal> {
    if (EXPIRES_IN_MS_MIN..=EXPIRES_IN_MS_MAX).contains(&value) {
        return Ok(value);
    }
    Err(Refusal::field(
        "expires_in_ms",
        format!("is {value}; give {EXPIRES_IN_MS_MIN} (10 s) to {EXPIRES_IN_MS_MAX} (180 d)"),
    ))
}

/// Checks the time in which the buyer may decide after the deadline.
///
/// # Errors
/// Refuses more than 180 d.
pub fn decide_within_ms(value: u64) -> Result<u64, Refusal> {
    if value <= DECIDE_WITHIN_MS_MAX {
        return Ok(value);
    }
    Err(Refusal::field(
        "decide_within_ms",
        format!("is {value}; give 0 (no time) to {DECIDE_WITHIN_MS_MAX} (180 d)"),
    ))
}

fn items(values: Vec<ItemInput>) -> Result<Vec<Item>, Refusal> {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let bytes = |item: &ItemInput| {
        item.sku.len() + text(&item.description) + text(&item.unit) + text(&item.line)
    };
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
            line: optional_text("line", input.line, LINE_CHARS_MAX)?,
        })
    }
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
            open_to_all: input.open_to_all,
            late: input.late.unwrap_or(true),
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
