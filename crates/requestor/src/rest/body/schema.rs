//! What the document says of an order as it comes. The order itself is read by the core, which knows
//! no document; a test holds the two together.
#![allow(dead_code, reason = "these types describe what `SpecInput` and `MessageInput` read")]

use serde::Deserialize;
use utoipa::ToSchema;

use super::super::examples;

/// An order: the original's three fields, and beside them what is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!(examples::initiate()))]
pub(in crate::rest) struct InitiateSchema {
    /// The buyer's number, 1 to 128 of letters, digits and `-_.:`.
    order_req_id: String,
    /// Whose; `default` when left out.
    #[schema(required = false)]
    tenant: String,
    /// The buyer's session, kept as it comes; `session` means the same.
    session_id: Option<String>,
    /// The same as `session_id`.
    session: Option<String>,
    /// `GChat`, `Email` (the default), `SMS` or `Webhook`, in any case.
    #[schema(example = "Email")]
    notification_type: Option<String>,
    /// One line for people.
    title: Option<String>,
    /// What is wanted, at most 100.
    #[schema(required = false)]
    items: Vec<ItemSchema>,
    /// Which sellers are fit; all when left out.
    category: Option<String>,
    /// Where and when.
    delivery: Option<DeliverySchema>,
    /// Which sellers, how far, how many.
    sellers: Option<SellersSchema>,
    /// The text that goes to the sellers.
    message: Option<MessageBodySchema>,
    /// Life from the opening, milliseconds; 1 800 000 when left out.
    #[schema(minimum = 10_000, maximum = 604_800_000)]
    expires_in_ms: Option<u64>,
    /// Whether prices and who proposed stay hidden until the deadline.
    #[schema(required = false)]
    sealed: bool,
    /// Where the buyer is told.
    buyer: Option<ContactSchema>,
}

/// One wanted thing.
#[derive(Debug, Deserialize, ToSchema)]
struct ItemSchema {
    /// The buyer's number of the thing.
    sku: String,
    /// For people.
    description: Option<String>,
    /// A decimal above 0.
    #[schema(example = "12")]
    quantity: String,
    /// Of what.
    unit: Option<String>,
}

/// Where and when.
#[derive(Debug, Deserialize, ToSchema)]
struct DeliverySchema {
    /// Degrees.
    #[schema(minimum = -90.0, maximum = 90.0)]
    latitude: Option<f64>,
    /// Degrees.
    #[schema(minimum = -180.0, maximum = 180.0)]
    longitude: Option<f64>,
    /// In words.
    address: Option<String>,
    /// `2026-12-15` or `2026-12-15T12:00:00Z`.
    by: Option<String>,
}

/// Which sellers.
#[derive(Debug, Deserialize, ToSchema)]
struct SellersSchema {
    /// At most so many; 10 when left out.
    #[schema(minimum = 1, maximum = 100)]
    max_count: Option<u32>,
    /// Not farther than this from the place of delivery.
    max_distance_km: Option<f64>,
    /// Only these, at most 100, when any are named.
    #[schema(required = false)]
    names: Vec<String>,
    /// None of these, at most 100.
    #[schema(required = false)]
    excluded: Vec<String>,
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

/// A text with its type.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::rest) struct MessageBodySchema {
    /// `text` (the default), `html` or `markdown`, in any case.
    #[schema(example = "text")]
    r#type: Option<String>,
    /// The text, at most 4096 characters.
    message: String,
    /// Links, at most 20.
    #[schema(required = false)]
    urls: Vec<String>,
}

/// Where somebody is told.
#[derive(Debug, Deserialize, ToSchema)]
struct ContactSchema {
    /// Ways to reach them, at most 16, the preferred one first.
    #[schema(required = false)]
    channels: Vec<ChannelSchema>,
    /// A BCP 47 tag such as `de` or `pt-BR`.
    language: Option<String>,
}

/// One way to reach somebody.
#[derive(Debug, Deserialize, ToSchema)]
struct ChannelSchema {
    /// `GChat`, `Email`, `SMS` or `Webhook`, in any case.
    #[schema(example = "Email")]
    r#type: String,
    /// A mail address, a telephone number (E.164) or a URL.
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
    fn the_document_describes_every_field_that_is_read_and_no_other() {
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
}
