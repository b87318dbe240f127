//! Pollers of pages, for buyers and sellers.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::history::{
    HistoryLine, HistoryRecorder, OrderListReading, PageLookup, PageReading, PageSnapshot,
};
use crate::name;
use crate::send::http;

/// The interval between two reads.
const POLL_INTERVAL: Duration = Duration::from_millis(150);
/// The timeout of one read.
const DEADLINE: Duration = Duration::from_secs(3);

/// A page about one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolledPage {
    /// The requestor's `tracking/{order}`.
    Tracking,
    /// A processor's `orders/{order}`.
    Order,
}

impl PolledPage {
    /// Returns the page's name in a history.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracking => "tracking",
            Self::Order => "order",
        }
    }

    /// Returns the page's path.
    pub fn path(self, order: &str) -> String {
        match self {
            Self::Tracking => format!("/api/v1/orders/tracking/{order}"),
            Self::Order => format!("/api/v1/orders/{}{}", name::id(order), name::query(order)),
        }
    }

    /// Parses the order's state from a response.
    pub fn parse(self, body: &Value) -> PageSnapshot {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let kinds = ["received", "open", "withdrawn", "closed"];
        let (proposals, follow_ups) = match self {
            Self::Tracking => {
                (kinds.map(|kind| number(&body[format!("proposals_{kind}")])), "notes_count")
            }
            Self::Order => (kinds.map(|kind| number(&body["proposals"][kind])), "follow_ups"),
        };
        PageSnapshot {
            phase: text("phase"),
            last_seq: number(&body["last_seq"]),
            epoch: number(&body["epoch"]),
            proposals,
            follow_ups: number(&body[follow_ups]),
            incarnation: text("incarnation"),
        }
    }
}

/// Reads a page once; `None` if there was no usable response.
pub async fn read_page(
    address: SocketAddr,
    page: PolledPage,
    order: &str,
    recorder: &HistoryRecorder,
) -> Option<PageReading> {
    let called_at = recorder.now();
    let path = page.path(order);
    let request = http::get(address, &path);
    let response = tokio::time::timeout(DEADLINE, request).await.ok()?.ok()?;
    let body = response.json();
    let result = match (response.status, body["reason"].as_str()) {
        (200, _) => PageLookup::Order(page.parse(&body)),
        (404, Some("ORDER_NOT_FOUND")) => PageLookup::NotFound,
        _ => return None,
    };
    let (page, order) = (page.name().to_owned(), order.to_owned());
    Some(PageReading {
        called_at,
        returned_at: recorder.now(),
        page,
        order,
        result,
        is_last: false,
    })
}

/// Polls one page of one order indefinitely.
pub async fn poll_page(
    address: SocketAddr,
    page: PolledPage,
    order: String,
    recorder: HistoryRecorder,
) {
    let mut before = None;
    loop {
        if let Some(reading) = read_page(address, page, &order, &recorder).await {
            // Unchanged content is not recorded.
            if before.as_ref() != Some(&reading.result) {
                before = Some(reading.result.clone());
                recorder.write(HistoryLine::Page(reading));
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Reads the requestor's list of orders once.
pub async fn read_order_list(
    address: SocketAddr,
    recorder: &HistoryRecorder,
) -> Option<OrderListReading> {
    let called_at = recorder.now();
    let request = http::get(address, "/api/v1/orders/tracking/status");
    let response = tokio::time::timeout(DEADLINE, request).await.ok()?.ok()?;
    let body = response.json();
    if response.status != 200 {
        return None;
    }
    let ids = body["tracked_order_ids"].as_array()?.iter();
    let orders = ids.filter_map(|id| Some(id.as_str()?.to_owned())).collect();
    let total = body["total_orders"].as_u64()?;
    Some(OrderListReading { called_at, returned_at: recorder.now(), orders, total })
}

/// Polls the requestor's list of orders indefinitely.
pub async fn poll_order_list(address: SocketAddr, recorder: HistoryRecorder) {
    let mut before = None;
    loop {
        if let Some(reading) = read_order_list(address, &recorder).await
            && before.as_ref() != Some(&reading.orders)
        {
            before = Some(reading.orders.clone());
            recorder.write(HistoryLine::OrderList(reading));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
