//! Conversions of orders and proposals.

use orderstream_core::command::{ProposalContent, ProposalLine};
use orderstream_core::input::{
    ChannelInput, ContactInput, DeliveryInput, ItemInput, MessageInput, ProposalInput,
    ProposalLineInput, SellersInput, SpecInput,
};
use orderstream_core::spec::{
    Channel, Contact, Coordinates, Delivery, Item, Message, SellerLimits,
};
use orderstream_core::{OrderSpec, Refusal};

use super::non_empty;
use crate::v1;

/// Converts a wire order to core's lenient form.
pub fn spec_input_from_wire(spec: v1::OrderSpec) -> SpecInput {
    SpecInput {
        title: non_empty(spec.title),
        notification_type: non_empty(spec.notification_type),
        session: non_empty(spec.session),
        items: spec.items.into_iter().map(item_input).collect(),
        category: non_empty(spec.category),
        delivery: spec.delivery.map(|delivery| DeliveryInput {
            latitude: delivery.latitude,
            longitude: delivery.longitude,
            address: non_empty(delivery.address),
            by: non_empty(delivery.by),
        }),
        sellers: spec.sellers.map(|sellers| SellersInput {
            max_count: Some(sellers.max_count).filter(|count| *count != 0),
            max_distance_km: Some(sellers.max_distance_km).filter(|km| *km != 0.0),
            names: sellers.names,
            excluded: sellers.excluded,
            open_to_all: sellers.open_to_all,
            late: sellers.late,
        }),
        message: spec.message.map(message_input),
        expires_in_ms: Some(spec.expires_in_ms).filter(|ms| *ms != 0),
        decide_within_ms: spec.decide_within_ms,
        sealed: spec.sealed,
        buyer: spec.buyer.map(|buyer| ContactInput {
            channels: buyer.channels.into_iter().map(channel_input).collect(),
            language: non_empty(buyer.language),
        }),
        currency: non_empty(spec.currency),
        time_zone: non_empty(spec.time_zone),
    }
}

