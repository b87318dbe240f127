//! Tests of the notifications that each recipient receives.

use super::*;
use crate::command::{Award, ProposalContent};
use crate::event::{Event, EventKind, NotifyResult, OrderOpened, ProposalUpdate};
use crate::id::{FollowUpId, ProposalId};
use crate::order::Order;
use crate::price::{Price, Quantity};
use crate::seal;
use crate::spec::{
    Contact, Delivery, FollowUp, Item, Message, NotificationType, OrderSpec, SellerChoice, Verdict,
};
use serde_json::{Value, json};
use std::sync::Arc;

mod late;
mod participants;

fn seller(name: &str) -> SellerId {
    SellerId::new(name).unwrap()
}

fn contact(channels: &[(NotificationType, &str)], language: &str) -> Contact {
    let channel = |(kind, address): &(NotificationType, &str)| Channel {
        kind: *kind,
        address: (*address).to_owned(),
    };
    Contact {
        channels: channels.iter().map(channel).collect(),
        language: Some(language.to_owned()),
    }
}

/// An order to which events happen, and the notifications that are due for each.
struct Scenario {
    order: Option<Order>,
    sealed: bool,
    sinks: Vec<Channel>,
}

impl Scenario {
    #[allow(clippy::fn_params_excessive_bools, reason = "a case of a test")]
    fn new(sealed: bool) -> Self {
        let sinks = vec![Channel {
            kind: NotificationType::Webhook,
            address: "https://sink.example/".to_owned(),
        }];
        Self { order: None, sealed, sinks }
    }

    fn opened(&self) -> EventKind {
        let buyer = contact(&[(NotificationType::Email, "buyer@example.com")], "de");
        EventKind::OrderOpened(Box::new(OrderOpened {
            key: OrderKey::new("acme", "A-1").unwrap(),
            incarnation: Incarnation::new("life").unwrap(),
            spec: OrderSpec {
                buyer: Some(Box::new(buyer)),
                sealed: self.sealed,
                notification_type: NotificationType::Sms,
                title: Some("Steel".into()),
                ..OrderSpec::default()
            },
            expires_at: Timestamp(100_000),
        }))
    }

    fn selected() -> EventKind {
        let choice = |name: &str, verdict| SellerChoice {
            seller: seller(name),
            verdict,
            distance_m: None,
            display_name: (name == "mailed").then(|| "Mailed & Söhne".into()),
        };
        EventKind::SellersSelected(vec![
            choice("mailed", Verdict::Chosen),
            choice("texted", Verdict::Chosen),
            choice("mute", Verdict::Chosen),
            choice("far", Verdict::TooFar),
        ])
    }

    fn proposed(id: &str, by: &str) -> EventKind {
        EventKind::NewProposal(ProposalContent {
            proposal_id: Some(ProposalId::new(id).unwrap()),
            note: Some("secret note".to_owned()),
            ..ProposalContent::new(seller(by), Price::parse("4711.99", "EUR").unwrap())
        })
    }

    /// Folds the next event, and returns the notifications that are due for it.
    fn next(&mut self, kind: EventKind) -> Vec<Notification> {
        let seq = self.order.as_ref().map_or(Seq(1), |order| order.last_seq.next());
        let at = Timestamp(i64::try_from(seq.0).unwrap());
        let event = Arc::new(Event { seq, at, cause: None, kind });
        Order::fold(&mut self.order, &event).unwrap();
        let order = self.order.as_ref().unwrap();
        let event = if order.is_sealed() { seal::event(&event) } else { event };
        let order = seal::order(order);
        let contacts = |id: &SellerId| match id.as_str() {
            "mailed" => Some(contact(&[(NotificationType::Email, "m@example.com")], "fr")),
            "texted" => Some(contact(
                &[
                    (NotificationType::GChat, "https://chat.example/"),
                    (NotificationType::Sms, "+4917112345678"),
                ],
                "en",
            )),
            "mute" => Some(Contact::default()),
            _ => None,
        };
        let audience = Audience { contact: &contacts, serves: &|_| true, sinks: &self.sinks };
        let due = due(&order, &event, &audience);
        due.iter().map(|due| compose(&order, &event, due, None)).collect()
    }
}

