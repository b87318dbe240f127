//! The verbs' JSON output, where it is not the servers' own document: it has fewer fields, or the
//! fields have another order.

use orderstream_rest_types::conversation::ConversationMessageView;
use orderstream_rest_types::event::EventContentView;
use orderstream_rest_types::inbox::InboxEntryView;
use orderstream_rest_types::notification::NotificationView;
use orderstream_rest_types::order::{
    ConsideredSellerView, DeliveryView, FormerIncarnationView, InvitationView, ItemView,
    MessageView, ProposalCountsView,
};
use orderstream_rest_types::proposal::{ProposalLineView, ProposalView, WonPartView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event_line::EventLine;
use super::status::PeopleStatus;

/// An incarnation of an id that a newer one replaced.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FormerIncarnation {
    /// The incarnation's name.
    pub(crate) incarnation: String,
    /// The time of its end, RFC 3339.
    pub(crate) ended_at: Option<String>,
}

impl From<FormerIncarnationView> for FormerIncarnation {
    fn from(former: FormerIncarnationView) -> Self {
        Self { incarnation: former.incarnation, ended_at: former.ended_at }
    }
}

/// One proposal.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "ProposalView")]
pub(crate) struct ProposalReport {
    /// The proposal's id.
    pub(crate) proposal_id: String,
    /// The seller's name.
    pub(crate) seller: String,
    /// `Open`, `Withdrawn` or `Closed`.
    pub(crate) status: String,
    /// The effect of the order's end: `Awarded`, `NotAwarded`, or `Ended` where there was no
    /// decision; absent before the end, and for a withdrawn proposal.
    pub(crate) outcome: Option<String>,
    /// The part of the order that it has won: lines, quantities and price; absent before the end,
    /// and where it has won nothing.
    pub(crate) won: Option<WonPartView>,
    /// The proposal's version; the first is 1.
    pub(crate) version: u32,
    /// The total price, a decimal.
    pub(crate) price: String,
    /// The price's currency, ISO 4217.
    pub(crate) currency: String,
    /// The lines; empty where the seller gave none.
    pub(crate) lines: Vec<ProposalLineView>,
    /// A note to the buyer.
    pub(crate) note: Option<String>,
    /// The date of delivery, as the seller wrote it.
    pub(crate) delivery_date: Option<String>,
    /// The end of its validity, as the seller wrote it.
    pub(crate) valid_until: Option<String>,
    /// The URLs of documents.
    pub(crate) attachments: Vec<String>,
    /// The holder of the edit lock; absent while there is none.
    pub(crate) locked_by: Option<String>,
    /// The end of the edit lock, RFC 3339.
    pub(crate) locked_until: Option<String>,
    /// The time of its first version, RFC 3339.
    pub(crate) at: String,
    /// The seller's name for people; absent where it has none.
    pub(crate) seller_name: Option<String>,
    /// The label of an alternative; absent for the seller's main proposal.
    pub(crate) alternative: Option<String>,
}

impl From<ProposalView> for ProposalReport {
    fn from(proposal: ProposalView) -> Self {
        let content = proposal.content;
        Self {
            proposal_id: proposal.proposal_id,
            seller: content.seller,
            status: proposal.status,
            outcome: proposal.outcome,
            won: proposal.won,
            version: proposal.version,
            price: content.price,
            currency: content.currency,
            lines: content.lines,
            note: content.note,
            delivery_date: content.delivery_date,
            valid_until: content.valid_until,
            attachments: content.attachments,
            locked_by: proposal.locked_by,
            locked_until: proposal.locked_until,
            at: proposal.at,
            seller_name: proposal.seller_name,
            alternative: content.alternative,
        }
    }
}

/// The JSON output of `conversation`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Conversation {
    /// The messages, the oldest first.
    pub(crate) conversation: Vec<ConversationItem>,
    /// The cursor of the next page; absent at the end.
    pub(crate) next: Option<u64>,
}

/// One message of a conversation.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Said")]
pub(crate) struct ConversationItem {
    /// The event's sequence number.
    pub(crate) seq: u64,
    /// The time of the event, RFC 3339.
    pub(crate) at: String,
    /// `follow_up` (from the buyer), `question` or `answer` (from a seller).
    pub(crate) kind: String,
    /// The follow-up's or the question's id; an answer has none.
    pub(crate) id: Option<String>,
    /// The seller who sent it; absent for the buyer.
    pub(crate) seller: Option<String>,
    /// The sellers that the buyer's message goes to; empty for all.
    pub(crate) audience: Vec<String>,
    /// The text of the message.
    pub(crate) message: String,
    /// The id of the question or follow-up that it answers.
    pub(crate) answers: Option<String>,
}

