//! The values behind the golden lines. The full ones name every field, so that a new one is not
//! missed.

use crate::command::{Award, ProposalContent, ProposalLine};
use crate::id::{
    FollowUpId, IdempotencyKey, Incarnation, OrderKey, ProposalId, SellerId, Timestamp,
};
use crate::price::{Currency, Price, Quantity};
use crate::spec::{
    Channel, Contact, Coordinates, Delivery, FollowUp, Item, Message, MessageType,
    NotificationType, OrderSpec, SellerChoice, SellerLimits, Verdict,
};

/// The time of every event.
pub(super) const AT: Timestamp = Timestamp(1_800_000_000_123);
/// A later time.
pub(super) const LATER: Timestamp = Timestamp(1_800_000_060_000);

pub(super) fn order_key() -> OrderKey {
    OrderKey::new("acme", "SB1029436").unwrap()
}

pub(super) fn incarnation() -> Incarnation {
    Incarnation::new("6f1f9a3b-7c59-4c0e-9d5e-2f6a1c7b8d90").unwrap()
}

pub(super) fn seller(name: &str) -> SellerId {
    SellerId::new(name).unwrap()
}

pub(super) fn proposal_id(id: &str) -> ProposalId {
    ProposalId::new(id).unwrap()
}

pub(super) fn follow_up_id(id: &str) -> FollowUpId {
    FollowUpId::new(id).unwrap()
}

pub(super) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

pub(super) fn price(amount: &str) -> Price {
    Price::parse(amount, "EUR").unwrap()
}

/// Returns a reason with characters that JSON escapes.
pub(super) fn reason() -> Option<String> {
    Some("too \"dear\" \\ tăng\n\u{1}</b>".to_owned())
}

/// Returns an award of lines to two proposals.
pub(super) fn lines() -> Award {
    let line = |sku: &str, id: &str| (sku.to_owned(), proposal_id(id));
    Award::Lines(vec![line("bolt", "p-1"), line("nut", "p-2")])
}

/// Returns a proposal without its optional parts.
pub(super) fn bare_proposed() -> ProposalContent {
    ProposalContent {
        proposal_id: None,
        seller: seller("s"),
        price: price("10"),
        lines: Vec::new(),
        note: None,
        delivery_date: None,
        valid_until: None,
        attachments: Vec::new(),
        your_reference: None,
        alternative: None,
    }
}

/// Returns a proposal with the parts that were added later.
pub(super) fn later_proposed() -> ProposalContent {
    let line = ProposalLine {
        sku: "table".to_owned(),
        quantity: Quantity::parse("12").unwrap(),
        unit: None,
        price: price("10"),
        line: Some("10".to_owned()),
        substitutes: Some("desk".to_owned()),
    };
    let your_reference = Some("A-2026/7".to_owned());
    ProposalContent { lines: vec![line], your_reference, ..bare_proposed() }
}

/// Returns a proposal with the part that was added after those of [`later_proposed`].
pub(super) fn latest_proposed() -> ProposalContent {
    ProposalContent { alternative: Some("from \"stock\"".into()), ..bare_proposed() }
}

/// Returns a proposal with all parts, except those of [`later_proposed`] and [`latest_proposed`].
pub(super) fn proposed() -> ProposalContent {
    let line = |unit: Option<&str>| ProposalLine {
        sku: "bolt".to_owned(),
        quantity: Quantity::parse("0.500").unwrap(),
        unit: unit.map(str::to_owned),
        price: price("1249.50"),
        line: None,
        substitutes: None,
    };
    ProposalContent {
        proposal_id: Some(proposal_id("p-1")),
        seller: seller("bolts-and-more"),
        price: price("1249.50"),
        lines: vec![line(None), line(Some("kg"))],
        note: reason(),
        delivery_date: Some("2026-12-01".to_owned()),
        valid_until: Some("2026-11-30T12:00:00+02:00".to_owned()),
        attachments: vec!["https://example.com/a.pdf".to_owned()],
        your_reference: None,
        alternative: None,
    }
}

/// Returns a follow-up without its optional parts.
pub(super) fn bare_follow_up() -> FollowUp {
    FollowUp {
        id: follow_up_id("f"),
        audience: Vec::new(),
        message: Message { kind: MessageType::Text, message: String::new(), urls: Vec::new() },
        answers: None,
    }
}

/// Returns a follow-up with all parts.
pub(super) fn follow_up() -> FollowUp {
    FollowUp {
        id: follow_up_id("f-1"),
        audience: vec![seller("a"), seller("b")],
        message: message(MessageType::Markdown),
        answers: Some(follow_up_id("q-1")),
    }
}

fn message(kind: MessageType) -> Message {
    let urls = vec!["https://example.com/1".to_owned(), "https://example.com/2".to_owned()];
    Message { kind, message: "*how* soon?".to_owned(), urls }
}