/// Returns a line for each notification: recipient, channel, topic and template.
fn summaries(notifications: &[Notification]) -> Vec<String> {
    let line = |notification: &Notification| {
        let name = match &notification.recipient {
            Recipient::Buyer => "buyer",
            Recipient::Seller(seller) => seller.as_str(),
            Recipient::Sink => "sink",
        };
        let (kind, topic) = (notification.channel.kind.as_str(), notification.topic.as_str());
        format!("{name} {kind} {topic} {}", notification.template.as_str())
    };
    notifications.iter().map(line).collect()
}

#[test]
fn order_channel_precedes_own_first_channel() {
    let mut scenario = Scenario::new(false);
    let opened = scenario.opened();
    assert_eq!(
        summaries(&scenario.next(opened)),
        [
            "buyer Email BUYER_ACKNOWLEDGEMENTS acknowledgement",
            "sink Webhook BUYER_ACKNOWLEDGEMENTS acknowledgement",
        ]
    );
    let invitations = scenario.next(Scenario::selected());
    assert_eq!(
        summaries(&invitations),
        [
            "mailed Email SELLER_NOTIFY invitation",
            "texted SMS SELLER_NOTIFY invitation",
            "sink Webhook SELLER_NOTIFY invitation",
        ]
    );
    assert_eq!(invitations[0].language.as_deref(), Some("fr"));
    assert_eq!(invitations[0].data["order"]["title"], "Steel");
}

#[test]
fn proposals_notify_buyer_and_send_receipts() {
    let mut scenario = Scenario::new(false);
    let opened = scenario.opened();
    scenario.next(opened);
    scenario.next(Scenario::selected());
    let notifications = scenario.next(Scenario::proposed("p1", "mailed"));
    assert_eq!(
        summaries(&notifications),
        [
            "buyer Email BUYER_NOTIFY proposal",
            "mailed Email SELLER_ACKNOWLEDGEMENTS receipt",
            "sink Webhook BUYER_NOTIFY proposal",
            "sink Webhook SELLER_ACKNOWLEDGEMENTS receipt",
        ]
    );
    assert_eq!(notifications[0].data["event"]["price"], "4711.99");
    let decline = ProposalUpdate::Declined { seller: seller("texted"), reason: None };
    assert_eq!(
        summaries(&scenario.next(EventKind::ProposalUpdate(decline))),
        ["buyer Email BUYER_NOTIFY decline", "sink Webhook BUYER_NOTIFY decline"]
    );
    let follow_up = |audience: &[&str]| {
        EventKind::FollowUpAdded(FollowUp {
            id: FollowUpId::new("q").unwrap(),
            audience: audience.iter().map(|name| seller(name)).collect(),
            message: Message { message: "when?".to_owned(), ..Message::default() },
            answers: None,
        })
    };
    // A seller that declined is not notified, unless the buyer names it.
    assert_eq!(
        summaries(&scenario.next(follow_up(&[]))),
        ["mailed Email SELLER_NOTIFY follow-up", "sink Webhook SELLER_NOTIFY follow-up"]
    );
    assert_eq!(
        summaries(&scenario.next(follow_up(&["texted"])))[0],
        "texted SMS SELLER_NOTIFY follow-up"
    );
}

