//! An event of an order's list, with the parts that clients can compare: parsed from gRPC and from
//! server-sent events by two parsers that share no code.

use orderstream_rpc::convert::timestamp_from_wire;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_stream_response::Detail;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The change of an `EditLock` that is acquired.
const LOCKED: &str = "locked";
/// The change of an `EditLock` that is released.
pub(crate) const UNLOCKED: &str = "unlocked";
/// The `change` of an `OrderPaused` that ends the order.
pub(crate) const EXPIRED: &str = "expired";
/// The `change` of an `OrderPaused` after which the buyer decides.
pub(crate) const DECIDING: &str = "deciding";
/// The `change` of an `OrderPaused` by the buyer.
pub(crate) const PAUSED: &str = "paused";

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComparableEvent {
    /// The event's sequence number.
    pub seq: u64,
    /// The event's time by the owner's clock, milliseconds since 1970.
    pub at: i64,
    /// The name of the event's kind.
    pub kind: String,
    /// The change of a `ProposalUpdate`, `locked` or `unlocked` for an `EditLock`, the result of a
    /// notification, `expired`, `deciding` or `paused` for an `OrderPaused`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub change: String,
    /// The proposal that the event concerns or awards.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proposal: String,
    /// The seller, or the lock's holder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub actor: String,
    /// The text in the event that identifies its command: a note, message or reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// The expiry, the end of a lock, or the time at which an award takes effect; milliseconds
    /// since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The label of an alternative.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The proposal's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The incarnation of an opening; the id of a follow-up or question.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Set on the opening of a sealed order.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// The invited sellers of a selection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sellers: Vec<String>,
}

/// Names what an `OrderPaused` does.
#[allow(clippy::fn_params_excessive_bools, reason = "a field of the event")]
const fn suspension(expired: bool, decide_by: Option<i64>) -> &'static str {
    match (expired, decide_by) {
        (true, Some(_)) => DECIDING,
        (true, None) => EXPIRED,
        (false, _) => PAUSED,
    }
}

impl ComparableEvent {
    /// Reports whether the event ends the list.
    pub fn is_last(&self) -> bool {
        matches!(self.kind.as_str(), "OrderFinalised" | "OrderClosed" | "OrderCancelled")
            || (self.kind == "OrderPaused" && self.change == EXPIRED)
    }

    /// Reports whether the event may follow the list's end without changing it, as a notification
    /// does.
    pub fn is_postscript(&self) -> bool {
        self.kind == "SellerNotified"
    }
}

impl ComparableEvent {
    /// Parses an event from gRPC. `None` for other messages, such as `Draining`.
    pub fn from_wire(message: &v1::OrderStreamResponse) -> Option<Self> {
        let at = message.at.as_ref().map(timestamp_from_wire)?.0;
        let event = Self {
            seq: message.seq,
            at,
            kind: message.streaming_response_status.clone(),
            proposal: message.proposal_id.clone(),
            id: message.follow_up_id.clone(),
            ..Self::default()
        };
        (message.seq > 0).then(|| event.with_wire(message.detail.as_ref()))
    }

    fn with_wire(mut self, detail: Option<&Detail>) -> Self {
        match detail {
            Some(Detail::Opened(opened)) => {
                self.until = opened.expires_at.as_ref().map(|at| timestamp_from_wire(at).0);
                self.id.clone_from(&opened.incarnation);
                self.sealed = opened.order.as_ref().is_some_and(|order| order.sealed);
            }
            Some(Detail::SellersSelected(selected)) => {
                let chosen = selected.sellers.iter().filter(|choice| choice.chosen);
                self.sellers = chosen.map(|choice| choice.seller.clone()).collect();
            }
            Some(Detail::SellerNotified(notified)) => {
                self.change.clone_from(&notified.result);
                self.actor.clone_from(&notified.seller);
            }
            Some(Detail::Proposal(proposal)) => self = self.with_proposal(proposal),
            Some(Detail::ProposalUpdate(update)) => self = self.with_update(update),
            Some(Detail::EditLock(lock)) => {
                self.change = String::from(if lock.locked { LOCKED } else { UNLOCKED });
                self.actor.clone_from(&lock.holder);
                self.until = lock.expires_at.as_ref().map(|at| timestamp_from_wire(at).0);
            }
            Some(Detail::FollowUp(added)) => {
                self.token = added
                    .message
                    .as_ref()
                    .map(|message| message.message.clone())
                    .unwrap_or_default();
            }
            Some(Detail::OrderPaused(paused)) => {
                self.until = paused.decide_by.as_ref().map(|at| timestamp_from_wire(at).0);
                self.change = String::from(suspension(paused.expired, self.until));
                self.token.clone_from(&paused.reason);
            }
            Some(Detail::OrderExtended(extended)) => {
                self.until = extended.expires_at.as_ref().map(|at| timestamp_from_wire(at).0);
            }
            Some(Detail::ProposalsOpened(opened)) => {
                self.until = opened.decide_until.as_ref().map(|at| timestamp_from_wire(at).0);
            }
            Some(Detail::AwardPending(pending)) => {
                self.until = pending.effective_at.as_ref().map(|at| timestamp_from_wire(at).0);
                self = self.with_award(pending.award.as_ref());
            }
            Some(Detail::OrderFinalised(end)) => self = self.with_award(end.award.as_ref()),
            Some(Detail::AwardUndone(undone)) => self.token.clone_from(&undone.reason),
            Some(Detail::OrderClosed(end)) => self.token.clone_from(&end.reason),
            Some(Detail::OrderCancelled(end)) => self.token.clone_from(&end.reason),
            Some(Detail::ProposalClosed(_) | Detail::OrderResumed(_) | Detail::Draining(_))
            | None => {}
        }
        self
    }

