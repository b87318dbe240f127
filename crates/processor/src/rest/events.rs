//! An order's events as server-sent events: `Last-Event-ID` or `after` resumes.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::{Stream, StreamExt as _};
use orderstream_core::event::Event;
use orderstream_core::{OrderKey, Refusal, Seq};
use orderstream_rpc::problem::{InPath, InQuery, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use super::view::rfc3339;
use crate::orders::{Followed, Orders};

/// A comment is sent after so much silence, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// From where to follow.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct From {
    tenant: String,
    after: u64,
}

/// Follows an order as an observer, to its end.
pub(super) async fn follow(
    State(orders): State<Orders>,
    InPath(order_req_id): InPath<String>,
    InQuery(from): InQuery<From>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, Problem> {
    let key = OrderKey::new(&from.tenant, &order_req_id)?;
    let after = match headers.get("last-event-id") {
        None => Seq(from.after),
        Some(id) => id.to_str().ok().and_then(|id| id.parse().ok()).map(Seq).ok_or_else(|| {
            Refusal::field("last-event-id", "is not a number; give the id of the last event")
        })?,
    };
    let events = orders.follow(&key, after, None).await?;
    let events = events.map(|item| Ok(sse(item)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn sse(item: Result<Followed, Refusal>) -> SseEvent {
    match item {
        Ok(Followed::Event(event)) => SseEvent::default()
            .id(event.seq.to_string())
            .event(event.kind.as_str())
            .data(data(&event).to_string()),
        Ok(Followed::Draining(last)) => {
            SseEvent::default().event("Draining").data(json!({ "last_seq": last }).to_string())
        }
        Err(refusal) => {
            let reason = refusal.reason.as_str();
            let body = json!({ "reason": reason, "detail": refusal.message });
            SseEvent::default().event("Error").data(body.to_string())
        }
    }
}

/// An event without its cause, which stays with the owner.
fn data(event: &Event) -> Value {
    json!({
        "seq": event.seq,
        "at": rfc3339(event.at),
        "status": event.kind.as_str(),
        "proposal_id": event.kind.proposal_id(),
        "follow_up_id": event.kind.follow_up_id(),
        "detail": event.kind,
    })
}