/// Where nobody is invited, anybody may ask, and receives the answer.
#[test]
fn sellers_that_only_asked_are_notified() {
    let mut scenario = Scenario::new(false);
    let opened = scenario.opened();
    scenario.next(opened);
    scenario.next(EventKind::SellersSelected(Vec::new()));
    let question_id = FollowUpId::new("q").unwrap();
    let asked = ProposalUpdate::Asked {
        seller: seller("mailed"),
        question_id: question_id.clone(),
        message: "how long?".to_owned(),
    };
    scenario.next(EventKind::ProposalUpdate(asked));
    let answer = EventKind::FollowUpAdded(FollowUp {
        id: FollowUpId::new("f").unwrap(),
        audience: Vec::new(),
        message: Message { message: "a week".to_owned(), ..Message::default() },
        answers: Some(question_id),
    });
    assert_eq!(
        summaries(&scenario.next(answer)),
        ["mailed Email SELLER_NOTIFY follow-up", "sink Webhook SELLER_NOTIFY follow-up"]
    );
    let end = EventKind::OrderClosed { reason: None };
    assert_eq!(summaries(&scenario.next(end))[1], "mailed Email SELLER_NOTIFY end");
}

/// Each recipient learns its own part only: a loser does not learn who won.
#[test]
fn award_notifies_winner_losers_and_others() {
    let mut scenario = Scenario::new(false);
    let opened = scenario.opened();
    scenario.next(opened);
    scenario.next(Scenario::selected());
    scenario.next(Scenario::proposed("p1", "mailed"));
    scenario.next(Scenario::proposed("p2", "texted"));
    let closed = EventKind::ProposalClosed {
        proposal_id: ProposalId::new("p2").unwrap(),
        reason: "not awarded".to_owned(),
    };
    assert_eq!(summaries(&scenario.next(closed)), [""; 0]);
    let award = Some(Award::Whole(ProposalId::new("p1").unwrap()));
    let notifications = scenario.next(EventKind::OrderFinalised { award, reason: None });
    assert_eq!(
        summaries(&notifications),
        [
            "buyer Email BUYER_NOTIFY end",
            "mailed Email SELLER_NOTIFY awarded",
            "texted SMS SELLER_NOTIFY not-awarded",
            "sink Webhook BUYER_NOTIFY end",
            "sink Webhook SELLER_NOTIFY awarded",
        ]
    );
    assert_eq!(notifications[1].data["event"]["award"]["proposal_id"], "p1");
    // A loser does not learn who won.
    assert!(notifications[2].data["event"]["award"].is_null(), "{:?}", notifications[2].data);
}

#[test]
fn notifications_hide_sealed_content_before_opening() {
    let mut scenario = Scenario::new(true);
    let opened = scenario.opened();
    let mut notifications = scenario.next(opened);
    notifications.extend(scenario.next(Scenario::selected()));
    notifications.extend(scenario.next(Scenario::proposed("p1", "mailed")));
    let bounced = EventKind::SellerNotified {
        seller: seller("texted"),
        channel: "SMS".to_owned(),
        result: NotifyResult::Bounced,
        reason: Some("no such number".to_owned()),
    };
    notifications.extend(scenario.next(bounced));
    for update in [
        ProposalUpdate::Declined { seller: seller("texted"), reason: Some("why".to_owned()) },
        ProposalUpdate::Asked {
            seller: seller("mailed"),
            question_id: FollowUpId::new("q").unwrap(),
            message: "how long?".to_owned(),
        },
    ] {
        notifications.extend(scenario.next(EventKind::ProposalUpdate(update)));
    }
    assert_eq!(notifications.iter().filter(|sent| sent.template == Template::Proposal).count(), 2);
    for notification in &notifications {
        let data = notification.data.to_string();
        for hidden in ["4711", "mailed", "texted", "secret", "why"] {
            assert!(!data.contains(hidden), "{hidden} in {data}");
        }
    }
    let opening = EventKind::ProposalsOpened { decide_until: Timestamp(200_000) };
    assert_eq!(
        summaries(&scenario.next(opening)),
        ["buyer Email BUYER_NOTIFY opening", "sink Webhook BUYER_NOTIFY opening"]
    );
}