/// Returns a seller that was chosen and one that was not, with a distance and without.
pub(super) fn choices() -> Vec<SellerChoice> {
    let choice = |name: &str, verdict, distance_m| SellerChoice {
        seller: seller(name),
        verdict,
        distance_m,
        display_name: None,
    };
    vec![choice("a", Verdict::Chosen, Some(12_000)), choice("b", Verdict::NotNamed, None)]
}

/// Returns an invited seller with the part that was added after those of [`choices`].
pub(super) fn named_choices() -> Vec<SellerChoice> {
    let display_name = Some("Möbel \"Müller\"".into());
    vec![SellerChoice {
        seller: seller("moebel-mueller"),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name,
    }]
}

/// Returns an order's content without its optional parts.
pub(super) fn bare_spec() -> OrderSpec {
    OrderSpec {
        title: None,
        notification_type: NotificationType::Email,
        session: None,
        items: Vec::new(),
        category: None,
        delivery: None,
        sellers: bare_sellers(),
        message: None,
        expires_in_ms: 1_800_000,
        decide_within_ms: None,
        sealed: false,
        buyer: None,
        currency: None,
        time_zone: None,
    }
}

fn bare_sellers() -> SellerLimits {
    SellerLimits {
        max_count: 10,
        max_distance_m: None,
        names: Vec::new(),
        excluded: Vec::new(),
        open_to_all: false,
        late: true,
    }
}

/// Returns an order's content with the parts that were added later.
pub(super) fn later_spec() -> OrderSpec {
    OrderSpec { decide_within_ms: Some(86_400_000), ..bare_spec() }
}

/// Returns an order's content with the parts that were added after those of [`later_spec`].
pub(super) fn latest_spec() -> OrderSpec {
    let item = Item {
        sku: "desk".to_owned(),
        description: None,
        quantity: Quantity::parse("12").unwrap(),
        unit: None,
        line: Some("10".to_owned()),
    };
    OrderSpec {
        items: vec![item],
        currency: Currency::new("EUR").ok(),
        time_zone: Some("Europe/Berlin".into()),
        ..bare_spec()
    }
}

/// Returns an order's content with the part that was added after those of [`latest_spec`].
pub(super) fn open_spec() -> OrderSpec {
    OrderSpec { sellers: SellerLimits { open_to_all: true, ..bare_sellers() }, ..bare_spec() }
}

/// Returns an order's content with the part that was added after that of [`open_spec`].
pub(super) fn closed_spec() -> OrderSpec {
    OrderSpec { sellers: SellerLimits { late: false, ..bare_sellers() }, ..bare_spec() }
}

/// Returns an order's content with all parts, except those of [`later_spec`], [`latest_spec`],
/// [`open_spec`] and [`closed_spec`].
pub(super) fn spec() -> OrderSpec {
    OrderSpec {
        title: Some("M8 bolts".into()),
        notification_type: NotificationType::Sms,
        session: Some("sess_123".into()),
        items: items(),
        category: Some("fasteners".into()),
        delivery: Some(Box::new(delivery())),
        sellers: SellerLimits {
            max_count: 3,
            max_distance_m: Some(25_000),
            names: vec![seller("a"), seller("b")],
            excluded: vec![seller("c")],
            open_to_all: false,
            late: true,
        },
        message: Some(Box::new(message(MessageType::Html))),
        expires_in_ms: 60_000,
        decide_within_ms: None,
        sealed: true,
        buyer: Some(Box::new(contact())),
        currency: None,
        time_zone: None,
    }
}

fn items() -> Vec<Item> {
    let item = |description: Option<&str>, unit: Option<&str>| Item {
        sku: "bolt".to_owned(),
        description: description.map(str::to_owned),
        quantity: Quantity::parse("12").unwrap(),
        unit: unit.map(str::to_owned),
        line: None,
    };
    vec![item(None, None), item(Some("M8"), Some("kg"))]
}

fn delivery() -> Delivery {
    Delivery {
        place: Some(Coordinates { latitude_udeg: 52_520_008, longitude_udeg: -13_404_954 }),
        address: Some("Hauptstraße 1".to_owned()),
        by: Some("2026-12-01T08:00:00Z".to_owned()),
    }
}

/// Every way to reach somebody.
fn contact() -> Contact {
    let channel = |(kind, address): (NotificationType, &str)| {
        let address = address.to_owned();
        Channel { kind, address }
    };
    let channels = [
        (NotificationType::GChat, "https://chat.example.com/1"),
        (NotificationType::Email, "buyer@example.com"),
        (NotificationType::Sms, "+4930123456"),
        (NotificationType::Webhook, "https://example.com/hook"),
    ];
    Contact { channels: channels.map(channel).into(), language: Some("pt-BR".to_owned()) }
}
