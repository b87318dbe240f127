//! Projects events to MongoDB documents. The projection is pure: the same events always yield the
//! same documents, whichever process writes them and however often.

use std::sync::Arc;

use mongodb::bson::{Bson, DateTime, Document, doc};
use orderstream_core::command::Award;
use orderstream_core::event::{OrderOpened, ProposalUpdate};
use orderstream_core::spec::FollowUp;
use orderstream_core::{Event, EventKind, OrderIncarnation, Seq, Timestamp};

/// One document per incarnation of an order: its status, and the cursor up to which its events are
/// projected.
pub(crate) const SUBMISSIONS: &str = "RequestSubmissions";
/// One document per follow-up.
pub(crate) const FOLLOW_UPS: &str = "RequestFollowUp";
/// One document per finalised order.
pub(crate) const FINALISED: &str = "OrderFinalised";
/// One document per pause, the expiry included.
pub(crate) const PAUSED: &str = "OrderPaused";

/// The collections that are written before the cursor moves.
pub(crate) const EVENT_COLLECTIONS: [&str; 3] = [FOLLOW_UPS, FINALISED, PAUSED];

/// The writes for a run of consecutive events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Writes {
    /// Complete documents, each with its collection. Writing one twice changes nothing.
    pub(crate) upserts: Vec<(&'static str, Document)>,
    /// The filter for the status document: it matches only while the cursor is directly before
    /// these events.
    pub(crate) filter: Document,
    /// The update of that document: status, counters and cursor at once.
    pub(crate) update: Document,
}

/// The changes to a status document by a run of events.
#[derive(Debug, Default)]
struct StatusDelta {
    set: Document,
    received: i64,
    withdrawn: i64,
    closed: i64,
    follow_ups: i64,
}

/// Returns the id of an incarnation's status document. No part of it can hold a slash.
pub(crate) fn id_of(order: &OrderIncarnation) -> String {
    let OrderIncarnation { key, incarnation } = order;
    format!("{}/{}/{incarnation}", key.tenant, key.order_req_id)
}

/// Returns the writes for the events that follow number `after`.
pub(crate) fn writes(order: &OrderIncarnation, after: Seq, events: &[Arc<Event>]) -> Writes {
    let mut upserts = Vec::new();
    let mut status = StatusDelta::default();
    for event in events {
        status.apply(order, event);
        upserts.extend(document_of(order, event));
    }
    let filter = doc! { "_id": id_of(order), "last_seq": number(after) };
    Writes { upserts, filter, update: status.update() }
}

impl StatusDelta {
    fn apply(&mut self, order: &OrderIncarnation, event: &Event) {
        let kind = &event.kind;
        if let EventKind::OrderOpened(opened) = kind {
            self.open(order, event.at, opened);
        }
        if let EventKind::OrderExtended { expires_at } = kind {
            self.set.insert("expires_at", date(*expires_at));
        }
        let withdrawn = matches!(kind, EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { .. }));
        self.received += i64::from(matches!(kind, EventKind::NewProposal(_)));
        self.withdrawn += i64::from(withdrawn);
        self.closed += i64::from(matches!(kind, EventKind::ProposalClosed { .. }));
        self.follow_ups += i64::from(matches!(kind, EventKind::FollowUpAdded(_)));
        if let Some(phase) = kind.phase_after() {
            self.set.insert("status", phase.as_str());
        }
        if kind.ends().is_some() {
            self.set.insert("ended_at", date(event.at));
        }
        self.set.insert("last_seq", number(event.seq));
        self.set.insert("last_event", event.kind.as_str());
        self.set.insert("updated_at", date(event.at));
    }

    fn open(&mut self, order: &OrderIncarnation, at: Timestamp, opened: &OrderOpened) {
        self.set.extend(order_fields(order));
        self.set.extend(doc! {
            "session_id": opened.spec.session.as_deref(),
            "notification_type": opened.spec.notification_type.as_str(),
            "title": opened.spec.title.as_deref(),
            "created_at": date(at),
            "expires_at": date(opened.expires_at),
            "ended_at": Bson::Null,
        });
    }

    fn update(self) -> Document {
        doc! {
            "$set": self.set,
            // Also by zero, so that every document has every counter.
            "$inc": {
                "proposals.received": self.received,
                "proposals.withdrawn": self.withdrawn,
                "proposals.closed": self.closed,
                "follow_ups": self.follow_ups,
            },
        }
    }
}

/// Returns the document for an event, apart from the order's status, with its collection.
fn document_of(order: &OrderIncarnation, event: &Event) -> Option<(&'static str, Document)> {
    let incarnation_id = id_of(order);
    let (collection, id, content) = if let EventKind::FollowUpAdded(follow_up) = &event.kind {
        (FOLLOW_UPS, format!("{incarnation_id}/{}", follow_up.id), follow_up_of(follow_up))
    } else if let EventKind::OrderFinalised { award, reason } = &event.kind {
        let content = doc! { "award": award.as_ref().map(award_of), "reason": reason.clone() };
        (FINALISED, incarnation_id, content)
    } else if let EventKind::OrderPaused { expired, reason, decide_by } = &event.kind {
        let mut content = doc! { "expired": *expired, "reason": reason.clone() };
        content.extend(decide_by.map(|at| ("decide_by".to_owned(), date(at).into())));
        (PAUSED, format!("{incarnation_id}/{}", event.seq), content)
    } else {
        return None;
    };
    let mut document = doc! { "_id": id };
    document.extend(order_fields(order));
    document.extend(content);
    document.insert("seq", number(event.seq));
    document.insert("created_at", date(event.at));
    Some((collection, document))
}

fn order_fields(order: &OrderIncarnation) -> Document {
    doc! {
        "order_req_id": order.key.order_req_id.as_str(),
        "tenant": order.key.tenant.as_str(),
        "incarnation": order.incarnation.as_str(),
    }
}

fn follow_up_of(follow_up: &FollowUp) -> Document {
    let audience: Vec<_> = follow_up.audience.iter().map(|seller| seller.as_str()).collect();
    let message = &follow_up.message;
    doc! {
        "follow_up_id": follow_up.id.as_str(),
        "audience": audience,
        "message": {
            "type": message.kind.as_str(),
            "message": message.message.as_str(),
            "urls": message.urls.clone(),
        },
    }
}

fn award_of(award: &Award) -> Document {
    match award {
        Award::Whole(id) => doc! { "proposal_id": id.as_str() },
        Award::Lines(lines) => {
            let line = |(sku, id): &(String, _)| line_of(sku, id);
            doc! { "lines": lines.iter().map(line).collect::<Vec<_>>() }
        }
    }
}

fn line_of(sku: &str, id: &orderstream_core::ProposalId) -> Document {
    doc! { "sku": sku, "proposal_id": id.as_str() }
}

/// Converts a sequence number to a BSON integer; real ones stay far below its limit.
pub(crate) fn number(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.0)
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
