//! An event in words for people: the one who caused it, the word for it, and its content.

use std::collections::BTreeMap;

use orderstream_core::command::{ProposalContent, winners};
use orderstream_core::event::{EventKind, NotifyResult, ProposalUpdate};
use orderstream_core::{ProposalId, Timestamp};

use super::award_remarks::{conditions_text, label_text};
use super::print::{local, one_line};

/// The actor of events that the service causes by itself.
const SERVICE: &str = "orderstream";
/// The actor of a buyer's commands.
const BUYER: &str = "buyer";

/// The sellers of an order's proposals, by the proposal's id.
#[derive(Clone, Debug, Default)]
pub(super) struct ProposalOwners(BTreeMap<String, String>);

impl ProposalOwners {
    /// Adds a proposal and its seller.
    pub(super) fn add(&mut self, proposal_id: &str, seller: &str) {
        self.0.insert(proposal_id.to_owned(), seller.to_owned());
    }

    /// Adds the proposal of an event, if it makes one.
    pub(super) fn learn(&mut self, kind: &EventKind) {
        let content = kind.proposal_content();
        if let Some((id, content)) = content.and_then(|it| Some((it.proposal_id.as_ref()?, it))) {
            self.add(id.as_str(), content.seller.as_str());
        }
    }

    /// Returns the ids of the proposals.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn of(&self, proposal_id: &ProposalId) -> Option<&str> {
        self.0.get(proposal_id.as_str()).map(String::as_str)
    }
}

/// An event in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventLine {
    /// The seller that caused it, `buyer`, or `orderstream` for what happens by itself.
    pub(crate) who: String,
    /// The event's name; that of a proposal's update says which it is.
    pub(crate) event: String,
    /// The content.
    pub(crate) what: String,
}

impl EventLine {
    /// Describes an event.
    pub(super) fn of(kind: &EventKind, owners: &ProposalOwners) -> Self {
        let (who, event) = (actor(kind, owners).to_owned(), event_name(kind).to_owned());
        Self { who, event, what: content(kind, owners) }
    }

    /// Describes an event of a type that this version does not know.
    pub(super) fn unknown(event: &str) -> Self {
        Self { who: "-".to_owned(), event: event.to_owned(), what: String::new() }
    }
}

fn actor<'a>(kind: &'a EventKind, owners: &'a ProposalOwners) -> &'a str {
    match kind {
        EventKind::SellerNotified { seller, result: NotifyResult::Seen, .. } => seller.as_str(),
        EventKind::SellersSelected(_)
        | EventKind::SellerNotified { .. }
        | EventKind::ProposalClosed { .. }
        | EventKind::ProposalsOpened { .. }
        | EventKind::OrderPaused { expired: true, .. } => SERVICE,
        EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, .. }) => {
            owners.of(proposal_id).unwrap_or("a seller")
        }
        EventKind::NewProposal(_) | EventKind::ProposalUpdate(_) | EventKind::EditLock { .. } => {
            kind.seller().map_or("a seller", |seller| seller.as_str())
        }
        EventKind::OrderOpened(_)
        | EventKind::FollowUpAdded(_)
        | EventKind::OrderPaused { .. }
        | EventKind::OrderResumed
        | EventKind::OrderExtended { .. }
        | EventKind::AwardPending { .. }
        | EventKind::AwardUndone { .. }
        | EventKind::OrderFinalised { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => BUYER,
    }
}