#[test]
fn ids_are_stable_and_name_order() {
    let (mut one, mut other) = (Scenario::new(false), Scenario::new(false));
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..3 {
        let kind = || match step {
            0 => Scenario::new(false).opened(),
            1 => Scenario::selected(),
            _ => Scenario::proposed("p1", "mailed"),
        };
        let (notifications, again) = (one.next(kind()), other.next(kind()));
        assert_eq!(notifications, again);
        for notification in notifications {
            let OrderIncarnation { key, incarnation } = order_of(&notification.id).unwrap();
            assert_eq!((key.to_string().as_str(), incarnation.as_str()), ("acme/A-1", "life"));
            assert!(seen.insert(notification.id.clone()), "{} stands twice", notification.id);
        }
    }
    assert_eq!(order_of("acme~A-1~life~3"), None);
    assert_eq!(order_of(""), None);
}

/// Neither the buyer nor a seller can be reached, and there is no sink.
#[test]
fn orders_without_contacts_have_no_listeners() {
    let mut scenario = Scenario::new(false);
    let opened = scenario.opened();
    scenario.next(opened);
    scenario.next(Scenario::selected());
    let mut order = scenario.order.take().unwrap();
    let nobody = |_: &SellerId| None;
    let somebody =
        |_: &SellerId| Some(contact(&[(NotificationType::Email, "m@example.com")], "fr"));
    let audience = |contact| Audience { contact, serves: &|_| true, sinks: &[] };
    assert!(has_recipients(&order, &audience(&nobody)), "the buyer");
    order.spec.buyer = None;
    assert!(!has_recipients(&order, &audience(&nobody)));
    assert!(has_recipients(&order, &audience(&somebody)), "a seller");
    let unserved = Audience { contact: &somebody, serves: &|_| false, sinks: &[] };
    assert!(!has_recipients(&order, &unserved));
    order.spec.sellers.open_to_all = true;
    assert!(has_recipients(&order, &audience(&nobody)), "a seller that is not invited may come");
    assert!(!has_recipients(&order, &unserved));
}

#[test]
fn invitations_describe_the_whole_request() {
    let mut scenario = Scenario::new(false);
    let EventKind::OrderOpened(mut opened) = scenario.opened() else { panic!("not an opening") };
    opened.spec = OrderSpec {
        items: vec![Item {
            sku: "M8".to_owned(),
            description: Some("bolts".to_owned()),
            quantity: Quantity::parse("12.5").unwrap(),
            unit: None,
            line: None,
        }],
        category: Some("steel".into()),
        delivery: Some(Box::new(Delivery {
            address: Some("Graz".to_owned()),
            by: Some("2026-12-15".to_owned()),
            ..Delivery::default()
        })),
        message: Some(Box::new(Message { message: "When?".to_owned(), ..Message::default() })),
        ..opened.spec.clone()
    };
    scenario.next(EventKind::OrderOpened(opened));
    let invitation = &scenario.next(Scenario::selected())[0].data["order"];
    assert_eq!(
        invitation["items"],
        json!([{"sku": "M8", "description": "bolts", "quantity": "12.5", "unit": null, "line": null}])
    );
    assert_eq!(invitation["category"], "steel");
    assert_eq!(invitation["delivery"], json!({"address": "Graz", "by": "2026-12-15"}));
    assert_eq!(invitation["message"], json!({"type": "text", "message": "When?", "urls": []}));
    assert_eq!(invitation["invited"], 3);
    let proposal = &scenario.next(Scenario::proposed("p1", "mailed"))[0].data["order"];
    assert_eq!(proposal.get("items"), None, "only the first notification is that long");
}

