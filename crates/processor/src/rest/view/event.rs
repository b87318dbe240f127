//! The content of events as documents, in the shapes of people. The buyer's contact and session,
//! and the sellers that it names or excludes, are left out, as no seller needs them. They are no
//! secret: the stored form beside the content, and the event over gRPC, have them.

use orderstream_core::command::{Award, ProposalContent};
use orderstream_core::date::rfc3339;
use orderstream_core::event::{EventKind, OrderOpened, ProposalUpdate};
use orderstream_core::{ProposalId, Timestamp};
use orderstream_rest_types::event::{
    EventContentView as Content, OpenedContentView, ProposalEventView, SealedProposalView,
    UpdateContentView, WinnersView, WonLineView,
};

use super::proposal::content_view;
use super::{considered_seller, delivery, item, message};

/// Converts an event's content.
pub(in crate::rest) fn event_content(kind: &EventKind) -> Content {
    match kind {
        EventKind::OrderOpened(opened) => Content::OrderOpened(Box::new(opened_content(opened))),
        EventKind::SellersSelected(choices) => {
            Content::SellersSelected { sellers: choices.iter().map(considered_seller).collect() }
        }
        EventKind::SellerNotified { seller, channel, result, reason } => Content::SellerNotified {
            seller: seller.to_string(),
            channel: channel.clone(),
            result: result.as_str().to_owned(),
            reason: reason.clone(),
        },
        EventKind::NewProposal(proposed) => proposal_content(None, proposed, 1),
        EventKind::ProposalUpdate(update) => update_content(update),
        EventKind::ProposalClosed { proposal_id, reason } => {
            let (proposal_id, reason) = (proposal_id.to_string(), reason.clone());
            Content::ProposalClosed { proposal_id, reason }
        }
        EventKind::EditLock { proposal_id, holder, until } => Content::EditLock {
            proposal_id: proposal_id.to_string(),
            seller: holder.to_string(),
            locked: until.is_some(),
            expires_at: until.map(rfc3339),
        },
        EventKind::FollowUpAdded(follow_up) => Content::FollowUpAdded {
            follow_up_id: follow_up.id.to_string(),
            audience: follow_up.audience.iter().map(ToString::to_string).collect(),
            message: message(&follow_up.message),
            answers: follow_up.answers.as_ref().map(ToString::to_string),
        },
        EventKind::OrderPaused { .. }
        | EventKind::OrderResumed
        | EventKind::OrderExtended { .. }
        | EventKind::ProposalsOpened { .. }
        | EventKind::AwardPending { .. }
        | EventKind::AwardUndone { .. }
        | EventKind::OrderFinalised { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => phase_content(kind),
    }
}

/// Converts the content of an event that the buyer or the clock caused.
fn phase_content(kind: &EventKind) -> Content {
    let time = |at: &Timestamp| rfc3339(*at);
    match kind {
        EventKind::OrderPaused { expired, reason, decide_by } => Content::OrderPaused {
            expired: *expired,
            reason: reason.clone(),
            decide_by: decide_by.as_ref().map(time),
        },
        EventKind::OrderExtended { expires_at } => {
            Content::OrderExtended { expires_at: time(expires_at) }
        }
        EventKind::ProposalsOpened { decide_until } => {
            Content::ProposalsOpened { decide_until: time(decide_until) }
        }
        EventKind::AwardPending { award, reason, effective_at } => Content::AwardPending {
            award: award.as_ref().map(winners),
            reason: reason.clone(),
            effective_at: time(effective_at),
        },
        EventKind::OrderFinalised { award, reason } => {
            Content::OrderFinalised { award: award.as_ref().map(winners), reason: reason.clone() }
        }
        EventKind::AwardUndone { reason }
        | EventKind::OrderClosed { reason }
        | EventKind::OrderCancelled { reason } => Content::Reason { reason: reason.clone() },
        EventKind::OrderResumed
        | EventKind::OrderOpened(_)
        | EventKind::SellersSelected(_)
        | EventKind::SellerNotified { .. }
        | EventKind::NewProposal(_)
        | EventKind::ProposalUpdate(_)
        | EventKind::ProposalClosed { .. }
        | EventKind::EditLock { .. }
        | EventKind::FollowUpAdded(_) => Content::Reason { reason: None },
    }
}

fn opened_content(opened: &OrderOpened) -> OpenedContentView {
    let spec = &opened.spec;
    OpenedContentView {
        tenant: opened.key.tenant.to_string(),
        order_req_id: opened.key.order_req_id.to_string(),
        incarnation: opened.incarnation.to_string(),
        title: spec.title.as_deref().map(ToOwned::to_owned),
        items: spec.items.iter().map(item).collect(),
        category: spec.category.as_deref().map(ToOwned::to_owned),
        delivery: spec.delivery.as_deref().map(delivery),
        message: spec.message.as_deref().map(message),
        currency: spec.currency.map(|code| code.as_str().to_owned()),
        time_zone: spec.time_zone.as_deref().map(ToOwned::to_owned),
        expires_at: rfc3339(opened.expires_at),
        decide_within_ms: spec.decide_within_ms(),
        sealed: spec.sealed,
        open_to_all: spec.sellers.open_to_all,
    }
}

fn proposal_content(change: Option<String>, proposed: &ProposalContent, version: u32) -> Content {
    let proposal_id = proposed.proposal_id.as_ref().map(ToString::to_string);
    if proposed.price.is_hidden() {
        let (seller, price, currency) = (proposed.seller.to_string(), None, None);
        let view = SealedProposalView { change, proposal_id, version, seller, price, currency };
        return Content::SealedProposal(Box::new(view));
    }
    let content = content_view(proposed);
    Content::Proposal(Box::new(ProposalEventView { change, proposal_id, version, content }))
}

fn update_content(update: &ProposalUpdate) -> Content {
    let change = update.change().to_owned();
    let content = match update {
        ProposalUpdate::Amended { proposal, version } => {
            return proposal_content(Some(change), proposal, *version);
        }
        ProposalUpdate::Withdrawn { proposal_id, reason } => UpdateContentView {
            proposal_id: Some(proposal_id.to_string()),
            reason: reason.clone(),
            ..UpdateContentView::default()
        },
        ProposalUpdate::Declined { seller, reason } => UpdateContentView {
            seller: Some(seller.to_string()),
            reason: reason.clone(),
            ..UpdateContentView::default()
        },
        ProposalUpdate::Answered { seller, follow_up_id: id, message }
        | ProposalUpdate::Asked { seller, question_id: id, message } => UpdateContentView {
            seller: Some(seller.to_string()),
            follow_up_id: Some(id.to_string()),
            message: Some(message.clone()),
            ..UpdateContentView::default()
        },
    };
    Content::ProposalUpdate(Box::new(UpdateContentView { change, ..content }))
}

fn winners(award: &Award) -> WinnersView {
    match award {
        Award::Whole(id) => {
            WinnersView { proposal_id: Some(id.to_string()), ..WinnersView::default() }
        }
        Award::Lines(lines) => {
            let line = |(sku, id): &(String, ProposalId)| WonLineView {
                sku: sku.clone(),
                proposal_id: id.to_string(),
            };
            WinnersView { lines: lines.iter().map(line).collect(), ..WinnersView::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use orderstream_core::Event;
    use serde_json::{Value, json};

    use super::*;

    fn stored_events() -> Vec<Event> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/golden/events.jsonl");
        let lines = std::fs::read_to_string(path).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn content(event: &Event) -> Value {
        serde_json::to_value(event_content(&event.kind)).unwrap()
    }

    /// Returns the names of all fields in a value, at any depth.
    fn names(value: &Value) -> Vec<&str> {
        match value {
            Value::Object(fields) => fields
                .iter()
                .flat_map(|(name, value)| std::iter::once(name.as_str()).chain(names(value)))
                .collect(),
            Value::Array(entries) => entries.iter().flat_map(names).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    /// They have no milliseconds since 1970, no millionths of a degree and no address of a buyer.
    #[test]
    fn stored_events_have_contents_for_people() {
        for event in stored_events() {
            let content = content(&event);
            assert!(content.is_object(), "{content}");
            for name in names(&content) {
                let is_private = matches!(name, "buyer" | "session" | "channels" | "excluded");
                assert!(!is_private && !name.ends_with("_udeg"), "{name} of {content}");
            }
            for name in ["expires_at", "decide_by", "decide_until", "effective_at"] {
                let is_time = content[name].as_str().is_some_and(|text| text.ends_with('Z'));
                assert!(content[name].is_null() || is_time, "{name} of {content}");
            }
        }
    }

    #[test]
    fn sealed_proposals_have_no_price() {
        let hidden = json!({"proposal_id": "p-1", "seller": "sealed",
            "price": {"amount": "0", "currency": "XXX"}});
        for (kind, change, version) in [
            (json!({"NewProposal": hidden}), Value::Null, 1),
            (
                json!({"ProposalUpdate": {"Amended": {"proposal": hidden, "version": 2}}}),
                json!("amended"),
                2,
            ),
        ] {
            let kind: EventKind = serde_json::from_value(kind).unwrap();
            let content = serde_json::to_value(event_content(&kind)).unwrap();
            assert_eq!((&content["change"], &content["version"]), (&change, &json!(version)));
            assert_eq!((&content["seller"], &content["price"]), (&json!("sealed"), &Value::Null));
            assert!(content.get("currency").is_some_and(Value::is_null), "{content}");
        }
    }

    #[test]
    fn openings_say_what_is_wanted() {
        let events = stored_events();
        let is_full = |event: &&Event| {
            let EventKind::OrderOpened(opened) = &event.kind else { return false };
            opened.spec.delivery.is_some()
        };
        let content = content(events.iter().find(is_full).unwrap());
        let delivery = json!({"latitude": 52.520_008, "longitude": -13.404_954,
            "address": "Hauptstraße 1", "by": "2026-12-01T08:00:00Z"});
        assert_eq!(content["delivery"], delivery);
        assert_eq!(content["category"], "fasteners");
        assert_eq!(content["expires_at"], "2027-01-15T08:01:00Z");
        assert_eq!(content["message"]["type"], "html");
        assert_eq!(content["message"]["urls"][0], "https://example.com/1");
        assert_eq!(content["items"][1]["unit"], "kg");
    }
}
