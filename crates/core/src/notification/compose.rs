//! The content of notifications, as data for templates and programs: a summary of the order, and
//! the event, each only as far as its recipient may know it. Nothing that is sealed is in it, and
//! no seller is named before the opening of a sealed order, not even to itself.

use crate::date::rfc3339;
use serde_json::{Map, Value, json};

use super::{
    Announcement, DeliveryFailure, DueNotification, Notification, Recipient, Template, id,
};
use crate::command::{Award, ProposalContent};
use crate::event::{Event, ProposalUpdate};
use crate::id::SellerId;
use crate::order::Order;
use crate::spec::{Item, Message};

/// Composes the notification that is due for an event of an order, both as they may leave the
/// owner. `failed` is the notification that was given up, and the cause, where this one reports
/// that.
pub fn compose(
    order: &Order,
    event: &Event,
    due: &DueNotification,
    failed: Option<&DeliveryFailure>,
) -> Notification {
    let mut data = Map::new();
    data.insert("order".to_owned(), summary(order, due));
    data.insert("event".to_owned(), event_content(order, event, &due.recipient));
    if let Some(failure) = failed {
        let mut failure = failure_of(order, failure);
        add_seller_name(order, &mut failure);
        data.insert("failed".to_owned(), failure);
    }
    Notification {
        id: id(
            &order.key,
            &order.incarnation,
            event.seq,
            due,
            failed.map(|failure| failure.id.as_str()),
        ),
        topic: due.topic,
        template: due.template,
        key: order.key.clone(),
        incarnation: order.incarnation.clone(),
        seq: event.seq,
        at: event.at,
        recipient: due.recipient.clone(),
        channel: due.channel.clone(),
        language: due.language.clone(),
        data: Value::Object(data),
    }
}

/// Returns a summary of the order. An invitation and an acknowledgement also have the items and the
/// other details of the request.
fn summary(order: &Order, due: &DueNotification) -> Value {
    let spec = &order.spec;
    let mut summary = json!({
        "tenant": order.key.tenant,
        "order_req_id": order.key.order_req_id,
        "incarnation": order.incarnation,
        "title": spec.title,
        "sealed": spec.sealed,
        "phase": order.phase,
        "expires_at": rfc3339(order.runs_out_at()),
    });
    let is_whole = matches!(due.template, Template::Invitation | Template::Acknowledgement);
    if let (true, Some(fields)) = (is_whole, summary.as_object_mut()) {
        fields.insert("items".to_owned(), items(order));
        fields.insert("category".to_owned(), json!(spec.category));
        fields.insert("delivery".to_owned(), delivery(order));
        fields.insert("message".to_owned(), spec.message.as_deref().map_or(Value::Null, message));
        fields.insert("invited".to_owned(), json!(order.invitations.len()));
    }
    summary
}

/// Returns the items with every field, given or not: templates are strict.
fn items(order: &Order) -> Value {
    let item = |item: &Item| {
        json!({
            "sku": item.sku,
            "description": item.description,
            "quantity": item.quantity.value().to_string(),
            "unit": item.unit,
            "line": item.line,
        })
    };
    order.spec.items.iter().map(item).collect()
}

fn message(message: &Message) -> Value {
    json!({ "type": message.kind, "message": message.message, "urls": message.urls })
}

fn delivery(order: &Order) -> Value {
    let Some(delivery) = &order.spec.delivery else { return Value::Null };
    json!({ "address": delivery.address, "by": delivery.by })
}

/// Returns the event's content, as the recipient may know it.
fn event_content(order: &Order, event: &Event, recipient: &Recipient) -> Value {
    let news = event.kind.announcement();
    let mut content = news.map_or_else(|| json!({}), |news| news_content(order, news, recipient));
    add_seller_name(order, &mut content);
    if let Some(fields) = content.as_object_mut() {
        fields.insert("kind".to_owned(), json!(event.kind.as_str()));
        fields.insert("seq".to_owned(), json!(event.seq));
        fields.insert("at".to_owned(), json!(rfc3339(event.at)));
    }
    content
}

fn news_content(order: &Order, news: Announcement<'_>, recipient: &Recipient) -> Value {
    match news {
        Announcement::Opening(opened) => json!({ "expires_at": rfc3339(opened.expires_at) }),
        Announcement::Invitation => json!({ "invited": order.invitations.len() }),
        Announcement::Proposal(proposed) => proposal(order, proposed, 1),
        Announcement::Update(update) => update_content(order, update),
        Announcement::FollowUp(follow_up) => json!({
            "follow_up_id": follow_up.id,
            "message": message(&follow_up.message),
            "answers": follow_up.answers,
        }),
        Announcement::Pause { expired, reason } => json!({ "expired": expired, "reason": reason }),
        Announcement::Resumption => json!({}),
        Announcement::Extension(expires_at) => json!({ "expires_at": rfc3339(expires_at) }),
        Announcement::Deadline(decide_until) => json!({
            "decide_until": rfc3339(decide_until),
            "proposals": order.proposal_counts().open,
        }),
        Announcement::Award { award, reason } => {
            json!({ "award": award_content(order, award, recipient), "reason": reason })
        }
        Announcement::End { reason } => json!({ "reason": reason }),
    }
}