#[test]
fn updates_say_who_changed_what() {
    let EventKind::NewProposal(proposal) = Scenario::proposed("p1", "mailed") else {
        panic!("not a proposal")
    };
    let (question_id, follow_up_id) =
        (FollowUpId::new("q").unwrap(), FollowUpId::new("f").unwrap());
    let (why, message) = (Some("dear".to_owned()), "soon".to_owned());
    for (update, expected) in [
        (
            ProposalUpdate::Amended { proposal, version: 2 },
            json!({"change": "amended", "proposal_id": "p1", "version": 2, "seller": "mailed",
                "seller_name": "mailed"}),
        ),
        (
            ProposalUpdate::Declined { seller: seller("texted"), reason: why.clone() },
            json!({"change": "declined", "seller": "texted", "seller_name": "texted",
                "reason": "dear"}),
        ),
        (
            ProposalUpdate::Answered {
                seller: seller("mailed"),
                follow_up_id,
                message: message.clone(),
            },
            json!({"change": "answered", "seller": "mailed", "follow_up_id": "f",
                "message": "soon"}),
        ),
        (
            ProposalUpdate::Asked { seller: seller("mailed"), question_id, message },
            json!({"change": "asked", "seller": "mailed", "question_id": "q", "message": "soon"}),
        ),
        (
            ProposalUpdate::Withdrawn { proposal_id: ProposalId::new("p1").unwrap(), reason: why },
            json!({"change": "withdrawn", "proposal_id": "p1", "seller": "mailed",
                "reason": "dear"}),
        ),
    ] {
        let mut scenario = Scenario::new(false);
        let opened = scenario.opened();
        scenario.next(opened);
        scenario.next(Scenario::proposed("p1", "mailed"));
        let event = scenario.next(EventKind::ProposalUpdate(update))[0].data["event"].clone();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&event[field], value, "{field} of {event}");
        }
    }
}

/// Returns the data of a proposal's notification, which reports that another one failed, as it is
/// composed without the redaction of its caller.
#[allow(clippy::fn_params_excessive_bools, reason = "a case of a test")]
fn unredacted(sealed: bool, price: Option<Price>) -> Value {
    let mut scenario = Scenario::new(sealed);
    let opened = scenario.opened();
    scenario.next(opened);
    scenario.next(Scenario::selected());
    let EventKind::NewProposal(proposal) = Scenario::proposed("p1", "mailed") else {
        panic!("not a proposal")
    };
    let price = price.unwrap_or_else(|| proposal.price.clone());
    let kind = EventKind::NewProposal(ProposalContent { price, ..proposal });
    let event = Event { seq: Seq(2), at: Timestamp(2), cause: None, kind };
    let order = scenario.order.unwrap();
    let due = DueNotification {
        topic: Topic::BuyerNotify,
        template: Template::Proposal,
        recipient: Recipient::Buyer,
        channel: scenario.sinks[0].clone(),
        language: None,
    };
    let failure = DeliveryFailure {
        id: "n-1".to_owned(),
        template: Template::Invitation,
        channel: NotificationType::Email,
        seller: Some(seller("mailed")),
        reason: "no such user".to_owned(),
    };
    compose(&order, &event, &due, Some(&failure)).data
}

#[test]
fn sealed_orders_and_hidden_prices_name_nobody() {
    let open = unredacted(false, None);
    assert_eq!(
        (&open["event"]["seller"], &open["event"]["price"]),
        (&json!("mailed"), &json!("4711.99"))
    );
    assert_eq!(open["event"]["seller_name"], "Mailed & Söhne");
    assert_eq!(
        open["failed"],
        json!({"notification_id": "n-1", "template": "invitation", "channel": "Email",
            "seller": "mailed", "seller_name": "Mailed & Söhne", "reason": "no such user"})
    );
    let sealed = unredacted(true, None);
    let failed = &sealed["failed"];
    assert_eq!((&failed["seller"], &failed["reason"]), (&Value::Null, &Value::Null));
    for data in [sealed, unredacted(false, Some(Price::hidden()))] {
        let event = &data["event"];
        assert_eq!((&event["seller"], &event["price"]), (&Value::Null, &Value::Null));
        assert_eq!(event["seller_name"], Value::Null);
        assert_eq!(event["proposal_id"], "p1");
    }
}
