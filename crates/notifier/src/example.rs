//! An example of every notification, created by the same code as the real ones, for validating
//! templates and for previews.

use orderstream_core::command::{Award, ProposalContent};
use orderstream_core::event::{EventKind, OrderOpened, ProposalUpdate};
use orderstream_core::input::{ProposalInput, ProposalLineInput};
use orderstream_core::notification::{
    DeliveryFailure, DueNotification, Notification, Recipient, Template, Topic, compose,
};
use orderstream_core::price::Quantity;
use orderstream_core::spec::{
    Channel, Delivery, FollowUp, Item, Message, NotificationType, OrderSpec, SellerChoice, Verdict,
};
use orderstream_core::{
    Event, FollowUpId, Incarnation, Order, OrderKey, ProposalId, SellerId, Seq, Timestamp,
};

/// The time of the example order's opening: 2026-03-02T09:00:00Z.
const OPENED_AT: Timestamp = Timestamp(1_772_442_000_000);
/// The time of the notified event: an hour later.
const LATER: Timestamp = Timestamp(1_772_445_600_000);

/// Returns an example of this template's notification, as a recipient could receive it.
///
/// # Panics
/// Never: the example's texts are valid constants.
#[allow(clippy::expect_used, reason = "constants, checked by a test for every template")]
pub fn notification(template: Template, channel: NotificationType, language: &str) -> Notification {
    let order = order().expect("the example is an order");
    let kind = event(template).expect("the example has such an event");
    let event = Event { seq: Seq(7), at: LATER, cause: None, kind };
    let (topic, recipient) = topic_and_recipient(template);
    let channel = Channel { kind: channel, address: address(channel).to_owned() };
    let language = Some(language.to_owned());
    let due = DueNotification { topic, template, recipient, channel, language };
    let failed = matches!(template, Template::SellerNotReached | Template::BuyerNotReached);
    compose(&order, &event, &due, failed.then(failure).as_ref())
}

const fn address(channel: NotificationType) -> &'static str {
    match channel {
        NotificationType::Email => "sales@example.com",
        NotificationType::Sms => "+491711234567",
        NotificationType::GChat => "https://chat.googleapis.com/v1/spaces/example/messages",
        NotificationType::Webhook => "https://seller.example.com/orderstream",
    }
}

fn seller() -> Option<SellerId> {
    SellerId::new("stahl-nord").ok()
}

fn topic_and_recipient(template: Template) -> (Topic, Recipient) {
    let to_seller = seller().map_or(Recipient::Buyer, Recipient::Seller);
    match template {
        Template::Acknowledgement => (Topic::BuyerAcknowledgements, Recipient::Buyer),
        Template::Receipt => (Topic::SellerAcknowledgements, to_seller),
        Template::SellerNotReached => (Topic::RequestFailures, Recipient::Buyer),
        Template::BuyerNotReached => (Topic::ProposalFailures, Recipient::Sink),
        Template::Proposal
        | Template::Amendment
        | Template::Withdrawal
        | Template::Decline
        | Template::Answer
        | Template::Question
        | Template::Opening
        | Template::End => (Topic::BuyerNotify, Recipient::Buyer),
        Template::Invitation
        | Template::FollowUp
        | Template::Extension
        | Template::Pause
        | Template::Resumption
        | Template::Awarded
        | Template::NotAwarded => (Topic::SellerNotify, to_seller),
    }
}

fn failure() -> DeliveryFailure {
    DeliveryFailure {
        id: "default~A-2026-17~example~2~0123456789abcdef".to_owned(),
        template: Template::Invitation,
        channel: NotificationType::Email,
        seller: seller(),
        reason: "the mail server said 550 no such user".to_owned(),
    }
}

fn opened() -> Option<OrderOpened> {
    Some(OrderOpened {
        key: OrderKey::new("default", "A-2026-17").ok()?,
        incarnation: Incarnation::new("example").ok()?,
        spec: OrderSpec {
            title: Some("Steel beams for hall 4".into()),
            category: Some("steel".into()),
            items: vec![Item {
                sku: "HEB-200".to_owned(),
                description: Some("beam, 12 m".to_owned()),
                quantity: Quantity::parse("40").ok()?,
                unit: None,
                line: None,
            }],
            delivery: Some(Box::new(Delivery {
                place: None,
                address: Some("Hafenstraße 1, Hamburg".to_owned()),
                by: Some("2026-04-01T00:00:00Z".to_owned()),
            })),
            message: Some(Box::new(Message {
                message: "Certificate 3.1 is needed.".to_owned(),
                urls: vec!["https://example.com/drawing.pdf".to_owned()],
                ..Message::default()
            })),
            ..OrderSpec::default()
        },
        expires_at: OPENED_AT.plus_ms(86_400_000),
    })
}

