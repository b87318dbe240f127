//! The notifications that are due for an event. Pure: the same event always gives the same
//! notifications, so that a repetition gives the same ids.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Announcement, Recipient, Template, Topic};
use crate::command::Award;
use crate::event::{Event, ProposalUpdate};
use crate::id::{ProposalId, SellerId, Seq};
use crate::limits::{RECIPIENTS_MAX, SINKS_MAX};
use crate::order::{Order, ProposalPhase};
use crate::spec::{Channel, Contact, NotificationType};

/// The recipients that can be reached, and their channels.
pub struct Audience<'a> {
    /// Returns a seller's contact; `None` for a seller that is not known.
    pub contact: &'a dyn Fn(&SellerId) -> Option<Contact>,
    /// Reports whether notifications can be sent over this kind of channel.
    pub serves: &'a dyn Fn(NotificationType) -> bool,
    /// The channels of the operator's own programs.
    pub sinks: &'a [Channel],
}

impl fmt::Debug for Audience<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audience").field("sinks", &self.sinks.len()).finish_non_exhaustive()
    }
}

/// One notification that is due, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueNotification {
    /// The notification's kind.
    pub topic: Topic,
    /// The template that renders it.
    pub template: Template,
    /// The buyer, a seller or a sink.
    pub recipient: Recipient,
    /// The kind of channel, and the address on it.
    pub channel: Channel,
    /// The recipient's language, a BCP 47 tag; English when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// The recipients of one template.
enum RecipientGroup {
    Buyer,
    Sellers(Vec<SellerId>),
}

/// A recipient, and the contact over which it is reached.
struct ReachableRecipient<'a> {
    recipient: Recipient,
    contact: &'a Contact,
}

/// Returns the notifications that are due for an event of an order, both as they may leave the
/// owner: a seller that is hidden behind a seal has no name here, and is not notified.
///
/// The operator's programs receive each topic once, also where nobody else can be notified of it.
pub fn due(order: &Order, event: &Event, audience: &Audience<'_>) -> Vec<DueNotification> {
    let mut due = Vec::new();
    let mut topics: Vec<(Topic, Template)> = Vec::new();
    let news = event.kind.announcement();
    for (topic, template, group) in
        news.into_iter().flat_map(|news| recipients_of(order, event.seq, news))
    {
        if !topics.iter().any(|(known, _)| *known == topic) {
            topics.push((topic, template));
        }
        match group {
            RecipientGroup::Buyer => {
                let contact = order.spec.buyer.as_ref();
                due.extend(contact.and_then(|contact| {
                    let buyer = ReachableRecipient { recipient: Recipient::Buyer, contact };
                    notification_to(order, audience, topic, template, buyer)
                }));
            }
            RecipientGroup::Sellers(sellers) => {
                due.extend(sellers.into_iter().filter_map(|seller| {
                    let contact = &(audience.contact)(&seller)?;
                    let recipient = Recipient::Seller(seller);
                    let seller = ReachableRecipient { recipient, contact };
                    notification_to(order, audience, topic, template, seller)
                }))
            }
        }
    }
    due.truncate(RECIPIENTS_MAX);
    for (topic, template) in topics {
        due.extend(for_sinks(audience, topic, template));
    }
    due
}

/// Returns the notifications to the operator's programs.
fn for_sinks(audience: &Audience<'_>, topic: Topic, template: Template) -> Vec<DueNotification> {
    let sinks = audience.sinks.iter().take(SINKS_MAX);
    sinks
        .map(|sink| DueNotification {
            topic,
            template,
            recipient: Recipient::Sink,
            channel: sink.clone(),
            language: None,
        })
        .collect()
}

