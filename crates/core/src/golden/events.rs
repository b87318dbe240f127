//! Events as they are in the processor's journal: each kind without its optional parts, and with
//! all parts.

use super::file;
use super::values::*;
use crate::OrderSpec;
use crate::command::{Actor, Award};
use crate::event::{Cause, Event, EventKind, NotifyResult, OrderOpened, ProposalUpdate};
use crate::id::{OrderKey, Seq, Timestamp};
use crate::spec::{Contact, Delivery, FollowUp, Message, MessageType, SellerLimits};

const FILE: &str = "src/golden/events.jsonl";

/// Returns each kind without its optional parts.
pub(super) fn bare_kinds() -> Vec<EventKind> {
    let opened = OrderOpened {
        key: OrderKey::new("", "1").unwrap(),
        incarnation: incarnation(),
        spec: bare_spec(),
        expires_at: Timestamp(0),
    };
    let (seller, proposal_id) = (seller("s"), proposal_id("p"));
    let mut kinds = vec![
        EventKind::OrderOpened(Box::new(opened)),
        EventKind::SellersSelected(Vec::new()),
        EventKind::SellerNotified {
            seller: seller.clone(),
            channel: "Email".to_owned(),
            result: NotifyResult::Delivered,
            reason: None,
        },
        EventKind::NewProposal(bare_proposed()),
        EventKind::ProposalClosed { proposal_id: proposal_id.clone(), reason: String::new() },
        EventKind::EditLock { proposal_id, holder: seller, until: None },
        EventKind::FollowUpAdded(bare_follow_up()),
        EventKind::OrderPaused { expired: false, reason: None, decide_by: None },
        EventKind::OrderResumed,
        EventKind::OrderExtended { expires_at: Timestamp(0) },
        EventKind::ProposalsOpened { decide_until: Timestamp(0) },
        EventKind::AwardPending { award: None, reason: None, effective_at: Timestamp(0) },
        EventKind::AwardUndone { reason: None },
        EventKind::OrderFinalised { award: None, reason: None },
        EventKind::OrderClosed { reason: None },
        EventKind::OrderCancelled { reason: None },
    ];
    kinds.extend(bare_updates().into_iter().map(EventKind::ProposalUpdate));
    kinds
}

pub(super) fn bare_updates() -> Vec<ProposalUpdate> {
    let (seller, message) = (seller("s"), String::new());
    vec![
        ProposalUpdate::Amended { proposal: bare_proposed(), version: 2 },
        ProposalUpdate::Withdrawn { proposal_id: proposal_id("p"), reason: None },
        ProposalUpdate::Declined { seller: seller.clone(), reason: None },
        ProposalUpdate::Answered {
            seller: seller.clone(),
            follow_up_id: follow_up_id("f"),
            message: message.clone(),
        },
        ProposalUpdate::Asked { seller, question_id: follow_up_id("q"), message },
    ]
}

/// Returns each kind with all parts.
fn full_kinds() -> Vec<EventKind> {
    let opened = OrderOpened {
        key: order_key(),
        incarnation: incarnation(),
        spec: spec(),
        expires_at: LATER,
    };
    let whole = || Some(Award::Whole(proposal_id("p-1")));
    let notified = |channel: &str, result, reason| EventKind::SellerNotified {
        seller: seller("a"),
        channel: channel.to_owned(),
        result,
        reason,
    };
    let (proposal_id, holder) = (proposal_id("p-1"), seller("a"));
    let mut kinds = vec![
        EventKind::OrderOpened(Box::new(opened)),
        EventKind::SellersSelected(choices()),
        notified("SMS", NotifyResult::Bounced, reason()),
        notified("session", NotifyResult::Seen, None),
        EventKind::NewProposal(proposed()),
        EventKind::ProposalClosed { proposal_id: proposal_id.clone(), reason: "out".to_owned() },
        EventKind::EditLock { proposal_id, holder, until: Some(LATER) },
        EventKind::FollowUpAdded(follow_up()),
        EventKind::OrderPaused { expired: true, reason: reason(), decide_by: None },
        EventKind::OrderResumed,
        EventKind::OrderExtended { expires_at: LATER },
        EventKind::ProposalsOpened { decide_until: LATER },
        EventKind::AwardPending { award: whole(), reason: reason(), effective_at: LATER },
        EventKind::AwardPending { award: Some(lines()), reason: None, effective_at: LATER },
        EventKind::AwardUndone { reason: reason() },
        EventKind::OrderFinalised { award: whole(), reason: reason() },
        EventKind::OrderFinalised { award: Some(lines()), reason: None },
        EventKind::OrderClosed { reason: reason() },
        EventKind::OrderCancelled { reason: reason() },
    ];
    kinds.extend(full_updates().into_iter().map(EventKind::ProposalUpdate));
    kinds
}

