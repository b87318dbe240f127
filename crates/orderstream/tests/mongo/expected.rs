//! The documents that the collections have to hold, from a processor's list of events: implemented
//! a second time for the test, from the page that describes the collections.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::Value;

/// All documents by collection and id.
pub(crate) type Documents = BTreeMap<(String, String), Document>;

/// Returns the documents of one order.
pub(crate) fn documents(events: &[Value]) -> Documents {
    let mut documents = Documents::new();
    let opened = &events[0]["detail"]["OrderOpened"];
    let name = doc! {
        "order_req_id": text(&opened["key"]["order_req_id"]),
        "tenant": text(&opened["key"]["tenant"]),
        "incarnation": text(&opened["incarnation"]),
    };
    let id = ["tenant", "order_req_id", "incarnation"].map(|field| name.get_str(field).unwrap());
    let id = id.join("/");
    let mut status = name.clone();
    status.extend(doc! {
        "_id": &id,
        "session_id": text(&opened["spec"]["session"]),
        "notification_type": text(&opened["spec"]["notification_type"]),
        "title": text(&opened["spec"]["title"]),
        "status": "Open",
        "created_at": at(&events[0]),
        "expires_at": DateTime::from_millis(opened["expires_at"].as_i64().unwrap()),
        "ended_at": Bson::Null,
    });
    let mut counts = BTreeMap::from(
        ["NewProposal", "Withdrawn", "ProposalClosed", "FollowUpAdded"]
            .map(|event_type| (event_type, 0_i64)),
    );
    for event in events {
        let event_type = event["status"].as_str().unwrap();
        let detail = &event["detail"][event_type];
        let counted = if detail["Withdrawn"].is_object() { "Withdrawn" } else { event_type };
        counts.entry(counted).and_modify(|count| *count += 1);
        status.insert("last_seq", seq(event));
        status.insert("last_event", event_type);
        status.insert("updated_at", at(event));
        if event_type == "OrderExtended" {
            let until = DateTime::from_millis(detail["expires_at"].as_i64().unwrap());
            status.insert("expires_at", until);
        }
        if let Some((phase, is_end)) = phase(event_type, detail) {
            status.insert("status", phase);
            if is_end {
                status.insert("ended_at", at(event));
            }
        }
        if let Some((collection, suffix, content)) = extra_document(event_type, detail, event) {
            let id = format!("{id}{suffix}");
            let mut document = name.clone();
            document.extend(content);
            document.extend(doc! { "_id": &id, "seq": seq(event), "created_at": at(event) });
            documents.insert((collection.to_owned(), id), document);
        }
    }
    status.insert(
        "proposals",
        doc! {
            "received": counts["NewProposal"],
            "withdrawn": counts["Withdrawn"],
            "closed": counts["ProposalClosed"],
        },
    );
    status.insert("follow_ups", counts["FollowUpAdded"]);
    documents.insert(("RequestSubmissions".to_owned(), id), status);
    documents
}

fn phase(event_type: &str, detail: &Value) -> Option<(&'static str, bool)> {
    match event_type {
        "OrderPaused" if detail["decide_by"].is_number() => Some(("Deciding", false)),
        "OrderPaused" if detail["expired"] == true => Some(("Expired", true)),
        "OrderPaused" => Some(("Paused", false)),
        "OrderResumed" => Some(("Open", false)),
        "OrderFinalised" => Some(("Finalised", true)),
        "OrderClosed" => Some(("Closed", true)),
        "OrderCancelled" => Some(("Cancelled", true)),
        _ => None,
    }
}

fn extra_document(
    event_type: &str,
    detail: &Value,
    event: &Value,
) -> Option<(&'static str, String, Document)> {
    match event_type {
        "FollowUpAdded" => {
            let audience = list(&detail["audience"]);
            let message = doc! {
                "type": text(&detail["message"]["type"]),
                "message": text(&detail["message"]["message"]),
                "urls": list(&detail["message"]["urls"]),
            };
            let id = detail["id"].as_str().unwrap();
            let content = doc! { "follow_up_id": id, "audience": audience, "message": message };
            Some(("RequestFollowUp", format!("/{id}"), content))
        }
        "OrderFinalised" => {
            let (award, reason) = (award(&detail["award"]), text(&detail["reason"]));
            let content = doc! { "award": award, "reason": reason };
            Some(("OrderFinalised", String::new(), content))
        }
        "OrderPaused" => {
            let expired = detail["expired"].as_bool().unwrap();
            let content = doc! { "expired": expired, "reason": text(&detail["reason"]) };
            Some(("OrderPaused", format!("/{}", event["seq"]), content))
        }
        _ => None,
    }
}

fn award(award: &Value) -> Bson {
    if let Some(proposal) = award["Whole"].as_str() {
        return Bson::from(doc! { "proposal_id": proposal });
    }
    let line = |line: &Value| doc! { "sku": text(&line[0]), "proposal_id": text(&line[1]) };
    match award["Lines"].as_array() {
        Some(lines) => Bson::from(doc! { "lines": lines.iter().map(line).collect::<Vec<_>>() }),
        None => Bson::Null,
    }
}

fn text(value: &Value) -> Bson {
    value.as_str().map_or(Bson::Null, Bson::from)
}

fn list(value: &Value) -> Vec<Bson> {
    value.as_array().map(|all| all.iter().map(text).collect()).unwrap_or_default()
}

fn seq(event: &Value) -> i64 {
    event["seq"].as_i64().unwrap()
}

fn at(event: &Value) -> DateTime {
    DateTime::parse_rfc3339_str(event["at"].as_str().unwrap()).unwrap()
}