/// Returns an event's name for people. Some names of the wire stand for several things; here each
/// has its own.
pub fn event_name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::ProposalUpdate(update) => match update {
            ProposalUpdate::Amended { .. } => "ProposalAmended",
            ProposalUpdate::Withdrawn { .. } => "ProposalWithdrawn",
            ProposalUpdate::Declined { .. } => "SellerDeclined",
            ProposalUpdate::Answered { .. } => "FollowUpAnswered",
            ProposalUpdate::Asked { .. } => "QuestionAsked",
        },
        EventKind::OrderPaused { expired: true, decide_by: Some(_), .. } => "DeadlinePassed",
        EventKind::OrderPaused { expired: true, decide_by: None, .. } => "OrderExpired",
        EventKind::OrderOpened(_)
        | EventKind::SellersSelected(_)
        | EventKind::SellerNotified { .. }
        | EventKind::NewProposal(_)
        | EventKind::ProposalClosed { .. }
        | EventKind::EditLock { .. }
        | EventKind::FollowUpAdded(_)
        | EventKind::OrderPaused { .. }
        | EventKind::OrderResumed
        | EventKind::OrderExtended { .. }
        | EventKind::ProposalsOpened { .. }
        | EventKind::AwardPending { .. }
        | EventKind::AwardUndone { .. }
        | EventKind::OrderFinalised { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => kind.as_str(),
    }
}