fn channel_input(channel: v1::Channel) -> ChannelInput {
    ChannelInput { kind: channel.r#type, address: channel.address }
}

fn item_input(item: v1::OrderItem) -> ItemInput {
    ItemInput {
        sku: item.sku,
        description: non_empty(item.description),
        quantity: item.quantity,
        unit: non_empty(item.unit),
        line: non_empty(item.line),
    }
}

pub(super) fn message_input(message: v1::Message) -> MessageInput {
    MessageInput { kind: non_empty(message.r#type), message: message.message, urls: message.urls }
}

/// Converts a wire order, and validates it.
///
/// # Errors
/// When a field is wrong; the refusal names it.
pub fn spec_from_wire(spec: v1::OrderSpec) -> Result<OrderSpec, Refusal> {
    OrderSpec::try_from(spec_input_from_wire(spec))
}

/// Converts an order's content to the wire.
pub fn spec_to_wire(spec: &OrderSpec) -> v1::OrderSpec {
    let line = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    v1::OrderSpec {
        title: line(&spec.title),
        items: spec.items.iter().map(item_to_wire).collect(),
        category: line(&spec.category),
        delivery: spec.delivery.as_deref().map(delivery_to_wire),
        sellers: Some(sellers_to_wire(&spec.sellers)),
        message: spec.message.as_deref().map(message_to_wire),
        expires_in_ms: spec.expires_in_ms,
        decide_within_ms: spec.decide_within_ms,
        sealed: spec.sealed,
        notification_type: spec.notification_type.as_str().to_owned(),
        session: line(&spec.session),
        buyer: spec.buyer.as_deref().map(contact_to_wire),
        currency: spec.currency.map(|code| code.as_str().to_owned()).unwrap_or_default(),
        time_zone: line(&spec.time_zone),
    }
}

fn contact_to_wire(contact: &Contact) -> v1::Contact {
    let channel = |channel: &Channel| v1::Channel {
        r#type: channel.kind.as_str().to_owned(),
        address: channel.address.clone(),
    };
    v1::Contact {
        channels: contact.channels.iter().map(channel).collect(),
        language: contact.language.clone().unwrap_or_default(),
    }
}

fn item_to_wire(item: &Item) -> v1::OrderItem {
    v1::OrderItem {
        sku: item.sku.clone(),
        description: item.description.clone().unwrap_or_default(),
        quantity: item.quantity.value().to_string(),
        unit: item.unit.clone().unwrap_or_default(),
        line: item.line.clone().unwrap_or_default(),
    }
}

fn delivery_to_wire(delivery: &Delivery) -> v1::Delivery {
    let degrees = |udeg: i32| f64::from(udeg) / 1e6;
    v1::Delivery {
        latitude: delivery.place.map(|Coordinates { latitude_udeg, .. }| degrees(latitude_udeg)),
        longitude: delivery.place.map(|Coordinates { longitude_udeg, .. }| degrees(longitude_udeg)),
        address: delivery.address.clone().unwrap_or_default(),
        by: delivery.by.clone().unwrap_or_default(),
    }
}

fn sellers_to_wire(sellers: &SellerLimits) -> v1::SellerLimits {
    v1::SellerLimits {
        max_count: sellers.max_count,
        max_distance_km: sellers.max_distance_m.map_or(0.0, |metres| f64::from(metres) / 1e3),
        names: sellers.names.iter().map(ToString::to_string).collect(),
        excluded: sellers.excluded.iter().map(ToString::to_string).collect(),
        open_to_all: sellers.open_to_all,
        late: Some(sellers.late).filter(|late| !late),
    }
}

/// Converts a text to the wire.
pub fn message_to_wire(message: &Message) -> v1::Message {
    v1::Message {
        r#type: message.kind.as_str().to_owned(),
        message: message.message.clone(),
        urls: message.urls.clone(),
    }
}

/// Converts a seller's proposal, and validates it.
///
/// # Errors
/// When a field is wrong; the refusal names it.
pub fn proposal_from_wire(proposal: v1::Proposal) -> Result<ProposalContent, Refusal> {
    ProposalContent::try_from(ProposalInput {
        proposal_id: non_empty(proposal.proposal_id),
        seller: proposal.seller,
        price: proposal.price,
        currency: proposal.currency,
        lines: proposal
            .lines
            .into_iter()
            .map(|line| ProposalLineInput {
                sku: line.sku,
                quantity: line.quantity,
                unit: non_empty(line.unit),
                price: line.price,
                line: non_empty(line.line),
                substitutes: non_empty(line.substitutes),
            })
            .collect(),
        note: non_empty(proposal.note),
        delivery_date: non_empty(proposal.delivery_date),
        valid_until: non_empty(proposal.valid_until),
        attachments: proposal.attachments,
        your_reference: non_empty(proposal.your_reference),
        alternative: non_empty(proposal.alternative),
    })
}

/// Converts a proposal and its version to the wire.
pub fn proposal_to_wire(proposal: &ProposalContent, version: u32) -> v1::Proposal {
    v1::Proposal {
        proposal_id: proposal.proposal_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        seller: proposal.seller.to_string(),
        price: proposal.price.amount().to_string(),
        currency: proposal.price.currency().as_str().to_owned(),
        version,
        note: proposal.note.clone().unwrap_or_default(),
        delivery_date: proposal.delivery_date.clone().unwrap_or_default(),
        lines: proposal.lines.iter().map(line_to_wire).collect(),
        valid_until: proposal.valid_until.clone().unwrap_or_default(),
        attachments: proposal.attachments.clone(),
        your_reference: proposal.your_reference.clone().unwrap_or_default(),
        alternative: proposal.alternative.as_deref().unwrap_or_default().to_owned(),
    }
}

fn line_to_wire(line: &ProposalLine) -> v1::ProposalLine {
    v1::ProposalLine {
        sku: line.sku.clone(),
        quantity: line.quantity.value().to_string(),
        unit: line.unit.clone().unwrap_or_default(),
        price: line.price.amount().to_string(),
        line: line.line.clone().unwrap_or_default(),
        substitutes: line.substitutes.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::price::Quantity;

    use super::*;

    #[test]
    fn lines_and_references_cross_the_wire() {
        let item = Item {
            sku: "desk".to_owned(),
            description: None,
            quantity: Quantity::parse("1").unwrap(),
            unit: None,
            line: Some("10".to_owned()),
        };
        let spec = OrderSpec {
            items: vec![item],
            sellers: SellerLimits { open_to_all: true, late: false, ..SellerLimits::default() },
            time_zone: Some("Europe/Berlin".into()),
            ..OrderSpec::default()
        };
        assert_eq!(spec_from_wire(spec_to_wire(&spec)), Ok(spec));
        let line = v1::ProposalLine {
            sku: "table".to_owned(),
            quantity: "1".to_owned(),
            price: "70.5".to_owned(),
            line: "10".to_owned(),
            substitutes: "desk".to_owned(),
            ..v1::ProposalLine::default()
        };
        let wire = v1::Proposal {
            seller: "acme".to_owned(),
            price: "70.5".to_owned(),
            currency: "EUR".to_owned(),
            version: 1,
            lines: vec![line],
            your_reference: "A-2026/7".to_owned(),
            alternative: "from stock".to_owned(),
            ..v1::Proposal::default()
        };
        let read = proposal_from_wire(wire.clone()).unwrap();
        assert_eq!(read.lines[0].substitutes.as_deref(), Some("desk"));
        assert_eq!(proposal_to_wire(&read, 1), wire);
    }

    #[test]
    fn late_sellers_are_invited_unless_refused() {
        for (late, is_invited) in [(None, true), (Some(true), true), (Some(false), false)] {
            let sellers = Some(v1::SellerLimits { late, ..v1::SellerLimits::default() });
            let wire = v1::OrderSpec { sellers, ..v1::OrderSpec::default() };
            assert_eq!(spec_from_wire(wire).unwrap().sellers.late, is_invited, "{late:?}");
        }
        let sent = spec_to_wire(&OrderSpec::default()).sellers.unwrap();
        assert_eq!(sent.late, None, "as earlier versions send it");
    }

    fn of(change: impl FnOnce(&mut v1::Proposal)) -> Result<ProposalContent, Refusal> {
        let mut proposal = v1::Proposal {
            seller: "acme".to_owned(),
            price: "70.5".to_owned(),
            currency: "EUR".to_owned(),
            ..v1::Proposal::default()
        };
        change(&mut proposal);
        proposal_from_wire(proposal)
    }

    /// Events that were stored before a rule was made are streamed as they are.
    #[test]
    fn rules_for_new_proposals_bind_no_stored_ones() {
        for (amount, currency) in [("70.5", "EUX"), ("70.5", "JPY"), ("6999.999", "EUR")] {
            let read = of(|proposal| {
                (proposal.price, proposal.currency) = (amount.to_owned(), currency.to_owned());
            });
            let read = read.unwrap();
            assert_eq!(read.price.to_string(), format!("{amount} {currency}"));
            assert_eq!(proposal_from_wire(proposal_to_wire(&read, 1)), Ok(read));
        }
    }
}