impl From<ConversationMessageView> for ConversationItem {
    fn from(message: ConversationMessageView) -> Self {
        Self {
            seq: message.seq,
            at: message.at,
            kind: message.kind,
            id: message.id,
            seller: message.seller,
            audience: message.audience,
            message: message.message,
            answers: message.answers,
        }
    }
}

/// The JSON output of a command on an order.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Done")]
pub(crate) struct CommandReport {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// The verb that was run.
    #[serde(rename = "act")]
    pub(crate) verb: String,
    /// The sequence number of the order's last event when the command was observed to be done.
    pub(crate) last_seq: u64,
    /// The order's phase then: `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    pub(crate) phase: String,
    /// The id of the proposal that the command was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proposal_id: Option<String>,
    /// The id of the follow-up or question that the command was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) follow_up_id: Option<String>,
    /// The idempotency key: a command repeated with it has one effect, unless it edits an order
    /// request.
    pub(crate) key: String,
    /// The time from which an award that can be undone counts, RFC 3339; absent for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pending_until: Option<String>,
}

/// The JSON output of `delete` and `wait`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct ResourceReport {
    /// The name of the order request.
    pub(crate) name: String,
    /// The namespace of the order request.
    pub(crate) namespace: String,
    /// `deleted`, or the state that was waited for, such as `proposals=3`.
    pub(crate) state: String,
    /// The phase when the state was reached; absent where the order request is gone.
    pub(crate) phase: Option<String>,
}

/// The JSON output of `status`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct StatusReport {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// The order's tenant.
    pub(crate) tenant: String,
    /// The title, one line for people.
    pub(crate) title: Option<String>,
    /// The incarnation of the id.
    pub(crate) incarnation: String,
    /// The incarnations that a newer one replaced, the last one first.
    pub(crate) former_incarnations: Vec<FormerIncarnation>,
    /// The wanted articles.
    pub(crate) items: Vec<ItemView>,
    /// The category that a seller must offer; absent means any.
    pub(crate) category: Option<String>,
    /// The place and the date of delivery.
    pub(crate) delivery: Option<DeliveryView>,
    /// The buyer's text for the sellers, with the URLs of documents.
    pub(crate) message: Option<MessageView>,
    /// The only currency of proposals, ISO 4217; absent means any.
    pub(crate) currency: Option<String>,
    /// The IANA name of the time zone in which dates end; absent means UTC.
    pub(crate) time_zone: Option<String>,
    /// `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    pub(crate) phase: String,
    /// The order is sealed: prices and sellers are hidden.
    pub(crate) sealed: bool,
    /// The time of its opening, RFC 3339.
    pub(crate) opened_at: String,
    /// The time of its expiry, RFC 3339.
    pub(crate) expires_at: String,
    /// The time until which an opened sealed order waits for a decision, RFC 3339.
    pub(crate) decide_until: Option<String>,
    /// The time of its end, RFC 3339; absent before.
    pub(crate) ended_at: Option<String>,
    /// The award, in words.
    pub(crate) award: Option<String>,
    /// The pending award, in words.
    pub(crate) pending_award: Option<String>,
    /// The parts that only people get.
    #[serde(skip)]
    pub(crate) for_people: PeopleStatus,
    /// The number of proposals in each state.
    pub(crate) proposal_counts: ProposalCountsView,
    /// The newest version of each proposal, at most 100.
    pub(crate) proposals: Vec<ProposalReport>,
    /// The invited sellers.
    pub(crate) sellers: Vec<InvitationView>,
    /// The number of sellers that were considered.
    pub(crate) sellers_considered: usize,
    /// The order's stream to its buyer.
    pub(crate) stream: StreamReport,
    /// The last events, the oldest first.
    pub(crate) timeline: Vec<TimelineEntry>,
    /// The waiting notifications and the dead letters.
    pub(crate) notifications: Vec<NotificationReport>,
    /// What the buyer asked for and the order refused, with the reason; absent where nothing was.
    pub(crate) stalled: Option<String>,
}

/// An order's stream to its buyer.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct StreamReport {
    /// True while the stream is up, as its processor reports it.
    pub(crate) active: bool,
    /// The stream's phase: `Pending`, `Active`, `Reconnecting` or `Ended`; absent where nobody
    /// follows the order.
    pub(crate) phase: Option<String>,
    /// The reason that it is down, and the fix; absent while it is up.
    pub(crate) down_because: Option<String>,
    /// The sequence number of the order's last event.
    pub(crate) last_seq: u64,
    /// The epoch of its tracker.
    pub(crate) epoch: u64,
    /// The processor that holds the order, where the buyer's server reports it.
    pub(crate) processor: Option<String>,
    /// The number of reconnections, where the buyer's server reports it.
    pub(crate) reconnects: Option<u64>,
}