    fn with_proposal(mut self, proposal: &v1::Proposal) -> Self {
        self.actor.clone_from(&proposal.seller);
        self.token.clone_from(&proposal.note);
        self.label.clone_from(&proposal.alternative);
        self.version = Some(u64::from(proposal.version.max(1)));
        self
    }

    fn with_update(mut self, update: &v1::ProposalUpdate) -> Self {
        self.change.clone_from(&update.change);
        self.token.clone_from(&update.reason);
        if let Some(proposal) = &update.proposal {
            match update.change.as_str() {
                "amended" => self = self.with_proposal(proposal),
                "withdrawn" => {}
                _ => self.actor.clone_from(&proposal.seller),
            }
        }
        self
    }

    fn with_award(mut self, award: Option<&v1::AwardDetail>) -> Self {
        if let Some(award) = award {
            self.proposal.clone_from(&award.proposal_id);
            self.token.clone_from(&award.reason);
        }
        self
    }

    /// Parses an event from the data of a server-sent event. `None` for other data.
    pub fn from_sse(data: &Value) -> Option<Self> {
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        let at: jiff::Timestamp = data["at"].as_str()?.parse().ok()?;
        let event = Self {
            seq: data["seq"].as_u64()?,
            at: at.as_millisecond(),
            kind: text("status"),
            proposal: text("proposal_id"),
            id: text("follow_up_id"),
            ..Self::default()
        };
        // A detail without content is only its name.
        let detail = data["detail"].get(event.kind.as_str()).cloned().unwrap_or_default();
        Some(event.with_json(&detail))
    }

    fn with_json(mut self, detail: &Value) -> Self {
        let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
        let inner =
            |outer: &str, name: &str| detail[outer][name].as_str().unwrap_or_default().to_owned();
        match self.kind.as_str() {
            "OrderOpened" => {
                self.until = detail["expires_at"].as_i64();
                self.id = text("incarnation");
                self.sealed = detail["spec"]["sealed"].as_bool().unwrap_or_default();
            }
            "SellersSelected" => {
                let all = detail.as_array().into_iter().flatten();
                let chosen = all.filter(|choice| choice["verdict"].to_string().contains("Chosen"));
                self.sellers = chosen
                    .filter_map(|choice| Some(choice["seller"].as_str()?.to_owned()))
                    .collect();
            }
            "SellerNotified" => {
                self.change = text("result").to_ascii_lowercase();
                self.actor = text("seller");
            }
            "NewProposal" => self = self.with_content(detail, 1),
            "ProposalUpdate" => self = self.with_change(detail),
            "EditLock" => {
                self.until = detail["until"].as_i64();
                self.change = String::from(if self.until.is_some() { LOCKED } else { UNLOCKED });
                self.actor = text("holder");
            }
            "FollowUpAdded" => {
                self.token = inner("message", "message");
            }
            "OrderPaused" => {
                let expired = detail["expired"].as_bool().unwrap_or_default();
                self.until = detail["decide_by"].as_i64();
                self.change = String::from(suspension(expired, self.until));
                self.token = text("reason");
            }
            "OrderExtended" => self.until = detail["expires_at"].as_i64(),
            "ProposalsOpened" => self.until = detail["decide_until"].as_i64(),
            "AwardPending" | "OrderFinalised" => {
                self.until = detail["effective_at"].as_i64();
                self.proposal = inner("award", "Whole");
                self.token = text("reason");
            }
            "AwardUndone" | "OrderClosed" | "OrderCancelled" => self.token = text("reason"),
            _ => {}
        }
        self
    }

    fn with_content(mut self, content: &Value, version: u64) -> Self {
        let text = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
        (self.actor, self.token, self.version) = (text("seller"), text("note"), Some(version));
        self.label = text("alternative");
        self
    }

    fn with_change(mut self, detail: &Value) -> Self {
        let Some((variant, change)) = detail.as_object().and_then(|changes| changes.iter().next())
        else {
            return self;
        };
        let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
        self.change = variant.to_ascii_lowercase();
        match variant.as_str() {
            "Amended" => {
                let version = change["version"].as_u64().unwrap_or_default();
                return self.with_content(&change["proposal"], version);
            }
            "Asked" | "Answered" => (self.actor, self.token) = (text("seller"), text("message")),
            "Declined" => (self.actor, self.token) = (text("seller"), text("reason")),
            _ => self.token = text("reason"),
        }
        self
    }
}
