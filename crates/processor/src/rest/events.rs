//! An order's events as server-sent events: `Last-Event-ID`, `lastEventId` or `after` resumes.

use orderstream_core::date::rfc3339;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use orderstream_core::event::Event;
use orderstream_core::{Order, OrderKey, Refusal, Seq};
use orderstream_rpc::problem::{CheckedPath, CheckedQuery, Problem, position};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::OrderPath;
use super::orders::parse_incarnation;
use super::view;
use crate::orders::{FollowItem, OrderRuntimeState, OwnedOrders};

/// The silence after which a comment is sent, so that proxies keep the connection.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The header of the response that keeps nginx, and proxies that follow it, from holding events
/// back until a buffer is full.
pub(super) const UNBUFFERED: [(&str, &str); 1] = [("x-accel-buffering", "no")];

/// The header with which an `EventSource` resumes.
const LAST_EVENT_ID: &str = "last-event-id";

/// The start of a stream of events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The incarnation of the order id; the newest when left out.
    incarnation: String,
    /// The sequence number of the last event received, unless `Last-Event-ID` or `lastEventId`
    /// gives it; 0 begins at the first event.
    #[serde(deserialize_with = "position::<{ u64::MAX }, _, _>")]
    after: u64,
    /// The `id` of the last event received, from an `EventSource` that cannot send headers;
    /// `Last-Event-ID` takes precedence.
    #[serde(rename = "lastEventId")]
    #[param(value_type = u64)]
    last_event_id: String,
}

impl EventsQuery {
    /// Returns the last event received: the header's, else that of `lastEventId`, else `after`. An
    /// empty id counts as none: an `EventSource` has it before its first event.
    fn last_received(&self, headers: &HeaderMap) -> Result<Seq, Refusal> {
        let header = headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes).unwrap_or_default();
        let given = [(LAST_EVENT_ID, header), ("lastEventId", self.last_event_id.as_bytes())];
        let Some((field, id)) = given.into_iter().find(|(_, id)| !id.is_empty()) else {
            return Ok(Seq(self.after));
        };
        number(id)
            .map(Seq)
            .ok_or_else(|| Refusal::field(field, "is not a number; give the id of the last event"))
    }
}

/// Follow an order's events to its end.
///
/// Server-sent events: `id` is the event's sequence number, `event` its type, `data` a JSON object
/// with `seq`, `at`, `status`, `proposal_id`, `follow_up_id`, `content` and `detail`. `content` has
/// degrees, decimals and RFC 3339 times; `detail` is the form in which the event is stored. A
/// comment comes after 15 s of silence. An empty `Last-Event-ID` or `lastEventId` counts as none. The stream ends with the
/// order; a request after the last event gets 204, at which an `EventSource` stops. `Draining`
/// means that the server stops: reconnect. While an order is sealed, sellers and prices are hidden;
/// after `ProposalsOpened` the list can be read again from its first event, without redaction.
#[utoipa::path(get, path = "/api/v1/orders/{order_req_id}/events", tag = "orders",
    operation_id = "events", params(OrderPath, EventsQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The `id` of the last event received.")),
    responses(
        (status = 200, description = "The events.", content_type = "text/event-stream",
            body = String),
        (status = 204, description = "The order has ended, and its last event was received.")))]
pub(super) async fn follow(
    State(orders): State<OwnedOrders>,
    CheckedPath(order_req_id): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&query.tenant, &order_req_id)?;
    let after = query.last_received(&headers)?;
    let named = parse_incarnation(query.incarnation)?;
    let events = orders.follow_one(&key, named.as_ref(), after, None).await?;
    let is_over =
        |order: &Order, _: &OrderRuntimeState| order.phase.is_terminal() && order.last_seq <= after;
    if orders.read_one(&key, named.as_ref(), is_over).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = events.map(|item| Ok::<_, Infallible>(sse(item)));
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok((UNBUFFERED, events).into_response())
}

/// Parses a number of digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

fn sse(item: Result<FollowItem, Refusal>) -> SseEvent {
    match item {
        Ok(FollowItem::Event(event)) => SseEvent::default()
            .id(event.seq.to_string())
            .event(event.kind.as_str())
            .data(event_json(&event).to_string()),
        Ok(FollowItem::Draining(last)) => {
            SseEvent::default().event("Draining").data(json!({ "last_seq": last }).to_string())
        }
        Err(refusal) => {
            let reason = refusal.reason.as_str();
            let body = json!({ "reason": reason, "detail": refusal.message });
            SseEvent::default().event("Error").data(body.to_string())
        }
    }
}

/// Converts an event to the JSON of the stream, without its cause, which stays with the owner.
pub fn event_json(event: &Event) -> Value {
    json!({
        "seq": event.seq,
        "at": rfc3339(event.at),
        "status": event.kind.as_str(),
        "proposal_id": event.kind.proposal_id(),
        "follow_up_id": event.kind.follow_up_id(),
        "content": view::event_content(&event.kind),
        "detail": event.kind,
    })
}