/// Returns the notifications that are due when one to a seller or to the buyer was given up. A
/// failed report of a failure is not reported.
pub(crate) fn due_for_failure(
    order: &Order,
    failed: &Recipient,
    audience: &Audience<'_>,
) -> Vec<DueNotification> {
    let (topic, template) = match failed {
        Recipient::Seller(_) => (Topic::RequestFailures, Template::SellerNotReached),
        Recipient::Buyer => (Topic::ProposalFailures, Template::BuyerNotReached),
        Recipient::Sink => return Vec::new(),
    };
    let buyer = order.spec.buyer.as_ref().filter(|_| topic == Topic::RequestFailures);
    let to_buyer = buyer.and_then(|contact| {
        let buyer = ReachableRecipient { recipient: Recipient::Buyer, contact };
        notification_to(order, audience, topic, template, buyer)
    });
    to_buyer.into_iter().chain(for_sinks(audience, topic, template)).collect()
}

/// Reports whether anybody can be notified of anything in this order. Where sellers that are not
/// invited may propose, any of them may come to take part.
pub fn has_recipients(order: &Order, audience: &Audience<'_>) -> bool {
    if !audience.sinks.is_empty() {
        return true;
    }
    let is_reachable = |contact: &Contact| channel(order, audience, contact).is_some();
    let is_open = order.invitations.is_empty() || order.spec.sellers.open_to_all;
    let serves_any = || NotificationType::ALL.into_iter().any(audience.serves);
    order.spec.buyer.as_deref().is_some_and(is_reachable)
        || (is_open && serves_any())
        || order
            .invitations
            .iter()
            .any(|held| (audience.contact)(&held.seller).as_ref().is_some_and(is_reachable))
}

fn notification_to(
    order: &Order,
    audience: &Audience<'_>,
    topic: Topic,
    template: Template,
    to: ReachableRecipient<'_>,
) -> Option<DueNotification> {
    let ReachableRecipient { recipient, contact } = to;
    let channel = channel(order, audience, contact)?.clone();
    Some(DueNotification {
        topic,
        template,
        recipient,
        channel,
        language: contact.language.clone(),
    })
}

/// Returns the channel for a recipient, among those that can be sent over: one of the order's kind
/// if the recipient has it, else the recipient's first.
fn channel<'a>(
    order: &Order,
    audience: &Audience<'_>,
    contact: &'a Contact,
) -> Option<&'a Channel> {
    let mut served = contact.channels.iter().filter(|channel| (audience.serves)(channel.kind));
    let preferred = order.spec.notification_type;
    served.clone().find(|channel| channel.kind == preferred).or_else(|| served.next())
}

/// Returns the notifications of these news of an event, each with its recipients.
fn recipients_of(
    order: &Order,
    seq: Seq,
    news: Announcement<'_>,
) -> Vec<(Topic, Template, RecipientGroup)> {
    let buyer = |template| vec![(Topic::BuyerNotify, template, RecipientGroup::Buyer)];
    let sellers =
        |template, sellers| vec![(Topic::SellerNotify, template, RecipientGroup::Sellers(sellers))];
    match news {
        Announcement::Opening(_) => {
            vec![(Topic::BuyerAcknowledgements, Template::Acknowledgement, RecipientGroup::Buyer)]
        }
        Announcement::Invitation => sellers(Template::Invitation, invited_by(order, seq)),
        Announcement::Proposal(proposed) => {
            let mut groups = buyer(Template::Proposal);
            groups.push(receipt(&proposed.seller));
            groups
        }
        Announcement::Update(update) => recipients_of_update(update),
        Announcement::FollowUp(follow_up) if follow_up.audience.is_empty() => {
            sellers(Template::FollowUp, participants(order, seq))
        }
        Announcement::FollowUp(follow_up) => {
            sellers(Template::FollowUp, follow_up.audience.clone())
        }
        Announcement::Pause { expired: false, .. } => {
            sellers(Template::Pause, participants(order, seq))
        }
        Announcement::Pause { expired: true, .. } | Announcement::End { .. } => {
            end_recipients(participants(order, seq))
        }
        Announcement::Resumption => sellers(Template::Resumption, participants(order, seq)),
        Announcement::Extension(_) => sellers(Template::Extension, participants(order, seq)),
        Announcement::Deadline(_) => buyer(Template::Opening),
        Announcement::Award { award, .. } => award_recipients(order, seq, award),
    }
}