/// Returns the notification that was given up. Under seal it has only the template and the channel:
/// a reason may hold an address.
fn failure_of(order: &Order, failure: &DeliveryFailure) -> Value {
    let is_visible = !order.is_sealed();
    json!({
        "notification_id": failure.id,
        "template": failure.template,
        "channel": failure.channel,
        "seller": failure.seller.as_ref().filter(|_| is_visible),
        "reason": Some(&failure.reason).filter(|_| is_visible),
    })
}

/// Returns a seller's name, or null while it is hidden.
fn name(order: &Order, seller: &SellerId) -> Value {
    if order.is_sealed() { Value::Null } else { json!(seller) }
}

/// Adds a seller's name for people beside its own name, which stands for it where it has no other,
/// and which is null while it is hidden.
fn add_seller_name(order: &Order, content: &mut Value) {
    let Some(seller) = content.get("seller").cloned() else { return };
    let id = seller.as_str().and_then(|text| SellerId::new(text).ok());
    let display_name = id.as_ref().and_then(|id| order.display_name(id));
    content["seller_name"] = display_name.map_or(seller, |display_name| json!(display_name));
}

fn proposal(order: &Order, proposed: &ProposalContent, version: u32) -> Value {
    if order.is_sealed() || proposed.price.is_hidden() {
        return json!({
            "proposal_id": proposed.proposal_id,
            "version": version,
            "seller": null,
            "price": null,
        });
    }
    json!({
        "proposal_id": proposed.proposal_id,
        "version": version,
        "seller": proposed.seller,
        "price": proposed.price.amount().to_string(),
        "currency": proposed.price.currency(),
        "lines": proposed.lines.iter().map(|line| json!({
            "sku": line.sku,
            "quantity": line.quantity.value().to_string(),
            "unit": line.unit,
            "price": line.price.amount().to_string(),
            "line": line.line,
            "substitutes": line.substitutes,
        })).collect::<Vec<_>>(),
        "note": proposed.note,
        "delivery_date": proposed.delivery_date,
        "valid_until": proposed.valid_until,
        "attachments": proposed.attachments,
        "your_reference": proposed.your_reference,
        "alternative": proposed.alternative,
    })
}

fn update_content(order: &Order, update: &ProposalUpdate) -> Value {
    let mut content = match update {
        ProposalUpdate::Amended { proposal: proposed, version } => {
            proposal(order, proposed, *version)
        }
        ProposalUpdate::Withdrawn { proposal_id, reason } => {
            let withdrawn = order.proposals.get(proposal_id);
            let seller = withdrawn.map(|held| name(order, &held.content.seller));
            json!({ "proposal_id": proposal_id, "seller": seller, "reason": reason })
        }
        ProposalUpdate::Declined { seller, reason } => {
            json!({ "seller": name(order, seller), "reason": reason })
        }
        ProposalUpdate::Answered { seller, follow_up_id, message } => {
            json!({ "seller": name(order, seller), "follow_up_id": follow_up_id, "message": message })
        }
        ProposalUpdate::Asked { seller, question_id, message } => {
            json!({ "seller": name(order, seller), "question_id": question_id, "message": message })
        }
    };
    if let Some(fields) = content.as_object_mut() {
        fields.insert("change".to_owned(), json!(update.change()));
    }
    content
}

/// Returns the award: all of it for the buyer and the operator, and for a seller its own part.
fn award_content(order: &Order, award: Option<&Award>, recipient: &Recipient) -> Value {
    let Some(award) = award else { return Value::Null };
    let is_visible = |id| match recipient {
        Recipient::Buyer | Recipient::Sink => true,
        Recipient::Seller(seller) => {
            order.proposals.get(id).is_some_and(|held| held.content.seller == *seller)
        }
    };
    match award {
        Award::Whole(id) if is_visible(id) => json!({ "proposal_id": id, "lines": [] }),
        Award::Whole(_) => Value::Null,
        Award::Lines(lines) => {
            let visible: Vec<Value> = lines
                .iter()
                .filter(|(_, id)| is_visible(id))
                .map(|(sku, id)| json!({ "sku": sku, "proposal_id": id }))
                .collect();
            if visible.is_empty() {
                Value::Null
            } else {
                json!({ "proposal_id": null, "lines": visible })
            }
        }
    }
}
