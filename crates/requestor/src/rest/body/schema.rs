//! The document's schemas of an order's body. Its parts are read by the core, which does not know
//! the document; a test keeps the two equal.
#![allow(dead_code, reason = "these types describe what `InitiateBody` and the core read")]

use serde::Deserialize;
use utoipa::ToSchema;

use super::super::examples;

/// An order: the original's three fields, and the specification beside them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(examples::initiate()))]
pub(in crate::rest) struct InitiateSchema {
    /// The order's id, 1 to 128 letters, digits or `-_.:`.
    order_req_id: String,
    /// The order's tenant; `default` when left out.
    #[schema(required = false)]
    tenant: String,
    /// The buyer's session, stored as it is; `session` means the same.
    session_id: Option<String>,
    /// The same as `session_id`.
    session: Option<String>,
    /// The preferred kind of channel to sellers: `GChat`, `Email` (the default), `SMS` or
    /// `Webhook`, in any case.
    #[schema(example = "Email")]
    notification_type: Option<String>,
    /// The title, one line for people.
    title: Option<String>,
    /// The wanted items, at most 100.
    #[schema(required = false)]
    items: Vec<ItemSchema>,
    /// The category that a seller must offer; any when left out.
    category: Option<String>,
    /// The place of delivery, and its latest time.
    delivery: Option<DeliverySchema>,
    /// The limits on the sellers to invite: number, distance and names.
    sellers: Option<SellersSchema>,
    /// The text for the sellers.
    message: Option<MessageBodySchema>,
    /// The time from the opening to the deadline, milliseconds; 1 800 000 when left out.
    #[schema(minimum = 10_000, maximum = 15_552_000_000_u64)]
    expires_in_ms: Option<u64>,
    /// The time after the deadline in which the buyer may decide, milliseconds; 2 592 000 000 (30
    /// days) when left out. 0 ends the order at its deadline.
    #[schema(minimum = 0, maximum = 15_552_000_000_u64)]
    decide_within_ms: Option<u64>,
    /// Set to hide prices and the proposing sellers until the deadline.
    #[schema(required = false)]
    sealed: bool,
    /// The buyer's contact; the buyer is not notified when left out.
    buyer: Option<ContactSchema>,
    /// The only currency of proposals, ISO 4217; any when left out.
    #[schema(example = "EUR")]
    currency: Option<String>,
    /// The time zone in which dates without a time end, an IANA name; UTC when left out.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
}

/// One wanted item.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ItemSchema {
    /// The buyer's article number.
    sku: String,
    /// The description, for people.
    description: Option<String>,
    /// The quantity, a decimal above 0.
    #[schema(example = "12")]
    quantity: String,
    /// The quantity's unit.
    unit: Option<String>,
    /// The line's name, unique in the order; needed where two items have one article number.
    line: Option<String>,
}

/// The place of delivery, and its latest time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeliverySchema {
    /// The latitude, degrees.
    #[schema(minimum = -90.0, maximum = 90.0)]
    latitude: Option<f64>,
    /// The longitude, degrees.
    #[schema(minimum = -180.0, maximum = 180.0)]
    longitude: Option<f64>,
    /// The address as text.
    address: Option<String>,
    /// The latest time of delivery, `2030-12-15` or `2030-12-15T12:00:00Z`. A date counts to its
    /// end in the order's time zone.
    by: Option<String>,
}

/// The limits on the sellers to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SellersSchema {
    /// The largest number of sellers to invite; 10 when left out.
    #[schema(minimum = 1, maximum = 100)]
    max_count: Option<u32>,
    /// The largest distance from the place of delivery, kilometres.
    max_distance_km: Option<f64>,
    /// The only sellers to invite, at most 100; any when left out.
    #[schema(required = false)]
    names: Vec<String>,
    /// The sellers never to invite, at most 100.
    #[schema(required = false)]
    excluded: Vec<String>,
    /// True where sellers that are not invited may propose too. Otherwise only invited ones may,
    /// unless the order invites none.
    #[schema(required = false)]
    open_to_all: bool,
    /// False where only sellers that fit at the opening are invited. Otherwise those that come while
    /// the order is open are invited too, as long as it invites fewer than `max_count`.
    late: Option<bool>,
}

/// A text, or an object with a text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(in crate::rest) enum MessageSchema {
    /// The text.
    Text(String),
    /// The text with its type and links.
    Object(MessageBodySchema),
}

/// A text with its type and links.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct MessageBodySchema {
    /// The text's type: `text` (the default), `html` or `markdown`, in any case.
    #[schema(example = "text")]
    r#type: Option<String>,
    /// The text, at most 4096 characters.
    message: String,
    /// Links, at most 20.
    #[schema(required = false)]
    urls: Vec<String>,
}

/// A contact for notifications.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ContactSchema {
    /// The channels to reach the contact, at most 16, the preferred one first.
    #[schema(required = false)]
    channels: Vec<ChannelSchema>,
    /// The language, a BCP 47 tag such as `de` or `pt-BR`.
    language: Option<String>,
}

/// One channel to a contact.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChannelSchema {
    /// The channel: `GChat`, `Email`, `SMS` or `Webhook`, in any case.
    #[schema(example = "Email")]
    r#type: String,
    /// The address: a mail address, a telephone number (E.164) or a URL.
    address: String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use orderstream_core::input::{
        ChannelInput, ContactInput, DeliveryInput, ItemInput, MessageInput, SellersInput, SpecInput,
    };
    use serde::Serialize;
    use utoipa::PartialSchema;

    use super::*;

    fn fields(input: &impl Serialize) -> BTreeSet<String> {
        serde_json::to_value(input).unwrap().as_object().unwrap().keys().cloned().collect()
    }

    fn described<T: PartialSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn documented_fields_are_those_read() {
        let mut order = fields(&SpecInput::default());
        order.extend(["order_req_id", "tenant", "session_id"].map(str::to_owned));
        assert_eq!(described::<InitiateSchema>(), order);
        assert_eq!(described::<ItemSchema>(), fields(&ItemInput::default()));
        assert_eq!(described::<DeliverySchema>(), fields(&DeliveryInput::default()));
        assert_eq!(described::<SellersSchema>(), fields(&SellersInput::default()));
        assert_eq!(described::<MessageBodySchema>(), fields(&MessageInput::default()));
        assert_eq!(described::<ContactSchema>(), fields(&ContactInput::default()));
        assert_eq!(described::<ChannelSchema>(), fields(&ChannelInput::default()));
    }

    /// A field that is documented is read, and any other one is refused.
    #[test]
    fn documented_groups_take_no_other_field() {
        for schema in [
            InitiateSchema::schema(),
            ItemSchema::schema(),
            DeliverySchema::schema(),
            SellersSchema::schema(),
            MessageBodySchema::schema(),
            ContactSchema::schema(),
            ChannelSchema::schema(),
        ] {
            let schema = serde_json::to_value(schema).unwrap();
            assert_eq!(schema["additionalProperties"], false, "{schema}");
        }
    }
}