/// Describes the content without the actor, with times in the reader's zone.
fn content(kind: &EventKind, owners: &ProposalOwners) -> String {
    let until = |at: &Timestamp| format!("until {}", local(*at));
    match kind {
        EventKind::SellerNotified { seller, channel, result, reason } => match result {
            NotifyResult::Seen => "has seen the order".to_owned(),
            NotifyResult::Delivered | NotifyResult::Bounced => with_reason(
                &format!("{seller} by {channel}: {}", result.as_str()),
                reason.as_deref(),
            ),
        },
        EventKind::NewProposal(proposal) => {
            let id = proposal.proposal_id.as_ref().map_or("", |id| id.as_str());
            format!("{id}: {}", price_and_terms(proposal))
        }
        EventKind::ProposalUpdate(update) => update_content(update),
        EventKind::ProposalClosed { proposal_id, reason } => {
            let seller = owners.of(proposal_id).map(|seller| format!(" of {seller}"));
            format!("{proposal_id}{}: {reason}", seller.unwrap_or_default())
        }
        EventKind::EditLock { proposal_id, until: Some(at), .. } => {
            format!("{proposal_id} locked {}", until(at))
        }
        EventKind::EditLock { proposal_id, until: None, .. } => format!("{proposal_id} unlocked"),
        EventKind::OrderPaused { expired: true, decide_by: Some(at), .. }
        | EventKind::ProposalsOpened { decide_until: at } => format!("decide {}", until(at)),
        EventKind::OrderExtended { expires_at } => until(expires_at),
        EventKind::AwardPending { award, reason, effective_at } => {
            let text = format!("{}, counts from {}", winners(award.as_ref()), local(*effective_at));
            with_reason(&text, reason.as_deref())
        }
        EventKind::OrderFinalised { award, reason } => {
            with_reason(&winners(award.as_ref()), reason.as_deref())
        }
        EventKind::OrderOpened(_)
        | EventKind::SellersSelected(_)
        | EventKind::FollowUpAdded(_)
        | EventKind::OrderPaused { .. }
        | EventKind::OrderResumed
        | EventKind::AwardUndone { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => kind.text(),
    }
}

fn update_content(update: &ProposalUpdate) -> String {
    match update {
        ProposalUpdate::Amended { proposal, version } => {
            let id = proposal.proposal_id.as_ref().map_or("", |id| id.as_str());
            format!("{id}, version {version}: {}", price_and_terms(proposal))
        }
        ProposalUpdate::Withdrawn { proposal_id, reason } => {
            with_reason(proposal_id.as_str(), reason.as_deref())
        }
        ProposalUpdate::Declined { reason, .. } => reason.clone().unwrap_or_default(),
        ProposalUpdate::Answered { follow_up_id: id, message, .. }
        | ProposalUpdate::Asked { question_id: id, message, .. } => format!("{id}: {message}"),
    }
}

/// Describes a proposal on one line: its price first, then its label, delivery date, validity and
/// note, as far as it has them.
fn price_and_terms(content: &ProposalContent) -> String {
    let delivery = content.delivery_date.as_deref().map(one_line).filter(|date| !date.is_empty());
    let parts = [
        Some(content.price.for_people()),
        label_text(content.alternative.as_deref()),
        delivery.map(|date| format!("delivery {date}")),
        conditions_text(content.valid_until.as_deref(), content.note.as_deref()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn with_reason(text: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Describes events as a processor sends them; returns the line of each.
    fn lines(details: &[serde_json::Value]) -> Vec<String> {
        let mut owners = ProposalOwners::default();
        let line = |detail: &serde_json::Value| {
            let kind: EventKind = serde_json::from_value(detail.clone()).unwrap();
            owners.learn(&kind);
            let EventLine { who, event, what } = EventLine::of(&kind, &owners);
            format!("{who} | {event} | {what}")
        };
        details.iter().map(line).collect()
    }

    #[test]
    fn events_name_actor_and_content() {
        let proposal = json!({
            "proposal_id": "p-1", "seller": "acme",
            "price": { "amount": "12.50", "currency": "EUR" },
        });
        let details = [
            json!({ "NewProposal": proposal }),
            json!({ "ProposalUpdate": { "Amended": { "proposal": proposal, "version": 2 } } }),
            json!({ "ProposalUpdate": { "Withdrawn":
                { "proposal_id": "p-1", "reason": "sold out" } } }),
            json!({ "ProposalUpdate": { "Asked":
                { "seller": "acme", "question_id": "q-1", "message": "Oak?" } } }),
            json!({ "ProposalUpdate": { "Declined": { "seller": "bolt", "reason": null } } }),
            json!({ "SellerNotified":
                { "seller": "bolt", "channel": "session", "result": "seen" } }),
            json!({ "ProposalClosed": { "proposal_id": "p-1", "reason": "not awarded" } }),
            json!({ "OrderPaused": { "expired": false, "reason": "lunch" } }),
            json!({ "OrderPaused": { "expired": true, "reason": null } }),
            json!({ "OrderFinalised": { "award": null, "reason": null } }),
        ];
        let expected = [
            "acme | NewProposal | p-1: 12.50 EUR",
            "acme | ProposalAmended | p-1, version 2: 12.50 EUR",
            "acme | ProposalWithdrawn | p-1: sold out",
            "acme | QuestionAsked | q-1: Oak?",
            "bolt | SellerDeclined | ",
            "bolt | SellerNotified | has seen the order",
            "orderstream | ProposalClosed | p-1 of acme: not awarded",
            "buyer | OrderPaused | lunch",
            "orderstream | OrderExpired | ",
        ];
        let lines = lines(&details);
        assert_eq!(lines[..expected.len()], expected);
        assert!(lines[9].starts_with("buyer | OrderFinalised | "), "{lines:?}");
        let hidden = json!({
            "proposal_id": "p-1", "seller": "sealed", "price": { "amount": "0", "currency": "XXX" },
        });
        let details = [
            json!({ "NewProposal": hidden }),
            json!({ "ProposalUpdate": { "Amended": { "proposal": hidden, "version": 2 } } }),
        ];
        let expected = [
            "sealed | NewProposal | p-1: sealed",
            "sealed | ProposalAmended | p-1, version 2: sealed",
        ];
        assert_eq!(self::lines(&details), expected);
        let with_terms = json!({
            "proposal_id": "p-2", "seller": "acme", "alternative": "from stock",
            "price": { "amount": "9", "currency": "EUR" }, "delivery_date": "2030-02-01",
            "valid_until": "2030-01-01", "note": "Only if paid\nin advance",
        });
        let expected = "acme | NewProposal | p-2: 9 EUR; alternative: from stock; delivery \
                        2030-02-01; valid until 2030-01-01; note: Only if paid in advance";
        assert_eq!(self::lines(&[json!({ "NewProposal": with_terms })]), [expected]);
        let unknown = EventLine::unknown("NewKind");
        assert_eq!((unknown.who.as_str(), unknown.event.as_str()), ("-", "NewKind"));
    }
}