fn recipients_of_update(update: &ProposalUpdate) -> Vec<(Topic, Template, RecipientGroup)> {
    let template = match update {
        ProposalUpdate::Amended { proposal, .. } => {
            let to_buyer = (Topic::BuyerNotify, Template::Amendment, RecipientGroup::Buyer);
            return vec![to_buyer, receipt(&proposal.seller)];
        }
        ProposalUpdate::Withdrawn { .. } => Template::Withdrawal,
        ProposalUpdate::Declined { .. } => Template::Decline,
        ProposalUpdate::Answered { .. } => Template::Answer,
        ProposalUpdate::Asked { .. } => Template::Question,
    };
    vec![(Topic::BuyerNotify, template, RecipientGroup::Buyer)]
}

fn receipt(seller: &SellerId) -> (Topic, Template, RecipientGroup) {
    let seller = RecipientGroup::Sellers(vec![seller.clone()]);
    (Topic::SellerAcknowledgements, Template::Receipt, seller)
}

fn end_recipients(sellers: Vec<SellerId>) -> Vec<(Topic, Template, RecipientGroup)> {
    vec![
        (Topic::BuyerNotify, Template::End, RecipientGroup::Buyer),
        (Topic::SellerNotify, Template::End, RecipientGroup::Sellers(sellers)),
    ]
}

/// Returns the notifications of an award: the winners first, then the sellers who proposed in vain,
/// then those who did not propose.
fn award_recipients(
    order: &Order,
    seq: Seq,
    award: Option<&Award>,
) -> Vec<(Topic, Template, RecipientGroup)> {
    let Some(award) = award else { return end_recipients(participants(order, seq)) };
    let seller_of = |id: &ProposalId| order.proposals.get(id).map(|held| &held.content.seller);
    let winners: BTreeSet<&SellerId> = match award {
        Award::Whole(id) => seller_of(id).into_iter().collect(),
        Award::Lines(lines) => lines.iter().filter_map(|(_, id)| seller_of(id)).collect(),
    };
    let proposed = order.proposals.values();
    let losers: BTreeSet<&SellerId> = proposed
        .filter(|held| held.phase != ProposalPhase::Withdrawn)
        .map(|held| &held.content.seller)
        .filter(|seller| !winners.contains(*seller))
        .collect();
    let others = participants(order, seq)
        .into_iter()
        .filter(|seller| !winners.contains(seller) && !losers.contains(seller));
    let sellers = |sellers: BTreeSet<&SellerId>| {
        RecipientGroup::Sellers(sellers.into_iter().cloned().collect())
    };
    let others = RecipientGroup::Sellers(others.collect());
    vec![
        (Topic::BuyerNotify, Template::End, RecipientGroup::Buyer),
        (Topic::SellerNotify, Template::Awarded, sellers(winners)),
        (Topic::SellerNotify, Template::NotAwarded, sellers(losers)),
        (Topic::SellerNotify, Template::End, others),
    ]
}

/// Returns the sellers that this event invited, but those that had proposed before.
fn invited_by(order: &Order, seq: Seq) -> Vec<SellerId> {
    let has_proposed = |seller: &SellerId| {
        let mut proposals = order.proposals.values().filter(|held| held.content.seller == *seller);
        proposals.any(|held| held.versions.first().is_some_and(|first| *first < seq))
    };
    let invited = order.invitations.iter().filter(|held| held.since == seq);
    let invited = invited.filter(|held| !has_proposed(&held.seller));
    invited.map(|held| held.seller.clone()).collect()
}

/// Returns the sellers who were invited by the time of this event, proposed or asked, and have not
/// left by declining.
fn participants(order: &Order, seq: Seq) -> Vec<SellerId> {
    let proposed = order.proposals.values().map(|held| &held.content.seller);
    let mut sellers: BTreeSet<&SellerId> = proposed.collect();
    let invited = order.invitations.iter().filter(|held| held.since <= seq);
    sellers.extend(invited.map(|held| &held.seller));
    sellers.extend(order.questions.values());
    sellers.into_iter().filter(|seller| !order.has_left(seller)).cloned().collect()
}