/// One event of an order.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct TimelineEntry {
    /// The event's sequence number.
    pub(crate) seq: u64,
    /// The time of the event, RFC 3339.
    pub(crate) at: String,
    /// The event's type.
    pub(crate) event: String,
    /// The event's content, in words; empty for a type that this version does not know.
    pub(crate) text: String,
    /// The event for people.
    #[serde(skip)]
    pub(crate) line: EventLine,
}

/// The JSON output of `watch`: one event on each line, as its processor sends it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WatchedEvent {
    /// The event's sequence number.
    pub(crate) seq: u64,
    /// The time of the event, RFC 3339.
    pub(crate) at: String,
    /// The event's type.
    pub(crate) status: String,
    /// The id of the proposal that the event is about; absent for other events.
    pub(crate) proposal_id: Option<String>,
    /// The id of the follow-up or question that the event is about; absent for other events.
    pub(crate) follow_up_id: Option<String>,
    /// The event's content, with degrees, decimals and RFC 3339 times.
    #[serde(default)]
    #[schemars(with = "EventContentView")]
    pub(crate) content: Value,
    /// The event's content in the form in which it is stored, under its type.
    pub(crate) detail: Value,
}

/// One notification.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "NotificationView")]
pub(crate) struct NotificationReport {
    /// The notification's id.
    pub(crate) notification_id: String,
    /// The notification's topic.
    pub(crate) topic: String,
    /// The recipient: `buyer`, `seller` or `sink`.
    pub(crate) recipient: String,
    /// The seller's name, where the recipient is one.
    pub(crate) seller: Option<String>,
    /// The channel.
    pub(crate) channel: String,
    /// `waiting`, `delivered` (the report to the order is outstanding) or `dead`.
    pub(crate) state: String,
    /// The number of delivery attempts.
    pub(crate) attempts: u32,
    /// The cause of the last failure.
    pub(crate) reason: Option<String>,
}

impl From<NotificationView> for NotificationReport {
    fn from(notification: NotificationView) -> Self {
        Self {
            notification_id: notification.notification_id,
            topic: notification.topic,
            recipient: notification.recipient,
            seller: notification.seller,
            channel: notification.channel,
            state: notification.state,
            attempts: notification.attempts,
            reason: notification.reason,
        }
    }
}

/// The JSON output of `notify pending`, `notify dead` and `notify replay`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct NotifyReport {
    /// The notifications, by order and event.
    pub(crate) notifications: Vec<HeldNotification>,
}

/// One notification of an order's outbox.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct HeldNotification {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// The notification's id.
    pub(crate) notification_id: String,
    /// The sequence number of the event that caused it.
    pub(crate) seq: u64,
    /// The notification's topic.
    pub(crate) topic: String,
    /// The recipient: `buyer`, `seller` or `sink`.
    pub(crate) recipient: String,
    /// The seller's name, where the recipient is one.
    pub(crate) seller: Option<String>,
    /// The channel.
    pub(crate) channel: String,
    /// The address that it is sent to.
    pub(crate) address: Option<String>,
    /// `waiting`, `delivered` (the report to the order is outstanding) or `dead`.
    pub(crate) state: String,
    /// The number of delivery attempts.
    pub(crate) attempts: u32,
    /// The time of the next attempt, RFC 3339; absent unless it waits.
    pub(crate) next_at: Option<String>,
    /// The time at which it was given up, RFC 3339; absent unless it was.
    pub(crate) dead_at: Option<String>,
    /// The cause of the last failure.
    pub(crate) reason: Option<String>,
}

/// The JSON output of `inbox`. With `--watch` each order is one line, as in `invitations`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct InboxReport {
    /// The seller's name.
    pub(crate) seller: String,
    /// The orders that the seller is invited to, the next deadline first.
    pub(crate) invitations: Vec<InboxEntryView>,
    /// The processors that did not answer, whose orders are missing.
    pub(crate) unreached: Vec<String>,
}

/// The JSON output of `why`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct WhyReport {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// Every seller that was considered, the invited ones first.
    pub(crate) sellers: Vec<ConsideredSellerView>,
    /// True where sellers that are not invited may propose too. Otherwise only invited ones may,
    /// unless the order invites none.
    pub(crate) open_to_all: bool,
    /// The order's stream to its buyer.
    pub(crate) stream: StreamReport,
    /// What the buyer asked for and the order refused, with the reason; absent where nothing was.
    pub(crate) stalled: Option<String>,
}
