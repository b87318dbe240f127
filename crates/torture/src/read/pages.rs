//! The final reads: an order's pages of proposals and of its conversation, and a process's metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::event::ComparableEvent;
use crate::history::OrderPagesReading;
use crate::name;
use crate::send::http;

/// The largest number of pages that are read of one list.
const PAGES_MAX: usize = 40;

/// Reads an order's list over HTTP.
///
/// # Errors
/// When the list is refused; the error has the status and the body.
pub async fn sse_list(address: SocketAddr, order: &str) -> Result<Vec<ComparableEvent>, String> {
    let response = http::get(
        address,
        &format!("/api/v1/orders/{}/events{}", name::id(order), name::query(order)),
    )
    .await?;
    if response.status != 200 {
        return Err(format!("status {}: {}", response.status, response.text));
    }
    let data = response.text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events =
        data.filter_map(|data| ComparableEvent::from_sse(&serde_json::from_str(data).ok()?));
    Ok(events.collect())
}

/// Reads an order's proposals and conversation, page by page.
///
/// # Errors
/// When a page cannot be read.
pub async fn read_pages(address: SocketAddr, order: &str) -> Result<OrderPagesReading, String> {
    let page =
        |page: &str| format!("/api/v1/orders/{}/{page}{}", name::id(order), name::query(order));
    let mut proposals = Vec::new();
    for item in all(address, &page("proposals"), "proposals").await? {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let version = item["version"].as_u64().unwrap_or_default();
        proposals.push((text("proposal_id"), text("status"), version));
    }
    let mut conversation = Vec::new();
    for item in all(address, &page("conversation"), "conversation").await? {
        let id = item["id"].as_str().unwrap_or_default().to_owned();
        conversation.push((item["seq"].as_u64().unwrap_or_default(), id));
    }
    Ok(OrderPagesReading { order: order.to_owned(), proposals, conversation })
}

async fn all(address: SocketAddr, path: &str, field: &str) -> Result<Vec<Value>, String> {
    let first = if path.contains('?') { '&' } else { '?' };
    let (mut items, mut after) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let response = http::get(address, &format!("{path}{first}limit=20{after}")).await?;
        let body = response.json();
        let Some(page) = body[field].as_array() else {
            return Err(format!("{path}: status {}: {}", response.status, response.text));
        };
        items.extend(page.iter().cloned());
        after = match &body["next"] {
            Value::String(next) => format!("&after={next}"),
            Value::Number(next) => format!("&after={next}"),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Ok(items),
        };
    }
    Err(format!("{path} does not end"))
}

/// Reads a process's metrics, without histograms.
///
/// # Errors
/// When the metrics cannot be read.
pub async fn metrics(address: SocketAddr) -> Result<BTreeMap<String, f64>, String> {
    let text = http::get(address, "/metrics").await?.text;
    let series = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket"));
    Ok(series
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect())
}

/// Returns the number of orders in a processor's own list.
pub async fn orders_listed(address: SocketAddr) -> Option<u64> {
    let listed = all(address, "/api/v1/orders", "orders").await.ok()?;
    u64::try_from(listed.len()).ok()
}