/// Returns kinds with parts that were added later; their lines follow all others.
fn later_kinds() -> Vec<EventKind> {
    let opened = |spec| {
        let (key, incarnation) = (order_key(), incarnation());
        EventKind::OrderOpened(Box::new(OrderOpened { key, incarnation, spec, expires_at: LATER }))
    };
    vec![
        opened(later_spec()),
        EventKind::OrderPaused { expired: true, reason: reason(), decide_by: Some(LATER) },
        opened(latest_spec()),
        EventKind::NewProposal(later_proposed()),
        EventKind::NewProposal(latest_proposed()),
        opened(open_spec()),
        EventKind::SellersSelected(named_choices()),
        opened(closed_spec()),
    ]
}

fn full_updates() -> Vec<ProposalUpdate> {
    let (seller, message) = (seller("a"), "tomorrow".to_owned());
    vec![
        ProposalUpdate::Amended { proposal: proposed(), version: u32::MAX },
        ProposalUpdate::Withdrawn { proposal_id: proposal_id("p-1"), reason: reason() },
        ProposalUpdate::Declined { seller: seller.clone(), reason: reason() },
        ProposalUpdate::Answered {
            seller: seller.clone(),
            follow_up_id: follow_up_id("f-1"),
            message: message.clone(),
        },
        ProposalUpdate::Asked { seller, question_id: follow_up_id("q-1"), message },
    ]
}

/// Returns the bare kinds without a cause, the full ones with one, and a cause of each actor and of
/// none.
fn events() -> Vec<Event> {
    let actors = [Some(Actor::Buyer), Some(Actor::Seller(seller("a"))), None];
    let cause = |actor| Some(Cause { key: key("session:1._-"), fingerprint: u64::MAX, actor });
    let bare = |kind| Event { seq: Seq(1), at: Timestamp(0), cause: None, kind };
    let full = |kind| Event { seq: Seq(u64::MAX), at: AT, cause: cause(Some(Actor::Buyer)), kind };
    let caused = |actor| Event { cause: cause(actor), ..bare(EventKind::OrderResumed) };
    let mut events: Vec<_> = bare_kinds().into_iter().map(bare).collect();
    events.extend(full_kinds().into_iter().map(full));
    events.extend(actors.map(caused));
    events.extend(later_kinds().into_iter().map(full));
    events
}

#[test]
fn stored_events_never_change() {
    file::check_values(FILE, &events());
}

#[test]
fn every_event_kind_has_lines() {
    file::check_variants(&bare_kinds());
    file::check_variants(&full_kinds());
    file::check_variants(&bare_updates());
    file::check_variants(&full_updates());
    file::check_variants(&[Actor::Buyer, Actor::Seller(seller("a"))]);
    file::check_variants(&[Award::Whole(proposal_id("p-1")), lines()]);
}

/// Records from before these fields existed lack them.
#[test]
fn missing_fields_get_their_defaults() {
    let spec: OrderSpec = serde_json::from_str(r#"{"expires_in_ms":5}"#).unwrap();
    assert_eq!(spec, OrderSpec { expires_in_ms: 5, ..OrderSpec::default() });
    assert_eq!(serde_json::from_str::<Contact>("{}").unwrap(), Contact::default());
    assert_eq!(serde_json::from_str::<Delivery>("{}").unwrap(), Delivery::default());
    let limits: SellerLimits = serde_json::from_str(r#"{"max_count":2}"#).unwrap();
    assert_eq!(limits, SellerLimits { max_count: 2, ..SellerLimits::default() });
    let message = Message { kind: MessageType::Text, message: "m".to_owned(), urls: Vec::new() };
    assert_eq!(serde_json::from_str::<Message>(r#"{"message":"m"}"#).unwrap(), message);
    let stored = r#"{"id":"f","message":{"message":"m"}}"#;
    let follow_up = FollowUp { message, ..bare_follow_up() };
    assert_eq!(serde_json::from_str::<FollowUp>(stored).unwrap(), follow_up);
}