/// Returns the order with one seller and its proposal.
fn order() -> Option<Order> {
    let choice = SellerChoice {
        seller: seller()?,
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: Some("Stahl Nord GmbH".into()),
    };
    let kinds = [
        EventKind::OrderOpened(Box::new(opened()?)),
        EventKind::SellersSelected(vec![choice]),
        EventKind::NewProposal(proposed()?),
    ];
    let mut order = None;
    for (kind, seq) in kinds.into_iter().zip(1..) {
        let event = Event { seq: Seq(seq), at: OPENED_AT, cause: None, kind };
        Order::fold(&mut order, &event).ok()?;
    }
    order
}

fn proposed() -> Option<ProposalContent> {
    let input = ProposalInput {
        proposal_id: Some("P-1".to_owned()),
        seller: "stahl-nord".to_owned(),
        price: "18400.00".to_owned(),
        currency: "EUR".to_owned(),
        lines: vec![ProposalLineInput {
            sku: "HEB-200".to_owned(),
            quantity: "40".to_owned(),
            unit: None,
            price: "18400.00".to_owned(),
            ..ProposalLineInput::default()
        }],
        note: Some("From stock.".to_owned()),
        delivery_date: Some("2026-03-20T00:00:00Z".to_owned()),
        valid_until: Some("2026-03-31T00:00:00Z".to_owned()),
        attachments: Vec::new(),
        your_reference: None,
        alternative: None,
    };
    ProposalContent::try_from(input).ok()
}

fn event(template: Template) -> Option<EventKind> {
    let reason = || Some("The budget is set.".to_owned());
    let (id, proposal_id) = (FollowUpId::new("q-1").ok()?, ProposalId::new("P-1").ok()?);
    let message = "Can you deliver in two lots?".to_owned();
    Some(match template {
        Template::Acknowledgement => EventKind::OrderOpened(Box::new(opened()?)),
        Template::Invitation => EventKind::SellersSelected(Vec::new()),
        Template::Proposal | Template::Receipt => EventKind::NewProposal(proposed()?),
        Template::Amendment => {
            EventKind::ProposalUpdate(ProposalUpdate::Amended { proposal: proposed()?, version: 2 })
        }
        Template::Withdrawal => {
            EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, reason: reason() })
        }
        Template::Decline => EventKind::ProposalUpdate(ProposalUpdate::Declined {
            seller: seller()?,
            reason: reason(),
        }),
        Template::Answer => EventKind::ProposalUpdate(ProposalUpdate::Answered {
            seller: seller()?,
            follow_up_id: id,
            message: "Yes, in two weeks each.".to_owned(),
        }),
        Template::Question => EventKind::ProposalUpdate(ProposalUpdate::Asked {
            seller: seller()?,
            question_id: id,
            message,
        }),
        Template::FollowUp | Template::SellerNotReached => EventKind::FollowUpAdded(FollowUp {
            id,
            audience: Vec::new(),
            message: Message { message, ..Message::default() },
            answers: None,
        }),
        Template::Extension => {
            EventKind::OrderExtended { expires_at: OPENED_AT.plus_ms(2 * 86_400_000) }
        }
        Template::Pause => {
            EventKind::OrderPaused { expired: false, reason: reason(), decide_by: None }
        }
        Template::Resumption => EventKind::OrderResumed,
        Template::Opening => {
            EventKind::ProposalsOpened { decide_until: OPENED_AT.plus_ms(30 * 86_400_000) }
        }
        Template::Awarded | Template::NotAwarded | Template::End => {
            EventKind::OrderFinalised { award: Some(Award::Whole(proposal_id)), reason: reason() }
        }
        Template::BuyerNotReached => EventKind::NewProposal(proposed()?),
    })
}
